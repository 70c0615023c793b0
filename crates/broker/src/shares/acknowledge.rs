//! Acknowledgements and released records on their way to the share coordinator, and locks that run out.

use std::sync::Arc;
use std::time::Duration;

use coordinator::share_partition::{AcknowledgeError, AcknowledgementBatch, StateWrite};
use coordinator::share_state::WriteShareState;
use protocol::ErrorCode;
use tokio::sync::oneshot;
use types::{GroupId, Instant, MemberId};

use super::fetch::milliseconds;
use super::partition::{Inner, LivePartition, State};
use super::sessions::SessionKey;
use super::{Shares, TopicKey, persister, persister_down};

impl Shares {
    /// How long a member may keep records.
    pub(crate) fn lock_duration_ms(&self, group: &GroupId) -> i32 {
        let settings = self.topics.image().group_settings(group.as_str());
        settings.share_record_lock_duration_ms
    }

    /// Takes up what a member says about records of a partition. The effect is made when this returns; the future
    /// resolves when it is final.
    pub(crate) fn acknowledge(
        self: &Arc<Self>,
        group: &GroupId,
        member: &MemberId,
        key: TopicKey,
        batches: &[AcknowledgementBatch],
    ) -> impl Future<Output = ErrorCode> + Send + use<> {
        let outcome = self.begin_acknowledge(group, member, key, batches);
        async move {
            match outcome {
                Ok(written) => written.await.unwrap_or(ErrorCode::UnknownServerError),
                Err(code) => code,
            }
        }
    }

    fn begin_acknowledge(
        self: &Arc<Self>,
        group: &GroupId,
        member: &MemberId,
        key: TopicKey,
        batches: &[AcknowledgementBatch],
    ) -> Result<oneshot::Receiver<ErrorCode>, ErrorCode> {
        let partition = self.known_partition(group, key);
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let now = self.topics.env.clock.now();
        let lock_duration = milliseconds(self.lock_duration_ms(group));
        let mut inner = partition.lock();
        let machine = inner.machine().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let write = machine.acknowledge(now, member, batches, lock_duration);
        let write = write.map_err(|error| match error {
            AcknowledgeError::InvalidRecordState => ErrorCode::InvalidRecordState,
            AcknowledgeError::InvalidRequest => ErrorCode::InvalidRequest,
        })?;
        if let Some(deadline) = machine.next_deadline() {
            self.wakeup.wake_at(deadline);
        }
        let written = self.write(&partition, &mut inner, write);
        drop(inner);
        Ok(written)
    }

    /// Ends a session: what its member has is available again when the share coordinator knows it.
    pub(crate) fn end_session(self: &Arc<Self>, key: &SessionKey, serial: Option<u64>) {
        let Some(read) = self.sessions.remove(key, serial) else {
            return;
        };
        for topic in read.iter() {
            if let Some(partition) = self.known_partition(&key.0, *topic) {
                let mut inner = partition.lock();
                let Some(machine) = inner.machine() else {
                    continue;
                };
                let write = machine.release(&key.1);
                // Nobody waits for the outcome: a failed write gives the records back to the member, whose locks run
                // out.
                drop(self.write(&partition, &mut inner, write));
            }
        }
    }

    /// Takes records back whose locks have run out; when to look again.
    pub(super) fn tick(self: &Arc<Self>) -> Option<Instant> {
        let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
        let now = self.topics.env.clock.now();
        let image = self.topics.image();
        let mut next: Option<Instant> = None;
        for partition in partitions {
            if image.topic_by_id(partition.key.topic).is_none() {
                self.forget(&partition);
                partition.end(State::Ended);
                continue;
            }
            let mut inner = partition.lock();
            let Some(machine) = inner.machine() else {
                continue;
            };
            let write = machine.tick(now);
            let deadline = machine.next_deadline();
            let has_freed = write.is_some();
            drop(self.write(&partition, &mut inner, write));
            drop(inner);
            if has_freed {
                partition.wake();
            }
            next = match (next, deadline) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        next
    }

    /// Tells the share coordinator, under the partition's lock so that writes keep the order of changes. The change is
    /// settled in the background, whether anybody waits for it or not.
    fn write(
        self: &Arc<Self>,
        partition: &Arc<LivePartition>,
        _order: &mut Inner,
        write: Option<StateWrite>,
    ) -> oneshot::Receiver<ErrorCode> {
        let (sender, written) = oneshot::channel();
        let Some(write) = write else {
            // Nobody has gone away yet: the receiver is here.
            let _ = sender.send(ErrorCode::None);
            return written;
        };
        let id = write.id;
        let request = WriteShareState {
            key: partition.key.clone(),
            partition_exists: self
                .topics
                .image()
                .topic_by_id(partition.key.topic)
                .is_some(),
            state_epoch: write.state_epoch,
            leader_epoch: Some(partition.epoch),
            start_offset: write.start_offset,
            delivery_complete_count: write.delivery_complete_count,
            batches: write.batches,
        };
        let outcome = self.coordinator.write(request);
        let (shares, partition) = (Arc::clone(self), Arc::clone(partition));
        self.topics.env.spawner.spawn(Box::pin(async move {
            let code = match outcome.await {
                Ok(Ok(())) => ErrorCode::None,
                Ok(Err(error)) => persister(error),
                Err(error) => persister_down(error),
            };
            let now = shares.topics.env.clock.now();
            let mut inner = partition.lock();
            if let Some(machine) = inner.machine() {
                machine.complete(now, id, code == ErrorCode::None);
                if let Some(deadline) = machine.next_deadline() {
                    shares.wakeup.wake_at(deadline);
                }
            }
            drop(inner);
            if matches!(
                code,
                ErrorCode::NotLeaderOrFollower | ErrorCode::UnknownTopicOrPartition
            ) {
                // The state has begun anew without us; so must we.
                shares.forget(&partition);
                partition.end(State::Ended);
            }
            // Records may be back, or the start may have moved on and made room.
            partition.wake();
            // Whoever asked may have gone away.
            let _ = sender.send(code);
        }));
        written
    }

    /// How long a fetch that may not open a session waits, so that clients do not ask in a loop.
    pub(crate) async fn idle(&self, since: Instant, wait: Duration) {
        let clock = &self.topics.env.clock;
        clock.sleep_until(since.plus(wait)).await;
    }
}
