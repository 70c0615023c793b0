//! Produce in every version: who may write within which transaction, in which order, and what readers see of it.

use protocol::Uuid;
use protocol::messages::*;
use protocol::records::{BatchIterator, BatchOptions};
use testkit::requests::{FETCH, batch, fetch, produce};

use super::super::{LIST_OFFSETS, READ_COMMITTED, READ_UNCOMMITTED, await_leader, look_up};
use super::{ADD_MAX, END_V1, END_V2, Producer, Side, passing, tell_add, topic};

const PRODUCE_MIN: i16 = 3;
const PRODUCE_MAX: i16 = 13;
const PRODUCE_V1: i16 = 9;
const PRODUCE_ABORTABLE: i16 = 11;
/// The first version that adds partitions by the way.
const PRODUCE_V2: i16 = 12;

/// A topic with its id, which the newest version names it by.
struct Written {
    name: String,
    id: Uuid,
}

impl Written {
    async fn new(side: &mut Side, name: String) -> Self {
        let request = MetadataRequest {
            topics: Some(vec![metadata_request::MetadataRequestTopic {
                name: Some(name.clone()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let answer = side.ask(12, &request).await.unwrap();
        let id = answer.topics[0].topic_id;
        Self { name, id }
    }
}

pub(super) async fn errors(side: &mut Side, name: &str) {
    let other = topic(side, "written-too").await;
    let topics = [
        Written::new(side, name.to_owned()).await,
        Written::new(side, other).await,
    ];
    strangers(side, &topics).await;
    let first = one_segment(side, "written-v1").await;
    first_protocol(side, &first).await;
    let second = one_segment(side, "written-v2").await;
    second_protocol(side, &second).await;
}

/// A topic whose records and markers stay in one segment although years lie between them: one fetch of Kafka's reads from
/// one segment.
async fn one_segment(side: &mut Side, what: &str) -> Written {
    let name = side.name(what);
    let configs = [("segment.ms", "9223372036854775807")];
    testkit::requests::topic(&mut side.client, &name, &configs).await;
    await_leader(side, &name).await;
    Written::new(side, name).await
}

async fn tell(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &ProduceRequest,
    topics: &[&Written],
) {
    let mut request = request.clone();
    for data in &mut request.topic_data {
        if let Some(topic) = topics.iter().find(|topic| topic.name == data.name) {
            data.topic_id = topic.id;
        }
    }
    let partitions = |answer: &ProduceResponse| {
        let mut told: Vec<_> = answer
            .responses
            .iter()
            .flat_map(|topic| {
                let partitions = topic.partition_responses.iter();
                partitions.map(|partition| (partition.error_code, partition.base_offset))
            })
            .collect();
        // Kafka answers in the order of a hash map.
        told.sort_unstable();
        told
    };
    let code = |answer: &ProduceResponse| {
        let first = partitions(answer);
        first.first().map_or(0, |(code, _)| passing(*code))
    };
    let told = |answer: &ProduceResponse| format!("{:?}", partitions(answer));
    side.tell(&format!("produce: {step}"), version, &request, code, told)
        .await;
}

async fn strangers(side: &mut Side, topics: &[Written; 2]) {
    let [first, second] = topics;
    let name = &first.name;
    let known = [first, second];
    let producer = Producer::init(side, "stranger").await;
    let other = Producer::init(side, "other").await;
    let plain = BatchOptions {
        is_transactional: false,
        ..producer.batch(0)
    };
    let with_id = |id: Option<String>, request: ProduceRequest| ProduceRequest {
        transactional_id: id,
        ..request
    };
    // A request with the topic data of several.
    let joined = |requests: &[ProduceRequest]| {
        let data = requests
            .iter()
            .flat_map(|request| request.topic_data.clone());
        ProduceRequest {
            topic_data: data.collect(),
            ..requests[0].clone()
        }
    };
    let mine = producer.produce(name, 0);
    let stranger = side.name("nobody");
    let cases = [
        ("no transactional id", with_id(None, mine.clone())),
        (
            "another's transactional id",
            with_id(Some(other.transactional_id.clone()), mine.clone()),
        ),
        (
            "an unknown transactional id",
            with_id(Some(stranger.clone()), mine.clone()),
        ),
        (
            "an empty transactional id",
            with_id(Some(String::new()), mine.clone()),
        ),
        (
            "an epoch ahead",
            producer.at(producer.epoch + 1).produce(name, 0),
        ),
        ("an epoch there cannot be", producer.at(-1).produce(name, 0)),
        ("no sequence", producer.produce(name, -1)),
        (
            "two producers for a partition",
            joined(&[mine.clone(), other.produce(name, 0)]),
        ),
        (
            "two producers for two partitions",
            joined(&[mine.clone(), other.produce(&second.name, 0)]),
        ),
        (
            "two epochs for two partitions",
            joined(&[mine.clone(), producer.at(7).produce(&second.name, 0)]),
        ),
        (
            "another partition of nobody's",
            joined(&[mine.clone(), other.produce("nowhere", 0)]),
        ),
        ("a topic that is not there", producer.produce("nowhere", 0)),
    ];
    for version in PRODUCE_MIN..=PRODUCE_MAX {
        for (step, request) in &cases {
            tell(side, step, version, request, &known).await;
        }
        for acks in [2, -2] {
            let request = joined(&[mine.clone(), producer.produce("nowhere", 0)]);
            let request = ProduceRequest { acks, ..request };
            tell(side, &format!("acks {acks}"), version, &request, &known).await;
        }
        if version < PRODUCE_V2 {
            tell(side, "not added", version, &mine, &known).await;
            // A batch that is not transactional needs no transaction, whatever the request says.
        }
    }
    let outside = with_id(Some(stranger), produce(name, -1, batch(plain, &["value"])));
    tell(
        side,
        "outside of any transaction",
        PRODUCE_V2,
        &outside,
        &known,
    )
    .await;
}

async fn first_protocol(side: &mut Side, written: &Written) {
    let name = &*written.name;
    let known = [written];
    let mut producer = Producer::init(side, "first").await;
    tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
    // No state of the producer: any sequence.
    for (step, version, sequence) in [
        ("begins anywhere", PRODUCE_V1, 7),
        ("goes on", PRODUCE_V1, 8),
        ("repeats", PRODUCE_V1, 7),
        ("leaps", PRODUCE_V1, 10),
        ("goes on", PRODUCE_MIN, 9),
    ] {
        tell(
            side,
            step,
            version,
            &producer.produce(name, sequence),
            &known,
        )
        .await;
    }
    let plain = BatchOptions {
        is_transactional: false,
        ..producer.batch(10)
    };
    let outside = produce(name, -1, batch(plain, &["value"]));
    tell(
        side,
        "outside of the open transaction",
        PRODUCE_V1,
        &outside,
        &known,
    )
    .await;
    tell_reads(side, name).await;
    producer.finish(side, true, END_V1).await;
    tell_reads(side, name).await;
    for version in [PRODUCE_V1, PRODUCE_ABORTABLE] {
        tell(
            side,
            "repeats behind the end",
            version,
            &producer.produce(name, 9),
            &known,
        )
        .await;
        tell(
            side,
            "too late",
            version,
            &producer.produce(name, 10),
            &known,
        )
        .await;
    }
    let mut newer = Producer::init(side, "first").await;
    for version in [PRODUCE_V1, PRODUCE_ABORTABLE, PRODUCE_V2, PRODUCE_MAX] {
        tell(side, "fenced", version, &producer.produce(name, 10), &known).await;
        let repeated = producer.produce(name, 9);
        tell(side, "fenced, repeats", version, &repeated, &known).await;
    }
    for (step, sequence) in [
        ("not from zero in a new epoch", 5),
        ("from zero in a new epoch", 0),
        ("goes on in a new epoch", 1),
        ("leaps in a new epoch", 5),
    ] {
        tell(
            side,
            step,
            PRODUCE_V2,
            &newer.produce(name, sequence),
            &known,
        )
        .await;
    }
    newer.finish(side, false, END_V2).await;
    tell_reads(side, name).await;
}

async fn second_protocol(side: &mut Side, written: &Written) {
    let name = &*written.name;
    let known = [written];
    let mut producer = Producer::init(side, "second").await;
    for version in [PRODUCE_V2, PRODUCE_MAX] {
        tell(
            side,
            "not from zero",
            version,
            &producer.produce(name, 3),
            &known,
        )
        .await;
    }
    producer.finish(side, false, END_V2).await;
    for committed in [true, false, true] {
        for (step, sequence) in [("begins", 0), ("goes on", 1), ("repeats", 0), ("leaps", 5)] {
            tell(
                side,
                step,
                PRODUCE_V2,
                &producer.produce(name, sequence),
                &known,
            )
            .await;
        }
        let before = producer.clone();
        producer.finish(side, committed, END_V2).await;
        tell_reads(side, name).await;
        for version in [PRODUCE_V1, PRODUCE_ABORTABLE, PRODUCE_V2] {
            tell(
                side,
                "in the old epoch",
                version,
                &before.produce(name, 2),
                &known,
            )
            .await;
        }
    }
    // Of the old protocol in the middle of a transaction of the new one.
    tell(
        side,
        "begins",
        PRODUCE_V2,
        &producer.produce(name, 0),
        &known,
    )
    .await;
    tell(
        side,
        "goes on as of old",
        PRODUCE_V1,
        &producer.produce(name, 1),
        &known,
    )
    .await;
    let newer = Producer::init(side, "second").await;
    tell(
        side,
        "fenced",
        PRODUCE_V2,
        &producer.produce(name, 2),
        &known,
    )
    .await;
    tell(
        side,
        "the newer",
        PRODUCE_V2,
        &newer.produce(name, 0),
        &known,
    )
    .await;
    tell_reads(side, name).await;
    let mut newer = newer;
    newer.finish(side, true, END_V2).await;
    tell_reads(side, name).await;
    tell_look_ups(side, name).await;
}

/// What readers are told, with and without open transactions.
async fn tell_reads(side: &mut Side, name: &str) {
    for isolation_level in [READ_UNCOMMITTED, READ_COMMITTED] {
        let request = FetchRequest {
            isolation_level,
            ..fetch(name, 0, 0)
        };
        let answer = side.ask(FETCH, &request).await.unwrap();
        let data = &answer.responses[0].partitions[0];
        let aborted: Option<Vec<_>> = data
            .aborted_transactions
            .as_ref()
            .map(|aborted| aborted.iter().map(|aborted| aborted.first_offset).collect());
        let records = data
            .records
            .clone()
            .unwrap_or_default()
            .into_bytes()
            .unwrap();
        let batches: Vec<_> = BatchIterator::new(&records)
            .map(|batch| batch.unwrap())
            .map(|batch| {
                (
                    batch.base_offset(),
                    batch.producer_epoch(),
                    batch.is_control(),
                )
            })
            .collect();
        side.note(
            &format!("read, isolation {isolation_level}"),
            FETCH,
            &format!(
                "{} {aborted:?} {batches:?} of {}",
                data.last_stable_offset,
                records.len()
            ),
        );
    }
}

/// Markers have the time they were written at, which is later than that of all records.
async fn tell_look_ups(side: &mut Side, name: &str) {
    for timestamp in [-3, -2, -1, 0, 1_700_000_000_000, 1_700_000_000_001] {
        let told = look_up(side, name, READ_COMMITTED, timestamp).await;
        let step = format!("look up {timestamp} among markers");
        side.note(&step, LIST_OFFSETS, &format!("{told:?}"));
    }
}
