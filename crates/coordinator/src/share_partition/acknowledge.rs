//! What members say about records they have.
//!
//! Invariant: an acknowledgement takes effect as a whole or not at all, and only for records its member has.

use std::time::Duration;

use types::{Instant, MemberId};

use super::in_flight::{BatchStates, InFlightState};
use super::partition::SharePartition;
use super::record_state::RecordState;
use super::writes::{Changes, StateWrite, floor_key, in_flight_count};

/// What a member says about a record (`AcknowledgeType.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgeType {
    /// 0: there is no record at this offset.
    Gap,
    /// 1: done.
    Accept,
    /// 2: hand it out again.
    Release,
    /// 3: never hand it out again.
    Reject,
    /// 4: let me keep it longer (KIP-1222).
    Renew,
}

impl AcknowledgeType {
    /// The type with a number, if there is one.
    pub const fn from_id(id: i8) -> Option<Self> {
        match id {
            0 => Some(Self::Gap),
            1 => Some(Self::Accept),
            2 => Some(Self::Release),
            3 => Some(Self::Reject),
            4 => Some(Self::Renew),
            _ => None,
        }
    }

    /// What becomes of the record; `None` if it stays acquired.
    const fn next_state(self) -> Option<RecordState> {
        match self {
            Self::Accept => Some(RecordState::Acknowledged),
            Self::Release => Some(RecordState::Available),
            Self::Gap | Self::Reject => Some(RecordState::Archived),
            Self::Renew => None,
        }
    }
}

/// What a member says about a range of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgementBatch {
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
    /// One for all of them, or one for each.
    pub types: Vec<AcknowledgeType>,
}

impl AcknowledgementBatch {
    fn type_of(&self, offset: i64) -> Option<AcknowledgeType> {
        if let [all] = self.types[..] {
            return Some(all);
        }
        let index = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        self.types.get(index).copied()
    }
}

/// Why an acknowledgement has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcknowledgeError {
    /// INVALID_RECORD_STATE: the member does not have these records, or no longer.
    #[error("the member does not have the records it acknowledges")]
    InvalidRecordState,
    /// INVALID_REQUEST: nobody was ever handed these records.
    #[error("the acknowledged offsets lie beyond the records that were handed out")]
    InvalidRequest,
}

impl SharePartition {
    /// Takes up what `member` says. The effect is final when the write that is returned was persisted; without one
    /// there was nothing to persist.
    ///
    /// # Errors
    /// Nothing of it takes effect.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        member: &MemberId,
        batches: &[AcknowledgementBatch],
        lock_duration: Duration,
    ) -> Result<Option<StateWrite>, AcknowledgeError> {
        let delivery_complete = self.delivery_complete;
        let mut changes = self.begin_changes();
        let lock = now.plus(lock_duration);
        for batch in batches {
            if let Err(error) = self.acknowledge_batch(member, batch, lock, &mut changes) {
                self.take_back(now, &changes);
                self.delivery_complete = delivery_complete;
                return Err(error);
            }
        }
        Ok(self.write(changes, false))
    }

    fn acknowledge_batch(
        &mut self,
        member: &MemberId,
        batch: &AcknowledgementBatch,
        lock: Instant,
        changes: &mut Changes,
    ) -> Result<(), AcknowledgeError> {
        if batch.last < self.start_offset {
            // Late, and about nothing that matters any more.
            return Ok(());
        }
        let floor = floor_key(&self.cached, batch.first).or_else(|| {
            let start_has_moved = batch.first < self.start_offset;
            start_has_moved.then(|| floor_key(&self.cached, self.start_offset))?
        });
        let floor = floor.ok_or(AcknowledgeError::InvalidRecordState)?;
        let last_known = self
            .cached
            .range(floor..=batch.last.max(floor))
            .next_back()
            .map(|(_, in_flight)| in_flight.last);
        if last_known.is_none_or(|last| batch.last > last) {
            return Err(AcknowledgeError::InvalidRequest);
        }
        let start_offset = self.start_offset;
        let delivery_count_max = self.limits.delivery_count_max;
        let mut renewed = false;
        let mut completed = 0;
        let mut outcome = Ok(());
        'batches: for (_, in_flight) in self.cached.range_mut(floor..=batch.last) {
            if in_flight.last < start_offset || in_flight.last < batch.first {
                continue;
            }
            if let BatchStates::Whole(state) = &in_flight.states {
                // Told apart only if the member has it.
                if let Err(error) = owned(state, member) {
                    outcome = Err(error);
                    break;
                }
                let whole = in_flight.lies_within(batch.first, batch.last)
                    && batch.types.len() == 1
                    && !in_flight.is_cut_by(start_offset);
                if !whole {
                    in_flight.split();
                }
            }
            for (first, last, state) in in_flight.ranges_mut() {
                if last < batch.first || first < start_offset {
                    continue;
                }
                if first > batch.last {
                    break;
                }
                if let Err(error) = owned(state, member) {
                    outcome = Err(error);
                    break 'batches;
                }
                let next = batch
                    .type_of(first)
                    .ok_or(AcknowledgeError::InvalidRequest)
                    .map(AcknowledgeType::next_state);
                let next = match next {
                    Ok(Some(next)) => next,
                    Ok(None) => {
                        state.lock = Some(lock);
                        renewed = true;
                        continue;
                    }
                    Err(error) => {
                        outcome = Err(error);
                        break 'batches;
                    }
                };
                let Some(next) = state.start_leave(changes.id, next, delivery_count_max) else {
                    outcome = Err(AcknowledgeError::InvalidRecordState);
                    break 'batches;
                };
                changes.push(first, last, next, state.delivery_count);
                if next.is_terminal() {
                    completed += last - first + 1;
                }
            }
        }
        self.delivery_complete += completed;
        if renewed {
            self.note_lock(lock);
        }
        outcome
    }

    /// The member goes: what it has becomes available, and the deliveries count. As with [`Self::acknowledge`], the
    /// effect is final when the write was persisted (`releaseAcquiredRecords`).
    pub fn release(&mut self, member: &MemberId) -> Option<StateWrite> {
        let mut changes = self.begin_changes();
        let start_offset = self.start_offset;
        let delivery_count_max = self.limits.delivery_count_max;
        let mut completed = 0;
        for batch in self.cached.values_mut() {
            let is_its = batch
                .whole_state()
                .is_some_and(|state| owned(state, member).is_ok());
            if is_its && batch.is_cut_by(start_offset) {
                batch.split();
            }
            for (first, last, state) in batch.ranges_mut() {
                if owned(state, member).is_err() {
                    continue;
                }
                let next = if last < start_offset {
                    RecordState::Archived
                } else {
                    RecordState::Available
                };
                let Some(next) = state.start_leave(changes.id, next, delivery_count_max) else {
                    continue;
                };
                changes.push(first, last, next, state.delivery_count);
                if next.is_terminal() {
                    completed += in_flight_count(start_offset, first, last);
                }
            }
        }
        self.delivery_complete += completed;
        self.write(changes, false)
    }
}

/// Whether the member has the records, and has not said anything about them yet.
fn owned(state: &InFlightState, member: &MemberId) -> Result<(), AcknowledgeError> {
    let is_its = state.state == RecordState::Acquired
        && !state.in_transition()
        && state.owner.as_ref() == Some(member);
    is_its
        .then_some(())
        .ok_or(AcknowledgeError::InvalidRecordState)
}
