//! Batches that no producer sends: with a wrong checksum, of old formats, of impossible counts, too large, several at
//! once, in every version of Produce that takes them.

use bytes::{BufMut, Bytes, BytesMut};
use protocol::Records;
use protocol::messages::*;
use protocol::records::{BatchBuilder, BatchOptions, Compression};
use testkit::requests::{batch, produce};

use super::batches::altered;
use super::{Side, topic};

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=12;
/// Where things stand in a batch of magic 2.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const BASE_SEQUENCE: usize = 53;
const COUNT: usize = 57;
const RECORDS: usize = 61;

pub(super) async fn errors(side: &mut Side) {
    let plain = topic(side, "malformed").await;
    let small = side.name("malformed-small");
    testkit::requests::topic(&mut side.client, &small, &[("max.message.bytes", "100")]).await;
    super::await_leader(side, &small).await;
    let cases = cases();
    for version in VERSIONS {
        for (step, records) in &cases {
            tell(side, step, version, &produce(&plain, -1, records.clone())).await;
        }
        for size in [10, 200] {
            let records = batch(BatchOptions::default(), &[&"x".repeat(size)]);
            let step = format!("a value of {size} bytes in a topic for small batches");
            tell(side, &step, version, &produce(&small, -1, records)).await;
        }
        requests(side, version, &plain).await;
    }
    without_answer(side, &plain).await;
}

/// Batches by what is wrong with them.
fn cases() -> Vec<(String, Bytes)> {
    let values = ["a", "b", "c"];
    let good = batch(BatchOptions::default(), &values);
    let with = |options: BatchOptions| batch(options, &values);
    let mut cases = vec![
        ("nothing is wrong".to_owned(), good.clone()),
        ("no bytes".to_owned(), Bytes::new()),
        ("a few bytes".to_owned(), good.slice(..20)),
        ("cut in the header".to_owned(), good.slice(..50)),
        (
            "cut in the records".to_owned(),
            good.slice(..good.len() - 1),
        ),
        (
            "two batches".to_owned(),
            [&good[..], &good[..]].concat().into(),
        ),
        (
            "a batch and some bytes".to_owned(),
            [&good[..], &good[..30]].concat().into(),
        ),
        (
            "bytes behind".to_owned(),
            [&good[..], &[0; 5]].concat().into(),
        ),
        (
            "a wrong checksum".to_owned(),
            raw(&good, CRC, &[1, 2, 3, 4]),
        ),
        ("no records".to_owned(), empty()),
    ];
    for magic in [0, 1, 3, 127, 0xff] {
        cases.push((format!("magic {magic}"), raw(&good, MAGIC, &[magic])));
    }
    for magic in [0, 1] {
        cases.push((format!("an old message of magic {magic}"), message(magic)));
    }
    for length in [0_i32, 1, 13, 48, -1, i32::MIN, i32::MAX - 12] {
        cases.push((
            format!("length {length}"),
            raw(&good, LENGTH, &length.to_be_bytes()),
        ));
    }
    for count in [0_i32, 1, 2, 4, -1, i32::MAX] {
        let bytes = count.to_be_bytes();
        cases.push((format!("count {count}"), altered(&good, COUNT, &bytes)));
        let both = altered(&good, COUNT, &bytes);
        let both = altered(
            &both,
            LAST_OFFSET_DELTA,
            &count.wrapping_sub(1).to_be_bytes(),
        );
        cases.push((format!("count {count} and last offset"), both));
    }
    for delta in [0_i32, 1, 3, -1, i32::MAX] {
        let bytes = altered(&good, LAST_OFFSET_DELTA, &delta.to_be_bytes());
        cases.push((format!("last offset delta {delta}"), bytes));
    }
    for (name, bits) in [
        ("the control bit", 0x20_u16),
        ("the transactional bit", 0x10),
        ("the delete horizon", 0x40),
        ("the append time bit", 0x08),
        ("an unused bit", 0x80),
        ("compression 5", 0x05),
        ("compression 7", 0x07),
    ] {
        cases.push((
            name.to_owned(),
            altered(&good, ATTRIBUTES, &bits.to_be_bytes()),
        ));
    }
    for (name, options) in [
        (
            "a base offset",
            BatchOptions {
                base_offset: 7,
                ..BatchOptions::default()
            },
        ),
        (
            "a negative base offset",
            BatchOptions {
                base_offset: -7,
                ..BatchOptions::default()
            },
        ),
        (
            "a leader epoch",
            BatchOptions {
                partition_leader_epoch: 900,
                ..BatchOptions::default()
            },
        ),
        (
            "a control batch",
            BatchOptions {
                is_control: true,
                ..BatchOptions::default()
            },
        ),
        (
            "a producer without epoch",
            BatchOptions {
                producer_id: 5_000_000_000,
                base_sequence: 0,
                ..BatchOptions::default()
            },
        ),
        (
            "an epoch without producer",
            BatchOptions {
                producer_epoch: 3,
                base_sequence: 0,
                ..BatchOptions::default()
            },
        ),
        (
            "a sequence without producer",
            BatchOptions {
                base_sequence: 3,
                ..BatchOptions::default()
            },
        ),
        (
            "a producer without sequence",
            BatchOptions {
                producer_id: 5_000_000_001,
                producer_epoch: 0,
                ..BatchOptions::default()
            },
        ),
        (
            "gzip",
            BatchOptions {
                compression: Compression::Gzip,
                ..BatchOptions::default()
            },
        ),
        (
            "zstd",
            BatchOptions {
                compression: Compression::Zstd,
                ..BatchOptions::default()
            },
        ),
    ] {
        cases.push((name.to_owned(), with(options)));
    }
    for sequence in [-2_i32, i32::MIN] {
        let options = BatchOptions {
            producer_id: 5_000_000_002,
            producer_epoch: 0,
            ..BatchOptions::default()
        };
        let bytes = altered(&with(options), BASE_SEQUENCE, &sequence.to_be_bytes());
        cases.push((format!("sequence {sequence}"), bytes));
    }
    let id = altered(&good, PRODUCER_ID, &(-5_i64).to_be_bytes());
    cases.push(("producer -5".to_owned(), id));
    for (name, first, last) in [
        ("before all time", -9_i64, -9_i64),
        ("far ahead", i64::MAX, i64::MAX),
        ("no base", -1, 5),
    ] {
        let bytes = altered(&good, BASE_TIMESTAMP, &first.to_be_bytes());
        let bytes = altered(&bytes, MAX_TIMESTAMP, &last.to_be_bytes());
        cases.push((format!("timestamps {name}"), bytes));
    }
    // The first record: its length, and what follows it. More in `records.rs`.
    for (name, at, byte) in [
        ("a record that is too long", 0, 0x7e),
        ("a record that is too short", 0, 0x02),
        ("a record of negative length", 0, 0x01),
        ("attributes of a record", 1, 0xff),
        ("a key of negative length", 4, 0x03),
    ] {
        cases.push((name.to_owned(), altered(&good, RECORDS + at, &[byte])));
    }
    cases
}

/// Other bytes, and the checksum of before.
fn raw(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    batch.freeze()
}

/// A batch that is whole and holds nothing, as compaction leaves them.
fn empty() -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder
        .push(1_700_000_000_000, None, Some(b"a"), &[])
        .unwrap();
    let one = builder.build().unwrap().slice(..RECORDS);
    let length = i32::try_from(RECORDS - LENGTH - 4).unwrap();
    let one = raw(&one, LENGTH, &length.to_be_bytes());
    altered(&one, COUNT, &0_i32.to_be_bytes())
}

/// A message of the formats before batches.
fn message(magic: u8) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(magic);
    body.put_u8(0);
    if magic == 1 {
        body.put_i64(1_700_000_000_000);
    }
    body.put_i32(-1);
    body.put_i32(1);
    body.put_u8(b'a');
    let mut message = BytesMut::new();
    message.put_i64(0);
    message.put_i32(i32::try_from(body.len() + 4).unwrap());
    message.put_u32(crc32(&body));
    message.extend_from_slice(&body);
    message.freeze()
}

/// CRC-32 of IEEE, which those formats have.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |crc: u32, _bit| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, byte)
}

async fn tell(side: &mut Side, step: &str, version: i16, request: &ProduceRequest) {
    let told = |answer: &ProduceResponse| {
        let partitions = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        let mut told: Vec<_> = partitions
            .map(|partition| {
                let records = partition.record_errors.iter();
                let records: Vec<_> = records.map(|record| record.batch_index).collect();
                (
                    partition.index,
                    partition.error_code,
                    partition.base_offset >= 0,
                    records,
                )
            })
            .collect();
        told.sort();
        format!("{told:?}")
    };
    let step = format!("produce: {step}");
    side.tell(&step, version, request, |_| 0, told).await;
}

/// What is wrong with the request around the batches.
async fn requests(side: &mut Side, version: i16, name: &str) {
    let good = batch(BatchOptions::default(), &["a"]);
    let missing = side.name("no-such-topic");
    for acks in [1, -1, 2, -2, i16::MAX] {
        tell(
            side,
            &format!("acks {acks}"),
            version,
            &produce(name, acks, good.clone()),
        )
        .await;
        let missing = produce(&missing, acks, good.clone());
        tell(
            side,
            &format!("acks {acks}, an unknown topic"),
            version,
            &missing,
        )
        .await;
        let bad = produce(name, acks, raw(&good, MAGIC, &[1]));
        tell(side, &format!("acks {acks}, magic 1"), version, &bad).await;
    }
    // Kafka never answers a partition whose records are null.
    let mut none = produce(name, -1, good.clone());
    none.topic_data[0].partition_data.clear();
    tell(side, "no partitions", version, &none).await;
    none.topic_data.clear();
    tell(side, "no topics", version, &none).await;
    for partition in [1, -1] {
        let mut request = produce(name, -1, good.clone());
        request.topic_data[0].partition_data[0].index = partition;
        tell(side, &format!("partition {partition}"), version, &request).await;
    }
    // Kafka keeps what was said last.
    let mut twice = produce(name, -1, good.clone());
    let mut again = twice.topic_data[0].partition_data[0].clone();
    again.records = Some(Records::from(raw(&good, CRC, &[0; 4])));
    twice.topic_data[0].partition_data.push(again);
    tell(side, "a partition twice, at last wrong", version, &twice).await;
    twice.topic_data[0].partition_data.reverse();
    tell(side, "a partition twice, at last right", version, &twice).await;
    let mut topics = produce(name, -1, good.clone());
    topics
        .topic_data
        .extend(produce(name, -1, raw(&good, CRC, &[0; 4])).topic_data);
    tell(side, "a topic twice, at last wrong", version, &topics).await;
    let internal = produce("__consumer_offsets", -1, good);
    tell(side, "an internal topic", version, &internal).await;
}

/// With `acks=0` an error ends the connection, and what is good leaves it open: the next answer on it is that of the
/// request that follows.
async fn without_answer(side: &mut Side, name: &str) {
    let good = batch(BatchOptions::default(), &["a"]);
    for (step, records) in [
        ("good", good.clone()),
        ("a wrong checksum", raw(&good, CRC, &[0; 4])),
        ("magic 1", raw(&good, MAGIC, &[1])),
    ] {
        side.client.request(&produce(name, 0, records), 9).await;
        let request = produce(name, -1, good.clone());
        tell(side, &format!("behind acks=0, {step}"), 9, &request).await;
    }
}
