//! Appending: from checked batches to bytes in the page cache, an offset and a ticket.
//!
//! Invariant: either all batches of a call are in the log, in the producer table and in the indexes, or none is. The
//! bytes are written before the view says so; a failed write is cut off again, and if that fails too the log goes
//! offline, so that nothing of it can ever be read or recovered as if it had been accepted.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use types::{LeaderEpoch, Offset, Timestamp};

use crate::batch_header::{
    ASSIGNED_BYTES, CRC_START, HEADER_BYTES, assign, set_crc, set_timestamps,
};
use crate::files::{SegmentFile, SegmentPart, part_path};
use crate::local_log::{LocalLog, Mark, Status, Writer};
use crate::losses::{Loss, LossKind};
use crate::planted::{Bug, is_planted};
use crate::producers::{Fit, Producers, Rules};
use crate::roll::segment_bytes;
use crate::segment::Segment;
use crate::settings::{LogSettings, LogTimestampType};
use crate::tail::{KEPT_BATCH_BYTES_MAX, Kept};
use crate::validate::{ValidBatch, ValidBatches, validate};
use crate::waiters::wait_for;
use crate::{
    AppendContext, AppendError, AppendOutcome, AppendTicket, CommitFailed, CoordinatorIntent,
    FirstBatch, VerificationGuard,
};

/// How often producers are looked through for expiry.
const PRODUCER_SWEEP_MS: i64 = 10 * 60 * 1000;
/// When an append that nobody waits for is synced at last: late enough that the next append of a log at work takes it
/// along, soon enough for whoever reads the log.
const WAIT_MS_MAX: u64 = 1000;

impl LocalLog {
    pub(crate) fn append_batches(
        &self,
        batches: Bytes,
        context: AppendContext,
    ) -> Result<AppendTicket, AppendError> {
        let current = self.shared.leader_epoch;
        if context.leader_epoch != current {
            return Err(AppendError::FencedLeaderEpoch {
                requested: context.leader_epoch,
                current,
            });
        }
        let settings = self.settings();
        let now = self.shared.env.clock.wall();
        let valid = validate(batches, &settings, now.ms(), context.origin)?;
        let mut writer = self.writer.lock();
        self.check_online()?;
        if let Some(outcome) = self.check_producers(&writer, &valid, &context)? {
            let end = outcome.last_offset.plus(1);
            return Ok(self.ticket(outcome, end));
        }
        let stamped = Stamped::new(valid, self.log_end().offset, current, &settings, now);
        let file = self.write(&mut writer, &stamped, &settings, now)?;
        let published =
            self.publish_append(&mut writer, &stamped, file, &settings, &context, now)?;
        self.sweep_producers(&mut writer, now.ms());
        drop(writer);
        self.tell_of(&published, &settings);
        let outcome = AppendOutcome {
            base_offset: stamped.first.base(),
            last_offset: stamped.last_offset(),
            log_append_time: stamped.log_append_time.then_some(now),
            log_start_offset: self.log_start(),
            duplicate: false,
        };
        Ok(self.ticket(outcome, published.end))
    }

    fn ticket(&self, outcome: AppendOutcome, end: Offset) -> AppendTicket {
        AppendTicket {
            outcome,
            commit: wait_for(self.arc(), end),
        }
    }

    fn check_online(&self) -> Result<(), AppendError> {
        match self.view.lock().status {
            Status::Online => Ok(()),
            Status::Offline | Status::Closed => Err(AppendError::Offline),
            Status::Deleted => Err(AppendError::Deleted),
        }
    }

    fn log_end(&self) -> Mark {
        self.view.lock().log_end
    }

    fn log_start(&self) -> Offset {
        self.view.lock().log_start
    }

    /// Whether the producers' state allows the batches; the outcome of the original if they are there already.
    fn check_producers(
        &self,
        writer: &Writer,
        valid: &ValidBatches,
        context: &AppendContext,
    ) -> Result<Option<AppendOutcome>, AppendError> {
        let verify = self.shared.producers.verify();
        let rules = Rules::new(context, &writer.verifications, verify);
        if let [batch] = valid.batches.as_slice() {
            let fit = writer
                .producers
                .check(&batch.header, batch.marker, &rules)?;
            return Ok(self.original(fit));
        }
        // Each batch is judged by what those before it lead to.
        let mut ahead = Producers::default();
        for batch in &valid.batches {
            ahead.adopt(batch.header.producer_id, &writer.producers);
            let fit = ahead.check(&batch.header, batch.marker, &rules)?;
            if let Some(outcome) = self.original(fit) {
                return Ok(Some(outcome));
            }
            ahead.apply(&batch.header, batch.marker, 0);
        }
        Ok(None)
    }

    /// What is told of a batch that is there already.
    fn original(&self, fit: Fit) -> Option<AppendOutcome> {
        match fit {
            Fit::New => None,
            Fit::Duplicate(original) => Some(AppendOutcome {
                base_offset: original.base_offset(),
                last_offset: original.last_offset,
                log_append_time: Some(Timestamp::from_ms(original.timestamp)),
                log_start_offset: self.log_start(),
                duplicate: true,
            }),
        }
    }

    pub(crate) fn check_intent(
        &self,
        intent: CoordinatorIntent,
        context: &AppendContext,
    ) -> Result<(), AppendError> {
        let writer = self.writer.lock();
        self.check_online()?;
        let verify = self.shared.producers.verify();
        let rules = Rules::new(context, &writer.verifications, verify);
        writer.producers.check_intent(intent, &rules)
    }

    pub(crate) fn verify_first(
        &self,
        batch: FirstBatch,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        let now_ms = self.shared.env.clock.wall().ms();
        let mut writer = self.writer.lock();
        self.check_online()?;
        let writer = &mut *writer;
        writer
            .producers
            .begin_verification(&mut writer.verifications, batch, now_ms)
    }

    /// Writes the batches behind the end of the log, in a new segment if the last one is full or old.
    fn write(
        &self,
        writer: &mut Writer,
        stamped: &Stamped,
        settings: &LogSettings,
        now: Timestamp,
    ) -> Result<Arc<SegmentFile>, AppendError> {
        let length = stamped.length();
        let Some(length) = u32::try_from(length)
            .ok()
            .filter(|length| *length <= segment_bytes(settings))
        else {
            return Err(AppendError::BatchTooLarge {
                size: length,
                limit: segment_bytes(settings) as usize,
            });
        };
        let tail = self.view.lock().segments.last().cloned();
        if let Some(tail) = &tail
            && !tail.has_index()
            && !tail.is_lost()
        {
            // Entries are added to an index in memory. Without one they are missing until it is rebuilt.
            self.index_of(tail).ok();
        }
        let is_short =
            !writer.tail_checked && tail.as_ref().is_some_and(|tail| self.is_short(tail));
        writer.tail_checked = true;
        let segment = match tail {
            Some(tail)
                if !is_short
                    && !tail.is_lost()
                    && !must_roll(&tail, stamped, length, settings, now) =>
            {
                tail
            }
            _ => self
                .roll(writer, now)
                .map_err(|error| self.write_failed(error, length))?,
        };
        // What is cut off here is kept beside first. If that fails, nothing was written that had to be undone, and what lies
        // behind the end stays for the next attempt.
        let file = self
            .trimmed_file(writer, &segment)
            .map_err(|error| self.write_failed(error, length))?;
        let outcome = self.write_to(writer, &segment, &file, stamped, settings);
        match outcome {
            Ok(()) => Ok(file),
            Err(error) => {
                if is_planted(Bug::ProducersTooNew) {
                    for batch in &stamped.batches {
                        writer
                            .producers
                            .apply(&batch.header, batch.marker, now.ms());
                    }
                }
                Err(self.undo_write(writer, &segment, error, length))
            }
        }
    }

    /// Whether a segment's file ends before the segment does: somebody cut it while no broker ran. What was cut off is
    /// lost; what is appended from now on must not lie behind a hole that no walk gets over.
    fn is_short(&self, tail: &Arc<Segment>) -> bool {
        let length = self.file(tail).and_then(|file| file.disk_file().length());
        let is_short = matches!(length, Ok(length) if length < u64::from(tail.size()));
        if is_short {
            let size = u64::from(tail.size());
            let length = length.unwrap_or_default();
            self.shared.losses.tell(Loss {
                kind: LossKind::Missing,
                path: part_path(&self.folder(), tail.base(), SegmentPart::Log),
                bytes: Some((length, size - length)),
                offsets: Some((tail.base(), Some(self.log_end().offset))),
                cause: "the last segment is shorter than it was; going on in a new segment"
                    .to_owned(),
                kept: None,
            });
        }
        is_short
    }

    /// The file of the last segment, with nothing behind its end that an earlier process left there.
    fn trimmed_file(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
    ) -> io::Result<Arc<SegmentFile>> {
        let file = self.file(segment)?;
        if writer.untrimmed {
            self.trim(segment, &file)?;
            writer.untrimmed = false;
        }
        Ok(file)
    }

    fn write_to(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        stamped: &Stamped,
        settings: &LogSettings,
    ) -> io::Result<()> {
        let position = u64::from(segment.size());
        self.reserve(writer, file, settings);
        self.shared.metrics.segment_writes.add(1);
        file.disk_file().write_at(&stamped.parts(), position)?;
        self.shared.found_room(stamped.length());
        Ok(())
    }

    /// Cuts off what a failed write may have left, and says what the failure means.
    fn undo_write(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        error: io::Error,
        length: u32,
    ) -> AppendError {
        let size = u64::from(segment.size());
        // No sync: if one failed here, a commit under way would take what the disk lost by it for durable.
        let cut = self
            .file(segment)
            .and_then(|file| file.disk_file().set_length(size));
        writer.reserved = size;
        match cut {
            Ok(()) => self.write_failed(error, length),
            Err(cut) => {
                tracing::error!(partition = %self.partition, %cut, "could not undo a failed write");
                self.offline(error)
            }
        }
    }

    /// What lacks for a while is waited out; anything else takes the log offline.
    fn write_failed(&self, error: io::Error, length: u32) -> AppendError {
        if is_full(&error) {
            self.shared.lacked_room(length as usize);
            return AppendError::Full;
        }
        if passes(&error) {
            return AppendError::Io(error);
        }
        self.offline(error)
    }

    fn offline(&self, error: io::Error) -> AppendError {
        tracing::error!(
            partition = %self.partition,
            cause = %error,
            "a write to the log failed; the partition is offline until the broker is restarted"
        );
        let cause = Arc::new(io::Error::new(error.kind(), error.to_string()));
        self.go_offline(CommitFailed { cause });
        AppendError::Io(error)
    }

    /// Makes the written batches part of the log.
    fn publish_append(
        &self,
        writer: &mut Writer,
        stamped: &Stamped,
        file: Arc<SegmentFile>,
        settings: &LogSettings,
        context: &AppendContext,
        now: Timestamp,
    ) -> Result<Published, AppendError> {
        let mut kept = self.keep_copy(stamped);
        let mut view = self.view.lock();
        let view_ref = &mut *view;
        match view_ref.status {
            Status::Online => {}
            // A sync failed while this was written: it must not count.
            Status::Offline | Status::Closed => return Err(AppendError::Offline),
            Status::Deleted => return Err(AppendError::Deleted),
        }
        let segment = view_ref
            .segments
            .last()
            .cloned()
            .expect("the write made a segment if there was none");
        let mut end = view_ref.log_end;
        for batch in &stamped.batches {
            let header = &batch.header;
            assert_eq!(header.base(), end.offset, "offsets are dense");
            let start = Mark {
                segment: segment.base(),
                position: segment.size(),
                ..end
            };
            segment.add(header, kept.take(), settings.index_interval_bytes, now.ms());
            end = Mark {
                offset: header.end(),
                segment: segment.base(),
                position: segment.size(),
                total: end.total + u64::from(header.size),
            };
            if let Some(change) = writer.producers.apply(header, batch.marker, now.ms()) {
                view_ref.transactions.note(change, start);
            }
            writer.verifications.note_appended(header);
            self.shared
                .metrics
                .appended_records
                .add(u64::from(header.count.unsigned_abs()));
        }
        view_ref
            .epochs
            .begin(self.shared.leader_epoch, stamped.first.base());
        let bytes = end.total - view_ref.log_end.total;
        self.shared
            .metrics
            .appended_batches
            .add(stamped.batches.len() as u64);
        self.shared.metrics.appended_bytes.add(bytes);
        view_ref.log_end = end;
        let listed = &mut view_ref.unsynced_files;
        if !listed.iter().any(|known| Arc::ptr_eq(known, &file)) {
            listed.push(file);
        }
        let may_wait = context.may_wait && !settings.write_caching;
        let sync = !may_wait && self.wants_sync(writer, stamped, settings);
        if sync && settings.write_caching {
            view_ref.sync_wanted = end.offset;
        }
        let visible = view_ref.advance_high_watermark(settings.write_caching);
        Ok(Published {
            end: end.offset,
            bytes,
            sync,
            may_wait,
            visible,
            high_watermark: view_ref.high_watermark.offset,
        })
    }

    /// A copy of a small batch that somebody waits for.
    fn keep_copy(&self, stamped: &Stamped) -> Option<Kept> {
        let is_small = stamped.length() <= KEPT_BATCH_BYTES_MAX && stamped.batches.len() == 1;
        if !is_small || !self.has_subscribers() {
            return None;
        }
        let segment = self.view.lock().segments.last().cloned()?;
        self.shared.tails.keep(&segment, stamped.copy())
    }

    /// Starts what an append leads to, under no lock of the log.
    fn tell_of(&self, published: &Published, settings: &LogSettings) {
        let flush_ms = match published.may_wait {
            true => Some(
                settings
                    .flush_ms
                    .map_or(WAIT_MS_MAX, |ms| ms.min(WAIT_MS_MAX)),
            ),
            false => settings.flush_ms,
        };
        if published.sync {
            self.submit();
        } else if let Some(flush_ms) = flush_ms
            && !self.flush_scheduled.swap(true, Ordering::AcqRel)
        {
            self.shared.flush_later(&self.arc(), flush_ms);
        }
        self.publish(published.visible, published.high_watermark);
        self.shared.appended(published.bytes);
    }

    /// Whether the append has to be synced before readers see it.
    fn wants_sync(&self, writer: &mut Writer, stamped: &Stamped, settings: &LogSettings) -> bool {
        // A marker is synced in any case: its coordinator forgets the transaction once the marker is there.
        let has_marker = stamped.batches.iter().any(|batch| batch.marker.is_some());
        if !settings.write_caching || has_marker {
            writer.unflushed = 0;
            return true;
        }
        writer.unflushed += stamped.records();
        if writer.unflushed >= settings.flush_messages {
            writer.unflushed = 0;
            return true;
        }
        false
    }

    /// Forgets producers that expired; for logs that nobody appends to.
    pub(crate) fn expire_producers(&self, now: Timestamp) {
        self.sweep_producers(&mut self.writer.lock(), now.ms());
    }

    fn sweep_producers(&self, writer: &mut Writer, now_ms: i64) {
        if now_ms.saturating_sub(writer.producers_swept_ms) >= PRODUCER_SWEEP_MS {
            writer.producers_swept_ms = now_ms;
            let expiration = self.shared.producers.expiration_ms();
            writer.producers.expire(now_ms, expiration);
            writer.verifications.expire(now_ms, expiration);
        }
    }
}

/// Whether `stamped` must begin a new segment (`LogSegment.shouldRoll`).
fn must_roll(
    tail: &Segment,
    stamped: &Stamped,
    length: u32,
    settings: &LogSettings,
    now: Timestamp,
) -> bool {
    let facts = tail.facts();
    if facts.size == 0 {
        return false;
    }
    let newest = stamped
        .batches
        .iter()
        .map(|batch| batch.header.max_timestamp)
        .max()
        .filter(|timestamp| *timestamp >= 0)
        .unwrap_or(now.ms());
    let age = newest.saturating_sub(facts.first_timestamp);
    let segment_ms = i64::try_from(settings.segment_age_max_ms()).unwrap_or(i64::MAX);
    u64::from(facts.size) + u64::from(length) > u64::from(segment_bytes(settings))
        || age > segment_ms
        || !tail.can_hold(stamped.last_offset())
}

/// What an append changed for others.
#[derive(Debug)]
struct Published {
    /// The log end behind it.
    end: Offset,
    bytes: u64,
    /// It waits for a sync.
    sync: bool,
    /// It waits for a sync that somebody else begins.
    may_wait: bool,
    /// Bytes that became visible with it.
    visible: u64,
    high_watermark: Offset,
}

/// Whether the system says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether the system lacked something that others will give back: open files or memory. The disk is not at fault.
pub(crate) fn passes(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE))
}

/// Batches with their final offsets.
#[derive(Debug)]
struct Stamped {
    batches: Vec<ValidBatch>,
    first: crate::batch_header::BatchHeader,
    bytes: Bytes,
    /// If `bytes` is shared with others: the changed beginning of each batch, `head` bytes of it.
    heads: Vec<[u8; HEADER_BYTES]>,
    head: usize,
    log_append_time: bool,
}

impl Stamped {
    fn new(
        valid: ValidBatches,
        base: Offset,
        epoch: LeaderEpoch,
        settings: &LogSettings,
        now: Timestamp,
    ) -> Self {
        let ValidBatches { bytes, mut batches } = valid;
        let log_append_time = settings.timestamp_type == LogTimestampType::LogAppendTime;
        let mut next = base;
        for batch in &mut batches {
            let header = &mut batch.header;
            header.base_offset = next.value();
            header.leader_epoch = epoch.value();
            if log_append_time {
                header.stamp(now.ms());
            } else if let Some(largest) = batch.create_time {
                header.leave_create_time(largest);
            }
            next = header.end();
        }
        let restamp = log_append_time || batches.iter().any(|batch| batch.create_time.is_some());
        let first = batches
            .first()
            .expect("validation refuses an append without batches")
            .header;
        let mut stamped = Self {
            batches,
            first,
            bytes: Bytes::new(),
            heads: Vec::new(),
            head: if restamp {
                HEADER_BYTES
            } else {
                ASSIGNED_BYTES
            },
            log_append_time,
        };
        match bytes.try_into_mut() {
            Ok(mut bytes) => {
                for batch in &stamped.batches {
                    if let Some(bytes) = bytes.get_mut(batch.range()) {
                        let (head, rest) = bytes.split_at_mut(HEADER_BYTES);
                        stamp(head, rest, batch, epoch, restamp);
                    }
                }
                stamped.bytes = bytes.freeze();
            }
            Err(bytes) => {
                for batch in &stamped.batches {
                    let batch_bytes = bytes.get(batch.range()).unwrap_or_default();
                    let (head, rest) = batch_bytes.split_at(HEADER_BYTES);
                    let mut head: [u8; HEADER_BYTES] = head.try_into().unwrap_or([0; HEADER_BYTES]);
                    stamp(&mut head, rest, batch, epoch, restamp);
                    stamped.heads.push(head);
                }
                stamped.bytes = bytes;
            }
        }
        stamped
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn records(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| u64::from(batch.header.count.unsigned_abs()))
            .sum()
    }

    fn last_offset(&self) -> Offset {
        self.batches
            .last()
            .map_or(self.first.last(), |batch| batch.header.last())
    }

    /// All that is written, in one piece of its own.
    fn copy(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.length());
        for part in self.parts() {
            bytes.extend_from_slice(&part);
        }
        bytes.freeze()
    }

    /// What to write, in order.
    fn parts(&self) -> Vec<IoSlice<'_>> {
        if self.heads.is_empty() {
            return vec![IoSlice::new(&self.bytes)];
        }
        let mut parts = Vec::with_capacity(self.heads.len() * 2);
        for (head, batch) in self.heads.iter().zip(&self.batches) {
            let rest = batch.start + self.head..batch.range().end;
            parts.push(IoSlice::new(head.get(..self.head).unwrap_or_default()));
            parts.push(IoSlice::new(self.bytes.get(rest).unwrap_or_default()));
        }
        parts
    }
}

/// Writes the final offsets, and if asked for the final timestamps, into the head of a batch.
fn stamp(head: &mut [u8], rest: &[u8], batch: &ValidBatch, epoch: LeaderEpoch, restamp: bool) {
    assign(head, batch.header.base(), epoch);
    if restamp {
        set_timestamps(head, batch.header.attributes, batch.header.max_timestamp);
        let crc = crc32c::crc32c(head.get(CRC_START..).unwrap_or_default());
        set_crc(head, crc32c::crc32c_append(crc, rest));
    }
}
