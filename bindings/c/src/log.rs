//! Log. You need it to see what the library does: your callback receives one line for each event.
//! The log is off until you call `cm_config_set_log` for a client, or `cm_set_log` for all. No line contains a secret.

use std::cell::Cell;
use std::sync::{Arc, Once};

use arc_swap::ArcSwapOption;
use libc::{c_char, c_void};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::config::cm_config;
use crate::context::{Context, cm_destroy_callback};
use crate::guard;
use crate::text::Text;

/// Which events are logged. Each level includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_log_level {
    /// None.
    Off = 0,
    /// Requests that failed or were cancelled; new tokens that the store did not save.
    Error = 1,
    /// Requests that are sent again, with the reason; waits for a browser that failed; redirects of another login; a
    /// store that could not be cleared or unlocked, or that took longer than the timeout.
    Warn = 2,
    /// Calls that succeeded; changes of a session; progress of a listening login.
    Info = 3,
    /// Every request and response.
    Debug = 4,
}

/// Receives one line of the log, without a line end. `line` is valid until the callback returns. Several threads
/// can call it at the same time, also threads of the library. It may call the library, but the lines of these calls are
/// dropped.
pub type cm_log_callback = Option<unsafe extern "C" fn(context: *mut c_void, level: cm_log_level, line: *const c_char)>;

/// A callback with its context.
struct Sink {
    callback: unsafe extern "C" fn(*mut c_void, cm_log_level, *const c_char),
    context: Context,
}

thread_local! {
    /// Whether a log callback runs on this thread.
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

impl Sink {
    fn write(&self, level: Level, line: &str) {
        /// Ends the call, also after a panic.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                IS_LOGGING.set(false);
            }
        }
        // A callback that logs would call itself again and again.
        if IS_LOGGING.replace(true) {
            return;
        }
        let _end = End;
        let level = match level {
            Level::Error => cm_log_level::Error,
            Level::Warn => cm_log_level::Warn,
            Level::Info => cm_log_level::Info,
            Level::Debug | Level::Trace => cm_log_level::Debug,
        };
        let line = Text::new(line);
        // SAFETY: the caller promises a callback that may be called on any thread until `destroy` is called.
        unsafe { (self.callback)(self.context.as_ptr(), level, line.as_ptr()) }
    }
}

/// The default of the process. Nothing locks it: a forked child could inherit it locked.
static DEFAULT: ArcSwapOption<Sink> = ArcSwapOption::const_empty();

/// Sets the log of a client: the lines of its calls, and of the calls of its logins and sessions, go to this callback and not
/// to that of `cm_set_log`. So two plugins in one process do not take the log from each other.
///
/// A plugin that will be unloaded frees its handles, waits until `destroy` was called, and only then lets itself be unloaded: a
/// thread of the library may be in the callback until then.
///
/// @param level     a `cm_log_level`; for another number the nearest level counts
/// @param callback  receives the lines; NULL: the client logs nothing
/// @param context   passed to the callback; may be NULL
/// @param destroy   frees the context, when the config and the clients that were made from it, with their logins and sessions,
///                  are freed and the last call has ended. If the config is NULL, it is called at once. May be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_log(
    config: *mut cm_config,
    level: i32,
    callback: cm_log_callback,
    context: *mut c_void,
    destroy: cm_destroy_callback,
) {
    let context = Context::new(context, destroy);
    guard::value((), || {
        // SAFETY: the handle follows the header's rules.
        let Some(config) = (unsafe { config.as_mut() }) else { return };
        match callback {
            Some(callback) => {
                let sink = Sink { callback, context };
                config.0.set_log(filter(level), move |level, line| sink.write(level, line));
            }
            None => _ = config.0.set_log(LevelFilter::Off, |_, _| {}),
        }
    });
}

/// Sets the log of the process: the default for all clients that have none of their own.
///
/// This function returns at once, and you may call it inside a log callback. A call of the previous callback may still be in
/// progress then. Its `destroy` says when it has ended.
///
/// @param level     a `cm_log_level`; for another number the nearest level counts
/// @param callback  receives the lines; NULL turns the log off
/// @param context   passed to the callback; may be NULL
/// @param destroy   frees the context, after the next call of this function, when the last call of the callback has ended. May be
///                  NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_log(
    level: i32,
    callback: cm_log_callback,
    context: *mut c_void,
    destroy: cm_destroy_callback,
) {
    static LOGGER: Once = Once::new();
    let context = Context::new(context, destroy);
    guard::value((), || {
        LOGGER.call_once(|| {
            // It fails only if a Rust program linked this library and set a logger before. That logger then gets the
            // lines.
            let _ = log::set_logger(&ToDefault);
        });
        let level = if callback.is_some() { filter(level) } else { LevelFilter::Off };
        log::set_max_level(level);
        // The previous one is dropped here, or by the thread whose call of it ends last.
        DEFAULT.store(callback.map(|callback| Arc::new(Sink { callback, context })));
    });
}

/// Never trace: at that level ureq logs URLs, which contain tokens.
fn filter(level: i32) -> LevelFilter {
    match level {
        ..=0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4.. => LevelFilter::Debug,
    }
}

struct ToDefault;

impl Log for ToDefault {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Only lines of cmauth: those of its dependencies may contain secrets.
        metadata.target() == "cmauth"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata())
            // With a count of its own, so that no write of another thread waits for this callback.
            && let Some(sink) = DEFAULT.load_full()
        {
            sink.write(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}
