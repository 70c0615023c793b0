//! [`ScanSpec`]: what a scan is to give, for all its streams; [`ScanMetrics`]: what they count.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_plan::metrics::Count;
use protocol::records::NO_TIMESTAMP;
use storage::Isolation;

use crate::batch_facts::BatchFacts;
use crate::columns::{Column, Form};
use crate::intervals::Intervals;
use crate::topics::Topic;
use crate::typed::Selection;

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tombstones {
    Shown,
    LeftOut,
}

/// What a scan is to give, for all its streams.
#[derive(Debug)]
pub(crate) struct ScanSpec {
    pub(crate) topic: Arc<Topic>,
    /// Of the columns, in their order.
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<Column>,
    /// Those of the contract, if any is asked for.
    pub(crate) typed: Option<Selection>,
    /// Every line of a value is a row, so that only the values say how many there are.
    pub(crate) has_lines: bool,
    pub(crate) form: Form,
    pub(crate) isolation: Isolation,
    /// Records at other times, and those without a time, are left out. `None`: no record is, with or without a time.
    pub(crate) times: Option<Intervals>,
    /// No more rows than this are asked for.
    pub(crate) limit: Option<usize>,
    pub(crate) tombstones: Tombstones,
}

impl ScanSpec {
    /// Whether headers of batches say all that is asked, as long as no batch was cleaned or has different times.
    pub(crate) fn is_in_headers(&self) -> bool {
        let has_records = |column: &Column| column.is_in_record() || *column == Column::Timestamp;
        !self.columns.iter().any(has_records)
            && self.times.is_none()
            && !self.has_lines
            && self.tombstones == Tombstones::Shown
    }

    /// Whether the records of a batch have to be looked at.
    pub(crate) fn needs_records(&self, facts: &BatchFacts) -> bool {
        let has_times = self.columns.contains(&Column::Timestamp) || self.times.is_some();
        !facts.is_dense()
            || self.has_lines
            || self.tombstones == Tombstones::LeftOut
            || self.columns.iter().any(|column| column.is_in_record())
            || (has_times && facts.common_timestamp().is_none())
    }

    pub(crate) fn hides(&self, value: Option<&[u8]>) -> bool {
        self.tombstones == Tombstones::LeftOut && value.is_none()
    }

    pub(crate) fn shows(&self, timestamp: i64) -> bool {
        match &self.times {
            None => true,
            Some(times) => timestamp != NO_TIMESTAMP && times.contains(timestamp),
        }
    }
}

/// What a stream counts.
#[derive(Clone, Debug)]
pub(crate) struct ScanMetrics {
    /// Bytes that were read of the log.
    pub(crate) bytes_read: Count,
    /// Batches whose records were looked at.
    pub(crate) batches_read: Count,
    /// Batches of which the header said enough.
    pub(crate) batches_by_header: Count,
    /// Offsets that the log lost while it was read.
    pub(crate) offsets_removed: Count,
}
