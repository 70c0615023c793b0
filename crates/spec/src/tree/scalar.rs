//! What a scalar that is not quoted is in the core schema of YAML 1.2 (10.3.2).

/// A scalar that is not quoted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text,
    /// Digits behind a zero: a number by the schema, and most often a zip code or the like that was not quoted.
    LeadingZero,
    /// A number that 64 bits do not hold, or none that is finite.
    NoNumber,
}

pub(crate) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Boolean(true),
        "false" | "False" | "FALSE" => Scalar::Boolean(false),
        _ => number(text),
    }
}

fn number(text: &str) -> Scalar {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Scalar::NoNumber;
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let fits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            let read =
                || i64::from_str_radix(digits, radix).map_or(Scalar::NoNumber, Scalar::Integer);
            return if fits { read() } else { Scalar::Text };
        }
    }
    let bytes = unsigned.as_bytes();
    let is_number = is_integer(bytes) || is_decimal(bytes);
    match bytes {
        _ if !is_number => Scalar::Text,
        [b'0', b'0'..=b'9', ..] => Scalar::LeadingZero,
        _ if is_integer(bytes) => text.parse().map_or(Scalar::NoNumber, Scalar::Integer),
        _ => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Scalar::Number(value),
            _ => Scalar::NoNumber,
        },
    }
}

fn is_integer(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(bytes: &[u8]) -> bool {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let whole = digits(0);
    let mut at = whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if whole == 0 && fraction == 0 {
            return false;
        }
        at += 1 + fraction;
    } else if whole == 0 {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'-' | b'+')) {
            at += 1;
        }
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_the_core_schema_says() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("nUll", Scalar::Text),
            ("True", Scalar::Boolean(true)),
            ("yes", Scalar::Text),
            ("on", Scalar::Text),
            ("12", Scalar::Integer(12)),
            ("-12", Scalar::Integer(-12)),
            ("+12", Scalar::Integer(12)),
            ("0", Scalar::Integer(0)),
            ("0o17", Scalar::Integer(15)),
            ("0x1F", Scalar::Integer(31)),
            ("0x1G", Scalar::Text),
            ("0x", Scalar::Text),
            ("1_000", Scalar::Text),
            ("1.5", Scalar::Number(1.5)),
            (".5", Scalar::Number(0.5)),
            ("5.", Scalar::Number(5.0)),
            ("-0.0", Scalar::Number(-0.0)),
            ("1e3", Scalar::Number(1000.0)),
            ("1e+3", Scalar::Number(1000.0)),
            ("1e", Scalar::Text),
            (".", Scalar::Text),
            ("-", Scalar::Text),
            ("2019-05-21", Scalar::Text),
            ("18:33", Scalar::Text),
            ("08730", Scalar::LeadingZero),
            ("-007.5", Scalar::LeadingZero),
            ("9223372036854775807", Scalar::Integer(i64::MAX)),
            ("9223372036854775808", Scalar::NoNumber),
            ("1e999", Scalar::NoNumber),
            (".inf", Scalar::NoNumber),
            ("-.INF", Scalar::NoNumber),
            (".nan", Scalar::NoNumber),
            ("inf", Scalar::Text),
            ("NaN", Scalar::Text),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
