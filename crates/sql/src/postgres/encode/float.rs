//! Floating-point numbers: the shortest text that reads back as the same number, laid out as PostgreSQL does.

use bytes::{BufMut, BytesMut};

use super::super::frontend::Format;

pub(super) fn put_f32(value: f32, format: Format, output: &mut BytesMut) {
    match format {
        Format::Binary => output.put_f32(value),
        Format::Text => put_text(&format!("{value:e}"), value.into(), 6, output),
    }
}

pub(super) fn put_f64(value: f64, format: Format, output: &mut BytesMut) {
    match format {
        Format::Binary => output.put_f64(value),
        Format::Text => put_text(&format!("{value:e}"), value, 15, output),
    }
}

/// `scientific` is the shortest `d.ddde±x`; from 10^`exponent_limit` on an exponent is written, as below 10^-4.
fn put_text(scientific: &str, value: f64, exponent_limit: i32, output: &mut BytesMut) {
    if !value.is_finite() {
        output.put_slice(match value {
            value if value.is_nan() => b"NaN",
            value if value > 0.0 => b"Infinity",
            _ => b"-Infinity",
        });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    output.put_slice(sign.as_bytes());
    if !(-4..exponent_limit).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        super::put_display(
            format_args!("{mantissa}e{sign}{:02}", exponent.abs()),
            output,
        );
    } else if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
        super::put_display(format_args!("0.{}{digits}", "0".repeat(zeros)), output);
    } else {
        let whole = usize::try_from(exponent).unwrap_or_default() + 1;
        match digits.split_at_checked(whole) {
            Some((whole, "")) => output.put_slice(whole.as_bytes()),
            Some((whole, fraction)) => {
                super::put_display(format_args!("{whole}.{fraction}"), output)
            }
            None => super::put_display(format_args!("{digits:0<whole$}"), output),
        }
    }
}
