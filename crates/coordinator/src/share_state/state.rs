//! What is kept of one partition of one group, and the records that carry it.

use types::{GroupId, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use super::combine::combine;
use crate::share_partition::StateBatch;

/// A partition of a topic as a group reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharePartitionKey {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: PartitionIndex,
}

/// `SharePartitionKey.asCoordinatorKey`: its hash chooses the partition of `__share_group_state`.
impl std::fmt::Display for SharePartitionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}:{}:{}",
            self.group, self.topic, self.partition
        )
    }
}

/// Everything about a partition (`ShareSnapshotValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSnapshot {
    /// Counts the snapshots of the partition.
    pub snapshot_epoch: i32,
    /// Counts the times the state was begun anew.
    pub state_epoch: i32,
    /// The leader epoch of the last reader.
    pub leader_epoch: i32,
    /// Offsets below are done; -1 if nothing was handed out yet.
    pub start_offset: i64,
    /// Records at or above the start offset that are done; -1 if unknown.
    pub delivery_complete_count: i32,
    /// When the state was begun, or last written whole because it had many updates.
    pub created: Timestamp,
    /// When this snapshot was written.
    pub written: Timestamp,
    /// States of records, ascending.
    pub batches: Vec<StateBatch>,
}

/// What changed since the snapshot or the last update (`ShareUpdateValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareUpdate {
    /// The snapshot it builds on.
    pub snapshot_epoch: i32,
    /// The leader epoch of the last reader; -1 if unchanged.
    pub leader_epoch: i32,
    /// Offsets below are done; -1 if unchanged.
    pub start_offset: i64,
    /// Records at or above the start offset that are done; -1 if unknown.
    pub delivery_complete_count: i32,
    /// States that changed.
    pub batches: Vec<StateBatch>,
}

/// A record of `__share_group_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareStateRecord {
    /// Begins a state, or writes it whole; without a value the state is gone.
    Snapshot {
        /// Of which partition.
        key: SharePartitionKey,
        /// The state.
        value: Option<ShareSnapshot>,
    },
    /// Changes a state.
    Update {
        /// Of which partition.
        key: SharePartitionKey,
        /// The change.
        value: ShareUpdate,
    },
}

/// What is kept of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShareState {
    /// As a snapshot written now would have it.
    pub state: ShareSnapshot,
    /// The largest leader epoch that asked; smaller ones are fenced.
    pub(super) leader_epoch_seen: i32,
    /// The largest state epoch; writers of smaller ones are fenced.
    pub(super) state_epoch_seen: i32,
    /// Updates since the snapshot.
    pub(super) updates: u32,
    /// Where the snapshot lies, once that is known. What lies before is redundant for this partition.
    pub(super) snapshot_at: Option<Offset>,
}

impl StoredShareState {
    /// The state a snapshot begins or replaces.
    pub(super) fn after_snapshot(
        before: Option<Self>,
        state: ShareSnapshot,
        updates_max: u32,
    ) -> Self {
        match before {
            None => Self {
                leader_epoch_seen: state.leader_epoch,
                state_epoch_seen: state.state_epoch,
                updates: 0,
                snapshot_at: None,
                state,
            },
            Some(before) => Self {
                leader_epoch_seen: before.leader_epoch_seen.max(state.leader_epoch),
                state_epoch_seen: before.state_epoch_seen.max(state.state_epoch),
                updates: if before.updates >= updates_max {
                    0
                } else {
                    before.updates
                },
                snapshot_at: before.snapshot_at,
                state,
            },
        }
    }

    /// The state with a change.
    pub(super) fn update(&mut self, change: &ShareUpdate) {
        let state = &mut self.state;
        if change.start_offset != -1 {
            state.start_offset = change.start_offset;
        }
        if change.leader_epoch != -1 {
            state.leader_epoch = change.leader_epoch;
        }
        state.delivery_complete_count = change.delivery_complete_count;
        state.batches = combine(&state.batches, &change.batches, state.start_offset);
        self.leader_epoch_seen = self.leader_epoch_seen.max(change.leader_epoch);
        self.updates = self.updates.saturating_add(1);
    }

    /// A state of which only an update is left: its snapshot was not written by us.
    pub(super) fn from_update(change: &ShareUpdate) -> Self {
        Self {
            state: ShareSnapshot {
                snapshot_epoch: change.snapshot_epoch,
                state_epoch: 0,
                leader_epoch: change.leader_epoch,
                start_offset: change.start_offset,
                delivery_complete_count: change.delivery_complete_count,
                created: Timestamp::from_ms(0),
                written: Timestamp::from_ms(0),
                batches: change.batches.clone(),
            },
            leader_epoch_seen: change.leader_epoch,
            state_epoch_seen: -1,
            updates: 1,
            snapshot_at: None,
        }
    }
}

/// The number of an epoch, or -1 if none was named.
pub(super) fn epoch_number(epoch: Option<LeaderEpoch>) -> i32 {
    epoch.map_or(-1, LeaderEpoch::value)
}
