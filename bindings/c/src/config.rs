//! Config. You need one to make a client: it holds the API key, the server's address and the limits.
//! Set it up, pass it to `cm_client_new`, then free it.

use std::time::Duration;

use cmauth::Config;
use cmauth::bindings::reject_setting;
use libc::c_char;

use crate::guard;

/// The settings of a client.
pub struct cm_config(pub(crate) Config);

/// Makes the settings for an API key. All other settings have their defaults.
///
/// An API key is an id and a secret (step 1 of the guide). Request one at https://dealer.cameramanager.com. The
/// secret belongs on your server, never in a browser.
///
/// @param client_id      the id of the key, without ':'
/// @param client_secret  the secret of the key
/// @return the settings
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_new(client_id: *const c_char, client_secret: *const c_char) -> *mut cm_config {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: the texts follow the header's rules.
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

/// Makes the settings for a machine that must not have the secret of the key, such as a workstation: a public
/// client (RFC 6749, section 2.1).
///
/// Such a client can begin logins and log out. A machine with the secret finishes the logins: see
/// `cm_login_to_json`. Exchanges and refreshes fail with `CM_STATUS_INVALID_ARGUMENT`, and nothing is sent.
///
/// @param client_id  the id of the key, without ':'
/// @return the settings
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_new_public(client_id: *const c_char) -> *mut cm_config {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: the text follows the header's rules.
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

/// Frees settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_free(config: *mut cm_config) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(config) }
}

/// Sets the server. Default "https://rest.cameramanager.com".
///
/// It has a host, and can have a port from 1 to 65535 and a path, to which the paths of the API are added. It has no user name,
/// query or fragment. Write a host name that is not ASCII as punycode ("xn--…"), and an IPv6 address in brackets:
/// "https://[2001:db8::1]:8443/prefix".
///
/// @param base_url  https://…, or for tests http://… to a loopback host
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_base_url(config: *mut cm_config, base_url: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "base_url", base_url, |config, text| _ = config.set_base_url(text)) }
}

/// Allows another origin (scheme, host and port) to get the access token of a user. Without it, only URLs of the server may. See
/// `cm_client_check_url` and `cm_session_sign_url`. Call it once for each origin.
///
/// @param origin  "https://media.example:8443"; or http://… of a loopback host
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_allow_origin(config: *mut cm_config, origin: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "allow_origin", origin, |config, text| _ = config.allow_origin(text)) }
}

/// Sets the scope to ask for. Default "write", as in the guide.
///
/// @param scope  "read", "write" or another scope; several are separated by one space each
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_scope(config: *mut cm_config, scope: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "scope", scope, |config, text| _ = config.set_scope(text)) }
}

/// Sets how long a whole call may take, including its retries. Default 30000.
///
/// @param timeout_ms  1 to 86400000 (a day), in milliseconds
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_timeout_ms(config: *mut cm_config, timeout_ms: i64) {
    // SAFETY: the handle follows the header's rules.
    unsafe { set_time(config, "timeout_ms", timeout_ms, |config, time| _ = config.set_timeout(time)) }
}

/// Sets how long it may take to make one connection: name lookup, all addresses, proxy and TLS. Default 10000.
///
/// @param timeout_ms  1 to 86400000 (a day), in milliseconds
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_connect_timeout_ms(config: *mut cm_config, timeout_ms: i64) {
    // SAFETY: the handle follows the header's rules.
    unsafe { set_time(config, "connect_timeout_ms", timeout_ms, |config, time| _ = config.set_connect_timeout(time)) }
}

/// Sets the certificates to trust, in place of those of the system.
///
/// @param path  a PEM file, which `cm_client_new` reads
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_ca_file(config: *mut cm_config, path: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "ca_file", path, |config, text| _ = config.set_ca_file(text)) }
}

/// Adds certificates to trust, beside those of the system or of `cm_config_set_ca_file`. Can be called several
/// times.
///
/// @param path  a PEM file, which `cm_client_new` reads
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_add_ca_file(config: *mut cm_config, path: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "add_ca_file", path, |config, text| _ = config.add_ca_file(text)) }
}

/// Sets the proxy. By default, `cm_client_new` takes it from the environment, as curl does.
///
/// The first of these environment variables that is not empty gives the proxy: https_proxy, HTTPS_PROXY, all_proxy,
/// ALL_PROXY. `cm_client_new` reports a value that is not a proxy URL. HTTP_PROXY is ignored. A server with an
/// http:// base URL is on this machine and needs no proxy.
///
/// no_proxy, or NO_PROXY if no_proxy is empty, lists the servers that need no proxy. It is "*" for all servers, or
/// a list that is separated by commas:
/// - "example.com" stands for this host and its subdomains. A dot before or after it is ignored.
/// - "10.1.2.3", "10.0.0.0/8", "::1" and "2001:db8::/32" stand for an address or a network.
/// - Each of them can have a port, as in "example.com:8443". It then stands for this port only.
///
/// curl ignores ports in this list, and Python's urllib ignores networks. If one of the two needs no proxy for a
/// server, this library needs none. Wildcards such as "*.example.com" have no meaning in any of the three.
///
/// @param proxy  NULL: from the environment; "": no proxy; otherwise a URL: "http://[user:password@]host:port" or "host:port",
///               "https://…", "socks5://…", "socks5h://…", "socks4://…" or "socks4a://…". With socks5 and socks4,
///               this machine looks up the name of the server; with socks5h and socks4a the proxy does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_proxy(config: *mut cm_config, proxy: *const c_char) {
    if proxy.is_null() {
        // SAFETY: the handle follows the header's rules.
        unsafe { set(config, |config| _ = config.set_proxy(None)) }
    } else {
        // SAFETY: the parameters follow the header's rules.
        unsafe { set_text(config, "proxy", proxy, |config, text| _ = config.set_proxy(Some(text))) }
    }
}

/// Sets the name and version of your product. The User-Agent header has them after "libcmauth/x.y.z".
///
/// @param product  for example "Recorder/1.0"; ASCII, at most 1000 bytes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_user_agent(config: *mut cm_config, product: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe { set_text(config, "user_agent", product, |config, text| _ = config.set_user_agent(text)) }
}

/// Sets how often a refresh or a logout is sent again after a network failure, HTTP 5xx or 429. Default 2.
///
/// An exchange of a code is not sent again once one byte of it was sent, because the server accepts a code only
/// once.
///
/// @param max_retries  0 (never) to 10
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_max_retries(config: *mut cm_config, max_retries: i32) {
    let set_retries = |config: &mut Config| match u32::try_from(max_retries) {
        Ok(max_retries) => _ = config.set_max_retries(max_retries),
        Err(_) => reject_setting(config, "max_retries", format_args!("{max_retries} is less than 0")),
    };
    // SAFETY: the handle follows the header's rules.
    unsafe { set(config, set_retries) }
}

/// Sets where the parameters of a token request are sent.
///
/// @param in_body  0 (default): in the query, as the guide documents; 1: in a form body, as RFC 6749 specifies.
///                 Servers and proxies often log the query, but not the body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_params_in_body(config: *mut cm_config, in_body: i32) {
    let set_in_body = |config: &mut Config| match in_body {
        0 | 1 => _ = config.set_params_in_body(in_body == 1),
        _ => reject_setting(config, "params_in_body", format_args!("{in_body} is neither 0 nor 1")),
    };
    // SAFETY: the handle follows the header's rules.
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
