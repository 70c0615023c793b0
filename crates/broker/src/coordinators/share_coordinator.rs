//! The share coordinator: the states of share groups' partitions, kept in `__share_group_state`.
//!
//! What a request does is done when its method returns, as long as the coordinator serves; the future waits for
//! durability. While it loads, and before its topic exists, a request is tried again for a while: its askers are this
//! broker's own share partitions and groups, which would only do the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::share_partition::StateBatch;
use coordinator::share_state::{
    InitializeShareState, ReadShareState, SharePartitionKey, ShareStateEffect, ShareStateError,
    ShareStateReply, ShareStateRequest, ShareStateSettings, ShareStateShard, ShareStateSummary,
    WriteShareState,
};
use env::{Env, Spawner};
use metadata::{ClusterImage, InternalTopic};
use tokio_util::sync::CancellationToken;
use types::{LeaderEpoch, Offset, PartitionIndex};

use super::coordinator::{Coordinator, java_string_hash, receive};
use super::errors::CoordinatorError;
use super::in_flight::EffectHandler;
use super::shard::PendingReply;
use super::state_topic::BrokerTopic;
use crate::topics::Topics;

/// How long a request is tried again (`share.coordinator.write.timeout.ms`).
const TRY_FOR: Duration = Duration::from_secs(5);
/// How long it waits before it tries again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// See [`ShareStateSettings::maintenance_interval`].
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What the state machine says.
type Answer<T> = Result<Result<T, ShareStateError>, CoordinatorError>;

/// All states of share groups.
#[derive(Debug)]
pub(crate) struct ShareCoordinator {
    env: Env,
    coordinator: Coordinator<ShareStateShard>,
}

impl ShareCoordinator {
    /// Loads nothing before [`Self::run_timers`] runs or somebody asks.
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        let env = topics.env.clone();
        let cutter = Arc::clone(&topics);
        let spawner = Arc::clone(&env.spawner);
        let effects = EffectHandler::new(move |effect| match effect {
            ShareStateEffect::CutLog { before, of } => {
                cut_log(&spawner, Arc::clone(&cutter), before, of);
            }
        });
        let topic = BrokerTopic::new(topics, InternalTopic::ShareGroupState, settings);
        Self {
            env: env.clone(),
            coordinator: Coordinator::new(env, Arc::new(topic), effects),
        }
    }

    /// See [`Coordinator::look`].
    pub(super) fn look(&self) -> BTreeMap<&'static str, usize> {
        self.coordinator.look(|_shard| ())
    }

    /// InitializeShareGroupState of one partition.
    pub(crate) async fn initialize(&self, request: InitializeShareState) -> Answer<()> {
        let key = request.key.clone();
        self.ask(&key, ShareStateRequest::Initialize(request))
            .await
            .map(done)
    }

    /// ReadShareGroupState of one partition: state epoch, start offset, states.
    pub(crate) async fn read(
        &self,
        request: ReadShareState,
    ) -> Answer<(i32, i64, Vec<StateBatch>)> {
        let key = request.key.clone();
        match self.ask(&key, ShareStateRequest::Read(request)).await? {
            ShareStateReply::State(state) => Ok(state),
            other => unreachable!("the machine answered {other:?}"),
        }
    }

    /// ReadShareGroupStateSummary of one partition.
    pub(crate) async fn summary(
        &self,
        key: SharePartitionKey,
        partition_exists: bool,
    ) -> Answer<ShareStateSummary> {
        let request = ShareStateRequest::ReadSummary {
            key: key.clone(),
            partition_exists,
        };
        match self.ask(&key, request).await? {
            ShareStateReply::Summary(summary) => Ok(summary),
            other => unreachable!("the machine answered {other:?}"),
        }
    }

    /// WriteShareGroupState of one partition.
    pub(crate) fn write(
        self: &Arc<Self>,
        request: WriteShareState,
    ) -> impl Future<Output = Answer<()>> + Send + use<> {
        let key = request.key.clone();
        let request = ShareStateRequest::Write(request);
        // Tried here and now, so that writes of one partition keep their order.
        let first = self.coordinator.call(&key.to_string(), request.clone());
        let coordinator = Arc::clone(self);
        async move { coordinator.ask_on(&key, request, first).await.map(done) }
    }

    /// DeleteShareGroupState of one partition.
    pub(crate) async fn delete(
        &self,
        key: SharePartitionKey,
        partition_exists: bool,
    ) -> Answer<()> {
        let request = ShareStateRequest::Delete {
            key: key.clone(),
            partition_exists,
        };
        self.ask(&key, request).await.map(done)
    }

    /// Forgets the states of topics that were deleted. A shard that cannot do so now keeps them; nobody asks for them.
    pub(crate) async fn topics_deleted(&self, topics: Vec<types::TopicId>) {
        let forget = || ShareStateRequest::TopicsDeleted(topics.clone());
        for reply in self.coordinator.call_all(forget) {
            if let Err(error) = receive::<ShareStateShard>(reply).await {
                tracing::warn!(%error, "kept the share states of a deleted topic");
            }
        }
    }

    /// The partition of `__share_group_state` that a key (`group:topic id:partition`) belongs to, once the topic exists.
    pub(crate) fn partition_of(&self, key: &str) -> Option<PartitionIndex> {
        self.coordinator.partition_of(key)
    }

    /// Makes sure that there is a topic to keep states in.
    ///
    /// # Errors
    /// The topic could not be created.
    pub(crate) async fn ensure_topic(&self) -> Result<(), CoordinatorError> {
        self.coordinator.ensure_topic().await
    }

    /// Loads what there is, and then does what is due whenever it is, until `stopping`.
    pub(crate) async fn run_timers(self: Arc<Self>, stopping: CancellationToken) {
        self.coordinator.run_timers(stopping).await;
    }

    /// Ends all shards.
    pub(crate) fn unload(&self) {
        self.coordinator.unload();
    }

    async fn ask(
        &self,
        key: &SharePartitionKey,
        request: ShareStateRequest,
    ) -> Result<ShareStateReply, CoordinatorError> {
        let first = self.coordinator.call(&key.to_string(), request.clone());
        self.ask_on(key, request, first).await
    }

    async fn ask_on(
        &self,
        key: &SharePartitionKey,
        request: ShareStateRequest,
        first: Result<PendingReply<ShareStateShard>, CoordinatorError>,
    ) -> Result<ShareStateReply, CoordinatorError> {
        let clock = &self.env.clock;
        let deadline = clock.now().plus(TRY_FOR);
        let mut attempt = first;
        loop {
            let error = match receive::<ShareStateShard>(attempt).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let now = clock.now();
            if error == CoordinatorError::Refused || now >= deadline {
                return Err(error);
            }
            self.coordinator.ensure_topic().await?;
            clock.sleep_until(now.plus(TRY_AGAIN_AFTER)).await;
            attempt = self.coordinator.call(&key.to_string(), request.clone());
        }
    }
}

fn done(reply: ShareStateReply) -> Result<(), ShareStateError> {
    match reply {
        ShareStateReply::Done(result) => result,
        other => unreachable!("the machine answered {other:?}"),
    }
}

/// Removes records that no load needs (`ShareCoordinatorService.performRecordPruning`).
fn cut_log(spawner: &Arc<dyn Spawner>, topics: Arc<Topics>, before: Offset, of: SharePartitionKey) {
    let work = move || {
        let image = topics.image();
        let Some(topic) = image.topic(InternalTopic::ShareGroupState.name()) else {
            return;
        };
        let hash = java_string_hash(&of.to_string()).checked_abs().unwrap_or(0);
        let Some(partition) = hash.checked_rem(topic.partitions) else {
            return;
        };
        let Ok(led) = topics.leading(topic, partition, -1) else {
            return;
        };
        if let Err(error) = led.log.delete_records(Some(before)) {
            tracing::warn!(%error, partition, "could not cut the log of share states");
        }
    };
    let spawner_of_work = Arc::clone(spawner);
    spawner.spawn(Box::pin(async move {
        spawner_of_work.run_blocking(Box::new(work)).await;
    }));
}

fn settings(
    image: &ClusterImage,
    _epoch: LeaderEpoch,
    _record_bytes_max: usize,
) -> ShareStateSettings {
    let updates = image
        .broker
        .values
        .share_coordinator_snapshot_update_records_per_snapshot;
    ShareStateSettings {
        updates_per_snapshot: u32::try_from(updates).unwrap_or(0),
        maintenance_interval: MAINTENANCE_INTERVAL,
    }
}
