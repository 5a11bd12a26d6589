//! Handles that C may free at any time, also while calls use them: client, login, store and session.
//!
//! Such a handle points to a [`Cell`], which holds the value by an [`Arc`]. A call takes the value from the cell when it begins,
//! and keeps it until it ends. The memory of a cell is never returned to the system, so that a call that begins too late finds an
//! empty cell and fails. A cell is used again, but only after [`QUARANTINE`] others of its type were freed.
//!
//! Nothing here takes a lock, because a forked child could inherit it locked.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use cmauth::Error;
use cmauth::bindings::invalid_argument;

use crate::guard;

/// How many cells must be freed after a cell before it is used again.
const QUARANTINE: usize = 1024;

/// A type of handle.
pub(crate) trait Handle: Sized + 'static {
    type Value;
    fn new(cell: Cell<Self>) -> Self;
    fn cell(&self) -> &Cell<Self>;
    fn pool() -> &'static Pool<Self>;
}

/// The memory of a handle.
pub(crate) struct Cell<H: Handle> {
    /// `None` after the free.
    value: ArcSwapOption<H::Value>,
    /// The next reusable handle.
    next: AtomicPtr<H>,
}

/// The freed handles of one type.
pub(crate) struct Pool<H> {
    /// A ring of the last ones.
    freed: [AtomicPtr<H>; QUARANTINE],
    count: AtomicUsize,
    /// A stack of those before.
    reusable: AtomicPtr<H>,
}

impl<H> Pool<H> {
    pub(crate) const fn new() -> Pool<H> {
        Pool {
            freed: [const { AtomicPtr::new(null_mut()) }; QUARANTINE],
            count: AtomicUsize::new(0),
            reusable: AtomicPtr::new(null_mut()),
        }
    }
}

impl<H: Handle> Pool<H> {
    /// A reusable handle. All others go back to the stack: to take the whole stack is safe without a lock, to take its top is not.
    fn take(&self) -> Option<&'static H> {
        // SAFETY: the stack has handles that `make` leaked.
        let first = unsafe { self.reusable.swap(null_mut(), Ordering::AcqRel).as_ref() }?;
        let mut rest = first.cell().next.swap(null_mut(), Ordering::AcqRel);
        // SAFETY: as above.
        while let Some(handle) = unsafe { rest.as_ref() } {
            rest = handle.cell().next.swap(null_mut(), Ordering::AcqRel);
            self.push(handle);
        }
        Some(first)
    }

    fn push(&self, handle: &'static H) {
        let new = std::ptr::from_ref(handle).cast_mut();
        let mut top = self.reusable.load(Ordering::Acquire);
        loop {
            handle.cell().next.store(top, Ordering::Release);
            match self.reusable.compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => top = other,
            }
        }
    }

    /// Puts a freed handle into quarantine. The one that has been there longest becomes reusable.
    fn give_back(&self, handle: *mut H) {
        let slot = self.count.fetch_add(1, Ordering::Relaxed) % QUARANTINE;
        let oldest = self.freed[slot].swap(handle, Ordering::AcqRel);
        // SAFETY: the ring has handles that `make` leaked.
        if let Some(oldest) = unsafe { oldest.as_ref() } {
            self.push(oldest);
        }
    }
}

/// Makes a handle for C.
pub(crate) fn make<H: Handle>(value: H::Value) -> *mut H {
    let value = Some(Arc::new(value));
    if let Some(handle) = H::pool().take() {
        handle.cell().value.store(value);
        return std::ptr::from_ref(handle).cast_mut();
    }
    let cell = Cell { value: ArcSwapOption::new(value), next: AtomicPtr::new(null_mut()) };
    Box::into_raw(Box::new(H::new(cell)))
}

/// Frees a handle. Does nothing if it is NULL, or freed already.
///
/// # Safety
/// `handle` is NULL or came from [`make`].
pub(crate) unsafe fn free<H: Handle>(handle: *mut H) {
    // SAFETY: not NULL, so it came from `make`, whose memory stays.
    let Some(cell) = unsafe { handle.as_ref() }.map(H::cell) else { return };
    guard::value((), || {
        if let Some(value) = cell.value.swap(None) {
            H::pool().give_back(handle);
            // It frees the value now, unless a call is in progress.
            drop(value);
        }
    });
}

/// The value of a handle that a call needs as a parameter.
///
/// # Safety
/// `handle` is NULL or came from [`make`].
pub(crate) unsafe fn of<H: Handle>(name: &str, handle: *const H) -> Result<Value<H>, Error> {
    // SAFETY: not NULL, so it came from `make`, whose memory stays.
    let cell = unsafe { handle.as_ref() }.ok_or_else(|| invalid_argument(name, "it is NULL"))?.cell();
    Value::load(cell).ok_or_else(|| invalid_argument(name, "it is freed already"))
}

/// Reads from a handle. Returns `otherwise` if the handle is NULL or freed, or if `read` panics.
///
/// # Safety
/// `handle` is NULL or came from [`make`].
pub(crate) unsafe fn get<H: Handle, R: Copy>(handle: *const H, otherwise: R, read: impl FnOnce(&H::Value) -> R) -> R {
    guard::value(otherwise, || {
        // SAFETY: not NULL, so it came from `make`, whose memory stays.
        let value = unsafe { handle.as_ref() }.and_then(|handle| Value::load(handle.cell()));
        value.map_or(otherwise, |value| read(&value))
    })
}

/// The value of a handle, for one call. To load it, threads write no memory that they share.
pub(crate) struct Value<H: Handle>(Guard<Option<Arc<H::Value>>>);

impl<H: Handle> Value<H> {
    fn load(cell: &Cell<H>) -> Option<Value<H>> {
        let value = cell.value.load();
        value.is_some().then_some(Value(value))
    }
}

impl<H: Handle> std::ops::Deref for Value<H> {
    type Target = H::Value;

    fn deref(&self) -> &H::Value {
        self.0.as_deref().expect("`load` has checked it")
    }
}

/// Makes `pub struct $name(Cell<$name>)` a type of handle with this value.
macro_rules! handle {
    ($name:ident, $value:ty) => {
        impl crate::handle::Handle for $name {
            type Value = $value;

            fn new(cell: crate::handle::Cell<$name>) -> $name {
                $name(cell)
            }

            fn cell(&self) -> &crate::handle::Cell<$name> {
                &self.0
            }

            fn pool() -> &'static crate::handle::Pool<$name> {
                static POOL: crate::handle::Pool<$name> = crate::handle::Pool::new();
                &POOL
            }
        }
    };
}
pub(crate) use handle;
