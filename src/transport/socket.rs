//! [`Socket`]: a TCP socket whose reads and writes end at a deadline, or soon after the call is interrupted.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::NextTimeout;

use crate::cancel::{check_interval, is_interrupted};

/// A TCP socket whose reads and writes end at a deadline.
pub(super) struct Socket {
    /// Shared with the handle by which ureq's agent shuts it down from another thread.
    stream: Arc<TcpStream>,
    /// The process that made the connection.
    process: u32,
    deadline: Option<Instant>,
    /// ureq's timeout that set the deadline. ureq expects it in the error after the deadline.
    reason: ureq::Timeout,
    /// The socket options SO_RCVTIMEO and SO_SNDTIMEO, as they are set now.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Socket {
            stream,
            process: std::process::id(),
            deadline: None,
            reason: ureq::Timeout::Global,
            read_timeout: None,
            write_timeout: None,
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: NextTimeout) {
        self.deadline =
            if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) };
        self.reason = timeout.reason;
    }

    /// Whether it is open and the other side has sent nothing. ureq checks this when it puts a connection into its
    /// pool, and again when it takes it out.
    #[cfg(unix)]
    pub(super) fn is_idle(&self) -> bool {
        use rustix::io::Errno;
        use rustix::net::{RecvFlags, recv};

        let peeked = recv(&*self.stream, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(Errno::WOULDBLOCK))
    }

    /// The same with std alone, which takes three system calls.
    #[cfg(not(unix))]
    pub(super) fn is_idle(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let is_idle = matches!(&peeked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        is_idle && self.stream.set_nonblocking(false).is_ok()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A forked child has the connection open, too, and does not use it. Without the shutdown, the connection would
        // live as long as the child. The child, when it frees what it inherited, must not shut down the connection of
        // its parent.
        if self.process == std::process::id() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Runs one read or write until it is done, the deadline passes or the call is interrupted. `current` is the timeout
/// that the socket has for it now (see [`Socket::read_timeout`]); `set` changes it.
fn until_deadline(
    deadline: Option<Instant>,
    reason: ureq::Timeout,
    current: &mut Option<Duration>,
    set: impl Fn(Option<Duration>) -> io::Result<()>,
    mut run: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::Error::other(ureq::Error::Timeout(reason)));
        }
        let timeout = [left, check_interval()].into_iter().flatten().min().map(rounded);
        if *current != timeout {
            set(timeout)?;
            *current = timeout;
        }
        match run() {
            // A signal, or the timeout of the system, which is shorter than the time left: try again.
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
                    && timeout.is_some() =>
            {
                if is_interrupted() {
                    return Err(io::Error::other("interrupted"));
                }
            }
            done => return done,
        }
    }
}

/// Rounds a timeout down to a power of two, in milliseconds; a short one up to whole milliseconds. Consecutive calls
/// then use the same timeout, which saves a setsockopt.
fn rounded(timeout: Duration) -> Duration {
    match timeout.as_millis() as u64 {
        short @ 0..64 => Duration::from_millis(short + 1),
        long => Duration::from_millis(1 << long.ilog2()),
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        let set = |timeout| self.stream.set_read_timeout(timeout);
        until_deadline(self.deadline, self.reason, &mut self.read_timeout, set, || stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        let set = |timeout| self.stream.set_write_timeout(timeout);
        until_deadline(self.deadline, self.reason, &mut self.write_timeout, set, || stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_is_idle_until_the_other_side_sends_or_closes_and_its_reads_still_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let socket = Socket::new(Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap()));
            (socket, listener.accept().unwrap().0)
        };
        // Nothing else tells the test when bytes have arrived.
        let wait_while_idle = |socket: &Socket| {
            let begun = Instant::now();
            while socket.is_idle() {
                assert!(begun.elapsed() < Duration::from_secs(20));
            }
        };
        let (mut socket, mut server) = connect();
        assert!(socket.is_idle() && socket.is_idle());
        let reader = std::thread::spawn(move || (socket.read(&mut [0; 2]).unwrap(), socket));
        server.write_all(b"a").unwrap();
        let (amount, socket) = reader.join().unwrap();
        assert_eq!(amount, 1);
        assert!(socket.is_idle());
        server.write_all(b"b").unwrap();
        wait_while_idle(&socket);

        let (socket, server) = connect();
        drop(server);
        wait_while_idle(&socket);
    }

    #[test]
    fn dropping_a_socket_ends_its_connection_and_in_a_forked_child_it_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for in_child in [false, true] {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let other = stream.try_clone().unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let mut socket = Socket::new(Arc::new(stream));
            if in_child {
                socket.process += 1;
            }
            drop(socket);
            server.set_read_timeout(Some(Duration::from_millis(if in_child { 1 } else { 5000 }))).unwrap();
            let read = server.read(&mut [0]).map_err(|error| error.kind());
            assert_eq!(read, if in_child { Err(ErrorKind::WouldBlock) } else { Ok(0) });
            drop(other);
        }
    }
}
