//! Batches whose header does not agree with their records or with the topic: timestamps, keys, types.

use bytes::{Bytes, BytesMut};
use protocol::messages::*;
use protocol::records::{BatchBuilder, BatchIterator, BatchOptions, Compression, TimestampType};
use testkit::requests::{FETCH, create, fetch, produce};

use super::{LIST_OFFSETS, READ_UNCOMMITTED, Side};

const PRODUCE: i16 = 9;
const CREATE: i16 = 5;
/// Where things stand in a batch.
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const MAX_TIMESTAMP: usize = 35;
/// Long ago, but no more than a topic allows.
const PAST_MS: i64 = 1_700_000_000_000;

pub(super) fn altered(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

fn built(options: BatchOptions, records: &[(i64, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key) in records {
        builder
            .push(*timestamp, key.map(str::as_bytes), Some(b"value"), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

pub(super) async fn errors(side: &mut Side) {
    let future = 4_000_000_000_000;
    let keyed = [(PAST_MS, Some("a")), (PAST_MS + 5, Some("b"))];
    let mixed = [(PAST_MS, Some("a")), (PAST_MS, None), (future, Some("b"))];
    let keyless = [(PAST_MS, Some("a")), (PAST_MS, None)];
    let none = [(-1, Some("a"))];
    let log_append = BatchOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..BatchOptions::default()
    };
    let topics: [(&str, &[(&str, &str)]); 4] = [
        ("create-time", &[]),
        (
            "append-time",
            &[("message.timestamp.type", "LogAppendTime")],
        ),
        ("compacted", &[("cleanup.policy", "compact")]),
        ("bounded", &[("message.timestamp.before.max.ms", "60000")]),
    ];
    for (topic, configs) in topics {
        for compression in [Compression::None, Compression::Gzip] {
            let plain = BatchOptions {
                compression,
                ..BatchOptions::default()
            };
            let stamped = BatchOptions {
                compression,
                ..log_append
            };
            let good = built(plain, &keyed);
            let mut cases = vec![
                ("good", good.clone()),
                ("no timestamps", built(plain, &none)),
                ("keys lack", built(plain, &keyless)),
                ("keys and times lack", built(plain, &mixed)),
                ("says append time", built(stamped, &keyed)),
                ("says append time, but none", built(stamped, &none)),
                (
                    "a largest time in the future",
                    altered(&good, MAX_TIMESTAMP, &future_bytes(future)),
                ),
            ];
            if compression == Compression::None {
                let too_small = altered(&good, MAX_TIMESTAMP, &future_bytes(3));
                cases.push(("a largest time that is too small", too_small));
            }
            for (number, (step, batch)) in cases.into_iter().enumerate() {
                // A topic each, so that what is stored can be told.
                let name = side.name(&format!("{topic}-{compression}-{number}"));
                let created = side.ask(CREATE, &create(&name, configs)).await.unwrap();
                side.note("create", CREATE, &created.topics[0].error_code.to_string());
                tell(
                    side,
                    &format!("{topic}, {compression}, {step}"),
                    &name,
                    batch,
                )
                .await;
            }
        }
    }
}

fn future_bytes(timestamp: i64) -> [u8; 8] {
    timestamp.to_be_bytes()
}

async fn tell(side: &mut Side, step: &str, name: &str, batch: Bytes) {
    let code =
        |answer: &ProduceResponse| match answer.responses[0].partition_responses[0].error_code {
            // A leader that is not there yet.
            3 | 5 | 6 => 15,
            code => code,
        };
    let told = |answer: &ProduceResponse| {
        let partition = &answer.responses[0].partition_responses[0];
        let records: Vec<_> = partition
            .record_errors
            .iter()
            .map(|record| record.batch_index)
            .collect();
        format!("error {}, records {records:?}", partition.error_code)
    };
    side.tell(step, PRODUCE, &produce(name, -1, batch), code, told)
        .await;
    // What is stored, and where the largest timestamp is.
    let answer = side.ask(FETCH, &fetch(name, 0, 0)).await.unwrap();
    let records = answer.responses[0].partitions[0].records.clone();
    let bytes = records.map_or_else(Bytes::new, |records| records.into_bytes().unwrap());
    for batch in BatchIterator::new(&bytes) {
        let batch = batch.unwrap();
        let largest = match batch.timestamp_type() {
            TimestampType::CreateTime => batch.max_timestamp(),
            TimestampType::LogAppendTime => 0,
        };
        let told = format!("{:?} {largest}", batch.timestamp_type());
        side.note(step, FETCH, &told);
    }
    for timestamp in [-3, PAST_MS, PAST_MS + 1] {
        let told = super::look_up(side, name, READ_UNCOMMITTED, timestamp).await;
        let step = format!("{step}, look-up {timestamp}");
        side.note(&step, LIST_OFFSETS, &format!("{told:?}"));
    }
}
