//! One running server: [`Sandbox`]. It runs on its own thread until it is dropped.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::accept;
use crate::faults::{FaultQueue, Planned, listener};
use crate::http::{Received, Shared};
use crate::options::Options;
use crate::tls::Authority;

/// A running mock server, on 127.0.0.1 only. Dropping it stops it.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    control_url: Option<String>,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a server. Returns when it listens.
    ///
    /// # Errors
    /// The port is in use, or an option is unusable: a client id with `:`, an empty user name, a folder whose certificate
    /// authority cannot be read.
    pub fn start(options: Options) -> io::Result<Sandbox> {
        check(&options)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let authority = options.tls.then(|| Authority::new(options.ca_dir.as_deref())).transpose()?;
        let (url, ca_pem, acceptor) = match authority {
            Some(made) => (format!("https://localhost:{port}"), Some(made.ca_pem), Some(made.acceptor)),
            None => (format!("http://127.0.0.1:{port}"), None, None),
        };
        let control = options.control_port.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).transpose()?;
        let mut control_url = None;
        if let Some(control) = &control {
            control.set_nonblocking(true)?;
            control_url = Some(format!("http://{}", control.local_addr()?));
        }
        let (state, changes) = listener::state_channel();
        let faults = FaultQueue::new(options.tls, state);
        let (in_effect, wait) = mpsc::channel();
        let set = faults.set(&options.faults, move || _ = in_effect.send(()));
        set.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let shared = Arc::new(Shared::new(&options, faults));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name("cmauth-sandbox".into()).spawn(move || {
            if let Some(control) = control {
                runtime.spawn(accept::run_control(control, Arc::clone(&served)));
            }
            runtime.spawn(accept::run(listener, changes, acceptor, served));
            // This ends when the sandbox is dropped. It drops the runtime, which closes every connection.
            let _ = runtime.block_on(stopped);
        })?;
        // An error means that the thread has ended; then no fault can happen.
        let _ = wait.recv();
        Ok(Sandbox { url, control_url, ca_pem, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The base URL, without a slash at the end: `https://localhost:PORT` with TLS, else `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority to trust, as PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The base URL of the control API's own port, which faults do not affect: `http://127.0.0.1:PORT`. `None` without
    /// [`Options::control_port`].
    pub fn control_url(&self) -> Option<&str> {
        self.control_url.as_deref()
    }

    /// Replaces the queue of faults. They happen in this order. An empty list clears the queue.
    ///
    /// The new queue is in effect when this returns.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use cmauth_sandbox::{Fault, Options, Sandbox};
    ///
    /// let sandbox = Sandbox::start(Options::default())?;
    /// sandbox.set_faults(&[Fault::Status503.times(2), Fault::CutBody.once()])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A fault needs TLS, which the sandbox does not have, or a fault of the listener has a number of times. The queue
    /// stays as it was.
    pub fn set_faults(&self, faults: &[Planned]) -> io::Result<()> {
        let (done, wait) = mpsc::channel();
        let set = self.shared.faults.set(faults, move || _ = done.send(()));
        set.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        // An error means that the thread has ended.
        let _ = wait.recv();
        Ok(())
    }

    /// An authorization code without a login: the first user allows the first client the scope write.
    ///
    /// # Panics
    /// If the sandbox has no user or no client.
    pub fn make_code(&self, redirect_uri: &str) -> String {
        self.make_code_with_scope(redirect_uri, "write")
    }

    /// As [`make_code`](Self::make_code), but the user allows `scope`: one scope, or several with spaces between them.
    ///
    /// # Panics
    /// As for [`make_code`](Self::make_code).
    pub fn make_code_with_scope(&self, redirect_uri: &str, scope: &str) -> String {
        self.shared.state().make_first_code(redirect_uri, scope)
    }

    /// Whether an access token is valid now. This deletes an expired token, as a request to the API does.
    pub fn accepts(&self, access_token: &str) -> bool {
        let now = self.shared.clock.now();
        self.shared.state().check_access_token(access_token, now).is_ok()
    }

    /// How many connections the server accepted so far, without those to the port of the control API.
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// Moves the server's clock forward. Tokens expire by that clock.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// The requests so far, in the order of their arrival, without those to the control API.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.received().clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has printed its panic already; another panic here would hide it.
            let _ = thread.join();
        }
    }
}

fn check(options: &Options) -> io::Result<()> {
    let bad = |words: String| Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    for client in &options.clients {
        if client.id.is_empty() || client.id.contains(':') {
            return bad(format!("the client id {:?} is empty or contains ':', which ends the id in Basic", client.id));
        }
    }
    for user in &options.users {
        if user.name.is_empty() {
            return bad("a user name is empty".into());
        }
    }
    Ok(())
}
