//! Why a text is no contract, and where.

use std::fmt;

use crate::{COLUMNS_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// Why a text is no contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError {
    /// Where in it: a path as `columns[2].type`, empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub cause: Cause,
}

impl ContractError {
    pub(crate) fn at(place: impl Into<String>, cause: Cause) -> Self {
        Self {
            place: place.into(),
            cause,
        }
    }
}

impl std::error::Error for ContractError {}

impl fmt::Display for ContractError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(formatter, "{}: ", self.place)?;
        }
        self.cause.fmt(formatter)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The text is too long.
    #[error("a contract of {bytes} bytes is longer than {TEXT_BYTES_MAX}")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// It is no JSON.
    #[error("no JSON: {0}")]
    Syntax(String),
    /// It is JSON of another kind.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Something has to be there.
    #[error("{key:?} is missing{}", Because(.because))]
    Missing {
        /// The key.
        key: &'static str,
        /// Why.
        because: &'static str,
    },
    /// Nothing has this name here.
    #[error("unknown key {key:?}{}", Meant(.nearest, .known))]
    UnknownKey {
        /// The key.
        key: String,
        /// What was perhaps meant.
        nearest: Option<&'static str>,
        /// What there is.
        known: &'static [&'static str],
    },
    /// There is no such format.
    #[error("unknown format {found:?}{}", Meant(.nearest, FORMATS))]
    UnknownFormat {
        /// What is there.
        found: String,
        /// What was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// There is no such type.
    #[error("unknown type {found:?}{}", Meant(.nearest, TYPES))]
    UnknownType {
        /// What is there.
        found: String,
        /// What was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A decimal without its digits, or with impossible ones.
    #[error(
        "decimal takes 1 to 38 digits in all, and of these those behind the point, as decimal(10,2)"
    )]
    DecimalDigits,
    /// None, or too many.
    #[error("there are {count} columns; a contract has 1 to {COLUMNS_MAX}")]
    ColumnCount {
        /// How many.
        count: usize,
    },
    /// A column has no name.
    #[error("a column has a name")]
    NameEmpty,
    /// A name is too long.
    #[error("a name of {bytes} bytes is longer than {NAME_BYTES_MAX}")]
    NameTooLong {
        /// How long.
        bytes: usize,
    },
    /// A name begins with an underscore.
    #[error("{name:?} begins with an underscore, as only the columns that every topic has do")]
    NameReserved {
        /// The name.
        name: String,
    },
    /// A name cannot be shown.
    #[error("a name has no control characters")]
    NameControl,
    /// A name is there twice.
    #[error("there are two columns {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// What cannot stand between fields.
    #[error(
        "a delimiter is one ASCII character that is no quote, letter, digit, point, sign or line end"
    )]
    Delimiter,
    /// What cannot stand for NULL.
    #[error("what stands for NULL has no delimiter, quote or line end in it")]
    Null,
    /// A schema of Avro that is no record.
    #[error("the schema is no record")]
    NoRecord,
    /// A column that the schema has no field for.
    #[error("the schema has no field {name:?}{}", DidYouMean(.nearest))]
    NoField {
        /// The column.
        name: String,
        /// The field that was perhaps meant.
        nearest: Option<String>,
    },
    /// Descriptors that are no base64.
    #[error("no base64 (`base64 -w0 FILE` writes it)")]
    Base64,
}

/// The formats there are.
pub(crate) const FORMATS: &[&str] = &["json", "ndjson", "csv", "avro", "protobuf"];
const TYPES: &[&str] = &[
    "boolean",
    "smallint",
    "int",
    "bigint",
    "real",
    "double",
    "decimal(p,s)",
    "text",
    "bytea",
    "date",
    "timestamp",
    "timestamptz",
    "json",
];

/// What was perhaps meant, or else all that there is.
struct Meant<'a>(&'a Option<&'static str>, &'static [&'static str]);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, "; did you mean {nearest}?"),
            None => write!(formatter, "; {} {}", what(self.1), self.1.join(", ")),
        }
    }
}

fn what(known: &[&str]) -> &'static str {
    if known == TYPES {
        "the types are"
    } else if known == FORMATS {
        "the formats are"
    } else {
        "the keys are"
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

struct Because<'a>(&'a str);

impl fmt::Display for Because<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.0)
    }
}
