//! What stands between C and Rust: handles, parameters, results, and panics that must not cross.
//!
//! Every exported function does its work inside [`call`], [`done`] or [`value`].

use std::ffi::CStr;

use cmauth::Error;
use cmauth::bindings::{catch_panic, invalid_argument};
use libc::c_char;

use crate::error::{cm_error, cm_status};

/// A call that makes a handle: `*out` receives it, or NULL.
///
/// # Safety
/// `out` and `error` are NULL or point to a place for a pointer.
pub(crate) unsafe fn call<T, B: Into<Box<T>>>(
    name: &str,
    out: *mut *mut T,
    error: *mut *mut cm_error,
    body: impl FnOnce() -> Result<B, Error>,
) -> cm_status {
    // SAFETY: as this function's.
    unsafe {
        clear(out);
        done(error, || {
            if out.is_null() {
                return Err(invalid_argument(name, "the place for the result is NULL"));
            }
            let made = body()?;
            *out = Box::into_raw(made.into());
            Ok(())
        })
    }
}

/// A call that makes nothing.
///
/// # Safety
/// `error` is NULL or points to a place for a pointer.
pub(crate) unsafe fn done(error: *mut *mut cm_error, body: impl FnOnce() -> Result<(), Error>) -> cm_status {
    // SAFETY: as this function's.
    unsafe {
        clear(error);
    }
    let failure = match catch_panic(body) {
        Ok(Ok(())) => return cm_status::Ok,
        Ok(Err(failure)) | Err(failure) => failure,
    };
    let status = cm_status::from(failure.status());
    if !error.is_null() {
        // SAFETY: not NULL, so it points to a place for a pointer.
        unsafe {
            *error = Box::into_raw(Box::new(cm_error::new(&failure)));
        }
    }
    status
}

/// A function that gives a value and cannot fail; `default` in case there is a bug.
pub(crate) fn value<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch_panic(body).unwrap_or(default)
}

/// Reads from a handle; `if_null` for NULL, and in case there is a bug.
///
/// # Safety
/// `handle` is NULL or came from [`call`] and is not freed while this runs.
pub(crate) unsafe fn get<T, R: Copy>(handle: *const T, if_null: R, read: impl FnOnce(&T) -> R) -> R {
    // SAFETY: as this function's.
    value(if_null, || unsafe { handle.as_ref() }.map_or(if_null, read))
}

/// Frees a handle; NULL is nothing to free.
///
/// # Safety
/// `handle` is NULL or came from [`call`] and was not freed.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        value((), || {
            // SAFETY: it came from Box::into_raw and is nobody's any more.
            drop(unsafe { Box::from_raw(handle) });
        });
    }
}

/// A handle as a parameter.
///
/// # Safety
/// `handle` is NULL or came from [`call`] and is not freed while `'a` lasts.
pub(crate) unsafe fn handle<'a, T>(name: &str, handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: as this function's.
    unsafe { handle.as_ref() }.ok_or_else(|| invalid_argument(name, "it is NULL"))
}

/// A text as a parameter.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that nobody changes while `'a` lasts.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: as this function's.
    unsafe { text_or_problem(text) }.map_err(|problem| invalid_argument(name, problem))
}

/// A text, or what is wrong with it.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_problem<'a>(text: *const c_char) -> Result<&'a str, &'static str> {
    if text.is_null() {
        return Err("it is NULL");
    }
    // SAFETY: not NULL, so a NUL-terminated string.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| "it is not UTF-8")
}

/// # Safety
/// `place` is NULL or points to a place for a pointer.
unsafe fn clear<T>(place: *mut *mut T) {
    if !place.is_null() {
        // SAFETY: not NULL, so it points to a place for a pointer.
        unsafe {
            *place = std::ptr::null_mut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_place_and_nothing_else() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` is a place for a pointer.
        let status = unsafe { done(&mut error, || panic!("hunter2")) };
        assert_eq!(status, cm_status::Internal);
        // SAFETY: just made, and not freed before.
        let message = unsafe {
            let message = text("message", crate::error::cm_error_message(error)).unwrap().to_owned();
            free(error);
            message
        };
        assert!(message.contains("src/guard.rs:"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_panic_in_a_getter_gives_its_default() {
        assert_eq!(value(7, || panic!("hunter2")), 7);
    }

    #[test]
    fn a_result_without_a_place_is_an_error_before_anything_is_done() {
        // SAFETY: NULL is allowed.
        let status =
            unsafe { call::<u8, u8>("client", std::ptr::null_mut(), std::ptr::null_mut(), || panic!("it was done")) };
        assert_eq!(status, cm_status::InvalidArgument);
    }
}
