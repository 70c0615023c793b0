//! `numeric`: decimals of any width, as digits and as PostgreSQL's base 10000.

use bytes::{BufMut, BytesMut};

use super::super::frontend::Format;

/// `unscaled` is the decimal without its point, `scale` the number of digits behind it.
pub(super) fn put(unscaled: &str, scale: i8, format: Format, output: &mut BytesMut) {
    let (is_negative, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, unscaled),
    };
    let fraction = usize::try_from(scale).unwrap_or(0);
    let zeros = usize::from(scale.min(0).unsigned_abs());
    let digits = format!(
        "{digits:0>width$}{}",
        "0".repeat(zeros),
        width = fraction + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - fraction);
    match format {
        Format::Text => put_text(is_negative, whole, fraction, output),
        Format::Binary => put_binary(is_negative, whole, fraction, output),
    }
}

fn put_text(is_negative: bool, whole: &str, fraction: &str, output: &mut BytesMut) {
    if is_negative {
        output.put_u8(b'-');
    }
    output.put_slice(whole.as_bytes());
    if !fraction.is_empty() {
        output.put_u8(b'.');
        output.put_slice(fraction.as_bytes());
    }
}

/// Groups of four digits around the point, without zeros at either end (`numeric_send`).
fn put_binary(is_negative: bool, whole: &str, fraction: &str, output: &mut BytesMut) {
    let whole_groups = whole.len().div_ceil(4);
    let fraction_groups = fraction.len().div_ceil(4);
    let padded = format!(
        "{whole:0>whole_width$}{fraction:0<fraction_width$}",
        whole_width = whole_groups * 4,
        fraction_width = fraction_groups * 4
    );
    let groups = padded.as_bytes().chunks(4);
    let groups = groups.map(|group| {
        group
            .iter()
            .fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0'))
    });
    let groups: Vec<i16> = groups.collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let significant = &groups[leading..];
    let trailing = significant
        .iter()
        .rev()
        .take_while(|group| **group == 0)
        .count();
    let significant = &significant[..significant.len() - trailing];
    let weight = if significant.is_empty() {
        0
    } else {
        i16::try_from(whole_groups).unwrap_or(i16::MAX)
            - 1
            - i16::try_from(leading).unwrap_or(i16::MAX)
    };
    output.put_i16(i16::try_from(significant.len()).unwrap_or(i16::MAX));
    output.put_i16(weight);
    output.put_u16(if is_negative && !significant.is_empty() {
        0x4000
    } else {
        0
    });
    output.put_i16(i16::try_from(fraction.len()).unwrap_or(i16::MAX));
    for group in significant {
        output.put_i16(*group);
    }
}
