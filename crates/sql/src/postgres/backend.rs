//! What the server sends, written straight into the connection's output.
//!
//! Invariant: a message is written whole with its right length, or taken back; the client never sees half of one.

use bytes::{BufMut, BytesMut};

use super::error::PgError;
use super::frontend::Format;
use super::types::PgType;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: PgType,
}

/// How a transaction stands, as `ReadyForQuery` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionStatus {
    Idle,
    Open,
    Failed,
}

/// Writes a message: the type byte, room for the length, the body, then the length.
fn framed(output: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    output.put_u8(kind);
    let start = output.len();
    output.put_u32(0);
    body(output);
    let length = u32::try_from(output.len() - start).expect("messages are far below 4 GiB");
    output[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_string(output: &mut BytesMut, text: &str) {
    // A zero byte would end the string early and shift everything behind it.
    output.extend(text.bytes().filter(|byte| *byte != 0));
    output.put_u8(0);
}

fn put_count(output: &mut BytesMut, count: usize) {
    output.put_u16(u16::try_from(count).expect("columns and parameters are counted before"));
}

pub(super) fn authentication_ok(output: &mut BytesMut) {
    framed(output, b'R', |body| body.put_u32(0));
}

pub(super) fn parameter_status(output: &mut BytesMut, name: &str, value: &str) {
    framed(output, b'S', |body| {
        put_string(body, name);
        put_string(body, value);
    });
}

pub(super) fn backend_key(output: &mut BytesMut, process: i32, secret: &[u8]) {
    framed(output, b'K', |body| {
        body.put_i32(process);
        body.put_slice(secret);
    });
}

/// The newest minor version there is, and the options of the start that nobody knows.
pub(super) fn negotiate_version(output: &mut BytesMut, unknown: &[&str]) {
    framed(output, b'v', |body| {
        body.put_u32(3 << 16);
        body.put_u32(u32::try_from(unknown.len()).expect("a startup packet is short"));
        for name in unknown {
            put_string(body, name);
        }
    });
}

pub(super) fn ready(output: &mut BytesMut, status: TransactionStatus) {
    framed(output, b'Z', |body| {
        body.put_u8(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        });
    });
}

pub(super) fn parse_complete(output: &mut BytesMut) {
    framed(output, b'1', |_| {});
}

pub(super) fn bind_complete(output: &mut BytesMut) {
    framed(output, b'2', |_| {});
}

pub(super) fn close_complete(output: &mut BytesMut) {
    framed(output, b'3', |_| {});
}

pub(super) fn no_data(output: &mut BytesMut) {
    framed(output, b'n', |_| {});
}

pub(super) fn portal_suspended(output: &mut BytesMut) {
    framed(output, b's', |_| {});
}

pub(super) fn empty_query(output: &mut BytesMut) {
    framed(output, b'I', |_| {});
}

pub(super) fn command_complete(output: &mut BytesMut, tag: &str) {
    framed(output, b'C', |body| put_string(body, tag));
}

pub(super) fn parameter_description(output: &mut BytesMut, types: &[PgType]) {
    framed(output, b't', |body| {
        put_count(body, types.len());
        for kind in types {
            body.put_u32(kind.oid());
        }
    });
}

/// `format` tells the format of a column by its position.
pub(super) fn row_description(
    output: &mut BytesMut,
    columns: &[Column],
    format: impl Fn(usize) -> Format,
) {
    framed(output, b'T', |body| {
        put_count(body, columns.len());
        for (index, column) in columns.iter().enumerate() {
            put_string(body, &column.name);
            // Neither the table nor its column are told: expressions have none, and nobody needs it of the others.
            body.put_u32(0);
            body.put_u16(0);
            body.put_u32(column.kind.oid());
            body.put_i16(column.kind.size());
            body.put_i32(-1);
            body.put_i16(format(index).code());
        }
    });
}

/// A row of `count` values, each written by `value`.
pub(super) fn data_row(
    output: &mut BytesMut,
    count: usize,
    mut value: impl FnMut(usize, &mut BytesMut),
) {
    framed(output, b'D', |body| {
        put_count(body, count);
        for index in 0..count {
            value(index, body);
        }
    });
}

pub(super) fn copy_out(output: &mut BytesMut, columns: usize) {
    framed(output, b'H', |body| {
        body.put_u8(0);
        put_count(body, columns);
        body.put_bytes(0, columns * 2);
    });
}

pub(super) fn copy_in(output: &mut BytesMut, columns: usize, is_binary: bool) {
    framed(output, b'G', |body| {
        body.put_u8(is_binary.into());
        put_count(body, columns);
        for _ in 0..columns {
            body.put_i16(is_binary.into());
        }
    });
}

pub(super) fn copy_data(output: &mut BytesMut, line: impl FnOnce(&mut BytesMut)) {
    framed(output, b'd', line);
}

pub(super) fn copy_done(output: &mut BytesMut) {
    framed(output, b'c', |_| {});
}

pub(super) fn error(output: &mut BytesMut, error: &PgError) {
    fields(output, b'E', error);
}

pub(super) fn notice(output: &mut BytesMut, notice: &PgError) {
    fields(output, b'N', notice);
}

fn fields(output: &mut BytesMut, kind: u8, error: &PgError) {
    let position = error.position.map(|position| position.to_string());
    framed(output, kind, |body| {
        for (field, text) in [
            (b'S', Some(error.severity.name())),
            (b'V', Some(error.severity.name())),
            (b'C', Some(error.state)),
            (b'M', Some(error.message.as_str())),
            (b'D', error.detail.as_deref()),
            (b'H', error.hint.as_deref()),
            (b'P', position.as_deref()),
            (b'W', error.context.as_deref()),
        ] {
            if let Some(text) = text {
                body.put_u8(field);
                put_string(body, text);
            }
        }
        body.put_u8(0);
    });
}
