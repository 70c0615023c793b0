//! Hostile frames: valid ones with seeded damage, and random ones.
use std::ops::RangeInclusive;

use crate::targets::Target;

/// splitmix64: small, fast, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut random = Self(
            seed.wrapping_mul(0xa076_1d64_78bd_642f) ^ number.wrapping_mul(0xe703_7ed1_a0b4_28db),
        );
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 if there is none.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Mostly a version of the range, sometimes the next outside.
    pub(crate) fn version(&mut self, range: RangeInclusive<i16>) -> i16 {
        let count = usize::from((range.end() - range.start()).unsigned_abs()) + 1;
        let outside = usize::from(self.below(50) == 0);
        range.start() + self.below(count + outside) as i16
    }
}

/// Numbers that break parsers, big endian, to be written over any place.
const NASTY: [&[u8]; 14] = [
    &[0x00],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0x01],
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    // Compact lengths: the largest count, one above it, and a varint that never ends.
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// Longest tail or random frame of the common kind.
const SHORT: usize = 200;
/// Longest of the rare kind, where ratios matter.
const LONG: usize = 64 * 1024;

pub(crate) fn frame(random: &mut Random, target: &Target, version: i16) -> Vec<u8> {
    let valid_version = version.clamp(*target.versions.start(), *target.versions.end());
    match random.below(16) {
        0 => {
            let mut bytes = prefix(random, target, valid_version);
            append_random(random, &mut bytes, SHORT);
            bytes
        }
        1 => {
            // A believable count and a long tail of one byte: arrays of the tiniest elements.
            let mut bytes = prefix(random, target, valid_version);
            let tail = if random.below(20) == 0 {
                random.below(LONG)
            } else {
                random.below(8 * SHORT)
            };
            let count = tail / (1 + random.below(8));
            overwrite(&mut bytes, usize::MAX, &(count as u32).to_be_bytes());
            if random.below(2) == 0 {
                protocol::varint::write_u32(&mut bytes, count as u32 + 1);
            }
            let fill = [0, 1, 2, 0x41, 0xff][random.below(5)];
            bytes.resize(bytes.len() + tail, fill);
            bytes
        }
        2 => (target.seed)(random.next(), valid_version),
        _ => {
            let mut bytes = (target.seed)(random.next(), valid_version);
            for _ in 0..=random.below(4) {
                damage(random, target, valid_version, &mut bytes);
            }
            bytes
        }
    }
}

/// The start of a valid frame, so that decoding gets somewhere.
fn prefix(random: &mut Random, target: &Target, version: i16) -> Vec<u8> {
    let mut bytes = (target.seed)(random.next(), version);
    let keep = random.below(bytes.len() + 1);
    bytes.truncate(keep.max(target.header.min(bytes.len())));
    bytes
}

fn append_random(random: &mut Random, bytes: &mut Vec<u8>, longest: usize) {
    for _ in 0..random.below(longest) {
        bytes.push(random.next() as u8);
    }
}

/// Writes over `at`, or appends when that is behind the end.
fn overwrite(bytes: &mut Vec<u8>, at: usize, value: &[u8]) {
    let at = at.min(bytes.len());
    let end = (at + value.len()).min(bytes.len());
    bytes.splice(at..end, value.iter().copied());
}

fn damage(random: &mut Random, target: &Target, version: i16, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 | 3 => overwrite(bytes, at, NASTY[random.below(NASTY.len())]),
        4 => bytes.truncate(at),
        5 => append_random(random, bytes, SHORT),
        6 => {
            // Repeats a part.
            let end = at + random.below(bytes.len() - at + 1);
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        7 => {
            // Goes on as another message of the kind.
            let other = (target.seed)(random.next(), version);
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let end = at + random.below(bytes.len() - at + 1);
            bytes.drain(at..end);
        }
    }
}
