//! The text of a contract: one line of JSON.
//!
//! ```text
//! {"format":"json","columns":[{"name":"carrier","type":"text"},{"name":"delay","type":"int","nullable":false}]}
//! {"format":"csv","delimiter":";","null":"NA","columns":[…]}
//! {"format":"avro","schema":{"type":"record",…},"columns":[…]}
//! {"format":"protobuf","descriptors":"<base64>","message":"trips.Trip","columns":[…]}
//! ```
//!
//! `nullable`, `delimiter` and `null` have defaults, and the columns of Avro are by default those of its schema.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::FORMATS;
use crate::nearest::nearest;
use crate::node::Node;
use crate::{Cause, Column, Contract, ContractError, Format, TEXT_BYTES_MAX, avro};

const FORMAT: &str = "format";
const COLUMNS: &str = "columns";
const DELIMITER: &str = "delimiter";
const NULL: &str = "null";
const SCHEMA: &str = "schema";
const DESCRIPTORS: &str = "descriptors";
const MESSAGE: &str = "message";
const NAME: &str = "name";
const TYPE: &str = "type";
const NULLABLE: &str = "nullable";
const COLUMN_KEYS: &[&str] = &[NAME, TYPE, NULLABLE];

pub(crate) fn parse(text: &str) -> Result<Contract, ContractError> {
    if text.len() > TEXT_BYTES_MAX {
        let bytes = text.len();
        return Err(ContractError::at("", Cause::TooLong { bytes }));
    }
    let node: Node = serde_json::from_str(text)
        .map_err(|error| ContractError::at("", Cause::Syntax(error.to_string())))?;
    let object = Object::of(&node, String::new())?;
    let (format, keys) = format(&object)?;
    object.has_only(keys)?;
    let columns = match (object.get(COLUMNS), &format) {
        (Some(node), _) => columns(node)?,
        (None, Format::Avro { schema }) => avro::columns(schema)?,
        (None, _) => return Err(object.missing(COLUMNS, "each has a name and a type")),
    };
    Contract::checked(format, columns)
}

/// The format, and which keys there are with it.
fn format(object: &Object<'_>) -> Result<(Format, &'static [&'static str]), ContractError> {
    let name = object.text(FORMAT, "how values are written")?;
    Ok(match name {
        "json" => (Format::Json, &[FORMAT, COLUMNS]),
        "ndjson" => (Format::NdJson, &[FORMAT, COLUMNS]),
        "csv" => (csv(object)?, &[FORMAT, DELIMITER, NULL, COLUMNS]),
        "avro" => (avro_of(object)?, &[FORMAT, SCHEMA, COLUMNS]),
        "protobuf" => (protobuf(object)?, &[FORMAT, DESCRIPTORS, MESSAGE, COLUMNS]),
        other => {
            let cause = Cause::UnknownFormat {
                found: other.to_owned(),
                nearest: nearest(other, FORMATS.iter().copied()),
            };
            return Err(ContractError::at(FORMAT, cause));
        }
    })
}

fn csv(object: &Object<'_>) -> Result<Format, ContractError> {
    let delimiter = match object.optional_text(DELIMITER)? {
        None => b',',
        Some(text) => match text.as_bytes() {
            [byte] => *byte,
            _ => return Err(object.wrong(DELIMITER, Cause::Delimiter)),
        },
    };
    let null = object.optional_text(NULL)?.unwrap_or_default();
    Ok(Format::Csv {
        delimiter,
        null: null.to_owned(),
    })
}

fn avro_of(object: &Object<'_>) -> Result<Format, ContractError> {
    let node = object.get(SCHEMA);
    let node = node.ok_or_else(|| object.missing(SCHEMA, "a record of Avro"))?;
    let schema = serde_json::to_string(node);
    let schema = schema.map_err(|error| object.wrong(SCHEMA, Cause::Syntax(error.to_string())))?;
    Ok(Format::Avro { schema })
}

fn protobuf(object: &Object<'_>) -> Result<Format, ContractError> {
    let text = object.text(DESCRIPTORS, "a descriptor set as base64")?;
    let descriptors = STANDARD.decode(text);
    let descriptors =
        descriptors.map_err(|_not_base64| object.wrong(DESCRIPTORS, Cause::Base64))?;
    let message = object.text(MESSAGE, "the full name of the message")?;
    Ok(Format::Protobuf {
        descriptors,
        message: message.to_owned(),
    })
}

fn columns(node: &Node) -> Result<Vec<Column>, ContractError> {
    let Some(items) = node.as_list() else {
        let cause = Cause::Expected {
            expected: "a list of columns",
            found: node.kind(),
        };
        return Err(ContractError::at(COLUMNS, cause));
    };
    let items = items.iter().enumerate();
    items
        .map(|(index, item)| column(item, format!("{COLUMNS}[{index}]")))
        .collect()
}

fn column(node: &Node, place: String) -> Result<Column, ContractError> {
    let object = Object::of(node, place)?;
    object.has_only(COLUMN_KEYS)?;
    let name = object.text(NAME, "")?.to_owned();
    let data_type = object.text(TYPE, "")?.parse();
    let nullable = match object.get(NULLABLE) {
        None => true,
        Some(Node::Boolean(nullable)) => *nullable,
        Some(other) => return Err(object.unexpected(NULLABLE, "true or false", other)),
    };
    Ok(Column {
        name,
        data_type: data_type.map_err(|cause| object.wrong(TYPE, cause))?,
        nullable,
    })
}

/// An object, and where it is.
struct Object<'a> {
    node: &'a Node,
    members: &'a [(String, Node)],
    place: String,
}

impl<'a> Object<'a> {
    fn of(node: &'a Node, place: String) -> Result<Self, ContractError> {
        match node {
            Node::Object(members) => Ok(Self {
                node,
                members,
                place,
            }),
            other => {
                let cause = Cause::Expected {
                    expected: "an object",
                    found: other.kind(),
                };
                Err(ContractError::at(place, cause))
            }
        }
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key)
    }

    fn has_only(&self, known: &'static [&'static str]) -> Result<(), ContractError> {
        let unknown = self
            .members
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()));
        let Some((key, _)) = unknown else {
            return Ok(());
        };
        let cause = Cause::UnknownKey {
            key: key.clone(),
            nearest: nearest(key, known.iter().copied()),
            known,
        };
        Err(ContractError::at(self.place.clone(), cause))
    }

    fn optional_text(&self, key: &'static str) -> Result<Option<&'a str>, ContractError> {
        match self.get(key) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.unexpected(key, "text", other)),
        }
    }

    fn text(&self, key: &'static str, because: &'static str) -> Result<&'a str, ContractError> {
        let text = self.optional_text(key)?;
        text.ok_or_else(|| self.missing(key, because))
    }

    fn missing(&self, key: &'static str, because: &'static str) -> ContractError {
        ContractError::at(self.place.clone(), Cause::Missing { key, because })
    }

    fn unexpected(&self, key: &str, expected: &'static str, found: &Node) -> ContractError {
        let found = found.kind();
        self.wrong(key, Cause::Expected { expected, found })
    }

    fn wrong(&self, key: &str, cause: Cause) -> ContractError {
        let place = if self.place.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.place)
        };
        ContractError::at(place, cause)
    }
}

/// In one line, or (`{:#}`) with every column in a line of its own.
impl fmt::Display for Contract {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = if formatter.alternate() { "\n  " } else { "" };
        write!(formatter, "{{\"{FORMAT}\":\"{}\"", self.format.name())?;
        match &self.format {
            Format::Json | Format::NdJson => {}
            Format::Csv { delimiter, null } => {
                if *delimiter != b',' {
                    let delimiter = char::from(*delimiter).to_string();
                    write!(formatter, ",\"{DELIMITER}\":{}", Quoted(&delimiter))?;
                }
                if !null.is_empty() {
                    write!(formatter, ",\"{NULL}\":{}", Quoted(null))?;
                }
            }
            Format::Avro { schema } => write!(formatter, ",\"{SCHEMA}\":{schema}")?,
            Format::Protobuf {
                descriptors,
                message,
            } => {
                let descriptors = STANDARD.encode(descriptors);
                write!(
                    formatter,
                    ",\"{DESCRIPTORS}\":\"{descriptors}\",\"{MESSAGE}\":{}",
                    Quoted(message)
                )?;
            }
        }
        write!(formatter, ",\"{COLUMNS}\":[")?;
        for (index, column) in self.columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{line}{}", ColumnText(column))?;
        }
        formatter.write_str("]}")
    }
}

struct ColumnText<'a>(&'a Column);

impl fmt::Display for ColumnText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Column {
            name,
            data_type,
            nullable,
        } = self.0;
        write!(
            formatter,
            "{{\"{NAME}\":{},\"{TYPE}\":\"{data_type}\"",
            Quoted(name)
        )?;
        if !nullable {
            write!(formatter, ",\"{NULLABLE}\":false")?;
        }
        formatter.write_str("}")
    }
}

/// Text as JSON.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self.0).map_err(|_never| fmt::Error)?;
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests;
