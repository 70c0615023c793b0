//! A coordinator over an internal topic: finds the shard a key belongs to, and keeps all shards loaded and on time.
//!
//! What a request does is done when [`Coordinator::call`] returns, so requests of one connection take effect in their
//! order; what it gives back only waits for durability or for other clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::Machine;
use env::Env;
use metadata::Cluster;
use parking_lot::Mutex;
use storage::{FirstBatch, VerificationGuard};
use tokio_util::sync::CancellationToken;
use types::{Instant, PartitionIndex, TopicId};

use super::errors::CoordinatorError;
use super::in_flight::EffectHandler;
use super::records::RecordFormat;
use super::shard::{PendingReply, Shard, Surroundings, TransactionPart};
use super::state_topic::StateTopic;
use super::timers::Wakeup;

/// Everything this broker coordinates of one kind.
#[derive(Debug)]
pub(super) struct Coordinator<M: Machine> {
    surroundings: Arc<Surroundings<M>>,
    spread: Mutex<Arc<Spread<M>>>,
}

/// The shards of one life of the topic, which may be deleted and made again with another number of partitions.
///
/// Invariant: their number is that of the partitions when the shards were made, and does not change while the topic lives:
/// keys are spread by it. A shard serves no other life of the topic, so that no key is ever served by two.
#[derive(Debug)]
struct Spread<M: Machine> {
    /// `None` before there ever was a topic.
    topic: Option<TopicId>,
    /// One per partition.
    shards: Vec<Arc<Shard<M>>>,
}

impl<M: Machine> Spread<M> {
    const NONE: Self = Self {
        topic: None,
        shards: Vec::new(),
    };

    fn partition_of(&self, key: &str) -> Option<PartitionIndex> {
        let count = i32::try_from(self.shards.len()).ok()?;
        let hash = java_string_hash(key).checked_abs().unwrap_or(0);
        PartitionIndex::new(hash.checked_rem(count)?)
    }

    fn shard(&self, partition: PartitionIndex) -> Result<&Arc<Shard<M>>, CoordinatorError> {
        usize::try_from(partition.value())
            .ok()
            .and_then(|index| self.shards.get(index))
            .ok_or(CoordinatorError::NotCoordinator)
    }
}

impl<M: RecordFormat> Coordinator<M> {
    /// Loads nothing before [`Self::run_timers`] runs or somebody asks.
    pub(super) fn new(
        env: Env,
        topic: Arc<dyn StateTopic<M::Settings>>,
        effects: EffectHandler<M::Effect>,
    ) -> Self {
        Self {
            surroundings: Arc::new(Surroundings {
                env,
                topic,
                wakeup: Wakeup::new(),
                effects,
            }),
            spread: Mutex::new(Arc::new(Spread::NONE)),
        }
    }

    /// The partition of the topic that a key belongs to, once the topic exists.
    pub(super) fn partition_of(&self, key: &str) -> Option<PartitionIndex> {
        self.spread().partition_of(key)
    }

    /// Asks the shard of `key`.
    ///
    /// # Errors
    /// The shard does not serve now; nothing happened.
    pub(super) fn call(
        &self,
        key: &str,
        request: M::Request,
    ) -> Result<PendingReply<M>, CoordinatorError> {
        self.call_for(key, request, None)
    }

    /// Asks the shard of `key`; `transaction` as in [`Shard::call_for`].
    ///
    /// # Errors
    /// See [`Self::call`].
    pub(super) fn call_for(
        &self,
        key: &str,
        request: M::Request,
        transaction: Option<TransactionPart>,
    ) -> Result<PendingReply<M>, CoordinatorError> {
        let spread = self.spread();
        let partition = spread.partition_of(key);
        let partition = partition.ok_or(CoordinatorError::NotCoordinator)?;
        spread.shard(partition)?.call_for(request, transaction)
    }

    /// See [`storage::PartitionLog::begin_verification`].
    ///
    /// # Errors
    /// The producer is fenced, or the partition cannot be served now.
    pub(super) fn begin_verification(
        &self,
        partition: PartitionIndex,
        batch: FirstBatch,
    ) -> Result<Option<VerificationGuard>, CoordinatorError> {
        let led = self.surroundings.topic.lead(partition)?;
        let begun = led.log.begin_verification(batch);
        begun.map_err(|error| CoordinatorError::from(&error))
    }

    /// Asks the shard of a partition; `transaction` as in [`Shard::call_for`].
    ///
    /// # Errors
    /// See [`Self::call`].
    pub(super) fn call_partition(
        &self,
        partition: PartitionIndex,
        request: M::Request,
        transaction: Option<TransactionPart>,
    ) -> Result<PendingReply<M>, CoordinatorError> {
        self.spread()
            .shard(partition)?
            .call_for(request, transaction)
    }

    /// How many shards stand where; `see` is shown the machines of those that serve.
    pub(super) fn look(&self, mut see: impl FnMut(&M)) -> BTreeMap<&'static str, usize> {
        let mut phases = BTreeMap::new();
        for shard in &self.spread().shards {
            *phases.entry(shard.look(&mut see)).or_default() += 1;
        }
        phases
    }

    /// Asks every shard.
    pub(super) fn call_all(
        &self,
        request: impl Fn() -> M::Request,
    ) -> Vec<Result<PendingReply<M>, CoordinatorError>> {
        let call = |shard: &Arc<Shard<M>>| shard.call(request());
        self.spread().shards.iter().map(call).collect()
    }

    /// Sends each shard one request about those of `keys` that it has.
    pub(super) fn call_by_shard<K: Clone>(
        &self,
        keys: Vec<K>,
        name: impl Fn(&K) -> &str,
        request: impl Fn(Vec<K>) -> M::Request,
    ) -> ShardReplies<M, K> {
        let spread = self.spread();
        let mut by_shard: BTreeMap<Option<PartitionIndex>, Vec<usize>> = BTreeMap::new();
        for (position, key) in keys.iter().enumerate() {
            let partition = spread.partition_of(name(key));
            by_shard.entry(partition).or_default().push(position);
        }
        let ask = |(partition, positions): (Option<PartitionIndex>, Vec<usize>)| {
            let of_shard = positions
                .iter()
                .filter_map(|position| keys.get(*position).cloned())
                .collect();
            let shard = partition
                .ok_or(CoordinatorError::NotCoordinator)
                .and_then(|partition| spread.shard(partition));
            let reply = shard.and_then(|shard| shard.call(request(of_shard)));
            (positions, reply)
        };
        let replies = by_shard.into_iter().map(ask).collect();
        ShardReplies { keys, replies }
    }

    /// Makes sure that there is a topic to keep state in, and that its shards are loaded or loading.
    ///
    /// # Errors
    /// The topic could not be created.
    pub(super) async fn ensure_topic(&self) -> Result<(), CoordinatorError> {
        // There is none before somebody needs it, nor after somebody has deleted it; its shards then begin anew.
        if self.surroundings.topic.found().is_none() {
            self.surroundings.topic.create().await?;
            self.tick_all();
        }
        Ok(())
    }

    /// Loads what there is, and then does what is due whenever it is, until `stopping`. Then answers whoever still waits.
    pub(super) async fn run_timers(&self, stopping: CancellationToken) {
        let clock = Arc::clone(&self.surroundings.env.clock);
        while !stopping.is_cancelled() {
            self.surroundings.wakeup.begin_round();
            let next = self.tick_all();
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = self.surroundings.wakeup.sleep(&*clock, next) => {}
            }
        }
        self.unload();
    }

    /// Ends all shards. Replies whose records are in flight are still sent when these are durable.
    pub(super) fn unload(&self) {
        for shard in &self.spread().shards {
            shard.stop();
        }
    }

    /// A reply that comes when it comes, because it may wait for other clients.
    pub(super) fn whenever(
        &self,
        reply: Result<PendingReply<M>, CoordinatorError>,
    ) -> impl Future<Output = Result<M::Reply, CoordinatorError>> + Send + use<M> {
        receive::<M>(reply)
    }

    /// A reply that waits for nothing but the log. What has not become durable in time may still do so; its client is
    /// told to look for the coordinator and to try again, as in Kafka.
    pub(super) fn in_time(
        &self,
        reply: Result<PendingReply<M>, CoordinatorError>,
    ) -> impl Future<Output = Result<M::Reply, CoordinatorError>> + Send + use<M> {
        let clock = Arc::clone(&self.surroundings.env.clock);
        let deadline = clock.now().plus(self.surroundings.topic.write_timeout());
        async move {
            tokio::select! {
                biased;
                reply = receive::<M>(reply) => reply,
                () = clock.sleep_until(deadline) => Err(CoordinatorError::NotAvailable),
            }
        }
    }

    /// Tells all machines whenever topics or settings change, until `stopping`. One that loads meanwhile looks for itself
    /// when it is done.
    pub(super) async fn follow_cluster(&self, cluster: &Cluster, stopping: CancellationToken) {
        let mut changes = cluster.changes();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            self.configure();
        }
    }

    fn configure(&self) {
        for shard in &self.spread().shards {
            shard.configure();
        }
    }

    fn tick_all(&self) -> Option<Instant> {
        let now = self.surroundings.now();
        let spread = self.spread();
        let ticks = spread.shards.iter().map(|shard| shard.tick(now));
        ticks.flatten().min()
    }

    /// The shards of the topic as it is now; of its last life while there is none, which serve nobody.
    fn spread(&self) -> Arc<Spread<M>> {
        let found = self.surroundings.topic.found();
        let mut spread = self.spread.lock();
        let Some((topic, partitions)) = found.filter(|(topic, _)| spread.topic != Some(*topic))
        else {
            return Arc::clone(&spread);
        };
        let shard = |index| Arc::new(Shard::new(Arc::clone(&self.surroundings), topic, index));
        let new = Arc::new(Spread {
            topic: Some(topic),
            shards: (0..partitions)
                .filter_map(PartitionIndex::new)
                .map(shard)
                .collect(),
        });
        let before = std::mem::replace(&mut *spread, Arc::clone(&new));
        drop(spread);
        for shard in &before.shards {
            shard.stop();
        }
        new
    }
}

/// What a shard answers, by the positions of its keys in the request.
type ShardReply<M> = (Vec<usize>, Result<PendingReply<M>, CoordinatorError>);

/// What shards answer about keys.
pub(super) struct ShardReplies<M: Machine, K> {
    keys: Vec<K>,
    replies: Vec<ShardReply<M>>,
}

impl<M: Machine, K> ShardReplies<M, K> {
    /// Puts the answers of several shards into the order of the request. `split` takes an answer apart: one result for
    /// each key asked for, in order.
    pub(super) async fn gather<T>(
        self,
        split: impl Fn(M::Reply) -> Vec<T>,
    ) -> Vec<(K, Result<T, CoordinatorError>)> {
        let mut results: BTreeMap<usize, Result<T, CoordinatorError>> = BTreeMap::new();
        for (positions, reply) in self.replies {
            match receive::<M>(reply).await {
                Ok(reply) => {
                    results.extend(positions.into_iter().zip(split(reply).into_iter().map(Ok)));
                }
                Err(error) => {
                    results.extend(positions.into_iter().map(|position| (position, Err(error))));
                }
            }
        }
        // Positions are those of the keys, each once: the values are in their order.
        self.keys.into_iter().zip(results.into_values()).collect()
    }
}

/// Waits for the answer of a shard.
pub(super) async fn receive<M: Machine>(
    reply: Result<PendingReply<M>, CoordinatorError>,
) -> Result<M::Reply, CoordinatorError> {
    // A dropped sender means that the coordinator went away with the request.
    reply?.await.unwrap_or(Err(CoordinatorError::NotAvailable))
}

/// Java's `String.hashCode`: over UTF-16 code units.
pub(super) fn java_string_hash(text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::java_string_hash;

    #[test]
    fn hashes_are_javas() {
        // "polygenelubricants" is the well-known text whose hash has no absolute value.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-1", 35782224),
            ("polygenelubricants", i32::MIN),
            ("ä𝄞", 1991502),
        ] {
            assert_eq!(java_string_hash(text), hash, "{text}");
        }
    }
}
