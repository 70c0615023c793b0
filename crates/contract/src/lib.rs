//! [`Contract`]: what the values of a topic's records are, declared: their format, and columns with names and types.
//!
//! A contract is the value of one setting of its topic, [`SETTING`]: one line of JSON that people write and edit. It is read
//! strictly, so that a misspelled word is an error that says where it is and what was perhaps meant, and it says all that
//! there is to know: nothing about a topic's values is guessed when they are read. Guessing is [`infer`]'s, which proposes
//! a contract from a sample for somebody to look at.
//!
//! Invariant: a [`Contract`] is valid, and reading what it is written as gives it again. No IO, no clock, no Arrow.

mod avro;
pub mod csv;
mod data_type;
mod error;
mod infer;
mod nearest;
mod node;
mod text;

pub use data_type::{DECIMAL_DIGITS_MAX, DataType};
pub use error::{Cause, ContractError};
pub use infer::{InferError, LeftOut, Proposal, infer};
pub use nearest::nearest;

/// The name of the topic setting.
pub const SETTING: &str = "watertable.contract";
/// The longest text of a contract, which is the longest text of a setting.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// The most columns of a contract.
pub const COLUMNS_MAX: usize = 1000;
/// The longest name of a column, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// What the values of a topic's records are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    format: Format,
    columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name, and that of the field in a record.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether a record without it fits.
    pub nullable: bool,
}

/// How a value is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One object of JSON.
    Json,
    /// Lines of JSON, each an object and a row.
    NdJson,
    /// One line of fields in the order of the columns, as PostgreSQL's `COPY … (FORMAT csv)` writes it.
    Csv {
        /// Between fields: one ASCII character.
        delimiter: u8,
        /// What stands for NULL where it is not quoted.
        null: String,
    },
    /// A datum of Avro, with or without the 5 bytes in front that a schema registry's clients write.
    Avro {
        /// The schema it was written with: a record, as JSON.
        schema: String,
    },
    /// A message of Protobuf, with or without the bytes in front that a schema registry's clients write.
    Protobuf {
        /// A `FileDescriptorSet` with the message and all that it uses (`protoc --include_imports --descriptor_set_out`).
        descriptors: Vec<u8>,
        /// The full name of the message.
        message: String,
    },
}

impl Format {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::NdJson => "ndjson",
            Self::Csv { .. } => "csv",
            Self::Avro { .. } => "avro",
            Self::Protobuf { .. } => "protobuf",
        }
    }

    /// CSV as PostgreSQL writes it: commas, and nothing for NULL.
    pub const fn csv() -> Self {
        Self::Csv {
            delimiter: b',',
            null: String::new(),
        }
    }
}

impl Column {
    /// A column that may be NULL.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            nullable: true,
        }
    }

    /// The same, and a record without it does not fit.
    #[must_use]
    pub fn not_null(self) -> Self {
        Self {
            nullable: false,
            ..self
        }
    }
}

impl Contract {
    /// A contract of these columns.
    ///
    /// # Errors
    /// A column has a name that it cannot have, there are none or too many, or the text would be too long.
    pub fn new(format: Format, columns: Vec<Column>) -> Result<Self, ContractError> {
        let contract = Self::checked(format, columns)?;
        let bytes = contract.to_string().len();
        if bytes > TEXT_BYTES_MAX {
            return Err(ContractError::at("", Cause::TooLong { bytes }));
        }
        Ok(contract)
    }

    /// Reads the text of a contract.
    ///
    /// # Errors
    /// It is none; the error says where and why.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        text::parse(text)
    }

    /// How values are written.
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Checks what concerns the columns together and the format with them.
    fn checked(format: Format, columns: Vec<Column>) -> Result<Self, ContractError> {
        if columns.is_empty() || columns.len() > COLUMNS_MAX {
            let cause = Cause::ColumnCount {
                count: columns.len(),
            };
            return Err(ContractError::at("columns", cause));
        }
        let mut names = std::collections::HashSet::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let fault = name_fault(&column.name).or_else(|| {
                let is_new = names.insert(column.name.as_str());
                (!is_new).then(|| Cause::Duplicate {
                    name: column.name.clone(),
                })
            });
            if let Some(cause) = fault {
                return Err(ContractError::at(format!("columns[{index}].name"), cause));
            }
        }
        match &format {
            Format::Csv { delimiter, null } => check_csv(*delimiter, null)?,
            Format::Avro { schema } => avro::check(schema, &columns)?,
            Format::Json | Format::NdJson | Format::Protobuf { .. } => {}
        }
        Ok(Self { format, columns })
    }
}

fn check_csv(delimiter: u8, null: &str) -> Result<(), ContractError> {
    // What is found in numbers, dates or words cannot stand between them.
    let separates = matches!(delimiter, b'\t' | b' ') || delimiter.is_ascii_punctuation();
    if !separates || matches!(delimiter, b'"' | b'.' | b'-' | b'+' | b'\\') {
        return Err(ContractError::at("delimiter", Cause::Delimiter));
    }
    let is_ours = |byte| byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n');
    if null.bytes().any(is_ours) {
        return Err(ContractError::at("null", Cause::Null));
    }
    Ok(())
}

/// Why nothing can have this name. What begins with `_` is ours: `_offset`, `_error`, and what may follow.
fn name_fault(name: &str) -> Option<Cause> {
    if name.is_empty() {
        Some(Cause::NameEmpty)
    } else if name.len() > NAME_BYTES_MAX {
        Some(Cause::NameTooLong { bytes: name.len() })
    } else if name.starts_with('_') {
        Some(Cause::NameReserved {
            name: name.to_owned(),
        })
    } else if name.chars().any(char::is_control) {
        Some(Cause::NameControl)
    } else {
        None
    }
}
