//! [`Loopback`]: the login of a desktop program in one call (RFC 8252, section 7.3). The browser is redirected to a port of this
//! machine. `Loopback` waits for it there, shows the result in a page, and finishes the login.
//!
//! The thread that waits does all the work. It polls its connections every [`POLL_INTERVAL`] without blocking, because browsers
//! open connections on which they send nothing. Other programs of this machine can open any number of connections. Therefore a
//! connection is read as soon as it is accepted, and is closed in favour of another one only after it had time to send a
//! request. Further connections wait in the listen queue of the operating system.

mod connection;
mod page;

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::client::Client;
use crate::error::{Error, Status};
use crate::logging;
use crate::login::Login;
use crate::tokens::Tokens;
use connection::{Connection, Head, connection_to_close};
use page::{Page, PageTexts};

pub use page::PageText;

/// How often the connections are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The same while many connections arrive, so that the short listen queue has room for the browser.
const BUSY_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Maximum number of open connections. Browsers need a few; the rest is for a program that floods the port. Each takes a file
/// descriptor.
const MAX_CONNECTIONS: usize = 256;

/// Maximum number of connections that are accepted before all are polled again.
const MAX_ACCEPTS_PER_POLL: usize = 64;

/// A connection is closed if its request is not complete after this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A login in progress that waits for its browser on this machine. It listens on 127.0.0.1, which other machines cannot reach.
/// Several logins can run at once, each on its own port.
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
    /// Locked by the thread that waits. `None` after the login is finished and the port closed.
    listener: Mutex<Option<TcpListener>>,
    page: Mutex<PageTexts>,
    /// The first bad value that the program has set.
    first_error: Mutex<Option<Error>>,
    cancel: Cancel,
}

impl Loopback {
    /// Begins a login whose redirect URI is `http://127.0.0.1:PORT/`, and listens on that port. Port 0 selects a free port. If the
    /// API key is registered with a fixed redirect URI, use the port of that URI. Sends nothing.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the port is in use or not permitted.
    pub fn listen(client: &Client, port: u16) -> Result<Loopback, Error> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.port(), listener))
        });
        let (port, listener) = listening.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Error::invalid_argument("port", format!("{port} is in use; give 0 for a free one")),
            _ => Error::invalid_argument("port", format!("cannot listen on {port}: {error}")),
        })?;
        Ok(Loopback {
            login: Login::new(client, &format!("http://127.0.0.1:{port}/"))?,
            client: client.clone(),
            port,
            listener: Mutex::new(Some(listener)),
            page: Mutex::default(),
            first_error: Mutex::default(),
            cancel: Cancel::new(),
        })
    }

    /// The login. Open its URL in the user's browser.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The port of the redirect URI.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the text of the page that the browser shows after a successful login. Plain text; line breaks are kept.
    pub fn set_message(&self, text: &str) {
        self.set_page(PageText::Success, text);
    }

    /// Sets a text of the page that the browser shows after [`wait`](Self::wait). Plain text; line breaks are kept in
    /// [`Success`](PageText::Success) and [`Failure`](PageText::Failure). Without it, the page is in English and names no product.
    /// `wait` reports a [`Language`](PageText::Language) that is not a language tag.
    pub fn set_page(&self, key: PageText, text: &str) {
        let set = self.page.lock().unwrap_or_else(PoisonError::into_inner).set(key, text);
        if let Err(problem) = set {
            self.reject("language", problem);
        }
    }

    /// Records that a value is bad. [`wait`](Self::wait) reports the first one.
    pub(crate) fn reject(&self, name: &str, problem: &str) {
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| Error::invalid_argument(name, problem));
    }

    /// Waits until the browser is redirected to the port, and finishes the login. Then the port is closed. Any other request
    /// (another state, no code, another method) gets the response 400, and the wait continues.
    ///
    /// `timeout` limits the wait for the browser. The exchange of the code has the timeout of the client in addition.
    ///
    /// # Errors
    /// [`Timeout`](Status::Timeout): no redirect arrived; the wait can be repeated. [`Cancelled`](Status::Cancelled):
    /// [`cancel`](Self::cancel) or [`Client::cancel`] was called. [`InvalidArgument`](Status::InvalidArgument): another thread
    /// waits, the login is already finished, or [`set_page`](Self::set_page) was given a bad value. Otherwise as for [`Login::finish`].
    pub fn wait(&self, timeout: Duration) -> Result<Tokens, Error> {
        self.client.logged(|| self.wait_logged(timeout))
    }

    fn wait_logged(&self, timeout: Duration) -> Result<Tokens, Error> {
        if let Some(error) = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        let Ok(mut guard) = self.listener.try_lock() else {
            return Err(Error::invalid_argument("login", "another thread waits for it"));
        };
        if self.cancel.is_cancelled() {
            *guard = None;
            return Err(cancelled());
        }
        let Some(listener) = &*guard else {
            return Err(Error::invalid_argument("login", "it is already finished; begin a new one"));
        };
        let result = self.cancel.scope(|| self.serve(listener, timeout)).map_err(|error| {
            let by_cancel = error.status() == Status::Cancelled && self.cancel.is_cancelled();
            if by_cancel { cancelled().with_request_sent(error.request_sent()) } else { error }
        });
        if !self.login.is_open() || self.cancel.is_cancelled() {
            *guard = None;
        }
        if let Err(error) = &result {
            logging::warning!("login: {}: {error}", error.status().name());
        }
        result
    }

    /// Cancels [`wait`](Self::wait) from another thread, within 100 ms, which closes the port. Later calls of `wait` fail at once.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    fn serve(&self, listener: &TcpListener, timeout: Duration) -> Result<Tokens, Error> {
        logging::info!("login: waiting for the browser on port {}", self.port);
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
            while accepted < MAX_ACCEPTS_PER_POLL {
                let full = connections.len() == MAX_CONNECTIONS;
                // If no connection can be closed yet, the next one waits in the listen queue.
                let closable = full.then(|| connection_to_close(&connections));
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
            let pause = if accepted == MAX_ACCEPTS_PER_POLL { BUSY_POLL_INTERVAL } else { POLL_INTERVAL };
            self.client.cancellation().sleep(pause.min(left))?;
        }
    }

    /// Reads from a connection. Responds if its request is complete, otherwise adds it to `waiting`. Returns the result of the
    /// login if the request is the redirect.
    fn advance(&self, mut connection: Connection, waiting: &mut Vec<Connection>) -> Option<Result<Tokens, Error>> {
        match connection.read() {
            Head::Incomplete => waiting.push(connection),
            Head::Closed => {}
            Head::Malformed => connection.respond(Page::BadRequest),
            Head::Complete => {
                let result = self.handle_request(connection);
                if result.is_none() {
                    logging::info!("login: received a request that is not the redirect; still waiting");
                }
                return result;
            }
        }
        None
    }

    /// Responds to a request. Returns the result of the login if the request is the redirect.
    fn handle_request(&self, connection: Connection) -> Option<Result<Tokens, Error>> {
        let target = match connection.target(self.port) {
            Some(target) => target,
            None => {
                connection.respond(Page::BadRequest);
                return None;
            }
        };
        let result = match self.login.code_from_redirect(&target) {
            Ok(code) => self.login.exchange(&code),
            Err(error) if matches!(error.status(), Status::StateMismatch | Status::InvalidArgument) => {
                connection.respond(Page::BadRequest);
                return None;
            }
            Err(error) => Err(error),
        };
        let texts = self.page.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.respond(match &result {
            Ok(_) => Page::LoggedIn(texts),
            Err(error) if error.status() == Status::AccessDenied => Page::Denied(texts),
            Err(_) => Page::Failed(texts),
        });
        Some(result)
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").field("login", &self.login).finish_non_exhaustive()
    }
}

fn cancelled() -> Error {
    Error::new(Status::Cancelled, "the login was cancelled", "begin a new one")
}
