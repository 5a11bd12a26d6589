//! One logged-in user, asked by any thread of any process for a token that is valid now: [`Session`].
//!
//! A caller gets tokens that are good without waiting for anybody (`state`). Otherwise one thread does what is to be done
//! (`single_flight`, `driver`), step by step as `leader` decides, which knows neither threads nor clocks; the others wait for
//! its result. `policy` has the numbers. Nothing here is guarded by a lock of the system, so the child of a fork finds none
//! held: the state is replaced whole, by the leader alone.

mod action;
mod caller;
mod clock;
mod driver;
mod leader;
mod new_tokens;
mod policy;
mod single_flight;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::client::Client;
use crate::error::Error;
use crate::store::Store;
use crate::store::record::Owner;
use crate::tokens::Tokens;
use action::{Job, Outcome};
use clock::{CachedClock, Now};
use leader::read_record;
use single_flight::SingleFlight;
use state::{Identity, State, Want};

pub use action::LoggedOut;

#[cfg(test)]
#[path = "../../tests/simulation/mod.rs"]
mod simulation;

/// One logged-in user. Cheap to clone, used by any number of threads at once; clones are the same session.
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
/// // For each request to the API; after a 401, session.rejected(&tokens) gives others.
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
    /// Replaced by the leader of the flight alone.
    state: ArcSwap<State>,
    clock: CachedClock,
    flights: SingleFlight,
    on_change: ArcSwapOption<Callback>,
    /// How often the tokens changed, and how many of these changes the callback was told. Not the generation: two refreshes,
    /// of which the store refused one, have the same.
    changes: AtomicU64,
    reported_changes: AtomicU64,
}

type Callback = Box<dyn Fn(u64) + Send + Sync>;

/// How a session is. Holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether there are tokens. As far as is known here: another process may have logged out since.
    pub logged_in: bool,
    /// The number of the tokens: larger after each change, unless holders disagree, because a store refused tokens or their clocks
    /// differ.
    pub generation: u64,
    /// When the access token ends, in Unix seconds; `None`: never, or not logged in.
    pub expires_at: Option<i64>,
    /// When a refresh is tried next, in Unix seconds; `None`: never, or not logged in.
    pub next_refresh: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last of these.
    pub last_error: Option<Error>,
    /// Whether the store has these tokens. If not, saving is tried again with every refresh and between.
    pub saved: bool,
}

impl Session {
    /// A session of `client` that keeps its tokens in `store`: the ones that are there, or none until
    /// [`start`](Self::start). Nothing is sent.
    ///
    /// A store whose content is damaged, or belongs to another API key or server, opens too, so that
    /// [`forget`](Self::forget) can give the content up: nobody is logged in then, [`health`](Self::health) has the error, and
    /// so has every other call.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): it cannot be read.
    pub fn open(client: &Client, store: impl Store + 'static) -> Result<Session, Error> {
        Self::open_shared(client, Arc::new(store))
    }

    /// [`open`](Self::open) with a store that other sessions use too.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_shared(client: &Client, store: Arc<dyn Store>) -> Result<Session, Error> {
        let identity = Arc::new(Identity {
            owner: Owner { client_id: client.config().client_id.clone(), base_url: client.base_url().to_owned() },
            boot_id: clock::boot_id().map(str::to_owned),
        });
        let now = Now::read();
        let text = store.load().map_err(|failure| failure.to_error("be read", &[]))?;
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
            state: ArcSwap::from_pointee(state),
            clock: CachedClock::new(),
            flights: SingleFlight::default(),
            on_change: ArcSwapOption::empty(),
        })))
    }

    /// Begins with the tokens of a login. They are in the store when this returns.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): it could not be locked or written, or what it has is damaged or another key's and would
    /// be lost; the session is as before, and `tokens` are still good for another try.
    pub fn start(&self, tokens: &Tokens) -> Result<(), Error> {
        self.run_exclusive(Job::Start(tokens.clone())).map(drop)
    }

    /// Tokens that are valid now. Refreshes them when they are about to end, once for all who ask.
    ///
    /// Where that fails while the tokens at hand have not ended, they are handed out, and the failure shows in
    /// [`health`](Self::health). A caller that can have them waits for newer ones for a second at most.
    ///
    /// After a failure the server is left alone for a while, also by later calls: they fail at once with the same error,
    /// whose [`retry_after`](Error::retry_after) is what is left of that.
    ///
    /// # Errors
    /// [`LoginRequired`](crate::Status::LoginRequired): nobody is logged in, or the server ended the login.
    /// [`Store`](crate::Status::Store): the store could not be locked or read. Else as for
    /// [`Client::refresh`](crate::Client::refresh).
    pub fn tokens(&self) -> Result<Tokens, Error> {
        match self.tokens_at_hand() {
            Some(tokens) => Ok(tokens),
            None => self.provide(&Want::Valid),
        }
    }

    /// The tokens, if they are valid now and nothing need be done; never blocks. For event loops: where it gives
    /// `None`, call [`tokens`](Self::tokens) in a thread.
    pub fn tokens_at_hand(&self) -> Option<Tokens> {
        self.with_tokens_at_hand(Tokens::clone)
    }

    /// [`tokens_at_hand`](Self::tokens_at_hand), only read: threads that read at once write nothing that they share.
    pub(crate) fn with_tokens_at_hand<T>(&self, read: impl FnOnce(&Tokens) -> T) -> Option<T> {
        let inner = &*self.0;
        let state = inner.state.load();
        // A flight in the background ended since.
        if inner.changes.load(Ordering::Relaxed) != inner.reported_changes.load(Ordering::Relaxed) {
            inner.notify_change();
        }
        state.ready(inner.clock.read()).map(read)
    }

    /// Other tokens, after the API answered 401 to `rejected`: those that are there already, or refreshed, once
    /// for all who ask. Not for a 403, which other tokens would get too.
    ///
    /// Tokens that are young, after others that were rejected as well, are not refreshed again: an API that rejects all tokens
    /// costs a few requests a minute, and two installations that refresh each other's tokens away settle.
    ///
    /// # Errors
    /// As for [`tokens`](Self::tokens); the rejected ones are not handed out again.
    /// [`TokenRejected`](crate::Status::TokenRejected), advice retry: they are too young;
    /// [`retry_after`](Error::retry_after) says when they will not be.
    pub fn rejected(&self, rejected: &Tokens) -> Result<Tokens, Error> {
        self.provide(&Want::ReplacementFor(rejected.clone()))
    }

    /// Ends the login at the server, for all who share it, and here. An access token that has ended is refreshed
    /// first, for with it the server would leave the refresh token alive.
    ///
    /// # Errors
    /// The server could not be told: all is as before; try again, or [`forget`](Self::forget).
    /// [`Store`](crate::Status::Store) as well if the server was told and the store could not be cleared.
    pub fn logout(&self) -> Result<LoggedOut, Error> {
        match self.run_exclusive(Job::LogOut)? {
            Outcome::LoggedOut(how) => Ok(how),
            _ => Ok(LoggedOut::AlreadyGone),
        }
    }

    /// Forgets the tokens here and in the store; the server is not told. Clears a store whose content is damaged or another
    /// key's, too.
    ///
    /// # Errors
    /// [`Store`](crate::Status::Store): it could not be locked or cleared.
    pub fn forget(&self) -> Result<(), Error> {
        self.run_exclusive(Job::Forget).map(drop)
    }

    fn provide(&self, want: &Want) -> Result<Tokens, Error> {
        let result = self.0.provide(want);
        self.0.notify_change();
        result
    }

    fn run_exclusive(&self, job: Job) -> Result<Outcome, Error> {
        let result = self.0.run_exclusive(job);
        self.0.notify_change();
        result
    }

    /// Calls `callback` with the generation after each change: other tokens, or none any more, whoever caused it. It is called
    /// from the thread that noticed, outside all locks, so it may call the session; of two calls at once the larger
    /// generation is the later. Replaces the callback before.
    ///
    /// A callback that owns a clone of this session keeps it alive for ever: set another to end that.
    pub fn on_change(&self, callback: impl Fn(u64) + Send + Sync + 'static) {
        self.0.on_change.store(Some(Arc::new(Box::new(callback))));
    }

    /// How the session is, as known here; asks nobody.
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
        }
    }
}

impl Inner {
    /// Tells the host of a change that it was not told of, on the thread that noticed.
    fn notify_change(&self) {
        let changes = self.changes.load(Ordering::Acquire);
        if self.reported_changes.fetch_max(changes, Ordering::AcqRel) < changes
            && let Some(callback) = self.on_change.load_full()
        {
            callback(self.state.load().generation);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("health", &self.health()).finish_non_exhaustive()
    }
}
