//! The part of a client that belongs to one process: its connections, and the switch that ends its calls.
//!
//! A forked child makes its own. It must not use its parent's connections, nor wait for a lock that another thread of its parent
//! held at the fork.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, SocksConnector};

use super::connector::{LazyResolver, PRUNE_URL, PoolMiss, ServerConnector};
use super::idle;
use super::settings::Settings;
use super::tls;
use crate::cancel::Cancellation;

/// The connections of a client in one process.
pub(super) struct Process {
    pub(super) agent: Agent,
    pub(super) cancellation: Cancellation,
    pub(super) max_idle_age: Duration,
    /// Each open connection holds it, and so does the connector.
    open: Weak<()>,
}

impl Process {
    /// For the process that makes the client.
    pub(super) fn first(settings: &Settings) -> Arc<Process> {
        Process::new(settings, settings.tls.clone())
    }

    /// For a forked child. It is cancelled if that of its parent is.
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
            let connector = PoolMiss.chain(SocksConnector::default()).chain(ConnectProxyConnector::default()).chain(
                ServerConnector {
                    has_proxy: settings.config.proxy().is_some(),
                    tls,
                    cancellation: cancellation.clone(),
                    process: process.clone(),
                    open: open.clone(),
                },
            );
            let resolver = LazyResolver { cancellation: cancellation.clone() };
            let agent = Agent::with_parts(settings.config.clone(), connector, resolver);
            Process { agent, cancellation, max_idle_age: settings.max_idle_age, open: Arc::downgrade(&open) }
        })
    }

    /// Whether a connection is open, in use or idle.
    pub(super) fn has_connections(&self) -> bool {
        self.open.strong_count() > 1
    }

    /// Closes the connections that have been idle for too long.
    pub(super) fn close_idle(&self) {
        // ureq does this only when a request takes a connection from the pool. `PoolMiss` ends this request there.
        let _ = self.agent.get(PRUNE_URL).config().proxy(None).https_only(false).build().call();
    }

    /// Ends all calls, also later ones. A call that reads or writes ends because its socket is shut down.
    pub(super) fn cancel(&self) {
        self.cancellation.cancel();
        self.agent.clone().shutdown();
        idle::notify();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        idle::notify();
    }
}
