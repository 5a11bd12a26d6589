//! Time as a session sees it: by both clocks, for each fails in its way.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A look at the clocks every so often costs nothing and keeps all times within their types.
const FAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Both clocks, for each fails in its way: the wall clock is set, the monotonic one stands while the machine sleeps.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) clock: Instant,
    /// Unix milliseconds.
    pub(super) wall: i64,
}

/// A time that has come when either clock says so.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) clock: Instant,
    pub(super) wall: i64,
}

impl Now {
    pub(super) fn read() -> Now {
        Now { clock: Instant::now(), wall: wall() }
    }

    /// The moment in `ms` milliseconds; at most [`FAR`] away.
    pub(super) fn after(self, ms: i64) -> Moment {
        let ms = ms.clamp(0, FAR.as_millis() as i64);
        Moment { clock: self.clock + Duration::from_millis(ms.unsigned_abs()), wall: self.wall.saturating_add(ms) }
    }

    pub(super) fn has_reached(self, moment: Moment) -> bool {
        self.clock >= moment.clock || self.wall >= moment.wall
    }
}

fn wall() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(wall).unwrap_or(i64::MAX)
}

/// The clocks for those who look at every request: the wall clock is looked at every [`WALL_FOR`] only, for a look is a
/// quarter of what handing out tokens costs, and it is there for those who set it, which can be noticed a moment later.
pub(super) struct Glance {
    since: Instant,
    /// When the wall clock is looked at again, in ms after `since`, and what it showed.
    until: AtomicU64,
    wall: AtomicI64,
}

/// In ms.
const WALL_FOR: u64 = 10;

impl Glance {
    pub(super) fn new() -> Glance {
        Glance { since: Instant::now(), until: AtomicU64::new(0), wall: AtomicI64::new(0) }
    }

    pub(super) fn read(&self) -> Now {
        let clock = Instant::now();
        let elapsed = clock.saturating_duration_since(self.since).as_millis() as u64;
        if elapsed < self.until.load(Ordering::Acquire) {
            return Now { clock, wall: self.wall.load(Ordering::Relaxed) };
        }
        let wall = wall();
        self.wall.store(wall, Ordering::Relaxed);
        self.until.store(elapsed + WALL_FOR, Ordering::Release);
        Now { clock, wall }
    }
}

impl Moment {
    pub(super) fn earlier(self, other: Moment) -> Moment {
        Moment { clock: self.clock.min(other.clock), wall: self.wall.min(other.wall) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_is_never_much_older_than_a_look() {
        let glance = Glance::new();
        for _ in 0..1000 {
            let before = Now::read();
            let now = glance.read();
            let after = Now::read();
            assert!(now.clock >= before.clock && now.clock <= after.clock);
            // Half a second for a machine that is busy with other tests.
            assert!(now.wall >= before.wall - 500 && now.wall <= after.wall, "{} {}", before.wall, now.wall);
        }
        glance.until.store(0, Ordering::Release);
        glance.wall.store(0, Ordering::Relaxed);
        assert!(glance.read().wall > 0, "it is looked at again");
    }

    #[test]
    fn a_moment_has_come_when_either_clock_says_so() {
        let now = Now::read();
        let moment = now.after(1000);
        let (later, second) = (now.clock + Duration::from_secs(2), Duration::from_secs(1));
        assert!(!now.has_reached(moment));
        assert!(now.has_reached(now.after(0)) && now.has_reached(now.after(-5)));
        // The machine slept, or the wall clock was set forward.
        assert!(Now { wall: now.wall + 1000, ..now }.has_reached(moment));
        // The wall clock was set back.
        assert!(Now { clock: later, wall: now.wall - 1_000_000 }.has_reached(moment));
        assert!(Now { clock: now.clock + second, ..now }.has_reached(moment));
    }

    #[test]
    fn no_time_is_too_far_or_too_long_ago() {
        let now = Now::read();
        for ms in [i64::MAX, i64::MIN] {
            let moment = now.after(ms);
            assert!(moment.clock <= now.clock + FAR && moment.wall <= now.wall + FAR.as_millis() as i64);
        }
    }
}
