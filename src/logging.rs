//! The log. A line goes to the log of the client whose call is in progress on this thread ([`Config::set_log`]
//! (crate::Config::set_log)). If the client has none, it goes to the `log` crate, with the target [`TARGET`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use log::{Level, LevelFilter};

use crate::panic::catch_panic;

/// The target of this library's records in the `log` crate.
pub(crate) const TARGET: &str = "cmauth";

type Log = dyn Fn(Level, &str) + Send + Sync;

/// The log of a client. Clones are the same.
#[derive(Clone)]
pub(crate) struct Logger {
    level: LevelFilter,
    log: Arc<Log>,
}

impl Logger {
    pub(crate) fn new(level: LevelFilter, log: impl Fn(Level, &str) + Send + Sync + 'static) -> Logger {
        // At the trace level, lines of other crates could contain secrets.
        Logger { level: level.min(LevelFilter::Debug), log: Arc::new(log) }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("level", &self.level).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether `CURRENT` is set. It is cheap to read.
    static HAS_LOGGER: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Option<Logger>> = const { RefCell::new(None) };
}

/// Runs a call of a client with this log.
pub(crate) fn scope<T>(logger: Option<&Logger>, call: impl FnOnce() -> T) -> T {
    /// Restores the log of the outer call, also after a panic.
    struct Outer(Option<Logger>);
    impl Drop for Outer {
        fn drop(&mut self) {
            replace(self.0.take());
        }
    }
    if logger.is_none() && !HAS_LOGGER.get() {
        return call();
    }
    let _outer = Outer(replace(logger.cloned()));
    call()
}

fn replace(logger: Option<Logger>) -> Option<Logger> {
    HAS_LOGGER.set(logger.is_some());
    CURRENT.replace(logger)
}

/// Writes a line. The macros below call it.
pub(crate) fn write(level: Level, line: fmt::Arguments<'_>) {
    if !HAS_LOGGER.get() {
        log::log!(target: TARGET, level, "{line}");
        return;
    }
    // Cloned, because the log may make calls of this library.
    let Some(logger) = CURRENT.with_borrow(Clone::clone) else { return };
    if level <= logger.level {
        // A failure of the log must not end the call.
        let _ = catch_panic(|| (logger.log)(level, &line.to_string()));
    }
}

macro_rules! error {
    ($($line:tt)+) => { $crate::logging::write(::log::Level::Error, format_args!($($line)+)) };
}
macro_rules! warning {
    ($($line:tt)+) => { $crate::logging::write(::log::Level::Warn, format_args!($($line)+)) };
}
macro_rules! info {
    ($($line:tt)+) => { $crate::logging::write(::log::Level::Info, format_args!($($line)+)) };
}
macro_rules! debug {
    ($($line:tt)+) => { $crate::logging::write(::log::Level::Debug, format_args!($($line)+)) };
}
pub(crate) use {debug, error, info, warning};

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn collector(level: LevelFilter) -> (Logger, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = lines.clone();
        (Logger::new(level, move |level, line| collected.lock().unwrap().push(format!("{level} {line}"))), lines)
    }

    #[test]
    fn a_line_goes_to_the_log_of_the_call_in_progress_and_to_no_other() {
        let (outer, of_outer) = collector(LevelFilter::Info);
        let (inner, of_inner) = collector(LevelFilter::Trace);
        scope(Some(&outer), || {
            info!("one {}", 1);
            scope(Some(&inner), || debug!("two"));
            scope(None, || error!("not for a client"));
            debug!("below the level");
            warning!("three");
        });
        error!("after the call");
        assert_eq!(*of_outer.lock().unwrap(), ["INFO one 1", "WARN three"]);
        assert_eq!(*of_inner.lock().unwrap(), ["DEBUG two"]);
    }

    #[test]
    fn a_panic_of_the_log_and_one_of_the_call_do_no_harm() {
        let (outer, lines) = collector(LevelFilter::Info);
        let panics = Logger::new(LevelFilter::Info, |_, _| panic!("the test requests a panic"));
        scope(Some(&outer), || {
            scope(Some(&panics), || info!("lost"));
            let _ = catch_panic(|| scope(Some(&panics), || panic!("the test requests a panic")));
            info!("here");
        });
        assert_eq!(*lines.lock().unwrap(), ["INFO here"]);
    }
}
