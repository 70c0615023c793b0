//! Handing records out.
//!
//! Whole batches are handed out where that is possible, because they are cheap to track and to acknowledge; records
//! near their delivery limit are handed out alone, so that one bad record does not take its neighbours with it.

use std::time::Duration;

use types::{Instant, MemberId, ProducerId};

use super::aborted::AbortedTransaction;
use super::in_flight::{BatchStates, InFlightBatch, InFlightState};
use super::partition::SharePartition;
use super::record_state::RecordState;
use super::writes::floor_key;

/// Below this limit deliveries are never throttled (`MINIMUM_THROTTLE_RECORDS_DELIVERY_LIMIT`).
const THROTTLE_DELIVERY_COUNT_MIN: i32 = 2;

/// How strictly the largest number of records is meant (KIP-1206).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcquireMode {
    /// A batch is handed out whole, even if that is more than was asked for.
    #[default]
    BatchOptimized,
    /// Never more than was asked for.
    RecordLimit,
}

/// Who wants records, and how many.
#[derive(Clone, Debug)]
pub struct AcquireRequest<'a> {
    /// The member.
    pub member: &'a MemberId,
    /// How strictly `records_max` is meant.
    pub mode: AcquireMode,
    /// Preferred size of an acquired range.
    pub batch_size: i64,
    /// The most records.
    pub records_max: i64,
    /// The offset that was read at.
    pub fetch_offset: i64,
    /// How long the member may keep them.
    pub lock_duration: Duration,
}

/// What the log holds: one record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedBatch {
    /// Its first offset.
    pub base_offset: i64,
    /// Its last offset, inclusive.
    pub last_offset: i64,
    /// Who wrote it, if that is known.
    pub producer: Option<ProducerId>,
    /// Part of a transaction.
    pub transactional: bool,
    /// The marker that aborts a transaction.
    pub abort_marker: bool,
}

/// Records a member now has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquiredRecords {
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
    /// How often they were delivered, this time included.
    pub delivery_count: i16,
}

/// Everything that was handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acquired {
    /// Ascending.
    pub ranges: Vec<AcquiredRecords>,
    /// How many records; what the next partition may hand out is less by this.
    pub count: i64,
    /// How many records were archived instead: of aborted transactions, or no longer in the log. There may be more to
    /// read behind them.
    pub archived: i64,
}

/// The request and what was read, while it is worked on.
struct Acquisition<'a> {
    request: &'a AcquireRequest<'a>,
    fetched: &'a [FetchedBatch],
    lock: Instant,
    acquired: Acquired,
    /// The most records that may still become acquired in all.
    records_max: i64,
}

impl Acquisition<'_> {
    fn is_record_limit(&self) -> bool {
        self.request.mode == AcquireMode::RecordLimit
    }

    fn remaining(&self) -> i64 {
        self.records_max - self.acquired.count
    }

    fn is_full(&self) -> bool {
        self.acquired.count >= self.records_max
    }
}

impl SharePartition {
    /// Hands out records of `fetched`, which was read at `request.fetch_offset`; with `aborted`, records of these
    /// transactions are archived instead.
    pub fn acquire(
        &mut self,
        now: Instant,
        request: &AcquireRequest<'_>,
        fetched: &[FetchedBatch],
        aborted: &[AbortedTransaction],
    ) -> Acquired {
        let (Some(first), Some(last)) = (fetched.first(), fetched.last()) else {
            return Acquired::default();
        };
        if request.records_max <= 0 || last.last_offset < self.start_offset {
            return Acquired::default();
        }
        let (last_offset, records_max) = self.bounds(request, last.last_offset);
        if records_max <= 0 {
            return Acquired::default();
        }
        let mut acquisition = Acquisition {
            request,
            fetched,
            lock: now.plus(request.lock_duration),
            acquired: Acquired::default(),
            records_max,
        };
        let vanished = self.archive_vanished(request.fetch_offset, first.base_offset);
        self.acquire_between(&mut acquisition, first.base_offset, last_offset);
        let acquired = acquisition.acquired;
        let mut acquired = self.without_aborted(acquired, fetched, aborted);
        acquired.archived += vanished;
        if acquired.archived > 0 {
            // Nobody will acknowledge them: they must not be in the way of what comes behind.
            self.move_start_offset();
        }
        acquired
    }

    /// The last offset and the number of records that the limit of records in flight allows
    /// (`lastOffsetAndMaxRecordsToAcquire`).
    fn bounds(&self, request: &AcquireRequest<'_>, last_offset: i64) -> (i64, i64) {
        let room = self.limits.in_flight_max - self.in_flight();
        let records_max = request.records_max.min(room);
        if records_max > 0 || request.fetch_offset > self.end_offset {
            return (last_offset, records_max);
        }
        // No room, but records below the end are available again.
        let below_end = self.end_offset - request.fetch_offset + 1;
        (
            last_offset.min(self.end_offset),
            request.records_max.min(below_end),
        )
    }

    /// Records that were available and are no longer in the log: compaction took them (`maybeArchiveStaleBatches`).
    /// How many.
    fn archive_vanished(&mut self, fetch_offset: i64, base_offset: i64) -> i64 {
        if self.cached.is_empty() || fetch_offset >= base_offset {
            return 0;
        }
        let archived = self.archive(fetch_offset, base_offset, RecordState::Available);
        if archived > 0 {
            self.delivery_complete += archived;
            self.find_next_fetch_offset = true;
        }
        archived
    }

    fn acquire_between(&mut self, to: &mut Acquisition<'_>, fetched_base: i64, last_offset: i64) {
        let floor = floor_key(&self.cached, fetched_base);
        let floor_batch = floor.and_then(|first| self.cached.get(&first));
        let base_offset = match floor_batch {
            None => fetched_base.max(self.start_offset),
            Some(batch) if batch.last >= fetched_base => batch.first,
            Some(_) => fetched_base,
        };
        let from = fetched_base.min(base_offset);
        let overlapping: Vec<i64> = if from <= last_offset {
            let overlapping = self.cached.range(from..=last_offset);
            overlapping.map(|(first, _)| *first).collect()
        } else {
            Vec::new()
        };
        let Some(last_cached) = overlapping.last().and_then(|first| self.cached.get(first)) else {
            let records_max = to.records_max;
            self.acquire_new(to, base_offset, last_offset, records_max);
            return;
        };
        let behind_cached = last_cached.last + 1;
        self.acquire_cached(to, &overlapping, base_offset, (fetched_base, last_offset));
        if !to.is_full() && behind_cached <= last_offset {
            let remaining = to.remaining();
            self.acquire_new(to, behind_cached, last_offset, remaining);
        }
        if let Some(last) = to.acquired.ranges.last() {
            self.gap_seen_to(last.last + 1);
        }
    }

    /// Hands out what is available of batches that were handed out before.
    fn acquire_cached(
        &mut self,
        to: &mut Acquisition<'_>,
        overlapping: &[i64],
        base_offset: i64,
        wanted: (i64, i64),
    ) {
        let mut gap_first = base_offset;
        for &key in overlapping {
            if to.is_full() {
                break;
            }
            let Some(batch_last) = self.cached.get(&key).map(|batch| batch.last) else {
                continue;
            };
            if self.active_gap().is_some() {
                if gap_first < key {
                    let remaining = to.remaining();
                    self.acquire_new(to, gap_first, key - 1, remaining);
                }
                gap_first = batch_last + 1;
                if to.is_full() {
                    break;
                }
            }
            if !self.acquire_from(to, key, wanted) {
                // Records near their limit travel alone.
                to.records_max = 0;
                break;
            }
        }
    }

    /// Hands out what is available of one batch; false if nothing may be handed out with it or after it.
    fn acquire_from(&mut self, to: &mut Acquisition<'_>, key: i64, wanted: (i64, i64)) -> bool {
        let throttle_from = self.throttle_delivery_count();
        let delivery_count_max = self.limits.delivery_count_max;
        let Some(batch) = self.cached.get_mut(&key) else {
            return true;
        };
        let whole = batch.lies_within(wanted.0, wanted.1);
        let too_large = to.is_record_limit() && batch.len() > to.remaining();
        let throttled = is_throttled(batch, wanted, throttle_from);
        if throttled && to.acquired.count > 0 {
            return false;
        }
        if whole
            && !too_large
            && !throttled
            && let BatchStates::Whole(state) = &mut batch.states
        {
            if state.try_acquire(to.request.member, to.lock) {
                to.acquired.ranges.push(AcquiredRecords {
                    first: batch.first,
                    last: batch.last,
                    delivery_count: delivery_count(state),
                });
                to.acquired.count += batch.last - batch.first + 1;
                self.note_lock(to.lock);
            }
            return true;
        }
        // No reason to tell its records apart if none can be had.
        if batch
            .whole_state()
            .is_some_and(|state| !state.is_acquirable())
        {
            return true;
        }
        let acquired = acquire_offsets(to, batch, wanted, throttle_from, delivery_count_max);
        if acquired > 0 {
            self.note_lock(to.lock);
        }
        !(throttled && acquired > 0)
    }

    /// Hands out records that were never handed out, in ranges of about the batch size
    /// (`acquireNewBatchRecords`, `createBatches`).
    fn acquire_new(&mut self, to: &mut Acquisition<'_>, first: i64, last: i64, records_max: i64) {
        let first = if self.cached.is_empty() {
            first.max(self.end_offset)
        } else {
            first
        };
        if last < first || records_max <= 0 {
            return;
        }
        let mut last_tracked = last;
        if records_max < last - first + 1 {
            // Up to the end of the record batch: it is tracked whole.
            last_tracked = end_of_batch(to.fetched, first + records_max - 1);
            if self.active_gap().is_some() {
                last_tracked = last_tracked.min(last);
            }
        }
        let batch_size = if to.is_record_limit() {
            i64::MAX
        } else {
            to.request.batch_size.max(1)
        };
        for (first, last) in ranges(to.fetched, first, last_tracked, batch_size) {
            let state = InFlightState::acquired(to.request.member, to.lock);
            let batch = InFlightBatch::whole(first, last, state);
            self.cached.insert(first, batch);
            to.acquired.ranges.push(AcquiredRecords {
                first,
                last,
                delivery_count: 1,
            });
        }
        self.note_lock(to.lock);
        let mut last_acquired = last_tracked;
        if to.is_record_limit() && last_tracked - first + 1 > records_max {
            last_acquired = first + records_max - 1;
            self.keep_back(first, last_acquired);
            if let Some(range) = to.acquired.ranges.last_mut() {
                range.last = last_acquired;
            }
        }
        if self
            .cached
            .first_key_value()
            .is_some_and(|(key, _)| *key == first)
        {
            self.start_offset = first;
        }
        self.end_offset = self.end_offset.max(last_tracked);
        self.gap_seen_to(last_acquired + 1);
        to.acquired.count += last_acquired - first + 1;
    }

    /// Records of a new batch behind `last_acquired` stay available: they were not handed out.
    fn keep_back(&mut self, key: i64, last_acquired: i64) {
        let Some(batch) = self.cached.get_mut(&key) else {
            return;
        };
        for (offset, state) in (key..).zip(batch.split()) {
            if offset > last_acquired {
                *state = InFlightState::new(RecordState::Available, 0);
            }
        }
        self.find_next_fetch_offset = true;
    }

    /// From this delivery count on records are handed out in ever smaller batches: half the limit, rounded up.
    fn throttle_delivery_count(&self) -> i32 {
        let max = self.limits.delivery_count_max;
        (max / 2 + max % 2).max(THROTTLE_DELIVERY_COUNT_MIN)
    }
}

/// Hands out single offsets of a batch (`acquireSubsetBatchRecords`); how many.
fn acquire_offsets(
    to: &mut Acquisition<'_>,
    batch: &mut InFlightBatch,
    wanted: (i64, i64),
    throttle_from: i32,
    delivery_count_max: i32,
) -> i64 {
    let isolates = delivery_count_max > 2;
    let batch_length = batch.len();
    let mut records_max = if to.is_record_limit() {
        to.remaining()
    } else {
        i64::MAX
    };
    let mut is_throttled = false;
    let mut acquired = 0;
    let first = batch.first;
    let mut open: Option<AcquiredRecords> = None;
    for (offset, state) in (first..).zip(batch.split()) {
        if offset < wanted.0 || !state.is_acquirable() {
            continue;
        }
        if offset > wanted.1 {
            break;
        }
        // Its last delivery: alone, whatever is handed out before it.
        if isolates && state.delivery_count == delivery_count_max - 1 && acquired > 0 {
            break;
        }
        if state.delivery_count >= throttle_from && !is_throttled {
            is_throttled = true;
            let halvings = state.delivery_count - throttle_from + 1;
            let halved = u32::try_from(halvings)
                .ok()
                .and_then(|halvings| batch_length.checked_shr(halvings))
                .unwrap_or(0);
            records_max = records_max.min(halved.max(1));
        }
        if !state.try_acquire(to.request.member, to.lock) {
            continue;
        }
        acquired += 1;
        let delivery_count = delivery_count(state);
        match &mut open {
            Some(range) if range.last + 1 == offset && range.delivery_count == delivery_count => {
                range.last = offset;
            }
            _ => to.acquired.ranges.extend(open.replace(AcquiredRecords {
                first: offset,
                last: offset,
                delivery_count,
            })),
        }
        let was_last_delivery = isolates && state.delivery_count == delivery_count_max;
        // The limit may have shrunk below what there is already.
        if was_last_delivery || acquired >= records_max {
            break;
        }
    }
    to.acquired.ranges.extend(open);
    to.acquired.count += acquired;
    acquired
}

/// Whether records of the batch are so near their limit that they travel alone (`shouldThrottleRecordsDelivery`).
fn is_throttled(batch: &InFlightBatch, wanted: (i64, i64), throttle_from: i32) -> bool {
    batch.ranges().any(|(first, _, state)| {
        let in_reach = !batch.is_per_offset() || (wanted.0 <= first && first <= wanted.1);
        in_reach && state.is_acquirable() && state.delivery_count >= throttle_from
    })
}

fn delivery_count(state: &InFlightState) -> i16 {
    i16::try_from(state.delivery_count).unwrap_or(i16::MAX)
}

/// The last offset of the record batch that holds `offset`, or `offset` if none does.
fn end_of_batch(fetched: &[FetchedBatch], offset: i64) -> i64 {
    let holder = fetched
        .iter()
        .rev()
        .find(|batch| batch.base_offset <= offset);
    holder.map_or(offset, |batch| batch.last_offset.max(offset))
}

/// Splits at record batches as soon as a range has `batch_size` records.
fn ranges(fetched: &[FetchedBatch], first: i64, last: i64, batch_size: i64) -> Vec<(i64, i64)> {
    let mut ranges = Vec::new();
    let mut current = first;
    if last - first >= batch_size {
        for batch in fetched {
            if batch.base_offset > last {
                break;
            }
            if batch.base_offset - current >= batch_size {
                ranges.push((current, batch.base_offset - 1));
                current = batch.base_offset;
            }
        }
    }
    ranges.push((current, last));
    ranges
}
