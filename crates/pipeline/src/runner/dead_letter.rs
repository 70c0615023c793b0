//! [`DeadLetter`]: a record that could not be read, cast or passed on, as it is kept: where it stood, why it is here, and itself.
//!
//! Invariants: its key is its place in its source, so that what is written again collapses with what was there; it is never larger
//! than a record may be: what does not fit is cut and says so, since the source has it whole.

use contract::{Column, Contract, DataType, Format};
use serde::Serialize;

/// The most bytes that are kept of a record's key, value and headers together. JSON can make six of one, and a record may have 1 MiB.
const ORIGINAL_BYTES_MAX: usize = 128 << 10;
/// The most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// The most headers, and the most bytes of the key of one.
const HEADERS_MAX: usize = 64;
const HEADER_KEY_BYTES_MAX: usize = 256;

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a topic.
    Topic {
        /// Its name.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// In a file.
    File {
        /// Its path.
        path: String,
        /// The number of the record in it, from 1.
        row: i64,
    },
    /// In a table.
    Row {
        /// The table, or `query`.
        table: String,
        /// Which row, as its columns tell.
        row: String,
    },
}

/// Why a record is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In a word: the check that failed, `decode` or `error`.
    pub reason: String,
    /// The check, if it was one.
    pub check: Option<String>,
    /// In a sentence.
    pub message: String,
}

impl Reason {
    /// One that is no check.
    pub(crate) fn new(word: &str, message: String) -> Self {
        Self {
            reason: word.to_owned(),
            check: None,
            message,
        }
    }
}

/// A record as it stood in its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its time, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Whether the value is only its beginning.
    pub is_cut: bool,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stood.
    pub place: Place,
    /// Why it is here.
    pub reason: Reason,
    /// Itself.
    pub original: Original,
}

/// Whose dead letters they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u32,
}

/// The value of the record, as JSON. What a member means stands in [`contract`].
#[derive(Serialize)]
struct Value<'a> {
    pipeline: &'a str,
    version: u32,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a str>,
    message: &'a str,
    topic: &'a str,
    partition: Option<i32>,
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a str>,
    attempt: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_time: Option<String>,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<Header<'a>>,
    /// Whether anything of the record was cut.
    is_cut: bool,
}

#[derive(Serialize)]
struct Header<'a> {
    key: &'a str,
    value: Option<String>,
}

impl DeadLetter {
    /// The key of its record: the pipeline and the place.
    pub fn key(&self, owner: &Owner) -> Vec<u8> {
        let pipeline = &owner.pipeline;
        let key = match &self.place {
            Place::Topic {
                topic,
                partition,
                offset,
            } => serde_json::json!([pipeline, topic, partition, offset]),
            Place::File { path, row } => serde_json::json!([pipeline, path, 0, row]),
            Place::Row { table, row } => serde_json::json!([pipeline, table, 0, row]),
        };
        key.to_string().into_bytes()
    }

    /// The value of its record.
    pub fn value(&self, owner: &Owner, attempt: u32, now_ms: i64) -> Vec<u8> {
        let original = &self.original;
        let mut room = Room::default();
        let mut shown = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| room.show(bytes));
        let (key, value) = (shown(&original.key), shown(&original.value));
        let headers = original.headers.iter().take(HEADERS_MAX);
        let headers = headers.map(|(key, value)| Header {
            key: start(key, HEADER_KEY_BYTES_MAX),
            value: shown(value),
        });
        let headers: Vec<_> = headers.collect();
        let is_cut = room.is_cut || original.is_cut || original.headers.len() > HEADERS_MAX;
        let (topic, partition, offset, row) = match &self.place {
            Place::Topic {
                topic,
                partition,
                offset,
            } => (topic, Some(*partition), Some(*offset), None),
            Place::File { path, row } => (path, None, Some(*row), None),
            Place::Row { table, row } => (table, None, None, Some(row.as_str())),
        };
        let value = Value {
            pipeline: &owner.pipeline,
            version: owner.version,
            reason: &self.reason.reason,
            check: self.reason.check.as_deref(),
            message: start(&self.reason.message, MESSAGE_BYTES_MAX),
            topic,
            partition,
            offset,
            row,
            attempt,
            time: moment(now_ms),
            record_time: original.timestamp_ms.map(moment),
            key,
            value,
            headers,
            is_cut,
        };
        // Texts and numbers are always JSON.
        serde_json::to_vec(&value).unwrap_or_default()
    }
}

/// What may still be kept of a record.
struct Room {
    left: usize,
    is_cut: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            left: ORIGINAL_BYTES_MAX,
            is_cut: false,
        }
    }
}

impl Room {
    /// Text, or what PostgreSQL shows of bytes that are none.
    fn show(&mut self, bytes: &[u8]) -> String {
        let most = self.left;
        self.is_cut |= bytes.len() > most;
        self.left -= bytes.len().min(most);
        match std::str::from_utf8(bytes) {
            Ok(text) => start(text, most).to_owned(),
            Err(_no_text) => {
                let kept = bytes.get(..most).unwrap_or(bytes);
                let digits = kept.iter().map(|byte| format!("{byte:02x}"));
                format!("\\x{}", digits.collect::<String>())
            }
        }
    }
}

/// The beginning of a text, up to so many bytes.
fn start(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// A time as JSON has it.
pub(super) fn moment(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default()
}

/// What a topic of dead letters has in it.
pub fn contract() -> Contract {
    let column = |name: &str, data_type, nullable| Column {
        name: name.to_owned(),
        data_type,
        nullable,
    };
    let columns = vec![
        column("pipeline", DataType::Text, false),
        column("version", DataType::Int, false),
        column("reason", DataType::Text, false),
        column("check", DataType::Text, true),
        column("message", DataType::Text, false),
        column("topic", DataType::Text, false),
        column("partition", DataType::Int, true),
        column("offset", DataType::BigInt, true),
        column("row", DataType::Text, true),
        column("attempt", DataType::Int, false),
        column("time", DataType::TimestampTz, false),
        column("record_time", DataType::TimestampTz, true),
        column("key", DataType::Text, true),
        column("value", DataType::Text, true),
        column("headers", DataType::Json, true),
        column("is_cut", DataType::Boolean, true),
    ];
    Contract::new(Format::Json, columns).expect("the columns above are a contract")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            environment: "dev".to_owned(),
            pipeline: "trips".to_owned(),
            version: 3,
        }
    }

    fn letter(value: &[u8]) -> DeadLetter {
        DeadLetter {
            place: Place::Topic {
                topic: "in".to_owned(),
                partition: 2,
                offset: 17,
            },
            reason: Reason {
                reason: "not_null(id)".to_owned(),
                check: Some("not_null(id)".to_owned()),
                message: "id is NULL".to_owned(),
            },
            original: Original {
                key: Some(b"k".to_vec()),
                value: Some(value.to_vec()),
                headers: vec![("h".to_owned(), None)],
                timestamp_ms: Some(0),
                is_cut: false,
            },
        }
    }

    #[test]
    fn a_dead_letter_says_where_it_stood_and_why_it_is_here() {
        let letter = letter(br#"{"a":1}"#);
        assert_eq!(letter.key(&owner()), br#"["trips","in",2,17]"#);
        let value: serde_json::Value =
            serde_json::from_slice(&letter.value(&owner(), 1, 1_000)).unwrap();
        let expected = serde_json::json!({
            "pipeline": "trips", "version": 3, "reason": "not_null(id)", "check": "not_null(id)", "message": "id is NULL",
            "topic": "in", "partition": 2, "offset": 17, "attempt": 1, "time": "1970-01-01T00:00:01.000Z",
            "record_time": "1970-01-01T00:00:00.000Z", "key": "k", "value": "{\"a\":1}",
            "headers": [{"key": "h", "value": null}], "is_cut": false,
        });
        assert_eq!(value, expected);
        for column in contract().columns() {
            let is_there = value.get(&column.name).is_some();
            assert!(is_there || column.nullable, "{}", column.name);
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_bytes_and_what_is_large_is_cut() {
        let mut room = Room::default();
        assert_eq!(room.show(b"\xff\x00"), "\\xff00");
        assert!(!room.is_cut);
        let value = letter(&vec![0_u8; 20 << 20]).value(&owner(), 1, 0);
        assert!(value.len() < 900 << 10, "{}", value.len());
        let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(value["is_cut"], true);
    }
}
