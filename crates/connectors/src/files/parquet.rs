//! [`Table`]: the rows of a file of Parquet, as columns of the declared types.
//!
//! Parts of the file are read as they are needed, from a file or from a store. A value that does not become its declared type without
//! loss makes its row a bad one.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, RecordBatchReader as _,
};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use contract::{Column, DataType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use spec::{Columns, OnNewColumn};

use super::columns::missing;
use super::error::FilesError;
use super::found::{Found, Position};
use super::lines::KEPT_BYTES;
use super::records::BadRecord;
use super::source::{Limits, Store};

const UTC: &str = "+00:00";
/// The most rows of a part, so that one of narrow rows is read in some.
const ROWS_MAX: usize = 1 << 20;

/// The rows of a file that is being read.
pub(super) struct Table {
    reader: ParquetRecordBatchReader,
    /// The columns of the result; `None`: as the file has them.
    wanted: Option<Vec<Column>>,
    pub(super) missing: Arc<[Column]>,
    found: Found,
    pub(super) position: Position,
}

/// Rows.
pub(super) struct Part {
    pub(super) batch: RecordBatch,
    pub(super) rows: Vec<u64>,
    pub(super) bad: Vec<BadRecord>,
}

impl Table {
    pub(super) fn open(
        store: &Store,
        declared: Option<&Columns>,
        found: &Found,
        position: &Position,
        limits: Limits,
    ) -> Result<Self, FilesError> {
        let row = position.next_row;
        let failed = |error| failure(error, found, row);
        let file = Parts {
            store: store.clone(),
            found: found.clone(),
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let schema = Arc::clone(builder.schema());
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let (wanted, missing) = match declared {
            None => (None, Vec::new()),
            Some(declared) => {
                let missing = missing(&found.path, &names, declared)?;
                let wanted = wanted(&found.path, &schema, declared)?;
                (Some(wanted), missing)
            }
        };
        let mut before = row.saturating_sub(1);
        let (mut first, mut widest) = (0, 1);
        let groups = builder.metadata().row_groups();
        for group in groups {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0);
            widest = widest.max(bytes / rows.max(1));
        }
        while let Some(group) = groups.get(first) {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            if before < rows {
                break;
            }
            before -= rows;
            first += 1;
        }
        let all = (first..groups.len()).collect();
        if first == groups.len() && before > 0 {
            let (path, byte) = (found.path.clone(), position.next_byte);
            return Err(FilesError::Beyond { path, byte });
        }
        let by_bytes = usize::try_from(limits.bytes as u64 / widest).unwrap_or(ROWS_MAX);
        let rows = limits.rows.min(by_bytes).clamp(1, ROWS_MAX);
        let mask = match &wanted {
            None => ProjectionMask::all(),
            Some(wanted) => {
                let is_wanted = |name: &String| wanted.iter().any(|column| column.name == *name);
                let roots = names.iter().enumerate();
                let roots = roots.filter_map(|(index, name)| is_wanted(name).then_some(index));
                ProjectionMask::roots(builder.parquet_schema(), roots)
            }
        };
        let reader = builder
            .with_projection(mask)
            .with_row_groups(all)
            .with_offset(usize::try_from(before).unwrap_or(usize::MAX))
            .with_batch_size(rows)
            .build()
            .map_err(failed)?;
        Ok(Self {
            reader,
            wanted,
            missing: missing.into(),
            found: found.clone(),
            position: position.clone(),
        })
    }

    /// The columns of the file, or those that are wanted of it.
    pub(super) fn columns(&self) -> Vec<Column> {
        if let Some(wanted) = &self.wanted {
            return wanted.clone();
        }
        let schema = self.reader.schema();
        let fields = schema.fields().iter();
        let column = |field: &Arc<Field>| {
            let column = Column::new(field.name(), contract_type(field.data_type()));
            match field.is_nullable() {
                true => column,
                false => column.not_null(),
            }
        };
        fields.map(column).collect()
    }

    /// The next rows; `None` behind the last.
    pub(super) fn take(&mut self) -> Result<Option<Part>, FilesError> {
        let first = self.position.next_row;
        let Some(batch) = self.reader.next() else {
            self.position.done = true;
            return Ok(None);
        };
        let batch = batch.map_err(|error| {
            let error = ParquetError::from(error);
            failure(error, &self.found, first)
        })?;
        self.position.next_row += batch.num_rows() as u64;
        match &self.wanted {
            None => Ok(Some(Part {
                rows: (first..self.position.next_row).collect(),
                batch,
                bad: Vec::new(),
            })),
            Some(wanted) => converted(&self.found.path, &batch, wanted, first).map(Some),
        }
    }
}

/// The columns of the result, in the order in which they are declared.
fn wanted(path: &str, schema: &Schema, declared: &Columns) -> Result<Vec<Column>, FilesError> {
    let is_declared = |name: &str| declared.columns.iter().any(|column| column.name == name);
    let fields = schema.fields().iter();
    let new: Vec<_> = fields.filter(|field| !is_declared(field.name())).collect();
    if !new.is_empty() && declared.on_new == OnNewColumn::Fail {
        return Err(FilesError::NewColumns {
            path: path.to_owned(),
            columns: new.iter().map(|field| field.name().clone()).collect(),
        });
    }
    let mut wanted: Vec<_> = declared.columns.clone();
    wanted.retain(|column| schema.column_with_name(&column.name).is_some());
    if declared.on_new == OnNewColumn::Add {
        let text = |field: &&Arc<Field>| Column::new(field.name(), DataType::Text);
        wanted.extend(new.iter().map(text));
    }
    for column in &wanted {
        let Some((_, field)) = schema.column_with_name(&column.name) else {
            continue;
        };
        if !can_become(field.data_type(), column.data_type) {
            return Err(FilesError::Uncastable {
                path: path.to_owned(),
                column: column.name.clone(),
                found: field.data_type().to_string(),
                wanted: column.data_type,
            });
        }
    }
    Ok(wanted)
}

/// The type of Arrow that typed columns have.
fn arrow_type(data_type: DataType) -> ArrowType {
    match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::SmallInt => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::BigInt => ArrowType::Int64,
        DataType::Real => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Decimal { precision, scale } => {
            ArrowType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        DataType::Text | DataType::Json => ArrowType::Utf8View,
        DataType::Bytea => ArrowType::BinaryView,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        DataType::TimestampTz => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    }
}

/// The type of a column for one of Parquet; text if there is none that has all of its values.
fn contract_type(data_type: &ArrowType) -> DataType {
    match data_type {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 => DataType::SmallInt,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int,
        ArrowType::Int64 | ArrowType::UInt32 => DataType::BigInt,
        ArrowType::UInt64 => DataType::Decimal {
            precision: 20,
            scale: 0,
        },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Real,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal {
                precision: *precision,
                scale: scale.unsigned_abs(),
            }
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::Binary
        | ArrowType::LargeBinary
        | ArrowType::BinaryView
        | ArrowType::FixedSizeBinary(_) => DataType::Bytea,
        ArrowType::Dictionary(_, values) => contract_type(values),
        _ => DataType::Text,
    }
}

/// What may become what: Arrow would also take a number for a time.
fn can_become(from: &ArrowType, to: DataType) -> bool {
    let from = match from {
        ArrowType::Dictionary(_, values) => values,
        from => from,
    };
    let is_text = matches!(
        from,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
    );
    let is_bytes = matches!(
        from,
        ArrowType::Binary
            | ArrowType::LargeBinary
            | ArrowType::BinaryView
            | ArrowType::FixedSizeBinary(_)
    );
    let is_time = matches!(
        from,
        ArrowType::Date32 | ArrowType::Date64 | ArrowType::Timestamp(..)
    );
    let fits = match to {
        DataType::Text => !from.is_nested(),
        DataType::Json => is_text,
        DataType::Bytea => is_bytes,
        DataType::Boolean => is_text || *from == ArrowType::Boolean,
        DataType::Date | DataType::Timestamp | DataType::TimestampTz => is_text || is_time,
        _ => is_text || from.is_numeric(),
    };
    fits && can_cast_types(from, &arrow_type(to))
}

/// The rows whose values become the declared types, and the others.
fn converted(
    path: &str,
    batch: &RecordBatch,
    wanted: &[Column],
    first: u64,
) -> Result<Part, FilesError> {
    let count = batch.num_rows();
    let mut faults: Vec<Option<String>> = vec![None; count];
    let mut fields = Vec::with_capacity(wanted.len());
    let mut arrays = Vec::with_capacity(wanted.len());
    for column in wanted {
        let Some(from) = batch.column_by_name(&column.name) else {
            continue;
        };
        let target = arrow_type(column.data_type);
        let unfit = |_arrow| FilesError::Uncastable {
            path: path.to_owned(),
            column: column.name.clone(),
            found: from.data_type().to_string(),
            wanted: column.data_type,
        };
        let to = cast(from, &target).map_err(unfit)?;
        let back = is_lossy(from.data_type(), &target).then(|| cast(&to, from.data_type()));
        let back = back.transpose().map_err(unfit)?;
        for (index, fault) in faults
            .iter_mut()
            .enumerate()
            .filter(|(_, fault)| fault.is_none())
        {
            *fault = misfit(column, from, &to, back.as_ref(), index);
        }
        fields.push(Field::new(&column.name, target, true));
        arrays.push(to);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let broken = |error| failure_of_arrow(error, path, first);
    let all = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    let all = all.map_err(broken)?;
    let fits: BooleanArray = faults.iter().map(|fault| Some(fault.is_none())).collect();
    let bad = faults.into_iter().enumerate().filter_map(|(index, fault)| {
        Some(BadRecord {
            row: first + index as u64,
            byte: 0,
            bytes: shown(batch, index),
            message: fault?,
        })
    });
    let bad: Vec<_> = bad.collect();
    let rows = fits
        .values()
        .set_indices()
        .map(|index| first + index as u64);
    let rows = rows.collect();
    let batch = match bad.is_empty() {
        true => all,
        false => filter_record_batch(&all, &fits).map_err(broken)?,
    };
    Ok(Part { batch, rows, bad })
}

fn cast(from: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, arrow::error::ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(from, to, &options)
}

/// Whether a value can become another one on the way, where Arrow says nothing: what is behind a point is cut off, or digits are.
fn is_lossy(from: &ArrowType, to: &ArrowType) -> bool {
    let is_float = |of: &ArrowType| of.is_floating();
    let is_decimal = |of: &ArrowType| of.is_decimal();
    from != to && from.is_numeric() && !is_float(to) && (is_float(from) || is_decimal(from))
}

/// Why a value does not fit.
fn misfit(
    column: &Column,
    from: &ArrayRef,
    to: &ArrayRef,
    back: Option<&ArrayRef>,
    index: usize,
) -> Option<String> {
    let name = &column.name;
    if from.is_null(index) {
        return (!column.nullable)
            .then(|| format!("column {name:?} is NULL, and declared not null"));
    }
    let is_same = back.is_none_or(|back| {
        !back.is_null(index) && back.slice(index, 1).to_data() == from.slice(index, 1).to_data()
    });
    if !to.is_null(index) && is_same {
        return None;
    }
    let value = text(from, index);
    Some(format!(
        "column {name:?}: {value:?} is no {}",
        column.data_type
    ))
}

fn text(array: &dyn Array, index: usize) -> String {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options);
    let text = formatter.and_then(|formatter| formatter.value(index).try_to_string());
    let mut text = text.unwrap_or_default();
    let end = text.char_indices().nth(1000).map(|(end, _)| end);
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// A row as people can read it.
fn shown(batch: &RecordBatch, index: usize) -> Bytes {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let values = fields.map(|(field, array)| {
        let value = match array.is_null(index) {
            true => serde_json::Value::Null,
            false => serde_json::Value::String(text(array, index)),
        };
        (field.name().clone(), value)
    });
    let object: serde_json::Map<_, _> = values.collect();
    let mut bytes = serde_json::Value::Object(object).to_string().into_bytes();
    bytes.truncate(KEPT_BYTES);
    bytes.into()
}

fn failure_of_arrow(error: arrow::error::ArrowError, path: &str, row: u64) -> FilesError {
    FilesError::Parquet {
        path: path.to_owned(),
        row,
        source: error.into(),
    }
}

/// Why reading failed: the store, or what is in the file.
fn failure(error: ParquetError, found: &Found, row: u64) -> FilesError {
    let source = match error {
        ParquetError::External(source) => match source.downcast::<FilesError>() {
            Ok(failure) => return *failure,
            Err(source) => match source.downcast::<io::Error>().map(|error| error.downcast()) {
                Ok(Ok(failure)) => return failure,
                Ok(Err(error)) => ParquetError::External(Box::new(error)),
                Err(source) => ParquetError::External(source),
            },
        },
        other => other,
    };
    FilesError::Parquet {
        path: found.path.clone(),
        row,
        source,
    }
}

/// A file, a part at a time.
#[derive(Debug)]
struct Parts {
    store: Store,
    found: Found,
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.found.size
    }
}

impl ChunkReader for Parts {
    type T = BufReader<Box<dyn Read + Send>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let from = self.store.open_at(&self.found, start);
        let from = from.map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(BufReader::new(from))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.store.part(&self.found, start, length);
        bytes.map_err(|error| ParquetError::External(Box::new(error)))
    }
}
