//! [`Chunk`]: records of one place, decoded, beside what they were.
//!
//! Invariants: every record of a chunk is a row (or several), a misfit, or a tombstone; each of them is known by its number in the chunk,
//! by which the record itself is found again; the position of a chunk is behind all of them and nothing else.

use std::collections::BTreeSet;

use client::{BatchReadError, RecordBatch as Batch, TopicPartition};
use connectors::files::Found;
use connectors::postgres::Record;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use sql::compute::{Decoded, Decoder, Raw};

use super::dead_letter::{Original, Place};
use super::file_reader::FileRecords;
use super::positions::{PartitionPosition, Source};
use super::put_away::PuttingAway;
use super::table_reader;
use super::topic_reader::Records;

/// Records of one place, decoded.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Which input of the query.
    pub(crate) input: usize,
    /// How many records.
    pub(crate) count: usize,
    pub(crate) rows: RecordBatch,
    /// For each row, of which record it is.
    pub(crate) records: Vec<u32>,
    /// The records that are no rows, and why.
    pub(crate) misfits: Vec<(u32, String)>,
    /// The records without a value.
    pub(crate) tombstones: Vec<u32>,
    /// Where the task is behind them.
    pub(crate) source: Source,
    pub(crate) position: serde_json::Value,
    pub(crate) originals: Originals,
    /// The latest time of a record.
    pub(crate) newest_ms: Option<i64>,
    /// What is to be put away once it is committed.
    pub(crate) finish: Option<(PuttingAway, Found)>,
}

/// The records of a chunk as they stood in their source.
#[derive(Debug)]
pub(crate) enum Originals {
    Topic {
        partition: TopicPartition,
        /// The offset before the first record, and behind the last.
        from: i64,
        to: i64,
        batches: Vec<Batch>,
    },
    File {
        path: String,
        records: FileRecords,
    },
    Table {
        table: String,
        records: Vec<Record>,
    },
}

/// Why records cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A batch is damaged.
    #[error("cannot read a batch of {partition}")]
    Batch {
        /// Where.
        partition: TopicPartition,
        /// What is wrong with it.
        #[source]
        source: BatchReadError,
    },
    /// Columns do not make rows.
    #[error("cannot decode records")]
    Rows(#[from] ArrowError),
}

/// Decodes the records of a partition.
pub(crate) fn of_topic(records: Records, decoder: &mut Decoder) -> Result<Chunk, DecodeError> {
    let Records {
        input,
        partition,
        source,
        from,
        to,
        batches,
    } = records;
    let mut pushed: Vec<u32> = Vec::new();
    let mut tombstones = Vec::new();
    let (mut count, mut newest_ms) = (0_u32, None);
    for batch in &batches {
        for record in batch.records() {
            let record = record.map_err(|source| DecodeError::Batch {
                partition: partition.clone(),
                source,
            })?;
            newest_ms = newest_ms.max(Some(record.timestamp_ms).filter(|ms| *ms >= 0));
            match record.value {
                None => tombstones.push(count),
                Some(_) => {
                    pushed.push(count);
                    decoder.push(&Raw {
                        source: &partition.topic,
                        partition: partition.partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        key: record.key,
                        value: record.value,
                        headers: Some(record.headers),
                    });
                }
            }
            count += 1;
        }
    }
    let Decoded {
        rows,
        records,
        misfits,
    } = decoder.finish()?;
    let number = |place: u32| {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        pushed.get(place).copied().unwrap_or_default()
    };
    Ok(Chunk {
        input,
        count: usize::try_from(count).unwrap_or(usize::MAX),
        rows,
        records: records.into_iter().map(number).collect(),
        misfits: misfits
            .into_iter()
            .map(|(place, message)| (number(place), message))
            .collect(),
        tombstones,
        source,
        position: PartitionPosition::kept(&partition.topic, to),
        originals: Originals::Topic {
            partition,
            from,
            to,
            batches,
        },
        newest_ms,
        finish: None,
    })
}

impl Originals {
    /// The records of these numbers, in their order.
    pub(crate) fn of(&self, numbers: &BTreeSet<u32>) -> Vec<(u32, Place, Original)> {
        match self {
            Self::Topic {
                partition, batches, ..
            } => of_batches(partition, batches, numbers),
            Self::File { path, records } => each(numbers, |number| records.get(path, number)),
            Self::Table { table, records } => each(numbers, |number| {
                table_reader::original(table, records, number)
            }),
        }
    }
}

impl Originals {
    /// Where reading stands behind them, the end of what can be read, and the time of the last record.
    pub(crate) fn seen(
        &self,
        newest_ms: Option<i64>,
    ) -> Option<(TopicPartition, i64, i64, Option<i64>)> {
        match self {
            Self::Topic {
                partition,
                to,
                batches,
                ..
            } => {
                let end = batches.last().map_or(*to, |batch| batch.high_watermark);
                Some((partition.clone(), *to, end, newest_ms))
            }
            Self::File { .. } | Self::Table { .. } => None,
        }
    }

    /// The keys of records without a value, by their numbers; those without a key delete nothing.
    pub(crate) fn keys_of(&self, tombstones: &[u32]) -> Vec<(u32, Vec<u8>)> {
        let numbers = tombstones.iter().copied().collect();
        let found = self.of(&numbers).into_iter();
        found
            .filter_map(|(number, _, original)| Some((number, original.key?)))
            .collect()
    }
}

fn each(
    numbers: &BTreeSet<u32>,
    record: impl Fn(u32) -> Option<(Place, Original)>,
) -> Vec<(u32, Place, Original)> {
    let found = numbers.iter().filter_map(|number| {
        let (place, original) = record(*number)?;
        Some((*number, place, original))
    });
    found.collect()
}

fn of_batches(
    partition: &TopicPartition,
    batches: &[Batch],
    numbers: &BTreeSet<u32>,
) -> Vec<(u32, Place, Original)> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let mut found = Vec::with_capacity(numbers.len());
    let mut wanted = numbers.iter().copied().peekable();
    // They were read before, so all of them can be.
    let records = batches.iter().flat_map(Batch::records).flatten();
    for (number, record) in (0_u32..).zip(records) {
        if wanted.peek().is_none() {
            break;
        }
        if wanted.next_if_eq(&number).is_none() {
            continue;
        }
        let place = Place::Topic {
            topic: partition.topic.as_ref().to_owned(),
            partition: partition.partition,
            offset: record.offset,
        };
        let headers = record.headers.into_iter();
        let headers =
            headers.map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), owned(value)));
        let original = Original {
            key: owned(record.key),
            value: owned(record.value),
            headers: headers.collect(),
            timestamp_ms: Some(record.timestamp_ms).filter(|ms| *ms >= 0),
            is_cut: false,
        };
        found.push((number, place, original));
    }
    found
}
