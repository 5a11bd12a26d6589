//! What a call logs.

use std::cell::RefCell;
use std::sync::Once;

/// Collects what each thread logs below the trace level, with the lines of ureq and rustls.
pub struct ThreadLog;

thread_local! {
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

impl ThreadLog {
    pub fn begin() {
        static LOGGER: Once = Once::new();
        LOGGER.call_once(|| {
            log::set_logger(&ThreadLog).unwrap();
            log::set_max_level(log::LevelFilter::Debug);
        });
        LOGGED.take();
    }

    pub fn take() -> String {
        let logged = LOGGED.take();
        assert!(logged.contains(" cmauth "), "the call logged nothing: {logged}");
        logged
    }
}

impl log::Log for ThreadLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        LOGGED.with_borrow_mut(|logged| logged.push_str(&line));
    }

    fn flush(&self) {}
}
