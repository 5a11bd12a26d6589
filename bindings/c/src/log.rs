//! Log: one line an event, for your own log. Without secrets, and off until asked for.

use std::sync::{Once, OnceLock, PoisonError, RwLock};

use libc::{c_char, c_int, c_void};
use log::{LevelFilter, Log, Metadata, Record};

use crate::guard;
use crate::text::Text;

/// How much is logged. Each level has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum cm_log_level {
    /// Nothing.
    Off = 0,
    /// Calls that were sent and failed, or were cancelled.
    Error = 1,
    /// Requests that are sent again, and why; redirects that do not belong to their login.
    Warn = 2,
    /// Calls that succeeded.
    Info = 3,
    /// Every request and answer.
    Debug = 4,
}

/// Receives a line of the log, without an end of line. `line` is valid until the function returns. It is called on
/// whatever thread is in a call, and on those on which the library refreshes the tokens of sessions, several at once; it
/// must not call this library, nor throw.
pub type cm_log_callback = Option<unsafe extern "C" fn(context: *mut c_void, level: cm_log_level, line: *const c_char)>;

#[derive(Clone, Copy)]
struct Sink {
    callback: unsafe extern "C" fn(*mut c_void, cm_log_level, *const c_char),
    context: *mut c_void,
}

// SAFETY: the caller of cm_set_log promises that its callback takes calls from several threads.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

/// The process that set the log first.
static OWNER: OnceLock<u32> = OnceLock::new();

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// Sets where the log goes, for all of this process. When it returns, the callback that was set before is no longer
/// running, and its context can be freed: hold no lock that the callback takes. In the child of a fork that was made while
/// a line was logged, the log can only be turned off.
///
/// @param level     a `cm_log_level`; one that is none counts as the nearest
/// @param callback  receives the lines; NULL turns the log off
/// @param context   passed to the callback; may be NULL
///
/// Any thread, but not from the callback. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_log(level: c_int, callback: cm_log_callback, context: *mut c_void) {
    static LOGGER: Once = Once::new();
    guard::value((), || {
        LOGGER.call_once(|| {
            // It fails only where a Rust program that links this library set one before, which then hears us.
            let _ = log::set_logger(&ToCallback);
        });
        let filter = match level {
            _ if callback.is_none() => LevelFilter::Off,
            ..=0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            // Never trace: at that level ureq shows URLs.
            4.. => LevelFilter::Debug,
        };
        // In the child of a fork, a line that its parent was just logging would hold the lock for ever.
        let parent = *OWNER.get_or_init(std::process::id);
        let sink = if parent == std::process::id() {
            Some(SINK.write().unwrap_or_else(PoisonError::into_inner))
        } else {
            SINK.try_write().ok()
        };
        match sink {
            Some(mut sink) => {
                *sink = callback.map(|callback| Sink { callback, context });
                log::set_max_level(filter);
            }
            None => log::set_max_level(LevelFilter::Off),
        }
    });
}

struct ToCallback;

impl Log for ToCallback {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Only our own lines: those of the libraries below are not known to be free of secrets.
        metadata.target() == "cmauth"
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            log::Level::Error => cm_log_level::Error,
            log::Level::Warn => cm_log_level::Warn,
            log::Level::Info => cm_log_level::Info,
            log::Level::Debug | log::Level::Trace => cm_log_level::Debug,
        };
        // Never wait: a child whose parent was setting the log when it forked would wait for ever.
        let Ok(sink) = SINK.try_read() else { return };
        if let Some(sink) = *sink {
            let line = Text::new(&record.args().to_string());
            // SAFETY: the caller of cm_set_log promises a callback that can be called so, until it sets another.
            unsafe { (sink.callback)(sink.context, level, line.as_ptr()) }
        }
    }

    fn flush(&self) {}
}
