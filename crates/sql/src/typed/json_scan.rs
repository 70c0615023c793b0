//! Where plain JSON values end: strings without escapes, numbers, `true`, `false` and `null`.
//!
//! Invariant: what is found to be a value is one by RFC 8259, to its last byte. What is not found may still be one, which the
//! parser says: text with escapes, lists and objects, numbers of hundreds of digits.

/// Longer numbers are the parser's.
const NUMBER_BYTES_MAX: usize = 256;

/// Behind the plain value that begins at `at`.
pub(super) fn plain_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at + 1).map(|quote| quote + 1),
        b'-' | b'0'..=b'9' => number_end(bytes, at),
        b't' => word_end(bytes, at, b"true"),
        b'f' => word_end(bytes, at, b"false"),
        b'n' => word_end(bytes, at, b"null"),
        _ => None,
    }
}

/// Where the quote is that ends the string whose first character is at `from`.
pub(super) fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    while let Some(chunk) = bytes.get(at..)?.first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            at += (special.trailing_zeros() / u8::BITS) as usize;
            return (bytes.get(at) == Some(&b'"')).then_some(at);
        }
        at += chunk.len();
    }
    at += bytes.get(at..)?.iter().position(is_special)?;
    (bytes.get(at) == Some(&b'"')).then_some(at)
}

/// Of eight bytes, which are quotes, backslashes or control characters: their highest bits. Bits above the lowest that is set
/// may be set wrongly ("Bit Twiddling Hacks", zero bytes in a word).
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST: u64 = 0x80 * ONES;
    const fn zero_bytes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let quotes = zero_bytes(word ^ (ONES * b'"' as u64));
    let backslashes = zero_bytes(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHEST
}

fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let byte = |at: usize| bytes.get(at).copied();
    let digits_end = |from: usize| {
        let digits = bytes.get(from..)?.iter();
        let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let first = if byte(at) == Some(b'-') { at + 1 } else { at };
    let mut end = digits_end(first)?;
    if byte(first) == Some(b'0') && end > first + 1 {
        return None;
    }
    if byte(end) == Some(b'.') {
        end = digits_end(end + 1)?;
    }
    if matches!(byte(end), Some(b'e' | b'E')) {
        let is_signed = matches!(byte(end + 1), Some(b'+' | b'-'));
        end = digits_end(end + 1 + usize::from(is_signed))?;
    }
    (end - at <= NUMBER_BYTES_MAX).then_some(end)
}

fn word_end(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let found = bytes.get(at..)?.starts_with(word);
    found.then_some(at + word.len())
}

/// Behind the white space that begins at `at`.
pub(super) fn space_end(bytes: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(is_space).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Near to JSON, so that it often is and often just is not.
        #[test]
        fn what_is_found_is_a_value_and_plain_values_are_found(
            text in prop_oneof![
                r#"-?(0|[0-9]{1,20})(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?"#,
                r#"[-0-9.eE+]{1,6}"#,
                "\"[ -~é\u{1f}\u{7f}]{0,30}\"?",
                "true|false|null|nul|True|NaN|Infinity|-Infinity|\\[\\]|\\{\\}|",
            ],
            behind in "[,} a0]{0,2}",
        ) {
            let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| !value.is_object() && !value.is_array());
            // Numbers that serde_json finds too large are numbers.
            let is_json = |text: &str| is_json(text) || is_json(text.split(['e', 'E']).next().unwrap_or_default());
            let whole = format!("{text}{behind}");
            if let Some(end) = plain_end(whole.as_bytes(), 0) {
                prop_assert!(is_json(&whole[..end]), "{}", &whole[..end]);
            }
            if serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| !value.is_object() && !value.is_array()) && !text.contains('\\') {
                let end = plain_end(text.as_bytes(), 0);
                prop_assert_eq!(end, Some(text.trim_end().len()));
            }
        }

        #[test]
        fn the_end_of_a_string_is_the_first_quote_unless_there_is_an_escape(
            bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(0x1f), Just(0xff), Just(b'a'), Just(b'!'), Just(b'#'), Just(b' ')], 0..40),
            from in 0_usize..8,
        ) {
            let special = bytes.iter().enumerate().skip(from).find(|(_, byte)| matches!(byte, b'"' | b'\\' | 0..0x20));
            let expected = special.and_then(|(at, byte)| (*byte == b'"').then_some(at));
            prop_assert_eq!(string_end(&bytes, from), expected);
        }
    }
}
