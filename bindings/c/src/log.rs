//! Log. You need it to see what the library does: your callback receives one line for each event.
//! The log is off until you call `cm_set_log`. No line contains a secret.

use std::sync::{Once, OnceLock, PoisonError, RwLock};

use libc::{c_char, c_int, c_void};
use log::{LevelFilter, Log, Metadata, Record};

use crate::guard;
use crate::text::Text;

/// Which events are logged. Each level includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum cm_log_level {
    /// None.
    Off = 0,
    /// Requests that failed or were cancelled; new tokens that the store did not save.
    Error = 1,
    /// Requests that are sent again, with the reason; waits for a browser that failed; redirects of another login; a
    /// store that could not be cleared.
    Warn = 2,
    /// Calls that succeeded; changes of a session; progress of a listening login.
    Info = 3,
    /// Every request and response.
    Debug = 4,
}

/// Receives one line of the log, without a line end. `line` is valid until the callback returns. Several threads
/// can call it at the same time. It must not call the library.
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

/// The id of the process that called `cm_set_log` first.
static OWNER: OnceLock<u32> = OnceLock::new();

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// Sets the log callback of this process. When the call returns, the previous callback is no longer in use, so you
/// can free its context. Do not hold a lock that the callback takes. Do not call this function in the callback.
///
/// If a thread was logging a line at the time of a `fork`, the child can turn the log off but cannot set another
/// callback.
///
/// @param level     a `cm_log_level`; for another number the nearest level counts
/// @param callback  receives the lines; NULL turns the log off
/// @param context   passed to the callback; may be NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_log(level: c_int, callback: cm_log_callback, context: *mut c_void) {
    static LOGGER: Once = Once::new();
    guard::value((), || {
        LOGGER.call_once(|| {
            // It fails only if a Rust program linked this library and set a logger before. That logger then gets the
            // lines.
            let _ = log::set_logger(&ToCallback);
        });
        let filter = match level {
            _ if callback.is_none() => LevelFilter::Off,
            ..=0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            // Never trace: at that level ureq logs URLs, which contain tokens.
            4.. => LevelFilter::Debug,
        };
        // In a forked child the lock stays locked if a thread of the parent was logging a line.
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
        // Only lines of cmauth: those of its dependencies may contain secrets.
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
        // Never wait: in a forked child the lock stays locked if a thread of the parent was in cm_set_log.
        let Ok(sink) = SINK.try_read() else { return };
        if let Some(sink) = *sink {
            let line = Text::new(&record.args().to_string());
            // SAFETY: the caller of cm_set_log promises a callback that may be called until another is set.
            unsafe { (sink.callback)(sink.context, level, line.as_ptr()) }
        }
    }

    fn flush(&self) {}
}
