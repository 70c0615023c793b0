//! How rows of Parquet are decoded and given out so that memory is bounded: texts and bytes as views of their pages, few rows at once,
//! and parts by the bytes of their values.
//!
//! Invariant: none of it trusts what a file says of its sizes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, Field, Schema, StringViewType};
use parquet::arrow::ProjectionMask;
use parquet::basic::Encoding;
use parquet::file::metadata::ParquetMetaData;

use super::super::chunk::Limits;

/// Rows that are decoded at once.
const ROWS: usize = 4096;
/// The same where a value is made of the one before it, so that each may be as long as a page.
const ROWS_OF_DELTAS: usize = 64;
/// How much values of fixed sizes may have that are decoded at once.
const FIXED_BYTES: usize = 8 << 20;
/// About what a value has whose size is not known.
const OTHER_BYTES: usize = 16;

/// The same columns, texts and bytes as views. A dictionary is in the file, and need not be one behind it.
pub(super) fn with_views(schema: &Schema) -> Arc<Schema> {
    let fields = schema.fields().iter().map(|field| {
        let data_type = view_of(field.data_type());
        Field::clone(field).with_data_type(data_type)
    });
    let fields: Vec<Field> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn view_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => view_of(values),
        other => other.clone(),
    }
}

/// How many rows to decode at once.
pub(super) fn rows_at_once(
    metadata: &ParquetMetaData,
    mask: &ProjectionMask,
    schema: &Schema,
) -> usize {
    let columns = metadata.row_groups().iter().flat_map(|group| {
        let columns = group.columns().iter().enumerate();
        columns.filter_map(|(leaf, column)| mask.leaf_included(leaf).then_some(column))
    });
    let mut encodings = columns.flat_map(|column| column.encodings());
    let most = match encodings.any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY) {
        true => ROWS_OF_DELTAS,
        false => ROWS,
    };
    let widths = schema.fields().iter();
    let width: usize = widths.map(|field| fixed_width(field.data_type())).sum();
    most.min(FIXED_BYTES / width.max(1)).max(1)
}

/// How many bytes each value of a type takes, beside what it is a view of.
pub(super) fn fixed_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(0),
        other => other.primitive_width().unwrap_or(OTHER_BYTES),
    }
}

/// How many rows from the first on are within the limits, and their bytes; at least one row.
pub(super) fn fitting(batch: &RecordBatch, limits: Limits) -> (usize, usize) {
    let schema = batch.schema();
    let widths = schema.fields().iter();
    let fixed: usize = widths.map(|field| fixed_width(field.data_type())).sum();
    let most = batch.num_rows().min(limits.rows).max(1);
    let mut bytes = 0;
    for row in 0..most {
        let of_row = fixed
            + batch
                .columns()
                .iter()
                .map(|column| viewed(column, row))
                .sum::<usize>();
        if row > 0 && bytes + of_row > limits.bytes {
            return (row, bytes);
        }
        bytes += of_row;
    }
    (most, bytes)
}

/// How many bytes a view is one of.
fn viewed(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        DataType::Utf8View => length::<StringViewType>(column, row),
        DataType::BinaryView => length::<BinaryViewType>(column, row),
        _ => 0,
    }
}

/// The lower half of a view's first word.
fn length<T: ByteViewType>(column: &ArrayRef, row: usize) -> usize {
    let views = column.as_byte_view::<T>().views();
    let length = views.get(row).map(|view| *view as u32);
    length.map_or(0, |length| usize::try_from(length).unwrap_or(0))
}
