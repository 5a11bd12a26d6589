//! Runs a call that can fail: returns its status, and hands its result or its error to C.

use cmauth::Error;
use cmauth::bindings::{catch_panic, invalid_argument};

use crate::error::{cm_error, cm_status};

/// Runs a call that makes a handle. Sets `*out` to the handle, or to NULL if the call fails.
///
/// # Safety
/// `out` and `error` are NULL or point to a place for a pointer.
pub(crate) unsafe fn with_result<T>(
    name: &str,
    out: *mut *mut T,
    error: *mut *mut cm_error,
    body: impl FnOnce() -> Result<*mut T, Error>,
) -> cm_status {
    // SAFETY: as this function's.
    unsafe {
        clear(out);
        without_result(error, || {
            if out.is_null() {
                return Err(invalid_argument(name, "the place for the result is NULL"));
            }
            *out = body()?;
            Ok(())
        })
    }
}

/// Runs a call that makes no handle.
///
/// # Safety
/// `error` is NULL or points to a place for a pointer.
pub(crate) unsafe fn without_result(error: *mut *mut cm_error, body: impl FnOnce() -> Result<(), Error>) -> cm_status {
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
    use crate::guard;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_place_and_nothing_else() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` is a place for a pointer.
        let status = unsafe { without_result(&mut error, || panic!("hunter2")) };
        assert_eq!(status, cm_status::Internal);
        // SAFETY: just made, and not freed before.
        let message = unsafe {
            let message = guard::text("message", crate::error::cm_error_message(error)).unwrap().to_owned();
            guard::free(error);
            message
        };
        assert!(message.contains("src/call.rs:"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_result_without_a_place_is_an_error_before_the_call_does_anything() {
        // SAFETY: NULL is allowed.
        let status = unsafe {
            with_result::<u8>("client", std::ptr::null_mut(), std::ptr::null_mut(), || panic!("the call ran"))
        };
        assert_eq!(status, cm_status::InvalidArgument);
    }
}
