//! Config: the API key, the server, and the limits.

use std::time::Duration;

use cmauth::Config;
use cmauth::bindings::reject_setting;
use libc::{c_char, c_int};

use crate::guard;

/// The settings of a client. One thread sets it up; `cm_client_new` copies it.
pub struct cm_config(pub(crate) Config);

/// Makes the settings for an API key, everything else as it is by default.
///
/// An API key is an id and a secret, requested from https://dealer.cameramanager.com (step 1 of the vendor's guide). The
/// secret belongs on your server, never in a browser.
///
/// @param client_id      the key's id, without ':'; not NULL
/// @param client_secret  the key's secret; not NULL
/// @return the settings; NULL only for a bug in here, which the other functions take too. A bad parameter is reported by
///         `cm_client_new`. Free with `cm_config_free`.
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_new(client_id: *const c_char, client_secret: *const c_char) -> *mut cm_config {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: strings as the conventions have them.
        let (id, secret) = unsafe { (guard::text_or_problem(client_id), guard::text_or_problem(client_secret)) };
        let config = match (id, secret) {
            (Ok(id), Ok(secret)) => Config::new(id, secret),
            (id, secret) => {
                let mut config = Config::new("none", "none");
                for (name, given) in [("client_id", id), ("client_secret", secret)] {
                    if let Err(problem) = given {
                        reject_setting(&mut config, name, problem);
                    }
                }
                config
            }
        };
        Box::into_raw(Box::new(cm_config(config)))
    })
}

/// Makes the settings for a machine that must not hold the key's secret, such as an operator's workstation: a public client
/// (RFC 6749, section 2.1). It can begin logins, for a machine with the secret to finish (`cm_login_to_json`), and log out.
/// Exchanges and refreshes are refused with `CM_STATUS_INVALID_ARGUMENT` before anything is sent.
///
/// @param client_id  the key's id, without ':'; not NULL
/// @return as `cm_config_new`
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_new_public(client_id: *const c_char) -> *mut cm_config {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: a string as the conventions have it.
        let config = match unsafe { guard::text_or_problem(client_id) } {
            Ok(id) => Config::new_public(id),
            Err(problem) => {
                let mut config = Config::new_public("none");
                reject_setting(&mut config, "client_id", problem);
                config
            }
        };
        Box::into_raw(Box::new(cm_config(config)))
    })
}

/// Frees settings, and wipes the secret in them.
///
/// @param config  the settings, or NULL
///
/// Not while another thread uses them. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_free(config: *mut cm_config) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(config) }
}

/// Sets the server. Default "https://rest.cameramanager.com".
///
/// @param config    the settings; NULL: nothing happens
/// @param base_url  https://…, or http://… to a loopback host, for tests; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_base_url(config: *mut cm_config, base_url: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe { set_text(config, "base_url", base_url, |config, text| _ = config.set_base_url(text)) }
}

/// Sets what to ask for. Default "write", as in the vendor's guide.
///
/// @param config  the settings; NULL: nothing happens
/// @param scope   "read", "write" or any other, several joined by spaces; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_scope(config: *mut cm_config, scope: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe { set_text(config, "scope", scope, |config, text| _ = config.set_scope(text)) }
}

/// Sets how long a whole call may take, retries included. Default 30000.
///
/// @param config      the settings; NULL: nothing happens
/// @param timeout_ms  1 to 86400000 (a day), in milliseconds; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_timeout_ms(config: *mut cm_config, timeout_ms: i64) {
    // SAFETY: a handle as the conventions have it.
    unsafe { set_time(config, "timeout_ms", timeout_ms, |config, time| _ = config.set_timeout(time)) }
}

/// Sets how long making one connection may take: look-up, all addresses together, proxy and TLS. Default 10000.
///
/// @param config      the settings; NULL: nothing happens
/// @param timeout_ms  1 to 86400000 (a day), in milliseconds; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_connect_timeout_ms(config: *mut cm_config, timeout_ms: i64) {
    // SAFETY: a handle as the conventions have it.
    unsafe { set_time(config, "connect_timeout_ms", timeout_ms, |config, time| _ = config.set_connect_timeout(time)) }
}

/// Sets a file with the certificates to trust in place of the system's.
///
/// @param config  the settings; NULL: nothing happens
/// @param path    a PEM file, read by `cm_client_new`, which reports one that cannot be used
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_ca_file(config: *mut cm_config, path: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe { set_text(config, "ca_file", path, |config, text| _ = config.set_ca_file(text)) }
}

/// Adds a file with certificates to trust beside the others. Can be called several times.
///
/// @param config  the settings; NULL: nothing happens
/// @param path    a PEM file, read by `cm_client_new`, which reports one that cannot be used
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_add_ca_file(config: *mut cm_config, path: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe { set_text(config, "add_ca_file", path, |config, text| _ = config.add_ca_file(text)) }
}

/// Sets the proxy.
///
/// "socks5://" and "socks4://" look the server's name up here, "socks5h://" and "socks4a://" leave that to the proxy.
///
/// The environment is read by `cm_client_new`, as curl reads it. The first of https_proxy, HTTPS_PROXY, all_proxy and
/// ALL_PROXY that is not empty is the proxy; `cm_client_new` reports one that is not a proxy URL. HTTP_PROXY does not count,
/// and no proxy is used for an http:// base URL, which is on this machine.
///
/// Servers in no_proxy, else NO_PROXY, need no proxy. It is "*" alone, for all servers, or a list with commas of
/// "example.com" (this host and its subdomains; a dot before or after it changes nothing), addresses and networks
/// ("10.1.2.3", "10.0.0.0/8", "::1", "2001:db8::/32"), each with ":8443" after it if it is for that port alone. curl does not
/// read ports there, Python's urllib no networks: a server that one of the two reaches directly is reached directly. Other
/// wildcards mean nothing in any of the three.
///
/// @param config  the settings; NULL: nothing happens
/// @param proxy   NULL (default): taken from the environment; "": none; else a URL, "http://[user:password@]host:port",
///                "https://…", "socks5://…", "socks5h://…", "socks4://…" or "socks4a://…"; a bad one is reported by
///                `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_proxy(config: *mut cm_config, proxy: *const c_char) {
    if proxy.is_null() {
        // SAFETY: a handle as the conventions have it.
        unsafe { set(config, |config| _ = config.set_proxy(None)) }
    } else {
        // SAFETY: parameters as the conventions have them.
        unsafe { set_text(config, "proxy", proxy, |config, text| _ = config.set_proxy(Some(text))) }
    }
}

/// Sets your product's name and version, added after "libcmauth/x.y.z" in the User-Agent header.
///
/// @param config   the settings; NULL: nothing happens
/// @param product  "Recorder/1.0", in ASCII; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_user_agent(config: *mut cm_config, product: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe { set_text(config, "user_agent", product, |config, text| _ = config.set_user_agent(text)) }
}

/// Sets how often a refresh or logout is sent again after a network failure, 5xx or 429. Default 2.
///
/// A code is never sent again once a byte of it went out.
///
/// @param config       the settings; NULL: nothing happens
/// @param max_retries  0 (never) to 10; a bad one is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_max_retries(config: *mut cm_config, max_retries: c_int) {
    let set_retries = |config: &mut Config| match u32::try_from(max_retries) {
        Ok(max_retries) => _ = config.set_max_retries(max_retries),
        Err(_) => reject_setting(config, "max_retries", format_args!("{max_retries} is less than 0")),
    };
    // SAFETY: a handle as the conventions have it.
    unsafe { set(config, set_retries) }
}

/// Sets where the parameters of a token request go.
///
/// @param config   the settings; NULL: nothing happens
/// @param in_body  0 (default): into the query, as the vendor's guide documents; 1: into a form body, as RFC 6749 has
///                 it and where fewer logs see them; any other value is reported by `cm_client_new`
///
/// One thread at a time. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_params_in_body(config: *mut cm_config, in_body: c_int) {
    let set_in_body = |config: &mut Config| match in_body {
        0 | 1 => _ = config.set_params_in_body(in_body == 1),
        _ => reject_setting(config, "params_in_body", format_args!("{in_body} is neither 0 nor 1")),
    };
    // SAFETY: a handle as the conventions have it.
    unsafe { set(config, set_in_body) }
}

/// # Safety
/// `config` is NULL or a handle that no other thread uses.
unsafe fn set(config: *mut cm_config, change: impl FnOnce(&mut Config)) {
    guard::value((), || {
        // SAFETY: as this function's.
        if let Some(config) = unsafe { config.as_mut() } {
            change(&mut config.0);
        }
    });
}

/// # Safety
/// As [`set`], and `text` is NULL or a NUL-terminated string.
unsafe fn set_text(config: *mut cm_config, name: &str, text: *const c_char, change: impl FnOnce(&mut Config, &str)) {
    // SAFETY: as this function's.
    unsafe {
        set(config, |config| match guard::text_or_problem(text) {
            Ok(text) => change(config, text),
            Err(problem) => reject_setting(config, name, problem),
        });
    }
}

/// # Safety
/// As [`set`].
unsafe fn set_time(config: *mut cm_config, name: &str, ms: i64, change: impl FnOnce(&mut Config, Duration)) {
    // SAFETY: as this function's.
    unsafe {
        set(config, |config| match u64::try_from(ms) {
            Ok(ms @ 1..=86_400_000) => change(config, Duration::from_millis(ms)),
            _ => reject_setting(config, name, format_args!("{ms} is not from 1 to 86400000 milliseconds")),
        });
    }
}
