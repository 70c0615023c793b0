//! [`RecordSource`]: the batches of one partition that a query sees, one after another.
//!
//! Invariants: control batches are never shown, nor are batches of aborted transactions with read_committed
//! (`CompletedFetch.java` is the model); nothing outside of the wanted offsets is; every read goes on behind the last one,
//! so that no answer of the log makes this go round in circles; bytes are reserved before they are read.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use protocol::records::{BatchView, ControlRecordType, control};
use storage::{Isolation, PartitionLog, ReadError, ReadPlan};
use types::{Offset, ProducerId, TopicName};

use crate::batch_facts::BatchFacts;
use crate::errors::{ScanCause, ScanError};
use crate::memory::Memory;
use crate::slices::{Batches, RECORDS_WINDOW_BYTES};
use crate::spec::ScanMetrics;
use crate::wanted::Wanted;

/// What the log is asked for at once.
const CHUNK_BYTES: usize = 4 << 20;
/// The same for a few records: an interval of the offset index.
const SMALL_CHUNK_BYTES: usize = 64 << 10;
/// The same when only headers are looked at.
const HEADERS_CHUNK_BYTES: usize = 32 << 20;
/// So few offsets are a few records.
const FEW_OFFSETS: u64 = 1000;
/// A segment that was replaced while it was looked up is looked up again, so often.
const ATTEMPTS: usize = 3;
/// The markers of transactions are small; so much of one is enough.
const MARKER_BYTES_MAX: usize = 64 << 10;

/// Where batches come from.
#[derive(Debug)]
pub(crate) struct RecordSource {
    topic: TopicName,
    partition: i32,
    log: Arc<dyn PartitionLog>,
    isolation: Isolation,
    pub(crate) wanted: Wanted,
    batches: Batches,
    aborted: Aborted,
    /// Behind the last batch that was passed.
    position: i64,
    /// Where the last read began.
    read_from: Option<i64>,
    headers_only: bool,
    /// Somebody wants only the first few.
    wants_few: bool,
}

/// What a source is asked for besides offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) isolation: Isolation,
    /// Records are not looked at, as far as headers say enough.
    pub(crate) headers_only: bool,
    /// The query has a small limit.
    pub(crate) wants_few: bool,
}

impl RecordSource {
    pub(crate) fn new(
        topic: TopicName,
        partition: i32,
        log: Arc<dyn PartitionLog>,
        wanted: Wanted,
        manner: Manner,
    ) -> Self {
        Self {
            topic,
            partition,
            log,
            isolation: manner.isolation,
            position: wanted.next().unwrap_or_default(),
            wanted,
            batches: Batches::new(Vec::new(), manner.headers_only),
            aborted: Aborted::default(),
            read_from: None,
            headers_only: manner.headers_only,
            wants_few: manner.wants_few,
        }
    }

    /// The next batch with wanted offsets, which stays the next until [`RecordSource::pass`].
    pub(crate) fn next(&mut self, metrics: &ScanMetrics) -> Result<Next, ScanError> {
        loop {
            let found = self.batches.peek();
            metrics.bytes_read.add(self.batches.take_bytes_read());
            let found = found.map_err(|cause| self.error(self.position, cause))?;
            let Some(facts) = found else {
                self.wanted.pass(self.position);
                return Ok(match self.wanted.next() {
                    Some(_) => Next::Ask,
                    None => Next::End,
                });
            };
            self.wanted.pass(facts.base_offset);
            if self.wanted.next().is_none() {
                return Ok(Next::End);
            }
            let is_hidden = self.hides(&facts)?;
            if !is_hidden && self.wanted.reaches(facts.last_offset) {
                return Ok(Next::Batch(facts));
            }
            self.pass(&facts);
        }
    }

    /// Goes on behind the batch that was returned last.
    pub(crate) fn pass(&mut self, facts: &BatchFacts) {
        self.batches.skip(facts);
        // Storage puts batches in order; a batch that lies before what was asked for does not turn the reader back.
        self.position = self.position.max(facts.last_offset + 1);
        self.wanted.pass(self.position);
    }

    /// The bytes of the batch that was returned last.
    pub(crate) fn bytes(
        &mut self,
        facts: &BatchFacts,
        memory: &mut Memory,
        metrics: &ScanMetrics,
    ) -> Result<Bytes, ScanError> {
        if self.headers_only || facts.size > RECORDS_WINDOW_BYTES {
            let reserved = memory.reserve_chunk(facts.size.saturating_add(RECORDS_WINDOW_BYTES));
            reserved.map_err(|cause| self.error(facts.base_offset, cause))?;
        }
        let bytes = self.batches.batch(facts);
        metrics.bytes_read.add(self.batches.take_bytes_read());
        bytes.map_err(|cause| self.error(facts.base_offset, cause))
    }

    /// An error of this partition.
    pub(crate) fn error(&self, offset: i64, cause: impl Into<ScanCause>) -> ScanError {
        ScanError {
            topic: self.topic.clone(),
            partition: self.partition,
            offset,
            cause: cause.into(),
        }
    }

    /// Asks the log for its next part, after [`Next::Ask`].
    pub(crate) fn ask(
        &mut self,
        memory: &mut Memory,
        metrics: &ScanMetrics,
    ) -> Result<(), ScanError> {
        let Some(from) = self.wanted.next() else {
            return Ok(());
        };
        if self.read_from == Some(from) {
            return Err(self.error(from, ScanCause::NoProgress));
        }
        self.read_from = Some(from);
        let plan = match self.read(from) {
            Ok(plan) => plan,
            Err(ReadError::OffsetOutOfRange { log_start, .. }) if log_start.value() > from => {
                self.skip_removed(from, log_start.value(), metrics);
                return Ok(());
            }
            Err(error) => return Err(self.error(from, error)),
        };
        if plan.length == 0 {
            // What is left below the end of the snapshot are gaps.
            self.wanted.pass(i64::MAX);
            return Ok(());
        }
        // A window is all that is held, which for headers is next to nothing.
        let held = if self.headers_only {
            0
        } else {
            RECORDS_WINDOW_BYTES.min(plan.length)
        };
        let reserved = memory.reserve_chunk(held);
        reserved.map_err(|cause| self.error(from, cause))?;
        self.position = self.position.max(from);
        self.aborted = Aborted::new(&plan.aborted);
        self.batches.go_on(plan.slices);
        Ok(())
    }

    fn read(&self, from: i64) -> Result<ReadPlan, ReadError> {
        let bytes = match (self.headers_only, self.wants_few) {
            _ if self.wanted.remaining() <= FEW_OFFSETS => SMALL_CHUNK_BYTES,
            (false, true) => SMALL_CHUNK_BYTES,
            (false, false) => CHUNK_BYTES,
            (true, _) => HEADERS_CHUNK_BYTES,
        };
        let from = Offset::new(from).unwrap_or_default();
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.log.read(from, bytes, self.isolation, true) {
                // Its file was replaced by a cleaned one after it was looked up.
                Err(ReadError::Io(error))
                    if error.kind() == io::ErrorKind::NotFound && attempts > 0 => {}
                outcome => return outcome,
            }
        }
    }

    /// Retention or somebody's request took records away that the snapshot had.
    fn skip_removed(&mut self, from: i64, log_start: i64, metrics: &ScanMetrics) {
        let before = self.wanted.remaining();
        self.wanted.pass(log_start);
        self.position = self.position.max(log_start);
        let removed = before - self.wanted.remaining();
        tracing::warn!(
            topic = %self.topic,
            partition = self.partition,
            from,
            log_start,
            "records were removed while a query read them; it goes on where the log begins now"
        );
        metrics
            .offsets_removed
            .add(usize::try_from(removed).unwrap_or(usize::MAX));
    }

    /// Whether the batch is none for readers: control records, or data of an aborted transaction.
    fn hides(&mut self, facts: &BatchFacts) -> Result<bool, ScanError> {
        if self.isolation == Isolation::ReadUncommitted || facts.producer_id < 0 {
            return Ok(facts.is_control());
        }
        self.aborted.advance_to(facts.last_offset);
        if !self.aborted.is_active(facts.producer_id) {
            return Ok(facts.is_control());
        }
        if facts.is_control() {
            if self.ends_in_abort(facts)? {
                self.aborted.end(facts.producer_id);
            }
            return Ok(true);
        }
        Ok(facts.is_transactional())
    }

    fn ends_in_abort(&mut self, facts: &BatchFacts) -> Result<bool, ScanError> {
        let offset = facts.base_offset;
        let bytes = self.batches.batch(facts);
        let bytes = bytes.map_err(|cause| self.error(offset, cause))?;
        let view = BatchView::parse(&bytes).map_err(|cause| self.error(offset, cause))?;
        let payload = view.payload(MARKER_BYTES_MAX);
        let payload =
            payload.map_err(|cause| self.error(offset, ScanCause::Payload(cause.into())))?;
        let Some(record) = view.records(&payload).next() else {
            return Ok(false);
        };
        let record =
            record.map_err(|cause| self.error(offset, ScanCause::Payload(cause.into())))?;
        // A key that cannot be read is one of a kind that is not known here, and ends no transaction.
        let kind = control::decode_key(record.key.unwrap_or_default());
        Ok(matches!(kind, Ok(ControlRecordType::Abort)))
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A batch with wanted offsets.
    Batch(BatchFacts),
    /// The log is to be asked ([`RecordSource::ask`]). Whoever waits may think of something else in between.
    Ask,
    /// There is nothing more.
    End,
}

/// Which producers are inside an aborted transaction while batches pass by.
#[derive(Debug, Default)]
struct Aborted {
    /// By first offset.
    upcoming: VecDeque<(i64, i64)>,
    active: BTreeSet<i64>,
}

impl Aborted {
    fn new(transactions: &[(ProducerId, Offset)]) -> Self {
        let mut upcoming: Vec<_> = transactions
            .iter()
            .map(|(producer, first)| (first.value(), producer.value()))
            .collect();
        upcoming.sort_unstable();
        Self {
            upcoming: upcoming.into(),
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

    fn is_active(&self, producer: i64) -> bool {
        self.active.contains(&producer)
    }

    fn end(&mut self, producer: i64) {
        self.active.remove(&producer);
    }
}
