//! What one process uses of a client: connections, and the switch that ends the calls on them.
//!
//! The child of a fork makes its own: it must neither touch its parent's connections, nor wait for a lock that another
//! thread of its parent may have held when it was made.

use std::sync::Arc;

use ureq::Agent;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, SocksConnector};

use super::connector::{LazyResolver, LinkConnector, NewConnection};
use super::stop::Stop;
use super::tls;

/// What a [`Process`] is made from.
pub(super) struct Settings {
    pub(super) config: ureq::config::Config,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
}

pub(super) struct Process {
    pub(super) agent: Agent,
    pub(super) stop: Stop,
}

impl Process {
    /// What the process uses that makes the client.
    pub(super) fn first(settings: &Settings) -> Arc<Process> {
        Process::new(settings, settings.tls.clone())
    }

    /// What a child of a fork uses; cancelled if its parent's is.
    pub(super) fn child_of(parent: &Process, settings: &Settings) -> Arc<Process> {
        let child = Process::new(settings, settings.tls.as_deref().map(tls::for_child).map(Arc::new));
        if parent.stop.is_set_for_all() {
            child.stop();
        }
        child
    }

    fn new(settings: &Settings, tls: Option<Arc<rustls::ClientConfig>>) -> Arc<Process> {
        let stop = Stop::default();
        let connector = NewConnection
            .chain(SocksConnector::default())
            .chain(ConnectProxyConnector::default())
            .chain(LinkConnector { has_proxy: settings.config.proxy().is_some(), tls, stop: stop.clone() });
        let resolver = LazyResolver { stop: stop.clone() };
        let agent = Agent::with_parts(settings.config.clone(), connector, resolver);
        Arc::new(Process { agent, stop })
    }

    /// Ends all calls, those to come included.
    pub(super) fn stop(&self) {
        self.stop.set();
        self.agent.clone().shutdown();
    }
}
