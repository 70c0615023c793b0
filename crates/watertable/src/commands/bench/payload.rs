//! Values to produce: text that compresses about as well as text does, different for every record, cheap to make.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Slices of one random text at changing places.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    text: Vec<u8>,
    size: usize,
    turn: usize,
}

/// How many different places values begin at.
const PLACES: usize = 4096;
/// A prime, so that neighbouring values begin far from each other and every place has its turn.
const STRIDE: usize = 1021;

impl Payloads {
    pub(super) fn new(size: usize) -> Self {
        let mut state = RandomState::new().build_hasher().finish() | 1;
        let text = (0..size + PLACES)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // 32 symbols: five bits of information in eight, as text has.
                b'a' + u8::try_from((state >> 33) % 26).unwrap_or_default()
            })
            .collect();
        Self {
            text,
            size,
            turn: 0,
        }
    }

    /// The next value.
    pub(super) fn next(&mut self) -> &[u8] {
        self.turn = (self.turn + STRIDE) % PLACES;
        &self.text[self.turn..self.turn + self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        let mut payloads = Payloads::new(100);
        let first = payloads.next().to_vec();
        assert_eq!(first.len(), 100);
        assert_ne!(payloads.next(), first);
        let mut empty = Payloads::new(0);
        assert!(empty.next().is_empty());
    }
}
