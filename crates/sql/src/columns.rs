//! The columns of a topic, and how bytes become values of SQL.
//!
//! Kafka's keys, values and header values are bytes. What people write and ask is text, nearly always JSON, and psql,
//! JSON operators and `LIKE` all want text. So a topic comes in two forms:
//!
//! * `"topic"`: `_key`, `_value` and header values are text. Bytes that are no text (not UTF-8, or with a zero byte, which
//!   PostgreSQL's text cannot hold and which begins every record framed by a schema registry) are shown as PostgreSQL shows
//!   bytes: `\x` and hexadecimal digits. Nothing is lost, no query fails, and NULL still means what it means in Kafka: no
//!   key, or a tombstone. Were they NULL instead, a tombstone could not be told from a picture.
//! * `"topic@bytes"`: the same rows with these columns as bytes (`bytea`). It settles what is ambiguous in text: a value
//!   that really consists of the characters `\x00`. `@` is legal in no topic name.
//!
//! Every column is there in both, in the same order. `_headers` is a list, since Kafka's headers have an order and may
//! repeat a key; a record without headers has an empty list. `_timestamp` is NULL for records without one (-1).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// The time zone of `_timestamp`: a moment, shown in UTC unless the session says otherwise.
pub(crate) const UTC: &str = "+00:00";
/// Names of the fields of a header.
pub(crate) const HEADER_KEY: &str = "key";
pub(crate) const HEADER_VALUE: &str = "value";

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// As text, with hexadecimal digits for what is none.
    Text,
    /// As they are.
    Bytes,
}

/// A column of every topic. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Column {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
}

impl Column {
    pub(crate) const ALL: [Self; 7] = [
        Self::Topic,
        Self::Partition,
        Self::Offset,
        Self::Timestamp,
        Self::Key,
        Self::Value,
        Self::Headers,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Value => "_value",
            Self::Headers => "_headers",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    fn field(self, form: Form) -> Field {
        let bytes = bytes_type(form);
        let (data_type, nullable) = match self {
            Self::Topic => (DataType::Utf8View, false),
            Self::Partition => (DataType::Int32, false),
            Self::Offset => (DataType::Int64, false),
            Self::Timestamp => (
                DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
                true,
            ),
            Self::Key | Self::Value => (bytes, true),
            Self::Headers => {
                let header = DataType::Struct(header_fields(form));
                (
                    DataType::List(Arc::new(Field::new_list_field(header, false))),
                    false,
                )
            }
        };
        Field::new(self.name(), data_type, nullable)
    }
}

fn bytes_type(form: Form) -> DataType {
    match form {
        Form::Text => DataType::Utf8View,
        Form::Bytes => DataType::BinaryView,
    }
}

/// What a header consists of. Its key is text in both forms, as Kafka has it.
pub(crate) fn header_fields(form: Form) -> Fields {
    Fields::from(vec![
        Field::new(HEADER_KEY, DataType::Utf8View, false),
        Field::new(HEADER_VALUE, bytes_type(form), true),
    ])
}

/// The columns of a topic.
pub(crate) fn schema(form: Form) -> SchemaRef {
    static TEXT: LazyLock<SchemaRef> = LazyLock::new(|| new_schema(Form::Text));
    static BYTES: LazyLock<SchemaRef> = LazyLock::new(|| new_schema(Form::Bytes));
    Arc::clone(match form {
        Form::Text => &TEXT,
        Form::Bytes => &BYTES,
    })
}

fn new_schema(form: Form) -> SchemaRef {
    let fields = Column::ALL.map(|column| column.field(form));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Bytes that are text, or else how they are shown.
pub(crate) fn as_text(bytes: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        _ => Err(hexadecimal(bytes)),
    }
}

/// As PostgreSQL writes `bytea`.
fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0x0f)]);
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_other_bytes_are_written_as_postgresql_writes_them() {
        assert_eq!(as_text(b""), Ok(""));
        assert_eq!(as_text("größe".as_bytes()), Ok("größe"));
        assert_eq!(as_text(b"\xff\x00a"), Err("\\xff0061".to_owned()));
        assert_eq!(as_text(b"a\0"), Err("\\x6100".to_owned()));
    }

    #[test]
    fn columns_are_found_by_their_names() {
        for (number, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(Column::from_name(column.name()), Some(column));
            assert_eq!(schema(Form::Text).field(number).name(), column.name());
        }
        assert_eq!(Column::from_name("_nothing"), None);
    }
}
