//! Which partition a record goes to, as Kafka's Java producer decides it.
//!
//! Invariant: a key lands on the same partition whichever of the two clients produced it, because both take murmur2 of
//! the key's bytes (`clients/.../common/utils/Utils.java`, `BuiltInPartitioner.partitionForKey`). Records without a key
//! stay on one partition for about one batch and then move on (KIP-794).

use crate::runtime::Random;

/// Kafka's murmur2 (seed 0x9747b28c) over all bytes.
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka takes the length as a Java int; keys are shorter than 2 GiB, and longer ones only wrap.
    let mut hash = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word
            .iter()
            .rev()
            .fold(0_u32, |k, byte| (k << 8) | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (position, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition of a key among `partitions` (which is at least one).
pub fn partition_for_key(key: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key) & i32::MAX;
    (positive.cast_unsigned() % partitions.max(1)).cast_signed()
}

/// Chooses partitions for records without a key: one for about a batch, then another at random.
#[derive(Debug)]
pub(crate) struct StickyPartitioner {
    current: Option<i32>,
    bytes_on_current: usize,
    switch_after_bytes: usize,
    random: Random,
}

impl StickyPartitioner {
    /// Moves on once `switch_after_bytes` went to a partition; Kafka takes `batch.size`.
    pub(crate) fn new(switch_after_bytes: usize, random: Random) -> Self {
        Self {
            current: None,
            bytes_on_current: 0,
            switch_after_bytes: switch_after_bytes.max(1),
            random,
        }
    }

    /// The partition for a record of `bytes` among `partitions`.
    pub(crate) fn next(&mut self, partitions: u32, bytes: usize) -> i32 {
        let partitions = partitions.max(1);
        let full = self.bytes_on_current >= self.switch_after_bytes;
        let current = match self.current {
            Some(current) if !full && current.cast_unsigned() < partitions => current,
            _ => {
                self.bytes_on_current = 0;
                self.random.below(partitions).cast_signed()
            }
        };
        self.current = Some(current);
        self.bytes_on_current = self.bytes_on_current.saturating_add(bytes);
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ];
        for (input, expected) in cases {
            assert_eq!(murmur2(input), expected, "{input:?}");
        }
    }

    #[test]
    fn a_key_always_lands_on_an_existing_partition() {
        for partitions in [1, 2, 3, 50] {
            for key in 0..1000_u32 {
                let partition = partition_for_key(&key.to_be_bytes(), partitions);
                assert!((0..partitions.cast_signed()).contains(&partition));
            }
        }
    }

    #[test]
    fn records_without_key_stay_for_a_batch_and_spread_over_all_partitions() {
        let mut sticky = StickyPartitioner::new(1000, Random::seeded(7));
        let mut counts = [0_u32; 4];
        let mut switches = 0;
        let mut last = None;
        for _ in 0..40_000 {
            let partition = sticky.next(4, 100);
            if last != Some(partition) {
                switches += 1;
            }
            last = Some(partition);
            counts[usize::try_from(partition).expect("not negative")] += 1;
        }
        assert!(
            switches <= 4000,
            "a switch at most every ten records: {switches}"
        );
        assert!(counts.iter().all(|count| *count > 8000), "{counts:?}");
    }

    #[test]
    fn a_partition_that_is_gone_is_left_at_once() {
        let mut sticky = StickyPartitioner::new(usize::MAX, Random::seeded(3));
        for _ in 0..100 {
            sticky.current = Some(9);
            assert!(sticky.next(3, 1) < 3);
        }
    }
}
