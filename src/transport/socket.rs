//! A TCP socket whose reads and writes end at a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::NextTimeout;

use crate::cancel::{check_interval, is_interrupted};

/// A patience that the next call will have too, so that the system need not be told again: the largest power of two, in
/// milliseconds, that is no longer. Whoever waits for longer looks at the clock, and goes on.
fn rounded(left: Duration) -> Duration {
    match left.as_millis() as u64 {
        short @ 0..64 => Duration::from_millis(short + 1),
        long => Duration::from_millis(1 << long.ilog2()),
    }
}

/// A TCP socket whose reads and writes end at a deadline.
pub(super) struct Socket {
    /// Shared with the handle by which ureq's agent shuts it down from another thread.
    stream: Arc<TcpStream>,
    /// The process that made the connection.
    process: u32,
    deadline: Option<Instant>,
    /// What ureq wants to be told when the deadline passes.
    reason: ureq::Timeout,
    /// The patience that the system was told, for reads and for writes.
    read_patience: Option<Duration>,
    write_patience: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Socket {
            stream,
            process: std::process::id(),
            deadline: None,
            reason: ureq::Timeout::Global,
            read_patience: None,
            write_patience: None,
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: NextTimeout) {
        self.deadline =
            if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) };
        self.reason = timeout.reason;
    }

    /// Open, and the other side has sent nothing.
    pub(super) fn is_quiet(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let quiet = matches!(&peeked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        quiet && self.stream.set_nonblocking(false).is_ok()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A forked child has the connection open too, and does not use it: without this it would live as long as the
        // child. And the child, when it frees what it inherited, leaves its parent's alone.
        if self.process == std::process::id() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Runs one read or write, each time with what is left of the time, until it is done or the deadline passes. `told` is
/// the patience that the system knows.
fn within(
    deadline: Option<Instant>,
    reason: ureq::Timeout,
    told: &mut Option<Duration>,
    set: impl Fn(Option<Duration>) -> io::Result<()>,
    mut run: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::Error::other(ureq::Error::Timeout(reason)));
        }
        let slice = check_interval();
        let patience = [left, slice].into_iter().flatten().min().map(rounded);
        if *told != patience {
            set(patience)?;
            *told = patience;
        }
        match run() {
            // A signal, or the time is up: the next round tells.
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
                    && patience.is_some() =>
            {
                if is_interrupted() {
                    return Err(io::Error::other("interrupted"));
                }
            }
            done => return done,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        let set = |patience| self.stream.set_read_timeout(patience);
        within(self.deadline, self.reason, &mut self.read_patience, set, || stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        let set = |patience| self.stream.set_write_timeout(patience);
        within(self.deadline, self.reason, &mut self.write_patience, set, || stream.write(bytes))
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
    fn a_connection_ends_though_a_forked_child_has_it_open_and_a_child_ends_none_of_its_parent_s() {
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
