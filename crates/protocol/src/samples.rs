//! Values for tests: every field of a message filled, either with values that follow from the field's name, so that
//! another program can make the same message, or with random ones.
use bytes::Bytes;

use crate::message::Message;
use crate::slice::Records;
use crate::uuid::Uuid;

/// A message that can be filled for tests.
pub trait Sample: Message {
    /// A message in which every field that `version` has is set.
    fn sample(samples: &mut Samples, version: i16) -> Self;
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Named { nulls: bool },
    Random(u64),
}

/// Where sample values come from.
#[derive(Debug)]
pub struct Samples {
    mode: Mode,
    /// Position in the innermost array, so that its elements differ.
    index: u64,
}

/// Elements of every array in named mode.
const NAMED_LENGTH: u64 = 2;
/// Elements of an array in random mode, exclusive.
const RANDOM_LENGTH_LIMIT: u64 = 4;

impl Samples {
    /// Values that follow from the names of fields; everything that may be null is set.
    #[must_use]
    pub fn named() -> Self {
        Self {
            mode: Mode::Named { nulls: false },
            index: 0,
        }
    }

    /// As [`Self::named`], but everything that may be null is.
    #[must_use]
    pub fn named_with_nulls() -> Self {
        Self {
            mode: Mode::Named { nulls: true },
            index: 0,
        }
    }

    /// Random values; what may be null sometimes is.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        Self {
            mode: Mode::Random(seed),
            index: 0,
        }
    }

    /// 64 bits: FNV-1a over the name and the index, or the next of splitmix64.
    fn bits(&mut self, name: &str) -> u64 {
        match &mut self.mode {
            Mode::Named { .. } => {
                let bytes = name.bytes().chain(self.index.to_be_bytes());
                bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                })
            }
            Mode::Random(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed =
                    (*state ^ (*state).wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ mixed.wrapping_shr(31)
            }
        }
    }

    pub fn bool(&mut self, name: &str) -> bool {
        // In named mode always true, so that the field is seen even where its default is false.
        matches!(self.mode, Mode::Named { .. }) || self.bits(name) & 1 == 1
    }

    pub fn i8(&mut self, name: &str) -> i8 {
        let [.., low] = self.bits(name).to_be_bytes();
        low.cast_signed()
    }

    pub fn i16(&mut self, name: &str) -> i16 {
        self.u16(name).cast_signed()
    }

    pub fn u16(&mut self, name: &str) -> u16 {
        let [.., a, b] = self.bits(name).to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    pub fn i32(&mut self, name: &str) -> i32 {
        self.u32(name).cast_signed()
    }

    pub fn u32(&mut self, name: &str) -> u32 {
        let [.., a, b, c, d] = self.bits(name).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    pub fn i64(&mut self, name: &str) -> i64 {
        self.bits(name).cast_signed()
    }

    pub fn f64(&mut self, name: &str) -> f64 {
        f64::from(self.i32(name))
    }

    pub fn uuid(&mut self, name: &str) -> Uuid {
        let bits = self.bits(name);
        Uuid::from(u128::from(bits).wrapping_shl(64) | u128::from(!bits))
    }

    /// Sixteen hexadecimal digits, or up to fifteen random letters.
    pub fn string(&mut self, name: &str) -> String {
        let bits = self.bits(name);
        match self.mode {
            Mode::Named { .. } => format!("{bits:016x}"),
            Mode::Random(_) => {
                let length = usize::try_from(bits & 0xf).unwrap_or(0);
                format!("{bits:016x}").chars().take(length).collect()
            }
        }
    }

    pub fn bytes(&mut self, name: &str) -> Bytes {
        Bytes::from(self.string(name))
    }

    pub fn records(&mut self, name: &str) -> Records {
        Records::from(self.bytes(name))
    }

    pub fn array<T>(&mut self, name: &str, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = match self.mode {
            Mode::Named { .. } => NAMED_LENGTH,
            Mode::Random(_) => self
                .bits(name)
                .checked_rem(RANDOM_LENGTH_LIMIT)
                .unwrap_or(0),
        };
        let outer = self.index;
        let mut elements = Vec::new();
        for index in 0..length {
            self.index = index.saturating_add(1);
            elements.push(element(self));
        }
        self.index = outer;
        elements
    }

    pub fn nullable<T>(
        &mut self,
        name: &str,
        may_be_null: bool,
        value: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let null = may_be_null
            && match self.mode {
                Mode::Named { nulls } => nulls,
                Mode::Random(_) => self.bits(name) & 3 == 0,
            };
        (!null).then(|| value(self))
    }
}
