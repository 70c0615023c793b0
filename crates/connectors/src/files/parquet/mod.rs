//! [`Table`]: the rows of a file of Parquet, as columns of the declared types.
//!
//! Parts of the file are read as they are needed, from a file or from a store. A value that does not become its declared type without
//! loss makes its row a bad one ([`values`]).
//!
//! Invariant: what is decoded takes a small multiple of what lies in the file, whatever the file says of itself. Texts and bytes are
//! views of the pages that they stand in, so that a value that many rows share is there once ([`views`]); rows are given out by the bytes
//! that their values have on their own, for that is what becomes of them.

mod values;
mod views;

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use contract::{Column, DataType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use spec::{Columns, OnNewColumn};

pub(super) use self::values::Part;
use self::values::{can_become, contract_type, converted};
use self::views::{fitting, rows_at_once, with_views};
use super::chunk::Limits;
use super::columns::missing;
use super::error::FilesError;
use super::found::{Found, Position};
use super::store::Store;

/// The rows of a file that is being read.
pub(super) struct Table {
    reader: ParquetRecordBatchReader,
    /// Rows that are decoded and not yet given out.
    decoded: Option<RecordBatch>,
    /// As the file has them.
    schema: SchemaRef,
    /// The columns of the result; `None`: as the file has them.
    wanted: Option<Vec<Column>>,
    pub(super) missing: Arc<[Column]>,
    found: Found,
    pub(super) position: Position,
}

impl Table {
    pub(super) fn open(
        store: &Store,
        declared: Option<&Columns>,
        found: &Found,
        position: &Position,
    ) -> Result<Self, FilesError> {
        let row = position.next_row;
        let failed = |error| failure(error, found, row);
        let file = Parts {
            store: store.clone(),
            found: found.clone(),
        };
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(failed)?;
        let schema = Arc::clone(metadata.schema());
        let views = ArrowReaderOptions::new().with_schema(with_views(&schema));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), views);
        let metadata = metadata.map_err(failed)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
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
        let mut first = 0;
        let groups = builder.metadata().row_groups();
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
        let mask = match &wanted {
            None => ProjectionMask::all(),
            Some(wanted) => {
                let is_wanted = |name: &String| wanted.iter().any(|column| column.name == *name);
                let roots = names.iter().enumerate();
                let roots = roots.filter_map(|(index, name)| is_wanted(name).then_some(index));
                ProjectionMask::roots(builder.parquet_schema(), roots)
            }
        };
        let rows = rows_at_once(builder.metadata(), &mask, builder.schema());
        let reader = builder
            .with_projection(mask)
            .with_row_groups(all)
            .with_offset(usize::try_from(before).unwrap_or(usize::MAX))
            .with_batch_size(rows)
            .build()
            .map_err(failed)?;
        Ok(Self {
            reader,
            decoded: None,
            schema,
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
        let fields = self.schema.fields().iter();
        let column = |field: &Arc<Field>| {
            let column = Column::new(field.name(), contract_type(field.data_type()));
            match field.is_nullable() {
                true => column,
                false => column.not_null(),
            }
        };
        fields.map(column).collect()
    }

    /// The next rows, as many as the limits say but at least one; `None` behind the last.
    pub(super) fn take(&mut self, limits: Limits) -> Result<Option<Part>, FilesError> {
        let first = self.position.next_row;
        let Some(decoded) = self.decoded(first)? else {
            self.position.done = true;
            return Ok(None);
        };
        let (count, bytes) = fitting(&decoded, limits);
        let batch = decoded.slice(0, count);
        let rest = decoded.num_rows() - count;
        self.decoded = (rest > 0).then(|| decoded.slice(count, rest));
        self.position.next_row += count as u64;
        let part = match &self.wanted {
            None => Part {
                rows: (first..self.position.next_row).collect(),
                batch,
                bad: Vec::new(),
                bytes: 0,
            },
            Some(wanted) => converted(&self.found.path, &batch, wanted, first)?,
        };
        Ok(Some(Part { bytes, ..part }))
    }

    /// Rows that are not yet given out; `None` behind the last.
    fn decoded(&mut self, first: u64) -> Result<Option<RecordBatch>, FilesError> {
        if let Some(decoded) = self.decoded.take() {
            return Ok(Some(decoded));
        }
        let decoded = self
            .reader
            .find(|batch| !matches!(batch, Ok(batch) if batch.num_rows() == 0));
        decoded.transpose().map_err(|error| {
            let error = ParquetError::from(error);
            failure(error, &self.found, first)
        })
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
        // Records and lists become no text.
        let can_be_text = |field: &&&Arc<Field>| can_become(field.data_type(), DataType::Text);
        wanted.extend(new.iter().filter(can_be_text).map(text));
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
