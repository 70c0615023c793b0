//! What a fetch brought: batches of one partition, decompressed one at a time.
//!
//! Invariants: records below the position asked for are never shown (a broker returns whole batches); control records
//! are never shown; with read_committed, records of aborted transactions are never shown; a batch whose checksum does
//! not match is an error, not data.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use protocol::messages::fetch_response::AbortedTransaction;
use protocol::records::{
    BatchError, BatchView, ControlRecordType, Headers, PayloadError, TimestampType, control,
};

use crate::assignor::TopicPartition;

/// A batch may decompress to this at most, in bytes. Brokers accept batches of 1 MiB by default, and honest text
/// compresses at most some hundred times.
pub const DECOMPRESSED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Why records could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BatchReadError {
    /// The batch itself is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// What is in it is damaged.
    #[error("cannot read the records of the batch at offset {base_offset}")]
    Payload {
        /// Where the batch begins.
        base_offset: i64,
        /// What is wrong.
        #[source]
        source: std::sync::Arc<PayloadError>,
    },
}

/// A record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970; -1 if it has none.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` marks the key as deleted.
    pub value: Option<&'a [u8]>,
    /// The headers in order.
    pub headers: Headers<'a>,
}

/// Records of one batch, decompressed.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    /// Where they come from.
    pub partition: TopicPartition,
    /// The offset after the batch: where reading goes on.
    pub next_offset: i64,
    /// The end of what consumers may read, when this was fetched.
    pub high_watermark: i64,
    /// Whose timestamps these are.
    pub timestamp_type: TimestampType,
    /// The leader epoch under which the batch was written.
    pub leader_epoch: i32,
    first_offset: i64,
    base_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    payload: Bytes,
}

impl RecordBatch {
    /// The records from the position asked for on.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordRef<'_>, BatchReadError>> {
        protocol::records::RecordIterator::new(&self.payload, self.count).filter_map(|record| {
            let record = match record {
                Ok(record) => record,
                Err(error) => return Some(Err(payload_error(self.base_offset, error.into()))),
            };
            let offset = self.base_offset + i64::from(record.offset_delta);
            if offset < self.first_offset {
                return None;
            }
            let timestamp_ms = match self.timestamp_type {
                TimestampType::LogAppendTime => self.max_timestamp,
                TimestampType::CreateTime => {
                    self.base_timestamp.saturating_add(record.timestamp_delta)
                }
            };
            Some(Ok(RecordRef {
                offset,
                timestamp_ms,
                key: record.key,
                value: record.value,
                headers: record.headers,
            }))
        })
    }

    /// How many records it has, those before the position asked for included.
    pub fn record_count(&self) -> u32 {
        u32::try_from(self.count).unwrap_or_default()
    }

    /// Bytes of its records, decompressed.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }
}

fn payload_error(base_offset: i64, source: PayloadError) -> BatchReadError {
    BatchReadError::Payload {
        base_offset,
        source: std::sync::Arc::new(source),
    }
}

/// The batches that one fetch brought of one partition.
#[derive(Debug)]
pub(super) struct Fetched {
    partition: TopicPartition,
    bytes: Bytes,
    position: i64,
    high_watermark: i64,
    /// Aborted transactions that may reach into these batches, by first offset; `None` without read_committed.
    aborted: Option<Aborted>,
}

/// Which producers are inside an aborted transaction while batches pass by (`CompletedFetch.java`).
#[derive(Debug, Default)]
struct Aborted {
    upcoming: VecDeque<(i64, i64)>,
    active: BTreeSet<i64>,
}

impl Aborted {
    fn new(transactions: &[AbortedTransaction]) -> Self {
        let mut upcoming: BTreeMap<(i64, i64), ()> = BTreeMap::new();
        for transaction in transactions {
            upcoming.insert((transaction.first_offset, transaction.producer_id), ());
        }
        Self {
            upcoming: upcoming.into_keys().collect(),
            active: BTreeSet::new(),
        }
    }

    /// Notes the transactions that begin at or before the last offset of a batch.
    fn advance_to(&mut self, last_offset: i64) {
        while let Some((_, producer)) = self
            .upcoming
            .pop_front_if(|(first, _)| *first <= last_offset)
        {
            self.active.insert(producer);
        }
    }
}

impl Fetched {
    pub(super) fn new(
        partition: TopicPartition,
        bytes: Bytes,
        position: i64,
        high_watermark: i64,
        aborted: Option<&[AbortedTransaction]>,
    ) -> Self {
        Self {
            partition,
            bytes,
            position,
            high_watermark,
            aborted: aborted.map(Aborted::new),
        }
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Bytes not handed out yet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Where reading goes on after everything in here.
    pub(super) fn end_position(&self) -> Result<i64, BatchReadError> {
        let mut rest: &[u8] = &self.bytes;
        let mut end = self.position;
        while let Some(batch) = next_whole(rest)? {
            end = end.max(batch.next_offset());
            rest = &rest[batch.total_size()..];
        }
        Ok(end)
    }

    /// The next batch with records to show. The second value is where reading goes on, also past batches that show
    /// nothing.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, BatchReadError> {
        loop {
            let bytes = self.bytes.clone();
            let Some(batch) = next_whole(&bytes)? else {
                return Ok(None);
            };
            self.bytes = bytes.slice(batch.total_size()..);
            let last_offset = batch.last_offset();
            if last_offset < self.position {
                continue;
            }
            batch.verify_crc()?;
            let first_offset = self.position;
            self.position = last_offset + 1;
            if self.hides(&batch, last_offset)? || batch.records_count() == 0 {
                continue;
            }
            let shown = self.open(&bytes, &batch, first_offset)?;
            self.pass_hidden();
            return Ok(Some(shown));
        }
    }

    /// Goes on past batches that show nothing, so that who has the last records knows that there are no more, and does not
    /// wait for the answer to another fetch. What is wrong with one is told when it is come to.
    fn pass_hidden(&mut self) {
        loop {
            let bytes = self.bytes.clone();
            let Ok(Some(batch)) = next_whole(&bytes) else {
                return;
            };
            let last_offset = batch.last_offset();
            let is_whole = last_offset >= self.position && batch.verify_crc().is_ok();
            if !is_whole || !self.hides(&batch, last_offset).unwrap_or(false) {
                return;
            }
            self.bytes = bytes.slice(batch.total_size()..);
            self.position = last_offset + 1;
        }
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Whether the batch is none for readers: control records, or data of an aborted transaction.
    fn hides(&mut self, batch: &BatchView<'_>, last_offset: i64) -> Result<bool, BatchReadError> {
        let Some(aborted) = &mut self.aborted else {
            return Ok(batch.is_control());
        };
        if batch.producer_id() >= 0 {
            aborted.advance_to(last_offset);
            if batch.is_control() {
                if ends_in_abort(batch)? {
                    aborted.active.remove(&batch.producer_id());
                }
            } else if batch.is_transactional() && aborted.active.contains(&batch.producer_id()) {
                return Ok(true);
            }
        }
        Ok(batch.is_control())
    }

    fn open(
        &self,
        bytes: &Bytes,
        batch: &BatchView<'_>,
        first_offset: i64,
    ) -> Result<RecordBatch, BatchReadError> {
        let payload = batch
            .payload(DECOMPRESSED_BYTES_MAX)
            .map_err(|error| payload_error(batch.base_offset(), error.into()))?;
        let payload = match payload {
            std::borrow::Cow::Borrowed(slice) => bytes.slice_ref(slice),
            std::borrow::Cow::Owned(decompressed) => Bytes::from(decompressed),
        };
        Ok(RecordBatch {
            partition: self.partition.clone(),
            next_offset: self.position,
            high_watermark: self.high_watermark,
            timestamp_type: batch.timestamp_type(),
            leader_epoch: batch.partition_leader_epoch(),
            first_offset,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            max_timestamp: batch.max_timestamp(),
            count: batch.records_count(),
            payload,
        })
    }
}

/// The offsets of all records that are shown. For fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn fetched(
    partition: TopicPartition,
    bytes: Bytes,
    position: i64,
    aborted: Option<&[(i64, i64)]>,
) -> Vec<i64> {
    let aborted: Option<Vec<_>> = aborted.map(|aborted| {
        let aborted = aborted.iter();
        let transaction = |(producer_id, first_offset): &(i64, i64)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        };
        aborted.map(transaction).collect()
    });
    let mut fetched = Fetched::new(partition, bytes, position, i64::MAX, aborted.as_deref());
    let Ok(end) = fetched.end_position() else {
        return Vec::new();
    };
    let mut offsets = Vec::new();
    while let Ok(Some(batch)) = fetched.next() {
        let records = batch.records().map_while(Result::ok);
        offsets.extend(records.map(|record| record.offset));
        assert!(fetched.position() >= position, "reading goes on behind");
        assert!(
            fetched.position() <= end,
            "reading goes on within what was fetched"
        );
    }
    offsets
}

/// The batch at the front, unless it is cut off: brokers may send a part of the last one.
fn next_whole(bytes: &[u8]) -> Result<Option<BatchView<'_>>, BatchError> {
    protocol::records::BatchIterator::new(bytes)
        .next()
        .transpose()
}

fn ends_in_abort(batch: &BatchView<'_>) -> Result<bool, BatchReadError> {
    let failed = |error: PayloadError| payload_error(batch.base_offset(), error);
    let payload = batch
        .payload(DECOMPRESSED_BYTES_MAX)
        .map_err(|error| failed(error.into()))?;
    let first = batch.records(&payload).next().transpose();
    let first = first.map_err(|error| failed(error.into()))?;
    let key = first.and_then(|record| record.key).unwrap_or_default();
    Ok(control::decode_key(key).is_ok_and(|kind| kind == ControlRecordType::Abort))
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions, Compression, EndTransactionMarker};

    use super::*;

    fn batch(options: BatchOptions, values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new(options);
        for value in values {
            builder
                .push(1000, None, Some(value.as_bytes()), &[])
                .expect("fits");
        }
        builder.build().expect("fits")
    }

    fn plain(base_offset: i64, values: &[&str]) -> Bytes {
        let options = BatchOptions {
            base_offset,
            ..BatchOptions::default()
        };
        batch(options, values)
    }

    fn transactional(base_offset: i64, producer_id: i64) -> BatchOptions {
        BatchOptions {
            base_offset,
            producer_id,
            producer_epoch: 0,
            base_sequence: 0,
            is_transactional: true,
            ..BatchOptions::default()
        }
    }

    fn marker(base_offset: i64, producer_id: i64, kind: ControlRecordType) -> Bytes {
        let marker = EndTransactionMarker {
            coordinator_epoch: 0,
        };
        let options = transactional(base_offset, producer_id);
        BatchBuilder::end_transaction(options, 1000, kind, marker).expect("fits")
    }

    fn fetched(
        batches: &[Bytes],
        position: i64,
        aborted: Option<&[AbortedTransaction]>,
    ) -> Fetched {
        let bytes = Bytes::from(batches.concat());
        Fetched::new(TopicPartition::new("t", 0), bytes, position, 100, aborted)
    }

    /// Offsets and values of everything shown, and where reading goes on.
    fn shown(mut fetched: Fetched) -> (Vec<(i64, String)>, i64) {
        let mut all = Vec::new();
        while let Some(batch) = fetched.next().expect("well formed") {
            for record in batch.records() {
                let record = record.expect("well formed");
                let value = String::from_utf8_lossy(record.value.unwrap_or_default());
                all.push((record.offset, value.into_owned()));
            }
        }
        (all, fetched.position())
    }

    fn owned(records: &[(i64, &str)]) -> Vec<(i64, String)> {
        let records = records.iter();
        records
            .map(|(offset, value)| (*offset, (*value).to_owned()))
            .collect()
    }

    #[test]
    fn records_before_the_position_are_not_shown_in_any_codec() {
        for compression in Compression::ALL {
            let options = BatchOptions {
                base_offset: 10,
                compression,
                ..BatchOptions::default()
            };
            let batches = [plain(5, &["old"]), batch(options, &["a", "b", "c"])];
            let fetched = fetched(&batches, 11, None);
            assert_eq!(fetched.end_position().expect("well formed"), 13);
            let (records, position) = shown(fetched);
            assert_eq!(records, owned(&[(11, "b"), (12, "c")]), "{compression}");
            assert_eq!(position, 13);
        }
    }

    #[test]
    fn a_batch_that_was_cut_off_waits_for_the_next_fetch() {
        let whole = plain(0, &["a"]);
        let cut = plain(1, &["b"]).slice(..40);
        let fetched = fetched(&[whole, cut], 0, None);
        assert_eq!(fetched.end_position().expect("well formed"), 1);
        assert_eq!(shown(fetched), (owned(&[(0, "a")]), 1));
    }

    #[test]
    fn a_wrong_checksum_is_an_error_and_no_data() {
        let mut bytes = plain(0, &["a"]).to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut fetched = fetched(&[Bytes::from(bytes)], 0, None);
        assert!(matches!(
            fetched.next(),
            Err(BatchReadError::Batch(BatchError::CrcMismatch { .. }))
        ));
    }

    /// Two producers: 1 aborts, commits, and 2 commits, interleaved.
    fn history() -> Vec<Bytes> {
        vec![
            batch(transactional(0, 1), &["aborted"]),
            batch(transactional(1, 2), &["kept"]),
            plain(2, &["plain"]),
            batch(transactional(3, 1), &["aborted too"]),
            marker(4, 1, ControlRecordType::Abort),
            batch(transactional(5, 1), &["later"]),
            marker(6, 2, ControlRecordType::Commit),
            marker(7, 1, ControlRecordType::Commit),
        ]
    }

    #[test]
    fn read_committed_hides_aborted_transactions_and_nothing_else() {
        let aborted = [AbortedTransaction {
            producer_id: 1,
            first_offset: 0,
        }];
        let (records, position) = shown(fetched(&history(), 0, Some(&aborted)));
        assert_eq!(records, owned(&[(1, "kept"), (2, "plain"), (5, "later")]));
        assert_eq!(position, 8, "markers are read past");
    }

    #[test]
    fn who_has_the_last_record_is_past_the_markers_behind_it() {
        let aborted = [AbortedTransaction {
            producer_id: 1,
            first_offset: 0,
        }];
        let mut fetched = fetched(&history(), 0, Some(&aborted));
        let mut positions = Vec::new();
        while let Some(batch) = fetched.next().expect("well formed") {
            positions.push((batch.next_offset, fetched.position()));
        }
        assert_eq!(positions, [(2, 2), (3, 5), (6, 8)]);
    }

    #[test]
    fn a_damaged_marker_is_told_after_the_records_before_it() {
        let mut damaged = marker(1, 1, ControlRecordType::Commit).to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let batches = [batch(transactional(0, 1), &["kept"]), Bytes::from(damaged)];
        let mut fetched = fetched(&batches, 0, Some(&[]));
        assert!(fetched.next().expect("the first is whole").is_some());
        assert_eq!(fetched.position(), 1);
        assert!(fetched.next().is_err());
    }

    #[test]
    fn read_uncommitted_hides_only_markers() {
        let (records, position) = shown(fetched(&history(), 0, None));
        assert_eq!(records.len(), 5);
        assert_eq!(position, 8);
    }
}
