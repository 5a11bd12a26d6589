//! How far the request of this thread's call went, which decides what may be sent again.
//!
//! `link` notes it, `mod` reads it. ureq runs a call on the thread that made it and has no other way to tell its caller
//! what a transport did.

use std::cell::Cell;
use std::time::Instant;

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
    pub(super) body_until: Option<Instant>,
}

thread_local! {
    static PROGRESS: Cell<Progress> = const {
        Cell::new(Progress { size: 0, dialled: false, sent: false, answered: false, body_until: None })
    };
}

impl Progress {
    /// Keeps the progress of an outer call until the inner call on this thread has ended. A call runs inside another one if the
    /// interruption check of the other makes calls, such as a signal handler in Python.
    pub(super) fn keep_outer() -> OuterProgress {
        OuterProgress(PROGRESS.get())
    }

    /// Begins with a request of at most `size` bytes.
    pub(super) fn begin(size: usize) {
        PROGRESS.set(Progress { size, ..Progress::default() });
    }

    pub(super) fn get() -> Progress {
        PROGRESS.get()
    }

    /// Notes what happened on a link, if it carries the request.
    pub(super) fn note(to_server: bool, change: impl FnOnce(&mut Progress)) {
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

/// Restores the progress that it holds when it is dropped.
pub(super) struct OuterProgress(Progress);

impl Drop for OuterProgress {
    fn drop(&mut self) {
        PROGRESS.set(self.0);
    }
}
