//! Tokens: what the server gave, and until when. A refresh gives new ones.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::OnceLock;

use cmauth::Tokens;

use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::text::{Text, or_null};

/// The tokens of one logged-in user. Immutable: any number of threads may use them at once.
pub struct cm_tokens {
    tokens: Tokens,
    access_token: Text,
    refresh_token: Option<Text>,
    token_type: Text,
    scope: Option<Text>,
    json: OnceLock<Text>,
}

impl cm_tokens {
    pub(crate) fn new(tokens: Tokens) -> Self {
        cm_tokens {
            access_token: Text::new(tokens.access_token().expose()),
            refresh_token: tokens.refresh_token().map(|token| Text::new(token.expose())),
            token_type: Text::new(tokens.token_type()),
            scope: tokens.scope().map(Text::new),
            json: OnceLock::new(),
            tokens,
        }
    }

    pub(crate) fn core(&self) -> &Tokens {
        &self.tokens
    }
}

/// Frees tokens, and wipes them. The server is not told: that is `cm_logout`.
///
/// @param tokens  the tokens, or NULL
///
/// Not while another thread uses them. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_free(tokens: *mut cm_tokens) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(tokens) }
}

/// The access token, for "Authorization: Bearer …". Opaque: CameraManager's look like "<UUID>:<zone>".
///
/// @param tokens  the tokens; NULL gives NULL
/// @return the access token, borrowed from the tokens
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_access_token(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, null(), |tokens| tokens.access_token.as_ptr()) }
}

/// The refresh token, for `cm_refresh`. It works until the user logs out.
///
/// @param tokens  the tokens; NULL gives NULL
/// @return the refresh token, borrowed from the tokens; NULL where the server gave none
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_refresh_token(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, null(), |tokens| or_null(tokens.refresh_token.as_ref())) }
}

/// The token type, "bearer" in the server's spelling.
///
/// @param tokens  the tokens; NULL gives NULL
/// @return the type, borrowed from the tokens
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_token_type(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, null(), |tokens| tokens.token_type.as_ptr()) }
}

/// What the tokens allow, as the server said it: "write", "read write".
///
/// @param tokens  the tokens; NULL gives NULL
/// @return the scope, borrowed from the tokens; NULL where the server did not say
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_scope(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, null(), |tokens| or_null(tokens.scope.as_ref())) }
}

/// When the access token ends, counted from before the request was sent.
///
/// @param tokens  the tokens; NULL gives 0
/// @return Unix seconds; INT64_MAX: never
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_expires_at(tokens: *const cm_tokens) -> i64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, 0, |tokens| tokens.tokens.expires_at().unwrap_or(i64::MAX)) }
}

/// How long the access token still lives, by this machine's clock.
///
/// @param tokens  the tokens; NULL gives 0
/// @return seconds left now, at least 0; INT64_MAX: it never expires
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_expires_in(tokens: *const cm_tokens) -> i64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(tokens, 0, |tokens| tokens.tokens.expires_in().unwrap_or(i64::MAX)) }
}

/// The tokens as JSON, for you to keep: as secret as the tokens in it.
///
/// An object with "access_token", "token_type", and where there are any "refresh_token", "scope" and "expires_at" (Unix
/// seconds). Later versions may add keys.
///
/// @param tokens  the tokens; NULL gives NULL
/// @return the JSON, borrowed from the tokens
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_to_json(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe {
        guard::get(tokens, null(), |tokens| {
            tokens.json.get_or_init(|| Text::new(tokens.tokens.to_json().expose())).as_ptr()
        })
    }
}

/// Makes tokens from the JSON of `cm_tokens_to_json`. Keys it does not know are passed over.
///
/// @param json    the JSON; not NULL
/// @param tokens  receives the tokens; not NULL
/// @param error   receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`, naming the key, where it holds no tokens
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_from_json(
    json: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        guard::call("tokens", tokens, error, || Ok(cm_tokens::new(Tokens::from_json(guard::text("json", json)?)?)))
    }
}
