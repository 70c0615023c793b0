//! The transaction coordinator as handlers see it.
//!
//! As with groups, what a method does is done before it returns its future, as long as no producer id has to be fetched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    AddPartitionsError, AddPartitionsRequest, ClaimedProducer, DescribedTransaction, EndError,
    EndRequest, FreshId, InitProducerError, InitProducerRequest, ListTransactionsRequest,
    ListedTransaction, Markers, MarkersWritten, Producer, TransactionEffect, TransactionReply,
    TransactionRequest, TransactionSettings, TransactionShard, TransactionVersion,
    VerifiedPartition, VerifyPartitionsError, VerifyPartitionsRequest,
};
use env::Env;
use metadata::{Cluster, ClusterImage, InternalTopic, TRANSACTION_VERSION};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use types::{LeaderEpoch, PartitionIndex, TransactionalId};

use super::coordinator::{Coordinator, receive};
use super::errors::CoordinatorError;
use super::group_coordinator::GroupCoordinator;
use super::in_flight::EffectHandler;
use super::markers::{MarkerSender, MarkerWriter};
use super::shard::PendingReply;
use super::state_topic::{BrokerTopic, StateTopic};
use crate::topics::Topics;

/// All transactional ids this broker coordinates.
#[derive(Debug)]
pub(crate) struct TransactionCoordinator {
    coordinator: Coordinator<TransactionShard>,
    /// Gives out producer ids.
    cluster: Arc<Cluster>,
    markers: MarkerSender,
    endings: Endings,
    /// What the shards want written, until somebody runs [`Self::run_markers`].
    wishes: Mutex<Option<UnboundedReceiver<Markers>>>,
}

/// What the state machine, or nobody, says.
type Answer<T, E> = Result<Result<T, E>, CoordinatorError>;

impl TransactionCoordinator {
    /// Coordinates the transactions of `topics`; loads nothing before [`Self::run_timers`] runs or somebody asks.
    pub(crate) fn new(topics: Arc<Topics>, groups: Arc<GroupCoordinator>) -> Self {
        let (env, cluster) = (topics.env.clone(), Arc::clone(&topics.cluster));
        let writer = MarkerWriter::new(Arc::clone(&topics), groups);
        let topic = BrokerTopic::new(
            topics,
            InternalTopic::TransactionState,
            transaction_settings,
        );
        Self::with_topic(env, Arc::new(topic), cluster, writer)
    }

    pub(super) fn with_topic(
        env: Env,
        topic: Arc<dyn StateTopic<TransactionSettings>>,
        cluster: Arc<Cluster>,
        writer: MarkerWriter,
    ) -> Self {
        // As many wishes wait as there are transactions that are being ended.
        let (wish, wishes) = unbounded_channel();
        let effects = EffectHandler::new(move |effect| match effect {
            // Nobody listens any more while the broker stops; the next start asks again.
            TransactionEffect::WriteMarkers(markers) => drop(wish.send(markers)),
        });
        let markers = MarkerSender::new(writer, Arc::clone(&env.clock));
        Self {
            coordinator: Coordinator::new(env, topic, effects),
            cluster,
            markers,
            endings: Endings::default(),
            wishes: Mutex::new(Some(wishes)),
        }
    }

    /// See [`Coordinator::look`].
    pub(super) fn look(&self, see: impl FnMut(&TransactionShard)) -> BTreeMap<&'static str, usize> {
        self.coordinator.look(see)
    }

    /// InitProducerId with a transactional id.
    pub(crate) async fn init_producer(
        &self,
        id: TransactionalId,
        timeout_ms: i32,
        expected: Option<ClaimedProducer>,
    ) -> Answer<Producer, InitProducerError> {
        let ask = |fresh: FreshId| {
            self.call(
                &id,
                TransactionRequest::InitProducer(InitProducerRequest {
                    id: id.clone(),
                    timeout_ms,
                    expected,
                    fresh,
                }),
            )
        };
        match init_producer_reply(ask(None)).await? {
            Err(InitProducerError::NeedsFreshId) => {
                let fresh = new_producer_id(&self.cluster).await?;
                init_producer_reply(ask(fresh)).await
            }
            answer => Ok(answer),
        }
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn; also what a version 2 transaction does by producing or committing offsets.
    pub(crate) fn add_partitions(
        &self,
        request: AddPartitionsRequest,
    ) -> impl Future<Output = Answer<(), AddPartitionsError>> + Send + use<> {
        let id = request.id.clone();
        let reply = self.call(&id, TransactionRequest::AddPartitions(request));
        async move {
            match receive::<TransactionShard>(reply).await? {
                TransactionReply::AddPartitions(reply) => Ok(reply),
                other => unreachable!("the machine answered {other:?}"),
            }
        }
    }

    /// Whether partitions belong to the producer's open transaction, one answer each, in order.
    pub(crate) fn verify_partitions(
        &self,
        request: VerifyPartitionsRequest,
    ) -> impl Future<Output = Answer<Vec<VerifiedPartition>, VerifyPartitionsError>> + Send + use<>
    {
        let id = request.id.clone();
        let reply = self.call(&id, TransactionRequest::VerifyPartitions(request));
        async move {
            match receive::<TransactionShard>(reply).await? {
                TransactionReply::VerifyPartitions(reply) => Ok(reply),
                other => unreachable!("the machine answered {other:?}"),
            }
        }
    }

    /// EndTxn: answers once the outcome is durable, markers follow. The session of the producer from then on.
    pub(crate) fn end(
        self: &Arc<Self>,
        request: EndRequest,
    ) -> impl Future<Output = Answer<Producer, EndError>> + Send + use<> {
        let ask = |coordinator: &Self, request: EndRequest| {
            let id = request.id.clone();
            coordinator.call(&id, TransactionRequest::End(request))
        };
        let reply = ask(self, request.clone());
        let coordinator = Arc::clone(self);
        async move {
            match end_reply(reply).await? {
                Err(EndError::NeedsFreshId) => {
                    let fresh = new_producer_id(&coordinator.cluster).await?;
                    end_reply(ask(&coordinator, EndRequest { fresh, ..request })).await
                }
                answer => Ok(answer),
            }
        }
    }

    /// DescribeTransactions: a result for each id, in the order asked for.
    pub(crate) fn describe(
        &self,
        ids: Vec<TransactionalId>,
    ) -> impl Future<
        Output = Vec<(
            TransactionalId,
            Result<Option<DescribedTransaction>, CoordinatorError>,
        )>,
    > + Send
    + use<> {
        let replies = self.coordinator.call_by_shard(
            ids,
            TransactionalId::as_str,
            TransactionRequest::Describe,
        );
        async move {
            let split = |reply| match reply {
                TransactionReply::Describe(described) => described,
                other => unreachable!("the machine answered {other:?}"),
            };
            replies.gather(split).await
        }
    }

    /// ListTransactions over all shards that this broker coordinates.
    pub(crate) fn list(
        &self,
        request: ListTransactionsRequest,
    ) -> impl Future<Output = Result<Vec<ListedTransaction>, CoordinatorError>> + Send + use<> {
        let list = || TransactionRequest::List(request.clone());
        let replies = self.coordinator.call_all(list);
        async move {
            let mut listed = Vec::new();
            for reply in replies {
                match receive::<TransactionShard>(reply).await {
                    Ok(TransactionReply::List(mut transactions)) => {
                        listed.append(&mut transactions);
                    }
                    Ok(other) => unreachable!("the machine answered {other:?}"),
                    // Somebody else lists those.
                    Err(CoordinatorError::NotCoordinator) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(listed)
        }
    }

    /// Resolves when a transaction of this id ends, and sometimes when another one does.
    pub(crate) fn ending(&self, id: &TransactionalId) -> Notified<'_> {
        self.endings.of(id).notified()
    }

    /// The partition of `__transaction_state` that a transactional id belongs to, once the topic exists.
    pub(crate) fn partition_of(&self, id: &str) -> Option<PartitionIndex> {
        self.coordinator.partition_of(id)
    }

    /// Makes sure that there is a topic to keep transactions in, and that its shards are loaded or loading.
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

    /// See [`Coordinator::follow_cluster`].
    pub(crate) async fn follow_cluster(
        self: Arc<Self>,
        cluster: Arc<Cluster>,
        stopping: CancellationToken,
    ) {
        self.coordinator.follow_cluster(&cluster, stopping).await;
    }

    /// Writes the markers of transactions that end, until `stopping`. Runs once.
    pub(crate) async fn run_markers(self: Arc<Self>, stopping: CancellationToken) {
        let Some(wishes) = self.wishes.lock().take() else {
            return;
        };
        let written = |markers: Markers| {
            let written = TransactionRequest::MarkersWritten(MarkersWritten {
                id: markers.id.clone(),
                asked: markers.asked,
            });
            // A shard that does not take it now is loaded again, and then asks for the markers again.
            drop(self.call(&markers.id, written));
            self.endings.of(&markers.id).notify_waiters();
        };
        self.markers.run(wishes, stopping, written).await;
    }

    /// Ends all shards. Replies whose records are in flight are still sent when these are durable.
    pub(crate) fn unload(&self) {
        self.coordinator.unload();
    }

    fn call(
        &self,
        id: &TransactionalId,
        request: TransactionRequest,
    ) -> Result<PendingReply<TransactionShard>, CoordinatorError> {
        self.coordinator.call(id.as_str(), request)
    }
}

/// Wakes those who wait until a transaction has ended. An id shares its place with few others.
#[derive(Debug)]
struct Endings([Notify; Endings::PLACES]);

impl Endings {
    /// As many as `__transaction_state` has partitions, about.
    const PLACES: usize = 64;

    fn of(&self, id: &TransactionalId) -> &Notify {
        let hash = id.as_str().bytes().fold(0_usize, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        &self.0[hash % Self::PLACES]
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Notify::new()))
    }
}

async fn init_producer_reply(
    reply: Result<PendingReply<TransactionShard>, CoordinatorError>,
) -> Answer<Producer, InitProducerError> {
    match receive::<TransactionShard>(reply).await? {
        TransactionReply::InitProducer(reply) => Ok(reply),
        other => unreachable!("the machine answered {other:?}"),
    }
}

async fn end_reply(
    reply: Result<PendingReply<TransactionShard>, CoordinatorError>,
) -> Answer<Producer, EndError> {
    match receive::<TransactionShard>(reply).await? {
        TransactionReply::End(reply) => Ok(reply),
        other => unreachable!("the machine answered {other:?}"),
    }
}

async fn new_producer_id(cluster: &Cluster) -> Result<FreshId, CoordinatorError> {
    cluster.new_producer_id().await.map(Some).map_err(|error| {
        tracing::error!(%error, "could not reserve producer ids");
        // What Kafka answers while its controller gives no new block (`RPCProducerIdManager`): try again.
        CoordinatorError::LoadInProgress
    })
}

/// The broker's settings as the state machine wants them. The table of settings keeps them from being negative.
fn transaction_settings(
    image: &ClusterImage,
    epoch: LeaderEpoch,
    record_bytes_max: usize,
) -> TransactionSettings {
    let broker = &image.broker.values;
    let milliseconds = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    // What is finalized is a level this release knows.
    let version = TransactionVersion::from_level(image.features.level(TRANSACTION_VERSION));
    TransactionSettings {
        version: version.unwrap_or_default(),
        coordinator_epoch: epoch.value(),
        timeout_check_interval: milliseconds(
            broker.transaction_abort_timed_out_cleanup_interval_ms,
        ),
        id_expiration: milliseconds(broker.transactional_id_expiration_ms),
        id_expiration_check_interval: milliseconds(
            broker.transaction_remove_expired_cleanup_interval_ms,
        ),
        record_bytes_max,
    }
}
