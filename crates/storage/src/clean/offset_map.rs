//! [`OffsetMap`]: for the hash of each key in the uncleaned part of a log, the offset of its last record.
//!
//! An open-addressing table of 24 bytes per slot: 128 bits of the key's hash and the offset. Keys themselves are not
//! kept, so that memory does not depend on their length. Two keys with the same 128 bits would count as one; the hash is
//! XXH3 with a seed that is drawn for each map, so that nobody can prepare such keys. After Kafka's `SkimpyOffsetMap`, which
//! uses MD5.
//!
//! Invariant: never more than `keys_max` keys; an offset that is put is the largest of its key so far.

use types::Offset;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of a slot.
pub(crate) const ENTRY_BYTES: usize = 24;

/// The last offset of each key.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    /// Hash in two halves, then the offset plus one; zero is an empty slot.
    slots: Vec<(u64, u64, u64)>,
    keys: usize,
    keys_max: usize,
    seed: u64,
    /// Everything up to here was put; records behind it are not judged.
    latest: Option<Offset>,
}

impl OffsetMap {
    /// A map for `keys_max` keys, at most a factor of 1 / `load_factor` larger than that. `seed` should be random.
    pub(crate) fn new(keys_max: usize, load_factor: f64, seed: u64) -> Self {
        let keys_max = keys_max.max(2);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a number of slots that is made exact by the line below"
        )]
        let slots = (keys_max as f64 / load_factor.clamp(0.01, 1.0)).ceil() as usize;
        // One is always empty, so that a search ends.
        let slots = slots.max(keys_max + 1);
        Self {
            slots: vec![(0, 0, 0); slots],
            keys: 0,
            keys_max,
            seed,
            latest: None,
        }
    }

    /// Bytes of memory of the table.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * ENTRY_BYTES
    }

    /// How full it is, of what it may hold, in percent.
    pub(crate) fn percent_full(&self) -> u64 {
        (self.keys as u64).saturating_mul(100) / (self.keys_max as u64).max(1)
    }

    /// Notes the record of `key` at `offset`. False if there is no room: then nothing is noted, even if the key is known,
    /// so that [`OffsetMap::latest`] stays the end of what is known.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.keys >= self.keys_max {
            return false;
        }
        let hash = self.hash(key);
        let index = self.find(hash);
        if let Some(slot) = self.slots.get_mut(index) {
            if slot.2 == 0 {
                self.keys += 1;
            }
            *slot = (hash.0, hash.1, stored(offset));
        }
        self.latest = Some(offset);
        true
    }

    /// The offset of the last record of `key` that was put.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots.get(self.find(self.hash(key)))?;
        let offset = slot.2.checked_sub(1)?;
        Offset::new(i64::try_from(offset).ok()?)
    }

    /// Everything up to `offset` was looked at.
    pub(crate) fn reach(&mut self, offset: Offset) {
        self.latest = Some(offset);
    }

    /// The last offset that was looked at.
    pub(crate) fn latest(&self) -> Option<Offset> {
        self.latest
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let hash = xxh3_128_with_seed(key, self.seed);
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the two halves of the hash"
        )]
        let halves = ((hash >> 64) as u64, hash as u64);
        halves
    }

    /// The slot of a hash, or the empty one where it belongs.
    fn find(&self, hash: (u64, u64)) -> usize {
        let count = self.slots.len() as u64;
        #[allow(clippy::cast_possible_truncation, reason = "below the number of slots")]
        let mut index = (hash.1 % count) as usize;
        loop {
            match self.slots.get(index) {
                Some(slot) if slot.2 != 0 && (slot.0, slot.1) != hash => {}
                Some(_) => return index,
                None => {
                    index = 0;
                    continue;
                }
            }
            index += 1;
        }
    }
}

fn stored(offset: Offset) -> u64 {
    offset.value().unsigned_abs() + 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    #[test]
    fn a_full_map_takes_nothing_and_still_answers() {
        let mut map = OffsetMap::new(3, 0.9, 7);
        for number in 0..3 {
            assert!(map.put(&[number], at(i64::from(number))));
        }
        assert!(!map.put(&[3], at(3)));
        assert!(!map.put(&[0], at(4)), "even of a key that it knows");
        assert_eq!(map.latest(), Some(at(2)));
        assert_eq!((map.get(&[0]), map.get(&[9])), (Some(at(0)), None));
        assert_eq!(map.percent_full(), 100);
    }

    #[test]
    fn memory_is_what_was_asked_for() {
        for keys in [2, 10, 1000, 100_000] {
            let map = OffsetMap::new(keys, 0.9, 1);
            assert!(map.memory() <= (keys * 10 / 9 + 2) * ENTRY_BYTES, "{keys}");
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_a_map_of_whole_keys(
            puts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3), 1..400),
            seed: u64,
        ) {
            let mut map = OffsetMap::new(1000, 0.99, seed);
            let mut model = HashMap::new();
            for (number, key) in puts.iter().enumerate() {
                let offset = at(i64::try_from(number).unwrap());
                prop_assert!(map.put(key, offset));
                model.insert(key.clone(), offset);
            }
            for (key, offset) in &model {
                prop_assert_eq!(map.get(key), Some(*offset));
            }
            prop_assert_eq!(map.get(b"none of them"), None);
        }
    }
}
