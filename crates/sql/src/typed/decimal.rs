//! Digits as the whole number that Arrow's decimals are.

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoDecimal {
    /// It is no number.
    NoNumber,
    /// It has too many digits in front of the point.
    TooLarge,
}

/// A number with `scale` digits behind the point, without its point. What has more digits is rounded, as PostgreSQL's numeric
/// rounds: half away from zero.
pub(super) fn parse(text: &str, precision: u8, scale: u8) -> Result<i128, NoDecimal> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        None => (digits, 0),
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !are_digits(whole) || !are_digits(fraction) {
        return Err(NoDecimal::NoNumber);
    }
    // So many of the digits are kept; negative where zeros would stand in front of them.
    let kept = i64::try_from(whole.len())
        .unwrap_or(i64::MAX)
        .saturating_add(exponent)
        .saturating_add(scale.into());
    let magnitude = magnitude(whole.bytes().chain(fraction.bytes()), kept)?;
    let limit = 10_i128
        .checked_pow(precision.into())
        .ok_or(NoDecimal::TooLarge)?;
    if magnitude >= limit {
        return Err(NoDecimal::TooLarge);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

fn exponent_of(text: &str) -> Result<i64, NoDecimal> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoDecimal::NoNumber);
    }
    // One that is too long to be read moves the point out of sight, whichever way.
    let far = if text.starts_with('-') {
        i64::MIN / 4
    } else {
        i64::MAX / 4
    };
    Ok(text.parse::<i32>().map_or(far, i64::from))
}

/// The first `kept` digits as a number, rounded by the one that follows, with zeros for those that are not there.
fn magnitude(digits: impl Iterator<Item = u8>, kept: i64) -> Result<i128, NoDecimal> {
    let (mut value, mut left, mut rounds_up) = (0_i128, kept, false);
    for digit in digits {
        let digit = i128::from(digit - b'0');
        if left <= 0 {
            rounds_up = left == 0 && digit >= 5;
            break;
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
            .ok_or(NoDecimal::TooLarge)?;
        left -= 1;
    }
    while left > 0 && value != 0 {
        value = value.checked_mul(10).ok_or(NoDecimal::TooLarge)?;
        left -= 1;
    }
    Ok(value + i128::from(rounds_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_postgresql_rounds_them() {
        for (text, expected) in [
            ("1", Ok(100)),
            ("-1.005", Ok(-101)),
            ("1.004", Ok(100)),
            ("0.995", Ok(100)),
            ("0.005", Ok(1)),
            ("0.0049", Ok(0)),
            (".5", Ok(50)),
            ("5.", Ok(500)),
            ("+12.34", Ok(1234)),
            ("1.5e2", Ok(15_000)),
            ("1.5E-1", Ok(15)),
            ("15e-4", Ok(0)),
            ("99999e-999999999999", Ok(0)),
            ("0e999999999999", Ok(0)),
            ("0000000000000000000000000000000000000000000000001", Ok(100)),
            ("999.99", Ok(99_999)),
            ("999.995", Err(NoDecimal::TooLarge)),
            ("1000", Err(NoDecimal::TooLarge)),
            ("1e99999999999", Err(NoDecimal::TooLarge)),
            ("", Err(NoDecimal::NoNumber)),
            (".", Err(NoDecimal::NoNumber)),
            ("1e", Err(NoDecimal::NoNumber)),
            ("1.2.3", Err(NoDecimal::NoNumber)),
            ("NaN", Err(NoDecimal::NoNumber)),
            ("--1", Err(NoDecimal::NoNumber)),
        ] {
            assert_eq!(parse(text, 5, 2), expected, "{text}");
        }
        let most = "9".repeat(38);
        assert_eq!(parse(&most, 38, 0), Ok(10_i128.pow(38) - 1));
        assert_eq!(parse(&"9".repeat(39), 38, 0), Err(NoDecimal::TooLarge));
    }
}
