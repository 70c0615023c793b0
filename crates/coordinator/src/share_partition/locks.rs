//! Records whose lock ran out: their owner was too slow, so somebody else may have them.

use types::Instant;

use super::in_flight::InFlightState;
use super::partition::SharePartition;
use super::record_state::RecordState;
use super::writes::{StateWrite, in_flight_count};

impl SharePartition {
    /// Takes records back whose lock has run out at `now`. The states have changed when this returns; the write only
    /// tells the share coordinator, and [`Self::complete`] must follow as always.
    pub fn tick(&mut self, now: Instant) -> Option<StateWrite> {
        if self.next_lock.is_none_or(|next| next > now) {
            return None;
        }
        let mut changes = self.begin_changes();
        let start_offset = self.start_offset;
        let delivery_count_max = self.limits.delivery_count_max;
        let mut completed = 0;
        let mut freed = false;
        let mut next_lock: Option<Instant> = None;
        for batch in self.cached.values_mut() {
            if batch.is_cut_by(start_offset)
                && batch
                    .whole_state()
                    .is_some_and(|state| has_run_out(state, now))
            {
                // What lies below the start offset is archived, the rest is not.
                batch.split();
            }
            for (first, last, state) in batch.ranges_mut() {
                if has_run_out(state, now) {
                    let next = if last < start_offset {
                        RecordState::Archived
                    } else {
                        RecordState::Available
                    };
                    let Some(next) = state.try_leave(next, delivery_count_max) else {
                        continue;
                    };
                    state.lock = None;
                    changes.push(first, last, next, state.delivery_count);
                    if next.is_terminal() {
                        completed += in_flight_count(start_offset, first, last);
                    } else {
                        freed = true;
                    }
                } else if state.state == RecordState::Acquired {
                    next_lock = earlier(next_lock, state.lock);
                }
            }
        }
        self.next_lock = next_lock;
        self.delivery_complete += completed;
        self.find_next_fetch_offset |= freed;
        self.write(changes, true)
    }
}

fn has_run_out(state: &InFlightState, now: Instant) -> bool {
    state.state == RecordState::Acquired && state.lock.is_some_and(|lock| lock <= now)
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
