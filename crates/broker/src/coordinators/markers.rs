//! Transaction markers: the control batches that tell partitions how a transaction ended, and who sees to it that every
//! partition gets its own (`TransactionMarkerChannelManager`).
//!
//! Invariant: of the wishes for one transactional id only the last is followed; whoever follows an older one appends
//! nothing any more. All of them run in one task, so nothing comes between that check and the append.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use coordinator::{EndMarker, Markers, TransactionVersion};
use env::{BoxFuture, Clock};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use metadata::CONSUMER_OFFSETS;
use parking_lot::Mutex;
use storage::{AppendContext, AppendError, CommitFailed};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use types::{Instant, TopicPartition, TransactionalId};

use super::errors::CoordinatorError;
use super::group_coordinator::GroupCoordinator;
use super::records::encode_marker;
use crate::topics::{PartitionError, Topics};

/// The pause after the first failed round, and the longest. Each failed round doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a partition did not get its marker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkerError {
    /// There is no such partition, or not here.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The log did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A partition of `__consumer_offsets`, whose coordinator did not take it.
    #[error(transparent)]
    Group(#[from] CoordinatorError),
    /// It was appended, but is not durable.
    #[error(transparent)]
    NotDurable(#[from] CommitFailed),
    /// The marker fits no batch, which cannot be.
    #[error(transparent)]
    Build(#[from] protocol::records::BuildError),
}

impl MarkerError {
    /// What is to be done about it.
    fn advice(&self) -> Advice {
        match self {
            // Deleted, and the marker with it.
            Self::Partition(PartitionError::UnknownTopicOrPartition)
            | Self::Append(AppendError::Deleted) => Advice::Skip,
            // A newer session of the producer, or a newer coordinator, was there: it has ended this transaction.
            Self::Append(
                AppendError::ProducerFenced { .. } | AppendError::CoordinatorFenced { .. },
            )
            | Self::Group(
                CoordinatorError::ProducerFenced | CoordinatorError::TransactionCoordinatorFenced,
            ) => Advice::Skip,
            Self::Partition(_)
            | Self::Append(_)
            | Self::Group(_)
            | Self::NotDurable(_)
            | Self::Build(_) => Advice::Retry,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    Retry,
    Skip,
}

/// Writes single markers.
#[derive(Clone, Debug)]
pub(crate) struct MarkerWriter {
    topics: Arc<Topics>,
    groups: Arc<GroupCoordinator>,
}

impl MarkerWriter {
    pub(crate) fn new(topics: Arc<Topics>, groups: Arc<GroupCoordinator>) -> Self {
        Self { topics, groups }
    }

    /// Appends a marker before this returns; what it returns waits until it is durable. Offsets of groups are behind the
    /// group coordinator, which has to learn of the end at the same place in its log.
    pub(crate) fn write(
        &self,
        partition: &TopicPartition,
        marker: EndMarker,
    ) -> BoxFuture<'static, Result<(), MarkerError>> {
        if partition.topic.as_str() == CONSUMER_OFFSETS {
            let ended = self.groups.end_transaction(partition.partition, marker);
            return Box::pin(async move { Ok(ended.await?) });
        }
        match self.append(partition, marker) {
            Ok(ticket) => Box::pin(async move { Ok(ticket.committed().await?) }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn append(
        &self,
        partition: &TopicPartition,
        marker: EndMarker,
    ) -> Result<storage::AppendTicket, MarkerError> {
        /// Whatever epoch it is.
        const ANY_EPOCH: i32 = -1;
        let image = self.topics.image();
        let topic = Topics::by_name(&image, partition.topic.as_str())?;
        let index = partition.partition.value();
        let led = self.topics.leading(topic, index, ANY_EPOCH)?;
        let batch = encode_marker(&marker, self.topics.env.clock.wall())?;
        let version = match marker.version {
            TransactionVersion::V0 | TransactionVersion::V1 => storage::TransactionVersion::V1,
            TransactionVersion::V2 => storage::TransactionVersion::V2,
        };
        let context = AppendContext::coordinator(led.epoch).with_transaction_version(version);
        Ok(led.log.append(batch, context)?)
    }
}

/// Follows wishes for markers until every partition has its own.
#[derive(Debug)]
pub(super) struct MarkerSender {
    writer: MarkerWriter,
    clock: Arc<dyn Clock>,
    /// Which wish counts.
    current: Mutex<HashMap<TransactionalId, Instant>>,
}

impl MarkerSender {
    pub(super) fn new(writer: MarkerWriter, clock: Arc<dyn Clock>) -> Self {
        Self {
            writer,
            clock,
            current: Mutex::default(),
        }
    }

    /// Follows what comes until `stopping`; says `written` of each wish that is fulfilled.
    pub(super) async fn run(
        &self,
        mut wishes: UnboundedReceiver<Markers>,
        stopping: CancellationToken,
        written: impl Fn(Markers),
    ) {
        let mut followed = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                Some(fulfilled) = followed.next(), if !followed.is_empty() => {
                    if let Some(wish) = fulfilled {
                        written(wish);
                    }
                }
                wish = wishes.recv() => match wish {
                    Some(wish) => {
                        self.current.lock().insert(wish.id.clone(), wish.asked);
                        followed.push(self.follow(wish));
                    }
                    None => return,
                },
            }
        }
    }

    /// Writes the markers; `None` if the wish was replaced meanwhile.
    async fn follow(&self, wish: Markers) -> Option<Markers> {
        let marker = EndMarker {
            producer: wish.producer,
            coordinator_epoch: wish.coordinator_epoch,
            committed: wish.committed,
            version: wish.version,
        };
        let mut left: BTreeSet<TopicPartition> = wish.partitions.clone();
        let mut pause = PAUSE_MIN;
        while self.counts(&wish) {
            left = self.write_to(left, marker).await;
            if left.is_empty() {
                let mut current = self.current.lock();
                let counts = current.get(&wish.id) == Some(&wish.asked);
                if counts {
                    current.remove(&wish.id);
                }
                return counts.then_some(wish);
            }
            self.clock.sleep_until(self.clock.now().plus(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        None
    }

    fn counts(&self, wish: &Markers) -> bool {
        self.current.lock().get(&wish.id) == Some(&wish.asked)
    }

    /// One round; gives back the partitions that are to be tried again.
    async fn write_to(
        &self,
        partitions: BTreeSet<TopicPartition>,
        marker: EndMarker,
    ) -> BTreeSet<TopicPartition> {
        let writes = partitions.into_iter().map(|partition| {
            let written = self.writer.write(&partition, marker);
            async move { (written.await, partition) }
        });
        let mut left = BTreeSet::new();
        // Each write happens when its future is made, all of them before anything is waited for.
        for (outcome, partition) in join_all(writes).await {
            match outcome {
                Ok(()) => {}
                Err(error) => match error.advice() {
                    Advice::Skip => tracing::info!(
                        %partition, producer_id = %marker.producer.id, %error,
                        "a partition needs no transaction marker any more"
                    ),
                    Advice::Retry => {
                        tracing::debug!(
                            %partition, producer_id = %marker.producer.id, %error,
                            "will write a transaction marker again"
                        );
                        left.insert(partition);
                    }
                },
            }
        }
        left
    }
}
