//! What must hold at every moment, checked with every answer of the broker. Each failed check names what was promised.
//!
//! What an answer must go beyond is taken when its request is sent ([`Model::bound`]): what was told to others meanwhile
//! says nothing of it. A topic with write caching promises less: a loss of power ends all that was told of it, and begins
//! a new era.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::commits::Commits;
use crate::plan::{Partition, TopicKind};
use crate::scheduler::Scheduler;

/// What was ever told of a partition.
#[derive(Clone, Debug, Default)]
struct Seen {
    high_watermark: i64,
    /// The end of what was acknowledged as durable.
    acknowledged: i64,
    /// Where the log begins at least: records below were deleted, and that was acknowledged.
    trimmed: i64,
    /// The highest end up to which anybody wanted records to be deleted.
    trim_wanted: i64,
    /// Where the log began, and the broker's process that said so.
    log_start: (u32, i64),
    /// What was fetched, by offset. Nothing may ever be there but this.
    contents: BTreeMap<i64, u64>,
    /// Acknowledged records that must be there unless they were deleted.
    kept: BTreeMap<i64, u64>,
    /// What was sent, where damage may take the rest.
    sent: BTreeSet<u64>,
}

/// What an answer may rely on, from when its request was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bound {
    acknowledged: i64,
    high_watermark: i64,
    trimmed: i64,
    log_start: (u32, i64),
    era: u32,
}

/// A batch that was fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchedBatch {
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) leader_epoch: i32,
}

/// What an answer to a fetch says of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchAnswer<'a> {
    pub(crate) position: i64,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable: i64,
    pub(crate) log_start: i64,
    pub(crate) batches: &'a [FetchedBatch],
    /// Offsets and values of all records in them, also of those that readers leave out.
    pub(crate) records: &'a [(i64, u64)],
    pub(crate) reads_committed: bool,
    /// The broker's process.
    pub(crate) process: u32,
}

/// What the broker ever told, and the checks.
#[derive(Debug)]
pub(crate) struct Model {
    scheduler: Arc<Scheduler>,
    seen: Mutex<BTreeMap<String, Seen>>,
    /// Losses of power so far.
    era: Mutex<u32>,
    pub(crate) commits: Commits,
    /// By transactional id the latest producer epoch that was granted.
    epochs: Mutex<BTreeMap<String, (i64, i16)>>,
    /// By group the latest generation that was told.
    generations: Mutex<BTreeMap<String, i32>>,
}

impl Model {
    pub(crate) fn new(scheduler: Arc<Scheduler>) -> Self {
        Self {
            commits: Commits::new(Arc::clone(&scheduler)),
            scheduler,
            seen: Mutex::default(),
            era: Mutex::default(),
            epochs: Mutex::default(),
            generations: Mutex::default(),
        }
    }

    pub(crate) fn fail(&self, why: impl FnOnce() -> String) {
        self.scheduler.fail(why);
    }

    pub(crate) fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(why);
        }
    }

    fn is_over(&self, partition: &Partition, bound: Bound) -> bool {
        partition.kind == TopicKind::Cached && bound.era != *self.era.lock()
    }

    /// The power was lost: of topics with write caching nobody knows anything any more.
    pub(crate) fn power_lost(&self, partitions: &[Partition]) {
        *self.era.lock() += 1;
        let mut seen = self.seen.lock();
        for partition in partitions {
            if partition.kind == TopicKind::Cached {
                seen.remove(&partition.key());
            }
        }
    }

    /// What an answer to a request that is sent now must go beyond.
    pub(crate) fn bound(&self, partition: &Partition) -> Bound {
        let era = *self.era.lock();
        let seen = self.seen.lock();
        let bound = |seen: &Seen| Bound {
            acknowledged: seen.acknowledged,
            high_watermark: seen.high_watermark,
            trimmed: seen.trimmed,
            log_start: seen.log_start,
            era,
        };
        let unseen = Bound {
            era,
            ..Bound::default()
        };
        seen.get(&partition.key()).map_or(unseen, bound)
    }

    /// Records are sent to a partition.
    pub(crate) fn sent(&self, partition: &Partition, values: &[u64]) {
        if partition.kind == TopicKind::Damaged {
            let mut seen = self.seen.lock();
            let seen = seen.entry(partition.key()).or_default();
            seen.sent.extend(values);
        }
    }

    /// Records were acknowledged as durable: all up to them are committed.
    pub(crate) fn acknowledged(
        &self,
        partition: &Partition,
        bound: Bound,
        base: i64,
        values: &[u64],
    ) {
        if self.is_over(partition, bound) || partition.kind == TopicKind::Damaged {
            return;
        }
        {
            let mut seen = self.seen.lock();
            let seen = seen.entry(partition.key()).or_default();
            let end = base + i64::try_from(values.len()).unwrap_or(0);
            seen.acknowledged = seen.acknowledged.max(end);
        }
        self.stored(partition, bound, base, values);
    }

    /// Records were acknowledged, and nothing of what may happen in this run takes them away again.
    pub(crate) fn stored(&self, partition: &Partition, bound: Bound, base: i64, values: &[u64]) {
        if self.is_over(partition, bound) || partition.kind == TopicKind::Damaged {
            return;
        }
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        if !partition.kind.is_kept() {
            seen.kept.extend((base..).zip(values.iter().copied()));
        }
        for (offset, value) in (base..).zip(values) {
            let found = seen.contents.get(&offset).copied();
            self.check(found.is_none_or(|found| found == *value), || {
                format!("{partition}: value {value} was acknowledged at offset {offset}, where {found:?} was read")
            });
        }
    }

    /// Somebody wants records below `end` deleted.
    pub(crate) fn trim_wanted(&self, partition: &Partition, end: i64) {
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        seen.trim_wanted = seen.trim_wanted.max(end);
    }

    /// The high watermark, as far as anybody knows.
    pub(crate) fn known_end(&self, partition: &Partition) -> i64 {
        let bound = self.bound(partition);
        bound.high_watermark.max(bound.acknowledged)
    }

    /// Records below `end` are deleted, and that was acknowledged.
    pub(crate) fn trimmed(&self, partition: &Partition, end: i64) {
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        seen.trimmed = seen.trimmed.max(end);
        seen.trim_wanted = seen.trim_wanted.max(end);
    }

    /// An answer to a fetch.
    pub(crate) fn fetched(&self, partition: &Partition, bound: Bound, answer: FetchAnswer<'_>) {
        if self.is_over(partition, bound) {
            return;
        }
        if partition.kind == TopicKind::Damaged {
            self.check_sent(partition, answer.records);
            return;
        }
        self.check_contents(partition, answer.records);
        let FetchAnswer {
            high_watermark,
            last_stable,
            reads_committed,
            ..
        } = answer;
        self.check(high_watermark >= bound.high_watermark, || {
            format!(
                "{partition}: the high watermark went back from {} to {high_watermark}",
                bound.high_watermark
            )
        });
        self.check(high_watermark >= bound.acknowledged, || {
            format!("{partition}: records up to {} were acknowledged, the high watermark is {high_watermark}", bound.acknowledged)
        });
        self.check(last_stable <= high_watermark, || {
            format!("{partition}: the last stable offset is {last_stable}, the high watermark {high_watermark}")
        });
        self.check_batches(partition, answer.batches);
        let limit = if reads_committed {
            last_stable
        } else {
            high_watermark
        };
        if let Some(last) = answer.batches.last() {
            self.check(last.end <= limit, || {
                format!(
                    "{partition}: records up to {} were served, the limit is {limit}",
                    last.end
                )
            });
        }
        self.check_start(partition, bound, answer);
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        seen.high_watermark = seen.high_watermark.max(high_watermark);
    }

    fn check_batches(&self, partition: &Partition, batches: &[FetchedBatch]) {
        for pair in batches.windows(2) {
            let [one, next] = pair else { continue };
            let follows = match partition.kind {
                TopicKind::Compacted => one.end <= next.base,
                _ => one.end == next.base,
            };
            self.check(follows, || {
                format!(
                    "{partition}: a batch ends at {}, the next one begins at {}",
                    one.end, next.base
                )
            });
            self.check(one.leader_epoch <= next.leader_epoch, || {
                format!(
                    "{partition}: the leader epoch goes back from {} to {} at {}",
                    one.leader_epoch, next.leader_epoch, next.base
                )
            });
        }
    }

    /// What is read was sent: damage may take records away, and never makes any.
    fn check_sent(&self, partition: &Partition, records: &[(i64, u64)]) {
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        for (offset, value) in records {
            self.check(seen.sent.contains(value), || {
                format!("{partition}: value {value} is read at offset {offset}, which nobody sent")
            });
        }
    }

    /// What is read at an offset is what was read there before.
    fn check_contents(&self, partition: &Partition, records: &[(i64, u64)]) {
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        for (offset, value) in records {
            let before = *seen.contents.entry(*offset).or_insert(*value);
            self.check(before == *value, || {
                format!("{partition}: value {value} is read at offset {offset}, where {before} was read before")
            });
            let acknowledged = seen.kept.get(offset).copied();
            self.check(
                acknowledged.is_none_or(|acknowledged| acknowledged == *value),
                || format!("{partition}: value {value} is read at offset {offset}, where {acknowledged:?} was acknowledged"),
            );
        }
    }

    fn check_start(&self, partition: &Partition, bound: Bound, answer: FetchAnswer<'_>) {
        let FetchAnswer {
            log_start,
            position,
            process,
            ..
        } = answer;
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.key()).or_default();
        let limit = match partition.kind {
            TopicKind::Trimmed => seen.trim_wanted,
            TopicKind::Retained => answer.high_watermark,
            _ => 0,
        };
        self.check(log_start <= limit, || {
            format!(
                "{partition}: nothing above {limit} was deleted, but the log starts at {log_start}"
            )
        });
        self.check(log_start >= bound.trimmed, || {
            format!(
                "{partition}: records below {} were deleted, but the log starts at {log_start}",
                bound.trimmed
            )
        });
        self.check(position >= bound.trimmed, || {
            format!(
                "{partition}: records below {} were deleted, but a fetch at {position} is answered",
                bound.trimmed
            )
        });
        let (before_process, before) = bound.log_start;
        self.check(log_start >= before || process != before_process, || {
            format!("{partition}: the log start went back from {before} to {log_start}")
        });
        if process > seen.log_start.0 {
            seen.log_start = (process, log_start);
        } else if process == seen.log_start.0 {
            seen.log_start.1 = seen.log_start.1.max(log_start);
        }
    }

    /// All that is left of a partition was read, from `start` on.
    pub(crate) fn read_whole(&self, partition: &Partition, start: i64, records: &[(i64, u64)]) {
        let seen = self.seen.lock();
        let Some(seen) = seen.get(&partition.key()) else {
            return;
        };
        if matches!(
            partition.kind,
            TopicKind::Damaged | TopicKind::Compacted | TopicKind::Transactional
        ) {
            return;
        }
        let found: BTreeMap<_, _> = records.iter().copied().collect();
        for (offset, value) in seen.kept.range(start..) {
            let there = found.get(offset);
            self.check(there == Some(value), || {
                format!("{partition}: value {value} was acknowledged at offset {offset}, where {there:?} is read; the log starts at {start}")
            });
        }
        let mut places = BTreeMap::new();
        for (offset, value) in records {
            let other = places.insert(*value, *offset);
            self.check(other.is_none(), || {
                format!("{partition}: value {value} is at the offsets {other:?} and {offset}")
            });
        }
    }

    /// A producer epoch was granted to a session with a transactional id.
    pub(crate) fn epoch_granted(&self, id: &str, producer: (i64, i16)) {
        let mut epochs = self.epochs.lock();
        let latest = epochs.entry(id.to_owned()).or_insert(producer);
        *latest = (*latest).max(producer);
    }

    /// The latest epoch that was granted before now.
    pub(crate) fn latest_epoch(&self, id: &str) -> Option<(i64, i16)> {
        self.epochs.lock().get(id).copied()
    }

    /// Something of a session was accepted, that was sent when `latest` had been granted.
    pub(crate) fn epoch_accepted(
        &self,
        id: &str,
        producer: (i64, i16),
        latest: Option<(i64, i16)>,
        what: &str,
    ) {
        let is_fenced =
            latest.is_some_and(|latest| latest.0 == producer.0 && latest.1 > producer.1);
        self.check(!is_fenced, || {
            format!(
                "{what} of {id} with epoch {producer:?} was accepted, though {latest:?} was granted before"
            )
        });
    }

    /// A generation of a group was told to a member, durably.
    pub(crate) fn generation_told(&self, group: &str, generation: i32) {
        let mut generations = self.generations.lock();
        let latest = generations.entry(group.to_owned()).or_default();
        *latest = (*latest).max(generation);
    }

    /// The latest generation that was told.
    pub(crate) fn latest_generation(&self, group: &str) -> i32 {
        let generations = self.generations.lock();
        generations.get(group).copied().unwrap_or_default()
    }
}
