//! Records that do not fit their batch: impossible lengths and header counts, bytes left over, offsets that do not go up
//! by one, timestamps that the header belies.
//!
//! In batches that are not compressed; those that are stay opaque with us, unless a setting has us look inside. Two things
//! differ on purpose and are not asked here: Kafka stores offsets that do not go up by one (and gives the records new ones
//! where it compresses them anew), and has no error code for a record whose length takes more than five bytes.

use bytes::{BufMut, Bytes, BytesMut};
use protocol::messages::*;
use protocol::records::{BatchIterator, BatchOptions, TimestampType};
use protocol::varint;
use testkit::requests::{FETCH, batch, fetch, produce};

use super::Side;
use super::batches::altered;

const PRODUCE: i16 = 9;
/// Where things stand in a batch.
const LENGTH: usize = 8;
const COUNT: usize = 57;
const RECORDS: usize = 61;
/// When the records were sent.
const SENT_MS: i64 = 1_700_000_000_000;
/// Fetched records are inflated to so many bytes at most.
const INFLATED_MAX: usize = 1 << 20;

pub(super) async fn errors(side: &mut Side) {
    let topics: [(&str, &[(&str, &str)]); 5] = [
        ("records", &[]),
        (
            "records-append-time",
            &[("message.timestamp.type", "LogAppendTime")],
        ),
        ("records-compacted", &[("cleanup.policy", "compact")]),
        (
            "records-bounded",
            &[("message.timestamp.before.max.ms", "9000000000000000")],
        ),
        ("records-gzip", &[("compression.type", "gzip")]),
    ];
    for (what, settings) in topics {
        let name = side.name(what);
        testkit::requests::topic(&mut side.client, &name, settings).await;
        super::await_leader(side, &name).await;
        for (step, records) in cases() {
            tell(side, &format!("{what}: {step}"), &name, records).await;
        }
    }
}

/// The fields of a record; each as it is written, so that it may be wrong.
struct Fields {
    attributes: u8,
    timestamp: Vec<u8>,
    offset: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<u8>,
    behind: Vec<u8>,
}

fn number(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::write_i64(&mut bytes, value);
    bytes
}

/// A length that need not be that of the bytes behind it.
fn sized(length: i64, bytes: &[u8]) -> Vec<u8> {
    [&number(length), bytes].concat()
}

impl Fields {
    fn new(offset: i64) -> Self {
        Self {
            attributes: 0,
            timestamp: number(0),
            offset: number(offset),
            key: sized(1, b"k"),
            value: sized(5, b"value"),
            headers: [number(1), sized(1, b"h"), sized(1, b"v")].concat(),
            behind: Vec::new(),
        }
    }

    fn body(&self) -> Vec<u8> {
        let attributes: &[u8] = &[self.attributes];
        [
            attributes,
            &self.timestamp,
            &self.offset,
            &self.key,
            &self.value,
            &self.headers,
            &self.behind,
        ]
        .concat()
    }

    fn record(&self) -> Vec<u8> {
        let body = self.body();
        sized(i64::try_from(body.len()).unwrap(), &body)
    }
}

/// A batch of `count` records that holds `payload`.
fn holding(payload: &[u8], count: usize) -> Bytes {
    let values = vec!["a"; count];
    let head = batch(BatchOptions::default(), &values).slice(..RECORDS);
    let mut bytes = BytesMut::from(&head[..]);
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - LENGTH - 4).unwrap();
    bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    let count = i32::try_from(count).unwrap();
    altered(&bytes.freeze(), COUNT, &count.to_be_bytes())
}

fn cases() -> Vec<(String, Bytes)> {
    let mut cases = vec![("nothing is wrong".to_owned(), of_three(|_, _| ()))];
    // In the middle, so that there is something before it and behind it; and at the end, where nothing follows.
    for place in [1, 2] {
        for (step, wrong) in wrongs() {
            let batch = of_three(|index, fields| {
                if index == place {
                    wrong(fields);
                }
            });
            cases.push((format!("{step} in record {place}"), batch));
        }
    }
    let long = of_three(|index, fields| {
        if index == 1 {
            fields.offset = [&[0x82, 0x80, 0x80, 0x80][..], &[0]].concat();
        }
    });
    cases.push(("an offset of five bytes".to_owned(), long));
    for times in [[0, 5, 3], [-7, -9, -8], [i64::MAX, 0, 0], [0, i64::MIN, 0]] {
        let batch = of_three(|index, fields| fields.timestamp = number(times[index]));
        cases.push((format!("timestamps {times:?}"), batch));
    }
    let one = Fields::new(0).record();
    for (step, payload, count) in [
        ("a byte behind the records", [&one[..], &[0]].concat(), 1),
        ("a record too many", [&one[..], &one].concat(), 1),
        ("a record too few", one.clone(), 2),
        ("an empty record", [&one[..], &[0]].concat(), 2),
        ("a record of one byte", [&one[..], &[2, 0]].concat(), 2),
        (
            "a length that does not end",
            [&one[..], &[0x80; 3]].concat(),
            2,
        ),
        ("a negative length", [&one[..], &[1]].concat(), 2),
        ("no bytes", Vec::new(), 1),
    ] {
        cases.push((step.to_owned(), holding(&payload, count)));
    }
    cases
}

fn of_three(alter: impl Fn(usize, &mut Fields)) -> Bytes {
    let mut payload = BytesMut::new();
    for index in 0..3 {
        let mut fields = Fields::new(i64::try_from(index).unwrap());
        alter(index, &mut fields);
        payload.put_slice(&fields.record());
    }
    holding(&payload, 3)
}

type Wrong = fn(&mut Fields);

/// What may be wrong with one record.
fn wrongs() -> Vec<(&'static str, Wrong)> {
    vec![
        ("attributes", |it| it.attributes = 0xff),
        ("no key", |it| it.key = number(-1)),
        ("an empty key", |it| it.key = number(0)),
        ("a key length of -2", |it| it.key = number(-2)),
        ("a key that is too long", |it| it.key = sized(100, b"k")),
        ("a key of 2 GiB", |it| {
            it.key = sized(i64::from(i32::MAX), b"k")
        }),
        ("a key that takes the value", |it| it.key = sized(7, b"k")),
        ("no value", |it| it.value = number(-1)),
        ("a value length of the least", |it| {
            it.value = number(i64::from(i32::MIN));
        }),
        ("a value that is too long", |it| {
            it.value = sized(50, b"value")
        }),
        ("a value that is one too long", |it| {
            it.value = sized(6, b"value")
        }),
        ("a value that is one too short", |it| {
            it.value = sized(4, b"value")
        }),
        ("no headers", |it| it.headers = number(0)),
        ("headers missing", |it| it.headers = Vec::new()),
        ("a header count of -1", |it| it.headers = number(-1)),
        ("a header count of the least", |it| {
            it.headers = number(i64::from(i32::MIN));
        }),
        ("a header too many", |it| it.headers[0] = 4),
        ("headers that nobody can hold", |it| {
            it.headers = number(i64::from(i32::MAX));
        }),
        ("a header too few", |it| it.headers[0] = 0),
        ("a header without key", |it| {
            it.headers = [number(1), number(-1), sized(1, b"v")].concat();
        }),
        ("a header of an empty key", |it| {
            it.headers = [number(1), number(0), sized(1, b"v")].concat();
        }),
        ("a header whose key is no text", |it| {
            it.headers = [number(1), sized(1, &[0xff]), sized(1, b"v")].concat();
        }),
        ("a header without value", |it| {
            it.headers = [number(1), sized(1, b"h"), number(-1)].concat();
        }),
        ("a header value length of -9", |it| {
            it.headers = [number(1), sized(1, b"h"), number(-9)].concat();
        }),
        ("a header key that is too long", |it| {
            it.headers = [number(1), sized(60, b"h"), sized(1, b"v")].concat();
        }),
        ("a header value that is too long", |it| {
            it.headers = [number(1), sized(1, b"h"), sized(60, b"v")].concat();
        }),
        ("bytes behind the headers", |it| it.behind = vec![0]),
        ("a timestamp of eleven bytes", |it| {
            it.timestamp = [&[0x80; 10][..], &[1]].concat();
        }),
        ("a timestamp of ten bytes", |it| {
            it.timestamp = [&[0x80; 9][..], &[0]].concat();
        }),
        ("an offset of six bytes", |it| {
            it.offset = [&[0x80; 5][..], &[1]].concat();
        }),
    ]
}

/// The answer, and what is stored.
async fn tell(side: &mut Side, step: &str, name: &str, batch: Bytes) {
    let told = |answer: &ProduceResponse| {
        let partition = &answer.responses[0].partition_responses[0];
        let records = partition.record_errors.iter();
        let records: Vec<_> = records.map(|record| record.batch_index).collect();
        format!("error {}, records {records:?}", partition.error_code)
    };
    let answer = side
        .tell(step, PRODUCE, &produce(name, -1, batch), |_| 0, told)
        .await;
    let base = answer.unwrap().responses[0].partition_responses[0].base_offset;
    let stored = if base < 0 {
        "nothing".to_owned()
    } else {
        stored(side, name, base).await
    };
    side.note(&format!("{step}, stored"), FETCH, &stored);
}

async fn stored(side: &mut Side, name: &str, base: i64) -> String {
    let answer = side.ask(FETCH, &fetch(name, base, 0)).await.unwrap();
    let records = answer.responses[0].partitions[0].records.clone();
    let bytes = records.map_or_else(Bytes::new, |records| records.into_bytes().unwrap());
    let batches = BatchIterator::new(&bytes).map(|batch| {
        let batch = batch.unwrap();
        let since = |time: i64| match batch.timestamp_type() {
            TimestampType::CreateTime => time.wrapping_sub(SENT_MS),
            TimestampType::LogAppendTime => 0,
        };
        let payload = batch.payload(INFLATED_MAX).unwrap();
        let records = batch.records(&payload).map(|record| match record {
            Ok(record) => {
                let time = since(batch.timestamp_of(record.timestamp_delta));
                format!("{} at {time}", record.offset_delta)
            }
            Err(error) => error.to_string(),
        });
        let records: Vec<_> = records.collect();
        let largest = since(batch.max_timestamp());
        format!("largest {largest}: {records:?}")
    });
    batches.collect::<Vec<_>>().join("; ")
}
