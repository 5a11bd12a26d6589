//! The context of a callback: C's pointer, and the function that frees it.

use libc::c_void;

/// Frees the context of a callback. It is called exactly once, on any thread, when the library will not use the context again. It
/// must not call the library.
pub type cm_destroy_callback = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// A context and its `destroy`, which runs when this is dropped.
pub(crate) struct Context {
    context: *mut c_void,
    destroy: cm_destroy_callback,
}

// SAFETY: the library does not use the pointer; it passes it to the functions of the caller, who promises that any thread may call
// them.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(crate) fn new(context: *mut c_void, destroy: cm_destroy_callback) -> Context {
        Context { context, destroy }
    }

    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.context
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the caller promises this function; nothing uses the context later.
            unsafe { destroy(self.context) }
        }
    }
}
