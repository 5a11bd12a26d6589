//! [`Session`]: one logged-in user. Any thread of any process can ask it for a token that is valid now.
//!
//! - `state`: an immutable snapshot of what this process knows about the user. If its tokens are still good, a caller gets
//!   them from the snapshot without waiting.
//! - `single_flight`, `caller`: otherwise one thread (the leader) does the work, and the other callers wait for its result.
//!   One such piece of work is a flight.
//! - `leader`: decides the steps of that work. It is a state machine without threads, clocks and I/O.
//! - `driver`: carries out the steps: it calls the store and the server, waits, and publishes the new snapshot.
//! - `action`, `new_tokens`: the types that `leader` and `driver` exchange, and the record of tokens just issued.
//! - `keeper`: the thread that asks a session for tokens in time, if the program wants that.
//! - `policy`: when to refresh, and how long to back off.
//!
//! No mutex guards a session, because a child of a fork could inherit it locked. The leader replaces the whole snapshot.

mod action;
mod caller;
mod driver;
mod keeper;
mod leader;
mod new_tokens;
mod policy;
mod single_flight;
mod state;
mod timed_store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::client::Client;
use crate::clock::{self, CachedClock, Now};
use crate::error::{Advice, Error, Status};
use crate::origin::{Origin, with_parameter};
use crate::secret::Secret;
use crate::signed_url::SignedUrl;
use crate::store::record::Owner;
use crate::store::{self, Store};
use crate::sync::process_id;
use crate::tokens::Tokens;
use action::{Job, Outcome};
use leader::read_record;
use single_flight::SingleFlight;
use state::{Identity, State, Want};

pub use action::LoggedOut;

#[cfg(test)]
#[path = "../../tests/simulation/mod.rs"]
mod simulation;

/// One logged-in user. A clone is cheap and refers to the same session. Any number of threads can use it at once.
///
/// ```no_run
/// # fn main() -> Result<(), cmauth::Error> {
/// # let config = cmauth::Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
/// # let client = cmauth::Client::new(&config)?;
/// # fn log_in() -> cmauth::Tokens { unimplemented!() }
/// let session = cmauth::Session::open(&client, cmauth::FileStore::new("/var/lib/recorder/cameramanager"))?;
/// if !session.health().logged_in {
///     session.start(&log_in())?;
/// }
/// // Call this for each request to the API. After a 401, session.rejected(&tokens) returns other tokens.
/// let tokens = session.tokens()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    client: Client,
    store: Arc<dyn Store>,
    identity: Arc<Identity>,
    /// Only the leader of the flight replaces it.
    state: ArcSwap<State>,
    clock: CachedClock,
    flights: SingleFlight,
    on_change: ArcSwapOption<Callback>,
    /// How many times the tokens changed, and how many of these changes were reported to the callback. The generation cannot
    /// count them: if the store refuses the tokens of one refresh, the next refresh can give its tokens the same generation.
    changes: AtomicU64,
    reported_changes: AtomicU64,
    /// The process whose keeper keeps the tokens fresh, or 0.
    kept_by: AtomicU32,
}

type Callback = Box<dyn Fn(Change, u64) + Send + Sync>;

/// What the last change of a session was. See [`Session::on_change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The session has other tokens: by a login, by a refresh, or from the store.
    Tokens,
    /// A [`logout`](Session::logout) or [`forget`](Session::forget) of this session ended the login.
    EndedHere,
    /// The server rejected the refresh token.
    EndedByServer,
    /// Another session, process or machine removed the tokens from the store.
    EndedElsewhere,
}

/// What a use of tokens resulted in. See [`Session::with_tokens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// Any result, also a failure for another reason than the tokens.
    Done(T),
    /// The API answered 401.
    Rejected,
}

/// State of a session, as this process knows it. Contains no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether there are tokens. Another process may have logged out since this process last read the store.
    pub logged_in: bool,
    /// A number that identifies the current tokens. It grows with each change, unless sessions on the same store disagree:
    /// after the store refused a save, or if the clocks of their machines differ.
    pub generation: u64,
    /// When the access token expires, in Unix seconds. `None`: never, or no user is logged in.
    pub expires_at: Option<i64>,
    /// When the session will try the next refresh, in Unix seconds. `None`: never, or no user is logged in.
    pub next_refresh: Option<i64>,
    /// Number of failures since the last success.
    pub failures: u32,
    /// The last of these failures.
    pub last_error: Option<Error>,
    /// Whether the store has these tokens. If it does not, the session tries again to save them.
    pub saved: bool,
    /// Until when early refreshes are held off, in Unix seconds: see [`Session::hold`]. `None`: they are not.
    pub held_until: Option<i64>,
    /// Whether a thread of this process keeps the tokens fresh: see [`Session::keep_fresh`].
    pub kept_fresh: bool,
}

impl Session {
    /// Opens a session of `client` that keeps its tokens in `store`. If the store already has tokens, the session uses them;
    /// otherwise no user is logged in until [`start`](Self::start). Sends nothing.
    ///
    /// If the content of the store is damaged, or belongs to another API key or server, the session opens too, so that
    /// [`forget`](Self::forget) can remove the content. Until then no user is logged in, and [`health`](Self::health) and every
    /// other call report the error.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): the store cannot be read. [`InvalidArgument`](crate::Status::InvalidArgument): the store
    /// was made with a path that cannot be used.
    pub fn open(client: &Client, store: impl Store + 'static) -> Result<Session, Error> {
        Self::open_shared(client, Arc::new(store))
    }

    /// [`open`](Self::open) with a store that several sessions share.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_shared(client: &Client, store: Arc<dyn Store>) -> Result<Session, Error> {
        let identity = Arc::new(Identity {
            owner: Owner { client_id: client.config().client_id.clone(), base_url: client.base_url().to_owned() },
            boot_id: clock::boot_id().map(str::to_owned),
        });
        client.check_cancelled()?;
        store.check()?;
        let now = Now::read();
        let deadline = Instant::now() + client.timeout();
        let text = store::with_deadline(deadline, || store.load()).map_err(|error| error.to_error("be read", &[]))?;
        let state = match read_record(text.as_ref(), &identity) {
            Ok(Some(record)) => State::from_record(record, &identity, now),
            Ok(None) => State::logged_out(0, now),
            Err(error) => State { store_failures: 1, last_error: Some(error), ..State::logged_out(0, now) },
        };
        Ok(Session(Arc::new(Inner {
            client: client.clone(),
            store,
            identity,
            changes: AtomicU64::new(0),
            reported_changes: AtomicU64::new(0),
            kept_by: AtomicU32::new(0),
            state: ArcSwap::from_pointee(state),
            clock: CachedClock::new(),
            flights: SingleFlight::default(),
            on_change: ArcSwapOption::empty(),
        })))
    }

    /// Starts the session with the tokens of a new login. When this returns without an error, the store has the tokens.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): the store could not be locked or written, or its content is damaged or belongs to
    /// another API key or server and would be lost. The session is unchanged, and `tokens` can be used for another try.
    pub fn start(&self, tokens: &Tokens) -> Result<(), Error> {
        self.run_exclusive(Job::Start(tokens.clone())).map(drop)
    }

    /// Returns tokens that are valid now. Refreshes them shortly before they expire, once for all callers.
    ///
    /// If the refresh fails and the current tokens have not expired, this returns the current tokens, and
    /// [`health`](Self::health) shows the failure. A caller for whom unexpired tokens exist waits at most one second for newer
    /// ones.
    ///
    /// After a failure the session backs off: until [`retry_after`](Error::retry_after) has passed, every call that needs the
    /// server fails at once with the same error.
    ///
    /// # Errors
    /// [`LoginRequired`](crate::Status::LoginRequired): no user is logged in, or the server ended the login.
    /// [`Store`](crate::Status::Store): the store could not be locked or read. Otherwise as for
    /// [`Client::refresh`](crate::Client::refresh).
    ///
    /// [`Cancelled`](crate::Status::Cancelled): the client was cancelled, also if there are valid tokens.
    pub fn tokens(&self) -> Result<Tokens, Error> {
        match self.tokens_at_hand() {
            Some(tokens) => Ok(tokens),
            None => self.provide(&Want::ValidFor(0)),
        }
    }

    /// Returns tokens that are valid for at least `min_validity` longer, and refreshes them first if they are not. For a job that
    /// must end with the tokens that it began with, such as an export of a recording. Another caller can refresh them all the same:
    /// [`hold`](Self::hold) prevents that.
    ///
    /// # Errors
    /// As for [`tokens`](Self::tokens). [`InvalidArgument`](Status::InvalidArgument): tokens that the server has just issued do not
    /// last that long, or would have to be refreshed again within a tenth of their lifetime; the message says how much can be
    /// asked for. [`TokenRejected`](Status::TokenRejected), advice retry: the tokens are held, and end too early;
    /// [`retry_after`](Error::retry_after) says when the hold ends.
    pub fn tokens_for(&self, min_validity: Duration) -> Result<Tokens, Error> {
        let min_left = i64::try_from(min_validity.as_millis()).unwrap_or(i64::MAX);
        self.provide(&Want::ValidFor(min_left))
    }

    /// Holds early refreshes off until `until` (Unix seconds), for all sessions on the store, and returns the tokens that are held.
    /// A refresh ends the old access token at once, so a job with a long download holds the tokens while it runs.
    ///
    /// A hold never lasts longer than the tokens, and a shorter one does not end a longer one. It does not prevent a refresh after a
    /// 401, a logout, or a refresh by a program that does not use this store. It is the end of the held time that the tokens are
    /// refreshed at, if that is later than planned; no thread waits for it. Tokens that do not expire need no hold.
    ///
    /// Use [`tokens_for`](Self::tokens_for) first if the tokens must last until then.
    ///
    /// # Errors
    /// As for [`tokens`](Self::tokens). [`Store`](crate::Status::Store): the hold could not be saved.
    pub fn hold(&self, until: i64) -> Result<Tokens, Error> {
        self.tokens()?;
        match self.run_exclusive(Job::Hold(until.saturating_mul(1000)))? {
            Outcome::Tokens(tokens) => Ok(tokens),
            _ => Err(Error::new(Status::Internal, "a bug in libcmauth: no tokens", "report this message")),
        }
    }

    /// Returns `url` with the access token as the query parameter `access_token`, which the vendor's API requires for downloads of
    /// recordings. The token is percent-encoded, and replaces one that is there. The rest of the URL stays as it is, so encode the
    /// `+` of a time as `%2B`.
    ///
    /// The token is one of [`tokens`](Self::tokens), and the URL is as secret as the token. Prefer the header `Authorization` where
    /// the API accepts it: servers and proxies log URLs.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the URL may not get the token; see [`Client::check_url`]. Otherwise as for
    /// [`tokens`](Self::tokens).
    pub fn sign_url(&self, url: &str) -> Result<SignedUrl, Error> {
        self.sign_url_or(url, &[])
    }

    /// [`sign_url`](Self::sign_url) with further origins.
    pub(crate) fn sign_url_or(&self, url: &str, allowed: &[Origin]) -> Result<SignedUrl, Error> {
        self.0.client.check_url_or(url, allowed)?;
        let tokens = self.tokens()?;
        let signed = with_parameter(url, "access_token", tokens.access_token().expose());
        Ok(SignedUrl::new(Secret::from(signed), tokens.expires_at()))
    }

    /// The client of this session.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Returns the tokens if they are valid now and no work is due. Never blocks. For event loops: if this returns `None`, call
    /// [`tokens`](Self::tokens) on another thread, which refreshes them or returns the error.
    pub fn tokens_at_hand(&self) -> Option<Tokens> {
        self.with_tokens_at_hand(Tokens::clone)
    }

    /// [`tokens_at_hand`](Self::tokens_at_hand) without a clone. Threads that call this at once write no shared memory.
    pub(crate) fn with_tokens_at_hand<T>(&self, read: impl FnOnce(&Tokens) -> T) -> Option<T> {
        let inner = &*self.0;
        if inner.client.is_cancelled() {
            return None;
        }
        let state = inner.state.load();
        // A flight in the background may have ended since the last call.
        if inner.changes.load(Ordering::Relaxed) != inner.reported_changes.load(Ordering::Relaxed) {
            inner.notify_change();
        }
        state.ready(inner.clock.read()).map(read)
    }

    /// Returns other tokens after the API answered 401 to `rejected`: tokens that already replaced them, or the result of a
    /// refresh that is shared by all callers. Do not use it after a 403, which other tokens would get too.
    ///
    /// If tokens are rejected that were themselves obtained because of a rejection, they are not refreshed again until they
    /// have a minimum age. So an API that rejects all tokens costs a few requests a minute, and two installations that
    /// invalidate each other's tokens do not refresh in an endless loop.
    ///
    /// # Errors
    /// As for [`tokens`](Self::tokens); the rejected tokens are never returned.
    /// [`TokenRejected`](crate::Status::TokenRejected), advice retry: the tokens are too young;
    /// [`retry_after`](Error::retry_after) says when they are old enough.
    pub fn rejected(&self, rejected: &Tokens) -> Result<Tokens, Error> {
        self.provide(&Want::ReplacementFor(rejected.access_token().clone()))
    }

    /// [`rejected`](Self::rejected) for a caller that has only the access token, such as a middleware of an HTTP library.
    ///
    /// # Errors
    /// As for [`rejected`](Self::rejected).
    pub fn rejected_token(&self, access_token: &str) -> Result<Tokens, Error> {
        self.provide(&Want::ReplacementFor(Secret::new(access_token)))
    }

    /// Calls `use_tokens` with [`tokens`](Self::tokens). If it returns [`Rejected`](Answer::Rejected), because the API answered
    /// 401, calls it once more, with the tokens of [`rejected`](Self::rejected). Returns what `use_tokens` returned.
    ///
    /// ```no_run
    /// # fn get(_: &cmauth::Tokens) -> (u16, String) { unimplemented!() }
    /// # fn cameras(session: &cmauth::Session) -> Result<String, cmauth::Error> {
    /// use cmauth::Answer;
    /// session.with_tokens(|tokens| match get(tokens) {
    ///     (401, _) => Answer::Rejected,
    ///     (_, body) => Answer::Done(body),
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`rejected`](Self::rejected). [`TokenRejected`](crate::Status::TokenRejected), advice retry: the API rejected both.
    pub fn with_tokens<T>(&self, mut use_tokens: impl FnMut(&Tokens) -> Answer<T>) -> Result<T, Error> {
        let first = self.tokens()?;
        if let Answer::Done(result) = use_tokens(&first) {
            return Ok(result);
        }
        match use_tokens(&self.rejected(&first)?) {
            Answer::Done(result) => Ok(result),
            Answer::Rejected => {
                let what = "the API rejected the tokens, and then the tokens that replaced them";
                let remedy = "try again later; if it happens again, check whether the API belongs to this server";
                Err(Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy))
            }
        }
    }

    /// How long [`tokens`](Self::tokens) has nothing to do but to return the tokens at hand: until the refresh, the end of a
    /// back-off, or the expiry of tokens that cannot be refreshed. `None`: nothing will be due, because the tokens do not expire
    /// or nobody is logged in. For event loops. Calls neither the store nor the server.
    ///
    /// Ask again after each call of the session: another call, or another process, can change it.
    pub fn next_action(&self) -> Option<Duration> {
        let left = self.0.state.load().next_action(Now::read())?;
        Some(Duration::from_millis(left.unsigned_abs()))
    }

    /// Ends the login at the server, for all processes that share it, and in the store (step 6 of the guide). If the access
    /// token has expired, it is refreshed first: with an expired access token the server would not end the refresh token.
    ///
    /// # Errors
    /// If the server could not be reached or refused the request, the session is unchanged: try again, or
    /// [`forget`](Self::forget). [`Store`](crate::Status::Store) also if the server ended the login but the store could not be
    /// cleared.
    pub fn logout(&self) -> Result<LoggedOut, Error> {
        match self.run_exclusive(Job::LogOut)? {
            Outcome::LoggedOut(how) => Ok(how),
            _ => Ok(LoggedOut::AlreadyGone),
        }
    }

    /// Removes the tokens from this session and the store, without a request to the server. Also removes content that is
    /// damaged or belongs to another API key or server.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): the store could not be locked or cleared.
    pub fn forget(&self) -> Result<(), Error> {
        self.run_exclusive(Job::Forget).map(drop)
    }

    fn provide(&self, want: &Want) -> Result<Tokens, Error> {
        self.0.client.check_cancelled()?;
        let result = self.0.client.logged(|| self.0.provide(want));
        self.0.notify_change();
        result
    }

    fn run_exclusive(&self, job: Job) -> Result<Outcome, Error> {
        self.0.client.check_cancelled()?;
        let result = self.0.client.logged(|| self.0.run_exclusive(job));
        self.0.notify_change();
        result
    }

    /// Sets the function that is called after each change of the tokens, with the kind of the change and the generation. If
    /// several changes were not reported yet, it is called once, with the last one. The function runs on the thread that noticed
    /// the change, without any lock, so it may call the session. If two calls run at once, their order has no meaning:
    /// [`tokens`](Self::tokens) returns the current tokens. Replaces the function that was set before.
    ///
    /// If the function owns a clone of this session, the session is never freed. Set another function to end that.
    pub fn on_change(&self, callback: impl Fn(Change, u64) + Send + Sync + 'static) {
        self.0.on_change.store(Some(Arc::new(Box::new(callback))));
    }

    /// Whether a thread of the library refreshes the tokens in time, without a call of the program. It is off at first. The
    /// thread is one for all sessions of a process, and ends when no session needs it. It calls [`tokens`](Self::tokens), so it
    /// retries by the back-off of the session, and calls the function of [`on_change`](Self::on_change). It also calls a store
    /// that does not allow calls from the background. The child of a fork has no such thread: turn it on there again.
    ///
    /// Turning it off, or freeing the last clone of the session, does not wait for a call in progress.
    /// [`Health::kept_fresh`] says whether it is on; it stays off if the system cannot create a thread, and it goes off when the
    /// client is cancelled.
    pub fn keep_fresh(&self, on: bool) {
        if on {
            self.0.kept_by.store(process_id(), Ordering::Release);
            if !keeper::keep(&self.0) {
                self.0.kept_by.store(0, Ordering::Release);
            }
        } else if self.0.kept_by.swap(0, Ordering::AcqRel) != 0 {
            keeper::release(Arc::as_ptr(&self.0));
        }
    }

    /// State of the session, as this process knows it. Calls neither the store nor the server.
    pub fn health(&self) -> Health {
        let state = self.0.state.load();
        let current = state.current.as_ref();
        Health {
            logged_in: current.is_some(),
            generation: state.generation,
            expires_at: current.and_then(|current| current.tokens().expires_at()),
            next_refresh: state.next_refresh(Now::read()),
            failures: state.failures(),
            last_error: state.last_error.clone(),
            saved: !state.unsaved,
            held_until: state.held_until(Now::read()),
            kept_fresh: self.0.is_kept(),
        }
    }
}

impl Inner {
    fn is_kept(&self) -> bool {
        // The ID is asked for only if it is needed: that is a system call.
        let kept_by = self.kept_by.load(Ordering::Acquire);
        kept_by != 0 && kept_by == process_id()
    }

    /// Reports a change to the callback, if it was not reported yet, on the calling thread.
    fn notify_change(&self) {
        let changes = self.changes.load(Ordering::Acquire);
        if self.reported_changes.fetch_max(changes, Ordering::AcqRel) < changes
            && let Some(callback) = self.on_change.load_full()
        {
            let state = self.state.load_full();
            callback(state.change(), state.generation);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.is_kept() {
            keeper::notify();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("health", &self.health()).finish_non_exhaustive()
    }
}
