//! One running server: [`Sandbox`]. It lives on a thread of its own and ends when it is dropped.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::accept;
use crate::http::{Received, Shared};
use crate::options::Options;
use crate::tls::Authority;

/// A running stand-in server, on 127.0.0.1 only. Dropping it stops it.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a server and returns when it listens.
    ///
    /// # Errors
    /// The port is taken, or the options cannot be used (a client's id with `:`, an empty name).
    pub fn start(options: Options) -> io::Result<Sandbox> {
        check(&options)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let authority = options.tls.then(Authority::new).transpose()?;
        let (url, ca_pem, acceptor) = match authority {
            Some(made) => (format!("https://localhost:{port}"), Some(made.ca_pem), Some(made.acceptor)),
            None => (format!("http://127.0.0.1:{port}"), None, None),
        };
        let shared = Arc::new(Shared::new(&options));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name("cmauth-sandbox".into()).spawn(move || {
            runtime.spawn(accept::run(listener, acceptor, served));
            // Ends when the sandbox drops its half. Leaving drops the runtime, and with it every open connection.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Sandbox { url, ca_pem, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: `https://localhost:PORT` with TLS, else `http://127.0.0.1:PORT`. No slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority to trust, as PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Moves the server's clock forward. Everything that expires goes by that clock.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// The requests so far, in the order of their arrival; those to `/sandbox/…` are left out.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.received().clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already, and a second one here would hide it.
            let _ = thread.join();
        }
    }
}

fn check(options: &Options) -> io::Result<()> {
    let bad = |words: String| Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    for client in &options.clients {
        if client.id.is_empty() || client.id.contains(':') {
            return bad(format!("the client id {:?} is empty or has a ':', where Basic ends it", client.id));
        }
    }
    for user in &options.users {
        if user.name.is_empty() {
            return bad("a user's name is empty".into());
        }
    }
    Ok(())
}
