//! One connection to the server: TCP or a proxy's tunnel, with TLS where the URL has it, as ureq's `Transport`.
//!
//! `connector` makes links, ureq uses and keeps them. A link writes a request at once: ureq hands over head and body
//! one after the other, and the link holds them back until the answer is wanted. It tells [`Progress`] how far the
//! request went, which decides what may be sent again.

use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport, TransportAdapter};

use super::buffers::WipedBuffers;
use crate::interrupt;
use crate::wipe::Zeroizing;

/// The call that this thread is making: how large its request is, and how far it went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Bytes that head and body may need at most.
    pub(super) size: usize,
    /// No kept connection was there: a new one was begun, whatever became of it.
    pub(super) dialled: bool,
    /// At least one byte of it was handed to the network.
    pub(super) sent: bool,
    /// At least one byte of the answer came.
    pub(super) answered: bool,
    /// Its body is not worth waiting for any longer than this.
    body_until: Option<Instant>,
}

thread_local! {
    // ureq runs a call on the thread that made it and has no other way to tell its caller what a transport did.
    static PROGRESS: Cell<Progress> = const {
        Cell::new(Progress { size: 0, dialled: false, sent: false, answered: false, body_until: None })
    };
}

impl Progress {
    /// Begins with a request of at most `size` bytes.
    pub(super) fn begin(size: usize) {
        PROGRESS.set(Progress { size, ..Progress::default() });
    }

    pub(super) fn get() -> Progress {
        PROGRESS.get()
    }

    /// Notes what happened on a link, if it carries the request.
    fn note(to_server: bool, change: impl FnOnce(&mut Progress)) {
        if to_server {
            let mut progress = PROGRESS.get();
            change(&mut progress);
            PROGRESS.set(progress);
        }
    }

    /// A new connection is begun.
    pub(super) fn set_dialled() {
        PROGRESS.set(Progress { dialled: true, ..PROGRESS.get() });
    }

    /// A connection is ready: whatever was sent before (to a proxy, in a handshake) was not the request.
    pub(super) fn set_connected() {
        PROGRESS.set(Progress { sent: false, answered: false, ..PROGRESS.get() });
    }

    /// Reads of the rest of this answer end then.
    pub(super) fn set_body_until(until: Instant) {
        PROGRESS.set(Progress { body_until: Some(until), ..PROGRESS.get() });
    }
}

/// [`interrupt::is_asked`], whoever is asked may make calls of its own (a signal handler in Python).
pub(super) fn is_asked_to_end() -> bool {
    let progress = PROGRESS.get();
    let asked = interrupt::is_asked();
    PROGRESS.set(progress);
    asked
}

/// A connection in use or kept.
pub(super) struct Link {
    wire: Wire,
    tls: Option<Box<ClientConnection>>,
    buffers: WipedBuffers,
    /// It carries the request itself, and not what is said to a proxy: what happens on it is progress.
    to_server: bool,
    /// What ureq wrote and is not sent yet.
    unsent: Zeroizing<Vec<u8>>,
}

impl Link {
    /// A link over `wire`; with `tls`, the handshake is done before this returns.
    pub(super) fn open(
        mut wire: Wire,
        mut tls: Option<Box<ClientConnection>>,
        buffers: WipedBuffers,
        timeout: NextTimeout,
        to_server: bool,
    ) -> Result<Link, ureq::Error> {
        wire.set_timeout(timeout);
        if let Some(tls) = &mut tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut wire)?;
            }
        }
        Ok(Link { wire, tls, buffers, to_server, unsent: Zeroizing::default() })
    }

    fn send_unsent(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let to_server = self.to_server;
        let unsent = std::mem::take(&mut self.unsent);
        let mut rest: &[u8] = &unsent;
        while !rest.is_empty() {
            let taken = match &mut self.tls {
                None => self.wire.write(rest)?,
                Some(tls) => tls.writer().write(rest)?,
            };
            if taken == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            rest = &rest[taken..];
            match &mut self.tls {
                None => Progress::note(to_server, |progress| progress.sent = true),
                Some(tls) => {
                    while tls.wants_write() {
                        tls.write_tls(&mut self.wire)?;
                        Progress::note(to_server, |progress| progress.sent = true);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Transport for Link {
    fn buffers(&mut self) -> &mut dyn Buffers {
        // ureq refuses a request whose URL or header does not fit.
        self.buffers.ensure_output(Progress::get().size);
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.take_output(amount, &mut self.unsent);
        Ok(())
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if let Some(until) = Progress::get().body_until {
            timeout.after = until.saturating_duration_since(Instant::now()).min(*timeout.after).into();
        }
        self.wire.set_timeout(timeout);
        self.send_unsent()?;
        let input = self.buffers.input_append_buf();
        let amount = match &mut self.tls {
            None => self.wire.read(input)?,
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.wire).read(input)?,
        };
        self.buffers.input_appended(amount);
        if amount > 0 {
            Progress::note(self.to_server, |progress| progress.answered = true);
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            // A close_notify can have come in together with the last answer: then TCP alone looks open.
            let Ok(state) = tls.process_new_packets() else {
                return false;
            };
            if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 {
                return false;
            }
        }
        self.unsent.is_empty() && self.wire.is_quiet()
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// Where a link's bytes go: a socket of ours, or the tunnel that one of ureq's proxy connectors made.
pub(super) enum Wire {
    Socket(Socket),
    Tunnel(TransportAdapter),
}

impl Wire {
    fn set_timeout(&mut self, timeout: NextTimeout) {
        match self {
            Wire::Socket(socket) => socket.set_timeout(timeout),
            Wire::Tunnel(tunnel) => tunnel.set_timeout(timeout),
        }
    }

    /// Open, and the other side has sent nothing.
    fn is_quiet(&mut self) -> bool {
        match self {
            Wire::Socket(socket) => socket.is_quiet(),
            Wire::Tunnel(tunnel) => tunnel.get_mut().is_open(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Socket(socket) => socket.read(buffer),
            Wire::Tunnel(tunnel) => tunnel.read(buffer),
        }
    }
}

impl Write for Wire {
    // No `write_vectored`: std's for sockets raises SIGPIPE, `write` does not.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Socket(socket) => socket.write(bytes),
            Wire::Tunnel(tunnel) => tunnel.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    deadline: Option<Instant>,
    /// What ureq wants to be told when the deadline passes.
    reason: ureq::Timeout,
    /// The patience that the system was told, for reads and for writes.
    read_patience: Option<Duration>,
    write_patience: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Socket { stream, deadline: None, reason: ureq::Timeout::Global, read_patience: None, write_patience: None }
    }

    fn set_timeout(&mut self, timeout: NextTimeout) {
        self.deadline =
            if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) };
        self.reason = timeout.reason;
    }

    fn is_quiet(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let quiet = matches!(&peeked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        quiet && self.stream.set_nonblocking(false).is_ok()
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
        let slice = interrupt::slice();
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
                if is_asked_to_end() {
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
