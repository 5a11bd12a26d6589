//! Session. You need one if your program runs longer than an access token lives, or if several processes share a user.
//! It refreshes the tokens, saves them in a store, and gives every caller tokens that are valid now.

use std::ptr::{null, null_mut};
use std::time::Duration;

use cmauth::bindings::{already_logged_out, invalid_argument, with_tokens_at_hand};
use cmauth::{Answer, Change, Health, LoggedOut, Session};
use libc::{c_char, c_void};

use crate::call;
use crate::client::cm_client;
use crate::context::{Context, cm_destroy_callback};
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::handle::{self, Cell, handle};
use crate::signed_url::cm_signed_url;
use crate::store::cm_store;
use crate::tokens::cm_tokens;
use crate::version::CM_NONE;

/// One logged-in user. Sessions in several processes, or on several machines, share the user if they share the
/// store.
pub struct cm_session(Cell<cm_session>);
handle!(cm_session, Session);

/// The state of a session at one moment. It contains no secret.
pub struct cm_health {
    health: Health,
    last_error: Option<cm_error>,
}

/// What a `cm_tokens_callback` returns. Any other number counts as `CM_ANSWER_DONE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_answer {
    /// Any result, also a failure for another reason than the tokens.
    Done = 0,
    /// The API answered 401.
    Rejected = 1,
}

/// Uses tokens for a request to the API, and returns a `cm_answer`. `tokens` are valid until the callback returns: do not free
/// them. See `cm_session_with_tokens`.
pub type cm_tokens_callback = Option<unsafe extern "C" fn(context: *mut c_void, tokens: *const cm_tokens) -> i32>;

/// What the last change of a session was. Later versions can add values: treat one that you do not know as a reason to call
/// `cm_session_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_change {
    /// The session has other tokens: by a login, by a refresh, or from the store.
    Tokens = 1,
    /// `cm_session_logout` or `cm_session_forget` of this session ended the login.
    EndedHere = 2,
    /// The server rejected the refresh token: send the user to the login page.
    EndedByServer = 3,
    /// Another session, process or machine removed the tokens from the store.
    EndedElsewhere = 4,
}

/// Called when a session has other tokens, or none any more. See `cm_session_on_change`.
///
/// `generation` is a different number after each change, in most cases a larger one. If two calls happen at the
/// same time, their order has no meaning: `cm_session_tokens` gives the current tokens. The callback may call
/// functions of the session.
pub type cm_change_callback = Option<unsafe extern "C" fn(context: *mut c_void, change: cm_change, generation: i64)>;

/// Opens a session with the tokens that are in the store. If there are none, nobody is logged in until
/// `cm_session_start`. Sends nothing. Can block until the timeout of the client.
///
/// The session also opens if the content of the store is damaged, or belongs to another API key or server. Nobody
/// is logged in then, and `cm_health_last_error` gives the reason (`CM_STATUS_STORE`, advice fix).
/// `cm_session_start`, `_tokens`, `_rejected` and `_logout` fail with that error; they send nothing and change
/// nothing. `cm_session_forget` clears the store.
///
/// @param session  receives the session
/// @retval CM_STATUS_INVALID_ARGUMENT  the path or the callbacks of the store are bad
/// @retval CM_STATUS_STORE             the store cannot be read
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_open(
    client: *const cm_client,
    store: *const cm_store,
    session: *mut *mut cm_session,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("session", session, error, || {
            let client = handle::of("client", client)?;
            let store = handle::of("store", store)?.store.clone()?;
            Ok(handle::make(Session::open_shared(&client, store)?))
        })
    }
}

/// Frees a session. The tokens remain in the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_free(session: *mut cm_session) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::free(session) }
}

/// Starts the session with the tokens of a login. When the call returns, they are in the store. If the call fails,
/// the session is unchanged, and you can call it again with the same tokens. Can block until the timeout of the
/// client.
///
/// @param tokens  the tokens
/// @retval CM_STATUS_STORE  the store could not be locked or written. With advice fix, its content is damaged or
///                          belongs to another API key or server: `cm_session_forget` clears it.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_start(
    session: *const cm_session,
    tokens: *const cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::without_result(error, || {
            let session = handle::of("session", session)?;
            session.start(&guard::handle("tokens", tokens)?.core())
        })
    }
}

/// Gives tokens that are valid now. It refreshes them before they expire, once for all callers, within the timeout
/// of the client. If the refresh fails and the old tokens have not expired, it gives the old ones;
/// `cm_session_health` reports the failure. Can block until the timeout of the client.
///
/// With a memory or file store, a thread of the library refreshes. A caller whose tokens have not expired waits for
/// it for at most one second. With a store of your own, the thread of one caller refreshes, because your callbacks
/// run only on your threads.
///
/// After a failure the session does not ask the server again until its back-off is over. Until then, calls that need new
/// tokens fail at once with the same error; its `cm_error_retry_after` is the rest of the back-off. The first one is
/// at most one second. Each further failure doubles it, up to one minute. If the server asks for a longer one,
/// that counts, up to one hour. While the old tokens have not expired, the back-off is longer: at most 30
/// seconds at first, then doubled up to 10 minutes.
///
/// @param tokens  receives the tokens
/// @retval CM_STATUS_LOGIN_REQUIRED  nobody is logged in, or the server ended the login
/// @retval CM_STATUS_STORE           the store could not be locked or read
/// @return otherwise as `cm_refresh`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_tokens(
    session: *const cm_session,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = handle::of("session", session)?;
            match with_tokens_at_hand(&session, cm_tokens::make) {
                Some(tokens) => Ok(tokens),
                None => Ok(cm_tokens::make(&session.tokens()?)),
            }
        })
    }
}

/// Gives tokens that are valid for at least `seconds`, and refreshes them first if they are not. For a job that must end with the
/// tokens that it began with, such as an export of a recording: `cm_session_hold` keeps other refreshes away meanwhile. Can block
/// until the timeout of the client.
///
/// @param seconds  at least 0
/// @param tokens   receives the tokens
/// @retval CM_STATUS_INVALID_ARGUMENT  new tokens do not last that long; the message says how much can be asked for
/// @retval CM_STATUS_TOKEN_REJECTED    the tokens are held and end too early (advice retry). `cm_error_retry_after` says when the
///                                     hold ends.
/// @return otherwise as `cm_session_tokens`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_tokens_for(
    session: *const cm_session,
    seconds: i64,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = handle::of("session", session)?;
            let seconds = u64::try_from(seconds).map_err(|_| invalid_argument("seconds", "it is negative"))?;
            Ok(cm_tokens::make(&session.tokens_for(Duration::from_secs(seconds))?))
        })
    }
}

/// Holds early refreshes off until `until`, for all sessions on the store, and gives the tokens that are held. A refresh ends the
/// old access token at once, so hold the tokens while a long download runs. Can block until the timeout of the client.
///
/// A hold ends with the tokens at the latest. A shorter hold does not end a longer one. It does not prevent a refresh after a 401, a
/// logout, or a refresh by a program that does not use this store. `cm_health_held_until` says until when it lasts.
///
/// @param until   Unix seconds
/// @param tokens  receives the tokens
/// @retval CM_STATUS_STORE  the hold could not be saved
/// @return otherwise as `cm_session_tokens`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_hold(
    session: *const cm_session,
    until: i64,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            Ok(cm_tokens::make(&handle::of("session", session)?.hold(until)?))
        })
    }
}

/// Gives `url` with the access token as the query parameter `access_token`, which the vendor's API requires for downloads of
/// recordings. The token is percent-encoded, and replaces one that is there. The rest of the URL stays as it is, so encode the '+'
/// of a time as "%2B". Prefer the header where the API accepts it: servers and proxies log URLs. Can block until the timeout of
/// the client.
///
/// @param signed_url  receives the signed URL
/// @retval CM_STATUS_INVALID_ARGUMENT  the URL may not get the token: see `cm_client_check_url`
/// @return otherwise as `cm_session_tokens`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_sign_url(
    session: *const cm_session,
    url: *const c_char,
    signed_url: *mut *mut cm_signed_url,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("signed_url", signed_url, error, || {
            let session = handle::of("session", session)?;
            Ok(cm_signed_url::make(&session.sign_url(guard::text("url", url)?)?))
        })
    }
}

/// Gives the tokens if they are valid now and no work is due. Never waits, but calls the callback of `cm_session_on_change` if
/// a change was not reported yet. For event loops.
///
/// @return the tokens, which you own; NULL if there is work to do, nobody is logged in or the client is cancelled: call
///         `cm_session_tokens` on another thread
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_tokens_at_hand(session: *const cm_session) -> *mut cm_tokens {
    // SAFETY: the handle follows the header's rules.
    unsafe {
        handle::get(session, null_mut(), |session| with_tokens_at_hand(session, cm_tokens::make).unwrap_or(null_mut()))
    }
}

/// Gives other tokens, after the API answered 401 to `rejected`: newer ones if there are any, otherwise refreshed
/// ones. There is one refresh for all callers. Do not call it after a 403, because other tokens would get a 403
/// too. Can block until the timeout of the client.
///
/// If refreshed tokens are rejected too, they are refreshed again only when they are 15 seconds old. Each further
/// rejection doubles this age, up to 10 minutes. So an API that rejects all tokens causes few requests, and so do
/// two installations whose refreshes end each other's tokens.
///
/// @param rejected  the rejected tokens; the call never gives these again
/// @param tokens    receives the tokens
/// @retval CM_STATUS_TOKEN_REJECTED  the tokens are too young to be refreshed again (advice retry).
///                                   `cm_error_retry_after` says how long to wait. `cm_session_tokens` still gives
///                                   them, because the API may accept them for other requests.
/// @return otherwise as `cm_session_tokens`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_rejected(
    session: *const cm_session,
    rejected: *const cm_tokens,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = handle::of("session", session)?;
            let rejected = guard::handle("rejected", rejected)?;
            Ok(cm_tokens::make(&session.rejected(&rejected.core())?))
        })
    }
}

/// The same as `cm_session_rejected`, for a program that has only the access token, such as a middleware of an HTTP library.
/// Can block until the timeout of the client.
///
/// @param access_token  the rejected access token
/// @param tokens        receives the tokens
/// @return as `cm_session_rejected`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_rejected_token(
    session: *const cm_session,
    access_token: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = handle::of("session", session)?;
            let access_token = guard::text("access_token", access_token)?;
            Ok(cm_tokens::make(&session.rejected_token(access_token)?))
        })
    }
}

/// Calls your function with the tokens of `cm_session_tokens`. If it returns `CM_ANSWER_REJECTED`, calls it once more, with the
/// tokens of `cm_session_rejected`. Use it for a request to the API. Can block until the timeout of the client, before each
/// call of your function.
///
/// @param callback  the function, which this call calls before it returns
/// @param context   passed to the callback; may be NULL
/// @retval CM_STATUS_OK              the callback returned `CM_ANSWER_DONE`
/// @retval CM_STATUS_TOKEN_REJECTED  the API rejected both (advice retry)
/// @return otherwise as `cm_session_rejected`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_with_tokens(
    session: *const cm_session,
    callback: cm_tokens_callback,
    context: *mut c_void,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::without_result(error, || {
            let session = handle::of("session", session)?;
            let callback = callback.ok_or_else(|| invalid_argument("callback", "it is NULL"))?;
            session.with_tokens(|tokens| {
                let tokens = cm_tokens::new(tokens);
                match callback(context, &raw const *tokens) {
                    answer if answer == cm_answer::Rejected as i32 => Answer::Rejected,
                    _ => Answer::Done(()),
                }
            })
        })
    }
}

/// Ends the login at the server, in the store and in this session, and thereby for all who share it. An expired
/// access token is refreshed first: with an expired token, the server would not end the refresh token. Can block
/// until the timeout of the client.
///
/// @retval CM_STATUS_LOGIN_REQUIRED  the login had already ended; it is now removed here too
/// @retval CM_STATUS_STORE           the store could not be locked or read; or the server ended the login, but the
///                                   store could not be cleared
/// @return any other status: the server could not be told, and nothing has changed. Call it again, or call
///         `cm_session_forget`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_logout(session: *const cm_session, error: *mut *mut cm_error) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::without_result(error, || match handle::of("session", session)?.logout()? {
            LoggedOut::Confirmed => Ok(()),
            LoggedOut::AlreadyGone => Err(already_logged_out()),
        })
    }
}

/// Removes the tokens from this session and from the store. The server is not told. This also clears a store whose
/// content is damaged, or belongs to another API key or server. Can block until the timeout of the client.
///
/// @retval CM_STATUS_STORE  the store could not be locked or cleared
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_forget(session: *const cm_session, error: *mut *mut cm_error) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe { call::without_result(error, || handle::of("session", session)?.forget()) }
}

/// Sets the callback that is called after each change of the tokens, for example to reconnect streams with the new
/// tokens. If several changes were not reported yet, it is called once, with the last one.
///
/// The callback runs on the thread that notices the change. This thread is in a call of the session and holds no
/// lock of the library. After a refresh in the background, the next call of the session calls the callback, or the thread of
/// `cm_session_keep_fresh` does.
///
/// This function returns at once: a call of the previous callback may still be in progress then. Its `destroy` says when
/// it has ended.
///
/// @param callback  the function; NULL: none
/// @param context   passed to the callback; may be NULL
/// @param destroy   frees the context, after another callback was set or the session was freed, and the last call has
///                  ended. If the session is NULL, it is called at once. May be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_on_change(
    session: *const cm_session,
    callback: cm_change_callback,
    context: *mut c_void,
    destroy: cm_destroy_callback,
) {
    let context = Context::new(context, destroy);
    // SAFETY: the handle follows the header's rules.
    unsafe {
        guard::value((), || {
            let Ok(session) = handle::of("session", session) else { return };
            session.on_change(move |change, number| {
                if let Some(callback) = callback {
                    // SAFETY: the caller promises a callback that may be called on any thread until `destroy` is called.
                    callback(context.as_ptr(), change.into(), generation(number));
                }
            });
        });
    }
}

impl From<Change> for cm_change {
    fn from(change: Change) -> cm_change {
        match change {
            Change::EndedHere => cm_change::EndedHere,
            Change::EndedByServer => cm_change::EndedByServer,
            Change::EndedElsewhere => cm_change::EndedElsewhere,
            _ => cm_change::Tokens,
        }
    }
}

/// A generation for C: less than 2^53, or none.
fn generation(generation: u64) -> i64 {
    if generation == 0 { CM_NONE } else { i64::try_from(generation).unwrap_or(i64::MAX) }
}

/// How long `cm_session_tokens` has nothing to do but to give the tokens at hand. An event loop can wait for this time, and then
/// call `cm_session_tokens` on another thread. Reads no store and sends nothing.
///
/// The next action is the refresh, the end of a back-off, or the expiry of tokens that cannot be refreshed. A call of the
/// session, or another process, can change it, so ask again after each call and at least once a day.
///
/// @return milliseconds, at most 86400000 (a day); 0: now; `CM_NONE`: nothing will be due, because the tokens never expire or nobody
///         is logged in
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_next_action_ms(session: *const cm_session) -> i64 {
    const DAY: i64 = 86_400_000;
    // SAFETY: the handle follows the header's rules.
    unsafe {
        handle::get(session, CM_NONE, |session| match session.next_action() {
            Some(time) => i64::try_from(time.as_millis()).map_or(DAY, |time| time.min(DAY)),
            None => CM_NONE,
        })
    }
}

/// Refreshes the tokens in time without a call of your program, and calls the callback of `cm_session_on_change`. It is off at
/// first. Use it in a program that holds streams open for hours and must have the next tokens before the old ones expire.
///
/// One thread of the library does this for all sessions of the process. It runs while a session needs it, retries by the
/// back-off of the session, and is not inherited by the child of a fork: turn it on there again. The thread calls your
/// callbacks: that of `cm_session_on_change` and, for a store of your own, those of the store.
///
/// Turning it off, and freeing the session, return at once: a call of the thread may still be in progress then.
/// `cm_health_kept_fresh` says whether it is on.
///
/// @param on  1: on; 0: off
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_keep_fresh(session: *const cm_session, on: i32) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::get(session, (), |session| session.keep_fresh(on != 0)) }
}

/// Gives the state of the session as this process knows it. It reads no store and sends nothing. It has no `error`
/// parameter.
///
/// @param health  receives the state
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_health(session: *const cm_session, health: *mut *mut cm_health) -> cm_status {
    // SAFETY: the parameters follow the header's rules; no error is returned.
    unsafe {
        call::with_result("health", health, std::ptr::null_mut(), || {
            let health = handle::of("session", session)?.health();
            Ok(guard::make(cm_health { last_error: health.last_error.as_ref().map(cm_error::new), health }))
        })
    }
}

/// Frees a health.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_free(health: *mut cm_health) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(health) }
}

/// Whether a user is logged in, as far as this process knows. Another process may have logged out since.
///
/// @return 1 or 0
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_logged_in(health: *const cm_health) -> i32 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, 0, |health| health.health.logged_in.into()) }
}

/// A number that identifies the current tokens. It is a different number after each change.
///
/// @return the generation, less than 2^53; `CM_NONE`: this process has seen no login
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_generation(health: *const cm_health) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, CM_NONE, |health| generation(health.health.generation)) }
}

/// When the access token expires.
///
/// @return Unix seconds; `CM_NONE`: never, or nobody is logged in
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_expires_at(health: *const cm_health) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, CM_NONE, |health| health.health.expires_at.unwrap_or(CM_NONE)) }
}

/// When the session will try to refresh the tokens.
///
/// @return Unix seconds; `CM_NONE`: never, or nobody is logged in
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_next_refresh(health: *const cm_health) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, CM_NONE, |health| health.health.next_refresh.unwrap_or(CM_NONE)) }
}

/// Until when early refreshes are held off: see `cm_session_hold`.
///
/// @return Unix seconds; `CM_NONE`: they are not
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_held_until(health: *const cm_health) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, CM_NONE, |health| health.health.held_until.unwrap_or(CM_NONE)) }
}

/// How many failures there were since the last success.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_failures(health: *const cm_health) -> i32 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, 0, |health| health.health.failures.try_into().unwrap_or(i32::MAX)) }
}

/// The last failure since the last success. After `cm_session_open`: what is wrong with the content of the store.
///
/// @return the error, which belongs to the health: do not free it; NULL if there is none
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_last_error(health: *const cm_health) -> *const cm_error {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, null(), |health| health.last_error.as_ref().map_or(null(), std::ptr::from_ref)) }
}

/// Whether the current tokens are in the store. If the store did not accept them, the session tries again later. A
/// crash before that loses the result of the last refresh.
///
/// @return 1 or 0
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_saved(health: *const cm_health) -> i32 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, 0, |health| health.health.saved.into()) }
}

/// Whether a thread of this process keeps the tokens fresh: see `cm_session_keep_fresh`. It stays off if the system cannot create
/// a thread, and goes off when the client is cancelled.
///
/// @return 1 or 0
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_kept_fresh(health: *const cm_health) -> i32 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(health, 0, |health| health.health.kept_fresh.into()) }
}
