//! Session: one logged-in user, asked by any thread of any process for a token that is valid now.

use std::ptr::null;

use cmauth::bindings::{already_logged_out, with_tokens_at_hand};
use cmauth::{Health, LoggedOut, Session};
use libc::{c_int, c_void};

use crate::call;
use crate::client::cm_client;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::store::cm_store;
use crate::tokens::cm_tokens;

/// One logged-in user. Any number of threads may use it at once.
///
/// Sessions in several processes, or on several machines, that share a store share the user.
pub struct cm_session(Session);

/// How a session is. Immutable: any number of threads may read it at once. Holds no secret.
pub struct cm_health {
    health: Health,
    last_error: Option<cm_error>,
}

/// Told of a change of the session: other tokens, or none any more. `generation` is another number after each change,
/// mostly but not always a larger one; of two calls at once either may come first, and `cm_session_tokens` gives what
/// counts now. It may call the session, but must not throw.
pub type cm_session_callback = Option<unsafe extern "C" fn(context: *mut c_void, generation: u64)>;

/// Opens a session that keeps its tokens in `store`: with the ones that are there, or nobody logged in until
/// `cm_session_start`. Nothing is sent.
///
/// If what the store has is damaged, or belongs to another API key or another server, the session opens, too, so that
/// `cm_session_forget` can give it up. Until then nobody is logged in, `cm_health_last_error` says what is wrong
/// (`CM_STATUS_STORE`, advice fix), every other call fails with that error, and nothing is sent or changed.
///
/// @param client   the client; not NULL. The session keeps what it needs of it.
/// @param store    the store; not NULL. The session keeps it alive.
/// @param session  receives the session; not NULL
/// @param error    receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: a bad path or table of the store; `CM_STATUS_STORE`: it
///         cannot be read
///
/// Free the session with `cm_session_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_open(
    client: *const cm_client,
    store: *const cm_store,
    session: *mut *mut cm_session,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("session", session, error, || {
            let client = guard::handle("client", client)?;
            let store = guard::handle("store", store)?.store.clone()?;
            Ok(cm_session(Session::open_shared(&client.0, store)?))
        })
    }
}

/// Frees a session. The login lives on in the store.
///
/// @param session  the session, or NULL
///
/// Not while a call on it runs. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_free(session: *mut cm_session) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(session) }
}

/// Begins with the tokens of a login. They are in the store when this returns.
///
/// @param session  the session; not NULL
/// @param tokens   the tokens; not NULL
/// @param error    receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_STORE`: it could not be locked or written, or (advice fix) what it has is damaged
///         or of another API key or server and would be lost, call `cm_session_forget` first: the session is as before,
///         and the tokens are still good for another try; `CM_STATUS_TIMEOUT`, `_CANCELLED`
///
/// Free an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_start(
    session: *const cm_session,
    tokens: *const cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::without_result(error, || {
            let session = guard::handle("session", session)?;
            session.0.start(&guard::handle("tokens", tokens)?.core())
        })
    }
}

/// Gives tokens that are valid now. Refreshes them when they are about to end, once for all who ask, within the time of
/// one call (`cm_config_set_timeout_ms`). Where that fails while the tokens at hand have not ended, gives those; the
/// failure shows in `cm_session_health`.
///
/// With a memory or file store a refresh runs on a thread of the library, and a caller whose tokens have not ended waits
/// for it for a second at most. With a store of your own the thread of one caller does it, since your callbacks are called
/// on threads of yours alone.
///
/// After a failure the server is left alone: later calls for tokens that have ended, or were rejected, fail at once with
/// the same error, whose `cm_error_retry_after` is what is left of a pause. The pause is a second at most at first, doubles
/// with each further failure up to a minute, and is longer if the server asked for more, up to an hour. An early refresh
/// that failed is tried again after half a minute at most, then after twice as long each time, up to 10 minutes.
///
/// @param session  the session; not NULL
/// @param tokens   receives the tokens; not NULL
/// @param error    receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: nobody is logged in, or the server ended the login;
///         `CM_STATUS_STORE`: the store could not be locked or read; else as `cm_refresh`
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_tokens(
    session: *const cm_session,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = &guard::handle("session", session)?.0;
            match with_tokens_at_hand(session, cm_tokens::new) {
                Some(tokens) => Ok(tokens),
                None => Ok(cm_tokens::new(&session.tokens()?)),
            }
        })
    }
}

/// Gives other tokens, after the API answered 401 to `rejected`: those that are there already, or refreshed ones, once
/// for all who ask. Not after a 403, which other tokens would get too.
///
/// Tokens that came from such a refresh, and are rejected in their turn, are refreshed again only if they are older than
/// 15 s, twice as long each further time, 10 minutes at most: an API that rejects all tokens costs a few requests, and two
/// installations that refresh each other's tokens away settle.
///
/// @param session   the session; not NULL
/// @param rejected  the tokens that were rejected; not NULL
/// @param tokens    receives the tokens; not NULL
/// @param error     receives the details of a failure; may be NULL
/// @return as `cm_session_tokens`; the rejected tokens are not given again; `CM_STATUS_TOKEN_REJECTED` (advice retry):
///         they are too young to be refreshed again, and `cm_error_retry_after` says for how long. `cm_session_tokens` still
///         gives them, for the API may accept them elsewhere.
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_rejected(
    session: *const cm_session,
    rejected: *const cm_tokens,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let session = guard::handle("session", session)?;
            let rejected = guard::handle("rejected", rejected)?;
            Ok(cm_tokens::new(&session.0.rejected(&rejected.core())?))
        })
    }
}

/// Ends the login at the server, for all who share it, and here. An access token that has ended is refreshed first, for
/// with it the server would leave the refresh token alive.
///
/// @param session  the session; not NULL
/// @param error    receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`: the server confirmed it; `CM_STATUS_LOGIN_REQUIRED`: it was gone already, at the server or
///         here, and is cleared here; else the server could not be told and all is as before: try again, or
///         `cm_session_forget`. `CM_STATUS_STORE` also where the server was told, but the store could not be cleared.
///
/// Free an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_logout(session: *const cm_session, error: *mut *mut cm_error) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::without_result(error, || match guard::handle("session", session)?.0.logout()? {
            LoggedOut::Confirmed => Ok(()),
            LoggedOut::AlreadyGone => Err(already_logged_out()),
        })
    }
}

/// Forgets the tokens here and in the store; the server is not told. Clears a store whose content is damaged, or of
/// another API key or server, too.
///
/// @param session  the session; not NULL
/// @param error    receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_STORE`: it could not be locked or cleared; `CM_STATUS_TIMEOUT`, `_CANCELLED`
///
/// Free an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_forget(session: *const cm_session, error: *mut *mut cm_error) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe { call::without_result(error, || guard::handle("session", session)?.0.forget()) }
}

/// Sets who is told of changes, so that streams that live long can reconnect with other tokens. It is called outside all
/// locks on the thread that noticed the change, which is always one that is in a call of the session, never one of the
/// library: after a refresh in the background, the next call tells.
///
/// @param session   the session; NULL: nothing happens
/// @param callback  the function; NULL: nobody
/// @param context   passed to it; may be NULL. It must outlive the session: a call can be under way when another
///                  callback is set.
///
/// Any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_on_change(
    session: *const cm_session,
    callback: cm_session_callback,
    context: *mut c_void,
) {
    struct Listener(unsafe extern "C" fn(*mut c_void, u64), *mut c_void);
    // SAFETY: the caller promises a callback that takes calls from any thread.
    unsafe impl Send for Listener {}
    // SAFETY: as above.
    unsafe impl Sync for Listener {}
    impl Listener {
        fn tell(&self, generation: u64) {
            // SAFETY: the caller promises a callback that can be called so while the session lives.
            unsafe { (self.0)(self.1, generation) }
        }
    }

    // SAFETY: a handle as the conventions have it.
    unsafe {
        guard::get(session, (), |session| {
            let listener = callback.map(|callback| Listener(callback, context));
            session.0.on_change(move |generation| {
                if let Some(listener) = &listener {
                    listener.tell(generation);
                }
            });
        });
    }
}

/// Tells how the session is, as known here; asks nobody.
///
/// @param session  the session; not NULL
/// @param health   receives the answer; not NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`
///
/// Free it with `cm_health_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_session_health(session: *const cm_session, health: *mut *mut cm_health) -> cm_status {
    // SAFETY: parameters as the conventions have them; no error is given out.
    unsafe {
        call::with_result("health", health, std::ptr::null_mut(), || {
            let health = guard::handle("session", session)?.0.health();
            Ok(cm_health { last_error: health.last_error.as_ref().map(cm_error::new), health })
        })
    }
}

/// Frees a health.
///
/// @param health  the health, or NULL
///
/// Not while another thread uses it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_free(health: *mut cm_health) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(health) }
}

/// Whether somebody is logged in, as far as is known here: another process may have logged out since.
///
/// @param health  the health; NULL gives 0
/// @return 1 or 0
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_logged_in(health: *const cm_health) -> c_int {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.logged_in.into()) }
}

/// The number of the tokens: another one after each change.
///
/// @param health  the health; NULL gives 0
/// @return the generation; 0 where there is no login and none was here
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_generation(health: *const cm_health) -> u64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.generation) }
}

/// When the access token ends.
///
/// @param health  the health; NULL gives 0
/// @return Unix seconds; `INT64_MAX`: never, or nobody is logged in
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_expires_at(health: *const cm_health) -> i64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.expires_at.unwrap_or(i64::MAX)) }
}

/// When a refresh is tried next.
///
/// @param health  the health; NULL gives 0
/// @return Unix seconds; `INT64_MAX`: never, or nobody is logged in
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_next_refresh(health: *const cm_health) -> i64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.next_refresh.unwrap_or(i64::MAX)) }
}

/// Failures since the last success.
///
/// @param health  the health; NULL gives 0
/// @return how many
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_failures(health: *const cm_health) -> u32 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.failures) }
}

/// The last of the failures in a row; after `cm_session_open`, what is wrong with the content of the store.
///
/// @param health  the health; NULL gives NULL
/// @return the error, borrowed from the health: do not free it; NULL where there is none
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_last_error(health: *const cm_health) -> *const cm_error {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, null(), |health| health.last_error.as_ref().map_or(null(), std::ptr::from_ref)) }
}

/// Whether the store has the tokens. If it refused them, saving is tried again; until then a crash loses what a refresh
/// changed.
///
/// @param health  the health; NULL gives 0
/// @return 1 or 0
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_health_saved(health: *const cm_health) -> c_int {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(health, 0, |health| health.health.saved.into()) }
}
