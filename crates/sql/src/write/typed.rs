//! Typed columns as values of records, by the contract of the topic: JSON (one object, or one line of it) and CSV.
//!
//! Invariant: what is written here is read back by the same contract as the same values, NULL included.

use contract::{Contract, DataType as Declared, Format};
use datafusion::arrow::array::types::{
    Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::error::Result;
use types::TopicName;

use super::records::RowError;
use crate::columns::hexadecimal;
use crate::compute::{checked_json, formatter, objects_of};
use crate::typed::arrow_type;

/// Whether values of this format can be written.
pub(crate) const fn is_writable(format: &Format) -> bool {
    matches!(format, Format::Json | Format::NdJson | Format::Csv { .. })
}

/// A declared column with its values.
struct Typed<'a> {
    column: &'a contract::Column,
    array: ArrayRef,
}

/// The values of records, of the declared columns in their order.
pub(crate) fn values(
    topic: &TopicName,
    contract: &Contract,
    arrays: &[ArrayRef],
    rows: usize,
) -> Result<Vec<Vec<u8>>> {
    let columns = contract.columns().iter().zip(arrays);
    let columns = columns.map(|(column, array)| {
        let array = cast(array, &arrow_type(column.data_type))?;
        if !column.nullable && array.null_count() > 0 {
            return Err(RowError::Null {
                topic: topic.clone(),
                column: column.name.clone(),
            }
            .into());
        }
        Ok(Typed { column, array })
    });
    let columns: Vec<Typed<'_>> = columns.collect::<Result<_>>()?;
    match contract.format() {
        Format::Csv { delimiter, null } => {
            let value = |row| csv(&columns, row, *delimiter, null);
            (0..rows).map(value).collect()
        }
        // The others were refused by `is_writable`.
        _ => {
            let arrays: Vec<_> = columns.into_iter().map(|typed| typed.array).collect();
            objects_of(contract.columns(), &arrays, rows)
        }
    }
}

fn csv(columns: &[Typed<'_>], row: usize, delimiter: u8, null: &str) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    for (index, typed) in columns.iter().enumerate() {
        if index > 0 {
            output.push(delimiter);
        }
        if typed.array.is_null(row) {
            output.extend(null.as_bytes());
            continue;
        }
        let mut text = text(typed, row)?;
        if typed.column.data_type == Declared::Json {
            text = checked_json(&typed.column.name, &text)?;
        }
        let separates = |byte| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        if text == null || text.bytes().any(separates) {
            output.push(b'"');
            output.extend(text.replace('"', "\"\"").as_bytes());
            output.push(b'"');
        } else {
            output.extend(text.as_bytes());
        }
    }
    Ok(output)
}

/// A value that is not NULL, as text.
fn text(typed: &Typed<'_>, row: usize) -> Result<String> {
    let array = typed.array.as_ref();
    Ok(match typed.column.data_type {
        Declared::Boolean => array.as_boolean().value(row).to_string(),
        Declared::SmallInt => array.as_primitive::<Int16Type>().value(row).to_string(),
        Declared::Int => array.as_primitive::<Int32Type>().value(row).to_string(),
        Declared::BigInt => array.as_primitive::<Int64Type>().value(row).to_string(),
        Declared::Real => array.as_primitive::<Float32Type>().value(row).to_string(),
        Declared::Double => array.as_primitive::<Float64Type>().value(row).to_string(),
        Declared::Decimal { .. } => array.as_primitive::<Decimal128Type>().value_as_string(row),
        Declared::Text | Declared::Json => array.as_string_view().value(row).to_owned(),
        Declared::Bytea => hexadecimal(array.as_binary_view().value(row)),
        Declared::Date | Declared::Timestamp | Declared::TimestampTz => moment(array, row)?,
    })
}

/// As ISO 8601 has it.
fn moment(array: &dyn Array, row: usize) -> Result<String> {
    Ok(formatter(array)?.value(row).try_to_string()?)
}
