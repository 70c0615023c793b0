//! Records as JSON lines, the same form out of `consume --json` and into `produce --json-lines`, so that one can feed the
//! other without loss.
//!
//! `{"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":[{"key":"a","value":"1"}]}`
//! where bytes that are no UTF-8 stand as base64 under `key_base64` or `value_base64`, and a null is `null`.

use std::borrow::Cow;

use client::RecordRef;
use serde::{Deserialize, Serialize};

/// A record as it is written.
#[derive(Debug, Serialize)]
struct RecordOut<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(flatten)]
    key: KeyOut<'a>,
    #[serde(flatten)]
    value: ValueOut<'a>,
    headers: Vec<HeaderOut<'a>>,
}

#[derive(Debug, Serialize)]
enum KeyOut<'a> {
    #[serde(rename = "key")]
    Text(Option<&'a str>),
    #[serde(rename = "key_base64")]
    Bytes(String),
}

#[derive(Debug, Serialize)]
enum ValueOut<'a> {
    #[serde(rename = "value")]
    Text(Option<&'a str>),
    #[serde(rename = "value_base64")]
    Bytes(String),
}

#[derive(Debug, Serialize)]
struct HeaderOut<'a> {
    key: Cow<'a, str>,
    #[serde(flatten)]
    value: ValueOut<'a>,
}

fn value_out(bytes: Option<&[u8]>) -> ValueOut<'_> {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => ValueOut::Text(None),
        Some((_, Ok(text))) => ValueOut::Text(Some(text)),
        Some((bytes, Err(_))) => ValueOut::Bytes(base64(bytes)),
    }
}

/// Appends a record and a line end.
pub(crate) fn write(
    topic: &str,
    partition: i32,
    record: &RecordRef<'_>,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let headers = record.headers.map(|(key, value)| HeaderOut {
        // Kafka's headers have text as names.
        key: String::from_utf8_lossy(key),
        value: value_out(value),
    });
    let record = RecordOut {
        topic,
        partition,
        offset: record.offset,
        timestamp: record.timestamp_ms,
        key: match value_out(record.key) {
            ValueOut::Text(text) => KeyOut::Text(text),
            ValueOut::Bytes(bytes) => KeyOut::Bytes(bytes),
        },
        value: value_out(record.value),
        headers: headers.collect(),
    };
    serde_json::to_writer(&mut *out, &record)?;
    out.push(b'\n');
    Ok(())
}

/// A record as it is read. Unknown fields are refused: they would be lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordIn {
    #[serde(default, rename = "topic")]
    _topic: Option<String>,
    #[serde(default, rename = "offset")]
    _offset: Option<i64>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    key: Option<serde_json::Value>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default)]
    value: Option<serde_json::Value>,
    #[serde(default)]
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<HeaderIn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderIn {
    key: String,
    #[serde(default)]
    value: Option<serde_json::Value>,
    #[serde(default)]
    value_base64: Option<String>,
}

/// A record to produce.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordLine {
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordLineError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("'{text}' is no base64")]
    Base64 { text: String },
}

/// Reads a line. Text stands for its bytes; any other JSON value (an object, a number) for its own text.
pub(crate) fn read(line: &[u8]) -> Result<RecordLine, RecordLineError> {
    let record: RecordIn = serde_json::from_slice(line)?;
    let headers = record.headers.into_iter().map(|header| {
        let value = field(header.value, header.value_base64)?;
        Ok((header.key.into_bytes(), value))
    });
    Ok(RecordLine {
        partition: record.partition,
        timestamp_ms: record.timestamp,
        key: field(record.key, record.key_base64)?,
        value: field(record.value, record.value_base64)?,
        headers: headers.collect::<Result<_, RecordLineError>>()?,
    })
}

fn field(
    value: Option<serde_json::Value>,
    encoded: Option<String>,
) -> Result<Option<Vec<u8>>, RecordLineError> {
    match (encoded, value) {
        (Some(text), _) => match from_base64(&text) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(RecordLineError::Base64 { text }),
        },
        (None, None | Some(serde_json::Value::Null)) => Ok(None),
        (None, Some(serde_json::Value::String(text))) => Ok(Some(text.into_bytes())),
        (None, Some(other)) => Ok(Some(other.to_string().into_bytes())),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (at, byte)| {
            word | u32::from(*byte) << (16 - 8 * at)
        });
        for position in 0..4 {
            if position <= chunk.len() {
                let six = (word >> (18 - 6 * position)) & 63;
                text.push(char::from(ALPHABET[six as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut word = 0_u32;
        for (at, digit) in chunk.iter().enumerate() {
            let six = ALPHABET.iter().position(|symbol| symbol == digit)?;
            word |= u32::try_from(six).ok()? << (18 - 6 * at);
        }
        let [_, three @ ..] = word.to_be_bytes();
        bytes.extend_from_slice(three.get(..chunk.len() - 1)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions, BatchView};

    use super::*;

    #[test]
    fn base64_goes_both_ways() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["Zg", "Z===", "Zg=a", "!!!!", "Zm9vY"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    fn round_trip(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&[u8], Option<&[u8]>)]) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.push(1234, key, value, headers).expect("fits");
        let bytes = builder.build().expect("fits");
        let batch = BatchView::parse(&bytes).expect("well formed");
        let payload = batch.payload(1 << 20).expect("not compressed");
        let record = batch
            .records(&payload)
            .next()
            .expect("one")
            .expect("well formed");
        let record = RecordRef {
            offset: 7,
            timestamp_ms: 1234,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let mut line = Vec::new();
        write("t", 2, &record, &mut line).expect("serializes");
        let read = read(&line).expect("a record");
        assert_eq!(read.partition, Some(2));
        assert_eq!(read.timestamp_ms, Some(1234));
        assert_eq!(read.key.as_deref(), key);
        assert_eq!(read.value.as_deref(), value);
        let found: Vec<(&[u8], Option<&[u8]>)> = read
            .headers
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .collect();
        assert_eq!(found, headers);
    }

    #[test]
    fn what_consume_writes_produce_reads_without_loss() {
        round_trip(Some(b"k"), Some(b"v \" \n"), &[]);
        round_trip(None, None, &[(b"a", None), (b"a", Some(b"1"))]);
        round_trip(
            Some(b"\xff\xfe"),
            Some(b"\x00\x80"),
            &[(b"h", Some(b"\xff"))],
        );
        round_trip(Some(b""), Some(b""), &[]);
    }

    #[test]
    fn json_values_become_their_text_and_unknown_fields_are_refused() {
        let read_one = |text: &str| read(text.as_bytes());
        let record = read_one(r#"{"key":7,"value":{"a":[1,2]}}"#).expect("a record");
        assert_eq!(record.key.as_deref(), Some(b"7".as_slice()));
        assert_eq!(record.value.as_deref(), Some(br#"{"a":[1,2]}"#.as_slice()));
        assert!(read_one(r#"{"vallue":"x"}"#).is_err());
        assert!(read_one(r#"{"value_base64":"?"}"#).is_err());
        assert!(read_one("not json").is_err());
    }
}
