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
//! Every column is there in both, in the same order. A topic with a contract has typed columns behind these, and `_error`,
//! which says what of a record does not fit ([`crate::typed`]). `_headers` is a list, since Kafka's headers have an order and may
//! repeat a key; a record without headers has an empty list. `_timestamp` is NULL for records without one (-1).

use std::sync::Arc;

use contract::Contract;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;

use crate::typed::arrow_type;

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
    /// Of the contract, this one.
    Typed(usize),
    /// What of the record does not fit the contract.
    Error,
}

impl Column {
    /// Those that every topic has.
    pub(crate) const METADATA: [Self; 7] = [
        Self::Topic,
        Self::Partition,
        Self::Offset,
        Self::Timestamp,
        Self::Key,
        Self::Value,
        Self::Headers,
    ];

    /// Its name, if it is the same for every topic.
    pub(crate) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Value => "_value",
            Self::Headers => "_headers",
            Self::Error => "_error",
            Self::Typed(_) => return None,
        })
    }

    /// The column that every topic has under this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut columns = Self::METADATA.into_iter();
        columns.find(|column| column.name() == Some(name))
    }

    /// Whether a record has to be read for it.
    pub(crate) const fn is_in_record(self) -> bool {
        match self {
            Self::Topic | Self::Partition | Self::Offset | Self::Timestamp => false,
            Self::Key | Self::Value | Self::Headers | Self::Typed(_) | Self::Error => true,
        }
    }

    /// Its field; `None` if it is not the same for every topic.
    pub(crate) fn field(self, form: Form) -> Option<Field> {
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
            Self::Error => (DataType::Utf8View, true),
            Self::Typed(_) => return None,
        };
        Some(Field::new(self.name()?, data_type, nullable))
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

/// The columns of a table.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) schema: SchemaRef,
    /// In the order of the schema.
    pub(crate) columns: Vec<Column>,
}

impl Columns {
    /// The columns of a topic, with those of its contract if it has one.
    pub(crate) fn new(form: Form, contract: Option<&Contract>) -> Self {
        let mut columns = Column::METADATA.to_vec();
        let mut fields: Vec<_> = columns
            .iter()
            .filter_map(|column| column.field(form))
            .collect();
        if let Some(contract) = contract {
            for (index, column) in contract.columns().iter().enumerate() {
                // What does not fit is NULL, whatever the contract says.
                fields.push(Field::new(&column.name, arrow_type(column.data_type), true));
                columns.push(Column::Typed(index));
            }
            fields.extend(Column::Error.field(form));
            columns.push(Column::Error);
        }
        Self {
            schema: Arc::new(Schema::new(fields)),
            columns,
        }
    }

    /// Those in these places.
    pub(crate) fn project(&self, places: &[usize]) -> Result<Self, ArrowError> {
        Ok(Self {
            schema: Arc::new(self.schema.project(places)?),
            columns: places
                .iter()
                .filter_map(|place| self.columns.get(*place).copied())
                .collect(),
        })
    }
}

/// Bytes that are text, or else how they are shown.
pub(crate) fn as_text(bytes: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        _ => Err(hexadecimal(bytes)),
    }
}

/// As PostgreSQL writes `bytea`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
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
        let table = Columns::new(Form::Text, None);
        for (number, column) in Column::METADATA.into_iter().enumerate() {
            let name = column.name().unwrap();
            assert_eq!(Column::from_name(name), Some(column));
            assert_eq!(table.schema.field(number).name(), name);
        }
        assert_eq!(Column::from_name("_nothing"), None);
    }
}
