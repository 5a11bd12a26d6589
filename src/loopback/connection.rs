//! One connection to the port of a login. It reads a request without blocking, and responds with a page.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::page::Page;
use crate::wipe::Zeroizing;

/// A connection that has sent nothing is kept at least this long. Browsers open some connections before they need them, and send
/// a request at once when they have one.
const MIN_SILENT_TIME: Duration = Duration::from_millis(200);

/// A connection that has sent a part of a request is kept at least this long, however slowly it goes on sending.
const MIN_PARTIAL_TIME: Duration = Duration::from_secs(2);

/// Upper limit for a request. The request of a redirect is about a tenth of that.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// A page normally fits into the socket's send buffer. The timeout is for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection to close when the limit is reached and another one arrives. Connections that have sent nothing are closed
/// first. `None` if none of them may be closed yet.
pub(super) fn connection_to_close(connections: &[Connection]) -> Option<usize> {
    let is_closable = |connection: &Connection| {
        let limit = if connection.head.is_empty() { MIN_SILENT_TIME } else { MIN_PARTIAL_TIME };
        connection.opened.elapsed() >= limit
    };
    let closable = connections.iter().enumerate().filter(|(_, connection)| is_closable(connection));
    closable.min_by_key(|(_, connection)| (!connection.head.is_empty(), connection.opened)).map(|(index, _)| index)
}

/// A connection and what it has sent so far.
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) opened: Instant,
    /// Wiped when dropped, because it can contain a code.
    head: Zeroizing<Vec<u8>>,
}

/// State of the request.
pub(super) enum Head {
    Incomplete,
    Complete,
    Malformed,
    /// The client has closed the connection.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Option<Connection> {
        stream.set_nonblocking(true).ok()?;
        Some(Connection { stream, opened: Instant::now(), head: Zeroizing::default() })
    }

    /// Reads what has arrived, without blocking.
    pub(super) fn read(&mut self) -> Head {
        let mut piece = zeroize::Zeroizing::new([0; 2048]);
        loop {
            let room = piece.len().min(MAX_HEAD_LEN - self.head.len());
            if room == 0 {
                return Head::Malformed;
            }
            match self.stream.read(&mut piece[..room]) {
                Ok(0) => return Head::Closed,
                Ok(amount) => {
                    // The buffer must not grow later, because that would leave copies in memory.
                    let room = MAX_HEAD_LEN - self.head.len();
                    self.head.reserve_exact(room);
                    self.head.extend_from_slice(&piece[..amount]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Head::Incomplete,
                Err(_) => return Head::Closed,
            }
            match httparse::Request::new(&mut [httparse::EMPTY_HEADER; 100]).parse(&self.head) {
                Ok(httparse::Status::Complete(_)) => return Head::Complete,
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Head::Malformed,
            }
        }
    }

    /// The request target if this is a GET of the login's own address, otherwise `None`. The `Host` header must be the address
    /// 127.0.0.1: a host name could be that of a web page of an attacker (DNS rebinding).
    pub(super) fn target(&self, port: u16) -> Option<Zeroizing<String>> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&self.head).ok()?;
        let target = request.path.filter(|path| request.method == Some("GET") && path.starts_with("/?"))?;
        let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
        let host = hosts.next()?.value;
        let host_matches = host == format!("127.0.0.1:{port}").as_bytes() || (port == 80 && host == b"127.0.0.1");
        (host_matches && hosts.next().is_none()).then(|| Zeroizing::new(target.to_owned()))
    }

    /// Sends a page and closes the connection. Errors do not matter: the result of the login is the same.
    pub(super) fn respond(mut self, page: Page) {
        let page = page.to_http();
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let _ = self.stream.write_all(page.as_bytes());
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn the_oldest_silent_connection_is_closed_first_and_only_after_its_minimum_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // For each connection: what it has sent, and how many milliseconds ago it was opened.
        let closed = |connections: &[(&str, u64)]| {
            let connection = |(head, ago): &(&str, u64)| {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let mut connection = Connection::new(stream).unwrap();
                connection.head.extend_from_slice(head.as_bytes());
                connection.opened = connection.opened.checked_sub(Duration::from_millis(*ago)).unwrap();
                connection
            };
            connection_to_close(&connections.iter().map(connection).collect::<Vec<_>>())
        };
        assert_eq!(closed(&[]), None);
        assert_eq!(closed(&[("", 0), ("GET", 1000)]), None);
        assert_eq!(closed(&[("", 250), ("", 300), ("", 0), ("GET", 1000)]), Some(1));
        assert_eq!(closed(&[("GET", 3000), ("", 250), ("", 0)]), Some(1));
        assert_eq!(closed(&[("", 0), ("GET", 3000), ("GET", 4000), ("GET", 1000)]), Some(2));
    }
}
