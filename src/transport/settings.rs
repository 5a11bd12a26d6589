//! The settings of a transport: those of a [`Config`] as ureq and rustls take them.

use std::sync::Arc;
use std::time::Duration;

use super::idle;
use super::tls;
use crate::config::{Config, ProxyChoice};
use crate::error::Error;
use crate::proxy;
use crate::url;

/// The head of a response. ureq's default of 128 KiB for each buffer would be most of a process's memory.
const MAX_HEAD_LEN: usize = 16 * 1024;
const OUTPUT_BUFFER_LEN: usize = 4 * 1024;

/// Many threads of a recorder may refresh at once, each on a connection.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Servers of this kind close idle connections after 20 s or later.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_secs(15);

/// What the part of a client in each process is made from.
pub(super) struct Settings {
    pub(super) config: ureq::config::Config,
    /// `None` for an http:// base URL.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// How long an idle connection stays open.
    pub(super) max_idle_age: Duration,
}

impl Settings {
    /// Reads the CA files, the system's trusted root certificates and the environment's proxy.
    pub(super) fn new(config: &Config, max_idle_age: Duration) -> Result<Settings, Error> {
        let https = config.base_url.starts_with("https:");
        // An http:// base URL needs no certificates, so a system without any can use a loopback server.
        let tls = if https { Some(Arc::new(tls::settings(config)?)) } else { None };
        let proxy = match &config.proxy {
            ProxyChoice::None => None,
            // A proxy would carry secrets off this machine unencrypted.
            ProxyChoice::FromEnvironment if !https => None,
            ProxyChoice::FromEnvironment => proxy::from_environment(&config.base_url)?,
            ProxyChoice::Url(url) => {
                Some(proxy::parse(url.expose()).map_err(|problem| Error::invalid_argument("proxy", problem))?)
            }
        };
        if !https && proxy.as_ref().is_some_and(|proxy| !url::is_loopback(proxy.host())) {
            return Err(Error::invalid_argument(
                "proxy",
                "secrets cross a network over https:// only: set that base URL",
            ));
        }
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            .https_only(https)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .accept("application/json")
            .accept_encoding("")
            .user_agent(config.user_agent.as_str())
            .input_buffer_size(MAX_HEAD_LEN)
            .output_buffer_size(OUTPUT_BUFFER_LEN)
            .max_response_header_size(MAX_HEAD_LEN - 1)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            .max_idle_age(idle::max_reuse_age(max_idle_age))
            .build();
        Ok(Settings { config, tls, max_idle_age })
    }
}
