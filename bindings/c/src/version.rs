//! Version. You need it for bug reports and for your own log.
//! It gives the version of the loaded library, and the names of statuses.

use libc::c_char;

use crate::guard;

/// The version of this header. `cm_version` gives the version of the loaded library.
pub const CM_VERSION_MAJOR: i32 = 0;
/// See CM_VERSION_MAJOR.
pub const CM_VERSION_MINOR: i32 = 1;
/// See CM_VERSION_MAJOR.
pub const CM_VERSION_PATCH: i32 = 0;

/// What a function that gives a number returns if there is no such number.
pub const CM_NONE: i64 = -1;

/// The version of the loaded library.
///
/// @return for example "0.1.0"; a constant string
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of a status, for logs.
///
/// @param status  a `cm_status`, or any other number
/// @return "OK", "LOGIN_REQUIRED", …; "UNKNOWN" for a number that is not a status; a constant string
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_status_name(status: i32) -> *const c_char {
    guard::value(c"UNKNOWN".as_ptr(), || name(status).as_ptr())
}

fn name(status: i32) -> &'static std::ffi::CStr {
    match status {
        0 => c"OK",
        1 => c"INVALID_ARGUMENT",
        2 => c"LOGIN_REQUIRED",
        3 => c"TOKEN_REJECTED",
        4 => c"ACCESS_DENIED",
        5 => c"CLIENT_REJECTED",
        6 => c"REQUEST_REJECTED",
        7 => c"STATE_MISMATCH",
        8 => c"NETWORK",
        9 => c"TLS",
        10 => c"TIMEOUT",
        11 => c"SERVER",
        12 => c"PROTOCOL",
        13 => c"STORE",
        14 => c"INTERNAL",
        15 => c"CANCELLED",
        _ => c"UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use cmauth::Status;

    use super::*;

    #[test]
    fn names_are_those_of_the_core() {
        for &status in Status::ALL {
            assert_eq!(name(status as i32).to_str(), Ok(status.name()));
        }
        for other in [-1, 16, 99, i32::MAX] {
            assert_eq!(name(other), c"UNKNOWN");
        }
    }

    #[test]
    fn the_header_and_the_library_have_one_version() {
        let header = format!("{CM_VERSION_MAJOR}.{CM_VERSION_MINOR}.{CM_VERSION_PATCH}");
        assert_eq!(header, cmauth::VERSION);
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
