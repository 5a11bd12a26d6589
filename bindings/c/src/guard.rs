//! Catches panics at the border to C, and turns the pointers of C into references and texts.
//!
//! Every exported function runs its body in [`value`], [`get`] or [`free`], or in a function of `call` if it
//! can fail.

use std::ffi::CStr;

use cmauth::Error;
use cmauth::bindings::{catch_panic, invalid_argument};
use libc::c_char;

/// Returns what `body` returns, or `default` if `body` panics.
pub(crate) fn value<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch_panic(body).unwrap_or(default)
}

/// Makes a handle that only one thread may use while it is freed. `handle` has the others.
pub(crate) fn make<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Reads from a handle. Returns `if_null` if the handle is NULL or `read` panics.
///
/// # Safety
/// `handle` is NULL, or came from [`Box::into_raw`] and is not freed while this runs.
pub(crate) unsafe fn get<T, R: Copy>(handle: *const T, if_null: R, read: impl FnOnce(&T) -> R) -> R {
    // SAFETY: as this function's.
    value(if_null, || unsafe { handle.as_ref() }.map_or(if_null, read))
}

/// Frees a handle. Does nothing if it is NULL.
///
/// # Safety
/// `handle` is NULL, or came from [`Box::into_raw`] and was not freed.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        value((), || {
            // SAFETY: it came from Box::into_raw, and nobody uses it any more.
            drop(unsafe { Box::from_raw(handle) });
        });
    }
}

/// A handle that a call needs as a parameter.
///
/// # Safety
/// `handle` is NULL, or came from [`Box::into_raw`] and is not freed while `'a` lasts.
pub(crate) unsafe fn handle<'a, T>(name: &str, handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: as this function's.
    unsafe { handle.as_ref() }.ok_or_else(|| invalid_argument(name, "it is NULL"))
}

/// A text that a call needs as a parameter.
///
/// # Safety
/// `text` is NULL, or a NUL-terminated string that does not change while `'a` lasts.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: as this function's.
    unsafe { text_or_problem(text) }.map_err(|problem| invalid_argument(name, problem))
}

/// The text, or what is wrong with it.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_problem<'a>(text: *const c_char) -> Result<&'a str, &'static str> {
    if text.is_null() {
        return Err("it is NULL");
    }
    // SAFETY: not NULL, so a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(text) };
    // Java and cmauth.hpp pass a NUL as these two bytes, which UTF-8 does not allow.
    let has_nul = || text.to_bytes().windows(2).any(|pair| pair == [0xC0, 0x80]);
    text.to_str().map_err(|_| if has_nul() { "it has a NUL in it" } else { "it is not UTF-8" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_getter_gives_its_default() {
        assert_eq!(value(7, || panic!("hunter2")), 7);
    }
}
