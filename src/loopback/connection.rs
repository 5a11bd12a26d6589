//! One connection to the port of a login: reads a request, answers it with a page. Never waits for what is sent.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::page::Page;
use crate::wipe::Zeroizing;

/// If there is no room, a connection is closed that has sent nothing for this long. A browser that opens a connection for
/// its request sends that at once.
const MAX_SILENCE: Duration = Duration::from_millis(200);

/// The same for one that has sent a part of a request, however often it sends a little more.
const MAX_PART: Duration = Duration::from_secs(2);

/// What a browser sends with a redirect is a tenth of that.
const MAX_HEAD: usize = 16 * 1024;

/// A page fits into the system's buffer; this is for one that somebody does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection to close if there is no room for another: those that have sent nothing come first. `None` if each of
/// them still has time.
pub(super) fn longest_silent(connections: &[Connection]) -> Option<usize> {
    let over = |connection: &Connection| {
        let limit = if connection.head.is_empty() { MAX_SILENCE } else { MAX_PART };
        connection.opened.elapsed() >= limit
    };
    let closable = connections.iter().enumerate().filter(|(_, connection)| over(connection));
    closable.min_by_key(|(_, connection)| (!connection.head.is_empty(), connection.opened)).map(|(index, _)| index)
}

/// A connection to the port, and what it has sent so far.
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) opened: Instant,
    /// Wiped, for there can be a code in it.
    head: Zeroizing<Vec<u8>>,
}

/// What has been read of a request's head.
pub(super) enum Head {
    Incomplete,
    Complete,
    Malformed,
    /// The other side has closed the connection.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Option<Connection> {
        stream.set_nonblocking(true).ok()?;
        Some(Connection { stream, opened: Instant::now(), head: Zeroizing::default() })
    }

    /// Reads what has arrived.
    pub(super) fn read(&mut self) -> Head {
        let mut piece = zeroize::Zeroizing::new([0; 2048]);
        loop {
            let room = piece.len().min(MAX_HEAD - self.head.len());
            if room == 0 {
                return Head::Malformed;
            }
            match self.stream.read(&mut piece[..room]) {
                Ok(0) => return Head::Closed,
                Ok(amount) => {
                    // In one piece: growing would leave copies behind.
                    let room = MAX_HEAD - self.head.len();
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

    /// What a GET of our page asks for; `None` for any other request. A name in `Host` is refused: a page of a stranger
    /// whose name leads here (DNS rebinding) is none of ours.
    pub(super) fn target(&self, port: u16) -> Option<Zeroizing<String>> {
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
    pub(super) fn answer(mut self, page: Page) {
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
    fn the_connection_that_is_closed_for_another_is_silent_and_had_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // What it has sent, and how many milliseconds ago that, or its beginning, was.
        let closed = |connections: &[(&str, u64)]| {
            let connection = |(head, ago): &(&str, u64)| {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let mut connection = Connection::new(stream).unwrap();
                connection.head.extend_from_slice(head.as_bytes());
                connection.opened = connection.opened.checked_sub(Duration::from_millis(*ago)).unwrap();
                connection
            };
            longest_silent(&connections.iter().map(connection).collect::<Vec<_>>())
        };
        assert_eq!(closed(&[]), None);
        assert_eq!(closed(&[("", 0), ("GET", 1000)]), None);
        assert_eq!(closed(&[("", 250), ("", 300), ("", 0), ("GET", 1000)]), Some(1));
        assert_eq!(closed(&[("GET", 3000), ("", 250), ("", 0)]), Some(1));
        assert_eq!(closed(&[("", 0), ("GET", 3000), ("GET", 4000), ("GET", 1000)]), Some(2));
    }
}
