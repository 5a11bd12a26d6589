//! One logged-in user, asked by any thread of any process for a token that is valid now: [`Session`].
//!
//! Whoever asks while the tokens are good gets them without waiting for anybody (`state`). Else one asker does what is to
//! be done (the *flight*: lock the store, read it, refresh, save) and all others wait for its result. Nothing here is
//! guarded by a lock of the system, so the child of a fork finds none held: the state is replaced whole, by the one who
//! leads the flight.

mod clock;
mod flight;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::LOG;
use crate::client::{self, Client};
use crate::error::{Error, Status};
use crate::store::record::Record;
use crate::store::{Store, StoreError};
use crate::tokens::Tokens;
use clock::{Glance, Moment, Now};
use flight::{Flight, Runway};
use state::{Held, State, Want, record};

/// How often a lock that somebody else has is asked for, at most.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// What a holder of the store's lock needs beside the time of its request, generously.
const HOLD_MARGIN: Duration = Duration::from_secs(10);

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
    /// Replaced by the leader of the flight alone.
    state: ArcSwap<State>,
    glance: Glance,
    flights: Runway,
    on_change: ArcSwapOption<Callback>,
}

type Callback = Box<dyn Fn(u64) + Send + Sync>;

/// How a logout went that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// The server ended the tokens.
    Confirmed,
    /// There was nothing to end: the server knew the login no more, or nobody was logged in.
    AlreadyGone,
}

/// How a session is. Holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether there are tokens. As far as is known here: another process may have logged out since.
    pub logged_in: bool,
    /// The number of the tokens: larger after each change.
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
    /// # Errors
    /// [`Store`](Status::Store): it cannot be read, or what it has is damaged.
    pub fn open(client: &Client, store: impl Store + 'static) -> Result<Session, Error> {
        Self::open_shared(client, Arc::new(store))
    }

    /// [`open`](Self::open) with a store that other sessions use too.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_shared(client: &Client, store: Arc<dyn Store>) -> Result<Session, Error> {
        let session = Session(Arc::new(Inner {
            client: client.clone(),
            store,
            state: ArcSwap::default(),
            glance: Glance::new(),
            flights: Runway::default(),
            on_change: ArcSwapOption::empty(),
        }));
        if let Some(record) = session.0.load()? {
            session.0.state.store(Arc::new(State::of(&record, Now::read())));
        }
        Ok(session)
    }

    /// Begins with the tokens of a login. They are in the store when this returns.
    ///
    /// # Errors
    /// [`Store`](Status::Store): it could not be locked or written, or what it has is damaged and would be lost; the
    /// session is as before, and `tokens` are still good for another try.
    pub fn start(&self, tokens: &Tokens) -> Result<(), Error> {
        self.0.alone(|inner, deadline| {
            inner.locked(deadline, |_| {
                // Newer than all refreshes of an earlier login, even by a process that slept through the change.
                let before = inner.load()?.map_or(0, |record| record.generation).max(inner.state.load().generation);
                let now = Now::read();
                let generation = (before + 1).max(now.wall.unsigned_abs());
                let record = record(tokens, generation, now);
                inner
                    .save(&record)
                    .map_err(|error| error.to_error("save the tokens", &Held::new(&record, now).secrets()))?;
                log::info!(target: LOG, "session: logged in, generation {generation}");
                inner.publish(State::of(&record, now));
                Ok(())
            })
        })
    }

    /// Tokens that are valid now. Refreshes them when they are about to end, once for all who ask.
    ///
    /// Where that fails while the tokens at hand have not ended, they are handed out, and the failure shows in
    /// [`health`](Self::health).
    ///
    /// # Errors
    /// [`LoginRequired`](Status::LoginRequired): nobody is logged in, or the server ended the login.
    /// [`Store`](Status::Store): the store could not be locked or read. Else as for
    /// [`Client::refresh`](crate::Client::refresh).
    pub fn tokens(&self) -> Result<Tokens, Error> {
        if let Some(tokens) = self.tokens_at_hand() {
            return Ok(tokens);
        }
        let result = self.0.settle(Want::Valid);
        match &result {
            Err(error) if !matches!(error.status(), Status::LoginRequired | Status::Cancelled) => {
                self.0.state.load().alive(Now::read()).cloned().ok_or(()).or(result)
            }
            _ => result,
        }
    }

    /// The tokens, if they are valid now and nothing need be done; never blocks. For event loops: where it gives
    /// `None`, call [`tokens`](Self::tokens) in a thread.
    pub fn tokens_at_hand(&self) -> Option<Tokens> {
        self.with_tokens_at_hand(Tokens::clone)
    }

    /// [`tokens_at_hand`](Self::tokens_at_hand), only read: threads that read at once write nothing that they share.
    pub fn with_tokens_at_hand<T>(&self, read: impl FnOnce(&Tokens) -> T) -> Option<T> {
        self.0.state.load().ready(self.0.glance.read()).map(read)
    }

    /// Other tokens, after the API answered 401 to `rejected`: those that are there already, or refreshed, once
    /// for all who ask. Not for a 403, which other tokens would get too.
    ///
    /// # Errors
    /// As for [`tokens`](Self::tokens); the rejected ones are not handed out again.
    pub fn rejected(&self, rejected: &Tokens) -> Result<Tokens, Error> {
        let want = Want::Other(rejected);
        if let Some(tokens) = self.0.state.load().answers(want, Now::read()) {
            return Ok(tokens.clone());
        }
        self.0.settle(want)
    }

    /// Ends the login at the server, for all who share it, and here. An access token that has ended is refreshed
    /// first, for with it the server would leave the refresh token alive.
    ///
    /// # Errors
    /// The server could not be told: all is as before; try again, or [`forget`](Self::forget).
    /// [`Store`](Status::Store) as well if the server was told and the store could not be cleared.
    pub fn logout(&self) -> Result<LoggedOut, Error> {
        self.0.alone(|inner, deadline| inner.locked(deadline, |deadline| inner.log_out(deadline)))
    }

    /// Forgets the tokens here and in the store; the server is not told. Clears a store whose content is damaged, too.
    ///
    /// # Errors
    /// [`Store`](Status::Store): it could not be locked or cleared.
    pub fn forget(&self) -> Result<(), Error> {
        self.0.alone(|inner, deadline| {
            inner.locked(deadline, |_| {
                let before = inner.load().ok().flatten().map_or(0, |record| record.generation);
                let generation = before.max(inner.state.load().generation) + 1;
                inner.clear(generation)?;
                log::info!(target: LOG, "session: forgotten");
                inner.publish(State::ended(generation));
                Ok(())
            })
        })
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
        let seconds = |moment: Moment| moment.wall.div_euclid(1000);
        Health {
            logged_in: state.held.is_some(),
            generation: state.generation,
            expires_at: state.held.as_ref().and_then(|held| held.tokens.expires_at()),
            next_refresh: state.held.as_ref().and_then(|held| held.refresh_at).and(state.gate).map(seconds),
            failures: state.failures,
            last_error: state.last_error.clone(),
            saved: !state.unsaved,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Gets what is wanted, by leading a flight or by waiting for one.
    fn settle(&self, want: Want) -> Result<Tokens, Error> {
        let deadline = Instant::now() + self.client.timeout();
        loop {
            let flight = match self.flights.take_off(&self.client, true) {
                Ok(lead) => {
                    let before = self.state.load().generation;
                    let result = self.lead(want, deadline);
                    lead.land(result.clone().map(Some));
                    self.tell_of_change(before);
                    return result;
                }
                Err(flight) => flight,
            };
            match self.wait_for(&flight, deadline)? {
                Ok(Some(tokens)) if flight.shared => match want {
                    Want::Other(rejected) if tokens.access_token() == rejected.access_token() => {}
                    // Just fetched: handed out even if its lifetime is 0 s.
                    _ => return Ok(tokens),
                },
                // One that was interrupted was so for its leader alone.
                Err(error) if flight.shared && error.status() != Status::Cancelled => return Err(error),
                // A login, a logout: look again.
                _ => {}
            }
            if let Some(tokens) = self.state.load().answers(want, Now::read()) {
                return Ok(tokens.clone());
            }
        }
    }

    /// What the leader does: the tokens that are wanted, or what keeps it from them, which is noted.
    fn lead(&self, want: Want, deadline: Instant) -> Result<Tokens, Error> {
        // Another flight may have landed since the caller looked.
        if let Some(tokens) = self.state.load().answers(want, Now::read()) {
            return Ok(tokens.clone());
        }
        let result = self.locked(deadline, |deadline| {
            let state = self.adopt()?;
            let now = Now::read();
            if let Some(tokens) = state.answers(want, now) {
                return Ok(tokens.clone());
            }
            let Some(held) = &state.held else {
                return Err(nobody());
            };
            if matches!(want, Want::Valid) && !held.is_over(now) && !held.is_due(now) {
                // The gate was for saving again, or for a look at the clocks.
                return Ok(held.tokens.clone());
            }
            self.refresh(&state, held, deadline)
        });
        if let Err(error) = &result
            && !matches!(error.status(), Status::Cancelled)
        {
            let state = self.state.load();
            // Where the login has ended there is nothing to try again.
            if state.held.is_some() {
                self.state.store(Arc::new(state.after_failure(error, Now::read())));
            }
        }
        result
    }

    /// Takes over what the store has, if it is not what is known here; tries again to save what it refused.
    fn adopt(&self) -> Result<Arc<State>, Error> {
        let state = self.state.load_full();
        let now = Now::read();
        let stored = self.load()?;
        let stored_generation = stored.as_ref().map(|record| record.generation);
        if state.unsaved && stored_generation.is_some_and(|stored| stored < state.generation) {
            return Ok(self.save_again(&state, now));
        }
        match stored {
            Some(record) if record.generation == state.generation && state.held.is_some() => {
                // The same: only the gate is new.
                let fresh = State::of(&record, now);
                let state = Arc::new(State { gate: fresh.gate, ..State::clone(&state) });
                self.state.store(state.clone());
                Ok(state)
            }
            Some(record) => {
                log::info!(target: LOG, "session: took generation {} from the store", record.generation);
                Ok(self.publish(State::of(&record, now)))
            }
            None if state.held.is_none() => Ok(state),
            None => {
                log::info!(target: LOG, "session: ended by another holder of the store");
                Ok(self.publish(State::ended(state.generation + 1)))
            }
        }
    }

    /// The server's new tokens, saved before anybody sees them.
    fn refresh(&self, state: &State, held: &Held, deadline: Instant) -> Result<Tokens, Error> {
        let Some(refresh_token) = held.tokens.refresh_token() else {
            return Err(Error::new(
                Status::LoginRequired,
                "the access token ended and there is no refresh token",
                "log in again",
            ));
        };
        let begun = Now::read();
        let generation = state.generation + 1;
        let tokens = match self.client.refresh_until(refresh_token.expose(), deadline) {
            Ok(tokens) => tokens,
            Err(error) => {
                if error.status() == Status::LoginRequired {
                    // Definite: the store was read under its lock, so this is the newest refresh token there is.
                    match self.store.clear(generation) {
                        // Somebody logged in meanwhile.
                        Err(StoreError::Newer) => {}
                        result => {
                            if let Err(failure) = result {
                                log::warn!(target: LOG, "session: {}", failure.to_error("be cleared", &held.secrets()));
                            }
                            self.publish(State::ended(generation));
                        }
                    }
                }
                return Err(error);
            }
        };
        let record = record(&tokens, generation, begun);
        let now = Now::read();
        let fresh = State::of(&record, now);
        match self.save(&record) {
            Ok(()) => {
                log::info!(target: LOG, "session: refreshed, generation {generation}");
                self.publish(fresh);
            }
            // Whoever was faster has tokens from the server, too; if they are not good, rejected() mends it.
            Err(StoreError::Newer) => {
                let theirs = self.adopt()?;
                return theirs.tokens().ok_or_else(nobody);
            }
            // The old ones ended with the refresh: these are the only good ones.
            Err(failure) => {
                let mut secrets = fresh.held.as_ref().map(Held::secrets).unwrap_or_default().to_vec();
                secrets.extend(held.secrets());
                let error = failure.to_error("save the tokens", &secrets);
                log::error!(target: LOG, "session: {}: {error}", error.status().name());
                let unsaved = State { unsaved: true, failures: state.failures, ..fresh };
                self.publish(unsaved.after_failure(&error, now));
            }
        }
        Ok(tokens)
    }

    /// Saves what the store refused when it was new.
    fn save_again(&self, state: &State, now: Now) -> Arc<State> {
        let Some(held) = &state.held else {
            return Arc::new(state.clone());
        };
        let record = Record {
            tokens: held.tokens.clone(),
            generation: state.generation,
            obtained_at: now.wall,
            refresh_at: held.refresh_at.map(|at| at.wall),
        };
        let next = match self.save(&record) {
            Ok(()) => {
                log::info!(target: LOG, "session: saved, generation {}", state.generation);
                State::of(&record, now)
            }
            Err(failure) => state.after_failure(&failure.to_error("save the tokens", &held.secrets()), now),
        };
        let next = Arc::new(next);
        self.state.store(next.clone());
        next
    }

    fn log_out(&self, deadline: Instant) -> Result<LoggedOut, Error> {
        let state = self.adopt()?;
        let Some(held) = &state.held else {
            return Ok(LoggedOut::AlreadyGone);
        };
        let mut access_token = held.tokens.access_token().clone();
        let mut refreshed = false;
        loop {
            if refreshed || !held.is_over(Now::read()) {
                match self.client.logout_until(access_token.expose(), deadline) {
                    Ok(()) => return self.gone(LoggedOut::Confirmed),
                    Err(error) if error.status() == Status::TokenRejected && !refreshed => {}
                    Err(error) => return Err(error),
                }
            }
            // With an access token that has ended the server would leave the refresh token alive.
            if held.tokens.refresh_token().is_none() {
                return self.gone(LoggedOut::AlreadyGone);
            }
            match self.refresh(&state, held, deadline) {
                Ok(tokens) => access_token = tokens.access_token().clone(),
                Err(error) if error.status() == Status::LoginRequired => return self.gone(LoggedOut::AlreadyGone),
                Err(error) => return Err(error),
            }
            refreshed = true;
        }
    }

    /// Clears what is kept of a login that is no more.
    fn gone(&self, how: LoggedOut) -> Result<LoggedOut, Error> {
        let generation = self.state.load().generation + 1;
        let cleared = self.clear(generation);
        log::info!(target: LOG, "session: logged out");
        self.publish(State::ended(generation));
        cleared.map(|()| how)
    }

    /// Runs `body` as the only flight: after the one under way, and with everybody else waiting for its end.
    fn alone<T>(&self, body: impl FnOnce(&Inner, Instant) -> Result<T, Error>) -> Result<T, Error> {
        let deadline = Instant::now() + self.client.timeout();
        let lead = loop {
            match self.flights.take_off(&self.client, false) {
                Ok(lead) => break lead,
                Err(flight) => drop(self.wait_for(&flight, deadline)?),
            }
        };
        let before = self.state.load().generation;
        let result = body(self, deadline);
        lead.land(Ok(None));
        self.tell_of_change(before);
        result
    }

    /// The result of somebody else's flight.
    fn wait_for(&self, flight: &Flight, deadline: Instant) -> Result<Result<Option<Tokens>, Error>, Error> {
        match self.client.wait(deadline, || flight.result.get().cloned())? {
            Some(result) => Ok(result),
            None => Err(Error::new(
                Status::Timeout,
                "the tokens were not refreshed within the call's time",
                "try again later",
            )),
        }
    }

    /// Runs `body` under the store's lock, with the deadline for its requests.
    fn locked<T>(&self, deadline: Instant, body: impl FnOnce(Instant) -> Result<T, Error>) -> Result<T, Error> {
        let timeout = self.client.timeout();
        // A refresh begun with a moment to go would only be lost.
        let until = deadline - timeout / 4;
        loop {
            match self.store.try_lock(timeout + HOLD_MARGIN) {
                Ok(true) => break,
                Ok(false) => {}
                Err(failure) => return Err(self.error(&failure, "be locked")),
            }
            if Instant::now() >= until {
                let what =
                    format!("the store is locked by somebody else, for {} ms now", (timeout * 3 / 4).as_millis());
                return Err(Error::new(Status::Store, what, "try again later"));
            }
            self.client.pause(client::jitter(LOCK_POLL))?;
        }
        let unlock = Unlock(&*self.store);
        let result = body(deadline);
        drop(unlock);
        result
    }

    fn load(&self) -> Result<Option<Record>, Error> {
        match self.store.load() {
            Ok(None) => Ok(None),
            Ok(Some(text)) => Record::from_text(&text).map(Some),
            Err(failure) => Err(self.error(&failure, "be read")),
        }
    }

    fn save(&self, record: &Record) -> Result<(), StoreError> {
        self.store.save(&record.to_text(), record.generation)?;
        log::debug!(target: LOG, "session: stored generation {}", record.generation);
        Ok(())
    }

    fn clear(&self, generation: u64) -> Result<(), Error> {
        match self.store.clear(generation) {
            // What is there now is somebody else's login.
            Ok(()) | Err(StoreError::Newer) => Ok(()),
            Err(failure) => Err(self.error(&failure, "be cleared")),
        }
    }

    /// A failure of the store, with nothing of the tokens that are known here.
    fn error(&self, failure: &StoreError, doing: &str) -> Error {
        let state = self.state.load();
        failure.to_error(doing, state.held.as_ref().map(Held::secrets).as_ref().map_or(&[], |secrets| secrets))
    }

    fn publish(&self, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.state.store(state.clone());
        state
    }

    /// Tells the host, if the generation is another than `before`.
    fn tell_of_change(&self, before: u64) {
        let generation = self.state.load().generation;
        if generation != before
            && let Some(callback) = self.on_change.load_full()
        {
            callback(generation);
        }
    }
}

/// Unlocks at the end, a panic included.
struct Unlock<'a>(&'a dyn Store);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

fn nobody() -> Error {
    Error::new(Status::LoginRequired, "nobody is logged in", "log in")
}
