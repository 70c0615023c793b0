//! Transactions in bytes: both protocols from InitProducerId to the markers, every wrong request, and a restart in each
//! state.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use protocol::messages::*;
use protocol::records::{BatchIterator, BatchOptions, ControlRecordType, control};
use testkit::requests::{FETCH, batch, fetch, produce, topic};
use testkit::{RawClient, Server, ServerOptions, eventually};

const TRANSACTION: i8 = 1;
/// The last versions that do not bump epochs.
const END_V1: i16 = 4;
const PRODUCE_V1: i16 = 11;
/// The first that does.
const END_V2: i16 = 5;

/// A producer's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    id: i64,
    epoch: i16,
}

async fn coordinated(client: &mut RawClient, id: &str) {
    let find = FindCoordinatorRequest {
        key_type: TRANSACTION,
        coordinator_keys: vec![id.to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&find, 4).await.coordinators[0].error_code, 0);
    eventually("the coordinator is loaded", async || {
        let state = describe(client, id).await;
        state.error_code != code(ErrorCode::CoordinatorLoadInProgress)
    })
    .await;
}

fn code(code: ErrorCode) -> i16 {
    code.into()
}

fn init_request(id: &str, expected: Option<Session>) -> InitProducerIdRequest {
    let expected = expected.unwrap_or(Session { id: -1, epoch: -1 });
    InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: expected.id,
        producer_epoch: expected.epoch,
        ..Default::default()
    }
}

/// Begins a session, trying again while the last transaction is being ended.
async fn init(client: &mut RawClient, id: &str) -> Session {
    let mut session = None;
    eventually("the producer is initialized", async || {
        let answer = client.call(&init_request(id, None), 5).await;
        if answer.error_code == code(ErrorCode::ConcurrentTransactions) {
            return false;
        }
        assert_eq!(answer.error_code, 0);
        session = Some(Session {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        });
        true
    })
    .await;
    session.unwrap()
}

fn add_request(id: &str, session: Session, topics: &[&str]) -> AddPartitionsToTxnRequest {
    let topic = |name: &&str| AddPartitionsToTxnTopic {
        name: (*name).to_owned(),
        partitions: vec![0],
    };
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id.to_owned(),
        v3_and_below_producer_id: session.id,
        v3_and_below_producer_epoch: session.epoch,
        v3_and_below_topics: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// Adds topics, trying again while the last transaction is being ended; the answer of the first.
async fn add(client: &mut RawClient, id: &str, session: Session, topics: &[&str]) -> i16 {
    let request = add_request(id, session, topics);
    let mut error = 0;
    eventually("partitions are added", async || {
        let answer = client.call(&request, 3).await;
        let first = &answer.results_by_topic_v3_and_below[0];
        error = first.results_by_partition[0].partition_error_code;
        error != code(ErrorCode::ConcurrentTransactions)
    })
    .await;
    error
}

fn end_request(id: &str, session: Session, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: id.to_owned(),
        producer_id: session.id,
        producer_epoch: session.epoch,
        committed,
    }
}

/// Ends a transaction; the producer's session from then on if the version bumps epochs.
async fn end(
    client: &mut RawClient,
    id: &str,
    session: Session,
    committed: bool,
    version: i16,
) -> Result<Session, ErrorCode> {
    let mut outcome = Err(ErrorCode::None);
    eventually("the transaction ends", async || {
        let answer = client
            .call(&end_request(id, session, committed), version)
            .await;
        let error = ErrorCode::try_from(answer.error_code).unwrap();
        outcome = match error {
            ErrorCode::None if version >= END_V2 => Ok(Session {
                id: answer.producer_id,
                epoch: answer.producer_epoch,
            }),
            ErrorCode::None => Ok(session),
            error => Err(error),
        };
        error != ErrorCode::ConcurrentTransactions
    })
    .await;
    outcome
}

async fn describe(
    client: &mut RawClient,
    id: &str,
) -> describe_transactions_response::TransactionState {
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![id.to_owned()],
    };
    client.call(&request, 0).await.transaction_states.remove(0)
}

async fn reaches(client: &mut RawClient, id: &str, state: &str) {
    eventually(state, async || {
        describe(client, id).await.transaction_state == state
    })
    .await;
}

/// Produces one value within a transaction.
async fn write(
    client: &mut RawClient,
    id: &str,
    session: Session,
    name: &str,
    sequence: i32,
    version: i16,
) -> i16 {
    let options = BatchOptions {
        producer_id: session.id,
        producer_epoch: session.epoch,
        base_sequence: sequence,
        is_transactional: true,
        ..Default::default()
    };
    let mut request = produce(name, -1, batch(options, &["value"]));
    request.transactional_id = Some(id.to_owned());
    let answer = client.call(&request, version).await;
    answer.responses[0].partition_responses[0].error_code
}

/// The control records of a topic: who, which epoch, whether committed.
async fn markers(client: &mut RawClient, name: &str) -> Vec<(Session, bool)> {
    let mut answer = client.call(&fetch(name, 0, 0), FETCH).await;
    let records = answer.responses[0].partitions[0].records.take();
    let records = records.map_or_else(Bytes::new, |records| records.into_bytes().unwrap());
    let batches = BatchIterator::new(&records).map(|batch| batch.unwrap());
    batches
        .filter(|batch| batch.is_control())
        .map(|batch| {
            let record = batch.records(batch.record_bytes()).next().unwrap().unwrap();
            let kind = control::decode_key(record.key.unwrap()).unwrap();
            let session = Session {
                id: batch.producer_id(),
                epoch: batch.producer_epoch(),
            };
            (session, kind == ControlRecordType::Commit)
        })
        .collect()
}

#[tokio::test]
async fn the_first_protocol_keeps_the_epoch_of_its_producer() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    topic(client, "seats", &[]).await;
    coordinated(client, "transfers").await;
    let session = init(client, "transfers").await;
    assert_eq!(session.epoch, 0);
    assert_eq!(
        describe(client, "transfers").await.transaction_state,
        "Empty"
    );
    let mut expected = Vec::new();
    for (round, committed) in [true, false, true].into_iter().enumerate() {
        let sequence = i32::try_from(round).unwrap();
        assert_eq!(
            add(client, "transfers", session, &["flights", "seats"]).await,
            0
        );
        let described = describe(client, "transfers").await;
        assert_eq!(described.transaction_state, "Ongoing");
        assert_eq!(
            (described.producer_id, described.producer_epoch),
            (session.id, 0)
        );
        assert!(described.transaction_start_time_ms > 0);
        let topics: Vec<&str> = described
            .topics
            .iter()
            .map(|topic| &topic.topic[..])
            .collect();
        assert_eq!(topics, ["flights", "seats"]);
        assert_eq!(
            write(
                client,
                "transfers",
                session,
                "flights",
                sequence,
                PRODUCE_V1
            )
            .await,
            0
        );
        assert_eq!(
            end(client, "transfers", session, committed, END_V1).await,
            Ok(session)
        );
        let state = if committed {
            "CompleteCommit"
        } else {
            "CompleteAbort"
        };
        reaches(client, "transfers", state).await;
        // The same again is no error, the other is.
        assert_eq!(
            end(client, "transfers", session, committed, END_V1).await,
            Ok(session)
        );
        assert_eq!(
            end(client, "transfers", session, !committed, END_V1).await,
            Err(ErrorCode::InvalidTxnState)
        );
        expected.push((session, committed));
        assert_eq!(markers(client, "flights").await, expected);
        assert_eq!(markers(client, "seats").await, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_second_protocol_bumps_the_epoch_with_every_end() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "transfers").await;
    let mut session = init(client, "transfers").await;
    let mut expected = Vec::new();
    for committed in [true, false, true] {
        assert_eq!(add(client, "transfers", session, &["flights"]).await, 0);
        let next = end(client, "transfers", session, committed, END_V2)
            .await
            .unwrap();
        let bumped = Session {
            epoch: session.epoch + 1,
            ..session
        };
        assert_eq!(next, bumped);
        reaches(
            client,
            "transfers",
            if committed {
                "CompleteCommit"
            } else {
                "CompleteAbort"
            },
        )
        .await;
        // A retry has the same answer; with the other outcome it is refused.
        assert_eq!(
            end(client, "transfers", session, committed, END_V2).await,
            Ok(next)
        );
        assert_eq!(
            end(client, "transfers", session, !committed, END_V2).await,
            Err(ErrorCode::InvalidTxnState)
        );
        expected.push((bumped, committed));
        assert_eq!(markers(client, "flights").await, expected);
        session = next;
    }
    // Nothing was added: an abort bumps all the same, a commit is refused.
    assert_eq!(
        end(client, "transfers", session, true, END_V2).await,
        Err(ErrorCode::InvalidTxnState)
    );
    let next = end(client, "transfers", session, false, END_V2)
        .await
        .unwrap();
    assert_eq!(next.epoch, session.epoch + 1);
    assert_eq!(markers(client, "flights").await, expected);
    server.stop().await;
}

#[tokio::test]
async fn a_new_session_fences_the_old_one_and_aborts_its_transaction() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "transfers").await;
    let old = init(client, "transfers").await;
    assert_eq!(add(client, "transfers", old, &["flights"]).await, 0);
    assert_eq!(
        write(client, "transfers", old, "flights", 0, PRODUCE_V1).await,
        0
    );
    let first = client.call(&init_request("transfers", None), 5).await;
    assert_eq!(first.error_code, code(ErrorCode::ConcurrentTransactions));
    let new = init(client, "transfers").await;
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 2));
    let fenced = Session {
        epoch: old.epoch + 1,
        ..old
    };
    assert_eq!(markers(client, "flights").await, [(fenced, false)]);
    for (version, expected) in [
        (3, ErrorCode::ProducerFenced),
        (2, ErrorCode::ProducerFenced),
        (1, ErrorCode::InvalidProducerEpoch),
        (0, ErrorCode::InvalidProducerEpoch),
    ] {
        let answer = client
            .call(&add_request("transfers", old, &["flights"]), version)
            .await;
        let result = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
        assert_eq!(
            result.partition_error_code,
            code(expected),
            "AddPartitionsToTxn v{version}"
        );
        let request = end_request("transfers", old, true);
        let answer = client.call(&request, version).await;
        assert_eq!(answer.error_code, code(expected), "EndTxn v{version}");
        let request = AddOffsetsToTxnRequest {
            transactional_id: "transfers".to_owned(),
            producer_id: old.id,
            producer_epoch: old.epoch,
            group_id: "readers".to_owned(),
        };
        let answer = client.call(&request, version).await;
        assert_eq!(
            answer.error_code,
            code(expected),
            "AddOffsetsToTxn v{version}"
        );
    }
    for (version, expected) in [
        (5, ErrorCode::ProducerFenced),
        (4, ErrorCode::ProducerFenced),
        (3, ErrorCode::InvalidProducerEpoch),
    ] {
        let answer = client
            .call(&init_request("transfers", Some(old)), version)
            .await;
        assert_eq!(
            answer.error_code,
            code(expected),
            "InitProducerId v{version}"
        );
    }
    // Who has the session may go on from it, and may say so twice.
    for _ in 0..2 {
        let answer = client.call(&init_request("transfers", Some(new)), 5).await;
        assert_eq!(
            (answer.error_code, answer.producer_epoch),
            (0, new.epoch + 1)
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn wrong_requests_get_kafkas_errors() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    let nobody = Session { id: 77, epoch: 0 };
    // Nobody coordinates before somebody asked for the coordinator.
    let answer = client.call(&init_request("transfers", None), 5).await;
    assert_eq!(answer.error_code, code(ErrorCode::NotCoordinator));
    coordinated(client, "transfers").await;
    for version in [0, 1, 2, 3, 4, 5] {
        let request = end_request("unknown", nobody, true);
        let answer = client.call(&request, version).await;
        assert_eq!(answer.error_code, code(ErrorCode::InvalidProducerIdMapping));
        let request = end_request("", nobody, true);
        let answer = client.call(&request, version).await;
        assert_eq!(answer.error_code, code(ErrorCode::InvalidRequest));
    }
    assert_eq!(
        add(client, "unknown", nobody, &["flights"]).await,
        code(ErrorCode::InvalidProducerIdMapping)
    );
    assert_eq!(
        add(client, "", nobody, &["flights"]).await,
        code(ErrorCode::InvalidRequest)
    );
    let session = init(client, "transfers").await;
    assert_eq!(
        end(client, "transfers", session, true, END_V1).await,
        Err(ErrorCode::InvalidTxnState)
    );
    assert_eq!(
        end(client, "transfers", nobody, true, END_V1).await,
        Err(ErrorCode::InvalidProducerIdMapping)
    );
    // One partition that does not exist, and nothing is added.
    let request = add_request("transfers", session, &["flights", "nowhere"]);
    let answer = client.call(&request, 3).await;
    let codes: Vec<i16> = answer
        .results_by_topic_v3_and_below
        .iter()
        .map(|topic| topic.results_by_partition[0].partition_error_code)
        .collect();
    assert_eq!(
        codes,
        [
            code(ErrorCode::OperationNotAttempted),
            code(ErrorCode::UnknownTopicOrPartition)
        ]
    );
    assert_eq!(
        describe(client, "transfers").await.transaction_state,
        "Empty"
    );
    for (id, expected) in [
        ("", ErrorCode::InvalidRequest),
        ("unknown", ErrorCode::TransactionalIdNotFound),
    ] {
        assert_eq!(
            describe(client, id).await.error_code,
            code(expected),
            "{id:?}"
        );
    }
    server.stop().await;
}

/// Numbers that no producer has are as wrong as those of another: the state decides what is said about them.
#[tokio::test]
async fn a_session_that_cannot_be_is_a_wrong_one() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "transfers").await;
    let session = init(client, "transfers").await;
    let no_epoch = Session {
        epoch: -5,
        ..session
    };
    let no_id = Session { id: -2, ..session };
    for (wrong, expected) in [
        (no_epoch, ErrorCode::ProducerFenced),
        (no_id, ErrorCode::InvalidProducerIdMapping),
    ] {
        let answer = client
            .call(&init_request("transfers", Some(wrong)), 5)
            .await;
        assert_eq!(
            answer.error_code,
            code(ErrorCode::ProducerFenced),
            "{wrong:?}"
        );
        assert_eq!(
            add(client, "transfers", wrong, &["flights"]).await,
            code(expected)
        );
        for version in [END_V1, END_V2] {
            let ended = end(client, "transfers", wrong, true, version).await;
            assert_eq!(ended, Err(expected), "{wrong:?}, EndTxn v{version}");
        }
        let request = AddOffsetsToTxnRequest {
            transactional_id: "transfers".to_owned(),
            producer_id: wrong.id,
            producer_epoch: wrong.epoch,
            group_id: "readers".to_owned(),
        };
        let answer = client.call(&request, 3).await;
        assert_eq!(answer.error_code, code(expected), "{wrong:?}");
    }
    // Nobody was fenced by them.
    assert_eq!(add(client, "transfers", session, &["flights"]).await, 0);
    // Of an id that nobody knows, any session is the first.
    let answer = client
        .call(&init_request("unknown", Some(no_epoch)), 5)
        .await;
    assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
    server.stop().await;
}

/// The answer is as the request where all have the same result, and by partition where they differ.
#[tokio::test]
async fn a_partition_that_is_added_twice_is_added_once() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "transfers").await;
    let session = init(client, "transfers").await;
    let many = 2_000;
    let topics = |last: i32| {
        let topic = |partitions| AddPartitionsToTxnTopic {
            name: "flights".to_owned(),
            partitions,
        };
        vec![topic(vec![0; many]), topic(vec![0, last])]
    };
    let codes = |topics: &[add_partitions_to_txn_response::AddPartitionsToTxnTopicResult]| {
        let partitions = topics.iter().flat_map(|topic| &topic.results_by_partition);
        partitions
            .map(|partition| (partition.partition_index, partition.partition_error_code))
            .collect::<Vec<_>>()
    };
    let mut request = add_request("transfers", session, &[]);
    request.v3_and_below_topics = topics(1);
    let answer = client.call(&request, 3).await;
    let (missing, kept) = (
        code(ErrorCode::UnknownTopicOrPartition),
        code(ErrorCode::OperationNotAttempted),
    );
    assert_eq!(
        codes(&answer.results_by_topic_v3_and_below),
        [(0, kept), (1, missing)]
    );
    request.v3_and_below_topics = topics(0);
    let answer = client.call(&request, 3).await;
    assert_eq!(
        codes(&answer.results_by_topic_v3_and_below),
        vec![(0, 0); many + 2]
    );
    let described = describe(client, "transfers").await;
    assert_eq!(described.topics.len(), 1);
    assert_eq!(described.topics[0].partitions, [0]);
    let verify = AddPartitionsToTxnRequest {
        transactions: vec![AddPartitionsToTxnTransaction {
            transactional_id: "transfers".to_owned(),
            producer_id: session.id,
            producer_epoch: session.epoch,
            verify_only: true,
            topics: topics(0),
        }],
        ..Default::default()
    };
    let answer = client.call(&verify, 5).await;
    assert_eq!(
        codes(&answer.results_by_transaction[0].topic_results),
        [(0, 0)]
    );
    let next = end(client, "transfers", session, true, END_V2)
        .await
        .unwrap();
    reaches(client, "transfers", "CompleteCommit").await;
    assert_eq!(markers(client, "flights").await, [(next, true)]);
    server.stop().await;
}

#[tokio::test]
async fn brokers_ask_and_add_for_several_transactions_at_once() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    topic(client, "seats", &[]).await;
    coordinated(client, "a").await;
    let (a, b) = (init(client, "a").await, init(client, "b").await);
    assert_eq!(add(client, "a", a, &["flights"]).await, 0);
    let transaction = |id: &str, session: Session, verify_only| AddPartitionsToTxnTransaction {
        transactional_id: id.to_owned(),
        producer_id: session.id,
        producer_epoch: session.epoch,
        verify_only,
        topics: add_request(id, session, &["flights", "seats"]).v3_and_below_topics,
    };
    let request = AddPartitionsToTxnRequest {
        transactions: vec![
            transaction("a", a, true),
            transaction("b", b, false),
            transaction("a", b, true),
            transaction("a", Session { epoch: 7, ..a }, true),
            transaction("nobody", a, true),
        ],
        ..Default::default()
    };
    for version in [4, 5] {
        let answer = client.call(&request, version).await;
        let codes: Vec<(&str, i16, i16)> = answer
            .results_by_transaction
            .iter()
            .map(|result| {
                let code = |topic: usize| {
                    let topic = &result.topic_results[topic];
                    topic.results_by_partition[0].partition_error_code
                };
                (&result.transactional_id[..], code(0), code(1))
            })
            .collect();
        let all = |error| (code(error), code(error));
        let (mapping, fenced) = (
            all(ErrorCode::InvalidProducerIdMapping),
            all(ErrorCode::ProducerFenced),
        );
        assert_eq!(
            codes,
            [
                ("a", 0, code(ErrorCode::TransactionAbortable)),
                ("b", 0, 0),
                ("a", mapping.0, mapping.1),
                ("a", fenced.0, fenced.1),
                ("nobody", mapping.0, mapping.1),
            ]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn transactions_are_listed_by_state_producer_duration_and_name() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "orders-1").await;
    let first = init(client, "orders-1").await;
    let second = init(client, "orders-2").await;
    init(client, "refunds").await;
    assert_eq!(add(client, "orders-2", second, &["flights"]).await, 0);
    let all = ListTransactionsRequest {
        duration_filter: -1,
        ..Default::default()
    };
    let with_states = |states: &[&str]| ListTransactionsRequest {
        state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
        ..all.clone()
    };
    let with_pattern = |pattern: &str| ListTransactionsRequest {
        transactional_id_pattern: Some(pattern.to_owned()),
        ..all.clone()
    };
    let cases = [
        (all.clone(), 0, vec!["orders-1", "orders-2", "refunds"]),
        (with_states(&["Ongoing"]), 0, vec!["orders-2"]),
        (
            with_states(&["Ongoing", "Empty", "Dead"]),
            1,
            vec!["orders-1", "orders-2", "refunds"],
        ),
        (with_states(&["Nonsense"]), 1, vec![]),
        (
            ListTransactionsRequest {
                producer_id_filters: vec![first.id],
                ..all.clone()
            },
            2,
            vec!["orders-1"],
        ),
        (
            ListTransactionsRequest {
                duration_filter: 3_600_000,
                state_filters: vec!["Ongoing".to_owned()],
                ..all.clone()
            },
            1,
            vec![],
        ),
        (with_pattern("orders-.*"), 2, vec!["orders-1", "orders-2"]),
        // A part is not enough.
        (with_pattern("orders"), 2, vec![]),
        (with_pattern(""), 2, vec!["orders-1", "orders-2", "refunds"]),
    ];
    for (request, version, expected) in cases {
        let mut answer = client.call(&request, version).await;
        assert_eq!(answer.error_code, 0);
        let states = &mut answer.transaction_states;
        states.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        let ids: Vec<&str> = states
            .iter()
            .map(|state| &state.transactional_id[..])
            .collect();
        assert_eq!(ids, expected, "{request:?}");
        let unknown = request.state_filters.contains(&"Nonsense".to_owned());
        assert_eq!(answer.unknown_state_filters.len(), usize::from(unknown));
    }
    let answer = client.call(&with_pattern("("), 2).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRegularExpression));
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted() {
    let options = ServerOptions::default().set(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "20",
    );
    let server = Server::start_with(options).await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    coordinated(client, "transfers").await;
    let mut request = init_request("transfers", None);
    request.transaction_timeout_ms = 1;
    let answer = client.call(&request, 5).await;
    let session = Session {
        id: answer.producer_id,
        epoch: answer.producer_epoch,
    };
    assert_eq!(add(client, "transfers", session, &["flights"]).await, 0);
    reaches(client, "transfers", "CompleteAbort").await;
    assert_eq!(
        end(client, "transfers", session, true, END_V1).await,
        Err(ErrorCode::ProducerFenced)
    );
    let fenced = Session {
        epoch: session.epoch + 1,
        ..session
    };
    assert_eq!(markers(client, "flights").await, [(fenced, false)]);
    server.stop().await;
}

#[tokio::test]
async fn a_transactional_id_that_nobody_uses_is_forgotten() {
    let options = ServerOptions::default()
        .set("transactional.id.expiration.ms", "1")
        .set(
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            "20",
        );
    let server = Server::start_with(options).await;
    let client = &mut RawClient::connect(server.address()).await;
    coordinated(client, "transfers").await;
    let session = init(client, "transfers").await;
    eventually("the id is forgotten", async || {
        describe(client, "transfers").await.error_code == code(ErrorCode::TransactionalIdNotFound)
    })
    .await;
    let server = server.restart().await;
    let client = &mut RawClient::connect(server.address()).await;
    coordinated(client, "transfers").await;
    assert_eq!(
        describe(client, "transfers").await.error_code,
        code(ErrorCode::TransactionalIdNotFound)
    );
    let again = init(client, "transfers").await;
    assert!(again.id > session.id);
    server.stop().await;
}

#[tokio::test]
async fn every_state_survives_a_restart() {
    let mut server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    coordinated(&mut client, "transfers").await;
    let mut session = init(&mut client, "transfers").await;
    for version in [END_V1, END_V2] {
        for committed in [true, false] {
            for state in ["Empty", "Ongoing", "Complete"] {
                match state {
                    "Empty" => session = init(&mut client, "transfers").await,
                    "Ongoing" => {
                        assert_eq!(
                            add(&mut client, "transfers", session, &["flights"]).await,
                            0
                        );
                    }
                    _ => {
                        // The markers may be under way when the broker stops.
                        let ended = end(&mut client, "transfers", session, committed, version);
                        session = ended.await.unwrap();
                    }
                }
                server = server.restart().await;
                client = RawClient::connect(server.address()).await;
                coordinated(&mut client, "transfers").await;
                let end = if committed {
                    "CompleteCommit"
                } else {
                    "CompleteAbort"
                };
                let state = if state == "Complete" { end } else { state };
                reaches(&mut client, "transfers", state).await;
                let described = describe(&mut client, "transfers").await;
                let found = Session {
                    id: described.producer_id,
                    epoch: described.producer_epoch,
                };
                assert_eq!(found, session, "{state}");
            }
            let markers = markers(&mut client, "flights").await;
            assert_eq!(markers.last(), Some(&(session, committed)));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn administrators_may_end_what_a_coordinator_has_lost() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    let marker = |producer_epoch, topics: &[(&str, &[i32])]| WritableTxnMarker {
        producer_id: 5,
        producer_epoch,
        transaction_result: false,
        topics: topics
            .iter()
            .map(|(name, partitions)| WritableTxnMarkerTopic {
                name: (*name).to_owned(),
                partition_indexes: partitions.to_vec(),
            })
            .collect(),
        coordinator_epoch: 0,
        transaction_version: 0,
    };
    for version in [1, 2] {
        let request = WriteTxnMarkersRequest {
            markers: vec![marker(3, &[("flights", &[0, 1]), ("nowhere", &[0])])],
        };
        let answer = client.call(&request, version).await;
        assert_eq!(answer.markers.len(), 1);
        assert_eq!(answer.markers[0].producer_id, 5);
        let codes: Vec<(&str, Vec<i16>)> = answer.markers[0]
            .topics
            .iter()
            .map(|topic| {
                let codes = topic
                    .partitions
                    .iter()
                    .map(|partition| partition.error_code);
                (&topic.name[..], codes.collect())
            })
            .collect();
        let unknown = code(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(
            codes,
            [("flights", vec![0, unknown]), ("nowhere", vec![unknown])]
        );
    }
    let request = WriteTxnMarkersRequest {
        markers: vec![marker(2, &[("flights", &[0])])],
    };
    let answer = client.call(&request, 1).await;
    let partition = &answer.markers[0].topics[0].partitions[0];
    assert_eq!(partition.error_code, code(ErrorCode::InvalidProducerEpoch));
    let session = Session { id: 5, epoch: 3 };
    assert_eq!(
        markers(client, "flights").await,
        [(session, false), (session, false)]
    );
    server.stop().await;
}

/// A marker is one of a transaction, however often the partition is named; repeated markers of several are several.
#[tokio::test]
async fn a_marker_for_a_partition_that_is_named_twice_is_written_once() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    topic(client, "flights", &[]).await;
    let marker = |version, topics: &[&[i32]]| WritableTxnMarker {
        producer_id: 5,
        producer_epoch: 0,
        transaction_result: true,
        topics: topics
            .iter()
            .map(|partitions| WritableTxnMarkerTopic {
                name: "flights".to_owned(),
                partition_indexes: partitions.to_vec(),
            })
            .collect(),
        coordinator_epoch: 0,
        transaction_version: version,
    };
    let session = Session { id: 5, epoch: 0 };
    for (markers_asked, written) in [
        (vec![marker(0, &[&[0; 1_000]])], 1),
        (vec![marker(0, &[&[0, 0], &[0], &[0]])], 1),
        (vec![marker(0, &[&[0]]), marker(0, &[&[0]])], 2),
    ] {
        let before = markers(client, "flights").await.len();
        let request = WriteTxnMarkersRequest {
            markers: markers_asked,
        };
        let answer = client.call(&request, 2).await;
        assert_eq!(answer.markers.len(), 1);
        assert_eq!(answer.markers[0].topics.len(), 1);
        let partitions = &answer.markers[0].topics[0].partitions;
        assert_eq!(partitions.len(), 1);
        assert_eq!(partitions[0].error_code, 0);
        let after = markers(client, "flights").await;
        assert_eq!(after.len() - before, written);
        assert!(after.iter().all(|marker| *marker == (session, true)));
    }
    server.stop().await;
}

/// Clients go by the finalized level; the coordinator's own aborts do too, at once and after a restart.
#[tokio::test]
async fn transactions_follow_the_level_of_their_feature() {
    let mut server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    let level = |level| UpdateFeaturesRequest {
        feature_updates: vec![update_features_request::FeatureUpdateKey {
            feature: "transaction.version".to_owned(),
            max_version_level: level,
            upgrade_type: if level == 2 { 1 } else { 2 },
            ..Default::default()
        }],
        ..Default::default()
    };
    for (round, (wanted, may_go_on)) in [(2, true), (1, false), (0, false), (2, true)]
        .into_iter()
        .enumerate()
    {
        assert_eq!(client.call(&level(wanted), 2).await.error_code, 0);
        let ask = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let versions = client.call(&ask, 4).await;
        let finalized = versions.finalized_features.iter();
        let finalized = finalized
            .filter(|feature| feature.name == "transaction.version")
            .map(|feature| feature.max_version_level);
        assert_eq!(finalized.sum::<i16>(), wanted);
        for restarted in [false, true] {
            if restarted {
                server = server.restart().await;
                client = RawClient::connect(server.address()).await;
            }
            let id = format!("transfers-{round}-{restarted}");
            coordinated(&mut client, &id).await;
            // The coordinator learns of the level a little later.
            eventually("the abort is of the level", async || {
                let old = init(&mut client, &id).await;
                assert_eq!(add(&mut client, &id, old, &["flights"]).await, 0);
                let answer = client.call(&init_request(&id, None), 5).await;
                assert_eq!(answer.error_code, code(ErrorCode::ConcurrentTransactions));
                reaches(&mut client, &id, "CompleteAbort").await;
                let fenced = Session {
                    epoch: old.epoch + 1,
                    ..old
                };
                assert_eq!(
                    markers(&mut client, "flights").await.last(),
                    Some(&(fenced, false))
                );
                let answer = client.call(&init_request(&id, Some(old)), 5).await;
                match answer.error_code {
                    0 => may_go_on && answer.producer_epoch == fenced.epoch,
                    error => !may_go_on && error == code(ErrorCode::ProducerFenced),
                }
            })
            .await;
            // Clients that bump epochs may do so at every level: what they send says it.
            let session = init(&mut client, &id).await;
            assert_eq!(add(&mut client, &id, session, &["flights"]).await, 0);
            let next = end(&mut client, &id, session, true, END_V2).await.unwrap();
            assert_eq!(next.epoch, session.epoch + 1);
            reaches(&mut client, &id, "CompleteCommit").await;
        }
    }
    server.stop().await;
}
