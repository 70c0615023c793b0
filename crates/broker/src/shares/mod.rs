//! Share groups beside their coordinator: the share partitions this broker leads, sessions of their readers, and the
//! conversations of group coordinator and share coordinator.
//!
//! | File | What |
//! |---|---|
//! | `partition` | one share partition: loading, serving, who waits for it |
//! | `fetch` | reading records and handing them out |
//! | `acknowledge` | acknowledgements and released records, until they are persisted; locks that run out |
//! | `sessions` | what a member reads |
//! | `groups` | heartbeats, offsets and deletion of share groups: both coordinators together |
//! | `turns` | one conversation about a group at a time |
//! | `reset` | where reading begins |
//! | `wait` | a fetch that waits |
//!
//! Invariant: what was handed out or acknowledged is decided by the partition's machine under its lock; the share
//! coordinator is told in the order of the decisions, and a member hears of success only when that is durable.

mod acknowledge;
mod fetch;
mod groups;
mod partition;
mod reset;
mod sessions;
mod turns;
mod wait;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use coordinator::share_partition::{RecordState, ShareLimits, SharePartition, StateBatch};
use coordinator::share_state::{ReadShareState, SharePartitionKey, ShareStateError};
use coordinator::{TopicImage, TopicsImage};
use metadata::ClusterImage;
use parking_lot::Mutex;
use protocol::{ErrorCode, Uuid};
use tokio_util::sync::CancellationToken;
use types::{GroupId, PartitionIndex, TopicId};

use self::partition::{LivePartition, State};
use self::reset::Reset;
use self::sessions::{SessionKey, ShareSessions};
use self::turns::Turns;
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator, ShareCoordinator, Wakeup};
use crate::handlers::{blocking, errors};
use crate::topics::Topics;

pub(crate) use fetch::{Fetched, ShareFetch};
pub(crate) use groups::state_refusal;
pub(crate) use sessions::{OpenSession, SessionRequest, ShareScope, ShareSessionError};

/// A partition as requests name it.
pub(crate) type TopicKey = (Uuid, i32);

/// Everything about share groups.
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Arc<GroupCoordinator>,
    pub(crate) coordinator: Arc<ShareCoordinator>,
    partitions: Mutex<HashMap<SharePartitionKey, Arc<LivePartition>>>,
    sessions: ShareSessions,
    turns: Turns,
    wakeup: Wakeup,
    /// The topics as groups see them, made anew when the metadata changes.
    topics_image: Mutex<Arc<TopicsImage>>,
}

impl Shares {
    pub(crate) fn new(
        topics: Arc<Topics>,
        groups: Arc<GroupCoordinator>,
        coordinator: Arc<ShareCoordinator>,
    ) -> Self {
        let image = Arc::new(topics_image(&topics.image()));
        Self {
            topics,
            groups,
            coordinator,
            partitions: Mutex::default(),
            sessions: ShareSessions::default(),
            turns: Turns::default(),
            wakeup: Wakeup::new(),
            topics_image: Mutex::new(image),
        }
    }

    /// Whether the cluster speaks this protocol (`share.version`).
    pub(crate) fn is_enabled(&self) -> bool {
        self.topics.image().features.level(metadata::SHARE_VERSION) > 0
    }

    /// Begins, continues or is about to end a session. A session ends with its connection too.
    pub(crate) fn begin_session(
        self: &Arc<Self>,
        context: &Context,
        request: &SessionRequest<'_>,
    ) -> Result<ShareScope, ShareSessionError> {
        let broker = &self.topics.image().broker;
        let sessions_max = usize::try_from(broker.values.group_share_max_share_sessions);
        let scope = self.sessions.begin(request, sessions_max.unwrap_or(0))?;
        if let ShareScope::Opened(session) = &scope {
            let (shares, key) = (Arc::clone(self), request.key.clone());
            let (serial, ended) = (session.serial, session.ended.clone());
            let closed = context.connection.closed.clone();
            self.topics.env.spawner.spawn(Box::pin(async move {
                // One task for each session that is open, however often clients open them.
                tokio::select! {
                    biased;
                    () = closed.cancelled() => shares.disconnected(&key, serial),
                    () = ended.cancelled() => shares.forget_idle(&key.0),
                }
            }));
        }
        Ok(scope)
    }

    /// A ShareAcknowledge in a session; true if it closes it.
    pub(crate) fn acknowledge_in_session(
        &self,
        key: &SessionKey,
        epoch: i32,
    ) -> Result<bool, ShareSessionError> {
        self.sessions.acknowledge(key, epoch)
    }

    /// The connection of a session is gone: so is the member.
    fn disconnected(self: &Arc<Self>, key: &SessionKey, serial: u64) {
        self.end_session(key, Some(serial));
        self.forget_idle(&key.0);
    }

    /// Without readers a group's partitions are let go; what is in flight to the share coordinator gets there.
    fn forget_idle(&self, group: &GroupId) {
        let mut partitions = self.partitions.lock();
        // Under the lock: a session that begins now takes up new partitions, not those that end here.
        if self.sessions.has_group(group) {
            return;
        }
        let of_group = |_: &SharePartitionKey, partition: &mut Arc<LivePartition>| {
            partition.key.group == *group
        };
        let ended: Vec<_> = partitions.extract_if(of_group).collect();
        drop(partitions);
        for (_, partition) in ended {
            partition.end(State::Ended);
        }
    }

    /// The share partition, which begins to load if it is new.
    fn partition(
        self: &Arc<Self>,
        group: &GroupId,
        (topic, index): TopicKey,
    ) -> Result<Arc<LivePartition>, ErrorCode> {
        let image = self.topics.image();
        let topic = Topics::by_id(&image, topic).map_err(errors::partition)?;
        let led = self
            .topics
            .leading(topic, index, -1)
            .map_err(errors::partition)?;
        let key =
            partition_key(group, topic.id, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let mut partitions = self.partitions.lock();
        let usable =
            |partition: &&Arc<LivePartition>| partition.epoch == led.epoch && !partition.is_over();
        if let Some(known) = partitions.get(&key).filter(usable) {
            return Ok(Arc::clone(known));
        }
        let partition = Arc::new(LivePartition::new(key.clone(), led.log, led.epoch));
        let before = partitions.insert(key, Arc::clone(&partition));
        drop(partitions);
        if let Some(before) = before {
            before.end(State::Ended);
        }
        let (shares, loading) = (Arc::clone(self), Arc::clone(&partition));
        let load = async move { shares.load(loading).await };
        self.topics.env.spawner.spawn(Box::pin(load));
        Ok(partition)
    }

    /// The share partition, if it was read from.
    fn known_partition(&self, group: &GroupId, key: TopicKey) -> Option<Arc<LivePartition>> {
        let key = partition_key(group, TopicId::new(key.0.0)?, key.1)?;
        self.partitions.lock().get(&key).cloned()
    }

    async fn load(self: Arc<Self>, partition: Arc<LivePartition>) {
        let state = match self.loaded(&partition).await {
            Ok(machine) => State::Serving(Box::new(machine)),
            Err(code) => {
                self.forget(&partition);
                State::Failed(code)
            }
        };
        let mut inner = partition.lock();
        if matches!(inner.state, State::Loading) {
            inner.state = state;
        }
        drop(inner);
        partition.wake();
    }

    async fn loaded(&self, partition: &Arc<LivePartition>) -> Result<SharePartition, ErrorCode> {
        let request = ReadShareState {
            key: partition.key.clone(),
            partition_exists: true,
            leader_epoch: Some(partition.epoch),
        };
        let read = self
            .coordinator
            .read(request)
            .await
            .map_err(persister_down)?;
        let (state_epoch, start_offset, batches) = read.map_err(persister)?;
        let start_offset = match start_offset {
            -1 => self.first_offset(partition).await?,
            known => known,
        };
        let values = &self.topics.image().broker.values;
        let limits = ShareLimits {
            in_flight_max: values.group_share_partition_max_record_locks.into(),
            delivery_count_max: values.group_share_delivery_count_limit,
        };
        let batches = without_done(batches, start_offset);
        SharePartition::new(limits, state_epoch, start_offset, &batches).map_err(|error| {
            tracing::error!(%error, partition = %partition.key, "the state of a share partition is impossible");
            ErrorCode::UnknownServerError
        })
    }

    async fn first_offset(&self, partition: &Arc<LivePartition>) -> Result<i64, ErrorCode> {
        let group = partition.key.group.as_str();
        let settings = self.topics.image().group_settings(group);
        let reset = Reset::parse(&settings.share_auto_offset_reset);
        let log = Arc::clone(&partition.log);
        let now = self.topics.env.clock.wall();
        let offset = blocking::run(&self.topics.env, move || reset.offset(&*log, now)).await;
        offset
            .map(|offset| offset.value())
            .map_err(|error| errors::read(&error))
    }

    /// Takes a partition out, unless another life of it is in already.
    fn forget(&self, partition: &Arc<LivePartition>) {
        let mut partitions = self.partitions.lock();
        if partitions
            .get(&partition.key)
            .is_some_and(|known| Arc::ptr_eq(known, partition))
        {
            partitions.remove(&partition.key);
        }
    }

    /// Takes records back whose locks run out, until `stopping`.
    pub(crate) async fn run_timers(self: Arc<Self>, stopping: CancellationToken) {
        let clock = Arc::clone(&self.topics.env.clock);
        while !stopping.is_cancelled() {
            self.wakeup.begin_round();
            let next = self.tick();
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = self.wakeup.sleep(&*clock, next) => {}
            }
        }
    }

    /// The topics as groups see them now.
    fn topics_image(&self) -> Arc<TopicsImage> {
        let image = self.topics.image();
        let mut known = self.topics_image.lock();
        if known.revision() != image.revision.value() {
            *known = Arc::new(topics_image(&image));
        }
        Arc::clone(&known)
    }
}

fn topics_image(image: &ClusterImage) -> TopicsImage {
    let topics = image.topics().map(|topic| TopicImage {
        id: topic.id,
        name: topic.name.clone(),
        partitions: topic.partitions,
    });
    TopicsImage::new(image.revision.value(), topics)
}

/// States from the start offset on. Kafka's combiner leaves no others; a start offset that was reset meanwhile would.
fn without_done(batches: Vec<StateBatch>, start_offset: i64) -> Vec<StateBatch> {
    let live = batches
        .into_iter()
        .filter(|batch| batch.last >= start_offset);
    live.map(|batch| StateBatch {
        first: batch.first.max(start_offset),
        ..batch
    })
    .collect()
}

pub(crate) fn partition_key(
    group: &GroupId,
    topic: TopicId,
    partition: i32,
) -> Option<SharePartitionKey> {
    Some(SharePartitionKey {
        group: group.clone(),
        topic,
        partition: PartitionIndex::new(partition)?,
    })
}

/// What a member is told when the share coordinator refuses (`SharePartition.fetchPersisterError`).
fn persister(error: ShareStateError) -> ErrorCode {
    match error {
        ShareStateError::FencedLeaderEpoch | ShareStateError::FencedStateEpoch => {
            ErrorCode::NotLeaderOrFollower
        }
        ShareStateError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        ShareStateError::Uninitialized => ErrorCode::UnknownServerError,
    }
}

/// What a member is told when there is no share coordinator.
fn persister_down(error: CoordinatorError) -> ErrorCode {
    match error {
        CoordinatorError::LoadInProgress
        | CoordinatorError::NotAvailable
        | CoordinatorError::NotCoordinator => ErrorCode::CoordinatorNotAvailable,
        _ => ErrorCode::UnknownServerError,
    }
}

/// The state of a record with this number, as requests carry it.
pub(crate) fn record_state(id: i8) -> Option<RecordState> {
    RecordState::from_id(id)
}
