//! What transactions write: records and offsets in bytes, in both protocols, who may write them and who sees them when.

use std::collections::BTreeMap;

use protocol::ErrorCode;
use protocol::Records;
use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::*;
use protocol::records::{BatchIterator, BatchOptions};
use testkit::requests::{FETCH, batch, fetch, produce, topic};
use testkit::{RawClient, Server, eventually};

const READ_COMMITTED: i8 = 1;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// Versions of Produce: partitions are added by the client; it also knows TRANSACTION_ABORTABLE; they are added by the
/// broker.
const PRODUCE_V1: i16 = 9;
const PRODUCE_ABORTABLE: i16 = 11;
pub(crate) const PRODUCE_V2: i16 = 12;
/// Versions of EndTxn, without and with a new epoch.
const END_V1: i16 = 4;
pub(crate) const END_V2: i16 = 5;
/// Versions of TxnOffsetCommit.
const COMMIT_V1: i16 = 3;
const COMMIT_V2: i16 = 5;

/// A producer's session and how far it has counted in each topic.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    transactional_id: String,
    id: i64,
    epoch: i16,
    sequences: BTreeMap<String, i32>,
}

fn code(code: ErrorCode) -> i16 {
    code.into()
}

async fn coordinator(client: &mut RawClient, kind: i8, key: &str) {
    let find = FindCoordinatorRequest {
        key_type: kind,
        coordinator_keys: vec![key.to_owned()],
        ..Default::default()
    };
    eventually("the coordinator is known", async || {
        client.call(&find, 4).await.coordinators[0].error_code == 0
    })
    .await;
}

impl Producer {
    pub(crate) async fn init(client: &mut RawClient, transactional_id: &str) -> Self {
        coordinator(client, TRANSACTION, transactional_id).await;
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let mut producer = None;
        eventually("the producer is initialized", async || {
            let answer = client.call(&request, 5).await;
            producer = (answer.error_code == 0).then(|| Self {
                transactional_id: transactional_id.to_owned(),
                id: answer.producer_id,
                epoch: answer.producer_epoch,
                sequences: BTreeMap::new(),
            });
            producer.is_some()
        })
        .await;
        producer.unwrap()
    }

    fn options(&self, topic: &str) -> BatchOptions {
        BatchOptions {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: self.sequences.get(topic).copied().unwrap_or(0),
            is_transactional: true,
            ..BatchOptions::default()
        }
    }

    fn request(&self, topic: &str, values: &[&str]) -> ProduceRequest {
        ProduceRequest {
            transactional_id: Some(self.transactional_id.clone()),
            ..produce(topic, -1, batch(self.options(topic), values))
        }
    }

    fn count(&mut self, topic: &str, values: &[&str]) {
        *self.sequences.entry(topic.to_owned()).or_default() +=
            i32::try_from(values.len()).unwrap();
    }

    /// Sends values; the error code.
    pub(crate) async fn send(
        &mut self,
        client: &mut RawClient,
        topic: &str,
        values: &[&str],
        version: i16,
    ) -> i16 {
        let request = self.request(topic, values);
        let answer = client.call(&request, version).await;
        let answer = only(answer);
        if answer.error_code == 0 {
            self.count(topic, values);
        }
        answer.error_code
    }

    async fn add(&self, client: &mut RawClient, topic: &str) {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.to_owned(),
                partitions: vec![0],
            }],
            ..Default::default()
        };
        eventually("the partition is added", async || {
            let answer = client.call(&request, 3).await;
            let first = &answer.results_by_topic_v3_and_below[0];
            first.results_by_partition[0].partition_error_code == 0
        })
        .await;
    }

    pub(crate) async fn end(&mut self, client: &mut RawClient, committed: bool, version: i16) {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        let mut answer = None;
        eventually("the transaction ends", async || {
            let told = client.call(&request, version).await;
            answer = (told.error_code == 0).then_some(told);
            answer.is_some()
        })
        .await;
        if version >= END_V2 {
            let answer = answer.unwrap();
            (self.id, self.epoch) = (answer.producer_id, answer.producer_epoch);
            self.sequences.clear();
        }
    }

    fn offsets(&self, group: &str, topic: &str, offset: i64) -> TxnOffsetCommitRequest {
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
                    committed_metadata: Some("kept".to_owned()),
                }],
            }],
            ..Default::default()
        }
    }

    async fn commit_offset(
        &self,
        client: &mut RawClient,
        group: &str,
        offset: i64,
        version: i16,
    ) -> i16 {
        let request = self.offsets(group, "t", offset);
        let mut error = 0;
        eventually("the offsets are taken or refused", async || {
            let answer = client.call(&request, version).await;
            error = answer.topics[0].partitions[0].error_code;
            error != code(ErrorCode::ConcurrentTransactions)
                && error != code(ErrorCode::CoordinatorLoadInProgress)
        })
        .await;
        error
    }
}

fn only(mut answer: ProduceResponse) -> PartitionProduceResponse {
    assert_eq!(answer.responses.len(), 1);
    answer.responses.remove(0).partition_responses.remove(0)
}

async fn read(client: &mut RawClient, topic: &str, offset: i64) -> PartitionData {
    let request = FetchRequest {
        isolation_level: READ_COMMITTED,
        ..fetch(topic, offset, 0)
    };
    let mut answer = client.call(&request, FETCH).await;
    answer.responses.remove(0).partitions.remove(0)
}

/// The values that a consumer of committed records sees, as it filters them.
fn visible(data: &PartitionData) -> Vec<String> {
    let records = data.records.clone().unwrap().into_bytes().unwrap();
    let mut aborted: Vec<_> = data
        .aborted_transactions
        .iter()
        .flatten()
        .map(|aborted| (aborted.producer_id, aborted.first_offset))
        .collect();
    let mut values = Vec::new();
    for batch in BatchIterator::new(&records) {
        let batch = batch.unwrap();
        let id = batch.producer_id();
        if batch.is_control() {
            if let Some(index) = aborted
                .iter()
                .position(|(producer, first)| *producer == id && *first < batch.base_offset())
            {
                aborted.remove(index);
            }
            continue;
        }
        let is_aborted = batch.is_transactional()
            && aborted
                .iter()
                .any(|(producer, first)| *producer == id && *first <= batch.base_offset());
        if is_aborted {
            continue;
        }
        for record in batch.records(batch.record_bytes()) {
            let value = record.unwrap().value.unwrap().to_vec();
            values.push(String::from_utf8(value).unwrap());
        }
    }
    values
}

async fn values(client: &mut RawClient, topic: &str) -> Vec<String> {
    visible(&read(client, topic, 0).await)
}

/// The end of a partition as readers see it.
async fn latest(client: &mut RawClient, topic: &str, isolation_level: i8) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp: -1,
            }],
        }],
        ..Default::default()
    };
    client.call(&request, 5).await.topics[0].partitions[0].offset
}

/// The committed offset of partition 0 of topic `t`: the error, or the offset.
async fn committed(client: &mut RawClient, group: &str, require_stable: bool) -> Result<i64, i16> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".to_owned(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let mut told = None;
    eventually("the group is loaded", async || {
        let mut answer = client.call(&request, 8).await;
        let group = answer.groups.remove(0);
        if group.error_code != 0 {
            return false;
        }
        let partition = &group.topics[0].partitions[0];
        told = Some(match partition.error_code {
            0 => Ok(partition.committed_offset),
            error => Err(error),
        });
        true
    })
    .await;
    told.unwrap()
}

#[tokio::test]
async fn partitions_are_verified_for_clients_that_add_them() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    for (version, refused) in [
        (3, ErrorCode::InvalidTxnState),
        (PRODUCE_V1, ErrorCode::InvalidTxnState),
        (PRODUCE_ABORTABLE, ErrorCode::TransactionAbortable),
    ] {
        let told = producer.send(&mut client, "t", &["a"], version).await;
        assert_eq!(told, code(refused), "{version}");
    }
    producer.add(&mut client, "t").await;
    assert_eq!(producer.send(&mut client, "t", &["a"], PRODUCE_V1).await, 0);
    assert_eq!(
        producer
            .send(&mut client, "t", &["b", "c"], PRODUCE_V1)
            .await,
        0
    );
    assert_eq!(latest(&mut client, "t", READ_COMMITTED).await, 0);
    assert_eq!(latest(&mut client, "t", 0).await, 3);
    assert_eq!(values(&mut client, "t").await, [""; 0]);
    producer.end(&mut client, true, END_V1).await;
    eventually("the marker is written", async || {
        latest(&mut client, "t", READ_COMMITTED).await == 4
    })
    .await;
    assert_eq!(values(&mut client, "t").await, ["a", "b", "c"]);
    // Too late for this transaction, and no other has begun.
    let told = producer.send(&mut client, "t", &["d"], PRODUCE_V1).await;
    assert_eq!(told, code(ErrorCode::InvalidTxnState));
    server.stop().await;
}

#[tokio::test]
async fn transactions_v2_take_partitions_in_by_the_way() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    let mut expected = Vec::new();
    for round in 0..12 {
        // Right behind the end of the last one: the broker itself waits for it, for as long as
        // `add.partitions.to.txn.retry.backoff.max.ms` says; on a slow disk a client then asks again.
        let value = format!("{round}");
        eventually("the batch is taken", async || {
            let told = producer.send(&mut client, "t", &[&value], PRODUCE_V2).await;
            assert!(
                [0, code(ErrorCode::ConcurrentTransactions)].contains(&told),
                "{round}: {told}"
            );
            told == 0
        })
        .await;
        let is_committed = round % 3 != 0;
        producer.end(&mut client, is_committed, END_V2).await;
        if is_committed {
            expected.push(value);
        }
    }
    eventually("all markers are written", async || {
        latest(&mut client, "t", READ_COMMITTED).await == 24
    })
    .await;
    let data = read(&mut client, "t", 0).await;
    let aborted = data.aborted_transactions.as_ref().unwrap();
    let firsts: Vec<_> = aborted.iter().map(|aborted| aborted.first_offset).collect();
    assert_eq!(firsts, [0, 6, 12, 18]);
    assert_eq!(visible(&data), expected);
    // From the middle of an aborted one, and behind it.
    let data = read(&mut client, "t", 7).await;
    let first = data.aborted_transactions.as_ref().unwrap()[0].first_offset;
    assert_eq!(first, 6);
    let data = read(&mut client, "t", 8).await;
    let first = data.aborted_transactions.as_ref().unwrap()[0].first_offset;
    assert_eq!(first, 12);
    server.stop().await;
}

#[tokio::test]
async fn batches_sent_without_waiting_stay_in_order() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    for round in 0..3 {
        let mut sent = Vec::new();
        for _ in 0..5 {
            let request = producer.request("t", &["v"]);
            producer.count("t", &["v"]);
            sent.push(client.request(&request, PRODUCE_V2).await);
        }
        for (number, id) in sent.into_iter().enumerate() {
            let answer = client.response::<ProduceRequest>(PRODUCE_V2, id).await;
            let answer = only(answer);
            let offset = round * 6 + i64::try_from(number).unwrap();
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        }
        producer.end(&mut client, true, END_V2).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_a_transaction_is_refused_with_kafkas_codes() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    topic(&mut client, "u", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    let other = Producer::init(&mut client, "y").await;
    let send = async |client: &mut RawClient, request: ProduceRequest, version: i16| {
        only(client.call(&request, version).await).error_code
    };

    // A transactional batch without a transactional id.
    let anonymous = ProduceRequest {
        transactional_id: None,
        ..producer.request("t", &["a"])
    };
    for version in [PRODUCE_V1, PRODUCE_V2] {
        let told = send(&mut client, anonymous.clone(), version).await;
        assert_eq!(told, code(ErrorCode::TransactionalIdAuthorizationFailed));
    }
    // Batches of two producers refuse the whole request.
    let mut two = producer.request("t", &["a"]);
    two.topic_data.push(TopicProduceData {
        name: "u".to_owned(),
        partition_data: vec![PartitionProduceData {
            index: 0,
            records: Some(Records::from(batch(other.options("u"), &["a"]))),
        }],
        ..Default::default()
    });
    let answer = client.call(&two, PRODUCE_V2).await;
    for topic in &answer.responses {
        let told = topic.partition_responses[0].error_code;
        assert_eq!(told, code(ErrorCode::InvalidProducerIdMapping));
    }
    // Somebody else's transactional id, one nobody has, none at all.
    for (id, version, refused) in [
        ("y", PRODUCE_V1, ErrorCode::InvalidProducerIdMapping),
        ("y", PRODUCE_V2, ErrorCode::InvalidProducerIdMapping),
        ("nobody", PRODUCE_V1, ErrorCode::InvalidProducerIdMapping),
        ("nobody", PRODUCE_V2, ErrorCode::InvalidProducerIdMapping),
        ("", PRODUCE_V2, ErrorCode::InvalidRequest),
    ] {
        let request = ProduceRequest {
            transactional_id: Some(id.to_owned()),
            ..producer.request("t", &["a"])
        };
        let told = send(&mut client, request, version).await;
        assert_eq!(told, code(refused), "{id} {version}");
    }
    // An epoch nobody has, and one that was replaced.
    for epoch in [producer.epoch + 1, producer.epoch - 1] {
        let wrong = Producer {
            epoch,
            ..producer.clone()
        };
        if epoch < 0 {
            continue;
        }
        let told = send(&mut client, wrong.request("t", &["a"]), PRODUCE_V2).await;
        assert_eq!(told, code(ErrorCode::InvalidProducerEpoch));
    }
    // A topic that is not there is told so; the others of the request are appended.
    let mut missing = producer.request("t", &["a"]);
    missing.topic_data.insert(
        0,
        TopicProduceData {
            name: "missing".to_owned(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::from(batch(producer.options("u"), &["a"]))),
            }],
            ..Default::default()
        },
    );
    let answer = client.call(&missing, PRODUCE_V2).await;
    let codes: Vec<_> = answer
        .responses
        .iter()
        .map(|topic| topic.partition_responses[0].error_code)
        .collect();
    assert_eq!(codes, [code(ErrorCode::UnknownTopicOrPartition), 0]);
    producer.count("t", &["a"]);
    // A batch outside of the transaction that is open in the partition.
    let plain = BatchOptions {
        is_transactional: false,
        ..producer.options("t")
    };
    let request = produce("t", -1, batch(plain, &["b"]));
    let told = send(&mut client, request, PRODUCE_V2).await;
    assert_eq!(told, code(ErrorCode::InvalidTxnState));
    // A gap in the sequences, and a batch sent again.
    producer.count("t", &["gap"]);
    let told = send(&mut client, producer.request("t", &["c"]), PRODUCE_V2).await;
    assert_eq!(told, code(ErrorCode::OutOfOrderSequenceNumber));
    producer.sequences.insert("t".to_owned(), 0);
    let again = only(
        client
            .call(&producer.request("t", &["a"]), PRODUCE_V2)
            .await,
    );
    assert_eq!((again.error_code, again.base_offset), (0, 0));
    // A newer session fences this one.
    let newer = Producer::init(&mut client, "x").await;
    assert!(newer.epoch > producer.epoch);
    producer.sequences.insert("t".to_owned(), 1);
    for version in [PRODUCE_V1, PRODUCE_V2] {
        let told = send(&mut client, producer.request("t", &["d"]), version).await;
        assert_eq!(told, code(ErrorCode::InvalidProducerEpoch), "{version}");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_verification_older_clients_need_not_add_partitions() {
    let options = testkit::ServerOptions {
        settings: vec![(
            "transaction.partition.verification.enable".to_owned(),
            "false".to_owned(),
        )],
        ..Default::default()
    };
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    assert_eq!(producer.send(&mut client, "t", &["a"], PRODUCE_V1).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn offsets_follow_their_transaction() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinator(&mut client, GROUP, "g").await;
    let mut producer = Producer::init(&mut client, "x").await;
    let unstable = Err(code(ErrorCode::UnstableOffsetCommit));

    // Version 1: the group has to be added.
    let told = producer.commit_offset(&mut client, "g", 5, COMMIT_V1).await;
    assert_eq!(told, code(ErrorCode::InvalidTxnState));
    let told = producer.commit_offset(&mut client, "g", 5, 4).await;
    assert_eq!(told, code(ErrorCode::TransactionAbortable));
    let add = AddOffsetsToTxnRequest {
        transactional_id: producer.transactional_id.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: "g".to_owned(),
    };
    assert_eq!(client.call(&add, 3).await.error_code, 0);
    assert_eq!(
        producer.commit_offset(&mut client, "g", 5, COMMIT_V1).await,
        0
    );
    assert_eq!(committed(&mut client, "g", true).await, unstable);
    assert_eq!(committed(&mut client, "g", false).await, Ok(-1));
    producer.end(&mut client, true, END_V1).await;
    eventually("the offsets count", async || {
        committed(&mut client, "g", true).await == Ok(5)
    })
    .await;

    // Version 2: it is added by the way. An abort takes the offset back.
    for (offset, is_committed, counts) in [(6, true, 6), (7, false, 6), (8, true, 8)] {
        let told = producer
            .commit_offset(&mut client, "g", offset, COMMIT_V2)
            .await;
        assert_eq!(told, 0);
        assert_eq!(committed(&mut client, "g", true).await, unstable);
        producer.end(&mut client, is_committed, END_V2).await;
        eventually("the offsets are stable", async || {
            committed(&mut client, "g", true).await == Ok(counts)
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test]
async fn pending_offsets_and_open_transactions_survive_a_restart() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinator(&mut client, GROUP, "g").await;
    let mut producer = Producer::init(&mut client, "x").await;
    assert_eq!(
        producer.commit_offset(&mut client, "g", 1, COMMIT_V2).await,
        0
    );
    producer.end(&mut client, false, END_V2).await;
    eventually("the first transaction ends", async || {
        committed(&mut client, "g", true).await == Ok(-1)
    })
    .await;
    assert_eq!(
        producer.commit_offset(&mut client, "g", 2, COMMIT_V2).await,
        0
    );
    assert_eq!(producer.send(&mut client, "t", &["a"], PRODUCE_V2).await, 0);
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    let unstable = Err(code(ErrorCode::UnstableOffsetCommit));
    assert_eq!(committed(&mut client, "g", true).await, unstable);
    assert_eq!(latest(&mut client, "t", READ_COMMITTED).await, 0);
    // The transaction goes on.
    coordinator(&mut client, TRANSACTION, "x").await;
    eventually("the coordinator is loaded", async || {
        producer.send(&mut client, "t", &["b"], PRODUCE_V2).await == 0
    })
    .await;
    producer.end(&mut client, true, END_V2).await;
    eventually("the offsets count", async || {
        committed(&mut client, "g", true).await == Ok(2)
    })
    .await;
    eventually("the records are visible", async || {
        values(&mut client, "t").await == ["a", "b"]
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn offsets_that_do_not_fit_are_refused_with_kafkas_codes() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinator(&mut client, GROUP, "g").await;
    let producer = Producer::init(&mut client, "x").await;
    let valid = producer.offsets("g", "t", 1);
    let cases = [
        (
            "no group",
            TxnOffsetCommitRequest {
                group_id: String::new(),
                ..valid.clone()
            },
            ErrorCode::InvalidGroupId,
        ),
        (
            "no topic",
            producer.offsets("g", "missing", 1),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            "another transactional id",
            TxnOffsetCommitRequest {
                transactional_id: "nobody".to_owned(),
                ..valid.clone()
            },
            ErrorCode::InvalidProducerIdMapping,
        ),
        (
            "no transactional id",
            TxnOffsetCommitRequest {
                transactional_id: String::new(),
                ..valid.clone()
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "another epoch",
            TxnOffsetCommitRequest {
                producer_epoch: producer.epoch + 1,
                ..valid.clone()
            },
            ErrorCode::InvalidProducerEpoch,
        ),
        (
            "a generation of a group nobody knows",
            TxnOffsetCommitRequest {
                generation_id: 3,
                member_id: "m".to_owned(),
                ..valid.clone()
            },
            ErrorCode::IllegalGeneration,
        ),
        ("all is well", valid, ErrorCode::None),
    ];
    for (what, request, expected) in cases {
        let answer = client.call(&request, COMMIT_V2).await;
        let told = answer.topics[0].partitions[0].error_code;
        assert_eq!(told, code(expected), "{what}");
    }
    server.stop().await;
}

#[tokio::test]
async fn producers_are_described() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = Producer::init(&mut client, "x").await;
    assert_eq!(
        producer
            .send(&mut client, "t", &["a", "b"], PRODUCE_V2)
            .await,
        0
    );
    let request = |topic: &str, partition| DescribeProducersRequest {
        topics: vec![describe_producers_request::TopicRequest {
            name: topic.to_owned(),
            partition_indexes: vec![partition],
        }],
    };
    let mut answer = client.call(&request("t", 0), 0).await;
    let partition = answer.topics.remove(0).partitions.remove(0);
    assert_eq!(
        (partition.error_code, partition.active_producers.len()),
        (0, 1)
    );
    let known = &partition.active_producers[0];
    assert_eq!(
        (known.producer_id, known.producer_epoch, known.last_sequence),
        (producer.id, i32::from(producer.epoch), 1)
    );
    assert_eq!(
        (known.coordinator_epoch, known.current_txn_start_offset),
        (-1, 0)
    );
    for (topic, partition, expected) in [
        ("t", 1, ErrorCode::UnknownTopicOrPartition),
        ("missing", 0, ErrorCode::UnknownTopicOrPartition),
        ("not a name", 0, ErrorCode::InvalidTopicException),
    ] {
        let answer = client.call(&request(topic, partition), 0).await;
        let told = answer.topics[0].partitions[0].error_code;
        assert_eq!(told, code(expected), "{topic}");
    }
    server.stop().await;
}

/// A batch of the wrong kind must not hide behind a good one.
#[tokio::test]
async fn acks_zero_closes_where_a_transaction_is_refused() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let producer = Producer::init(&mut client, "x").await;
    let request = ProduceRequest {
        acks: 0,
        ..producer.request("t", &["a"])
    };
    client.request(&request, PRODUCE_V1).await;
    assert!(client.is_closed().await);
    server.stop().await;
}
