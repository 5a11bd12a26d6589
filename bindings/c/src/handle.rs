//! Handles that C may free at any time, also while calls use them: client, login, store and session.
//!
//! Such a handle points to a [`Cell`], which holds the value by an [`Arc`]. A call takes the value from the cell when it begins,
//! and keeps it until it ends. The memory of a cell is never returned to the system, so that a call that begins too late finds an
//! empty cell and fails. A cell is used again, but only after [`QUARANTINE`] others of its type were freed.
//!
//! Nothing here takes a lock, because a forked child could inherit it locked.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use cmauth::Error;
use cmauth::bindings::invalid_argument;

use crate::guard;

/// How many cells must be freed after a cell before it is used again.
const QUARANTINE: usize = 1024;

/// The number of cells in the first segment. Each further segment has twice as many as the one before.
const FIRST_SEGMENT: u32 = 64;

/// So many segments have a number for every cell.
const SEGMENTS: usize = 27;

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
    /// The number of this cell: 1 for the first one.
    number: u32,
    /// The number of the next reusable cell, or 0.
    next: AtomicU32,
}

/// The cells of one type of handle.
pub(crate) struct Pool<H> {
    /// The memory of the cells, which stays.
    segments: [AtomicPtr<H>; SEGMENTS],
    /// How many cells were made.
    made: AtomicU32,
    /// A ring of the cells that were freed last.
    quarantine: [AtomicU32; QUARANTINE],
    freed: AtomicUsize,
    /// A stack of the cells that were freed before: the number of its top (0: none), and above it a count of its changes.
    /// Without the count, a pop could take a top that was popped and pushed again meanwhile, with an old `next`.
    reusable: AtomicU64,
}

impl<H> Pool<H> {
    pub(crate) const fn new() -> Pool<H> {
        Pool {
            segments: [const { AtomicPtr::new(null_mut()) }; SEGMENTS],
            made: AtomicU32::new(0),
            quarantine: [const { AtomicU32::new(0) }; QUARANTINE],
            freed: AtomicUsize::new(0),
            reusable: AtomicU64::new(0),
        }
    }
}

/// The top of the stack, and what it becomes with another top.
fn top_of(stack: u64) -> u32 {
    // The lower half.
    (stack & u64::from(u32::MAX)) as u32
}

fn with_top(stack: u64, top: u32) -> u64 {
    ((stack >> 32).wrapping_add(1) << 32) | u64::from(top)
}

/// The segment of a cell, and its place there.
fn place_of(number: u32) -> (usize, usize) {
    let index = number - 1;
    let segment = (index / FIRST_SEGMENT + 1).ilog2();
    let begin = u64::from(FIRST_SEGMENT) * ((1_u64 << segment) - 1);
    (segment as usize, (u64::from(index) - begin) as usize)
}

impl<H: Handle> Pool<H> {
    /// A cell that was made before.
    fn at(&self, number: u32) -> &'static H {
        let (segment, place) = place_of(number);
        let cells = self.segments[segment].load(Ordering::Acquire);
        // SAFETY: a number comes from `make_new`, after its segment was made, and the segment has this place and stays.
        unsafe { &*cells.add(place) }
    }

    fn make_new(&self) -> &'static H {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let (segment, place) = place_of(number);
        if self.segments[segment].load(Ordering::Acquire).is_null() {
            let first = number - place as u32;
            let len = FIRST_SEGMENT << segment;
            let cell = |i| Cell { value: ArcSwapOption::empty(), number: first + i, next: AtomicU32::new(0) };
            let cells: Box<[H]> = (0..len).map(|i| H::new(cell(i))).collect();
            let made = Box::into_raw(cells);
            let ours = made.cast::<H>();
            let exchanged =
                self.segments[segment].compare_exchange(null_mut(), ours, Ordering::AcqRel, Ordering::Acquire);
            if exchanged.is_err() {
                // SAFETY: another thread was faster, so nobody has seen this segment.
                drop(unsafe { Box::from_raw(made) });
            }
        }
        self.at(number)
    }

    fn pop(&self) -> Option<&'static H> {
        let mut stack = self.reusable.load(Ordering::Acquire);
        loop {
            let top = top_of(stack);
            if top == 0 {
                return None;
            }
            let handle = self.at(top);
            let next = handle.cell().next.load(Ordering::Acquire);
            match self.reusable.compare_exchange_weak(stack, with_top(stack, next), Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(handle),
                Err(other) => stack = other,
            }
        }
    }

    fn push(&self, number: u32) {
        let next = &self.at(number).cell().next;
        let mut stack = self.reusable.load(Ordering::Acquire);
        loop {
            next.store(top_of(stack), Ordering::Release);
            match self.reusable.compare_exchange_weak(
                stack,
                with_top(stack, number),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(other) => stack = other,
            }
        }
    }

    /// Puts a freed cell into quarantine. The one that has been there longest becomes reusable.
    fn give_back(&self, number: u32) {
        let slot = self.freed.fetch_add(1, Ordering::Relaxed) % QUARANTINE;
        let oldest = self.quarantine[slot].swap(number, Ordering::AcqRel);
        if oldest != 0 {
            self.push(oldest);
        }
    }
}

/// Makes a handle for C.
pub(crate) fn make<H: Handle>(value: H::Value) -> *mut H {
    let pool = H::pool();
    let handle = pool.pop().unwrap_or_else(|| pool.make_new());
    handle.cell().value.store(Some(Arc::new(value)));
    std::ptr::from_ref(handle).cast_mut()
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
            H::pool().give_back(cell.number);
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    struct Number(Cell<Number>);
    handle!(Number, u64);

    #[test]
    fn every_cell_has_its_place() {
        assert_eq!((place_of(1), place_of(64), place_of(65)), ((0, 0), (0, 63), (1, 0)));
        assert_eq!((place_of(192), place_of(193)), ((1, 127), (2, 0)));
        assert!(place_of(u32::MAX).0 < SEGMENTS);
    }

    /// After a peak of handles there are many reusable cells. Making a handle must not look at all of them.
    #[test]
    fn no_two_threads_get_one_cell_and_a_peak_makes_later_handles_no_slower() {
        const PEAK: usize = 200_000;
        let peak: Vec<usize> = (0..PEAK as u64).map(|i| make::<Number>(i) as usize).collect();
        assert_eq!(peak.iter().collect::<HashSet<_>>().len(), PEAK);
        for handle in peak {
            // SAFETY: made above.
            unsafe { free(handle as *mut Number) };
        }
        let made = Number::pool().made.load(Ordering::Relaxed);
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || {
                    for i in 0..100_000 {
                        let value = thread << 32 | i;
                        let handle = make::<Number>(value);
                        // SAFETY: made here, and only this thread has it.
                        unsafe {
                            assert_eq!(get(handle, 0, |value| *value), value);
                            free(handle);
                        }
                    }
                });
            }
        });
        assert_eq!(Number::pool().made.load(Ordering::Relaxed), made, "freed cells are used again");
    }
}
