//! Transactions: who may begin, extend and end them in every version of the APIs about them, what they write, and what
//! readers and administrators see of it.

mod coordinator;
mod ending;
mod features;
mod markers;
mod offsets;
mod written;

use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::describe_transactions_response::TransactionState;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{batch, produce};

use super::{NOT_YET_ATTEMPTS, NOT_YET_INTERVAL, Side, topic};

/// The last version of EndTxn that keeps the epoch, and the first that bumps it.
const END_V1: i16 = 4;
const END_V2: i16 = 5;
/// The last version of AddPartitionsToTxn for clients.
const ADD_MAX: i16 = 3;
const INIT_MAX: i16 = 5;
/// What a request meets while the last transaction is being ended.
const CONCURRENT: i16 = 51;

pub(super) async fn errors(side: &mut Side) {
    let name = topic(side, "written").await;
    coordinator::errors(side, &name).await;
    ending::errors(side, &name).await;
    written::errors(side, &name).await;
    offsets::errors(side, &name).await;
    markers::errors(side, &name).await;
    features::errors(side, &name).await;
}

/// A transactional producer's session.
#[derive(Clone)]
struct Producer {
    transactional_id: String,
    id: i64,
    epoch: i16,
}

fn init_request(transactional_id: &str, id: i64, epoch: i16) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: id,
        producer_epoch: epoch,
        ..Default::default()
    }
}

impl Producer {
    /// Begins a session, once the last transaction has ended.
    async fn init(side: &mut Side, what: &str) -> Self {
        let transactional_id = side.name(what);
        let request = init_request(&transactional_id, -1, -1);
        for _ in 0..NOT_YET_ATTEMPTS {
            let answer = side.ask(INIT_MAX, &request).await.unwrap();
            if super::NOT_YET.contains(&passing(answer.error_code)) {
                tokio::time::sleep(NOT_YET_INTERVAL).await;
                continue;
            }
            let told = format!("{} epoch {}", answer.error_code, answer.producer_epoch);
            side.note(&format!("init {what}"), INIT_MAX, &told);
            return Self {
                transactional_id,
                id: answer.producer_id,
                epoch: answer.producer_epoch,
            };
        }
        panic!("{transactional_id} has no coordinator");
    }

    /// The same session in another epoch.
    fn at(&self, epoch: i16) -> Self {
        Self {
            epoch,
            ..self.clone()
        }
    }

    /// Sessions that are not this one: of ids that nobody has, with the producer id of another, and with one there cannot be.
    fn strangers(&self, side: &Side, other: &Self) -> [(&'static str, Self); 4] {
        let named = |transactional_id| Self {
            transactional_id,
            ..self.clone()
        };
        let numbered = |id| Self { id, ..self.clone() };
        [
            ("an unknown id", named(side.name("nobody"))),
            ("an empty id", named(String::new())),
            ("another's producer id", numbered(other.id)),
            ("a producer id there cannot be", numbered(-1)),
        ]
    }

    fn batch(&self, sequence: i32) -> BatchOptions {
        BatchOptions {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: sequence,
            is_transactional: true,
            ..BatchOptions::default()
        }
    }

    fn produce(&self, topic: &str, sequence: i32) -> ProduceRequest {
        ProduceRequest {
            transactional_id: Some(self.transactional_id.clone()),
            ..produce(topic, -1, batch(self.batch(sequence), &["value"]))
        }
    }

    fn add(&self, topics: &[(&str, &[i32])]) -> AddPartitionsToTxnRequest {
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: added(topics),
            ..Default::default()
        }
    }

    fn add_offsets(&self, group: &str) -> AddOffsetsToTxnRequest {
        AddOffsetsToTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            group_id: group.to_owned(),
        }
    }

    fn end(&self, committed: bool) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        }
    }

    fn commit(&self, group: &str, topic: &str, offset: i64) -> TxnOffsetCommitRequest {
        TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: group.to_owned(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            generation_id: -1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: topic.to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    committed_leader_epoch: -1,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        }
    }

    /// Ends a transaction and waits until all of its partitions know.
    async fn finish(&mut self, side: &mut Side, committed: bool, version: i16) {
        let answer = tell_end(side, "end", version, &self.end(committed)).await;
        if version >= END_V2 && answer.error_code == 0 {
            (self.id, self.epoch) = (answer.producer_id, answer.producer_epoch);
        }
        self.settle(side).await;
    }

    /// Waits until no transaction is being ended, and notes the state.
    async fn settle(&self, side: &mut Side) {
        for _ in 0..NOT_YET_ATTEMPTS {
            let state = describe(side, &self.transactional_id).await;
            if !state.transaction_state.starts_with("Prepare") {
                let told = format!("{} {}", state.error_code, state.transaction_state);
                return side.note("settled", 0, &told);
            }
            tokio::time::sleep(NOT_YET_INTERVAL).await;
        }
        panic!("the transaction of {} never ends", self.transactional_id);
    }
}

/// The error code for [`Side::tell`], which tries again while the last transaction is being ended, too.
fn passing(code: i16) -> i16 {
    match code {
        CONCURRENT => super::NOT_YET[0],
        code => code,
    }
}

fn added(topics: &[(&str, &[i32])]) -> Vec<AddPartitionsToTxnTopic> {
    let topic = |(name, partitions): &(&str, &[i32])| AddPartitionsToTxnTopic {
        name: (*name).to_owned(),
        partitions: partitions.to_vec(),
    };
    topics.iter().map(topic).collect()
}

async fn describe(side: &mut Side, transactional_id: &str) -> TransactionState {
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![transactional_id.to_owned()],
    };
    let mut answer = side.ask(0, &request).await.unwrap();
    answer.transaction_states.remove(0)
}

async fn tell_end(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &EndTxnRequest,
) -> EndTxnResponse {
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    let told = |answer: &EndTxnResponse| {
        let id = match answer.producer_id {
            -1 => "no id",
            same if same == id => "the same id",
            _ => "another id",
        };
        let bumped = i32::from(answer.producer_epoch) - i32::from(epoch);
        format!("{}, {id}, epoch {bumped:+}", answer.error_code)
    };
    let code = |answer: &EndTxnResponse| passing(answer.error_code);
    let answer = side.tell(step, version, request, code, told).await;
    answer.unwrap()
}

async fn tell_add(side: &mut Side, step: &str, version: i16, request: &AddPartitionsToTxnRequest) {
    let partitions = |answer: &AddPartitionsToTxnResponse| {
        let topics = answer.results_by_topic_v3_and_below.iter();
        let mut told: Vec<_> = topics
            .flat_map(|topic| {
                let partitions = topic.results_by_partition.iter();
                partitions
                    .map(|partition| (partition.partition_index, partition.partition_error_code))
            })
            .collect();
        // Kafka answers in the order of a hash map.
        told.sort_unstable();
        told
    };
    let code = |answer: &AddPartitionsToTxnResponse| {
        let first = partitions(answer);
        first.first().map_or(0, |(_, code)| passing(*code))
    };
    let told = |answer: &AddPartitionsToTxnResponse| format!("{:?}", partitions(answer));
    side.tell(step, version, request, code, told).await;
}
