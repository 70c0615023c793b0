//! The transactional side of Produce: which partitions of a request belong to the producer's transaction
//! (`ReplicaManager.handleProduceAppend`).

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::ClaimedProducer;
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::Records;
use protocol::Slice;
use protocol::messages::ProduceRequest;
use protocol::records::{BatchIterator, BatchView};
use storage::{FirstBatch, PartitionLog, VerificationGuard};
use types::{PartitionIndex, ProducerId, TopicPartition, TransactionalId};

use super::{Refused, find_topic, single_batch};
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;
use crate::handlers::errors;
use crate::handlers::transactions::participation::{
    Admission, Participant, Retry, Support, Wanted,
};
use crate::topics::Topics;

/// What the batches of a request may do, by the positions of topic and partition in it.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    by_position: Vec<((usize, usize), Admission)>,
    support: Option<Support>,
}

impl Admissions {
    /// The guard to append a batch with, or why it may not be appended. Batches outside of transactions need none.
    pub(super) fn of(
        &self,
        position: (usize, usize),
    ) -> Result<Option<VerificationGuard>, Refused> {
        let found = self
            .by_position
            .binary_search_by_key(&position, |(position, _)| *position);
        match found.ok().and_then(|index| self.by_position.get(index)) {
            Some((_, Err(code))) => Err(refusal(*code, self.support)),
            Some((_, Ok(guard))) => Ok(*guard),
            None => Ok(None),
        }
    }
}

/// What producers are told. Older clients do not retry what a coordinator says, but they retry NOT_ENOUGH_REPLICAS.
fn refusal(code: ErrorCode, support: Option<Support>) -> Refused {
    const UNABLE: &str = "unable to verify that the partition has been added to the transaction";
    match code {
        ErrorCode::InvalidTxnState => {
            Refused::Code(code, "the partition was not added to the transaction")
        }
        ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => Refused::Code(ErrorCode::NotEnoughReplicas, UNABLE),
        ErrorCode::ConcurrentTransactions if support != Some(Support::Add) => {
            Refused::Code(ErrorCode::NotEnoughReplicas, UNABLE)
        }
        code => Refused::Code(code, "the batch is not part of an open transaction"),
    }
}

/// Whether any first batch of the request is transactional (`RequestUtils.hasTransactionalRecords`).
pub(super) fn has_transactional_records(request: &ProduceRequest) -> bool {
    let mut partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    partitions.any(|partition| {
        let batch = partition.records.as_ref().and_then(first_batch);
        batch.is_some_and(|batch| batch.is_transactional())
    })
}

fn first_batch(records: &Records) -> Option<BatchView<'_>> {
    match records.slices().first()? {
        Slice::Memory(bytes) => BatchIterator::new(bytes).next()?.ok(),
        Slice::File(_) => None,
    }
}

/// One transactional batch that could be appended.
struct Candidate {
    position: (usize, usize),
    partition: TopicPartition,
    log: Result<Arc<dyn PartitionLog>, ErrorCode>,
    batch: FirstBatch,
}

/// Asks about all transactional batches of a request.
///
/// # Errors
/// The batches are of several producers, which refuses the whole request.
pub(super) async fn admit(
    context: &Context,
    request: &ProduceRequest,
    id: &str,
    topics: &Topics,
    transactions: &TransactionCoordinator,
) -> Result<Admissions, ErrorCode> {
    let support = Support::of_produce(context.version);
    let candidates = candidates(context, request, topics, &topics.image(), support);
    let producers: BTreeSet<_> = candidates
        .iter()
        .map(|candidate| (candidate.batch.producer, candidate.batch.epoch))
        .collect();
    if producers.len() > 1 {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let Some((producer, epoch)) = producers.first() else {
        // The log refuses batches without producer.
        return Ok(Admissions::default());
    };
    let participant = Participant {
        id: TransactionalId::new(id),
        producer: ClaimedProducer::from_wire(producer.value(), *epoch),
        support,
    };
    if !participant.is_verified(topics) {
        return Ok(Admissions::default());
    }
    let retry = support.has_own_epochs().then(|| Retry::from_now(topics));
    let begin = || candidates.iter().map(Candidate::begin).collect();
    let clock = &*topics.env.clock;
    let admissions = participant.admit(transactions, clock, retry, begin).await;
    let positions = candidates.iter().map(|candidate| candidate.position);
    Ok(Admissions {
        by_position: positions.zip(admissions).collect(),
        support: Some(support),
    })
}

impl Candidate {
    fn begin(&self) -> Wanted {
        let begun = self.log.as_ref().map_err(|code| *code).and_then(|log| {
            let begun = log.begin_verification(self.batch);
            begun.map_err(|error| errors::append(&error))
        });
        (self.partition.clone(), begun)
    }
}

/// The transactional batches in partitions that exist. Whatever else is wrong with a batch is said when it is appended.
fn candidates(
    context: &Context,
    request: &ProduceRequest,
    topics: &Topics,
    image: &ClusterImage,
    support: Support,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (topic_position, data) in request.topic_data.iter().enumerate() {
        let Ok(topic) = find_topic(context, image, data) else {
            continue;
        };
        for (position, data) in data.partition_data.iter().enumerate() {
            let records = data.records.clone();
            let Ok(bytes) = single_batch(records, context.version) else {
                continue;
            };
            let Some(Ok(batch)) = BatchIterator::new(&bytes).next() else {
                continue;
            };
            let index = PartitionIndex::new(data.index).filter(|_| data.index < topic.partitions);
            let producer = ProducerId::new(batch.producer_id());
            let (Some(partition), Some(producer), true) =
                (index, producer, batch.is_transactional())
            else {
                continue;
            };
            let led = topics.leading(topic, data.index, -1);
            candidates.push(Candidate {
                position: (topic_position, position),
                partition: TopicPartition {
                    topic: topic.name.clone(),
                    partition,
                },
                log: led.map(|led| led.log).map_err(errors::partition),
                batch: FirstBatch {
                    producer,
                    epoch: batch.producer_epoch(),
                    sequence: batch.base_sequence(),
                    has_own_epochs: support.has_own_epochs(),
                },
            });
        }
    }
    candidates
}
