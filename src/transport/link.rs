//! One connection to the server: TCP or a proxy's tunnel, with TLS where the URL has it, as ureq's `Transport`.
//!
//! `connector` makes links, ureq uses and keeps them. A link writes a request at once: ureq hands over head and body
//! one after the other, and the link holds them back until the answer is wanted. It notes in [`Progress`] how far the
//! request went.

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

/// A connection in use or kept.
pub(super) struct Link {
    wire: Wire,
    tls: Option<Box<ClientConnection>>,
    buffers: WipedBuffers,
    /// It carries the request itself, and not what is said to a proxy: what happens on it is progress.
    to_server: bool,
    /// What ureq wrote and is not sent yet.
    unsent: Zeroizing<Vec<u8>>,
    /// Tells that this connection is open.
    _open: Arc<()>,
}

impl Link {
    /// A link over `wire`; with `tls`, the handshake is done before this returns. It holds `open` until it is closed.
    pub(super) fn open(
        mut wire: Wire,
        mut tls: Option<Box<ClientConnection>>,
        buffers: WipedBuffers,
        timeout: NextTimeout,
        to_server: bool,
        open: Arc<()>,
    ) -> Result<Link, ureq::Error> {
        wire.set_timeout(timeout);
        if let Some(tls) = &mut tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut wire)?;
            }
        }
        Ok(Link { wire, tls, buffers, to_server, unsent: Zeroizing::default(), _open: open })
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
