//! The login of a desktop program in one call (RFC 8252, section 7.3): the browser comes back to a port of this machine,
//! where [`Loopback`] waits for it, says in a page how it went, and finishes the login.
//!
//! One thread serves: the one that waits. It reads from its few connections every [`POLL`], for browsers open some on which
//! they send nothing, and there must be no waiting for those. Any program of this machine can open connections, too, as
//! many as it likes. So a connection is read as soon as it is accepted, is closed to make room only after it had time to
//! send a request, and the system keeps further ones, with what they send, until there is room.

mod connection;
mod page;

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::LOG;
use crate::cancel::interruptible;
use crate::client::Client;
use crate::error::{Error, Status};
use crate::login::Login;
use crate::tokens::Tokens;
use connection::{Connection, Head, longest_silent};
use page::Page;

/// How often connections are read.
const POLL: Duration = Duration::from_millis(20);

/// The same while many come: their queue in the system is short, and a browser must find a place there.
const POLL_BUSY: Duration = Duration::from_millis(1);

/// As many are open at once: a browser's few, and those of somebody who floods the port. Each takes a file descriptor.
const MAX_CONNECTIONS: usize = 256;

/// As many are accepted before all are read again.
const MAX_ACCEPTED: usize = 64;

/// In this time a request must have come in any case.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A login under way that waits for its browser on this machine: listens on 127.0.0.1, which no other machine reaches.
/// Any number of them can run at once, each on a port of its own.
///
/// ```no_run
/// # fn open_browser(_: &str) {}
/// # fn main() -> Result<(), cmauth::Error> {
/// # let client = cmauth::Client::new(&cmauth::Config::new("cameramanager.test", "secret"))?;
/// let login = cmauth::Loopback::listen(&client, 0)?;
/// open_browser(login.login().url());
/// let tokens = login.wait(std::time::Duration::from_secs(300))?;
/// # Ok(())
/// # }
/// ```
pub struct Loopback {
    login: Login,
    client: Client,
    port: u16,
    /// Held by the one who waits; `None` once the login is finished and the port closed.
    listener: Mutex<Option<TcpListener>>,
    message: Mutex<Option<String>>,
    cancelled: Arc<AtomicBool>,
}

impl Loopback {
    /// Begins a login that comes back to `http://127.0.0.1:PORT/`, and listens there. Port 0 takes a free one, which
    /// the API key must allow: one that is registered with a fixed redirect URI needs its port. Sends nothing.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the port cannot be had.
    pub fn listen(client: &Client, port: u16) -> Result<Loopback, Error> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.port(), listener))
        });
        let (port, listener) = listening.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Error::invalid_argument("port", format!("{port} is in use; give 0 for a free one")),
            _ => Error::invalid_argument("port", format!("{port} cannot be listened on: {error}")),
        })?;
        Ok(Loopback {
            login: Login::new(client, &format!("http://127.0.0.1:{port}/"))?,
            client: client.clone(),
            port,
            listener: Mutex::new(Some(listener)),
            message: Mutex::new(None),
            cancelled: Arc::default(),
        })
    }

    /// The login itself: its URL is the page to open in the user's browser.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Where the browser comes back to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The words on the page that the browser shows after a login, in place of ours. Plain text; lines stay lines.
    pub fn set_message(&self, text: &str) {
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// Waits until the browser comes back, and finishes the login. Whatever else comes to the port (another state, no
    /// code, another method) is answered with 400, and the wait goes on. Then the port is closed.
    ///
    /// `timeout` is how long the browser is waited for; the exchange of the code has the client's own time after it.
    ///
    /// # Errors
    /// [`Timeout`](Status::Timeout): nobody came; wait again, or give up. [`Cancelled`](Status::Cancelled):
    /// [`cancel`](Self::cancel) or [`Client::cancel`]. [`InvalidArgument`](Status::InvalidArgument): another thread waits,
    /// or the login is finished. Else as for [`Login::finish`].
    pub fn wait(&self, timeout: Duration) -> Result<Tokens, Error> {
        let Ok(mut place) = self.listener.try_lock() else {
            return Err(Error::invalid_argument("login", "another thread waits for it"));
        };
        let Some(listener) = &*place else {
            return Err(Error::invalid_argument("login", "it is already finished; begin a new one"));
        };
        let cancelled = self.cancelled.clone();
        let result = interruptible(move || cancelled.load(Ordering::Acquire), || self.serve(listener, timeout));
        if !self.login.is_open() {
            *place = None;
        }
        if let Err(error) = &result {
            log::warn!(target: LOG, "login: {}: {error}", error.status().name());
        }
        result
    }

    /// Ends [`wait`](Self::wait) within 100 ms, and every later one at once; for another thread.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn serve(&self, listener: &TcpListener, timeout: Duration) -> Result<Tokens, Error> {
        log::info!(target: LOG, "login: waiting for the browser on port {}", self.port);
        let begun = Instant::now();
        let mut connections = Vec::new();
        loop {
            for connection in std::mem::take(&mut connections) {
                if let Some(result) = self.advance(connection, &mut connections) {
                    return result;
                }
            }
            connections.retain(|connection| connection.opened.elapsed() < HEAD_TIMEOUT);
            let mut accepted = 0;
            while accepted < MAX_ACCEPTED {
                let full = connections.len() == MAX_CONNECTIONS;
                let closable = full.then(|| longest_silent(&connections));
                if closable == Some(None) {
                    break;
                }
                let Ok((stream, _)) = listener.accept() else { break };
                accepted += 1;
                if let Some(index) = closable.flatten() {
                    connections.swap_remove(index);
                }
                let result = Connection::new(stream).and_then(|connection| self.advance(connection, &mut connections));
                if let Some(result) = result {
                    return result;
                }
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::new(
                    Status::Timeout,
                    format!("the browser did not come back within {} s", timeout.as_secs_f64()),
                    "wait again, or log in again",
                ));
            }
            let pause = if accepted == MAX_ACCEPTED { POLL_BUSY } else { POLL };
            self.client.cancellation().sleep(pause.min(left))?;
        }
    }

    /// Reads a connection, and answers it or puts it to those that are waited for. With what the login gives, if it
    /// brings the redirect.
    fn advance(&self, mut connection: Connection, waiting: &mut Vec<Connection>) -> Option<Result<Tokens, Error>> {
        match connection.read() {
            Head::Incomplete => waiting.push(connection),
            Head::Closed => {}
            Head::Malformed => connection.answer(Page::NotForUs),
            Head::Complete => {
                let result = self.receive(connection);
                if result.is_none() {
                    log::info!(target: LOG, "login: a request that is not the redirect; waiting on");
                }
                return result;
            }
        }
        None
    }

    /// Answers a request. With what the login gives, if it is the redirect.
    fn receive(&self, connection: Connection) -> Option<Result<Tokens, Error>> {
        let target = match connection.target(self.port) {
            Some(target) => target,
            None => {
                connection.answer(Page::NotForUs);
                return None;
            }
        };
        let result = match self.login.code_of(&target) {
            Ok(code) => self.login.exchange(&code),
            Err(error) if matches!(error.status(), Status::StateMismatch | Status::InvalidArgument) => {
                connection.answer(Page::NotForUs);
                return None;
            }
            Err(error) => Err(error),
        };
        let message = self.message.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.answer(match &result {
            Ok(_) => Page::LoggedIn(message),
            Err(error) if error.status() == Status::AccessDenied => Page::Denied,
            Err(_) => Page::Failed,
        });
        Some(result)
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").field("login", &self.login).finish_non_exhaustive()
    }
}
