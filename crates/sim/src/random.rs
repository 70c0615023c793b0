//! Where all chance of a run comes from. Invariant: the same seed draws the same numbers, and parts of a run that draw from
//! streams of their own do not disturb each other.

use std::time::Duration;

use parking_lot::Mutex;

/// A stream of numbers (splitmix64: Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another stream.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `limit`, which is at least one.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// An index below `length`, which is at least one.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let index = self.below(length as u64);
        usize::try_from(index).expect("below a length in memory")
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A span of up to `limit`: mostly short ones, seldom long ones.
    pub(crate) fn span(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        let most = match self.below(10) {
            0 => micros,
            1..=3 => micros / 10,
            _ => micros / 100,
        };
        Duration::from_micros(self.below(most.max(1)))
    }
}

/// The random bytes of a simulated process.
#[derive(Debug)]
pub(crate) struct SimRandom(pub(crate) Mutex<Random>);

impl env::Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.0.lock();
        for chunk in bytes.chunks_mut(8) {
            let number = random.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}
