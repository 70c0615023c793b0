//! Produce and fetch in bytes: what is accepted, what is refused and how, and what readers see when.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::records::{BatchOptions, BatchView, layout};
use testkit::{RawClient, Server};

use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};

async fn produced(
    client: &mut RawClient,
    name: &str,
    acks: i16,
    records: Bytes,
) -> PartitionProduceResponse {
    let mut answer = client.call(&produce(name, acks, records), PRODUCE).await;
    answer.responses.remove(0).partition_responses.remove(0)
}

async fn fetched(
    client: &mut RawClient,
    name: &str,
    offset: i64,
    max_wait_ms: i32,
) -> PartitionData {
    let mut answer = client.call(&fetch(name, offset, max_wait_ms), FETCH).await;
    assert_eq!(answer.error_code, 0);
    answer.responses.remove(0).partitions.remove(0)
}

fn code(code: ErrorCode) -> i16 {
    code.into()
}

#[tokio::test]
async fn what_is_produced_is_fetched_byte_for_byte_but_for_offset_and_epoch() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    for (acks, base) in [(-1, 0), (1, 2), (-1, 4)] {
        let sent = batch(BatchOptions::default(), &["a", "b"]);
        let answer = produced(&mut client, "t", acks, sent.clone()).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, base));
        let got = fetched(&mut client, "t", base, 10_000)
            .await
            .records
            .unwrap()
            .into_bytes()
            .unwrap();
        let view = BatchView::parse(&got).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.base_offset(), base);
        assert_eq!(got[layout::MAGIC..], sent[layout::MAGIC..]);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_offset_within_a_batch_returns_the_whole_batch() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    produced(
        &mut client,
        "t",
        -1,
        batch(BatchOptions::default(), &["a", "b", "c"]),
    )
    .await;
    let got = fetched(&mut client, "t", 2, 0).await;
    assert_eq!(got.high_watermark, 3);
    let records = got.records.unwrap().into_bytes().unwrap();
    assert_eq!(BatchView::parse(&records).unwrap().base_offset(), 0);
    server.stop().await;
}

#[tokio::test]
async fn the_end_is_empty_and_beyond_it_is_an_error() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", -1, batch(BatchOptions::default(), &["a"])).await;
    let end = fetched(&mut client, "t", 1, 0).await;
    assert_eq!((end.error_code, end.records.unwrap().len()), (0, 0));
    let beyond = fetched(&mut client, "t", 2, 0).await;
    assert_eq!(beyond.error_code, code(ErrorCode::OffsetOutOfRange));
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_wakes_when_records_come() {
    let server = Server::start().await;
    let mut reader = RawClient::connect(server.address()).await;
    topic(&mut reader, "t", &[]).await;
    let waiting = reader.request(&fetch("t", 0, 25_000), FETCH).await;
    let mut writer = RawClient::connect(server.address()).await;
    produced(&mut writer, "t", -1, batch(BatchOptions::default(), &["a"])).await;
    let answer = tokio::time::timeout(
        Duration::from_secs(10),
        reader.response::<FetchRequest>(FETCH, waiting),
    )
    .await;
    let answer = answer.expect("the fetch wakes long before its own wait ends");
    assert!(
        !answer.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );
    server.stop().await;
}

#[tokio::test]
async fn bad_batches_are_refused_with_kafkas_codes_and_leave_no_trace() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let good = batch(BatchOptions::default(), &["a", "b"]);
    let edited = |at: usize, bytes: &[u8], repair: bool| {
        let mut batch = BytesMut::from(&good[..]);
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        if repair {
            let crc = crc32c::crc32c(&batch[layout::ATTRIBUTES..]);
            batch[layout::CRC..layout::CRC + 4].copy_from_slice(&crc.to_be_bytes());
        }
        batch.freeze()
    };
    let two = [&good[..], &good[..]].concat();
    let cases = [
        (
            "wrong crc",
            edited(layout::CRC, &[1, 2, 3, 4], false),
            ErrorCode::CorruptMessage,
        ),
        (
            "magic 1",
            edited(layout::MAGIC, &[1], false),
            ErrorCode::InvalidRecord,
        ),
        (
            "a count that lies",
            edited(layout::RECORDS_COUNT, &7_i32.to_be_bytes(), true),
            ErrorCode::InvalidRecord,
        ),
        (
            "no records",
            edited(layout::RECORDS_COUNT, &0_i32.to_be_bytes(), true),
            ErrorCode::InvalidRecord,
        ),
        (
            "a last offset that lies",
            edited(layout::LAST_OFFSET_DELTA, &9_i32.to_be_bytes(), true),
            ErrorCode::InvalidRecord,
        ),
        (
            "a control batch",
            edited(layout::ATTRIBUTES, &0x20_i16.to_be_bytes(), true),
            ErrorCode::InvalidRecord,
        ),
        (
            "a base offset",
            edited(layout::BASE_OFFSET, &5_i64.to_be_bytes(), false),
            ErrorCode::InvalidRecord,
        ),
        (
            "a length beyond the data",
            edited(layout::BATCH_LENGTH, &9999_i32.to_be_bytes(), false),
            ErrorCode::InvalidRecord,
        ),
        (
            "a negative length",
            edited(layout::BATCH_LENGTH, &(-1_i32).to_be_bytes(), false),
            ErrorCode::CorruptMessage,
        ),
        ("two batches", Bytes::from(two), ErrorCode::InvalidRecord),
        (
            "half a batch",
            good.slice(..good.len() / 2),
            ErrorCode::InvalidRecord,
        ),
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
    ];
    for (what, records, expected) in cases {
        let answer = produced(&mut client, "t", -1, records).await;
        assert_eq!(
            answer.error_code,
            code(expected),
            "{what}: {:?}",
            answer.error_message
        );
        assert_eq!(answer.base_offset, -1, "{what}");
    }
    let answer = produced(&mut client, "t", -1, good).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn acks_other_than_kafkas_three_are_refused() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let answer = produced(&mut client, "t", 2, batch(BatchOptions::default(), &["a"])).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRequiredAcks));
    server.stop().await;
}

#[tokio::test]
async fn acks_0_is_not_answered_and_an_error_closes_the_connection() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    client
        .request(
            &produce("t", 0, batch(BatchOptions::default(), &["a"])),
            PRODUCE,
        )
        .await;
    // The next answer belongs to the next request.
    let got = fetched(&mut client, "t", 0, 10_000).await;
    assert!(!got.records.unwrap().is_empty());
    client
        .request(
            &produce("no such topic", 0, batch(BatchOptions::default(), &["a"])),
            PRODUCE,
        )
        .await;
    assert!(client.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn a_batch_above_max_message_bytes_is_refused_and_below_accepted() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "small", &[("max.message.bytes", "1000")]).await;
    let large = "x".repeat(2000);
    let answer = produced(
        &mut client,
        "small",
        -1,
        batch(BatchOptions::default(), &[&large]),
    )
    .await;
    assert_eq!(answer.error_code, code(ErrorCode::MessageTooLarge));
    let answer = produced(
        &mut client,
        "small",
        -1,
        batch(BatchOptions::default(), &["x"]),
    )
    .await;
    assert_eq!(answer.error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_idempotent_batch_gets_its_first_offset_again() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let of = |base_sequence| BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence,
        ..Default::default()
    };
    let first = produced(&mut client, "t", -1, batch(of(0), &["a", "b"])).await;
    let second = produced(&mut client, "t", -1, batch(of(2), &["c"])).await;
    let again = produced(&mut client, "t", -1, batch(of(0), &["a", "b"])).await;
    assert_eq!(
        (first.base_offset, second.base_offset, again.base_offset),
        (0, 2, 0)
    );
    assert_eq!(again.error_code, 0);
    let gap = produced(&mut client, "t", -1, batch(of(9), &["z"])).await;
    assert_eq!(gap.error_code, code(ErrorCode::OutOfOrderSequenceNumber));
    let next = produced(&mut client, "t", -1, batch(of(3), &["d"])).await;
    assert_eq!((next.error_code, next.base_offset), (0, 3));
    server.stop().await;
}

#[tokio::test]
async fn producing_survives_a_restart_and_epochs_rise() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", -1, batch(BatchOptions::default(), &["a"])).await;
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    let answer = produced(&mut client, "t", -1, batch(BatchOptions::default(), &["b"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 1));
    let records = fetched(&mut client, "t", 0, 0)
        .await
        .records
        .unwrap()
        .into_bytes()
        .unwrap();
    let first = BatchView::parse(&records).unwrap();
    let second = BatchView::parse(&records[first.total_size()..]).unwrap();
    assert!(second.partition_leader_epoch() > first.partition_leader_epoch());
    server.stop().await;
}

#[tokio::test]
async fn fetch_sessions_answer_only_what_changed() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", -1, batch(BatchOptions::default(), &["a"])).await;
    let open = FetchRequest {
        session_epoch: 0,
        ..fetch("t", 0, 0)
    };
    let opened = client.call(&open, FETCH).await;
    assert_ne!(opened.session_id, 0);
    assert_eq!(opened.responses.len(), 1);
    // The session goes on from offset 1, where there is nothing new.
    let next = FetchRequest {
        session_id: opened.session_id,
        session_epoch: 1,
        ..fetch("t", 1, 0)
    };
    assert_eq!(client.call(&next, FETCH).await.responses.len(), 0);
    produced(&mut client, "t", -1, batch(BatchOptions::default(), &["b"])).await;
    let incremental = FetchRequest {
        session_id: opened.session_id,
        session_epoch: 2,
        topics: Vec::new(),
        ..fetch("t", 0, 0)
    };
    let answer = client.call(&incremental, FETCH).await;
    assert_eq!(answer.responses[0].partitions[0].high_watermark, 2);
    let repeated = client.call(&incremental, FETCH).await;
    assert_eq!(
        repeated.error_code,
        code(ErrorCode::InvalidFetchSessionEpoch)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_forced_codec_takes_batches_of_every_other() {
    use protocol::records::Compression;
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    for forced in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        topic(&mut client, forced, &[("compression.type", forced)]).await;
        for (number, compression) in Compression::ALL.into_iter().enumerate() {
            let options = BatchOptions {
                compression,
                ..Default::default()
            };
            let answer = produced(&mut client, forced, -1, batch(options, &["a", "b"])).await;
            let expected = (0, 2 * i64::try_from(number).unwrap());
            assert_eq!(
                (answer.error_code, answer.base_offset),
                expected,
                "{compression:?} into {forced}"
            );
        }
        let records = fetched(&mut client, forced, 0, 0)
            .await
            .records
            .unwrap()
            .into_bytes()
            .unwrap();
        let name = BatchView::parse(&records).unwrap().compression().name();
        assert_eq!(name == "none", forced == "uncompressed");
        assert!(name == "none" || name == forced);
    }
    server.stop().await;
}
