//! [`StreamReader`]: the rows of one stream, batch by batch. Blocks on the disk; runs on threads for that.
//!
//! Invariant: a step ends after one part of the log at the latest, so that whoever has gone away is noticed.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use protocol::records::NO_TIMESTAMP;

use crate::batch_facts::BatchFacts;
use crate::earliest_times::{LogKey, Stretch};
use crate::errors::ScanError;
use crate::memory::Memory;
use crate::open_batch::{BATCH_BYTES, OpenBatch, OpenRecords};
use crate::pieces::Piece;
use crate::record_source::{Manner, Next, RecordSource};
use crate::rows::Rows;
use crate::scan::Shared;
use crate::spec::{ScanMetrics, ScanSpec};
use crate::wanted::Wanted;

/// The earliest time is noted for each so many bytes.
const STRETCH_BYTES: usize = 1 << 20;
/// With a smaller limit than this, less is read at once.
const FEW_ROWS: usize = 100;

/// What a step of a stream came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Rows.
    Batch(RecordBatch),
    /// Nothing yet.
    Working,
    /// Nothing more until the log was asked ([`StreamReader::ask`]).
    Ask,
    /// There are no more.
    Done,
}

/// The rows of one stream.
#[derive(Debug)]
pub(crate) struct StreamReader {
    spec: Arc<ScanSpec>,
    pieces: VecDeque<Piece>,
    shared: Arc<Shared>,
    current: Option<PartitionReader>,
    /// How many rows may still come.
    left: usize,
    batch_rows: usize,
    memory: Memory,
    metrics: ScanMetrics,
}

impl StreamReader {
    pub(crate) fn new(
        spec: Arc<ScanSpec>,
        pieces: Vec<Piece>,
        shared: Arc<Shared>,
        batch_rows: usize,
        reservation: MemoryReservation,
        metrics: ScanMetrics,
    ) -> Self {
        Self {
            left: spec.limit.unwrap_or(usize::MAX),
            spec,
            pieces: pieces.into(),
            shared,
            current: None,
            batch_rows: batch_rows.max(1),
            memory: Memory::new(reservation),
            metrics,
        }
    }

    /// Goes on for a while.
    pub(crate) fn step(&mut self) -> Result<Step> {
        if self.left == 0 {
            return Ok(Step::Done);
        }
        if self.current.is_none() {
            self.current = self
                .pieces
                .pop_front()
                .and_then(|piece| PartitionReader::new(&self.spec, piece, &self.shared));
        }
        let Some(current) = &mut self.current else {
            return Ok(Step::Done);
        };
        let rows_max = self.batch_rows.min(self.left);
        let filled = current.fill(&self.spec, rows_max, &mut self.memory, &self.metrics)?;
        let is_ready = match filled {
            Filled::Full => true,
            Filled::Ask => return Ok(Step::Ask),
            Filled::End => current.rows.count() > 0,
        };
        let batch = if is_ready {
            let batch = current.rows.take().map_err(DataFusionError::from)?;
            self.left -= batch.num_rows();
            self.memory.release_rows();
            Some(batch)
        } else {
            None
        };
        if filled == Filled::End {
            self.current = None;
        }
        Ok(batch.map_or(Step::Working, Step::Batch))
    }

    /// Asks the log for what comes next, on a thread that may hold its locks.
    pub(crate) fn ask(&mut self) -> Result<()> {
        if let Some(current) = &mut self.current {
            current.source.ask(&mut self.memory, &self.metrics)?;
        }
        Ok(())
    }
}

/// How far rows were filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Full,
    Ask,
    End,
}

/// Rows of one partition.
#[derive(Debug)]
struct PartitionReader {
    source: RecordSource,
    rows: Rows,
    open: Option<OpenBatch>,
    /// Nothing needs to be read.
    is_complete: bool,
    log: LogKey,
    stretch: Stretch,
    stretch_bytes: usize,
    shared: Arc<Shared>,
}

impl PartitionReader {
    fn new(spec: &ScanSpec, piece: Piece, shared: &Arc<Shared>) -> Option<Self> {
        let partition = spec.topic.partitions.get(piece.partition)?;
        let number = partition.index.value();
        let manner = Manner {
            isolation: spec.isolation,
            headers_only: spec.is_in_headers(),
            wants_few: spec.limit.is_some_and(|limit| limit <= FEW_ROWS),
        };
        Some(Self {
            source: RecordSource::new(
                spec.topic.name.clone(),
                number,
                Arc::clone(&partition.log),
                Wanted::new(piece.ranges),
                manner,
            ),
            rows: Rows::new(
                spec.topic.name.as_str(),
                number,
                Arc::clone(&spec.schema),
                spec.columns.clone(),
                spec.form,
                spec.typed.as_ref(),
            ),
            open: None,
            is_complete: piece.is_complete,
            log: (spec.topic.id, partition.index),
            stretch: Stretch::default(),
            stretch_bytes: 0,
            shared: Arc::clone(shared),
        })
    }

    /// Adds rows until there are `rows_max`, or many bytes, or a part of the log was gone through.
    fn fill(
        &mut self,
        spec: &ScanSpec,
        rows_max: usize,
        memory: &mut Memory,
        metrics: &ScanMetrics,
    ) -> Result<Filled, ScanError> {
        if self.is_complete {
            let wanted = &mut self.source.wanted;
            self.rows
                .push_offsets(wanted, i64::MAX, NO_TIMESTAMP, rows_max);
            let is_end = wanted.next().is_none();
            return Ok(if is_end { Filled::End } else { Filled::Full });
        }
        while self.rows.count() < rows_max && self.rows.bytes() < BATCH_BYTES {
            if let Some(open) = &mut self.open {
                if self
                    .rows
                    .push_from(open, &mut self.source, spec, rows_max, memory)?
                {
                    let (facts, earliest) = (open.facts, open.earliest());
                    self.open = None;
                    self.pass(&facts, earliest);
                    let released = memory.reserve_payload(0);
                    released.map_err(|cause| self.source.error(0, cause))?;
                }
                continue;
            }
            match self.source.next(metrics)? {
                Next::Batch(facts) => self.open(facts, spec, memory, metrics)?,
                Next::Ask => {
                    self.end_stretch();
                    return Ok(Filled::Ask);
                }
                Next::End => {
                    self.end_stretch();
                    return Ok(Filled::End);
                }
            }
        }
        Ok(Filled::Full)
    }

    /// Makes a batch the one that rows come from, if there can be any in it.
    fn open(
        &mut self,
        facts: BatchFacts,
        spec: &ScanSpec,
        memory: &mut Memory,
        metrics: &ScanMetrics,
    ) -> Result<(), ScanError> {
        let too_old = spec.times.as_ref().is_some_and(|times| {
            times
                .first()
                .is_none_or(|first| facts.max_timestamp < first)
        });
        let common = facts.common_timestamp();
        if too_old || common.is_some_and(|timestamp| !spec.shows(timestamp)) {
            metrics.batches_by_header.add(1);
            self.pass(&facts, common);
            return Ok(());
        }
        let records = if spec.needs_records(&facts) {
            metrics.batches_read.add(1);
            Some(self.read_records(&facts, memory, metrics)?)
        } else {
            metrics.batches_by_header.add(1);
            None
        };
        self.open = Some(OpenBatch { facts, records });
        Ok(())
    }

    /// Goes on behind a batch; `earliest` is the earliest time in it, if all its records were seen.
    fn pass(&mut self, facts: &BatchFacts, earliest: Option<i64>) {
        self.source.pass(facts);
        let (log, earliest_times) = (self.log, &self.shared.earliest);
        let batch = facts.base_offset..facts.last_offset + 1;
        self.stretch.add(batch, earliest, |stretch, earliest| {
            earliest_times.note(log, stretch, earliest);
        });
        self.stretch_bytes = self.stretch_bytes.saturating_add(facts.size);
        if self.stretch_bytes >= STRETCH_BYTES {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        self.stretch_bytes = 0;
        let (log, earliest_times) = (self.log, &self.shared.earliest);
        self.stretch
            .end(|stretch, earliest| earliest_times.note(log, stretch, earliest));
    }

    fn read_records(
        &mut self,
        facts: &BatchFacts,
        memory: &mut Memory,
        metrics: &ScanMetrics,
    ) -> Result<OpenRecords, ScanError> {
        let bytes = self.source.bytes(facts, memory, metrics)?;
        let records = OpenRecords::read(&bytes, memory);
        records.map_err(|cause| self.source.error(facts.base_offset, cause))
    }
}
