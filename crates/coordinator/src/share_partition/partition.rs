//! A share partition's offsets: what is done, what is in flight, what to read next.
//!
//! Invariants: batches in flight do not overlap; none ends above the end offset; the start offset never goes back.
//!
//! Offsets are plain `i64` here: nearly every line adds to, subtracts from or compares them, and they come from and go
//! to the share coordinator's records as such. They become `Offset` again at the broker's edge.

use std::collections::BTreeMap;

use types::Instant;

use super::in_flight::{BatchStates, InFlightBatch, InFlightState};
use super::record_state::RecordState;
use super::writes::{Pending, StateBatch, floor_key, in_flight_count};

/// No batch that was ever written has more records. A persisted state that claims so is not believed, because its
/// records may have to be told apart, which takes memory for each.
const BATCH_RECORDS_MAX: i64 = 16 * 1024 * 1024;

/// Limits of a share partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLimits {
    /// `group.share.partition.max.record.locks`: records between the start and the end offset.
    pub in_flight_max: i64,
    /// `group.share.delivery.count.limit`.
    pub delivery_count_max: i32,
}

/// A persisted state that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShareState {
    /// A batch begins before the start offset.
    #[error("a state batch begins at {first}, before the start offset {start_offset}")]
    BeforeStart {
        /// Where it begins.
        first: i64,
        /// The start offset.
        start_offset: i64,
    },
    /// A batch ends before it begins, overlaps the one before, or is longer than a batch can be.
    #[error("a state batch from {first} to {last} is impossible")]
    ImpossibleRange {
        /// Its first offset.
        first: i64,
        /// Its last offset.
        last: i64,
    },
}

/// The largest offset there is, so that sums of offsets and counts stay numbers. No log comes near it.
const OFFSET_MAX: i64 = i64::MAX - (1 << 32);

/// Offsets that a former life of the partition may have handed out and never heard of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GapWindow {
    /// The end offset when the state was read; once the end moves on, all gaps were looked at.
    pub(super) end: i64,
    /// Where the first gap not yet looked at begins.
    pub(super) first: i64,
}

/// One partition of a topic as one share group sees it.
#[derive(Clone, Debug)]
pub struct SharePartition {
    pub(super) limits: ShareLimits,
    pub(super) state_epoch: i32,
    pub(super) cached: BTreeMap<i64, InFlightBatch>,
    /// Offsets below are done.
    pub(super) start_offset: i64,
    /// The last offset in flight; the next to be read while nothing is in flight.
    pub(super) end_offset: i64,
    /// Records may have become available below the end offset.
    pub(super) find_next_fetch_offset: bool,
    pub(super) gap: Option<GapWindow>,
    /// Records at or above the start offset that are done.
    pub(super) delivery_complete: i64,
    pub(super) pending: Pending,
    /// No lock runs out before.
    pub(super) next_lock: Option<Instant>,
}

impl SharePartition {
    /// The partition as the share coordinator remembers it. `start_offset` is what the group's reset strategy says if
    /// nothing was remembered. It may be any number, because AlterShareGroupOffsets takes any: before all logs is as good
    /// as their start, and behind all logs means that there is never anything to read.
    ///
    /// # Errors
    /// The state contradicts itself.
    pub fn new(
        limits: ShareLimits,
        state_epoch: i32,
        start_offset: i64,
        batches: &[StateBatch],
    ) -> Result<Self, InvalidShareState> {
        let start_offset = start_offset.clamp(0, OFFSET_MAX);
        let mut partition = Self {
            limits,
            state_epoch,
            cached: BTreeMap::new(),
            start_offset,
            end_offset: start_offset,
            find_next_fetch_offset: false,
            gap: None,
            delivery_complete: 0,
            pending: Pending::default(),
            next_lock: None,
        };
        let mut gap_first = None;
        let mut previous_last = start_offset - 1;
        for batch in batches {
            let &StateBatch { first, last, .. } = batch;
            if first < start_offset {
                return Err(InvalidShareState::BeforeStart {
                    first,
                    start_offset,
                });
            }
            if last < first
                || first <= previous_last
                || last - first >= BATCH_RECORDS_MAX
                || last > OFFSET_MAX
            {
                return Err(InvalidShareState::ImpossibleRange { first, last });
            }
            if gap_first.is_none() && first > previous_last + 1 {
                gap_first = Some(previous_last + 1);
            }
            previous_last = last;
            // Acquired is never persisted; a record that says so has no owner to wait for.
            let state = match batch.state {
                RecordState::Acquired => RecordState::Available,
                state => state,
            };
            let in_flight = InFlightState::new(state, i32::from(batch.delivery_count));
            partition
                .cached
                .insert(first, InFlightBatch::whole(first, last, in_flight));
            if state.is_terminal() {
                partition.delivery_complete += last - first + 1;
            }
        }
        if let Some(last) = partition.last_cached() {
            partition.find_next_fetch_offset = true;
            partition.end_offset = last;
            partition.gap = gap_first.map(|first| GapWindow { end: last, first });
            partition.move_start_offset();
        }
        Ok(partition)
    }

    /// Offsets below are done.
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The last offset in flight; the next to be read while nothing is in flight.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// The epoch of the persisted state it began with.
    pub fn state_epoch(&self) -> i32 {
        self.state_epoch
    }

    /// Records at or above the start offset that are done.
    pub fn delivery_complete_count(&self) -> i32 {
        i32::try_from(self.delivery_complete).unwrap_or(i32::MAX)
    }

    /// When [`Self::tick`] may have something to do; it may be early, never late.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_lock
    }

    /// How many records lie between the start and the end offset.
    pub fn in_flight(&self) -> i64 {
        if self.cached.is_empty() {
            0
        } else {
            self.end_offset - self.start_offset + 1
        }
    }

    /// Where to read next (`nextFetchOffset`): the first record that is available again, or the one after the end.
    pub fn next_fetch_offset(&mut self) -> i64 {
        let nothing_in_flight = self
            .last_cached()
            .is_none_or(|last| self.start_offset > last);
        if nothing_in_flight {
            self.find_next_fetch_offset = false;
            return self.end_offset;
        }
        if !self.find_next_fetch_offset {
            return self.end_offset + 1;
        }
        let found = self.first_available();
        self.find_next_fetch_offset = found.is_some();
        found.unwrap_or(self.end_offset + 1)
    }

    fn first_available(&self) -> Option<i64> {
        let mut gap_first = self.active_gap().map(|gap| gap.first);
        for batch in self.cached.values() {
            if let Some(gap) = gap_first {
                if batch.first > gap {
                    return Some(gap);
                }
                gap_first = Some(gap.max(batch.last + 1));
            }
            let available = batch.ranges().find(|(_, _, state)| state.is_acquirable());
            if let Some((first, _, _)) = available {
                return Some(first);
            }
        }
        None
    }

    /// Whether a read could hand anything out (`canAcquireRecords`).
    pub fn can_acquire(&mut self) -> bool {
        self.next_fetch_offset() != self.end_offset + 1
            || self.in_flight() < self.limits.in_flight_max
    }

    /// The log now begins at `log_start` (`updateCacheAndOffsets`): what was available below is gone. What members have
    /// is archived when its lock runs out.
    pub fn log_start_moved(&mut self, log_start: i64) {
        if log_start <= self.start_offset {
            return;
        }
        if self.cached.is_empty() {
            self.start_offset = log_start;
            self.end_offset = log_start;
            self.delivery_complete = 0;
            return;
        }
        let done_below: i64 = self
            .cached
            .range(..log_start)
            .flat_map(|(_, batch)| batch.ranges())
            .filter(|(_, _, state)| state.state.is_terminal())
            .map(|(first, last, _)| {
                in_flight_count(self.start_offset, first, last.min(log_start - 1))
            })
            .sum();
        let start_offset = self.start_offset;
        if self.archive(start_offset, log_start, RecordState::Available) > 0 {
            self.find_next_fetch_offset = true;
        }
        self.start_offset = log_start;
        self.delivery_complete -= done_below;
        self.end_offset = self.end_offset.max(log_start);
    }

    /// Archives records in state `from` between two offsets, the second exclusive; how many.
    pub(super) fn archive(&mut self, first: i64, end: i64, from: RecordState) -> i64 {
        let mut archived = 0;
        let floor = floor_key(&self.cached, first).unwrap_or(first);
        if floor >= end {
            return 0;
        }
        for (_, batch) in self.cached.range_mut(floor..end) {
            if batch.last < first {
                continue;
            }
            if !batch.lies_within(first, end - 1)
                && let BatchStates::Whole(state) = &batch.states
            {
                if state.state != from {
                    continue;
                }
                batch.split();
            }
            for (state_first, state_last, state) in batch.ranges_mut() {
                if state_first < first || state_last >= end || state.state != from {
                    continue;
                }
                state.archive();
                archived += state_last - state_first + 1;
            }
        }
        archived
    }

    pub(super) fn last_cached(&self) -> Option<i64> {
        self.cached.last_key_value().map(|(_, batch)| batch.last)
    }

    /// The gap window while the end offset has not moved past it.
    pub(super) fn active_gap(&self) -> Option<GapWindow> {
        self.gap.filter(|gap| gap.end == self.end_offset)
    }

    /// The gaps below `offset` were looked at (`maybeUpdatePersisterGapWindowStartOffset`). Records before a gap may come
    /// back after it was looked at, which opens no gap again; and what is in flight is no gap. Kafka, which forgets both, may
    /// wait for ever for records it has.
    pub(super) fn gap_seen_to(&mut self, offset: i64) {
        let gap = self.active_gap();
        let moved = gap.map(|gap| GapWindow {
            first: self.behind_cached(offset.max(gap.first)),
            ..gap
        });
        self.gap = moved.filter(|gap| gap.first <= gap.end);
    }

    /// The first offset from `offset` on that no batch in flight holds.
    fn behind_cached(&self, offset: i64) -> i64 {
        let mut first = offset;
        while let Some((_, batch)) = self.cached.range(..=first).next_back()
            && batch.last >= first
        {
            first = batch.last + 1;
        }
        first
    }

    pub(super) fn note_lock(&mut self, lock: Instant) {
        self.next_lock = Some(self.next_lock.map_or(lock, |next| next.min(lock)));
    }
}
