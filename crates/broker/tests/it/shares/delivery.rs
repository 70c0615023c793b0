//! No record is lost, whoever comes and goes: readers that vanish while they wait, sessions that end, transactions that were
//! aborted, and all of it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;

/// How long members that come and go may take in all.
const PATIENCE: Duration = Duration::from_secs(50);

/// The error code with which somebody else's session answers: whether it is there.
async fn session_code(client: &mut RawClient, member: &str) -> i16 {
    let request = ShareAcknowledgeRequest {
        group_id: Some(GROUP.to_owned()),
        member_id: Some(member.to_owned()),
        share_session_epoch: i32::MAX,
        ..Default::default()
    };
    client.call(&request, ACKNOWLEDGE).await.error_code
}

#[tokio::test]
async fn a_fetch_that_waits_takes_nothing_from_a_session_that_began_anew() {
    let (server, mut client) = prepared(&[]).await;
    let mut before = Member::join(&server, "a").await;
    let request = before.request(60_000, 10);
    let waiting = before.client.request(&request, FETCH).await;
    eventually("the session is open", async || {
        session_code(&mut client, "a").await == code(ErrorCode::InvalidShareSessionEpoch)
    })
    .await;
    // The member comes back on another connection, because it gave up on this one.
    let mut after = Member::join(&server, "a").await;
    assert_eq!(after.fetch(0, 10).await, []);
    send(&mut client, &[1]).await;
    assert_eq!(after.fetch(10_000, 10).await, [(0, 0, 1)]);
    let answer = before
        .client
        .response::<ShareFetchRequest>(FETCH, waiting)
        .await;
    assert_eq!(acquired(&answer), []);
    server.stop().await;
}

#[tokio::test]
async fn a_fetch_ends_with_its_session() {
    let (server, mut client) = prepared(&[]).await;
    let mut a = Member::join(&server, "a").await;
    let request = a.request(60_000, 10);
    let waiting = a.client.request(&request, FETCH).await;
    eventually("the session is open", async || {
        session_code(&mut client, "a").await == code(ErrorCode::InvalidShareSessionEpoch)
    })
    .await;
    let close = ShareAcknowledgeRequest {
        group_id: Some(GROUP.to_owned()),
        member_id: Some("a".to_owned()),
        share_session_epoch: -1,
        ..Default::default()
    };
    let answer = client.call(&close, ACKNOWLEDGE).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let answer = a.client.response::<ShareFetchRequest>(FETCH, waiting).await;
    assert_eq!(acquired(&answer), []);
    server.stop().await;
}

#[tokio::test]
async fn an_aborted_transaction_larger_than_what_may_be_in_flight_stalls_nobody() {
    let options =
        testkit::ServerOptions::default().set("group.share.partition.max.record.locks", "100");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, TOPIC, &[]).await;
    configure(&mut client, "share.auto.offset.reset", "earliest").await;
    configure(&mut client, "share.isolation.level", "read_committed").await;
    abort_transaction(&mut client, 8, 50).await;
    send(&mut client, &[2]).await;
    let mut a = Member::join(&server, "a").await;
    // The marker, and what came after.
    assert_eq!(a.fetch(20_000, 10).await, [(400, 402, 1)]);
    server.stop().await;
}

/// Writes a transaction of so many batches, and aborts it.
async fn abort_transaction(client: &mut RawClient, batches: i32, records: i32) {
    let find = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec!["transaction".to_owned()],
        ..Default::default()
    };
    eventually("the coordinator is known", async || {
        client.call(&find, 4).await.coordinators[0].error_code == 0
    })
    .await;
    let init = InitProducerIdRequest {
        transactional_id: Some("transaction".to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let mut producer = (0, 0);
    eventually("the producer is initialized", async || {
        let answer = client.call(&init, 5).await;
        producer = (answer.producer_id, answer.producer_epoch);
        answer.error_code == 0
    })
    .await;
    let values = vec!["aborted"; usize::try_from(records).unwrap()];
    for number in 0..batches {
        let options = BatchOptions {
            producer_id: producer.0,
            producer_epoch: producer.1,
            base_sequence: number * records,
            is_transactional: true,
            ..BatchOptions::default()
        };
        let request = ProduceRequest {
            transactional_id: Some("transaction".to_owned()),
            ..produce(TOPIC, -1, batch(options, &values))
        };
        eventually("the records are written", async || {
            let answer = client.call(&request, 12).await;
            answer.responses[0].partition_responses[0].error_code == 0
        })
        .await;
    }
    let end = EndTxnRequest {
        transactional_id: "transaction".to_owned(),
        producer_id: producer.0,
        producer_epoch: producer.1,
        committed: false,
    };
    assert_eq!(client.call(&end, 5).await.error_code, 0);
}

/// How often each offset was accepted.
type Accepted = parking_lot::Mutex<BTreeMap<i64, usize>>;

/// A member that accepts most records, gives some back, and leaves in every way there is.
async fn restless(server: &Server, number: usize, accepted: &Accepted, records: usize) {
    let id = format!("m{number}");
    let mut member = Member::join(server, &id).await;
    let mut turn = number;
    while accepted.lock().len() < records {
        turn += 1;
        match turn % 11 {
            3 => {
                // Vanishes while it waits.
                let request = member.request(30_000, 3);
                member.client.request(&request, FETCH).await;
                member = Member::join(server, &id).await;
                continue;
            }
            7 => {
                // Closes its session with what it has.
                member.fetch(10, 2).await;
                member.session = -1;
                let request = member.request(0, 0);
                let answer = member.client.call(&request, FETCH).await;
                assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                member.session = 0;
                continue;
            }
            _ => {}
        }
        let request = member.request(100, 5);
        let answer = member.send(&request).await;
        if answer.error_code != 0 {
            // The end of its connection before was noticed only now.
            assert_eq!(answer.error_code, code(ErrorCode::ShareSessionNotFound));
            member.session = 0;
            continue;
        }
        let partition_code = partition(&answer).map_or(0, |data| data.error_code);
        if partition_code != 0 {
            // The last reader before had gone, and its partition with it.
            assert_eq!(partition_code, code(ErrorCode::NotLeaderOrFollower));
            continue;
        }
        for (first, last, deliveries) in acquired(&answer) {
            let kind = match (turn % 5, deliveries) {
                (0, 1..4) => RELEASE,
                _ => ACCEPT,
            };
            let code = member.acknowledge(first, last, kind).await;
            if code == 0 && kind == ACCEPT {
                let mut accepted = accepted.lock();
                for offset in first..=last {
                    *accepted.entry(offset).or_default() += 1;
                }
            }
        }
    }
}

fn missing(accepted: &Accepted, records: usize) -> Vec<i64> {
    let accepted = accepted.lock();
    let all = 0..i64::try_from(records).unwrap();
    all.filter(|offset| !accepted.contains_key(offset))
        .collect()
}

#[tokio::test]
async fn members_that_come_and_go_while_records_are_written_accept_each_record_once() {
    const BATCHES: usize = 120;
    let options = testkit::ServerOptions::default().set("group.share.delivery.count.limit", "10");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, TOPIC, &[]).await;
    configure(&mut client, "share.auto.offset.reset", "earliest").await;
    // Longer than our patience: what a member takes along when it goes would be missing.
    configure(&mut client, "share.record.lock.duration.ms", "60000").await;
    let accepted = Accepted::default();
    let records: usize = (0..BATCHES).map(|number| number % 3 + 1).sum();
    let members = (0..4).map(|number| restless(&server, number, &accepted, records));
    let writing = async {
        for number in 0..BATCHES {
            send(&mut client, &[number % 3 + 1]).await;
        }
    };
    let work = async { tokio::join!(join_all(members), writing) };
    let in_time = tokio::time::timeout(PATIENCE, Box::pin(work)).await;
    assert_eq!(missing(&accepted, records), Vec::<i64>::new());
    assert!(in_time.is_ok(), "the members did not end");
    let accepted = accepted.into_inner();
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(twice, []);
    server.stop().await;
}

#[tokio::test]
async fn before_anybody_joined_a_fetch_waits_and_then_says_that_nothing_is_known() {
    const WAIT_MS: i32 = 200;
    let (server, mut client) = prepared(&[]).await;
    let topic = topic_id(&mut client).await;
    let mut outsider = Member {
        client,
        id: "outsider".to_owned(),
        topic,
        epoch: 0,
        session: 0,
    };
    // First the share coordinator may still have to be found; either way nobody is answered at once.
    for _ in 0..50 {
        let request = outsider.request(WAIT_MS, 10);
        let start = tokio::time::Instant::now();
        let answer = outsider.send(&request).await;
        assert!(start.elapsed() >= Duration::from_millis(200), "{answer:?}");
        let found = partition(&answer).map(|partition| partition.error_code);
        assert_ne!(found, Some(0));
        if found == Some(code(ErrorCode::UnknownServerError)) {
            server.stop().await;
            return;
        }
    }
    panic!("nobody ever said that nothing is known");
}
