//! Decimals as PostgreSQL's numeric: digits of base 10,000, the first of which stands for `10000^weight`.

use bytes::{BufMut, BytesMut};

const BASE: u128 = 10_000;
const GROUP: u32 = 4;
const NEGATIVE: u16 = 0x4000;

/// Writes `value / 10^scale` as a field, exactly.
pub(super) fn put(buffer: &mut BytesMut, value: i128, scale: u32) {
    let (groups, weight) = groups(value.unsigned_abs(), scale);
    let count = u16::try_from(groups.len()).unwrap_or_default();
    buffer.put_i32(8 + 2 * i32::from(count));
    buffer.put_u16(count);
    buffer.put_i16(weight);
    buffer.put_u16(if value < 0 { NEGATIVE } else { 0 });
    buffer.put_u16(u16::try_from(scale).unwrap_or_default());
    for group in groups {
        buffer.put_u16(group);
    }
}

/// The groups without zeros at either end, and the weight of the first.
fn groups(value: u128, scale: u32) -> (Vec<u16>, i16) {
    // At most 38 digits, so this is below 2^128.
    let unit = 10_u128.pow(scale.min(38));
    let (mut whole, mut rest) = (value / unit, value % unit);
    let mut groups = Vec::with_capacity(20);
    while whole > 0 {
        groups.push(group(whole % BASE));
        whole /= BASE;
    }
    groups.reverse();
    let mut weight = i16::try_from(groups.len()).unwrap_or_default() - 1;
    let mut digits = scale.min(38);
    while rest > 0 {
        let taken = digits.min(GROUP);
        let unit = 10_u128.pow(digits - taken);
        let found = rest / unit * 10_u128.pow(GROUP - taken);
        rest %= unit;
        digits -= taken;
        if groups.is_empty() && found == 0 {
            weight -= 1;
        } else {
            groups.push(group(found));
        }
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    (groups, weight)
}

fn group(value: u128) -> u16 {
    u16::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the groups stand for, times `10^scale`.
    fn value_of(groups: &[u16], weight: i16, scale: u32) -> u128 {
        let mut value = 0_u128;
        for (at, group) in groups.iter().enumerate() {
            // The group stands for group * 10^(4 * power + scale).
            let power = 4 * (i32::from(weight) - at as i32) + scale as i32;
            let group = u128::from(*group);
            value += if power >= 0 {
                group * 10_u128.pow(power as u32)
            } else {
                assert_eq!(group % 10_u128.pow(power.unsigned_abs()), 0);
                group / 10_u128.pow(power.unsigned_abs())
            };
        }
        value
    }

    proptest::proptest! {
        #[test]
        fn groups_are_the_value(value in 0..10_u128.pow(38), shift in 0_u32..38, scale in 0_u32..=38) {
            let value = value / 10_u128.pow(shift);
            let (groups, weight) = groups(value, scale);
            proptest::prop_assert_eq!(value_of(&groups, weight, scale), value);
            proptest::prop_assert!(groups.iter().all(|group| *group < 10_000));
            proptest::prop_assert_ne!(groups.first(), Some(&0));
            proptest::prop_assert_ne!(groups.last(), Some(&0));
        }
    }

    #[test]
    fn numbers_are_those_that_postgresql_makes() {
        assert_eq!(groups(1_234_567, 2), (vec![1, 2345, 6700], 1));
        assert_eq!(groups(0, 10), (vec![], 0));
        assert_eq!(groups(1, 8), (vec![1], -2));
        assert_eq!(groups(10_000_000, 0), (vec![1000], 1));
    }
}
