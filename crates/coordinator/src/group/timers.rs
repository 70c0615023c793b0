//! Deadlines of one shard.
//!
//! Invariant: at most one deadline per [`TimerKey`]; scheduling again replaces it. Equal deadlines run in the order
//! in which they were scheduled, so that two runs of the same history are identical.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use types::{GroupId, Instant, MemberId};

use super::classic::generation::Generation;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimerKey {
    /// A sign of life of a member, or the first join of a pending one.
    Session(GroupId, MemberId),
    /// The end of a group's join phase.
    Join(GroupId),
    /// SyncGroup of every member.
    Sync(GroupId),
    /// A streams member giving up tasks.
    StreamsRebalance(GroupId, MemberId),
    /// More members of a new streams group.
    StreamsInitialRebalance(GroupId),
    /// A member of a consumer group gives partitions back.
    Revocation(GroupId, MemberId),
    /// A member of the classic protocol joins its consumer group again.
    MemberJoin(GroupId, MemberId),
    /// SyncGroup of a member of the classic protocol in a consumer group.
    MemberSync(GroupId, MemberId),
    /// The next look for expired offsets.
    OffsetExpiry,
}

/// What to do when the deadline has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimerAction {
    /// Remove the member unless it waits for an answer of ours.
    ExpireSession { group: GroupId, member: MemberId },
    /// Remove the member of a share group.
    ExpireShareSession { group: GroupId, member: MemberId },
    /// End the join phase without those who did not come.
    CompleteJoin { group: GroupId },
    /// End the first join phase of a group, or wait once more if somebody came during `delay`.
    ExtendInitialJoin {
        group: GroupId,
        delay: Duration,
        remaining: Duration,
    },
    /// Remove members that did not send SyncGroup.
    ExpireSync {
        group: GroupId,
        generation: Generation,
    },
    /// Remove a streams member that did not leave `epoch` by giving up tasks.
    ExpireStreamsRebalance {
        group: GroupId,
        member: MemberId,
        epoch: i32,
    },
    /// Remove a member that did not give partitions back, if it is still at this epoch.
    ExpireRevocation {
        group: GroupId,
        member: MemberId,
        epoch: i32,
    },
    /// Assign the tasks of a streams group for the first time.
    AssignStreamsGroup { group: GroupId },
    /// Remove a member that did not join again.
    ExpireMemberJoin { group: GroupId, member: MemberId },
    /// Remove a member that did not send SyncGroup.
    ExpireMemberSync { group: GroupId, member: MemberId },
    /// Write tombstones for expired offsets and for groups without anything left.
    ExpireOffsets,
}

impl TimerAction {
    fn key(&self) -> TimerKey {
        match self {
            Self::ExpireSession { group, member } | Self::ExpireShareSession { group, member } => {
                TimerKey::Session(group.clone(), member.clone())
            }
            Self::CompleteJoin { group } | Self::ExtendInitialJoin { group, .. } => {
                TimerKey::Join(group.clone())
            }
            Self::ExpireSync { group, .. } => TimerKey::Sync(group.clone()),
            Self::ExpireStreamsRebalance { group, member, .. } => {
                TimerKey::StreamsRebalance(group.clone(), member.clone())
            }
            Self::AssignStreamsGroup { group } => TimerKey::StreamsInitialRebalance(group.clone()),
            Self::ExpireRevocation { group, member, .. } => {
                TimerKey::Revocation(group.clone(), member.clone())
            }
            Self::ExpireMemberJoin { group, member } => {
                TimerKey::MemberJoin(group.clone(), member.clone())
            }
            Self::ExpireMemberSync { group, member } => {
                TimerKey::MemberSync(group.clone(), member.clone())
            }
            Self::ExpireOffsets => TimerKey::OffsetExpiry,
        }
    }
}

impl TimerKey {
    /// Everything that a member of a consumer group is waited for with.
    pub(crate) fn of_consumer(group: &GroupId, member: &MemberId) -> [Self; 4] {
        let key = || (group.clone(), member.clone());
        let with = |make: fn(GroupId, MemberId) -> Self| {
            let (group, member) = key();
            make(group, member)
        };
        [
            with(Self::Session),
            with(Self::Revocation),
            with(Self::MemberJoin),
            with(Self::MemberSync),
        ]
    }
}

/// When a deadline falls due, and the order among equals.
type Position = (Instant, u64);

/// All deadlines of a shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<Position, TimerAction>,
    positions: HashMap<TimerKey, Position>,
    scheduled: u64,
}

impl Timers {
    /// Sets or replaces the deadline of the action's key.
    pub(crate) fn schedule(&mut self, deadline: Instant, action: TimerAction) {
        let key = action.key();
        self.cancel(&key);
        let position = (deadline, self.scheduled);
        self.scheduled += 1;
        self.positions.insert(key, position);
        self.queue.insert(position, action);
    }

    pub(crate) fn cancel(&mut self, key: &TimerKey) {
        if let Some(position) = self.positions.remove(key) {
            self.queue.remove(&position);
        }
    }

    pub(crate) fn is_scheduled(&self, key: &TimerKey) -> bool {
        self.positions.contains_key(key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|(position, _)| position.0)
    }

    /// Takes the earliest action that is due at `now` and was scheduled before `limit`.
    pub(crate) fn pop_due(&mut self, now: Instant, limit: u64) -> Option<TimerAction> {
        let entry = self.queue.first_entry()?;
        let (deadline, scheduled) = *entry.key();
        if deadline > now || scheduled >= limit {
            return None;
        }
        let action = entry.remove();
        self.positions.remove(&action.key());
        Some(action)
    }

    /// The `limit` that covers everything scheduled so far: an action that schedules itself again for the same
    /// moment must not keep one call busy for ever.
    pub(crate) fn scheduled_so_far(&self) -> u64 {
        self.scheduled
    }
}
