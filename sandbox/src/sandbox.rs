//! One running server: [`Sandbox`]. It lives on a thread of its own and ends when it is dropped.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::accept;
use crate::faults::{Planned, Script, gate};
use crate::http::{Received, Shared};
use crate::options::Options;
use crate::tls::Authority;

/// A running stand-in server, on 127.0.0.1 only. Dropping it stops it.
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
        let control = options.control_port.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).transpose()?;
        let mut control_url = None;
        if let Some(control) = &control {
            control.set_nonblocking(true)?;
            control_url = Some(format!("http://{}", control.local_addr()?));
        }
        let (gate, orders) = gate::gate();
        let faults = Script::new(options.tls, gate);
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
            runtime.spawn(accept::run(listener, orders, acceptor, served));
            // Ends when the sandbox drops its half. Leaving drops the runtime, and with it every open connection.
            let _ = runtime.block_on(stopped);
        })?;
        // An error: nobody accepts, and then there is no fault either.
        let _ = wait.recv();
        Ok(Sandbox { url, control_url, ca_pem, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: `https://localhost:PORT` with TLS, else `http://127.0.0.1:PORT`. No slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority to trust, as PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Where the handles for tests answer whatever faults there are: `http://127.0.0.1:PORT`; `None` without
    /// [`Options::control_port`].
    pub fn control_url(&self) -> Option<&str> {
        self.control_url.as_deref()
    }

    /// What is to go wrong next, in this order, in place of what was to; an empty list clears it. In effect when this
    /// returns.
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
    /// A fault of TLS in a sandbox without, or a number of times for one of the listener; nothing is changed then.
    pub fn set_faults(&self, faults: &[Planned]) -> io::Result<()> {
        let (done, wait) = mpsc::channel();
        let set = self.shared.faults.set(faults, move || _ = done.send(()));
        set.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        // An error: nobody accepts any more.
        let _ = wait.recv();
        Ok(())
    }

    /// Logs the first user in at the first client, with the scope write, without pages: the code that the redirect
    /// would have.
    ///
    /// # Panics
    /// If it was started without a user or without a client.
    pub fn make_code(&self, redirect_uri: &str) -> String {
        self.make_code_with_scope(redirect_uri, "write")
    }

    /// [`make_code`](Self::make_code), for a user who allowed `scope`, whatever the client asked for: several are
    /// separated by blanks.
    ///
    /// # Panics
    /// As for [`make_code`](Self::make_code).
    pub fn make_code_with_scope(&self, redirect_uri: &str, scope: &str) -> String {
        self.shared.state().make_first_code(redirect_uri, scope)
    }

    /// Whether an access token is good now. An expired one is deleted by looking, as a request to the API does it.
    pub fn accepts(&self, access_token: &str) -> bool {
        let now = self.shared.clock.now();
        self.shared.state().check_access_token(access_token, now).is_ok()
    }

    /// How many connections were made so far, those of the handles not counted.
    pub fn connections(&self) -> usize {
        self.shared.connections()
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
