//! What one process uses of a client: connections, and the switch that ends the calls on them.
//!
//! The child of a fork makes its own: it must neither touch its parent's connections, nor wait for a lock that another
//! thread of its parent may have held when it was made.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, SocksConnector};

use super::connector::{LazyResolver, LinkConnector, NOWHERE, NewConnection};
use super::idle;
use super::tls;
use crate::cancel::Cancellation;

/// What a [`Process`] is made from.
pub(super) struct Settings {
    pub(super) config: ureq::config::Config,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// How long a connection that is not used stays open.
    pub(super) kept_for: Duration,
}

pub(super) struct Process {
    pub(super) agent: Agent,
    pub(super) cancellation: Cancellation,
    pub(super) kept_for: Duration,
    /// Each open connection holds it, and so does the connector.
    open: Weak<()>,
}

impl Process {
    /// What the process uses that makes the client.
    pub(super) fn first(settings: &Settings) -> Arc<Process> {
        Process::new(settings, settings.tls.clone())
    }

    /// What a child of a fork uses; cancelled if its parent's is.
    pub(super) fn child_of(parent: &Process, settings: &Settings) -> Arc<Process> {
        let child = Process::new(settings, settings.tls.as_deref().map(tls::for_child).map(Arc::new));
        if parent.cancellation.is_cancelled() {
            child.cancel();
        }
        child
    }

    fn new(settings: &Settings, tls: Option<Arc<rustls::ClientConfig>>) -> Arc<Process> {
        Arc::new_cyclic(|process| {
            let (cancellation, open) = (Cancellation::default(), Arc::new(()));
            let connector = NewConnection
                .chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(LinkConnector {
                    has_proxy: settings.config.proxy().is_some(),
                    tls,
                    cancellation: cancellation.clone(),
                    process: process.clone(),
                    open: open.clone(),
                });
            let resolver = LazyResolver { cancellation: cancellation.clone() };
            let agent = Agent::with_parts(settings.config.clone(), connector, resolver);
            Process { agent, cancellation, kept_for: settings.kept_for, open: Arc::downgrade(&open) }
        })
    }

    /// Whether a connection is open, in use or kept.
    pub(super) fn has_connections(&self) -> bool {
        self.open.strong_count() > 1
    }

    /// Closes the connections that were kept for too long.
    pub(super) fn close_idle(&self) {
        // ureq does it when a request wants a connection, and in no other way; this request ends there.
        let _ = self.agent.get(NOWHERE).config().proxy(None).https_only(false).build().call();
    }

    /// Ends all calls, also later ones. A call that reads or writes ends because its socket is shut down.
    pub(super) fn cancel(&self) {
        self.cancellation.cancel();
        self.agent.clone().shutdown();
        idle::look_again();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        idle::look_again();
    }
}
