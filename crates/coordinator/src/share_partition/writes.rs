//! Changes on their way to the share coordinator, and the start offset that follows them.
//!
//! Invariant: the start offset passes a record only when its end is persisted or stands in the log, so a restart never
//! hands out again what was accepted and told so.

use std::collections::BTreeMap;

use types::Instant;

use super::in_flight::InFlightBatch;
use super::partition::SharePartition;
use super::record_state::RecordState;

/// Names a write until it is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub(super) u64);

/// The state of a range of offsets, as the share coordinator keeps it (`PersisterStateBatch.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
    /// State of all of them.
    pub state: RecordState,
    /// How often each was delivered.
    pub delivery_count: i16,
}

/// What the share coordinator must be told; afterwards [`SharePartition::complete`] must be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// Names this write.
    pub id: WriteId,
    /// The epoch of the state that was read at the beginning.
    pub state_epoch: i32,
    /// Offsets below are done.
    pub start_offset: i64,
    /// Records at or above the start offset that are done.
    pub delivery_complete_count: i32,
    /// What changed, ascending.
    pub batches: Vec<StateBatch>,
}

/// Changes begun and not yet settled.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    next: u64,
    writes: BTreeMap<WriteId, PendingWrite>,
}

#[derive(Clone, Debug)]
struct PendingWrite {
    /// Ranges whose states wait for the outcome.
    ranges: Vec<(i64, i64)>,
    /// The states changed at once and stay changed whatever becomes of the write: locks that ran out.
    final_already: bool,
}

/// Collects what changes under one write.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) id: WriteId,
    batches: Vec<StateBatch>,
}

impl Changes {
    /// Adds a range; contiguous ranges of one state become one.
    pub(super) fn push(&mut self, first: i64, last: i64, state: RecordState, delivery_count: i32) {
        let delivery_count = i16::try_from(delivery_count).unwrap_or(i16::MAX);
        if let Some(previous) = self.batches.last_mut()
            && previous.last.checked_add(1) == Some(first)
            && previous.state == state
            && previous.delivery_count == delivery_count
        {
            previous.last = last;
            return;
        }
        self.batches.push(StateBatch {
            first,
            last,
            state,
            delivery_count,
        });
    }
}

impl SharePartition {
    pub(super) fn begin_changes(&mut self) -> Changes {
        let id = WriteId(self.pending.next);
        self.pending.next += 1;
        Changes {
            id,
            batches: Vec::new(),
        }
    }

    /// Hands changes out to be written; `None` if there are none. `final_already` as in [`PendingWrite`].
    pub(super) fn write(&mut self, changes: Changes, final_already: bool) -> Option<StateWrite> {
        if changes.batches.is_empty() {
            return None;
        }
        let range = |batch: &StateBatch| (batch.first, batch.last);
        self.pending.writes.insert(
            changes.id,
            PendingWrite {
                ranges: changes.batches.iter().map(range).collect(),
                final_already,
            },
        );
        Some(StateWrite {
            id: changes.id,
            state_epoch: self.state_epoch,
            start_offset: self.start_offset,
            delivery_complete_count: self.delivery_complete_count(),
            batches: changes.batches,
        })
    }

    /// Takes changes back that were never handed out.
    pub(super) fn take_back(&mut self, now: Instant, changes: &Changes) {
        let ranges = changes
            .batches
            .iter()
            .map(|batch| (batch.first, batch.last));
        let ranges: Vec<_> = ranges.collect();
        self.settle(now, changes.id, &ranges, false);
    }

    /// A write is settled: `committed` if the share coordinator has it. True if records were freed or the start
    /// offset moved, so that whoever waits for records should look again.
    pub fn complete(&mut self, now: Instant, id: WriteId, committed: bool) -> bool {
        let Some(write) = self.pending.writes.remove(&id) else {
            return false;
        };
        if !write.final_already {
            self.settle(now, id, &write.ranges, committed);
        }
        // A lock that ran out has run out even if nobody could be told.
        let moved = (committed || write.final_already) && self.move_start_offset();
        moved || self.find_next_fetch_offset
    }

    fn settle(&mut self, now: Instant, id: WriteId, ranges: &[(i64, i64)], committed: bool) {
        let delivery_count_max = self.limits.delivery_count_max;
        let start_offset = self.start_offset;
        let mut reopened = 0;
        let mut freed = false;
        let mut locks = Vec::new();
        for &(first, last) in ranges {
            let from = floor_key(&self.cached, first).unwrap_or(first);
            for (_, batch) in self.cached.range_mut(from..=last) {
                for (state_first, state_last, state) in batch.ranges_mut() {
                    if state_last < first || state_first > last {
                        continue;
                    }
                    let was_terminal = state.state.is_terminal();
                    if !state.complete(id, committed, now, delivery_count_max) {
                        continue;
                    }
                    freed |= state.state == RecordState::Available;
                    let count = in_flight_count(start_offset, state_first, state_last);
                    match (was_terminal, state.state.is_terminal()) {
                        (true, false) => reopened += count,
                        (false, true) => reopened -= count,
                        _ => {}
                    }
                    if state.state == RecordState::Acquired {
                        locks.extend(state.lock);
                    }
                }
            }
        }
        self.delivery_complete -= reopened;
        self.find_next_fetch_offset |= freed;
        for lock in locks {
            self.note_lock(lock);
        }
    }

    /// Moves the start offset past all records that are done (`maybeUpdateCachedStateAndOffsets`).
    pub(super) fn move_start_offset(&mut self) -> bool {
        if !self.start_is_done() {
            return false;
        }
        let Some((last_done, done_count)) = self.last_done() else {
            return false;
        };
        let Some(last_cached) = self.last_cached() else {
            return false;
        };
        if last_done == last_cached {
            self.start_offset = last_cached + 1;
            self.end_offset = last_cached + 1;
            self.cached.clear();
            self.delivery_complete = 0;
            return true;
        }
        let Some(holder) = self.cached.range(..=last_done).next_back() else {
            return false;
        };
        let (holder_first, holder_last) = (*holder.0, holder.1.last);
        let keep_from = if last_done == holder_last {
            let next = self.cached.range(last_done + 1..).next();
            let next = next.map_or(last_done + 1, |(first, _)| *first);
            self.start_offset = self.start_offset.max(next);
            if let Some(gap) = self.active_gap() {
                // Records of the gap were never looked at.
                self.start_offset = self.start_offset.min(gap.first);
            }
            next
        } else {
            self.start_offset = self.start_offset.max(last_done + 1);
            holder_first
        };
        self.delivery_complete -= done_count;
        self.cached = self.cached.split_off(&keep_from);
        true
    }

    fn start_is_done(&self) -> bool {
        let Some((_, batch)) = self.cached.range(..=self.start_offset).next_back() else {
            // Nothing is known of the records at the start offset: they were never looked at.
            return false;
        };
        match batch.state_at(self.start_offset) {
            Some(state) => state.is_settled_terminal(),
            // The start offset lies in a natural gap behind the batch.
            None => batch
                .ranges()
                .all(|(_, _, state)| state.is_settled_terminal()),
        }
    }

    /// The last offset of the unbroken run of records that are done, and how many of them are at or above the start
    /// offset (`findLastOffsetAcknowledgedAndMetadata`).
    fn last_done(&self) -> Option<(i64, i64)> {
        let gap = self.active_gap().map(|gap| gap.first);
        let mut found = None;
        let mut count = 0;
        for batch in self.cached.values() {
            if gap.is_some_and(|gap| batch.last >= gap) {
                return found;
            }
            for (first, last, state) in batch.ranges() {
                if !state.is_settled_terminal() {
                    return found;
                }
                count += in_flight_count(self.start_offset, first, last);
                found = Some((last, count));
            }
        }
        found
    }
}

/// The first offset of the batch at or before `offset`.
pub(super) fn floor_key(cached: &BTreeMap<i64, InFlightBatch>, offset: i64) -> Option<i64> {
    cached.range(..=offset).next_back().map(|(first, _)| *first)
}

/// How many of the offsets lie at or above the start offset.
pub(super) fn in_flight_count(start_offset: i64, first: i64, last: i64) -> i64 {
    (last - first.max(start_offset) + 1).max(0)
}
