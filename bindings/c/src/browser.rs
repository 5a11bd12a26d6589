//! Browser. You need it to show the login page to a user at this machine.
//! It opens the page in the browser that the user has chosen in the settings of the system.

use std::time::Duration;

use cmauth::Error;
use cmauth::bindings::invalid_argument;
use libc::c_char;

use crate::call;
use crate::error::{cm_error, cm_status};
use crate::guard;

/// How long a program that should open the page is watched for a failure.
const FAILURE_TIMEOUT: Duration = Duration::from_millis(500);

/// Longer than any login page.
const MAX_URL_LEN: usize = 16 * 1024;

/// Opens a web page in the user's browser: `cm_login_url`, or another page. Runs xdg-open, or another program of the desktop that
/// does the same, with its standard input and output closed. Can block for some seconds: half a second for each of these programs.
///
/// If that program runs on, a thread waits for its end, so that it leaves no zombie.
///
/// Success means that such a program was started and did not fail at once. The browser may still not show the page, for example
/// because it runs on another screen. So show the URL to the user as well.
///
/// @param url  http://… or https://…
/// @retval CM_STATUS_INVALID_ARGUMENT  the URL is no address of a web page, or this machine has no program that opens one
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_open_browser(url: *const c_char, error: *mut *mut cm_error) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe { call::without_result(error, || open_browser(guard::text("url", url)?)) }
}

fn open_browser(url: &str) -> Result<(), Error> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(invalid_argument("url", "it does not begin with http:// or https://"));
    }
    // A program of the desktop may pass the URL to a shell.
    if url.len() > MAX_URL_LEN || !url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`\\<>^{}|$".contains(&byte))
    {
        return Err(invalid_argument(
            "url",
            "it has a character that must be percent-encoded, or is longer than 16 KiB",
        ));
    }
    // The error of `open` quotes the URL, which contains the state of the login.
    open::that_detached_with_timeout(url, FAILURE_TIMEOUT).map_err(|_| {
        let problem =
            "no program of this machine opens web pages (tried xdg-open and others); show the URL to the user";
        invalid_argument("url", problem)
    })
}
