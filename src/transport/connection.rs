//! One connection to the server, as ureq's `Transport`: TCP or the tunnel of a proxy, with TLS for an https URL.
//!
//! `connector` makes connections; ureq uses and pools them. ureq hands over the head and the body of a request one after the
//! other. A connection keeps them until ureq waits for the response, and sends them together. It notes in [`Progress`] how far
//! the request went.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConnection;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport, TransportAdapter};

use super::buffers::WipedBuffers;
use super::progress::Progress;
use super::socket::Socket;
use crate::wipe::Zeroizing;

/// A connection in use or in the pool.
pub(super) struct Connection {
    stream: Stream,
    tls: Option<Box<ClientConnection>>,
    buffers: WipedBuffers,
    /// It carries the request itself, not a request to a proxy. Only then does it change the [`Progress`].
    to_server: bool,
    /// What ureq has written and the connection has not sent yet.
    unsent: Zeroizing<Vec<u8>>,
    /// Counts the open connections of the process.
    _open: Arc<()>,
}

impl Connection {
    /// A connection over `stream`. If there is `tls`, this does the handshake. The connection holds `open` until it is closed.
    pub(super) fn open(
        mut stream: Stream,
        mut tls: Option<Box<ClientConnection>>,
        buffers: WipedBuffers,
        timeout: NextTimeout,
        to_server: bool,
        open: Arc<()>,
    ) -> Result<Connection, ureq::Error> {
        stream.set_timeout(timeout);
        if let Some(tls) = &mut tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut stream)?;
            }
        }
        Ok(Connection { stream, tls, buffers, to_server, unsent: Zeroizing::default(), _open: open })
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
                None => self.stream.write(rest)?,
                Some(tls) => tls.writer().write(rest)?,
            };
            if taken == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            rest = &rest[taken..];
            match &mut self.tls {
                None => Progress::note(to_server, |progress| progress.request_sent = true),
                Some(tls) => {
                    while tls.wants_write() {
                        tls.write_tls(&mut self.stream)?;
                        Progress::note(to_server, |progress| progress.request_sent = true);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        // ureq rejects a request whose URL or header does not fit.
        self.buffers.ensure_output(Progress::get().max_request_len);
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.take_output(amount, &mut self.unsent);
        Ok(())
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if let Some(deadline) = Progress::get().body_deadline {
            timeout.after = deadline.saturating_duration_since(Instant::now()).min(*timeout.after).into();
        }
        self.stream.set_timeout(timeout);
        self.send_unsent()?;
        let input = self.buffers.input_append_buf();
        let amount = match &mut self.tls {
            None => self.stream.read(input)?,
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.stream).read(input)?,
        };
        self.buffers.input_appended(amount);
        if amount > 0 {
            Progress::note(self.to_server, |progress| progress.response_begun = true);
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            // A close_notify can have arrived together with the last response. TCP alone then looks open.
            let Ok(state) = tls.process_new_packets() else {
                return false;
            };
            if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 {
                return false;
            }
        }
        self.unsent.is_empty() && self.stream.is_idle()
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// The bytes of a connection: over a socket of this library, or over the tunnel that one of ureq's proxy connectors made.
pub(super) enum Stream {
    Socket(Socket),
    Tunnel(TransportAdapter),
}

impl Stream {
    fn set_timeout(&mut self, timeout: NextTimeout) {
        match self {
            Stream::Socket(socket) => socket.set_timeout(timeout),
            Stream::Tunnel(tunnel) => tunnel.set_timeout(timeout),
        }
    }

    /// Whether it is open and the other side has sent nothing.
    fn is_idle(&mut self) -> bool {
        match self {
            Stream::Socket(socket) => socket.is_idle(),
            Stream::Tunnel(tunnel) => tunnel.get_mut().is_open(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Socket(socket) => socket.read(buffer),
            Stream::Tunnel(tunnel) => tunnel.read(buffer),
        }
    }
}

impl Write for Stream {
    // No `write_vectored`: for sockets, std's raises SIGPIPE and `write` does not.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Socket(socket) => socket.write(bytes),
            Stream::Tunnel(tunnel) => tunnel.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
