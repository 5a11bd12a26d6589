//! The login of a desktop program in one call (RFC 8252, section 7.3): the browser comes back to a port of this machine,
//! where [`Loopback`] waits for it, says in a page how it went, and finishes the login.
//!
//! One thread serves: the one that waits. It looks at its few connections every [`POLL`], for browsers open some on which
//! they say nothing, and there must be no waiting for those.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::LOG;
use crate::client::Client;
use crate::error::{Error, Status};
use crate::interrupt::interruptible;
use crate::login::Login;
use crate::tokens::Tokens;
use crate::wipe::Zeroizing;

/// How often connections are looked at.
const POLL: Duration = Duration::from_millis(20);

/// As many connections as a browser opens at most, and some of others.
const MOST_VISITORS: usize = 32;

/// What a browser sends with a redirect is a tenth of that.
const LONGEST_HEAD: usize = 16 * 1024;

/// A page fits into the system's buffer; this is for one that somebody does not read.
const WRITING: Duration = Duration::from_secs(1);

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
        let mut visitors: Vec<Visitor> = Vec::new();
        loop {
            while let Ok((stream, _)) = listener.accept() {
                if visitors.len() == MOST_VISITORS {
                    visitors.remove(0);
                }
                visitors.extend(Visitor::new(stream));
            }
            let mut silent = Vec::new();
            for mut visitor in visitors {
                match visitor.hear() {
                    Heard::Nothing => silent.push(visitor),
                    Heard::End => {}
                    Heard::Nonsense => visitor.answer(Page::NotForUs),
                    Heard::Request => match self.receive(visitor) {
                        Some(result) => return result,
                        None => log::info!(target: LOG, "login: a visitor that is not the redirect; waiting on"),
                    },
                }
            }
            visitors = silent;
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::new(
                    Status::Timeout,
                    format!("the browser did not come back within {} s", timeout.as_secs_f64()),
                    "wait again, or log in again",
                ));
            }
            self.client.pause(POLL.min(left))?;
        }
    }

    /// Answers a request; with what the login gives, if it is the redirect.
    fn receive(&self, visitor: Visitor) -> Option<Result<Tokens, Error>> {
        let target = match visitor.target(self.port) {
            Some(target) => target,
            None => {
                visitor.answer(Page::NotForUs);
                return None;
            }
        };
        let result = match self.login.code_of(&target) {
            Ok(code) => self.login.exchange(&code),
            Err(error) if matches!(error.status(), Status::StateMismatch | Status::InvalidArgument) => {
                visitor.answer(Page::NotForUs);
                return None;
            }
            Err(error) => Err(error),
        };
        let message = self.message.lock().unwrap_or_else(PoisonError::into_inner).clone();
        visitor.answer(match &result {
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

/// A connection to the port, and what it has said so far.
struct Visitor {
    stream: TcpStream,
    /// Wiped, for there can be a code in it.
    head: Zeroizing<Vec<u8>>,
}

enum Heard {
    /// Not all of a request yet.
    Nothing,
    Request,
    Nonsense,
    /// It is gone.
    End,
}

impl Visitor {
    fn new(stream: TcpStream) -> Option<Visitor> {
        stream.set_nonblocking(true).ok()?;
        // In one piece: growing would leave copies behind.
        Some(Visitor { stream, head: Zeroizing::new(Vec::with_capacity(LONGEST_HEAD)) })
    }

    /// Reads what is there.
    fn hear(&mut self) -> Heard {
        let mut piece = zeroize::Zeroizing::new([0; 2048]);
        loop {
            let room = piece.len().min(LONGEST_HEAD - self.head.len());
            if room == 0 {
                return Heard::Nonsense;
            }
            match self.stream.read(&mut piece[..room]) {
                Ok(0) => return Heard::End,
                Ok(amount) => self.head.extend_from_slice(&piece[..amount]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::End,
            }
            match httparse::Request::new(&mut [httparse::EMPTY_HEADER; 100]).parse(&self.head) {
                Ok(httparse::Status::Complete(_)) => return Heard::Request,
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Heard::Nonsense,
            }
        }
    }

    /// What a GET of our page asks for; `None` for any other request. A name in `Host` is refused: a page of a stranger
    /// whose name leads here (DNS rebinding) is none of ours.
    fn target(&self, port: u16) -> Option<Zeroizing<String>> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&self.head).ok()?;
        let target = request.path.filter(|path| request.method == Some("GET") && path.starts_with("/?"))?;
        let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
        let host = hosts.next()?.value;
        let ours = host == format!("127.0.0.1:{port}").as_bytes() || (port == 80 && host == b"127.0.0.1");
        (ours && hosts.next().is_none()).then(|| Zeroizing::new(target.to_owned()))
    }

    /// Says how it went, and goodbye. Whether that arrives changes nothing.
    fn answer(mut self, page: Page) {
        let page = page.to_http();
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(WRITING));
        let _ = self.stream.write_all(page.as_bytes());
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

/// What the browser shows in the end. Nothing of what was sent is in it.
enum Page {
    LoggedIn(Option<String>),
    Denied,
    Failed,
    NotForUs,
}

impl Page {
    fn to_http(&self) -> String {
        let (status, title, text) = match self {
            Page::LoggedIn(text) => {
                ("200 OK", "Logged in", text.as_deref().unwrap_or("You are logged in.\nYou can close this page."))
            }
            Page::Denied => ("200 OK", "Not logged in", "You did not allow the access.\nYou can close this page."),
            Page::Failed => ("200 OK", "Not logged in", "The login did not work.\nThe program that began it says why."),
            Page::NotForUs => ("400 Bad Request", "Not this page", "Nobody waits for this address."),
        };
        let mark = if matches!(self, Page::LoggedIn(_)) { "&#10003;" } else { "!" };
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>{STYLE}</style>\n<main>\n<p class=\"mark\" aria-hidden=\"true\">{mark}</p>\n<h1>{}</h1>\n</main>\n</html>\n",
            escaped(text)
        );
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n\
             X-Frame-Options: DENY\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#eef1f5;--card:#fff;--text:#1b2430;--line:#c3cad4;--accent:#0b5cad}\
@media(prefers-color-scheme:dark){:root{--page:#12171e;--card:#1c232d;--text:#e8ecf2;--line:#4a5666;--accent:#7db8f5}}\
body{margin:0;min-height:100vh;display:flex;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:min(26rem,calc(100% - 2rem));margin:auto;padding:2rem;text-align:center;\
background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
.mark{margin:0 auto 1rem;width:3rem;height:3rem;border-radius:50%;font:bold 1.5rem/3rem system-ui,sans-serif;\
color:var(--card);background:var(--accent)}\
h1{margin:0;font-size:1.15rem;font-weight:500;overflow-wrap:anywhere;white-space:pre-line}";

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
