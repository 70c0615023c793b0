//! Kafka's topic ids: 16 bytes, written as 22 characters of base64url without padding (`clients/.../common/Uuid.java`).
use std::fmt;
use std::str::FromStr;

/// A 128-bit id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

/// Why text is not a [`Uuid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseUuidError {
    #[error("id has {length} characters, 22 are needed")]
    Length { length: usize },
    #[error("id has a character outside of base64url at {position}")]
    Character { position: usize },
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: usize = 22;

impl Uuid {
    /// No id.
    pub const ZERO: Self = Self([0; 16]);

    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl From<u128> for Uuid {
    fn from(value: u128) -> Self {
        Self(value.to_be_bytes())
    }
}

impl From<Uuid> for u128 {
    fn from(value: Uuid) -> Self {
        Self::from_be_bytes(value.0)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from(*self);
        // 22 digits of 6 bits are 132 bits: the last digit carries 2 bits and 4 of padding.
        for digit in 0..22_u32 {
            let shift = 122_u32.checked_sub(digit.saturating_mul(6));
            let six = match shift {
                Some(shift) => value.wrapping_shr(shift),
                None => value.wrapping_shl(4),
            };
            let index = usize::try_from(six & 0x3f).unwrap_or(0);
            let symbol = ALPHABET.get(index).copied().unwrap_or(b'A');
            write!(formatter, "{}", char::from(symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Uuid({self})")
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Padding (`==`) is accepted, as Java's decoder does.
    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if digits.len() != TEXT_LENGTH {
            return Err(ParseUuidError::Length {
                length: digits.len(),
            });
        }
        let mut value: u128 = 0;
        for (position, digit) in digits.iter().enumerate() {
            let six = ALPHABET.iter().position(|symbol| symbol == digit);
            let six = six
                .and_then(|six| u128::try_from(six).ok())
                .ok_or(ParseUuidError::Character { position })?;
            // Only the last digit has fewer than 6 bits; its padding is dropped.
            value = if position == TEXT_LENGTH.saturating_sub(1) {
                value.wrapping_shl(2) | six.wrapping_shr(4)
            } else {
                value.wrapping_shl(6) | six
            };
        }
        Ok(Self::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_that_of_kafka() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        // Kafka's reserved metadata topic id, `Uuid.METADATA_TOPIC_ID`.
        assert_eq!(Uuid::from(1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn bad_text_is_refused() {
        assert_eq!(
            "abc".parse::<Uuid>(),
            Err(ParseUuidError::Length { length: 3 })
        );
        assert_eq!(
            "AAAAAAAAA+AAAAAAAAAAAA".parse::<Uuid>(),
            Err(ParseUuidError::Character { position: 9 })
        );
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            prop_assert_eq!(Uuid(bytes).to_string().parse::<Uuid>(), Ok(Uuid(bytes)));
        }
    }
}
