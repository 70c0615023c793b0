//! [`LocalLog`]: a partition's log on a local disk. What it owns and how its parts stay consistent.
//!
//! Two locks. `writer` serialises appends and is held while they write. `view` holds what readers and the commit thread
//! need and is never held over IO. Order: `writer` before `view`. An append becomes part of the view only after its
//! bytes were written; the commit thread moves the high watermark in the view only after a sync that began later.
//!
//! Invariants: `log_start <= last_stable <= high_watermark <= log_end`; offsets in the view never go back (the log
//! start neither); after a failed sync the view is offline for ever and the high watermark stands still.
//!
//! Nothing exists on disk, and no buffer in memory, before the first append.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use env::disk::DiskDirectory;
use parking_lot::{Mutex, RwLock};
use types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use crate::clean::state::Cleaning;
use crate::files::SegmentFile;
use crate::leader_epochs::LeaderEpochs;
use crate::planted::{Bug, is_planted};
use crate::producers::Producers;
use crate::segment::Segment;
use crate::settings::LogSettings;
use crate::shared::Shared;
use crate::transactions::Transactions;
use crate::verification::Verifications;
use crate::waiters::CommitWaiters;
use crate::{
    ActiveProducer, AppendContext, AppendError, AppendTicket, CommitFailed, CoordinatorIntent,
    DeleteRecordsError, EpochEnd, FirstBatch, Isolation, LogOffsets, LogSegment, PartitionLog,
    ReadError, ReadPlan, SyncTarget, TimestampQuery, TimestampedOffset, VerificationGuard,
    VisibleSubscriber,
};

/// A place in the log: an offset and the bytes that lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: Offset,
    /// The base offset of the segment that the place is in; at a border, of the one that ends there.
    pub(crate) segment: Offset,
    /// Bytes before the place in that segment.
    pub(crate) position: u32,
    /// Bytes appended by this process before the place.
    pub(crate) total: u64,
}

/// Whether the log can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Online,
    /// A write or sync failed, or the files could not be read at opening.
    Offline,
    /// The broker stops: nothing more is appended.
    Closed,
    Deleted,
}

/// What readers and commits need.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) status: Status,
    /// Ascending by base offset; empty before the first append.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Mark,
    pub(crate) high_watermark: Mark,
    /// Up to here a sync has returned.
    pub(crate) durable: Mark,
    /// The window of the commit that runs now.
    pub(crate) syncing: Option<Mark>,
    /// A sync failed: nothing more becomes durable.
    pub(crate) sync_failed: bool,
    /// With write caching: up to here readers wait for the sync all the same (`flush.messages`).
    pub(crate) sync_wanted: Offset,
    pub(crate) epochs: LeaderEpochs,
    /// Segments with bytes that no window covers yet.
    pub(crate) unsynced_files: Vec<Arc<SegmentFile>>,
    /// The log's folder, open, if files were made whose names no window covers yet.
    pub(crate) unsynced_names: Option<Arc<dyn DiskDirectory>>,
    /// What the running window covers.
    pub(crate) syncing_files: Vec<Arc<SegmentFile>>,
    pub(crate) syncing_names: Option<Arc<dyn DiskDirectory>>,
    pub(crate) transactions: Transactions,
    /// How often cleaning replaced segments.
    pub(crate) generation: u32,
}

impl View {
    pub(crate) fn last_stable(&self) -> Mark {
        match self.transactions.first_undecided() {
            Some(first)
                if first.offset < self.high_watermark.offset
                    && !is_planted(Bug::UndecidedServed) =>
            {
                first
            }
            _ => self.high_watermark,
        }
    }

    pub(crate) fn offsets(&self, leader_epoch: LeaderEpoch) -> LogOffsets {
        LogOffsets {
            log_start: self.log_start,
            high_watermark: self.high_watermark.offset,
            last_stable: self.last_stable().offset.max(self.log_start),
            log_end: self.log_end.offset,
            leader_epoch,
        }
    }

    /// The index of the segment that holds `offset`: the last one that begins at or before it.
    pub(crate) fn segment_of(&self, offset: Offset) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.base() <= offset)
            .checked_sub(1)
    }

    /// Moves the high watermark as far as the class of the topic allows. Returns the bytes that became visible.
    pub(crate) fn advance_high_watermark(&mut self, write_caching: bool) -> u64 {
        let runs_ahead = is_planted(Bug::HighWatermarkAboveCommit);
        let reached = if runs_ahead || write_caching && self.durable.offset >= self.sync_wanted {
            self.log_end
        } else {
            self.durable
        };
        if reached.offset <= self.high_watermark.offset {
            return 0;
        }
        let bytes = reached.total - self.high_watermark.total;
        self.high_watermark = reached;
        self.transactions.settle(reached.offset);
        bytes
    }
}

/// What appends need.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) producers: Producers,
    /// Producers whose coordinators are being asked.
    pub(crate) verifications: Verifications,
    /// When producers were last looked through for expiry.
    pub(crate) producers_swept_ms: i64,
    /// Bytes reserved in the file of the last segment.
    pub(crate) reserved: u64,
    /// Something may lie behind the end of the last segment; it is cut off before the next write.
    pub(crate) untrimmed: bool,
    /// This process has looked whether the last segment's file holds all that the checkpoint says.
    pub(crate) tail_checked: bool,
    /// Records since the last one that asked for a sync, with write caching.
    pub(crate) unflushed: u64,
}

/// One partition's log on a local disk.
#[derive(Debug)]
pub struct LocalLog {
    pub(crate) shared: Arc<Shared>,
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) settings: RwLock<Arc<LogSettings>>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) view: Mutex<View>,
    pub(crate) waiters: CommitWaiters,
    /// By the subscriber's address and token.
    subscribers: Mutex<BTreeMap<(usize, u64), Weak<dyn VisibleSubscriber>>>,
    /// Waits in the queue of the commit thread.
    queued: AtomicBool,
    /// A sync for `flush.ms` is planned.
    pub(crate) flush_scheduled: AtomicBool,
    /// Retention gave up a segment and could not write down where the log begins since.
    pub(crate) is_log_start_unnoted: AtomicBool,
    /// Why the files could not be read at opening.
    pub(crate) unreadable: Option<Arc<io::Error>>,
    pub(crate) cleaning: Cleaning,
    this: Weak<LocalLog>,
}

/// What opening found out about a log.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Mark,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
    /// Length of the last segment's file.
    pub(crate) reserved: u64,
    /// Something may lie behind the end of the last segment.
    pub(crate) untrimmed: bool,
    /// How often cleaning replaced segments.
    pub(crate) generation: u32,
    /// While reading: no transaction that began below is open.
    pub(crate) decided: Offset,
    /// While reading: cleaning may have left gaps between segments.
    pub(crate) has_gaps: bool,
    /// While reading: the file that says where the log begins is damaged.
    pub(crate) is_start_unknown: bool,
    /// While reading: the segment before was corrupt to its end, so the next one need not follow.
    pub(crate) after_corrupt: bool,
}

impl LocalLog {
    pub(crate) fn new(
        shared: Arc<Shared>,
        partition: TopicPartition,
        topic_id: TopicId,
        settings: LogSettings,
        recovered: Recovered,
        unreadable: Option<Arc<io::Error>>,
    ) -> Arc<Self> {
        let end = recovered.log_end;
        let status = match unreadable {
            None => Status::Online,
            Some(_) => {
                shared.metrics.offline_logs.add(1);
                Status::Offline
            }
        };
        let view = View {
            status,
            segments: recovered.segments,
            log_start: recovered.log_start,
            log_end: end,
            // Opening made all of it durable, so all of it is committed.
            high_watermark: end,
            durable: end,
            syncing: None,
            sync_failed: false,
            sync_wanted: Offset::ZERO,
            epochs: recovered.epochs,
            unsynced_files: Vec::new(),
            unsynced_names: None,
            syncing_files: Vec::new(),
            syncing_names: None,
            transactions: recovered.transactions,
            generation: recovered.generation,
        };
        let writer = Writer {
            producers: recovered.producers,
            verifications: Verifications::default(),
            producers_swept_ms: shared.env.clock.wall().ms(),
            reserved: recovered.reserved,
            untrimmed: recovered.untrimmed,
            tail_checked: false,
            unflushed: 0,
        };
        Arc::new_cyclic(|this| Self {
            shared,
            partition,
            topic_id,
            settings: RwLock::new(Arc::new(settings)),
            writer: Mutex::new(writer),
            view: Mutex::new(view),
            waiters: CommitWaiters::from_visible(end.offset),
            subscribers: Mutex::default(),
            queued: AtomicBool::new(false),
            flush_scheduled: AtomicBool::new(false),
            is_log_start_unnoted: AtomicBool::new(false),
            unreadable,
            cleaning: Cleaning::new(),
            this: this.clone(),
        })
    }

    /// Which partition this is.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Which life of the topic this is.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The settings that hold now.
    pub fn settings(&self) -> Arc<LogSettings> {
        Arc::clone(&self.settings.read())
    }

    /// Changes the settings; they hold from the next operation.
    pub fn configure(&self, settings: LogSettings) {
        *self.settings.write() = Arc::new(settings);
        // Write caching may have been turned on: what waits for a sync is visible now.
        let write_caching = self.settings().write_caching;
        let (bytes, end) = {
            let mut view = self.view.lock();
            if !matches!(view.status, Status::Online) {
                return;
            }
            let bytes = view.advance_high_watermark(write_caching);
            (bytes, view.high_watermark.offset)
        };
        self.publish(bytes, end);
    }

    /// The folder of this partition.
    pub(crate) fn folder(&self) -> PathBuf {
        self.shared.log_folder(&self.partition)
    }

    pub(crate) fn file(&self, segment: &Arc<Segment>) -> io::Result<Arc<SegmentFile>> {
        self.shared
            .files
            .get(&*self.shared.env.disk, || self.folder(), segment)
    }

    pub(crate) fn arc(&self) -> Arc<Self> {
        self.this
            .upgrade()
            .expect("a method runs on a log that somebody holds")
    }

    /// Queues the log for the next commit unless it waits there already.
    pub(crate) fn submit(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.shared.submit(self.arc());
        }
    }

    /// Tells those who wait for offsets up to `end`, and subscribers if `bytes` became visible.
    pub(crate) fn publish(&self, bytes: u64, end: Offset) {
        if bytes > 0 {
            self.waiters.reached(end);
            self.notify(bytes);
        }
    }

    /// Whether somebody waits for records, as far as that is known.
    pub(crate) fn has_subscribers(&self) -> bool {
        !self.subscribers.lock().is_empty()
    }

    /// Tells all subscribers. Called under no lock.
    pub(crate) fn notify(&self, bytes: u64) {
        let mut called = Vec::new();
        // Those that were dropped without unsubscribing go now.
        self.subscribers
            .lock()
            .retain(|(_, token), subscriber| match subscriber.upgrade() {
                Some(subscriber) => {
                    called.push((subscriber, *token));
                    true
                }
                None => false,
            });
        for (subscriber, token) in called {
            subscriber.visible(token, bytes);
        }
    }

    /// Takes the log offline: the first cause stays.
    pub(crate) fn go_offline(&self, failure: CommitFailed) {
        {
            let mut view = self.view.lock();
            if matches!(view.status, Status::Offline | Status::Deleted) {
                return;
            }
            view.status = Status::Offline;
        }
        self.shared.metrics.offline_logs.add(1);
        self.waiters.failed(failure);
        self.notify(0);
    }

    /// Marks the log deleted; its files are the caller's business.
    pub(crate) fn mark_deleted(&self) {
        self.view.lock().status = Status::Deleted;
        self.notify(0);
    }
}

impl PartitionLog for LocalLog {
    fn append(&self, batches: Bytes, context: AppendContext) -> Result<AppendTicket, AppendError> {
        self.append_batches(batches, context)
    }

    fn begin_verification(
        &self,
        batch: FirstBatch,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.verify_first(batch)
    }

    fn check_coordinator(
        &self,
        intent: CoordinatorIntent,
        context: &AppendContext,
    ) -> Result<(), AppendError> {
        self.check_intent(intent, context)
    }

    fn producers(&self) -> Vec<ActiveProducer> {
        self.writer.lock().producers.describe()
    }

    fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        let plan = self.plan_read(from, max_bytes, isolation, at_least_one);
        if let Err(ReadError::Corrupt { .. } | ReadError::Lost { .. }) = plan {
            self.shared.metrics.corrupt_reads.add(1);
        }
        plan
    }

    fn is_ready(&self, from: Offset, max_bytes: usize) -> bool {
        self.is_read_ready(from, max_bytes)
    }

    fn offsets(&self) -> LogOffsets {
        self.view.lock().offsets(self.shared.leader_epoch)
    }

    fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let found = self.find_timestamp(query, isolation);
        if let Err(ReadError::Corrupt { .. }) = found {
            self.shared.metrics.corrupt_reads.add(1);
        }
        found
    }

    fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let view = self.view.lock();
        view.epochs
            .end_of(epoch, self.shared.leader_epoch, view.log_end.offset)
    }

    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.view.lock().epochs.at(offset)
    }

    fn delete_records(&self, before: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        self.delete_records_before(before)
    }

    fn subscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64) {
        let key = (address_of(subscriber), token);
        self.subscribers
            .lock()
            .insert(key, Arc::downgrade(subscriber));
    }

    fn unsubscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64) {
        self.subscribers
            .lock()
            .remove(&(address_of(subscriber), token));
    }

    fn size_bytes(&self) -> u64 {
        let view = self.view.lock();
        view.segments
            .iter()
            .map(|segment| u64::from(segment.size()))
            .sum()
    }

    fn segments(&self) -> Vec<LogSegment> {
        let (segments, active) = {
            let view = self.view.lock();
            let end = view.log_end.offset;
            // The one that is appended to is what it is at this end, and no longer when the lock is given back.
            let active = view.segments.last().map(|last| last.describe(end));
            (view.segments.clone(), active)
        };
        // All others end where the next one begins.
        let ends = segments.iter().skip(1).map(|next| next.base());
        let closed = segments.iter().zip(ends);
        let closed = closed.map(|(segment, end)| segment.describe(end));
        let active = active.map(|active| LogSegment {
            is_active: true,
            ..active
        });
        closed.chain(active).collect()
    }

    fn is_offline(&self) -> bool {
        self.view.lock().status == Status::Offline
    }
}

/// Tells subscribers apart; a subscriber that is subscribed lives, so that no other has its address.
fn address_of(subscriber: &Arc<dyn VisibleSubscriber>) -> usize {
    Arc::as_ptr(subscriber).cast::<()>() as usize
}

impl SyncTarget for LocalLog {
    fn appended(&self) -> Offset {
        // Before looking: an append that comes later queues the log again.
        self.queued.store(false, Ordering::Release);
        let mut view = self.view.lock();
        let view = &mut *view;
        assert!(view.syncing.is_none(), "one window at a time");
        view.syncing = Some(view.log_end);
        view.syncing_files = std::mem::take(&mut view.unsynced_files);
        view.syncing_names = std::mem::take(&mut view.unsynced_names);
        view.log_end.offset
    }

    fn sync(&self) -> Result<(), CommitFailed> {
        let (files, names) = {
            let view = self.view.lock();
            if view.sync_failed {
                // What was appended while that sync ran asked for another one, which would say nothing of what was lost.
                return Ok(());
            }
            (view.syncing_files.clone(), view.syncing_names.clone())
        };
        match self.sync_files(&files, names) {
            Ok(()) => Ok(()),
            // Its folder moved away meanwhile: nobody relies on its names any more, and others of the round must not
            // suffer for it.
            Err(_) if self.view.lock().status == Status::Deleted => Ok(()),
            Err(error) => Err(CommitFailed {
                cause: Arc::new(error),
            }),
        }
    }

    fn committed(&self, end: Offset) {
        let write_caching = self.settings().write_caching;
        let (bytes, visible_end) = {
            let mut view = self.view.lock();
            let mut window = view.syncing.take().expect("a window is open");
            assert_eq!(window.offset, end, "the window that was begun is committed");
            assert!(end >= view.durable.offset, "commits go forward");
            if is_planted(Bug::WindowTooLong) {
                window = view.log_end;
            }
            view.syncing_files.clear();
            view.syncing_names = None;
            if view.sync_failed {
                return;
            }
            view.durable = window;
            (
                view.advance_high_watermark(write_caching),
                view.high_watermark.offset,
            )
        };
        self.publish(bytes, visible_end);
        self.shared.durable_changed();
    }

    fn failed(&self, failure: CommitFailed) {
        {
            let mut view = self.view.lock();
            view.syncing = None;
            view.syncing_files.clear();
            view.sync_failed = true;
        }
        self.go_offline(failure.clone());
        // Also those of a deleted log.
        self.waiters.failed(failure);
        self.shared.durable_changed();
    }
}

impl LocalLog {
    fn sync_files(
        &self,
        files: &[Arc<SegmentFile>],
        names: Option<Arc<dyn DiskDirectory>>,
    ) -> io::Result<()> {
        for file in files {
            self.shared.metrics.file_syncs.add(1);
            file.disk_file().sync_data()?;
        }
        if let Some(names) = names
            && !is_planted(Bug::NamesNotSynced)
        {
            // The folder's own name is in the folder of all logs.
            self.shared.metrics.directory_syncs.add(2);
            names.sync()?;
            self.shared.sync_logs_names()?;
        }
        Ok(())
    }
}

impl LocalLog {
    /// Syncs what write caching left to the page cache, because `flush.ms` has passed.
    pub(crate) fn flush_due(&self) {
        // Before looking: an append that comes later plans the next one.
        self.flush_scheduled.store(false, Ordering::Release);
        let behind = {
            let view = self.view.lock();
            matches!(view.status, Status::Online) && view.durable.offset < view.log_end.offset
        };
        if behind {
            self.submit();
        }
    }

    /// Ends the log for this process: later appends are refused, and the file is trimmed to what was appended.
    pub(crate) fn close(&self) {
        if let Err(error) = self.lock_segments() {
            tracing::warn!(partition = %self.partition, %error, "a cleaned segment is put in place at the next start");
        }
        let writer = self.writer.lock();
        let tail = {
            let mut view = self.view.lock();
            if !matches!(view.status, Status::Online) {
                return;
            }
            view.status = Status::Closed;
            view.segments.last().cloned()
        };
        if let Some(tail) = tail
            && let Err(error) = self.leave_segment(&writer, &tail)
        {
            tracing::warn!(partition = %self.partition, %error, "could not trim the last segment");
        }
    }
}
