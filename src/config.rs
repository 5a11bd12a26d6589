//! The settings of a [`Client`](crate::Client): the API key, the server, timeouts, trusted certificates and proxy.
//!
//! The setters of a [`Config`] do not return errors. The config keeps the first bad value, and making the client
//! reports it. So the caller checks once, and not after every setter.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::logging::Logger;
use crate::origin::Origin;
use crate::proxy;
use crate::secret::Secret;
use crate::text::{EMPTY, check_scope, check_text};
use crate::url;

/// The server of CameraManager.
pub const DEFAULT_BASE_URL: &str = "https://rest.cameramanager.com";

/// The longest timeout that can be set: a day.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// More retries do not help: the timeout ends them.
const MAX_RETRIES: u32 = 10;

/// The settings of a client. See each setter for its default.
///
/// ```
/// use std::time::Duration;
///
/// let mut config = cmauth::Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
/// config.set_scope("read").set_timeout(Duration::from_secs(10));
/// let client = cmauth::Client::new(&config)?;
/// # Ok::<(), cmauth::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) base_url: String,
    pub(crate) scope: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// Trusted in place of the system's root certificates.
    pub(crate) ca_file: Option<PathBuf>,
    /// Trusted in addition.
    pub(crate) added_ca_files: Vec<PathBuf>,
    pub(crate) proxy: ProxyChoice,
    pub(crate) user_agent: String,
    pub(crate) max_retries: u32,
    pub(crate) params_in_body: bool,
    /// Origins that may get the access token, besides that of the base URL.
    pub(crate) allowed_origins: Vec<Origin>,
    /// `None`: the `log` crate.
    pub(crate) log: Option<Logger>,
    first_error: Option<Error>,
}

/// The proxy of a client.
#[derive(Clone)]
pub(crate) enum ProxyChoice {
    FromEnvironment,
    None,
    /// Secret, because it can hold a password.
    Url(Secret),
}

impl Config {
    /// The default settings, with an API key.
    ///
    /// An API key is an id and a secret. Request one at <https://dealer.cameramanager.com> (step 1 of the guide). Keep
    /// the secret on your server, never in a browser.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        let mut config = Config {
            client_id: client_id.into(),
            client_secret: Secret::new(client_secret),
            base_url: DEFAULT_BASE_URL.to_owned(),
            scope: "write".to_owned(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            ca_file: None,
            added_ca_files: Vec::new(),
            proxy: ProxyChoice::FromEnvironment,
            user_agent: concat!("libcmauth/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_retries: 2,
            params_in_body: false,
            allowed_origins: Vec::new(),
            log: None,
            first_error: None,
        };
        if let Err(problem) = check_text(&config.client_id) {
            config.reject("client_id", problem);
        } else if config.client_id.contains(':') {
            // In Basic credentials, the first colon ends the id (RFC 7617, section 2).
            config.reject("client_id", "it has a ':', which the id of an API key cannot have");
        }
        if let Err(problem) = check_text(config.client_secret.expose()) {
            config.reject("client_secret", problem);
        }
        config
    }

    /// The settings of a public client (RFC 6749, section 2.1), for a machine that must not hold the secret of the API
    /// key, such as an operator's workstation.
    ///
    /// A public client can log out, and begin a login that another machine with the secret finishes
    /// ([`Login::to_json`](crate::Login::to_json)). An exchange or a refresh fails before anything is sent.
    pub fn new_public(client_id: impl Into<String>) -> Self {
        let mut config = Config::new(client_id, "none");
        config.client_secret = Secret::new("");
        config
    }

    /// The log of this client. Without one, its lines go to the `log` crate, with the target `cmauth`. A client that has one
    /// shares no line with other clients of the process. Clones of this config share it.
    ///
    /// `log` is called for each line up to `level`, on any thread that makes a call of the client and on the threads of the
    /// library; several can call it at the same time. [`LevelFilter::Trace`](log::LevelFilter::Trace) counts as `Debug`. No line
    /// contains a secret.
    ///
    /// ```
    /// let mut config = cmauth::Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    /// config.set_log(log::LevelFilter::Info, |level, line| eprintln!("recorder 7: {level} {line}"));
    /// ```
    pub fn set_log(
        &mut self,
        level: log::LevelFilter,
        log: impl Fn(log::Level, &str) + Send + Sync + 'static,
    ) -> &mut Self {
        self.log = Some(Logger::new(level, log));
        self
    }

    /// The base URL of the server. Default: [`DEFAULT_BASE_URL`]. It must be https://. For tests, http:// is allowed
    /// for a loopback host.
    ///
    /// It has a host, and can have a port from 1 to 65535 and a path, to which the paths of the API are added. It has no user
    /// name, query or fragment. Write a host name that is not ASCII as punycode (`xn--…`), and an IPv6 address in brackets:
    /// `https://[2001:db8::1]:8443/prefix`.
    pub fn set_base_url(&mut self, base_url: &str) -> &mut Self {
        match url::parse_base_url(base_url) {
            Ok(base_url) => self.base_url = base_url,
            Err(problem) => self.reject("base_url", problem),
        }
        self
    }

    /// Another origin that may get the access token of a user: `"https://media.example:8443"`. Without it, only URLs of the
    /// origin (scheme, host and port) of the base URL may. It must be https://, or http:// for a loopback host. Call this once
    /// for each origin. See [`Client::check_url`](crate::Client::check_url).
    pub fn allow_origin(&mut self, origin: &str) -> &mut Self {
        match Origin::parse(origin) {
            Ok(origin) => self.allowed_origins.push(origin),
            Err(problem) => self.reject("allow_origin", problem),
        }
        self
    }

    /// The scope to request: `"write"` (default, as in the guide), `"read"`, or any other; separate several by one space each.
    pub fn set_scope(&mut self, scope: &str) -> &mut Self {
        match check_scope(scope) {
            Ok(()) => self.scope = scope.to_owned(),
            Err(problem) => self.reject("scope", problem),
        }
        self
    }

    /// The timeout of a whole call, retries included. Default: 30 s; at most a day.
    pub fn set_timeout(&mut self, timeout: Duration) -> &mut Self {
        match check_timeout(timeout) {
            Ok(()) => self.timeout = timeout,
            Err(problem) => self.reject("timeout", problem),
        }
        self
    }

    /// The timeout for making one connection: name lookup, all addresses together, proxy and TLS. Default: 10 s; at
    /// most a day.
    pub fn set_connect_timeout(&mut self, timeout: Duration) -> &mut Self {
        match check_timeout(timeout) {
            Ok(()) => self.connect_timeout = timeout,
            Err(problem) => self.reject("connect_timeout", problem),
        }
        self
    }

    /// A PEM file with the root certificates to trust in place of the system's. Making the client reads it.
    pub fn set_ca_file(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        if let Err(problem) = check_path(&path) {
            self.reject("ca_file", problem);
        } else {
            self.ca_file = Some(path);
        }
        self
    }

    /// A PEM file with root certificates to trust in addition. Making the client reads it. Call this once for each
    /// file.
    pub fn add_ca_file(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        if let Err(problem) = check_path(&path) {
            self.reject("add_ca_file", problem);
        } else {
            self.added_ca_files.push(path);
        }
        self
    }

    /// The proxy. `None` (default) takes it from the environment, and `""` uses none. Otherwise it is a URL:
    /// `http://[user:password@]host:port`, `https://…`, `socks5://…`, `socks4://…`. With `socks5://` and `socks4://`
    /// this machine looks up the server's name; with `socks5h://` and `socks4a://` the proxy does.
    ///
    /// Making the client reads the environment, as curl does. The proxy is the first of `https_proxy`, `HTTPS_PROXY`,
    /// `all_proxy` and `ALL_PROXY` that is not empty. If that is not the URL of a proxy,
    /// [`Client::new`](crate::Client::new) fails. `HTTP_PROXY` is ignored: an http:// base URL is on this machine and
    /// needs no proxy.
    ///
    /// `no_proxy`, or else `NO_PROXY`, lists the servers that need no proxy. It is `*`, for all servers, or a list with
    /// commas:
    /// - `example.com`: this host and its subdomains; a dot before or after it changes nothing
    /// - `10.1.2.3`, `10.0.0.0/8`, `::1`, `[::1]`, `2001:db8::/32`: an address, or a network
    /// - `example.com:8443`: the same, for this port alone
    ///
    /// curl ignores entries with ports, and Python's urllib ignores networks. This library reads both. Like those two,
    /// it knows no wildcard but the single `*`.
    pub fn set_proxy(&mut self, proxy: Option<&str>) -> &mut Self {
        match proxy {
            None => self.proxy = ProxyChoice::FromEnvironment,
            Some("") => self.proxy = ProxyChoice::None,
            Some(url) => match proxy::check(url) {
                Ok(()) => self.proxy = ProxyChoice::Url(Secret::new(url)),
                Err(problem) => self.reject("proxy", problem),
            },
        }
        self
    }

    /// The name and version of your product. The `User-Agent` header has it after `libcmauth/x.y.z`.
    pub fn set_user_agent(&mut self, product: &str) -> &mut Self {
        match check_text(product) {
            Ok(()) if product.len() > 1000 => self.reject("user_agent", "it is longer than 1000 bytes"),
            Ok(()) if product.is_ascii() => {
                self.user_agent = concat!("libcmauth/", env!("CARGO_PKG_VERSION"), " ").to_owned();
                self.user_agent.push_str(product);
            }
            Ok(()) => self.reject("user_agent", "a header can carry ASCII only"),
            Err(problem) => self.reject("user_agent", problem),
        }
        self
    }

    /// How often a refresh or logout is retried after a network failure, a 5xx or a 429. Default: 2; at most 10; 0:
    /// never.
    pub fn set_max_retries(&mut self, max_retries: u32) -> &mut Self {
        if max_retries > MAX_RETRIES {
            self.reject("max_retries", format!("{max_retries} is more than {MAX_RETRIES}"));
        } else {
            self.max_retries = max_retries;
        }
        self
    }

    /// Where a token request has its parameters. `false` (default): in the query, as in the guide. `true`: in a form
    /// body, as in RFC 6749, where fewer logs record them.
    pub fn set_params_in_body(&mut self, in_body: bool) -> &mut Self {
        self.params_in_body = in_body;
        self
    }

    /// Records that the value for `setting` is bad. Only the first record counts.
    pub(crate) fn reject(&mut self, setting: &str, problem: impl fmt::Display) {
        if self.first_error.is_none() {
            self.first_error = Some(Error::invalid_argument(setting, problem));
        }
    }

    /// Reports the first bad value that a setter was given, as [`Client::new`](crate::Client::new) does.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument), with the name of the setting and the remedy.
    pub fn check(&self) -> Result<(), Error> {
        self.first_error.clone().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("base_url", &self.base_url)
            .field("scope", &self.scope)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_retries", &self.max_retries)
            .field("allowed_origins", &self.allowed_origins)
            .field("params_in_body", &self.params_in_body)
            .finish_non_exhaustive()
    }
}

fn check_path(path: &Path) -> Result<(), &'static str> {
    if path.as_os_str().is_empty() {
        Err(EMPTY)
    } else if path.to_string_lossy().contains(char::is_control) {
        // Not quoted: it may be the content of the file, with a key in it.
        Err("it has a control character; give the path of the file, not its content")
    } else {
        Ok(())
    }
}

fn check_timeout(timeout: Duration) -> Result<(), String> {
    if timeout.is_zero() {
        Err("it is 0; give at least a millisecond".to_owned())
    } else if timeout > MAX_TIMEOUT {
        Err(format!("{} s is more than a day", timeout.as_secs()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        Config::new("id", "hunter2")
    }

    fn problem_of(config: &Config) -> String {
        config.check().unwrap_err().message().to_owned()
    }

    #[test]
    fn each_bad_value_is_reported_with_the_name_of_its_setting() {
        type Set = fn(&mut Config);
        let cases: &[(&str, Set)] = &[
            ("client_id: ", |c| *c = Config::new("", "hunter2")),
            ("client_id: ", |c| *c = Config::new("a:b", "hunter2")),
            ("client_id: ", |c| *c = Config::new("a\n", "hunter2")),
            ("client_secret: ", |c| *c = Config::new("id", "")),
            ("client_secret: ", |c| *c = Config::new("id", "hunter2\n")),
            ("base_url: ", |c| _ = c.set_base_url("http://example.com")),
            ("scope: ", |c| _ = c.set_scope("")),
            ("timeout: ", |c| _ = c.set_timeout(Duration::ZERO)),
            ("timeout: ", |c| _ = c.set_timeout(Duration::from_secs(86_401))),
            ("connect_timeout: ", |c| _ = c.set_connect_timeout(Duration::ZERO)),
            ("ca_file: ", |c| _ = c.set_ca_file("")),
            ("add_ca_file: ", |c| _ = c.add_ca_file("")),
            ("proxy: ", |c| _ = c.set_proxy(Some("hunter2://host"))),
            ("proxy: a host without a port", |c| _ = c.set_proxy(Some("foo"))),
            ("proxy: the port", |c| _ = c.set_proxy(Some("http://foo:0"))),
            ("scope: it begins or ends with a space", |c| _ = c.set_scope(" write")),
            ("scope: it begins or ends with a space", |c| _ = c.set_scope("write ")),
            ("scope: it begins or ends with a space", |c| _ = c.set_scope("read  write")),
            ("user_agent: ", |c| _ = c.set_user_agent("a\r\nb")),
            ("user_agent: ", |c| _ = c.set_user_agent("é")),
            ("user_agent: ", |c| _ = c.set_user_agent(&"x".repeat(1001))),
            ("max_retries: ", |c| _ = c.set_max_retries(11)),
        ];
        for (beginning, set) in cases {
            let mut config = good();
            set(&mut config);
            let problem = problem_of(&config);
            assert!(problem.starts_with(beginning), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn the_first_bad_value_is_reported() {
        let mut config = good();
        config.set_scope("").set_timeout(Duration::ZERO).set_scope("read");
        assert!(problem_of(&config).starts_with("scope: "));
    }

    #[test]
    fn good_values_are_accepted() {
        let mut config = good();
        config
            .set_base_url("https://example.com/")
            .set_scope("read write")
            .set_timeout(Duration::from_secs(86_400))
            .set_proxy(Some("http://user:hunter2@host:3128"))
            .set_user_agent("Recorder/1.0")
            .set_max_retries(10)
            .set_max_retries(0);
        config.check().unwrap();
        assert_eq!(config.base_url, "https://example.com");
        assert!(config.user_agent.starts_with("libcmauth/"));
        assert!(config.user_agent.ends_with(" Recorder/1.0"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut config = good();
        config.set_proxy(Some("http://user:hunter2@host:3128"));
        let shown = format!("{config:?}");
        assert!(shown.contains("client_id") && !shown.contains("hunter2"), "{shown}");
    }
}
