//! Seeded mutations, for runs without coverage: the same number gives the same bytes everywhere.

/// splitmix64: small, fast, and the same everywhere.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Everything follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 if there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Numbers that break parsers, big endian, to be written over any place.
const NASTY: [&[u8]; 11] = [
    &[0x00],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// One of `seeds` with a few places changed.
pub fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = one_of(random, seeds);
    for _ in 0..=random.below(4) {
        damage(random, seeds, &mut bytes);
    }
    bytes
}

fn one_of(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    seeds
        .get(random.below(seeds.len()))
        .cloned()
        .unwrap_or_default()
}

fn damage(random: &mut Random, seeds: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let end = at + random.below(bytes.len() - at + 1);
    match random.below(8) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 | 3 => {
            let value = NASTY[random.below(NASTY.len())];
            let end = (at + value.len()).min(bytes.len());
            bytes.splice(at..end, value.iter().copied());
        }
        4 => bytes.truncate(at),
        5 => {
            // Repeats a part.
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        6 => {
            // Goes on as another seed.
            let other = one_of(random, seeds);
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            bytes.drain(at..end);
        }
    }
}
