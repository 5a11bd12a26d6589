//! Signed URL. You need one for a download by a program that cannot send a header, such as a media player: the API
//! takes the access token in the query of the URL there. `cm_session_sign_url` makes it.

use std::ptr::null;

use cmauth::SignedUrl;
use libc::c_char;

use crate::guard;
use crate::text::Text;
use crate::version::CM_NONE;

/// A URL with an access token in its query. It is as secret as the token.
pub struct cm_signed_url {
    url: Text,
    expires_at: Option<i64>,
}

impl cm_signed_url {
    pub(crate) fn make(signed: &SignedUrl) -> *mut cm_signed_url {
        guard::make(cm_signed_url { url: Text::new(signed.url().expose()), expires_at: signed.expires_at() })
    }
}

/// Frees a signed URL, and wipes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_signed_url_free(signed_url: *mut cm_signed_url) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(signed_url) }
}

/// The URL. Do not log it.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_signed_url_url(signed_url: *const cm_signed_url) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(signed_url, null(), |signed| signed.url.as_ptr()) }
}

/// When the token in the URL expires. A refresh ends it earlier: `cm_session_hold` keeps refreshes away.
///
/// @return Unix seconds; `CM_NONE`: never
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_signed_url_expires_at(signed_url: *const cm_signed_url) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(signed_url, CM_NONE, |signed| signed.expires_at.unwrap_or(CM_NONE)) }
}
