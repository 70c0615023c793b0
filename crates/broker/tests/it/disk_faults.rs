//! A disk that fails under one partition: that one goes offline, everything else goes on.

use std::sync::Arc;

use protocol::records::{BatchIterator, BatchOptions};
use protocol::{ErrorCode, Uuid};
use testkit::requests::{CREATE, FETCH, PRODUCE, batch, create, fetch, produce};
use testkit::{RawClient, Server, ServerOptions};

use crate::bad_disk::{Call, Faults, env_with};
use crate::groups::{commit, committed, coordinated};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const NONE: i16 = 0;

fn storage_error() -> i16 {
    ErrorCode::KafkaStorageError.into()
}

/// A topic with two partitions, and one more topic.
async fn start(faults: &Arc<Faults>) -> (Server, RawClient) {
    let options = ServerOptions {
        env: Some(env_with(faults)),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    for (name, partitions) in [("t", 2), ("other", 1)] {
        let mut request = create(name, &[]);
        request.topics[0].num_partitions = partitions;
        let answer = client.call(&request, CREATE).await;
        assert_eq!(answer.topics[0].error_code, NONE);
    }
    (server, client)
}

async fn produced(client: &mut RawClient, name: &str, partition: i32, value: &str) -> i16 {
    let mut request = produce(name, -1, batch(BatchOptions::default(), &[value]));
    request.topic_data[0].partition_data[0].index = partition;
    let answer = client.call(&request, PRODUCE).await;
    answer.responses[0].partition_responses[0].error_code
}

/// The error and how many records there are from offset 0 on.
async fn fetched(client: &mut RawClient, name: &str, partition: i32) -> (i16, usize) {
    let mut request = fetch(name, 0, 0);
    request.topics[0].partitions[0].partition = partition;
    let mut answer = client.call(&request, FETCH).await;
    let partition = answer.responses.remove(0).partitions.remove(0);
    let bytes = partition
        .records
        .map(|records| records.into_bytes().unwrap())
        .unwrap_or_default();
    let count = BatchIterator::new(&bytes).count();
    (partition.error_code, count)
}

/// Whether a write or a sync of one partition fails: it takes no more records, what it has is served; nothing else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_io_error_takes_one_partition_offline_and_no_other() {
    for call in [Call::Write, Call::Sync] {
        let faults = Arc::new(Faults::default());
        let (server, mut client) = start(&faults).await;
        let places = [("t", 0), ("t", 1), ("other", 0)];
        for (name, partition) in places {
            assert_eq!(produced(&mut client, name, partition, "before").await, NONE);
        }
        faults.fail(call, "/t-0/", EIO);
        assert_eq!(
            produced(&mut client, "t", 0, "lost").await,
            storage_error(),
            "{call:?}"
        );
        // All at once, so that they share commits with each other.
        let mut ids = Vec::new();
        for round in 0..10 {
            for (name, partition) in places {
                let bytes = batch(BatchOptions::default(), &[&format!("{round}")]);
                let mut request = produce(name, -1, bytes);
                request.topic_data[0].partition_data[0].index = partition;
                ids.push((name, partition, client.request(&request, PRODUCE).await));
            }
        }
        for (name, partition, id) in ids {
            let answer = client
                .response::<protocol::messages::ProduceRequest>(PRODUCE, id)
                .await;
            let code = answer.responses[0].partition_responses[0].error_code;
            let is_bad = (name, partition) == ("t", 0);
            let expected = if is_bad { storage_error() } else { NONE };
            assert_eq!(code, expected, "{call:?} {name}-{partition}");
        }
        // The disk works again, but what became of the pages is not known.
        faults.clear();
        assert_eq!(produced(&mut client, "t", 0, "late").await, storage_error());
        assert_eq!(fetched(&mut client, "t", 0).await, (NONE, 1), "{call:?}");
        assert_eq!(fetched(&mut client, "t", 1).await, (NONE, 11), "{call:?}");
        assert_eq!(fetched(&mut client, "other", 0).await, (NONE, 11));

        let server = server.restart().await;
        let mut client = RawClient::connect(server.address()).await;
        assert_eq!(produced(&mut client, "t", 0, "again").await, NONE);
        assert_eq!(fetched(&mut client, "t", 1).await, (NONE, 11));
        server.stop().await;
    }
}

/// A read error passes with its cause: readers of the partition are told, and nothing goes offline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_error_is_told_to_the_readers_of_one_partition() {
    let faults = Arc::new(Faults::default());
    let (server, mut client) = start(&faults).await;
    for (name, partition) in [("t", 0), ("t", 1)] {
        assert_eq!(produced(&mut client, name, partition, "a").await, NONE);
    }
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    faults.fail(Call::Read, "/t-0/", EIO);
    assert_eq!(fetched(&mut client, "t", 0).await.0, storage_error());
    assert_eq!(fetched(&mut client, "t", 1).await, (NONE, 1));
    faults.clear();
    assert_eq!(fetched(&mut client, "t", 0).await, (NONE, 1));
    assert_eq!(produced(&mut client, "t", 0, "b").await, NONE);
    server.stop().await;
}

/// Without room records are refused, and accepted again without a restart; readers notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_records_until_there_is_room() {
    let faults = Arc::new(Faults::default());
    let (server, mut client) = start(&faults).await;
    assert_eq!(produced(&mut client, "t", 0, "a").await, NONE);
    faults.fail(Call::Write, "", ENOSPC);
    for _ in 0..3 {
        assert_eq!(produced(&mut client, "t", 0, "b").await, storage_error());
        assert_eq!(produced(&mut client, "t", 1, "b").await, storage_error());
        assert_eq!(fetched(&mut client, "t", 0).await, (NONE, 1));
        let answer = client.call(&create("new", &[]), CREATE).await;
        assert_ne!(answer.topics[0].error_code, NONE);
    }
    faults.clear();
    assert_eq!(produced(&mut client, "t", 0, "c").await, NONE);
    assert_eq!(produced(&mut client, "t", 1, "c").await, NONE);
    assert_eq!(fetched(&mut client, "t", 0).await, (NONE, 2));
    let answer = client.call(&create("new", &[]), CREATE).await;
    assert_eq!(answer.topics[0].error_code, NONE);
    server.stop().await;
}

/// What a group committed before the disk was full is known all along; later commits are refused so that clients try again,
/// and taken once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_offset_commits_until_there_is_room() {
    const VERSION: i16 = 8;
    let faults = Arc::new(Faults::default());
    let (server, mut client) = start(&faults).await;
    for _ in 0..5 {
        assert_eq!(produced(&mut client, "t", 0, "a").await, NONE);
    }
    coordinated(&mut client, "g").await;
    let offset = async |client: &mut RawClient, offset: i64| {
        let request = commit("g", "t", Uuid::ZERO, offset);
        let answer = client.call(&request, VERSION).await;
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(offset(&mut client, 1).await, NONE);
    faults.fail(Call::Write, "", ENOSPC);
    let retriable: [i16; 3] = [
        ErrorCode::NotCoordinator.into(),
        ErrorCode::CoordinatorNotAvailable.into(),
        ErrorCode::CoordinatorLoadInProgress.into(),
    ];
    for number in 2..5 {
        let code = offset(&mut client, number).await;
        assert!(retriable.contains(&code), "{code}");
    }
    faults.clear();
    testkit::eventually("the commit is taken", async || {
        offset(&mut client, 5).await == NONE
    })
    .await;
    let (known, _) = committed(&mut client, "g", "t", Uuid::ZERO, VERSION).await;
    assert_eq!(known, 5);
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client, "g").await;
    let (known, _) = committed(&mut client, "g", "t", Uuid::ZERO, VERSION).await;
    assert_eq!(known, 5);
    server.stop().await;
}
