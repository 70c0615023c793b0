//! The rows of a running query, taken as many at a time as the client asks for.
//!
//! Invariant: at most one batch is held; a row is given once. Dropping the source ends the query.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures_util::StreamExt as _;

use super::backend::Column;
use super::encode::{self, Rows};
use super::error::PgError;

/// What is left of a result.
pub(super) struct Source {
    pub(super) columns: Arc<[Column]>,
    stream: Option<SendableRecordBatchStream>,
    /// A batch of which some rows were given.
    batch: Option<(Rows, usize)>,
    /// For the places of errors.
    pub(super) sql: Arc<str>,
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Source")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(stream: SendableRecordBatchStream, sql: Arc<str>) -> Self {
        Self {
            columns: encode::columns(&stream.schema()).into(),
            stream: Some(stream),
            batch: None,
            sql,
        }
    }

    /// Rows of text that the session itself answers with.
    pub(super) fn of_text(names: &[&str], rows: &[Vec<&str>]) -> Result<Self, PgError> {
        let fields: Vec<Field> = names
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, false))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = (0..names.len()).map(|column| {
            let values = rows.iter().map(|row| row[column]);
            let array = StringArray::from_iter_values(values);
            Arc::new(array) as ArrayRef
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
        let stream = futures_util::stream::iter([Ok(batch)]);
        let stream = RecordBatchStreamAdapter::new(schema, stream);
        Ok(Self::new(Box::pin(stream), Arc::from("")))
    }

    /// Waits until there are rows. False at the end.
    pub(super) async fn fill(&mut self) -> Result<bool, PgError> {
        loop {
            if let Some((rows, next)) = &self.batch
                && *next < rows.count
            {
                return Ok(true);
            }
            self.batch = None;
            let Some(stream) = &mut self.stream else {
                return Ok(false);
            };
            match stream.next().await {
                Some(batch) => {
                    let batch = batch.map_err(|error| PgError::of_engine(&error, &self.sql))?;
                    self.batch = Some((Rows::new(&batch, &self.columns)?, 0));
                }
                // What the query holds is given back now, not when the client closes its portal.
                None => self.stream = None,
            }
        }
    }

    /// The next of the rows that are there, until `write` has had enough.
    pub(super) fn take(&mut self, most: u64, mut write: impl FnMut(&Rows, usize) -> bool) -> u64 {
        let Some((rows, next)) = &mut self.batch else {
            return 0;
        };
        let mut count = 0;
        while count < most && *next < rows.count {
            let goes_on = write(rows, *next);
            *next += 1;
            count += 1;
            if !goes_on {
                break;
            }
        }
        count
    }
}
