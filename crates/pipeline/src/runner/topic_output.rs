//! [`TopicOutput`]: rows of a query as records of a topic.
//!
//! Invariants: a row that cannot be a record is a dead letter and not an error of its neighbours: one without a key or a time where the
//! pipeline names them, one with a number that JSON has none for, one that is larger than the topic takes. Records are in the order of
//! those they were made of, so that of two with the same key the later one stays the later.

use contract::Column;
use datafusion::arrow::array::types::TimestampMillisecondType;
use datafusion::arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, TimeUnit};
use datafusion::error::DataFusionError;
use spec::TopicSink;
use sql::compute::{Encoder, Values};

use super::dead_letter::Reason;
use super::record_key::{RecordKey, encode_rows, place};

/// What a record takes beside its key and value, in a batch of its own (`DefaultRecordBatch.estimateBatchSizeUpperBound`).
const OVERHEAD_BYTES: usize = 128;

/// How long after it was made a record is written, at most, unless something is wrong: its time gets older until then.
const WRITTEN_WITHIN_MS: i64 = 60_000;

/// Makes records of rows.
#[derive(Debug)]
pub(crate) struct TopicOutput {
    columns: Vec<Column>,
    encoder: Encoder,
    key: RecordKey,
    /// The column with the times.
    timestamp: Option<usize>,
    takes: Takes,
}

/// What a topic takes, by its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    /// A record with its key (`max.message.bytes`).
    pub(crate) record_bytes: usize,
    /// How old a record's time may be (`message.timestamp.before.max.ms`), and how far ahead (`message.timestamp.after.max.ms`).
    pub(crate) before_ms: u64,
    pub(crate) after_ms: u64,
}

/// Records of a batch of rows.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    values: Values,
    /// One for each row, if there are any.
    keys: Values,
    has_keys: bool,
    timestamps: Option<PrimitiveArray<TimestampMillisecondType>>,
    /// The rows that are no records, in their order, and why.
    pub(crate) refused: Vec<(usize, Reason)>,
}

/// A record that was made of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRecord<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
    pub(crate) timestamp_ms: Option<i64>,
}

impl Encoded {
    /// What values and keys take together.
    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes() + self.keys.bytes()
    }

    /// The record of a row, refused or not.
    pub(crate) fn get(&self, row: usize) -> Option<RowRecord<'_>> {
        let key = if self.has_keys {
            self.keys.get(row)
        } else {
            None
        };
        let timestamps = self.timestamps.as_ref();
        Some(RowRecord {
            key,
            value: self.values.get(row)?,
            timestamp_ms: timestamps
                .filter(|times| times.is_valid(row))
                .map(|times| times.value(row)),
        })
    }
}

impl TopicOutput {
    /// For rows with these columns.
    ///
    /// # Errors
    /// Its columns cannot be written.
    pub(crate) fn new(
        columns: &[Column],
        sink: Option<&TopicSink>,
        takes: Takes,
    ) -> Result<Self, DataFusionError> {
        let timestamp = sink.and_then(|sink| sink.timestamp.as_deref());
        Ok(Self {
            encoder: Encoder::new(columns)?,
            key: RecordKey::new(columns, sink.map_or(&[][..], |sink| &sink.key))?,
            timestamp: timestamp.map(|name| place(columns, name)).transpose()?,
            columns: columns.to_vec(),
            takes,
        })
    }

    /// Whether records have keys.
    pub(crate) fn has_keys(&self) -> bool {
        !self.key.is_none()
    }

    /// Makes records of rows.
    ///
    /// # Errors
    /// The rows are not those of the columns.
    pub(crate) fn encode(
        &self,
        rows: &RecordBatch,
        now_ms: i64,
    ) -> Result<Encoded, DataFusionError> {
        let mut encoded = Encoded {
            has_keys: self.has_keys(),
            ..Encoded::default()
        };
        let mut refused = Vec::new();
        self.key.encode(rows, &mut encoded.keys, &mut refused)?;
        encoded.timestamps = self.timestamps(rows, now_ms, &mut refused)?;
        encode_rows(&self.encoder, rows, &mut encoded.values, &mut refused)?;
        for row in 0..rows.num_rows() {
            let bytes = encoded.values.get(row).map_or(0, <[u8]>::len)
                + encoded.keys.get(row).map_or(0, <[u8]>::len);
            if bytes + OVERHEAD_BYTES > self.takes.record_bytes {
                let most = self.takes.record_bytes;
                refused.push((row, Reason::new("too_large", format!("the record has {bytes} bytes, and the topic takes {most} (its setting max.message.bytes)"))));
            }
        }
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        encoded.refused = refused;
        Ok(encoded)
    }

    fn timestamps(
        &self,
        rows: &RecordBatch,
        now_ms: i64,
        refused: &mut Vec<(usize, Reason)>,
    ) -> Result<Option<PrimitiveArray<TimestampMillisecondType>>, DataFusionError> {
        let Some(place) = self.timestamp else {
            return Ok(None);
        };
        let name = self.columns.get(place).map_or("", |column| &column.name);
        let millis = cast(
            rows.column(place),
            &ArrowType::Timestamp(TimeUnit::Millisecond, None),
        )?;
        let millis = millis.as_primitive::<TimestampMillisecondType>().clone();
        for row in 0..millis.len() {
            let time = millis.is_valid(row).then(|| millis.value(row));
            if let Some(fault) = self.takes.fault_of_time(time, now_ms) {
                refused.push((row, Reason::new("timestamp", format!("{name} is {fault}"))));
            }
        }
        Ok(Some(millis))
    }
}

impl Takes {
    /// Why a time cannot be that of a record that is written soon after now.
    fn fault_of_time(&self, time: Option<i64>, now_ms: i64) -> Option<String> {
        let Some(time) = time else {
            return Some("NULL, and it is the record's time".to_owned());
        };
        if time < 0 {
            return Some("before 1970, which no record's time is".to_owned());
        }
        let too_far = |most: u64, is: &str, setting: &str| {
            format!(
                "more than {most} ms {is} now, and the topic takes no such record (its setting {setting})"
            )
        };
        let soon = now_ms.saturating_add(WRITTEN_WITHIN_MS);
        if time > now_ms.saturating_add_unsigned(self.after_ms) {
            let setting = "message.timestamp.after.max.ms";
            return Some(too_far(self.after_ms, "after", setting));
        }
        if time < soon.saturating_sub_unsigned(self.before_ms) {
            let setting = "message.timestamp.before.max.ms";
            return Some(too_far(self.before_ms, "before", setting));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contract::DataType;
    use datafusion::arrow::array::{
        ArrayRef, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    };
    use spec::Cleanup;
    use sql::compute::{Metadata, input_schema};

    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("id", DataType::BigInt),
            Column::new("na\"me", DataType::Text),
            Column::new("x", DataType::Double),
            Column::new("at", DataType::Timestamp),
        ]
    }

    fn rows(x: Vec<f64>, at: Vec<Option<i64>>) -> RecordBatch {
        let ids = (0..)
            .zip(&x)
            .map(|(row, _)| if row == 3 { None } else { Some(row) });
        let names = x.iter().map(|x| format!("n{x}"));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<Int64Array>()),
            Arc::new(StringViewArray::from_iter_values(names)),
            Arc::new(Float64Array::from(x)),
            Arc::new(TimestampMicrosecondArray::from(at)),
        ];
        RecordBatch::try_new(input_schema(Metadata::None, &columns()), arrays).unwrap()
    }

    fn sink(key: &[&str], timestamp: Option<&str>) -> TopicSink {
        TopicSink {
            name: "out".to_owned(),
            key: key.iter().map(|&name| name.to_owned()).collect(),
            timestamp: timestamp.map(str::to_owned),
            partitions: 1,
            cleanup: Cleanup::Delete,
        }
    }

    const NOW: i64 = 1_700_000_000_000;
    const ALL: Takes = Takes {
        record_bytes: 1 << 20,
        before_ms: u64::MAX,
        after_ms: u64::MAX,
    };

    fn text(bytes: Option<&[u8]>) -> Option<&str> {
        bytes.map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_key_is_the_text_of_its_column_or_an_object_of_several() {
        let batch = rows(vec![0.5, 1.5], vec![Some(0), Some(1_000)]);
        for (key, expected) in [
            (&[][..], None),
            (&["id"][..], Some("1")),
            (&["na\"me"][..], Some("n1.5")),
            (&["at"][..], Some("1970-01-01T00:00:00.001")),
            (&["id", "na\"me"][..], Some(r#"{"id":1,"na\"me":"n1.5"}"#)),
        ] {
            let output = TopicOutput::new(&columns(), Some(&sink(key, Some("at"))), ALL);
            let encoded = output.unwrap().encode(&batch, NOW).unwrap();
            let record = encoded.get(1).unwrap();
            assert_eq!(text(record.key), expected, "{key:?}");
            assert_eq!(record.timestamp_ms, Some(1));
            let value = r#"{"id":1,"na\"me":"n1.5","x":1.5,"at":"1970-01-01T00:00:00.001"}"#;
            assert_eq!(text(Some(record.value)), Some(value));
            assert_eq!(encoded.refused, []);
        }
    }

    #[test]
    fn rows_that_can_be_no_records_are_told_and_their_neighbours_are_written() {
        let x = vec![1.0, f64::NAN, 2.0, 3.0, 4.0, 5.0];
        let at = vec![Some(0), Some(0), None, Some(0), Some(-1_000), Some(0)];
        let output = TopicOutput::new(&columns(), Some(&sink(&["id"], Some("at"))), ALL);
        let encoded = output.unwrap().encode(&rows(x, at), NOW).unwrap();
        let refused: Vec<_> = encoded
            .refused
            .iter()
            .map(|(row, reason)| (*row, reason.reason.as_str()))
            .collect();
        let expected = [(1, "error"), (2, "timestamp"), (3, "key"), (4, "timestamp")];
        assert_eq!(refused, expected);
        assert_eq!(text(encoded.get(5).unwrap().key), Some("5"));
        assert!(
            text(Some(encoded.get(5).unwrap().value))
                .unwrap()
                .contains(r#""x":5,"#)
        );
    }

    #[test]
    fn times_that_the_topic_does_not_take_are_refused() {
        const HOUR: i64 = 3_600_000;
        let at = [
            NOW,
            NOW - HOUR,
            NOW - HOUR + 120_000,
            NOW + HOUR,
            NOW + HOUR + 1,
            253_402_300_799_000,
        ];
        let at = at.map(|ms| Some(ms * 1_000)).to_vec();
        let takes = Takes {
            before_ms: 3_600_000,
            after_ms: 3_600_000,
            ..ALL
        };
        let output = TopicOutput::new(&columns(), Some(&sink(&[], Some("at"))), takes).unwrap();
        let encoded = output
            .encode(&rows(vec![1.0; at.len()], at.clone()), NOW)
            .unwrap();
        let refused: Vec<_> = encoded
            .refused
            .iter()
            .map(|(row, reason)| (*row, reason.message.as_str()))
            .collect();
        let after = "at is more than 3600000 ms after now, and the topic takes no such record (its setting message.timestamp.after.max.ms)";
        let before = "at is more than 3600000 ms before now, and the topic takes no such record (its setting message.timestamp.before.max.ms)";
        assert_eq!(refused, [(1, before), (4, after), (5, after)]);
        let output = TopicOutput::new(&columns(), Some(&sink(&[], Some("at"))), ALL).unwrap();
        assert_eq!(
            output
                .encode(&rows(vec![1.0; at.len()], at), NOW)
                .unwrap()
                .refused,
            []
        );
    }

    #[test]
    fn what_is_larger_than_the_topic_takes_is_refused() {
        let batch = rows(vec![1.0], vec![Some(0)]);
        let takes = Takes {
            record_bytes: 150,
            ..ALL
        };
        let output = TopicOutput::new(&columns(), Some(&sink(&[], None)), takes).unwrap();
        let encoded = output.encode(&batch, NOW).unwrap();
        assert_eq!(encoded.refused.len(), 1);
        assert_eq!(encoded.refused[0].1.reason, "too_large");
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let error = TopicOutput::new(&columns(), Some(&sink(&["no"], None)), ALL).unwrap_err();
        assert!(error.to_string().contains("no column no"), "{error}");
    }
}
