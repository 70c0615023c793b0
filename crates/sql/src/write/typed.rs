//! Typed columns as values of records, by the contract of the topic: JSON (one object, or one line of it) and CSV.
//!
//! Invariant: what is written here is read back by the same contract as the same values, NULL included.

use contract::{Contract, DataType as Declared, Format};
use datafusion::arrow::array::types::{
    Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use datafusion::error::Result;
use types::TopicName;

use super::records::RowError;
use crate::columns::hexadecimal;
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
    let value = |row: usize| match contract.format() {
        Format::Csv { delimiter, null } => csv(&columns, row, *delimiter, null),
        // The others were refused by `is_writable`.
        _ => json(&columns, row),
    };
    (0..rows).map(value).collect()
}

fn json(columns: &[Typed<'_>], row: usize) -> Result<Vec<u8>> {
    let mut output = vec![b'{'];
    for (index, typed) in columns.iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        quote(&mut output, &typed.column.name)?;
        output.push(b':');
        json_value(&mut output, typed, row)?;
    }
    output.push(b'}');
    Ok(output)
}

fn quote(output: &mut Vec<u8>, text: &str) -> Result<()> {
    let written = serde_json::to_writer(output, text);
    written.map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))
}

fn json_value(output: &mut Vec<u8>, typed: &Typed<'_>, row: usize) -> Result<()> {
    let array = typed.array.as_ref();
    if array.is_null(row) {
        output.extend(b"null");
        return Ok(());
    }
    let text = text(typed, row)?;
    match typed.column.data_type {
        Declared::Boolean
        | Declared::SmallInt
        | Declared::Int
        | Declared::BigInt
        | Declared::Decimal { .. } => output.extend(text.as_bytes()),
        Declared::Real | Declared::Double => {
            // JSON has no words for the others.
            let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
            if !is_finite {
                return Err(RowError::NoNumber {
                    column: typed.column.name.clone(),
                    text,
                }
                .into());
            }
            output.extend(text.as_bytes());
        }
        Declared::Json => output.extend(checked_json(typed, &text)?.as_bytes()),
        _ => quote(output, &text)?,
    }
    Ok(())
}

/// Line ends between the parts of JSON mean nothing, and a line of NDJSON has none.
fn checked_json(typed: &Typed<'_>, text: &str) -> Result<String, RowError> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_json) => Ok(text.trim().replace(['\n', '\r'], " ")),
        Err(_no_json) => Err(RowError::NoJson {
            column: typed.column.name.clone(),
        }),
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
            text = checked_json(typed, &text)?;
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
    let options = FormatOptions::new()
        .with_display_error(false)
        .with_duration_format(DurationFormat::ISO8601)
        .with_date_format(Some("%Y-%m-%d"))
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    let formatter = ArrayFormatter::try_new(array, &options)?;
    Ok(formatter.value(row).try_to_string()?)
}
