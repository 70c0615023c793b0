//! One-dimensional arrays.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef};

use super::super::frontend::Format;
use super::super::types::PgType;
use super::{Style, is_null, put_value, put_with_length};

pub(super) fn put(
    items: &ArrayRef,
    kind: PgType,
    format: Format,
    style: Style,
    output: &mut BytesMut,
) {
    let item = PgType::scalar(kind.kind);
    match format {
        Format::Text => put_text(items.as_ref(), item, style, output),
        Format::Binary => put_binary(items.as_ref(), item, style, output),
    }
}

/// `{1,NULL,"a b"}`
fn put_text(items: &dyn Array, item: PgType, style: Style, output: &mut BytesMut) {
    output.put_u8(b'{');
    let mut text = BytesMut::new();
    for row in 0..items.len() {
        if row > 0 {
            output.put_u8(b',');
        }
        if is_null(items, row) {
            output.put_slice(b"NULL");
            continue;
        }
        text.clear();
        put_value(items, row, item, Format::Text, style, &mut text);
        if needs_quotes(&text) {
            put_quoted(&text, output);
        } else {
            output.put_slice(&text);
        }
    }
    output.put_u8(b'}');
}

fn needs_quotes(text: &[u8]) -> bool {
    let special =
        |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b || b"{},\"\\".contains(byte);
    text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(special)
}

fn put_quoted(text: &[u8], output: &mut BytesMut) {
    output.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            output.put_u8(b'\\');
        }
        output.put_u8(*byte);
    }
    output.put_u8(b'"');
}

/// Dimensions, whether there are NULLs, the items' type, then length and lower bound of the one dimension (`array_send`).
fn put_binary(items: &dyn Array, item: PgType, style: Style, output: &mut BytesMut) {
    let length = i32::try_from(items.len()).expect("lists of Arrow have 32-bit lengths");
    let has_nulls = (0..items.len()).any(|row| is_null(items, row));
    output.put_i32(i32::from(length > 0));
    output.put_i32(has_nulls.into());
    output.put_u32(item.oid());
    if length > 0 {
        output.put_i32(length);
        output.put_i32(1);
    }
    for row in 0..items.len() {
        put_with_length(items, row, item, Format::Binary, style, output);
    }
}
