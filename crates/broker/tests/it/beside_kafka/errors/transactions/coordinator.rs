//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, DescribeTransactions and ListTransactions.

use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use protocol::messages::*;

use super::{ADD_MAX, END_V2, INIT_MAX, Producer, Side, added, init_request, tell_add};

const ADD_OFFSETS_MAX: i16 = 4;
/// The first version of AddPartitionsToTxn with several transactions.
const ADD_BATCHES: i16 = 4;
const LIST_MAX: i16 = 2;

/// Partitions of topics.
type Topics<'a> = &'a [(&'a str, &'a [i32])];

pub(super) async fn errors(side: &mut Side, name: &str) {
    sessions(side).await;
    fenced_sessions(side, name).await;
    adding(side, name).await;
    adding_for_brokers(side, name).await;
    describing(side, name).await;
    listing(side).await;
}

async fn tell_init(side: &mut Side, step: &str, version: i16, request: &InitProducerIdRequest) {
    let told = |answer: &InitProducerIdResponse| {
        format!(
            "{}, {}, epoch {}",
            answer.error_code,
            if answer.producer_id < 0 {
                "no id"
            } else {
                "an id"
            },
            answer.producer_epoch
        )
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await;
}

async fn sessions(side: &mut Side) {
    let id = side.name("sessions");
    for version in 0..=INIT_MAX {
        tell_init(side, "init: empty id", version, &init_request("", -1, -1)).await;
        for timeout_ms in [0, -1, i32::MIN, 900_001, i32::MAX] {
            let request = InitProducerIdRequest {
                transaction_timeout_ms: timeout_ms,
                ..init_request(&id, -1, -1)
            };
            let step = format!("init: timeout {timeout_ms}");
            tell_init(side, &step, version, &request).await;
        }
        let largest = InitProducerIdRequest {
            transaction_timeout_ms: 900_000,
            ..init_request(&id, -1, -1)
        };
        tell_init(side, "init: the largest timeout", version, &largest).await;
    }
    // Whoever names a session of a transactional id that nobody knows is given the first.
    for version in 3..=INIT_MAX {
        for (producer_id, epoch) in [(5, 0), (5, 7), (5, -1), (-1, 0), (5, -2), (-2, 5)] {
            let id = side.name(&format!("unknown-{version}-{producer_id}-{epoch}"));
            let request = init_request(&id, producer_id, epoch);
            let step = format!("init: an unknown id with session {producer_id} {epoch}");
            tell_init(side, &step, version, &request).await;
        }
    }
}

/// Sessions that go on from one that is theirs, or not any more.
async fn fenced_sessions(side: &mut Side, name: &str) {
    for version in 3..=INIT_MAX {
        let first = Producer::init(side, "fenced").await;
        let other = Producer::init(side, "other").await;
        let id = &first.transactional_id;
        for (step, producer_id, epoch) in [
            ("init: another's session", other.id, first.epoch),
            ("init: an epoch ahead", first.id, first.epoch + 1),
            ("init: an epoch behind", first.id, first.epoch - 1),
            ("init: no epoch there can be", first.id, -7),
            ("init: goes on", first.id, first.epoch),
            ("init: goes on again", first.id, first.epoch),
            ("init: goes on from the next", first.id, first.epoch + 1),
            ("init: goes on from the first", first.id, first.epoch),
        ] {
            let request = init_request(id, producer_id, epoch);
            tell_init(side, step, version, &request).await;
        }
        // An open transaction is aborted over its producer's head, even by one that was fenced itself.
        let open = Producer::init(side, "fenced").await;
        tell_add(side, "add", ADD_MAX, &open.add(&[(name, &[0])])).await;
        let wrong = init_request(id, open.id, open.epoch - 1);
        tell_init(side, "init: fenced, while one is open", version, &wrong).await;
        open.settle(side).await;
        let open = Producer::init(side, "fenced").await;
        tell_add(side, "add", ADD_MAX, &open.add(&[(name, &[0])])).await;
        let newer = init_request(id, -1, -1);
        tell_init(side, "init: while one is open", version, &newer).await;
        open.settle(side).await;
        tell_add(side, "add: fenced", ADD_MAX, &open.add(&[(name, &[0])])).await;
        // Whoever was aborted that way may go on.
        let request = init_request(id, open.id, open.epoch);
        tell_init(side, "init: goes on after the abort", version, &request).await;
        tell_init(side, "init: a new session", version, &newer).await;
        tell_init(side, "init: fenced by the new session", version, &request).await;
    }
}

async fn tell_offsets(side: &mut Side, step: &str, version: i16, request: &AddOffsetsToTxnRequest) {
    let code = |answer: &AddOffsetsToTxnResponse| answer.error_code;
    side.tell(step, version, request, code, code).await;
}

async fn adding(side: &mut Side, name: &str) {
    let group = side.name("adding");
    let missing = side.name("no-such-topic");
    let producer = Producer::init(side, "adding").await;
    let other = Producer::init(side, "adding-other").await;
    let epochs = [
        ("an epoch ahead", producer.at(producer.epoch + 1)),
        ("an epoch behind", producer.at(producer.epoch - 1)),
        ("an epoch there cannot be", producer.at(-5)),
    ];
    let strangers = producer.strangers(side, &other);
    let wrong: Vec<_> = strangers.into_iter().chain(epochs).collect();
    let topics: [(&str, Topics<'_>); 9] = [
        ("an unknown topic", &[(&missing, &[0])]),
        (
            "a known and an unknown topic",
            &[(name, &[0]), (&missing, &[0])],
        ),
        ("an unknown partition", &[(name, &[0, 1])]),
        ("a negative partition", &[(name, &[-1])]),
        ("no topics", &[]),
        ("no partitions", &[(name, &[])]),
        ("a partition twice", &[(name, &[0, 0])]),
        ("a topic twice", &[(name, &[0]), (name, &[0])]),
        ("an unknown partition twice", &[(name, &[7, 7, 0, 0])]),
    ];
    for version in 0..=ADD_MAX {
        for (step, wrong) in &wrong {
            let step = format!("add: {step}");
            tell_add(side, &step, version, &wrong.add(&[(name, &[0])])).await;
            tell_add(side, &step, version, &wrong.add(&[(&missing, &[0])])).await;
        }
        for (step, topics) in &topics {
            let step = format!("add: {step}");
            tell_add(side, &step, version, &producer.add(topics)).await;
        }
        tell_described(side, &producer.transactional_id).await;
    }
    for version in 0..=ADD_OFFSETS_MAX {
        for (step, wrong) in &wrong {
            let step = format!("add offsets: {step}");
            tell_offsets(side, &step, version, &wrong.add_offsets(&group)).await;
        }
        tell_offsets(side, "add offsets", version, &producer.add_offsets(&group)).await;
        tell_offsets(
            side,
            "add offsets of no group",
            version,
            &producer.add_offsets(""),
        )
        .await;
    }
    let mut producer = producer;
    producer.finish(side, false, END_V2).await;
}

/// The versions in which brokers ask for several transactions, which this Kafka takes from anybody.
async fn adding_for_brokers(side: &mut Side, name: &str) {
    let producer = Producer::init(side, "brokers").await;
    let other = Producer::init(side, "brokers-other").await;
    let missing = side.name("no-such-topic");
    let transaction = |producer: &Producer, verify_only, topics: &[(&str, &[i32])]| {
        AddPartitionsToTxnTransaction {
            transactional_id: producer.transactional_id.clone(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            verify_only,
            topics: added(topics),
        }
    };
    let all: &[(&str, &[i32])] = &[(name, &[0])];
    let strangers = producer.strangers(side, &other);
    let [(_, nobody), ..] = &strangers;
    for version in ADD_BATCHES..=5 {
        for verify_only in [true, false, true] {
            let of_strangers = strangers.iter();
            let of_strangers = of_strangers
                .map(|(step, stranger)| (*step, transaction(stranger, verify_only, all)));
            let of_producer = [
                (
                    "an epoch ahead",
                    transaction(&producer.at(9), verify_only, all),
                ),
                (
                    "an epoch there cannot be",
                    transaction(&producer.at(-1), verify_only, all),
                ),
                (
                    "an unknown topic",
                    transaction(&producer, verify_only, &[(&missing, &[0])]),
                ),
                (
                    "a known and an unknown",
                    transaction(&producer, verify_only, &[(name, &[0, 1])]),
                ),
                ("a partition", transaction(&producer, verify_only, all)),
                (
                    "a partition twice",
                    transaction(&producer, verify_only, &[(name, &[0, 0])]),
                ),
            ];
            let transactions: Vec<_> = of_strangers.chain(of_producer).collect();
            for (step, one) in &transactions {
                let request = AddPartitionsToTxnRequest {
                    transactions: vec![one.clone()],
                    ..Default::default()
                };
                let step = format!("for brokers, only asks {verify_only}: {step}");
                tell_batches(side, &step, version, &request).await;
            }
            let request = AddPartitionsToTxnRequest {
                transactions: vec![
                    transaction(nobody, verify_only, all),
                    transaction(&other, verify_only, all),
                    transaction(&producer, verify_only, all),
                ],
                ..Default::default()
            };
            let step = format!("for brokers, only asks {verify_only}: several");
            tell_batches(side, &step, version, &request).await;
        }
    }
    for mut producer in [producer, other] {
        producer.finish(side, false, END_V2).await;
    }
}

async fn tell_batches(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &AddPartitionsToTxnRequest,
) {
    let told = |answer: &AddPartitionsToTxnResponse| {
        let mut told: Vec<_> = answer
            .results_by_transaction
            .iter()
            .flat_map(|result| {
                result
                    .topic_results
                    .iter()
                    .map(move |topic| (result, topic))
            })
            .flat_map(|(result, topic)| {
                let partitions = topic.results_by_partition.iter();
                partitions.map(move |partition| {
                    let code = partition.partition_error_code;
                    (&result.transactional_id, partition.partition_index, code)
                })
            })
            .collect();
        told.sort_unstable();
        format!("{} {told:?}", answer.error_code)
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await;
}

/// What is known of a transactional id, without times.
async fn tell_described(side: &mut Side, transactional_id: &str) {
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![transactional_id.to_owned()],
    };
    let told = |answer: &DescribeTransactionsResponse| {
        let told = answer.transaction_states.iter().map(|state| {
            let topics = state.topics.iter();
            let mut topics: Vec<_> = topics
                .map(|topic| (topic.topic.starts_with("__"), &topic.partitions))
                .collect();
            topics.sort();
            format!(
                "{} {:?} {:?} timeout {} epoch {} {topics:?} began {} has an id {}",
                state.error_code,
                state.transactional_id,
                state.transaction_state,
                state.transaction_timeout_ms,
                state.producer_epoch,
                state.transaction_start_time_ms > 0,
                state.producer_id > 0,
            )
        });
        told.collect::<Vec<_>>().join(", ")
    };
    let code = |answer: &DescribeTransactionsResponse| {
        let first = answer.transaction_states.first();
        first.map_or(0, |state| state.error_code)
    };
    side.tell("describe", 0, &request, code, told).await;
}

async fn describing(side: &mut Side, name: &str) {
    let id = side.name("described");
    for id in ["", &side.name("nobody"), &id] {
        tell_described(side, id).await;
    }
    let mut producer = Producer::init(side, "described").await;
    tell_described(side, &id).await;
    tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
    tell_described(side, &id).await;
    producer.finish(side, true, END_V2).await;
    tell_described(side, &id).await;
    let request = DescribeTransactionsRequest::default();
    let told = |answer: &DescribeTransactionsResponse| answer.transaction_states.len();
    side.tell("describe nothing", 0, &request, |_| 0, told)
        .await;
}

async fn listing(side: &mut Side) {
    let prefix = side.name("described");
    let all = ListTransactionsRequest {
        duration_filter: -1,
        ..Default::default()
    };
    let states = |states: &[&str]| ListTransactionsRequest {
        state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
        ..all.clone()
    };
    let requests = [
        ("all", all.clone()),
        ("in a state", states(&["CompleteCommit"])),
        ("in another state", states(&["Ongoing"])),
        (
            "in states there are not",
            states(&["Nonsense", "completecommit", ""]),
        ),
        (
            "in passing states",
            states(&["Dead", "PrepareEpochFence", "PrepareCommit"]),
        ),
        (
            "of a producer there cannot be",
            ListTransactionsRequest {
                producer_id_filters: vec![-1],
                ..all.clone()
            },
        ),
        (
            "long ones",
            ListTransactionsRequest {
                duration_filter: 0,
                ..all.clone()
            },
        ),
        (
            "very long ones",
            ListTransactionsRequest {
                duration_filter: i64::MAX,
                ..all.clone()
            },
        ),
    ];
    let patterns = [
        ".*",
        "",
        "(",
        "[a",
        "a{2,1}",
        "\\p{Nope}",
        "(?<=a)b",
        "nobody",
    ];
    for version in 0..=LIST_MAX {
        for (step, request) in &requests {
            if version == 0 && request.duration_filter >= 0 {
                continue;
            }
            tell_list(side, &format!("list {step}"), version, request, &prefix).await;
        }
    }
    for pattern in patterns
        .into_iter()
        .chain([&*prefix, &*format!("{prefix}.*")])
    {
        let request = ListTransactionsRequest {
            transactional_id_pattern: Some(pattern.to_owned()),
            ..all.clone()
        };
        tell_list(
            side,
            &format!("list by {pattern}"),
            LIST_MAX,
            &request,
            &prefix,
        )
        .await;
    }
}

async fn tell_list(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &ListTransactionsRequest,
    prefix: &str,
) {
    let told = |answer: &ListTransactionsResponse| {
        let mut unknown = answer.unknown_state_filters.clone();
        unknown.sort();
        let listed = answer.transaction_states.iter();
        let listed: Vec<_> = listed
            .filter(|state| state.transactional_id == prefix)
            .map(|state| &state.transaction_state)
            .collect();
        format!("{} {listed:?}, unknown {unknown:?}", answer.error_code)
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await;
}
