//! Rows of an INSERT as records.
//!
//! Invariant: a row that cannot be written is an error before any record of its batch is made.

use bytes::Bytes;
use datafusion::arrow::array::types::{Int32Type, TimestampMillisecondType};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::error::{DataFusionError, Result};
use types::TopicName;

use super::Record;
use super::target::{HEADERS, InsertTarget, KEY, PARTITION, TIMESTAMP, VALUE};
use super::typed;
use crate::columns::{HEADER_KEY, HEADER_VALUE};

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The topic has fewer partitions.
    #[error("topic \"{topic}\" has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: TopicName,
        /// The partition that was asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// Kafka has no times before 1970.
    #[error("_timestamp is before 1970")]
    TooEarly,
    /// A compacted topic keeps the newest record of each key, so there has to be one.
    #[error("null value in column \"_key\" of relation \"{topic}\" violates not-null constraint")]
    NoKey {
        /// The topic.
        topic: TopicName,
    },
    /// A column that the contract wants is NULL.
    #[error(
        "null value in column \"{column}\" of relation \"{topic}\" violates not-null constraint"
    )]
    Null {
        /// The topic.
        topic: TopicName,
        /// The column.
        column: String,
    },
    /// JSON has numbers only, not what is none.
    #[error("column \"{column}\" cannot be {text}, which JSON has no number for")]
    NoNumber {
        /// The column.
        column: String,
        /// What it should be.
        text: String,
    },
    /// A column of JSON has something else.
    #[error("invalid input syntax for type json in column \"{column}\"")]
    NoJson {
        /// The column.
        column: String,
    },
    /// Text in place of headers is not JSON of the right form.
    #[error("invalid headers: \"{text}\"")]
    Headers {
        /// The text, or its beginning.
        text: String,
    },
}

impl RowError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPartition { count, .. } => Some(format!(
                "They are numbered from 0 to {}; leave _partition out to have it chosen by the key.",
                count.saturating_sub(1)
            )),
            Self::TooEarly => Some("Leave _timestamp out for the current time.".to_owned()),
            Self::NoKey { .. } => Some(
                "The topic is compacted: it keeps the newest record of each key, so every record has one.".to_owned(),
            ),
            Self::Null { .. } | Self::NoNumber { .. } | Self::NoJson { .. } => None,
            Self::Headers { .. } => Some(
                "Write [{\"key\":\"k\",\"value\":\"v\"}], or {\"k\":\"v\"} where no key comes twice.".to_owned(),
            ),
        }
    }
}

impl From<RowError> for DataFusionError {
    fn from(error: RowError) -> Self {
        Self::External(Box::new(error))
    }
}

/// The records of a batch whose columns are those of the target. `is_typed`: their values are made of the columns of its
/// contract.
pub(crate) fn records(
    target: &InsertTarget,
    is_typed: bool,
    batch: &RecordBatch,
) -> Result<Vec<Record>> {
    let column = |column: &str| array(target, batch, column);
    let (partitions, timestamps) = (column(PARTITION)?, column(TIMESTAMP)?);
    let (keys, values) = (column(KEY)?, values(target, is_typed, batch)?);
    let headers = column(HEADERS)?;
    let partitions: &PrimitiveArray<Int32Type> = partitions.as_primitive();
    let timestamps: &PrimitiveArray<TimestampMillisecondType> = timestamps.as_primitive();
    check(target, partitions, timestamps, &keys)?;
    let records = values.into_iter().enumerate().map(|(row, value)| Record {
        partition: partitions.is_valid(row).then(|| partitions.value(row)),
        timestamp_ms: timestamps.is_valid(row).then(|| timestamps.value(row)),
        key: bytes_at(&keys, row),
        value,
        headers: headers_at(&headers, row),
    });
    Ok(records.collect())
}

fn array(target: &InsertTarget, batch: &RecordBatch, column: &str) -> Result<ArrayRef> {
    let (index, field) = target
        .columns()
        .column_with_name(column)
        .ok_or_else(missing)?;
    let array = batch.columns().get(index).ok_or_else(missing)?;
    Ok(cast(array, field.data_type())?)
}

/// As they are given, or made of the columns of the contract.
fn values(
    target: &InsertTarget,
    is_typed: bool,
    batch: &RecordBatch,
) -> Result<Vec<Option<Bytes>>> {
    let rows = batch.num_rows();
    let contract = target.contract.as_ref().filter(|_| is_typed);
    let Some(contract) = contract else {
        let values = array(target, batch, VALUE)?;
        return Ok((0..rows).map(|row| bytes_at(&values, row)).collect());
    };
    let arrays = contract
        .columns()
        .iter()
        .map(|column| array(target, batch, &column.name));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let values = typed::values(&target.topic, contract, &arrays, rows)?;
    Ok(values
        .into_iter()
        .map(|value| Some(Bytes::from(value)))
        .collect())
}

fn missing() -> DataFusionError {
    DataFusionError::Internal("rows of an INSERT have other columns than their target".to_owned())
}

fn check(
    target: &InsertTarget,
    partitions: &PrimitiveArray<Int32Type>,
    timestamps: &PrimitiveArray<TimestampMillisecondType>,
    keys: &ArrayRef,
) -> Result<(), RowError> {
    let topic = &target.topic;
    let is_there =
        |partition: i32| usize::try_from(partition).is_ok_and(|number| number < target.partitions);
    if let Some(partition) = partitions
        .iter()
        .flatten()
        .find(|partition| !is_there(*partition))
    {
        return Err(RowError::NoPartition {
            topic: topic.clone(),
            partition,
            count: target.partitions,
        });
    }
    if timestamps.iter().flatten().any(|timestamp| timestamp < 0) {
        return Err(RowError::TooEarly);
    }
    if target.needs_keys && keys.null_count() > 0 {
        return Err(RowError::NoKey {
            topic: topic.clone(),
        });
    }
    Ok(())
}

/// Text or bytes.
fn bytes_at(array: &dyn Array, row: usize) -> Option<Bytes> {
    if array.is_null(row) {
        return None;
    }
    let bytes = match array.as_string_view_opt() {
        Some(texts) => texts.value(row).as_bytes(),
        None => array.as_binary_view_opt()?.value(row),
    };
    Some(Bytes::copy_from_slice(bytes))
}

fn headers_at(lists: &dyn Array, row: usize) -> Vec<(Bytes, Option<Bytes>)> {
    if lists.is_null(row) {
        return Vec::new();
    }
    let headers = lists.as_list::<i32>().value(row);
    let headers = headers.as_struct();
    let (Some(keys), Some(values)) = (
        headers.column_by_name(HEADER_KEY),
        headers.column_by_name(HEADER_VALUE),
    ) else {
        return Vec::new();
    };
    let header = |at| (bytes_at(keys, at).unwrap_or_default(), bytes_at(values, at));
    (0..headers.len()).map(header).collect()
}
