//! One logged-in user, asked by any thread of any process for a token that is valid now: [`Session`].
//!
//! Whoever asks while the tokens are good gets them without waiting for anybody. Else one asker does what is to be done
//! (the *flight*: lock the store, read it, refresh, save) and all others wait for its result. Nothing here is guarded by a lock of the
//! system, so the child of a fork finds none held: the state is replaced whole, by the one who leads the flight.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::LOG;
use crate::client::{self, Client};
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::store::record::Record;
use crate::store::{Store, StoreError};
use crate::tokens::Tokens;

/// The part of a lifetime at which tokens are refreshed: from here to there, at random.
const REFRESH_FROM: f64 = 0.75;
const REFRESH_TO: f64 = 0.95;

/// The pause after an early refresh that failed, at first and at last; of a short lifetime a twentieth.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LAST_PAUSE: Duration = Duration::from_secs(600);

/// How often a lock that somebody else has is asked for, at most.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// What a holder of the store's lock needs beside the time of its request, generously.
const HOLD_MARGIN: Duration = Duration::from_secs(10);

/// A look at the clocks every so often costs nothing and keeps all times within their types.
const FAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    flight: ArcSwapOption<Flight>,
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

/// What is known of the user now. Immutable.
#[derive(Clone, Default)]
struct State {
    generation: u64,
    held: Option<Held>,
    /// Until then the tokens are handed out without a thought.
    gate: Option<Moment>,
    /// The store refused the tokens.
    unsaved: bool,
    failures: u32,
    last_error: Option<Error>,
}

#[derive(Clone)]
struct Held {
    tokens: Tokens,
    refresh_at: Option<Moment>,
    ends_at: Option<Moment>,
    lifetime: Duration,
}

/// What a caller needs.
#[derive(Clone, Copy)]
enum Want<'a> {
    Valid,
    /// The API rejected these.
    Other(&'a Tokens),
}

/// One thread at work for all who wait.
struct Flight {
    process: u32,
    /// Whether its result is what other callers want too, or only its end is awaited.
    shared: bool,
    result: OnceLock<Result<Option<Tokens>, Error>>,
}

/// Both clocks, for each fails in its way: the wall clock is set, the monotonic one stands while the machine sleeps.
#[derive(Clone, Copy)]
struct Now {
    clock: Instant,
    /// Unix milliseconds.
    wall: i64,
}

/// A time that has come when either clock says so.
#[derive(Clone, Copy)]
struct Moment {
    clock: Instant,
    wall: i64,
}

impl Now {
    fn read() -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Now { clock: Instant::now(), wall: i64::try_from(wall).unwrap_or(i64::MAX) }
    }

    /// The moment in `ms` milliseconds; at most [`FAR`] away.
    fn after(self, ms: i64) -> Moment {
        let ms = ms.clamp(0, FAR.as_millis() as i64);
        Moment { clock: self.clock + Duration::from_millis(ms.unsigned_abs()), wall: self.wall.saturating_add(ms) }
    }

    fn has_reached(self, moment: Moment) -> bool {
        self.clock >= moment.clock || self.wall >= moment.wall
    }
}

impl Moment {
    fn earlier(self, other: Moment) -> Moment {
        Moment { clock: self.clock.min(other.clock), wall: self.wall.min(other.wall) }
    }
}

impl Held {
    fn new(record: &Record, now: Now) -> Held {
        // A record from the future, by a clock that was set back since or by another machine's, is good for its
        // lifetime and no longer.
        let moment = |at: i64| now.after(at.saturating_sub(now.wall.max(record.obtained_at)));
        let ends_at = record.tokens.expires_at().map(|at| at.saturating_mul(1000));
        let lifetime = ends_at.map_or(i64::MAX, |at| at.saturating_sub(record.obtained_at).max(0));
        Held {
            tokens: record.tokens.clone(),
            refresh_at: record.refresh_at.map(moment),
            ends_at: ends_at.map(moment),
            lifetime: Duration::from_millis(lifetime.unsigned_abs()),
        }
    }

    fn is_over(&self, now: Now) -> bool {
        self.ends_at.is_some_and(|at| now.has_reached(at))
    }

    fn is_due(&self, now: Now) -> bool {
        self.refresh_at.is_some_and(|at| now.has_reached(at))
    }

    fn secrets(&self) -> [&str; 2] {
        [self.tokens.access_token().expose(), self.tokens.refresh_token().map_or("", Secret::expose)]
    }
}

impl State {
    fn of(record: &Record, now: Now) -> State {
        let held = Held::new(record, now);
        let ends = [held.refresh_at, held.ends_at].into_iter().flatten();
        let gate = ends.fold(now.after(i64::MAX), Moment::earlier);
        State { generation: record.generation, held: Some(held), gate: Some(gate), ..State::default() }
    }

    fn ended(generation: u64) -> State {
        State { generation, ..State::default() }
    }

    /// The tokens, if they are good for now without anything being done.
    fn ready(&self, now: Now) -> Option<&Tokens> {
        let gate = self.gate?;
        if now.has_reached(gate) { None } else { self.held.as_ref().map(|held| &held.tokens) }
    }

    /// The tokens, if they are what is wanted, though perhaps not for long.
    fn answers(&self, want: Want, now: Now) -> Option<&Tokens> {
        match want {
            Want::Valid => self.ready(now),
            Want::Other(rejected) => {
                let held = self.held.as_ref().filter(|held| !held.is_over(now))?;
                (held.tokens.access_token() != rejected.access_token()).then_some(&held.tokens)
            }
        }
    }

    /// The tokens that have not ended yet.
    fn alive(&self, now: Now) -> Option<&Tokens> {
        self.held.as_ref().filter(|held| !held.is_over(now)).map(|held| &held.tokens)
    }

    fn tokens(&self) -> Option<Tokens> {
        self.held.as_ref().map(|held| held.tokens.clone())
    }

    /// The same after a failure: what is still good is handed out, and the next try waits.
    fn after_failure(&self, error: &Error, now: Now) -> State {
        let mut state = self.clone();
        state.failures = self.failures.saturating_add(1);
        state.last_error = Some(error.clone());
        if let Some(held) = &self.held {
            let left = held.ends_at.map_or(LAST_PAUSE, |at| at.clock.saturating_duration_since(now.clock));
            let first = FIRST_PAUSE.min(held.lifetime / 20);
            let pause = first.saturating_mul(1 << self.failures.min(10)).min(LAST_PAUSE).min(left);
            let pause = client::jitter(pause).max(error.retry_after().unwrap_or_default());
            let next = now.after(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
            state.gate = Some(held.ends_at.map_or(next, |end| next.earlier(end)));
        }
        state
    }
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
            flight: ArcSwapOption::empty(),
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
        self.0.state.load().ready(Now::read()).cloned()
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
            let flight = match self.take_off(true) {
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
                Err(error) if flight.shared => return Err(error),
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
            match self.take_off(false) {
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

    /// Begins a flight, or gives the one under way.
    fn take_off(&self, shared: bool) -> Result<Lead<'_>, Arc<Flight>> {
        let process = std::process::id();
        let flight = Arc::new(Flight { process, shared, result: OnceLock::new() });
        loop {
            let present = self.flight.load();
            if let Some(present) = present.as_ref() {
                // The parent's, in the child of a fork, never lands here.
                if present.process == process && present.result.get().is_none() {
                    return Err(present.clone());
                }
            }
            let was = self.flight.compare_and_swap(&present, Some(flight.clone()));
            if was.as_ref().map(Arc::as_ptr) == present.as_ref().map(Arc::as_ptr) {
                return Ok(Lead { inner: self, flight });
            }
        }
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

/// The right to lead, and the duty to land: however the leader ends, those who wait are told.
struct Lead<'a> {
    inner: &'a Inner,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    fn land(self, result: Result<Option<Tokens>, Error>) {
        let _ = self.flight.result.set(result);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Set already, but where the leader panicked.
        let _ = self.flight.result.set(Err(Error::new(
            Status::Internal,
            "a bug in libcmauth: the thread that refreshed the tokens for others panicked",
            "report this line",
        )));
        // Nobody needs the tokens in it any more but who waits for it.
        let mine = Some(self.flight.clone());
        self.inner.flight.compare_and_swap(&mine, None);
        self.inner.client.wake();
    }
}

/// Unlocks at the end, a panic included.
struct Unlock<'a>(&'a dyn Store);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

/// The record of tokens that came now, with a time drawn for their refresh.
fn record(tokens: &Tokens, generation: u64, now: Now) -> Record {
    let refresh_at = tokens.expires_at().map(|ends| {
        let lifetime = ends.saturating_mul(1000).saturating_sub(now.wall).max(0);
        let part = REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * client::random();
        now.wall.saturating_add((lifetime as f64 * part) as i64)
    });
    Record { tokens: tokens.clone(), generation, obtained_at: now.wall, refresh_at }
}

fn nobody() -> Error {
    Error::new(Status::LoginRequired, "nobody is logged in", "log in")
}
