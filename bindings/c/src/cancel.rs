//! Cancel. You need it to end one call and not the whole client, for example when a user presses Cancel in a dialog.
//! Set it for the thread that makes the call. Any thread, or a signal handler, can then end the call.

use std::cell::RefCell;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use cmauth::Cancel;
use cmauth::bindings::set_cancel_scope;

use crate::guard;

/// Ends calls from outside: those that a thread makes in the scope of this handle.
pub struct cm_cancel {
    cancel: Cancel,
}

/// Makes a handle that is not cancelled.
///
/// @return the handle
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_cancel_new() -> *mut cm_cancel {
    guard::value(null_mut(), || Arc::into_raw(Arc::new(cm_cancel { cancel: Cancel::new() })).cast_mut())
}

/// Frees a cancel handle, which may still be the scope of a thread. Make sure that no other thread and no signal handler calls
/// `cm_cancel_now` at the same time or later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_cancel_free(cancel: *mut cm_cancel) {
    if !cancel.is_null() {
        // SAFETY: not NULL, so it came from Arc::into_raw in cm_cancel_new and was not freed.
        guard::value((), || drop(unsafe { Arc::from_raw(cancel) }));
    }
}

/// Ends the calls in the scope of this handle. They return `CM_STATUS_CANCELLED` within 100 ms, with the exceptions that
/// `cm_client_cancel` has. Later calls in its scope return it at once. The client and its other calls go on.
///
/// The handle stays cancelled: make a new one for the next call. It does not depend on a client, so you may call this
/// after the client was freed.
///
/// A signal handler may call this function, and no other: it is one atomic store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_cancel_now(cancel: *const cm_cancel) {
    // No `guard`: catching a panic is not safe in a signal handler. This cannot panic.
    // SAFETY: the handle follows the header's rules.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.cancel.cancel();
    }
}

/// Makes the calls of the calling thread end when this handle is cancelled, until the next call of this function on the same
/// thread. The calls of callbacks on this thread count as well. A refresh that a thread of the library makes for other
/// callers goes on.
///
///     cm_cancel_scope(cancel);
///     status = cm_session_logout(session, &error);
///     cm_cancel_scope(NULL);
///
/// @param cancel  the handle; NULL: ends the scope
/// @return the handle that was set before on this thread, to restore it; NULL if there was none, or if it was freed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_cancel_scope(cancel: *const cm_cancel) -> *const cm_cancel {
    thread_local! {
        static SCOPE: RefCell<Option<Arc<cm_cancel>>> = const { RefCell::new(None) };
    }
    guard::value(null(), || {
        let handle = (!cancel.is_null()).then(|| {
            // SAFETY: not NULL, so it came from Arc::into_raw in cm_cancel_new and was not freed. The scope gets a count of
            // its own.
            unsafe {
                Arc::increment_strong_count(cancel);
                Arc::from_raw(cancel)
            }
        });
        set_cancel_scope(handle.as_ref().map(|handle| handle.cancel.clone()));
        let before = SCOPE.replace(handle);
        // If the scope has the only count, the handle was freed.
        before.filter(|before| Arc::strong_count(before) > 1).map_or(null(), |before| Arc::as_ptr(&before))
    })
}
