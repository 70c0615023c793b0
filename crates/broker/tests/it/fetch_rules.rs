//! Rules of Fetch that only show in single answers: limits, leader epochs, codecs that old clients do not know.

use protocol::ErrorCode;
use protocol::messages::fetch_request::FetchTopic;
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::{CreatePartitionsRequest, FetchRequest, create_partitions_request};
use protocol::records::{BatchOptions, BatchView, Compression};
use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};
use testkit::{RawClient, Server, ServerOptions};

async fn write(client: &mut RawClient, name: &str, partition: i32, options: BatchOptions) {
    let mut request = produce(name, -1, batch(options, &["some text of a record"]));
    request.topic_data[0].partition_data[0].index = partition;
    let answer = client.call(&request, PRODUCE).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// The partitions of the only topic.
async fn answered(
    client: &mut RawClient,
    request: &FetchRequest,
    version: i16,
) -> Vec<PartitionData> {
    let mut answer = client.call(request, version).await;
    assert_eq!(answer.error_code, 0);
    answer.responses.remove(0).partitions
}

fn bytes_of(partition: &PartitionData) -> usize {
    let records = partition.records.as_ref();
    records.map_or(0, |records| records.clone().into_bytes().unwrap().len())
}

async fn two_partitions(client: &mut RawClient) {
    topic(client, "t", &[]).await;
    let grow = CreatePartitionsRequest {
        topics: vec![create_partitions_request::CreatePartitionsTopic {
            name: "t".to_owned(),
            count: 2,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    assert_eq!(client.call(&grow, 3).await.results[0].error_code, 0);
    for partition in [0, 1] {
        write(client, "t", partition, BatchOptions::default()).await;
    }
}

fn both_partitions(order: [i32; 2]) -> FetchRequest {
    let mut request = fetch("t", 0, 0);
    let one = request.topics[0].partitions[0].clone();
    let partitions = order.map(|partition| {
        let mut asked = one.clone();
        asked.partition = partition;
        asked
    });
    request.topics = vec![FetchTopic {
        topic: "t".to_owned(),
        partitions: partitions.to_vec(),
        ..Default::default()
    }];
    request
}

#[tokio::test]
async fn the_first_partition_asked_for_has_a_batch_above_all_limits() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    two_partitions(&mut client).await;
    for order in [[0, 1], [1, 0]] {
        let mut request = both_partitions(order);
        request.max_bytes = 1;
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = 1;
        }
        let partitions = answered(&mut client, &request, FETCH).await;
        let has = |index: usize| {
            (
                partitions[index].partition_index,
                bytes_of(&partitions[index]) > 0,
            )
        };
        assert_eq!([has(0), has(1)], [(order[0], true), (order[1], false)]);
    }
    // An empty partition does not use the exception up.
    let mut request = both_partitions([0, 1]);
    request.max_bytes = 1;
    request.topics[0].partitions[0].fetch_offset = 1;
    let partitions = answered(&mut client, &request, FETCH).await;
    assert_eq!(
        (bytes_of(&partitions[0]), bytes_of(&partitions[1]) > 0),
        (0, true)
    );
    server.stop().await;
}

#[tokio::test]
async fn the_brokers_limit_counts_beside_that_of_the_request() {
    let options = ServerOptions::default().set("fetch.max.bytes", "1024");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    for _ in 0..100 {
        write(&mut client, "t", 0, BatchOptions::default()).await;
    }
    let partitions = answered(&mut client, &fetch("t", 0, 0), FETCH).await;
    let got = bytes_of(&partitions[0]);
    assert!(got > 0 && got <= 1024, "{got} bytes");
    server.stop().await;
}

#[tokio::test]
async fn leader_epochs_of_readers_are_checked() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    for _ in 0..2 {
        write(&mut client, "t", 0, BatchOptions::default()).await;
    }
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    write(&mut client, "t", 0, BatchOptions::default()).await;

    let epoch_at = async |client: &mut RawClient, offset| {
        let partitions = answered(client, &fetch("t", offset, 0), FETCH).await;
        let records = partitions[0].records.clone().unwrap().into_bytes().unwrap();
        BatchView::parse(&records).unwrap().partition_leader_epoch()
    };
    let old = epoch_at(&mut client, 0).await;
    let current = epoch_at(&mut client, 2).await;
    assert!(current > old);

    for (epoch, expected) in [
        (old, ErrorCode::FencedLeaderEpoch),
        (current, ErrorCode::None),
        (current + 1, ErrorCode::UnknownLeaderEpoch),
    ] {
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let partitions = answered(&mut client, &request, FETCH).await;
        assert_eq!(
            partitions[0].error_code,
            i16::from(expected),
            "epoch {epoch}"
        );
    }
    // Who has read beyond the end of an epoch is told where it ends.
    for (offset, epoch, expected) in [(3, old, Some((old, 2))), (2, old, None), (3, current, None)]
    {
        let mut request = fetch("t", offset, 0);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        let partitions = answered(&mut client, &request, FETCH).await;
        let told = &partitions[0].diverging_epoch;
        let told = (told.epoch >= 0).then_some((told.epoch, told.end_offset));
        assert_eq!(
            (partitions[0].error_code, told),
            (0, expected),
            "offset {offset}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn readers_from_before_zstd_are_told_so() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let zstd = BatchOptions {
        compression: Compression::Zstd,
        ..Default::default()
    };
    write(&mut client, "t", 0, zstd).await;
    for (version, expected) in [
        (9, ErrorCode::UnsupportedCompressionType),
        (10, ErrorCode::None),
    ] {
        let partitions = answered(&mut client, &fetch("t", 0, 0), version).await;
        assert_eq!(partitions[0].error_code, i16::from(expected), "v{version}");
    }
    server.stop().await;
}
