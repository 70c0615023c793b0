//! [`FileColumns`]: what the records of a file are, of what the pipeline declares and what stands in the file's first line.
//!
//! Invariant: nothing is guessed. A column that is not declared is text.

use std::collections::HashSet;
use std::sync::Arc;

use contract::csv::CsvError;
use contract::{Column, Contract, DataType, Format, NAME_BYTES_MAX};
use spec::{Columns, OnMissingColumn, OnNewColumn};

use super::error::{FilesError, HeaderFault};

/// So many names of a file are told.
const TOLD: usize = 20;
/// What else stands between fields.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// The columns of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumns {
    /// What a record is: of CSV, all fields in their order.
    pub contract: Arc<Contract>,
    /// Columns of the contract that nobody has declared, to be left out (`on_new_column: ignore`).
    pub ignored: Vec<String>,
    /// Columns of the contract that nobody has declared, to be kept (`on_new_column: add`).
    pub added: Vec<Column>,
    /// Declared columns that are not in the contract, since they are not in the file: NULL in each row.
    pub missing: Vec<Column>,
}

impl FileColumns {
    /// Of a file whose records name their fields, or have none.
    pub(super) fn declared(
        path: &str,
        format: Format,
        declared: &Columns,
    ) -> Result<Self, FilesError> {
        Self::of(path, format, declared.columns.clone())
    }

    /// The same with more columns of text. Names that no column can have are left out.
    pub(super) fn adding(
        path: &str,
        format: Format,
        columns: &Self,
        names: &[String],
    ) -> Result<Self, FilesError> {
        let names = names.iter().filter(|name| can_be_named(name));
        let new: Vec<_> = names
            .map(|name| Column::new(name, DataType::Text))
            .collect();
        let added = [columns.added.clone(), new.clone()].concat();
        let all = [columns.contract.columns(), &new].concat();
        Ok(Self {
            added,
            ..Self::of(path, format, all)?
        })
    }

    fn of(path: &str, format: Format, columns: Vec<Column>) -> Result<Self, FilesError> {
        let contract = Contract::new(format, columns).map_err(|source| FilesError::Contract {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            contract: Arc::new(contract),
            ignored: Vec::new(),
            added: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Of a file with this first line.
    pub(super) fn of_header(
        path: &str,
        header: &[u8],
        delimiter: u8,
        null: &str,
        declared: Option<&Columns>,
    ) -> Result<Self, FilesError> {
        let names = names(header, delimiter).map_err(|why| FilesError::Header {
            path: path.to_owned(),
            why,
        })?;
        let format = Format::Csv {
            delimiter,
            null: null.to_owned(),
        };
        let mut known = HashSet::with_capacity(names.len());
        // Names that are left out may be anything, also empty and the same.
        let is_wanted = |name: &str| match declared {
            None => true,
            Some(declared) => {
                declared.on_new != OnNewColumn::Ignore
                    || declared.columns.iter().any(|column| column.name == name)
            }
        };
        let twice = names
            .iter()
            .filter(|name| is_wanted(name))
            .find(|name| !known.insert(name.as_str()));
        if let Some(column) = twice {
            return Err(FilesError::DuplicateColumn {
                path: path.to_owned(),
                column: column.clone(),
            });
        }
        let wanted = declared.map_or(2, |declared| declared.columns.len());
        if names.len() == 1 && wanted > 1 {
            one_column(path, &names[0], delimiter, declared)?;
        }
        match declared {
            None => {
                let text = |name| Column::new(name, DataType::Text);
                Self::of(path, format, names.into_iter().map(text).collect())
            }
            Some(declared) => Self::of_names(path, format, &names, declared),
        }
    }

    fn of_names(
        path: &str,
        format: Format,
        names: &[String],
        declared: &Columns,
    ) -> Result<Self, FilesError> {
        let of_name = |name: &String| declared.columns.iter().find(|column| column.name == *name);
        let missing = missing(path, names, declared)?;
        let new: Vec<_> = names
            .iter()
            .filter(|name| of_name(name).is_none())
            .collect();
        if !new.is_empty() && declared.on_new == OnNewColumn::Fail {
            return Err(FilesError::NewColumns {
                path: path.to_owned(),
                columns: new.into_iter().take(TOLD).cloned().collect(),
            });
        }
        let (mut ignored, mut added) = (Vec::new(), Vec::new());
        let mut columns = Vec::with_capacity(names.len());
        let mut taken: HashSet<String> = names.iter().cloned().collect();
        let mut seen = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            if let Some(column) = of_name(name) {
                columns.push(column.clone());
                continue;
            }
            if declared.on_new == OnNewColumn::Add {
                let column = Column::new(name, DataType::Text);
                added.push(column.clone());
                columns.push(column);
                continue;
            }
            // A column of a contract needs a name of its own, and not every header gives one.
            let name = match can_be_named(name) && seen.insert(name) {
                true => name.clone(),
                false => free_name(index, &mut taken),
            };
            columns.push(Column::new(&name, DataType::Text));
            ignored.push(name);
        }
        Ok(Self {
            ignored,
            added,
            missing,
            ..Self::of(path, format, columns)?
        })
    }
}

/// The declared columns that a file does not have, if that may be.
pub(super) fn missing(
    path: &str,
    names: &[String],
    declared: &Columns,
) -> Result<Vec<Column>, FilesError> {
    let path = || path.to_owned();
    let is_missing = |column: &&Column| !names.contains(&column.name);
    let missing: Vec<_> = declared
        .columns
        .iter()
        .filter(is_missing)
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    if declared.on_missing == OnMissingColumn::Fail {
        return Err(FilesError::MissingColumns {
            path: path(),
            columns: missing.into_iter().map(|column| column.name).collect(),
            found: names.iter().take(TOLD).cloned().collect(),
        });
    }
    match missing.iter().find(|column| !column.nullable) {
        Some(column) => Err(FilesError::MissingNotNull {
            path: path(),
            column: column.name.clone(),
        }),
        None => Ok(missing),
    }
}

fn names(header: &[u8], delimiter: u8) -> Result<Vec<String>, HeaderFault> {
    let header = std::str::from_utf8(header).map_err(|_invalid| HeaderFault::Encoding)?;
    contract::csv::fields(header, delimiter)
        .map(|field| match field {
            Ok(field) => Ok(field.text.into_owned()),
            Err(CsvError::OpenQuote) => Err(HeaderFault::OpenQuote),
            Err(CsvError::SeveralLines) => Err(HeaderFault::LineEnds),
        })
        .collect()
}

/// Whether a header of one column is more likely one of another delimiter.
fn one_column(
    path: &str,
    name: &str,
    delimiter: u8,
    declared: Option<&Columns>,
) -> Result<(), FilesError> {
    let is_declared = |name: &str| match declared {
        None => true,
        Some(declared) => declared.columns.iter().any(|column| column.name == name),
    };
    let other = DELIMITERS.into_iter().find(|other| {
        let mut names = name.split(char::from(*other));
        *other != delimiter && name.contains(char::from(*other)) && names.any(is_declared)
    });
    match other {
        Some(other) => Err(FilesError::OtherDelimiter {
            path: path.to_owned(),
            delimiter: char::from(delimiter),
            other: char::from(other),
        }),
        None => Ok(()),
    }
}

fn can_be_named(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('_')
        && !name.chars().any(char::is_control)
}

fn free_name(index: usize, taken: &mut HashSet<String>) -> String {
    let mut name = format!("field {}", index + 1);
    while !taken.insert(name.clone()) {
        name.push('\'');
    }
    name
}
