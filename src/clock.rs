//! The two clocks: the boot clock, which nobody can set, and the wall clock.
//!
//! A session compares times on both. A time has come as soon as one of the two clocks has reached it, so a change of
//! the wall clock can make things happen earlier, never later.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Both clocks, read at the same time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Time since the machine started. On Linux it includes the time that the machine slept. Nobody can set this clock.
    pub(crate) boot: i64,
    /// Unix time.
    pub(crate) wall: i64,
}

/// A point in time on both clocks. It has come as soon as one of them has reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) boot: i64,
    pub(crate) wall: i64,
}

impl Now {
    pub(crate) fn read() -> Now {
        Now { boot: boot(), wall: wall() }
    }

    /// How long until the moment comes, in milliseconds; negative if it has come. The clock that comes first counts.
    pub(crate) fn until(self, moment: Moment) -> i64 {
        moment.boot.saturating_sub(self.boot).min(moment.wall.saturating_sub(self.wall))
    }

    pub(crate) fn has_reached(self, moment: Moment) -> bool {
        self.boot >= moment.boot || self.wall >= moment.wall
    }
}

impl Moment {
    /// A time that never comes.
    pub(crate) const NEVER: Moment = Moment { boot: i64::MAX, wall: i64::MAX };

    pub(crate) fn earlier(self, other: Moment) -> Moment {
        Moment { boot: self.boot.min(other.boot), wall: self.wall.min(other.wall) }
    }
}

/// The wall clock in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    wall() / 1000
}

/// The wall clock in Unix milliseconds; 0 if it shows a time before 1970, because it is not set yet.
fn wall() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(wall).unwrap_or(i64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Without a boot clock of the system: the time since this process first read it. Other processes cannot compare it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot() -> i64 {
    static SINCE: OnceLock<std::time::Instant> = OnceLock::new();
    let since = SINCE.get_or_init(std::time::Instant::now);
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Identifies the time from one start of the machine to the next. Times of [`Now::boot`] can be compared, also between
/// processes, if their boot IDs are equal. `None` if the system has no boot ID.
pub(crate) fn boot_id() -> Option<&'static str> {
    static BOOT_ID: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return None;
        }
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = text.trim();
        (!id.is_empty() && id.len() <= 64 && id.is_ascii()).then(|| id.to_owned())
    };
    BOOT_ID.get_or_init(read).as_deref()
}

/// The clocks for code that runs on every request to the API. It reads the wall clock only every
/// [`WALL_CLOCK_INTERVAL`] ms, because that read is a quarter of the cost of returning tokens. A change of the wall
/// clock is noticed that much later.
pub(crate) struct CachedClock {
    /// When to read the wall clock again, by the boot clock.
    until: AtomicI64,
    wall: AtomicI64,
}

const WALL_CLOCK_INTERVAL: i64 = 10;

impl CachedClock {
    pub(crate) fn new() -> CachedClock {
        CachedClock { until: AtomicI64::new(i64::MIN), wall: AtomicI64::new(0) }
    }

    pub(crate) fn read(&self) -> Now {
        let boot = boot();
        if boot < self.until.load(Ordering::Acquire) {
            return Now { boot, wall: self.wall.load(Ordering::Relaxed) };
        }
        let wall = wall();
        self.wall.store(wall, Ordering::Relaxed);
        self.until.store(boot + WALL_CLOCK_INTERVAL, Ordering::Release);
        Now { boot, wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_time_is_never_much_older_than_the_true_one() {
        let cached = CachedClock::new();
        for _ in 0..1000 {
            let before = Now::read();
            let now = cached.read();
            let after = Now::read();
            assert!(now.boot >= before.boot && now.boot <= after.boot);
            // Half a second for a machine that is busy with other tests.
            assert!(now.wall >= before.wall - 500 && now.wall <= after.wall, "{} {}", before.wall, now.wall);
        }
        cached.until.store(0, Ordering::Release);
        cached.wall.store(0, Ordering::Relaxed);
        assert!(cached.read().wall > 0, "the wall clock is read again");
    }

    #[test]
    fn a_moment_has_come_when_either_clock_says_so() {
        let now = Now { boot: 5_000, wall: 1_700_000_000_000 };
        let moment = Moment { boot: now.boot + 1000, wall: now.wall + 1000 };
        assert!(!now.has_reached(moment));
        assert!(now.has_reached(Moment { boot: now.boot, wall: now.wall }));
        // The wall clock was set forward.
        assert!(Now { wall: now.wall + 1000, ..now }.has_reached(moment));
        // The wall clock was set back.
        assert!(Now { boot: now.boot + 2000, wall: now.wall - 1_000_000 }.has_reached(moment));
        assert!(!Now { boot: i64::MAX - 1, wall: i64::MAX - 1 }.has_reached(Moment::NEVER));
    }

    #[test]
    fn the_boot_clock_runs_and_has_a_name_on_linux() {
        let (first, second) = (Now::read(), Now::read());
        assert!(first.boot > 0 && second.boot >= first.boot);
        assert_eq!(boot_id().is_some(), cfg!(any(target_os = "linux", target_os = "android")));
    }
}
