//! Tokens. You need these functions to read the access token for your requests, and when it expires.
//! Tokens never change, because a refresh makes new ones. Save them in a session, or as JSON.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::OnceLock;

use cmauth::{Secret, Tokens};
use libc::c_char;

use crate::call;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::text::Text;
use crate::version::CM_NONE;

/// The tokens of one logged-in user.
pub struct cm_tokens {
    texts: Texts,
    refresh_token: Option<u32>,
    token_type: u32,
    scope: Option<u32>,
    expires_at: Option<i64>,
    json: OnceLock<Text>,
}

/// All texts, one after the other, each with a NUL: first [`BEARER`] and the access token, then the others at their offsets.
///
/// If they fit, they are inside the handle, so tokens need one allocation. Those of CameraManager fit.
struct Texts {
    /// Not initialized, because that would take a quarter of the time of a session's fast path. Only written bytes are
    /// read.
    inline: [MaybeUninit<u8>; INLINE_SIZE],
    heap: Option<Box<[u8]>>,
}

const INLINE_SIZE: usize = 128;

/// The offset of the access token.
const ACCESS_TOKEN: u32 = BEARER.len() as u32;

/// What precedes the access token in the header `Authorization`. So both texts need one copy.
const BEARER: &str = "Bearer ";

impl cm_tokens {
    /// Boxed from the start: moving this struct would take longer than the rest of a session's fast path.
    pub(crate) fn new(tokens: &Tokens) -> Box<cm_tokens> {
        let access_token = tokens.access_token().expose();
        let refresh_token = tokens.refresh_token().map(Secret::expose);
        let (token_type, scope) = (tokens.token_type(), tokens.scope());
        let texts = [Some(access_token), refresh_token, Some(token_type), scope];
        let size = BEARER.len() + texts.into_iter().flatten().map(|text| text.len() + 1).sum::<usize>();
        let mut made = Box::new(cm_tokens {
            texts: Texts {
                inline: [const { MaybeUninit::uninit() }; INLINE_SIZE],
                heap: (size > INLINE_SIZE).then(|| vec![0; size].into()),
            },
            refresh_token: None,
            token_type: 0,
            scope: None,
            expires_at: tokens.expires_at(),
            json: OnceLock::new(),
        });
        let place = match &mut made.texts {
            Texts { heap: Some(bytes), .. } => bytes.as_mut_ptr(),
            Texts { inline, .. } => inline.as_mut_ptr().cast(),
        };
        // SAFETY: `place` has at least `size` bytes.
        unsafe { place.copy_from_nonoverlapping(BEARER.as_ptr(), BEARER.len()) };
        let mut end = BEARER.len();
        let mut put = |text: &str| {
            let begin = end;
            end += text.len() + 1;
            // SAFETY: `place` has at least `size` bytes, which is what all texts and their NULs need.
            unsafe {
                place.add(begin).copy_from_nonoverlapping(text.as_ptr(), text.len());
                place.add(end - 1).write(0);
            }
            // It fits: a response has at most 64 KiB.
            begin as u32
        };
        put(access_token);
        let refresh_token = refresh_token.map(&mut put);
        let token_type = put(token_type);
        let scope = scope.map(put);
        (made.refresh_token, made.token_type, made.scope) = (refresh_token, token_type, scope);
        made
    }

    pub(crate) fn make(tokens: &Tokens) -> *mut cm_tokens {
        Box::into_raw(cm_tokens::new(tokens))
    }

    /// The tokens as the type of the core.
    pub(crate) fn core(&self) -> Tokens {
        Tokens::new(
            Secret::new(self.text(ACCESS_TOKEN)),
            self.refresh_token.map(|at| Secret::new(self.text(at))),
            self.text(self.token_type).to_owned(),
            self.scope.map(|at| self.text(at).to_owned()),
            self.expires_at,
        )
    }

    fn text(&self, at: u32) -> &str {
        // SAFETY: at this offset `new` wrote a UTF-8 text and a NUL.
        unsafe { CStr::from_ptr(self.as_ptr(at)) }.to_str().unwrap_or_default()
    }

    /// The text at an offset.
    fn as_ptr(&self, at: u32) -> *const c_char {
        let place = match &self.texts {
            Texts { heap: Some(bytes), .. } => bytes.as_ptr(),
            Texts { inline, .. } => inline.as_ptr().cast(),
        };
        place.wrapping_add(at as usize).cast()
    }
}

/// Frees tokens. The server is not told: see `cm_logout`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_free(tokens: *mut cm_tokens) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(tokens) }
}

/// The access token. Those of CameraManager look like "<UUID>:<zone>", but do not rely on it. `cm_tokens_authorization`
/// gives the header for a request.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_access_token(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, null(), |tokens| tokens.as_ptr(ACCESS_TOKEN)) }
}

/// The value of the header `Authorization` for a request to the API: "Bearer " and the access token (RFC 6750, section 2.1).
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_authorization(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, null(), |tokens| tokens.as_ptr(0)) }
}

/// The refresh token, for `cm_refresh`. It works until the user logs out.
///
/// @return the refresh token; NULL if the server sent none
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_refresh_token(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, null(), |tokens| tokens.refresh_token.map_or(null(), |at| tokens.as_ptr(at))) }
}

/// The token type, "bearer" in the spelling of the server.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_token_type(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, null(), |tokens| tokens.as_ptr(tokens.token_type)) }
}

/// The scope that the user granted, in the words of the server: "write", "read write".
///
/// @return the scope; NULL if the server did not send it
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_scope(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, null(), |tokens| tokens.scope.map_or(null(), |at| tokens.as_ptr(at))) }
}

/// When the access token expires. Its lifetime counts from before the request was sent.
///
/// @return Unix seconds, at most 253402300799 (the year 9999); `CM_NONE`: never
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_expires_at(tokens: *const cm_tokens) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, CM_NONE, |tokens| tokens.expires_at.unwrap_or(CM_NONE)) }
}

/// How long the access token is still valid, by the clock of this machine.
///
/// @return seconds, from 0 to 2147483647 (68 years); `CM_NONE`: it never expires
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_expires_in(tokens: *const cm_tokens) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(tokens, CM_NONE, |tokens| tokens.core().expires_in().unwrap_or(CM_NONE)) }
}

/// The tokens as JSON, to save them yourself. Protect it as you protect the tokens.
///
/// The JSON is an object with the keys "access_token" and "token_type", and if they are known "refresh_token",
/// "scope" and "expires_at" (Unix seconds). Later versions may add keys.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_to_json(tokens: *const cm_tokens) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe {
        guard::get(tokens, null(), |tokens| {
            tokens.json.get_or_init(|| Text::new(tokens.core().to_json().expose())).as_ptr()
        })
    }
}

/// Makes tokens from the JSON of `cm_tokens_to_json`. Unknown keys are ignored.
///
/// @param tokens  receives the tokens
/// @retval CM_STATUS_INVALID_ARGUMENT  the JSON contains no tokens; the message names the key
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_tokens_from_json(
    json: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            Ok(cm_tokens::make(&Tokens::from_json(guard::text("json", json)?)?))
        })
    }
}
