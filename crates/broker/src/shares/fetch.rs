//! ShareFetch: reading records and handing them out (`DelayedShareFetch.java`, `ShareFetchUtils.java`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordinator::share_partition::{
    AbortedTransaction, AcquireMode, AcquireRequest, AcquiredRecords, FetchedBatch,
};
use protocol::ErrorCode;
use protocol::records::{BatchIterator, BatchView, ControlRecordType};
use storage::{Isolation, PartitionLog, ReadError, ReadPlan};
use types::{GroupId, Instant, MemberId, Offset, ProducerId};

use super::partition::{Begun, FetchGuard, LivePartition};
use super::wait::Subscriptions;
use super::{OpenSession, Shares, TopicKey};
use crate::coordinators::in_memory;
use crate::handlers::{blocking, errors};

/// The most a batch with a transaction marker may unpack to.
const MARKER_BYTES_MAX: usize = 1024;
/// How often a fetch follows a log start that moves away under it, before it lets the client ask again.
const FOLLOWS_MAX: u32 = 3;

/// What a member wants to read.
#[derive(Clone, Debug)]
pub(crate) struct ShareFetch {
    pub(crate) group: GroupId,
    pub(crate) member: MemberId,
    /// When it ends, the member is handed nothing more.
    pub(crate) session: OpenSession,
    /// In the order in which they are read.
    pub(crate) partitions: Vec<TopicKey>,
    pub(crate) deadline: Instant,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_records: i64,
    pub(crate) batch_size: i64,
    pub(crate) mode: AcquireMode,
}

/// What a partition has for the member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fetched {
    /// Whole batches, of which these records are the member's.
    Records(Bytes, Vec<AcquiredRecords>),
    /// Nothing now.
    Nothing,
    /// An error.
    Failed(ErrorCode),
}

/// What the group's settings say about reading.
#[derive(Clone, Copy, Debug)]
struct Reading {
    isolation: Isolation,
    lock_duration: Duration,
}

/// A partition that is read, and from where.
struct Read {
    key: TopicKey,
    from: i64,
    guard: FetchGuard,
    result: Result<(ReadPlan, Bytes), ErrorCode>,
    /// The log begins behind where it was read.
    is_behind: bool,
}

/// What the partitions of an attempt come to so far.
struct HandedOut {
    /// How many records may still be handed out.
    records_left: i64,
    /// How many were archived instead.
    archived: i64,
}

impl Shares {
    /// Reads and hands out records; waits while there are none.
    pub(crate) async fn fetch(self: &Arc<Self>, fetch: ShareFetch) -> Vec<(TopicKey, Fetched)> {
        let mut answers = Vec::new();
        let mut targets = Vec::new();
        for key in &fetch.partitions {
            match self.partition(&fetch.group, *key) {
                Ok(partition) => targets.push((*key, partition)),
                Err(code) => answers.push((*key, Fetched::Failed(code))),
            }
        }
        if targets.is_empty() || fetch.max_records <= 0 || fetch.max_bytes == 0 {
            return answers;
        }
        let subscriptions = Subscriptions::new(targets.iter().map(|(_, partition)| partition));
        let reading = self.reading(&fetch.group);
        let clock = &self.topics.env.clock;
        let mut follows = 0;
        loop {
            let is_last = clock.now() >= fetch.deadline;
            let attempt = self.attempt(&fetch, reading, &targets, is_last).await;
            match attempt {
                Attempt::Done(mut fetched) => {
                    answers.append(&mut fetched);
                    for (_, partition) in &targets {
                        // Another member may have waited for this one to be done.
                        partition.wake();
                    }
                    return answers;
                }
                Attempt::LogStartMoved if follows < FOLLOWS_MAX => {
                    follows += 1;
                    continue;
                }
                Attempt::Archived => {
                    // Each time behind what was archived, and not after the deadline.
                    tokio::task::yield_now().await;
                    continue;
                }
                Attempt::LogStartMoved | Attempt::TooLittle => {}
            }
            if is_last {
                return answers;
            }
            tokio::select! {
                biased;
                _rang = subscriptions.waiter.wait(&self.topics.env, fetch.deadline) => {}
                () = fetch.session.ended.cancelled() => {}
            }
            if fetch.session.has_ended() {
                // Before its partitions, which may go with it.
                return answers;
            }
        }
    }

    fn reading(&self, group: &GroupId) -> Reading {
        let settings = self.topics.image().group_settings(group.as_str());
        Reading {
            isolation: match settings.share_isolation_level.as_str() {
                "read_committed" => Isolation::ReadCommitted,
                _ => Isolation::ReadUncommitted,
            },
            lock_duration: milliseconds(settings.share_record_lock_duration_ms),
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        fetch: &ShareFetch,
        reading: Reading,
        targets: &[(TopicKey, Arc<LivePartition>)],
        is_last: bool,
    ) -> Attempt {
        let mut answers = Vec::new();
        let mut not_loaded = Vec::new();
        let mut begun = Vec::new();
        for (key, partition) in targets {
            match partition.begin_fetch() {
                Begun::At(from, guard) => begun.push((*key, from, guard)),
                Begun::Wait => {}
                Begun::NotLoaded(code) => not_loaded.push((*key, Fetched::Failed(code))),
                Begun::Failed(code) => answers.push((*key, Fetched::Failed(code))),
            }
        }
        begun.retain(|(_, from, guard)| may_have_records(&*guard.partition.log, *from, reading));
        let reads = self.read(begun, fetch.max_bytes, reading.isolation).await;
        let total: usize = reads.iter().map(Read::length).sum();
        let has_error = !answers.is_empty() || reads.iter().any(|read| read.result.is_err());
        if total < fetch.min_bytes && !is_last && !has_error {
            return match reads.iter().any(|read| read.is_behind) {
                true => Attempt::LogStartMoved,
                false => Attempt::TooLittle,
            };
        }
        let mut handed_out = HandedOut {
            records_left: fetch.max_records,
            archived: 0,
        };
        let mut has_any = false;
        for read in reads {
            let fetched = self.hand_out(fetch, reading, &read, &mut handed_out);
            has_any |= matches!(fetched, Fetched::Records(..));
            answers.push((read.key, fetched));
        }
        if has_any || has_error || is_last || fetch.min_bytes == 0 {
            answers.append(&mut not_loaded);
            Attempt::Done(answers)
        } else if handed_out.archived > 0 {
            Attempt::Archived
        } else {
            Attempt::TooLittle
        }
    }

    /// Reads from all of them; away from the tasks if that has to wait for the disk.
    async fn read(
        &self,
        begun: Vec<(TopicKey, i64, FetchGuard)>,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Vec<Read> {
        if begun.is_empty() {
            return Vec::new();
        }
        // Every partition the same (`PartitionMaxBytesStrategy.UNIFORM`).
        let share = (max_bytes / begun.len()).max(1);
        let is_ready = begun.iter().all(|(_, from, guard)| {
            Offset::new(*from).is_none_or(|from| guard.partition.log.is_ready(from, share))
        });
        let work = move || {
            let mut has_any = false;
            let read = |(key, from, guard): (TopicKey, i64, FetchGuard)| {
                let read = read_one(key, from, guard, share, isolation, !has_any);
                has_any |= read.length() > 0;
                read
            };
            begun.into_iter().map(read).collect()
        };
        if is_ready {
            work()
        } else {
            blocking::run(&self.topics.env, work).await
        }
    }

    fn hand_out(
        &self,
        fetch: &ShareFetch,
        reading: Reading,
        read: &Read,
        so_far: &mut HandedOut,
    ) -> Fetched {
        let (plan, bytes) = match &read.result {
            Ok(found) => found,
            Err(code) => return Fetched::Failed(*code),
        };
        let batches = match batches_of(bytes) {
            Ok(batches) => batches,
            Err(code) => return Fetched::Failed(code),
        };
        let aborted = plan.aborted.iter();
        let aborted: Vec<_> = aborted
            .map(|(producer, first)| AbortedTransaction {
                producer: *producer,
                first_offset: first.value(),
            })
            .collect();
        let headers: Vec<_> = batches.iter().map(|(batch, _)| *batch).collect();
        let request = AcquireRequest {
            member: &fetch.member,
            mode: fetch.mode,
            batch_size: fetch.batch_size,
            records_max: so_far.records_left,
            fetch_offset: read.from,
            lock_duration: reading.lock_duration,
        };
        let now = self.topics.env.clock.now();
        let mut inner = read.guard.partition.lock();
        let Some(machine) = inner.machine() else {
            return Fetched::Failed(ErrorCode::NotLeaderOrFollower);
        };
        if fetch.session.has_ended() {
            // What its member had is released under this lock after the end: nobody would release more.
            return Fetched::Nothing;
        }
        let acquired = machine.acquire(now, &request, &headers, &aborted);
        if let Some(deadline) = machine.next_deadline() {
            self.wakeup.wake_at(deadline);
        }
        drop(inner);
        so_far.records_left -= acquired.count;
        so_far.archived += acquired.archived;
        let (Some(first), Some(last)) = (acquired.ranges.first(), acquired.ranges.last()) else {
            return Fetched::Nothing;
        };
        Fetched::Records(
            slice(bytes, &batches, first.first, last.last),
            acquired.ranges,
        )
    }
}

/// What came of an attempt.
enum Attempt {
    Done(Vec<(TopicKey, Fetched)>),
    TooLittle,
    /// What was read is archived, because nobody may have it: there may be more behind it.
    Archived,
    /// Records were deleted from under a partition: reading again finds the new start.
    LogStartMoved,
}

impl Read {
    fn length(&self) -> usize {
        self.result.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }
}

/// Whether there may be something to read, told without reading. What lies before the log is for the read to find.
fn may_have_records(log: &dyn PartitionLog, from: i64, reading: Reading) -> bool {
    let offsets = log.offsets();
    let bound = match reading.isolation {
        Isolation::ReadUncommitted => offsets.high_watermark,
        Isolation::ReadCommitted => offsets.last_stable,
    };
    from < bound.value()
}

fn read_one(
    key: TopicKey,
    from: i64,
    guard: FetchGuard,
    max_bytes: usize,
    isolation: Isolation,
    at_least_one: bool,
) -> Read {
    let log = &guard.partition.log;
    let from_offset = Offset::new(from).unwrap_or(Offset::ZERO);
    let mut is_behind = false;
    let result = match log.read(from_offset, max_bytes, isolation, at_least_one) {
        Ok(plan) => in_memory(plan.clone())
            .map(|bytes| (plan, bytes))
            .map_err(|error| {
                tracing::error!(%error, partition = %guard.partition.key, "could not read for a share fetch");
                ErrorCode::KafkaStorageError
            }),
        Err(ReadError::OffsetOutOfRange { log_start, .. }) => {
            is_behind = true;
            if let Some(machine) = guard.partition.lock().machine() {
                machine.log_start_moved(log_start.value());
            }
            Ok((ReadPlan::default(), Bytes::new()))
        }
        Err(error) => {
            tracing::error!(%error, partition = %guard.partition.key, "could not read for a share fetch");
            Err(errors::read(&error))
        }
    };
    Read {
        key,
        from,
        guard,
        result,
        is_behind,
    }
}

/// The headers of whole batches, each with where it ends.
fn batches_of(bytes: &Bytes) -> Result<Vec<(FetchedBatch, usize)>, ErrorCode> {
    let mut batches = Vec::new();
    let mut end = 0;
    for batch in BatchIterator::new(bytes) {
        let Ok(batch) = batch else {
            return Err(ErrorCode::CorruptMessage);
        };
        end += batch.total_size();
        batches.push((
            FetchedBatch {
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset(),
                producer: ProducerId::new(batch.producer_id()),
                transactional: batch.is_transactional(),
                abort_marker: is_abort_marker(&batch),
            },
            end,
        ));
    }
    Ok(batches)
}

fn is_abort_marker(batch: &BatchView<'_>) -> bool {
    if !batch.is_control() {
        return false;
    }
    let Ok(payload) = batch.payload(MARKER_BYTES_MAX) else {
        return false;
    };
    let first = batch.records(&payload).next();
    let key = first.and_then(Result::ok).and_then(|record| record.key);
    key.and_then(|key| Some(i16::from_be_bytes([*key.get(2)?, *key.get(3)?])))
        == Some(ControlRecordType::Abort.id())
}

/// The batches that hold offsets between the two, both inclusive.
fn slice(bytes: &Bytes, batches: &[(FetchedBatch, usize)], first: i64, last: i64) -> Bytes {
    let starts = std::iter::once(0).chain(batches.iter().map(|(_, end)| *end));
    let spans = batches.iter().zip(starts);
    let mut needed =
        spans.filter(|((batch, _), _)| batch.last_offset >= first && batch.base_offset <= last);
    let Some(((_, first_end), start)) = needed.next() else {
        return Bytes::new();
    };
    let end = needed.last().map_or(*first_end, |((_, end), _)| *end);
    bytes.slice(start..end)
}

pub(super) fn milliseconds(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
