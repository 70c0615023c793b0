//! The state of records that were read from the log and are not yet behind the start offset.
//!
//! Records are kept in the batches in which they were first acquired; a batch has one state until its records part
//! ways, and one state for each offset from then on. Invariants: a state on its way to the share coordinator changes
//! only by [`InFlightState::complete`] or by archiving; a lock exists only with an owner or on the way away from one.

use types::{Instant, MemberId};

use super::record_state::RecordState;
use super::writes::WriteId;

/// State before a change that is not yet persisted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rollback {
    write: WriteId,
    state: RecordState,
    owner: Option<MemberId>,
}

/// The state of a batch or of one offset (`InFlightState.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlightState {
    pub(super) state: RecordState,
    /// How often it was handed out.
    pub(super) delivery_count: i32,
    /// Who has it, while it is acquired.
    pub(super) owner: Option<MemberId>,
    /// When the owner loses it.
    pub(super) lock: Option<Instant>,
    rollback: Option<Rollback>,
    /// Archived because the record is gone from the log: a failed write does not bring it back.
    gone: bool,
}

impl InFlightState {
    pub(super) fn new(state: RecordState, delivery_count: i32) -> Self {
        Self {
            state,
            delivery_count,
            owner: None,
            lock: None,
            rollback: None,
            gone: false,
        }
    }

    pub(super) fn acquired(owner: &MemberId, lock: Instant) -> Self {
        Self {
            owner: Some(owner.clone()),
            lock: Some(lock),
            ..Self::new(RecordState::Acquired, 1)
        }
    }

    /// Whether a change of it is on its way to the share coordinator.
    pub(super) fn in_transition(&self) -> bool {
        self.rollback.is_some()
    }

    /// Whether it may be handed out.
    pub(super) fn is_acquirable(&self) -> bool {
        self.state == RecordState::Available && !self.in_transition()
    }

    pub(super) fn is_settled_terminal(&self) -> bool {
        self.state.is_terminal() && !self.in_transition()
    }

    /// Hands it out once more. False if that is not possible now.
    pub(super) fn try_acquire(&mut self, owner: &MemberId, lock: Instant) -> bool {
        if !self.is_acquirable() {
            return false;
        }
        self.state = RecordState::Acquired;
        self.delivery_count = self.delivery_count.saturating_add(1);
        self.owner = Some(owner.clone());
        self.lock = Some(lock);
        true
    }

    /// Takes it away from its owner, for good. Instead of Available it becomes Archived when it was delivered
    /// `delivery_count_max` times. `None` if that is not possible now.
    pub(super) fn try_leave(
        &mut self,
        next: RecordState,
        delivery_count_max: i32,
    ) -> Option<RecordState> {
        let exhausted = next == RecordState::Available && self.delivery_count >= delivery_count_max;
        let next = if exhausted {
            RecordState::Archived
        } else {
            next
        };
        if self.in_transition() || !self.state.may_become(next) {
            return None;
        }
        self.state = next;
        self.owner = None;
        Some(next)
    }

    /// As [`Self::try_leave`], to be settled by [`Self::complete`].
    pub(super) fn start_leave(
        &mut self,
        write: WriteId,
        next: RecordState,
        delivery_count_max: i32,
    ) -> Option<RecordState> {
        let before = (self.state, self.owner.clone());
        let next = self.try_leave(next, delivery_count_max)?;
        let (state, owner) = before;
        self.rollback = Some(Rollback {
            write,
            state,
            owner,
        });
        Some(next)
    }

    /// Settles the change that `write` carries; true if it has one. After a failed write the record is its owner's
    /// again, unless the lock has run out meanwhile.
    pub(super) fn complete(
        &mut self,
        write: WriteId,
        committed: bool,
        now: Instant,
        delivery_count_max: i32,
    ) -> bool {
        let Some(rollback) = self.rollback.take_if(|rollback| rollback.write == write) else {
            return false;
        };
        if committed || self.gone {
            self.lock = None;
        } else if self.lock.is_some_and(|lock| lock <= now) {
            self.state = if self.delivery_count >= delivery_count_max {
                RecordState::Archived
            } else {
                RecordState::Available
            };
            self.owner = None;
            self.lock = None;
        } else {
            self.state = rollback.state;
            self.owner = rollback.owner;
        }
        true
    }

    /// The record is gone from the log, or nobody may have it.
    pub(super) fn archive(&mut self) {
        self.gone = true;
        self.state = RecordState::Archived;
        self.owner = None;
        self.lock = None;
    }
}

/// One state for the whole batch, or one for each offset from the first on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BatchStates {
    Whole(InFlightState),
    PerOffset(Vec<InFlightState>),
}

/// A batch of records in flight (`InFlightBatch.java`); its first offset is its key in the partition's map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlightBatch {
    pub(super) first: i64,
    /// Inclusive.
    pub(super) last: i64,
    pub(super) states: BatchStates,
}

impl InFlightBatch {
    pub(super) fn whole(first: i64, last: i64, state: InFlightState) -> Self {
        Self {
            first,
            last,
            states: BatchStates::Whole(state),
        }
    }

    pub(super) fn len(&self) -> i64 {
        self.last - self.first + 1
    }

    pub(super) fn is_per_offset(&self) -> bool {
        matches!(self.states, BatchStates::PerOffset(_))
    }

    /// The state of the batch as long as it has only one.
    pub(super) fn whole_state(&self) -> Option<&InFlightState> {
        match &self.states {
            BatchStates::Whole(state) => Some(state),
            BatchStates::PerOffset(_) => None,
        }
    }

    /// Whether all of it lies within the given offsets, both inclusive.
    pub(super) fn lies_within(&self, first: i64, last: i64) -> bool {
        self.first >= first && self.last <= last
    }

    /// Whether `offset` lies within it and is not its first.
    pub(super) fn is_cut_by(&self, offset: i64) -> bool {
        self.first < offset && self.last >= offset
    }

    /// The state of one offset, if it lies within the batch.
    pub(super) fn state_at(&self, offset: i64) -> Option<&InFlightState> {
        match &self.states {
            BatchStates::Whole(state) => {
                (self.first <= offset && offset <= self.last).then_some(state)
            }
            BatchStates::PerOffset(states) => {
                let index = usize::try_from(offset.checked_sub(self.first)?).ok()?;
                states.get(index)
            }
        }
    }

    /// From now on each offset has its own state.
    pub(super) fn split(&mut self) -> &mut Vec<InFlightState> {
        if let BatchStates::Whole(state) = &self.states {
            let length = usize::try_from(self.len()).unwrap_or_default();
            self.states = BatchStates::PerOffset(vec![state.clone(); length]);
        }
        match &mut self.states {
            BatchStates::PerOffset(states) => states,
            BatchStates::Whole(_) => unreachable!("the batch was split above"),
        }
    }

    /// Each state with the first and last offset it stands for.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (i64, i64, &InFlightState)> {
        let (first, last) = (self.first, self.last);
        let (whole, each) = match &self.states {
            BatchStates::Whole(state) => (Some(state), [].iter()),
            BatchStates::PerOffset(states) => (None, states.iter()),
        };
        let each = (first..).zip(each);
        whole
            .map(|state| (first, last, state))
            .into_iter()
            .chain(each.map(|(offset, state)| (offset, offset, state)))
    }

    /// Each state with the first and last offset it stands for, to be changed.
    pub(super) fn ranges_mut(&mut self) -> impl Iterator<Item = (i64, i64, &mut InFlightState)> {
        let (first, last) = (self.first, self.last);
        let (whole, each) = match &mut self.states {
            BatchStates::Whole(state) => (Some(state), [].iter_mut()),
            BatchStates::PerOffset(states) => (None, states.iter_mut()),
        };
        let each = (first..).zip(each);
        whole
            .map(|state| (first, last, state))
            .into_iter()
            .chain(each.map(|(offset, state)| (offset, offset, state)))
    }
}
