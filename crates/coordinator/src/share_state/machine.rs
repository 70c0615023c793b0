//! The share coordinator of one partition of `__share_group_state`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use types::{Instant, Offset, Timestamp, TopicId};

use super::combine::combine;
use super::request::{
    InitializeShareState, ReadShareState, ShareStateError, ShareStateReply, ShareStateRequest,
    ShareStateSummary, WriteShareState,
};
use super::state::{
    SharePartitionKey, ShareSnapshot, ShareStateRecord, ShareUpdate, StoredShareState, epoch_number,
};
use crate::machine::{EndMarker, Machine, MachineOutput, Origin, Output, ReplyToken};
use crate::time::Now;

/// By what it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareStateSettings {
    /// `share.coordinator.snapshot.update.records.per.snapshot`.
    pub updates_per_snapshot: u32,
    /// How often the log is cut, and how old a snapshot must be to be written again so that the log can be cut
    /// (`share.coordinator.state.topic.prune.interval.ms` and `share.coordinator.cold.partition.snapshot.interval.ms`,
    /// which Kafka keeps internal).
    pub maintenance_interval: Duration,
}

/// What it wants done once its records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareStateEffect {
    /// Nothing below this offset is needed any more.
    CutLog {
        /// The first offset that is.
        before: Offset,
        /// Something that is kept in this partition of the topic, which tells which partition it is.
        of: SharePartitionKey,
    },
}

/// The share coordinator of one partition of `__share_group_state`.
#[derive(Debug)]
pub struct ShareStateShard {
    settings: ShareStateSettings,
    states: BTreeMap<SharePartitionKey, StoredShareState>,
    next_maintenance: Option<Instant>,
    /// The snapshots of the last output, by their position in it: the offsets come afterwards.
    unplaced: Vec<(u64, SharePartitionKey)>,
    /// Where the log was cut last.
    cut_at: Offset,
}

type ShareStateOutput = MachineOutput<ShareStateShard>;

impl Machine for ShareStateShard {
    type Settings = ShareStateSettings;
    type Request = ShareStateRequest;
    type Reply = ShareStateReply;
    type Record = ShareStateRecord;
    type Effect = ShareStateEffect;
    type ReplayError = Infallible;

    fn new(settings: ShareStateSettings) -> Self {
        Self {
            settings,
            states: BTreeMap::new(),
            next_maintenance: None,
            unplaced: Vec::new(),
            cut_at: Offset::ZERO,
        }
    }

    fn replay(
        &mut self,
        _now: Now,
        origin: Origin,
        record: ShareStateRecord,
    ) -> Result<(), Infallible> {
        let snapshot_of = match &record {
            ShareStateRecord::Snapshot { key, .. } => Some(key.clone()),
            ShareStateRecord::Update { .. } => None,
        };
        self.apply(record);
        let state = snapshot_of.and_then(|key| self.states.get_mut(&key));
        if let Some(state) = state {
            state.snapshot_at = Some(origin.offset);
        }
        Ok(())
    }

    /// Nothing in this topic belongs to a transaction.
    fn replay_marker(&mut self, _now: Now, _marker: EndMarker) {}

    fn start(&mut self, now: Now) -> ShareStateOutput {
        self.next_maintenance = Some(now.instant.plus(self.settings.maintenance_interval));
        Output::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_maintenance
    }

    fn handle(
        &mut self,
        now: Now,
        token: ReplyToken,
        request: ShareStateRequest,
    ) -> ShareStateOutput {
        let mut output = Output::default();
        let reply = match request {
            ShareStateRequest::Initialize(request) => {
                ShareStateReply::Done(self.initialize(now, &request, &mut output))
            }
            ShareStateRequest::Read(request) => {
                ShareStateReply::State(self.read(now, &request, &mut output))
            }
            ShareStateRequest::ReadSummary {
                key,
                partition_exists,
            } => ShareStateReply::Summary(self.summary(&key, partition_exists)),
            ShareStateRequest::Write(request) => {
                ShareStateReply::Done(self.write(now, request, &mut output))
            }
            ShareStateRequest::Delete {
                key,
                partition_exists,
            } => ShareStateReply::Done(self.delete(key, partition_exists, &mut output)),
            ShareStateRequest::TopicsDeleted(topics) => {
                self.forget_topics(&topics, &mut output);
                ShareStateReply::TopicsDeleted
            }
        };
        output.replies.push((token, reply));
        output
    }

    fn tick(&mut self, now: Now) -> ShareStateOutput {
        let mut output = Output::default();
        if self.next_maintenance.is_none_or(|due| due > now.instant) {
            return output;
        }
        self.next_maintenance = Some(now.instant.plus(self.settings.maintenance_interval));
        // What is written now has no place yet; it is cut at next time.
        let needed = self.first_needed();
        self.snapshot_cold(now.wall, &mut output);
        if let Some(before) = needed
            && before > self.cut_at
            && let Some((of, _)) = self.states.first_key_value()
        {
            let of = of.clone();
            self.cut_at = before;
            output.effects.push(ShareStateEffect::CutLog { before, of });
        }
        output
    }

    fn appended(&mut self, base_offset: Offset) {
        for (position, key) in self.unplaced.drain(..) {
            if let Some(state) = self.states.get_mut(&key) {
                state.snapshot_at = Some(base_offset.plus(position));
            }
        }
    }
}

impl ShareStateShard {
    /// What is kept of a partition.
    pub fn state(&self, key: &SharePartitionKey) -> Option<&StoredShareState> {
        self.states.get(key)
    }

    fn initialize(
        &mut self,
        now: Now,
        request: &InitializeShareState,
        output: &mut ShareStateOutput,
    ) -> Result<(), ShareStateError> {
        let before = self.states.get(&request.key);
        if is_behind(
            request.state_epoch,
            before.map(|state| state.state_epoch_seen),
        ) {
            return Err(ShareStateError::FencedStateEpoch);
        }
        exists(request.partition_exists)?;
        let snapshot = ShareSnapshot {
            snapshot_epoch: before.map_or(0, |before| before.state.snapshot_epoch + 1),
            state_epoch: request.state_epoch,
            leader_epoch: 0,
            start_offset: request.start_offset,
            // Nothing was handed out: how much is left can be told only from a known start.
            delivery_complete_count: if request.start_offset == -1 { -1 } else { 0 },
            created: now.wall,
            written: now.wall,
            batches: Vec::new(),
        };
        self.push(
            ShareStateRecord::Snapshot {
                key: request.key.clone(),
                value: Some(snapshot),
            },
            output,
        );
        Ok(())
    }

    fn read(
        &mut self,
        now: Now,
        request: &ReadShareState,
        output: &mut ShareStateOutput,
    ) -> Result<(i32, i64, Vec<crate::share_partition::StateBatch>), ShareStateError> {
        let stored = self.states.get(&request.key);
        let stored = stored.ok_or(ShareStateError::Uninitialized)?;
        let leader_epoch = epoch_number(request.leader_epoch);
        if stored.leader_epoch_seen > leader_epoch {
            return Err(ShareStateError::FencedLeaderEpoch);
        }
        exists(request.partition_exists)?;
        let state = &stored.state;
        let answer = (state.state_epoch, state.start_offset, state.batches.clone());
        if leader_epoch != -1 && stored.leader_epoch_seen != leader_epoch {
            // Fences the leaders before this one.
            let change = ShareUpdate {
                snapshot_epoch: state.snapshot_epoch,
                leader_epoch,
                start_offset: state.start_offset,
                delivery_complete_count: state.delivery_complete_count,
                batches: Vec::new(),
            };
            self.change(now, request.key.clone(), change, output);
        }
        Ok(answer)
    }

    fn summary(
        &self,
        key: &SharePartitionKey,
        partition_exists: bool,
    ) -> Result<ShareStateSummary, ShareStateError> {
        exists(partition_exists)?;
        let unknown = ShareStateSummary {
            state_epoch: 0,
            leader_epoch: 0,
            start_offset: -1,
            delivery_complete_count: -1,
        };
        let known = |stored: &StoredShareState| ShareStateSummary {
            state_epoch: stored.state.state_epoch,
            leader_epoch: stored.state.leader_epoch,
            start_offset: stored.state.start_offset,
            delivery_complete_count: stored.state.delivery_complete_count,
        };
        Ok(self.states.get(key).map_or(unknown, known))
    }

    fn write(
        &mut self,
        now: Now,
        request: WriteShareState,
        output: &mut ShareStateOutput,
    ) -> Result<(), ShareStateError> {
        let stored = self.states.get(&request.key);
        let stored = stored.ok_or(ShareStateError::Uninitialized)?;
        let leader_epoch = epoch_number(request.leader_epoch);
        if is_behind(leader_epoch, Some(stored.leader_epoch_seen)) {
            return Err(ShareStateError::FencedLeaderEpoch);
        }
        if is_behind(request.state_epoch, Some(stored.state_epoch_seen)) {
            return Err(ShareStateError::FencedStateEpoch);
        }
        exists(request.partition_exists)?;
        // A write that comes late, because it was tried again, brings back nothing that was done meanwhile. Kafka takes the
        // start offset back, and hands out again what it has forgotten.
        let state = &stored.state;
        let is_late = request.start_offset < state.start_offset;
        let (start_offset, delivery_complete_count) = match is_late {
            true => (state.start_offset, state.delivery_complete_count),
            false => (request.start_offset, request.delivery_complete_count),
        };
        let change = ShareUpdate {
            snapshot_epoch: state.snapshot_epoch,
            leader_epoch: state.leader_epoch,
            start_offset,
            delivery_complete_count,
            batches: combine(&[], &request.batches, start_offset),
        };
        self.change(now, request.key, change, output);
        Ok(())
    }

    /// Writes a change as an update or, when there were many, the whole state with it.
    fn change(
        &mut self,
        now: Now,
        key: SharePartitionKey,
        change: ShareUpdate,
        output: &mut ShareStateOutput,
    ) {
        let stored = self.states.get(&key);
        let due = stored.filter(|stored| stored.updates >= self.settings.updates_per_snapshot);
        let record = match due.cloned() {
            None => ShareStateRecord::Update { key, value: change },
            Some(mut stored) => {
                stored.update(&change);
                let value = ShareSnapshot {
                    snapshot_epoch: stored.state.snapshot_epoch + 1,
                    created: now.wall,
                    written: now.wall,
                    ..stored.state
                };
                ShareStateRecord::Snapshot {
                    key,
                    value: Some(value),
                }
            }
        };
        self.push(record, output);
    }

    fn delete(
        &mut self,
        key: SharePartitionKey,
        partition_exists: bool,
        output: &mut ShareStateOutput,
    ) -> Result<(), ShareStateError> {
        exists(partition_exists)?;
        if self.states.contains_key(&key) {
            self.push(ShareStateRecord::Snapshot { key, value: None }, output);
        }
        Ok(())
    }

    fn forget_topics(&mut self, topics: &[TopicId], output: &mut ShareStateOutput) {
        let keys = self.states.keys();
        let gone: Vec<_> = keys
            .filter(|key| topics.contains(&key.topic))
            .cloned()
            .collect();
        for key in gone {
            self.push(ShareStateRecord::Snapshot { key, value: None }, output);
        }
    }

    /// States that nobody changes hold the log back: their snapshots are written again, unless all are that old
    /// (`snapshotColdPartitions`).
    fn snapshot_cold(&mut self, now: Timestamp, output: &mut ShareStateOutput) {
        let is_cold = |stored: &StoredShareState| stored.state.created != stored.state.written;
        if self.states.values().all(is_cold) {
            return;
        }
        let interval = i64::try_from(self.settings.maintenance_interval.as_millis());
        let interval = interval.unwrap_or(i64::MAX);
        let old: Vec<_> = self
            .states
            .iter()
            .filter(|(_, stored)| now.ms().saturating_sub(stored.state.written.ms()) >= interval)
            .map(|(key, stored)| (key.clone(), stored.state.clone()))
            .collect();
        for (key, state) in old {
            let value = ShareSnapshot {
                snapshot_epoch: state.snapshot_epoch + 1,
                written: now,
                ..state
            };
            self.push(
                ShareStateRecord::Snapshot {
                    key,
                    value: Some(value),
                },
                output,
            );
        }
    }

    /// The oldest offset that a load needs. `None` while there is nothing to need, or a snapshot's place is unknown.
    fn first_needed(&self) -> Option<Offset> {
        let offsets = self.states.values().map(|stored| stored.snapshot_at);
        offsets.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    fn push(&mut self, record: ShareStateRecord, output: &mut ShareStateOutput) {
        if let ShareStateRecord::Snapshot {
            key,
            value: Some(_),
        } = &record
        {
            let position = u64::try_from(output.records.len()).unwrap_or(u64::MAX);
            self.unplaced.push((position, key.clone()));
        }
        self.apply(record.clone());
        output.records.push(record);
    }

    fn apply(&mut self, record: ShareStateRecord) {
        match record {
            ShareStateRecord::Snapshot { key, value: None } => {
                self.states.remove(&key);
            }
            ShareStateRecord::Snapshot {
                key,
                value: Some(state),
            } => {
                let before = self.states.remove(&key);
                let updates_max = self.settings.updates_per_snapshot;
                let stored = StoredShareState::after_snapshot(before, state, updates_max);
                self.states.insert(key, stored);
            }
            ShareStateRecord::Update { key, value } => match self.states.get_mut(&key) {
                Some(stored) => stored.update(&value),
                None => {
                    self.states
                        .insert(key, StoredShareState::from_update(&value));
                }
            },
        }
    }
}

/// Whether `epoch` is named and older than what was seen.
fn is_behind(epoch: i32, seen: Option<i32>) -> bool {
    epoch != -1 && seen.is_some_and(|seen| seen > epoch)
}

fn exists(partition_exists: bool) -> Result<(), ShareStateError> {
    partition_exists
        .then_some(())
        .ok_or(ShareStateError::UnknownTopicOrPartition)
}
