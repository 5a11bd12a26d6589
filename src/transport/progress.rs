//! How far the request of this thread's call went. That decides whether it may be sent again.
//!
//! `connection` and `connector` write it; `Transport::send` reads it. ureq runs a call on the thread that made it, and has no
//! other way to report what a connection did.

use std::cell::Cell;
use std::time::Instant;

/// The call that this thread is making.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// An upper bound for the bytes of head and body.
    pub(super) max_request_len: usize,
    /// The pool had no connection, so a new one was begun. It may have failed.
    pub(super) new_connection: bool,
    /// At least one byte of the request was handed to the network.
    pub(super) request_sent: bool,
    /// At least one byte of the response came.
    pub(super) response_begun: bool,
    /// The call waits no longer than this for the body of the response.
    pub(super) body_deadline: Option<Instant>,
}

thread_local! {
    static PROGRESS: Cell<Progress> = const {
        Cell::new(Progress {
            max_request_len: 0,
            new_connection: false,
            request_sent: false,
            response_begun: false,
            body_deadline: None,
        })
    };
}

impl Progress {
    /// Keeps the progress of an outer call until the inner call on this thread has ended. A call runs inside another one if the
    /// interruption check of the other makes calls, such as a signal handler in Python.
    pub(super) fn keep_outer() -> OuterProgress {
        OuterProgress(PROGRESS.get())
    }

    /// Begins with a request of at most `max_request_len` bytes.
    pub(super) fn begin(max_request_len: usize) {
        PROGRESS.set(Progress { max_request_len, ..Progress::default() });
    }

    pub(super) fn get() -> Progress {
        PROGRESS.get()
    }

    /// Notes what happened on a connection, if that carries the request itself.
    pub(super) fn note(to_server: bool, change: impl FnOnce(&mut Progress)) {
        if to_server {
            let mut progress = PROGRESS.get();
            change(&mut progress);
            PROGRESS.set(progress);
        }
    }

    /// A new connection is begun.
    pub(super) fn set_new_connection() {
        PROGRESS.set(Progress { new_connection: true, ..PROGRESS.get() });
    }

    /// A connection is ready. What was sent before (to a proxy, or in a handshake) was not the request.
    pub(super) fn set_connected() {
        PROGRESS.set(Progress { request_sent: false, response_begun: false, ..PROGRESS.get() });
    }

    /// Limits the wait for the body of this response.
    pub(super) fn set_body_deadline(deadline: Instant) {
        PROGRESS.set(Progress { body_deadline: Some(deadline), ..PROGRESS.get() });
    }
}

/// Restores the progress that it holds when it is dropped.
pub(super) struct OuterProgress(Progress);

impl Drop for OuterProgress {
    fn drop(&mut self) {
        PROGRESS.set(self.0);
    }
}
