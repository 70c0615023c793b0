//! What transactions write: who may, in every version of Produce and TxnOffsetCommit, and what readers see.

use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{FETCH, batch, fetch, produce};

use super::{Side, topic};

/// Produce by name.
const PRODUCE_MIN: i16 = 3;
const PRODUCE_MAX: i16 = 12;
const PRODUCE_V2: i16 = 12;
const COMMIT_MAX: i16 = 5;
const END_V1: i16 = 4;
const END_V2: i16 = 5;
const READ_COMMITTED: i8 = 1;
/// What a request meets while the last transaction is being ended.
const CONCURRENT: i16 = 51;
const ATTEMPTS: usize = 200;

/// A transactional producer.
#[derive(Clone)]
struct Producer {
    transactional_id: String,
    id: i64,
    epoch: i16,
}

pub(super) async fn errors(side: &mut Side) {
    let name = topic(side, "written").await;
    produce_of_strangers(side, &name).await;
    first_protocol(side, &name).await;
    second_protocol(side, &name).await;
    offsets(side, &name).await;
}

impl Producer {
    async fn init(side: &mut Side, what: &str) -> Self {
        let transactional_id = side.name(what);
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.clone()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let code = |answer: &InitProducerIdResponse| match answer.error_code {
            CONCURRENT => 15,
            code => code,
        };
        let told = |answer: &InitProducerIdResponse| {
            format!("{} {}", answer.error_code, answer.producer_epoch)
        };
        let answer = side.tell("init", 5, &request, code, told).await.unwrap();
        Self {
            transactional_id,
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        }
    }

    fn produce(&self, topic: &str, sequence: i32) -> ProduceRequest {
        let options = BatchOptions {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: sequence,
            is_transactional: true,
            ..BatchOptions::default()
        };
        ProduceRequest {
            transactional_id: Some(self.transactional_id.clone()),
            ..produce(topic, -1, batch(options, &["value"]))
        }
    }

    async fn end(&mut self, side: &mut Side, committed: bool, version: i16) {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        for _ in 0..ATTEMPTS {
            let answer = side.ask(version, &request).await.unwrap();
            if answer.error_code == CONCURRENT {
                tokio::time::sleep(super::NOT_YET_INTERVAL).await;
                continue;
            }
            let bumped = i32::from(answer.producer_epoch) - i32::from(self.epoch);
            side.note("end", version, &format!("{} {bumped}", answer.error_code));
            if version >= END_V2 && answer.error_code == 0 {
                (self.id, self.epoch) = (answer.producer_id, answer.producer_epoch);
            }
            return;
        }
        side.note("end", version, "never");
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
}

async fn tell(side: &mut Side, step: &str, version: i16, request: &ProduceRequest) {
    let code = |answer: &ProduceResponse| match partition(answer).error_code {
        CONCURRENT => 15,
        code => code,
    };
    let told = |answer: &ProduceResponse| {
        let codes: Vec<_> = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .map(|partition| partition.error_code)
            .collect();
        format!("{codes:?} at {}", partition(answer).base_offset)
    };
    side.tell(step, version, request, code, told).await;
}

fn partition(answer: &ProduceResponse) -> &produce_response::PartitionProduceResponse {
    &answer.responses[0].partition_responses[0]
}

async fn tell_commit(side: &mut Side, step: &str, version: i16, request: &TxnOffsetCommitRequest) {
    let first = |answer: &TxnOffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    let code = |answer: &TxnOffsetCommitResponse| match first(answer) {
        CONCURRENT => 15,
        code => code,
    };
    side.tell(step, version, request, code, first).await;
}

/// What readers of committed records are told, once it does not change any more.
async fn tell_reads(side: &mut Side, name: &str, stable: i64) {
    let ends = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: READ_COMMITTED,
        topics: vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions: vec![ListOffsetsPartition {
                current_leader_epoch: -1,
                timestamp: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    for _ in 0..ATTEMPTS {
        let answer = side.ask(5, &ends).await.unwrap();
        if answer.topics[0].partitions[0].offset == stable {
            break;
        }
        tokio::time::sleep(super::NOT_YET_INTERVAL).await;
    }
    let request = FetchRequest {
        isolation_level: READ_COMMITTED,
        ..fetch(name, 0, 0)
    };
    let answer = side.ask(FETCH, &request).await.unwrap();
    let data = &answer.responses[0].partitions[0];
    let aborted: Option<Vec<_>> = data
        .aborted_transactions
        .as_ref()
        .map(|aborted| aborted.iter().map(|aborted| aborted.first_offset).collect());
    let bytes = data.records.as_ref().map_or(0, |records| records.len());
    side.note(
        "read",
        FETCH,
        &format!("{} {aborted:?} {bytes}", data.last_stable_offset),
    );
}

async fn produce_of_strangers(side: &mut Side, name: &str) {
    let producer = Producer::init(side, "stranger").await;
    let other = Producer::init(side, "other").await;
    for version in PRODUCE_MIN..=PRODUCE_MAX {
        let anonymous = ProduceRequest {
            transactional_id: None,
            ..producer.produce(name, 0)
        };
        tell(side, "no transactional id", version, &anonymous).await;
        let wrong = ProduceRequest {
            transactional_id: Some(other.transactional_id.clone()),
            ..producer.produce(name, 0)
        };
        tell(side, "another's transactional id", version, &wrong).await;
        let unknown = ProduceRequest {
            transactional_id: Some(side.name("nobody")),
            ..producer.produce(name, 0)
        };
        tell(side, "an unknown transactional id", version, &unknown).await;
        let empty = ProduceRequest {
            transactional_id: Some(String::new()),
            ..producer.produce(name, 0)
        };
        tell(side, "an empty transactional id", version, &empty).await;
        let ahead = Producer {
            epoch: producer.epoch + 1,
            ..producer.clone()
        };
        tell(side, "an epoch ahead", version, &ahead.produce(name, 0)).await;
        let mut two = producer.produce(name, 0);
        let mut more = other.produce("missing", 0).topic_data.remove(0);
        more.name = name.to_owned();
        more.partition_data[0].index = 0;
        two.topic_data.push(more);
        tell(side, "two producers", version, &two).await;
        if version < PRODUCE_V2 {
            tell(side, "not added", version, &producer.produce(name, 0)).await;
        }
    }
}

async fn first_protocol(side: &mut Side, name: &str) {
    let mut producer = Producer::init(side, "first").await;
    let add = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: producer.transactional_id.clone(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: name.to_owned(),
            partitions: vec![0],
        }],
        ..Default::default()
    };
    let code = |answer: &AddPartitionsToTxnResponse| {
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    };
    side.tell("add", 3, &add, code, code).await;
    // No state of the producer: any sequence.
    tell(side, "begins anywhere", 9, &producer.produce(name, 7)).await;
    tell(side, "goes on", 9, &producer.produce(name, 8)).await;
    tell(side, "repeats", 9, &producer.produce(name, 7)).await;
    tell(side, "leaps", 9, &producer.produce(name, 10)).await;
    let plain = BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: 9,
        ..BatchOptions::default()
    };
    let outside = produce(name, -1, batch(plain, &["value"]));
    tell(side, "outside of the open transaction", 9, &outside).await;
    tell_reads(side, name, 0).await;
    producer.end(side, true, END_V1).await;
    tell_reads(side, name, 3).await;
    tell(
        side,
        "repeats behind the end",
        9,
        &producer.produce(name, 8),
    )
    .await;
    tell(side, "too late", 9, &producer.produce(name, 9)).await;
    tell(side, "too late", 11, &producer.produce(name, 9)).await;
    let newer = Producer::init(side, "first").await;
    tell(side, "fenced", 9, &producer.produce(name, 9)).await;
    tell(side, "fenced", 12, &producer.produce(name, 9)).await;
    tell(
        side,
        "not from zero in a new epoch",
        12,
        &newer.produce(name, 5),
    )
    .await;
    tell(
        side,
        "from zero in a new epoch",
        12,
        &newer.produce(name, 0),
    )
    .await;
    let mut newer = newer;
    newer.end(side, false, END_V2).await;
    tell_reads(side, name, 5).await;
}

async fn second_protocol(side: &mut Side, name: &str) {
    let mut producer = Producer::init(side, "second").await;
    tell(
        side,
        "not from zero",
        PRODUCE_V2,
        &producer.produce(name, 3),
    )
    .await;
    for (round, committed) in [(0, true), (1, false), (2, true)] {
        tell(side, "begins", PRODUCE_V2, &producer.produce(name, 0)).await;
        tell(side, "goes on", PRODUCE_V2, &producer.produce(name, 1)).await;
        tell(side, "repeats", PRODUCE_V2, &producer.produce(name, 0)).await;
        let before = producer.clone();
        producer.end(side, committed, END_V2).await;
        tell_reads(side, name, 8 + 3 * round).await;
        tell(
            side,
            "in the old epoch",
            PRODUCE_V2,
            &before.produce(name, 2),
        )
        .await;
    }
}

async fn offsets(side: &mut Side, name: &str) {
    let mut producer = Producer::init(side, "committer").await;
    let group = side.name("readers");
    let other = Producer::init(side, "other-committer").await;
    for version in 0..=COMMIT_MAX {
        let wrong = TxnOffsetCommitRequest {
            transactional_id: other.transactional_id.clone(),
            ..producer.commit(&group, name, 1)
        };
        tell_commit(side, "another's transactional id", version, &wrong).await;
        let unknown = TxnOffsetCommitRequest {
            transactional_id: side.name("nobody"),
            ..producer.commit(&group, name, 1)
        };
        tell_commit(side, "an unknown transactional id", version, &unknown).await;
        let empty = TxnOffsetCommitRequest {
            transactional_id: String::new(),
            ..producer.commit(&group, name, 1)
        };
        tell_commit(side, "an empty transactional id", version, &empty).await;
        let ahead = Producer {
            epoch: producer.epoch + 1,
            ..producer.clone()
        };
        tell_commit(
            side,
            "an epoch ahead",
            version,
            &ahead.commit(&group, name, 1),
        )
        .await;
        tell_commit(side, "no group", version, &producer.commit("", name, 1)).await;
        let missing = side.name("missing");
        let request = producer.commit(&group, &missing, 1);
        tell_commit(side, "a topic that is not there", version, &request).await;
        if version < COMMIT_MAX {
            let request = producer.commit(&group, name, 1);
            tell_commit(side, "not added", version, &request).await;
        }
    }
    tell_commit(side, "added", 5, &producer.commit(&group, name, 1)).await;
    for version in 3..=COMMIT_MAX {
        let member = TxnOffsetCommitRequest {
            generation_id: 4,
            member_id: "somebody".to_owned(),
            ..producer.commit(&group, name, 1)
        };
        tell_commit(side, "an unknown member", version, &member).await;
        let stranger = TxnOffsetCommitRequest {
            group_id: side.name("unknown"),
            ..member
        };
        tell_commit(side, "a generation of an unknown group", version, &stranger).await;
    }
    tell_stable(side, &group, name).await;
    producer.end(side, true, END_V2).await;
    for _ in 0..ATTEMPTS {
        if stable(side, &group, name).await != (88, -1) {
            break;
        }
        tokio::time::sleep(super::NOT_YET_INTERVAL).await;
    }
    tell_stable(side, &group, name).await;
}

async fn stable(side: &mut Side, group: &str, name: &str) -> (i16, i64) {
    let request = OffsetFetchRequest {
        groups: vec![offset_fetch_request::OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![offset_fetch_request::OffsetFetchRequestTopics {
                name: name.to_owned(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable: true,
        ..Default::default()
    };
    let answer = side.ask(8, &request).await.unwrap();
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

async fn tell_stable(side: &mut Side, group: &str, name: &str) {
    let told = stable(side, group, name).await;
    side.note("stable offset", 8, &format!("{told:?}"));
}
