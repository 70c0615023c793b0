//! The bytes of one file: what the page cache has, what the disk has, and what is on its way.

use crate::random::Random;

/// Disks write sectors of this size whole or not at all; an adversarial one tears them too.
const SECTOR: usize = 512;

/// A change that is not durable yet.
#[derive(Clone, Debug)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Bytes { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// What a loss of power leaves of it.
    fn apply_torn(&self, content: &mut Vec<u8>, random: &mut Random) {
        let Self::Bytes { offset, bytes } = self else {
            return;
        };
        if random.chance(500) {
            // The disk was stopped at some byte.
            let end = random.index(bytes.len() + 1);
            put(content, *offset, &bytes[..end]);
            return;
        }
        // Some sectors were written and others were not, in any order.
        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
            if random.chance(500) {
                put(content, offset + number * SECTOR, sector);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// How a loss of power treats what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Of a thousand changes so many are whole on the disk.
    pub(crate) kept: u64,
    /// Of a thousand of the others so many are there in part.
    pub(crate) torn: u64,
}

/// One file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

impl Content {
    pub(crate) fn length(&self) -> usize {
        self.current.len()
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: usize) -> usize {
        let rest = self.current.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        count
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.current, offset, bytes);
        self.pending.push(Write::Bytes {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    /// One bit is another one, on the disk and for everybody who reads it.
    pub(crate) fn flip_bit(&mut self, random: &mut Random) {
        if self.durable.is_empty() {
            return;
        }
        let (at, bit) = (random.index(self.durable.len()), random.below(8));
        for bytes in [&mut self.durable, &mut self.current] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }

    pub(crate) fn set_length(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.pending.push(Write::Length(length));
    }

    pub(crate) fn sync(&mut self) {
        for write in self.pending.drain(..) {
            write.apply(&mut self.durable);
        }
    }

    /// A sync failed: the page cache still has the bytes, but of those that were on their way some never reach the disk.
    /// A later sync says nothing of them.
    pub(crate) fn fail_sync(&mut self, random: &mut Random) {
        for write in std::mem::take(&mut self.pending) {
            match random.below(3) {
                0 => write.apply(&mut self.durable),
                1 => write.apply_torn(&mut self.durable, random),
                _ => {}
            }
        }
    }

    /// The power is lost and comes back.
    pub(crate) fn lose_power(&mut self, loss: Loss, random: &mut Random) {
        for write in std::mem::take(&mut self.pending) {
            if random.chance(loss.kept) {
                write.apply(&mut self.durable);
            } else if random.chance(loss.torn) {
                write.apply_torn(&mut self.durable, random);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Loss = Loss { kept: 0, torn: 0 };

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_torn() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut content = Content::default();
            content.write(0, b"abc");
            content.sync();
            content.write(3, b"def");
            let torn = Loss {
                kept: 0,
                torn: 1000,
            };
            content.lose_power(torn, &mut random);
            assert!(content.current.starts_with(b"abc"));
            seen.insert(content.current);
        }
        assert_eq!(seen.len(), 4, "every number of bytes may be left: {seen:?}");
    }

    #[test]
    fn a_later_write_may_survive_an_earlier_one() {
        let holes = (0..200).filter(|seed| {
            let mut content = Content::default();
            content.write(0, b"abc");
            content.write(3, b"def");
            let loss = Loss { kept: 500, torn: 0 };
            content.lose_power(loss, &mut Random::new(*seed));
            content.current == b"\0\0\0def"
        });
        assert!(holes.count() > 0);
    }

    #[test]
    fn after_a_failed_sync_the_next_one_saves_only_what_came_later() {
        let lost = (0..200).filter(|seed| {
            let mut random = Random::new(*seed);
            let mut content = Content::default();
            content.write(0, b"abc");
            content.fail_sync(&mut random);
            assert_eq!(content.current, b"abc", "the page cache still has it");
            content.pending.clear();
            content.lose_power(NOTHING, &mut random);
            content.current.is_empty()
        });
        assert!(lost.count() > 0);
    }
}
