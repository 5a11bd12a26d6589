//! Random numbers from a seed (splitmix64).

/// A stream of random numbers. Each part of a world has its own stream, so that removing a part does not change the others.
#[derive(Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64, stream: u64) -> Rng {
        let mut rng = Rng(seed ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        rng.next();
        rng
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1) as u64) as i64
    }

    /// A number from `from` to `to` whose order of magnitude is uniformly distributed.
    pub(super) fn log_uniform(&mut self, from: i64, to: i64) -> i64 {
        let (low, high) = ((from.max(1) as f64).ln(), (to as f64).ln());
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((low + (high - low) * part).exp() as i64).clamp(from, to)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }
}
