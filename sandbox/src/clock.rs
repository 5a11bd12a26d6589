//! The server's clock: real time, which a test can move forward. Tokens expire by it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time since the sandbox started, plus every [`advance`](Clock::advance).
pub(crate) struct Clock {
    started: Instant,
    advanced: Mutex<Duration>,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now(), advanced: Mutex::new(Duration::ZERO) }
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed().saturating_add(*self.advanced.lock().expect("the clock is never left half set"))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut advanced = self.advanced.lock().expect("the clock is never left half set");
        *advanced = advanced.saturating_add(by);
    }
}
