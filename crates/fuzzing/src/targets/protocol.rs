//! What is on the wire: requests behind their header, all other messages, batches, compression, what members of classic groups
//! tell each other.

use bytes::Bytes;
use protocol::messages::{self, ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use protocol::records::{
    BatchBuilder, BatchIterator, BatchOptions, BatchView, Compression, assign_offsets, compression,
    control, layout, set_max_timestamp, set_producer, summarize,
};
use protocol::samples::{Sample, Samples};
use protocol::{Message, Reader, Request, Writer, encode_versioned, frame};

use super::{USUAL, target};
use crate::Target;
use crate::counting::{Limit, within};
use crate::input::Input;

pub(super) const REQUEST: Target = target(
    "request",
    "a frame: header and request, every API and version; what is read is written and read again",
    request_seeds,
    request,
);

pub(super) const MESSAGE: Target = target(
    "message",
    "responses, headers, keys and values of coordinators, every version; as requests",
    message_seeds,
    message,
);

pub(super) const BATCHES: Target = target(
    "batches",
    "record batches with records, headers, markers, all codecs; built again they hold the same",
    batch_seeds,
    batches,
);

pub(super) const FETCHED: Target = target(
    "fetched",
    "what a fetch brings a consumer of ours: offsets rise, markers and aborted records are hidden",
    fetched_seeds,
    fetched,
);

pub(super) const COMPRESSION: Target = target(
    "compression",
    "compressed bytes of each codec; the output stays below its cap and comes back",
    compression_seeds,
    decompress,
);

pub(super) const SUBSCRIPTION: Target = target(
    "subscription",
    "subscriptions and assignments of classic groups, as every member writes them for others",
    subscription_seeds,
    subscription,
);

/// Decodes within the usual memory; what was read must come back.
fn check<M: Message + PartialEq + std::fmt::Debug>(bytes: Bytes, version: i16) {
    let mut reader = Reader::new(bytes.clone());
    let decoded = within(USUAL, bytes.len(), || M::decode(&mut reader, version));
    let Ok(message) = decoded else { return };
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("what was read can be written");
    let written = writer
        .finish()
        .into_bytes()
        .expect("messages lie in memory");
    let again =
        M::decode(&mut Reader::new(written), version).expect("what was written can be read");
    // Not a number is nobody's equal.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

fn request(data: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let header = within(USUAL, data.len(), || {
        frame::decode_request_header(&mut reader)
    });
    let Ok((key, header)) = header else { return };
    let version = header.request_api_version;
    let body = reader.into_rest();
    macro_rules! by_key {
        ($($name:ident),* $(,)?) => {{
            $(if key == <messages::$name as Request>::KEY { check::<messages::$name>(body, version); return; })*
        }};
    }
    protocol::for_each_request!(by_key);
}

/// Samples per version: filled, with nulls, and two random ones.
fn samples() -> [Samples; 4] {
    [
        Samples::named(),
        Samples::named_with_nulls(),
        Samples::random(1),
        Samples::random(2),
    ]
}

fn request_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    macro_rules! requests {
        ($($name:ident),* $(,)?) => { $(add_request::<messages::$name>(&mut seeds);)* };
    }
    protocol::for_each_request!(requests);
    seeds
}

fn add_request<R: Request + Sample>(seeds: &mut Vec<Vec<u8>>) {
    for version in R::MIN_VERSION..=R::MAX_VERSION {
        for mut samples in samples() {
            let message = R::sample(&mut samples, version);
            let frame = frame::encode_request(7, Some("client"), version, &message)
                .expect("samples can be written");
            let frame = frame.into_bytes().expect("samples lie in memory");
            seeds.push(frame[frame::LENGTH_PREFIX..].to_vec());
        }
    }
}

/// Reads a message of one kind and version.
struct Kind {
    versions: std::ops::RangeInclusive<i16>,
    check: fn(Bytes, i16),
    sample: fn(&mut Samples, i16) -> Bytes,
}

fn kind<M: Sample + PartialEq + std::fmt::Debug>() -> Kind {
    Kind {
        versions: M::MIN_VERSION..=M::MAX_VERSION,
        check: check::<M>,
        sample: |samples, version| {
            let mut writer = Writer::new();
            M::sample(samples, version)
                .encode(&mut writer, version)
                .expect("samples can be written");
            writer.finish().into_bytes().expect("samples lie in memory")
        },
    }
}

fn kinds() -> Vec<Kind> {
    macro_rules! others {
        ($($name:ident),* $(,)?) => { vec![$(kind::<messages::$name>()),*] };
    }
    protocol::for_each_other_message!(others)
}

/// A byte for the kind and one for the version, then the message.
fn message(data: &[u8]) {
    let [number, version, body @ ..] = data else {
        return;
    };
    if let Some(kind) = kinds().get(usize::from(*number)) {
        (kind.check)(Bytes::copy_from_slice(body), i16::from(*version));
    }
}

fn message_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, kind) in kinds().iter().enumerate() {
        for version in kind.versions.clone() {
            for mut samples in samples() {
                let number = u8::try_from(number).expect("there are fewer than 256 kinds");
                let version_byte = u8::try_from(version).expect("versions are small");
                let mut seed = vec![number, version_byte];
                seed.extend_from_slice(&(kind.sample)(&mut samples, version));
                seeds.push(seed);
            }
        }
    }
    seeds
}

/// Most a batch may decompress to here.
const OUTPUT_MAX: usize = 1 << 20;
/// The output, and fixed buffers of the codecs: an lz4 frame may declare blocks of 4 MiB, of which two are held, with
/// their window.
const DECOMPRESSION: Limit = Limit {
    fixed: OUTPUT_MAX + (16 << 20),
    per_byte: 8,
};

/// If the first byte is odd, checksums are made right before.
fn batches(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if first % 2 == 1 {
        correct(&mut bytes);
    }
    let mut iterator = BatchIterator::new(&bytes);
    for batch in iterator.by_ref().flatten() {
        let payload = within(DECOMPRESSION, batch.total_size(), || {
            batch.payload(OUTPUT_MAX)
        });
        if let Ok(payload) = payload {
            assert!(payload.len() <= OUTPUT_MAX || batch.compression() == Compression::None);
            records(&batch, &payload);
        }
        edit(&batch);
    }
    assert!(iterator.position() <= bytes.len());
}

/// Makes the checksum of each batch right, one after another.
pub(super) fn correct(bytes: &mut [u8]) {
    let mut at = 0;
    while let Ok(batch) = BatchView::parse(&bytes[at..]) {
        let (crc, size) = (batch.compute_crc(), batch.total_size());
        bytes[at + layout::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
        at += size;
    }
}

fn records(batch: &BatchView<'_>, payload: &[u8]) {
    let summary = within(USUAL, payload.len(), || {
        summarize(payload, batch.records_count(), batch.base_timestamp())
    });
    let mut as_sent = true;
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: batch.base_offset(),
        compression: batch.compression(),
        ..BatchOptions::default()
    });
    let mut rebuilt = Some(0_i32);
    for (index, record) in batch.records(payload).enumerate() {
        let Ok(record) = record else {
            (rebuilt, as_sent) = (None, false);
            break;
        };
        as_sent &= usize::try_from(record.offset_delta) == Ok(index);
        assert_eq!(record.headers.len(), record.headers.count());
        let timestamp = batch.timestamp_of(record.timestamp_delta);
        let offset = batch.offset_of(record.offset_delta);
        assert!(offset >= 0 || record.offset_delta < 0 || batch.base_offset() < 0);
        record.key.map(control::decode_key).transpose().ok();
        record
            .value
            .map(control::EndTransactionMarker::decode)
            .transpose()
            .ok();
        let headers: Vec<_> = record.headers.collect();
        let pushed = builder.push(timestamp, record.key, record.value, &headers);
        rebuilt = rebuilt.filter(|_| pushed.is_ok()).map(|count| count + 1);
    }
    assert_eq!(
        summary.is_ok(),
        as_sent,
        "what the iterator reads is what the summary takes"
    );
    if rebuilt.is_some_and(|count| count > 0) {
        compare(batch, payload, builder);
    }
}

/// A batch built of the records of another one holds the same.
fn compare(batch: &BatchView<'_>, payload: &[u8], builder: BatchBuilder) {
    let Ok(built) = builder.build() else { return };
    let built = BatchView::parse(&built).expect("what was built can be read");
    built.verify_crc().expect("its checksum is right");
    let built_payload = built
        .payload(usize::MAX)
        .expect("what was compressed comes back");
    let pairs = batch.records(payload).zip(built.records(&built_payload));
    for (one, other) in pairs {
        let (one, other) = (one.expect("it was read"), other.expect("it was built"));
        assert_eq!((one.key, one.value), (other.key, other.value));
        assert!(one.headers.eq(other.headers));
    }
}

/// What a broker changes in a batch leaves a batch.
fn edit(batch: &BatchView<'_>) {
    let mut bytes = batch.bytes().to_vec();
    if assign_offsets(&mut bytes, 1 << 40, 7).is_ok() {
        let edited = BatchView::parse(&bytes).expect("it is still a batch");
        assert_eq!(edited.base_offset(), 1 << 40);
        assert_eq!(edited.crc(), batch.crc());
        assert_eq!(edited.record_bytes(), batch.record_bytes());
    }
    let kind = batch.timestamp_type();
    let changed = batch.max_timestamp() ^ 1;
    if set_max_timestamp(&mut bytes, kind, changed).is_ok()
        && set_producer(&mut bytes, 5, 6, 7).is_ok()
    {
        let edited = BatchView::parse(&bytes).expect("it is still a batch");
        edited.verify_crc().expect("its checksum was made right");
        assert_eq!(edited.max_timestamp(), changed);
        assert_eq!((edited.producer_id(), edited.producer_epoch()), (5, 6));
    }
}

/// A batch with keys, values, headers and nulls.
pub(super) fn batch(codec: Compression, base_offset: i64, count: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: codec,
        base_offset,
        ..BatchOptions::default()
    });
    for number in 0..count {
        let value = format!("value {number} of a batch");
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        let key = (number % 3 > 0).then_some(&b"key"[..]);
        let value = (number % 4 > 0).then_some(value.as_bytes());
        builder
            .push(1_700_000_000_000, key, value, &headers[..number % 3])
            .expect("it fits");
    }
    builder.build().expect("it compresses").to_vec()
}

pub(super) fn codecs() -> impl Iterator<Item = Compression> {
    (0..5).filter_map(Compression::from_id)
}

fn batch_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in codecs() {
        for count in [1, 2, 30] {
            let mut seed = vec![1];
            seed.extend(batch(codec, 0, count));
            seed.extend(batch(codec, 7, 1));
            seeds.push(seed);
        }
    }
    for kind in [
        control::ControlRecordType::Commit,
        control::ControlRecordType::Abort,
    ] {
        let marker = control::EndTransactionMarker {
            coordinator_epoch: 3,
        };
        let options = BatchOptions {
            producer_id: 9,
            producer_epoch: 2,
            ..BatchOptions::default()
        };
        let bytes = BatchBuilder::end_transaction(options, 5, kind, marker).expect("it fits");
        seeds.push([&[1], &bytes[..]].concat());
    }
    seeds
}

/// A byte (odd: checksums are made right, 2: read_committed), two for where the consumer is, then the bytes.
fn fetched(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let position = i64::from(input.u16());
    let mut bytes = input.rest().to_vec();
    if flags & 1 > 0 {
        correct(&mut bytes);
    }
    let aborted = [(9, 0), (9, 50)];
    let aborted = (flags & 2 > 0).then_some(&aborted[..]);
    let offsets = client::fuzzing::fetched_offsets(Bytes::from(bytes), position, aborted);
    assert!(offsets.iter().all(|offset| *offset >= position));
}

fn fetched_seeds() -> Vec<Vec<u8>> {
    let seeds = batch_seeds().into_iter();
    let seeds = seeds.flat_map(|batches| {
        [(1, 0), (3, 0), (1, 2)].map(|(flags, position)| {
            let head = [flags, 0, position];
            [&head[..], &batches[1..]].concat()
        })
    });
    seeds.collect()
}

fn decompress(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let Some(codec) = Compression::from_id(first % 5) else {
        return;
    };
    let output = within(DECOMPRESSION, rest.len(), || {
        compression::decompress(codec, rest, OUTPUT_MAX)
    });
    let Ok(output) = output else { return };
    assert!(output.len() <= OUTPUT_MAX || codec == Compression::None);
    let packed = compression::compress(codec, None, &output).expect("it compresses");
    let back = compression::decompress(codec, &packed, output.len()).expect("it comes back");
    assert_eq!(back, output);
}

fn compression_seeds() -> Vec<Vec<u8>> {
    let text = b"compressed compressed compressed and some more".repeat(9);
    codecs()
        .flat_map(|codec| {
            [&b""[..], b"a", &text].map(|content| {
                let packed = compression::compress(codec, None, content).expect("it compresses");
                [&[codec.id()], &packed[..]].concat()
            })
        })
        .collect()
}

/// The first byte says which of the two.
fn subscription(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(rest);
    if first.is_multiple_of(2) {
        let read = within(USUAL, rest.len(), || {
            client::decode_subscription("member", None, bytes.clone())
        });
        if read.is_ok() {
            check::<ConsumerProtocolSubscription>(body(&bytes), known_version(&bytes));
        }
    } else {
        let read = within(USUAL, rest.len(), || {
            client::decode_assignment(bytes.clone())
        });
        if read.is_ok() {
            check::<ConsumerProtocolAssignment>(body(&bytes), 0);
        }
    }
}

fn body(bytes: &Bytes) -> Bytes {
    bytes.slice(2.min(bytes.len())..)
}

fn known_version(bytes: &Bytes) -> i16 {
    let version = bytes
        .first_chunk()
        .map_or(0, |bytes| i16::from_be_bytes(*bytes));
    version.clamp(
        ConsumerProtocolSubscription::MIN_VERSION,
        ConsumerProtocolSubscription::MAX_VERSION,
    )
}

fn subscription_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for mut samples in samples() {
        for version in
            ConsumerProtocolSubscription::MIN_VERSION..=ConsumerProtocolSubscription::MAX_VERSION
        {
            let message = ConsumerProtocolSubscription::sample(&mut samples, version);
            let bytes = encode_versioned(&message, version).expect("samples can be written");
            seeds.push([&[0], &bytes[..]].concat());
        }
        let message = ConsumerProtocolAssignment::sample(&mut samples, 0);
        let bytes = encode_versioned(&message, 0).expect("samples can be written");
        seeds.push([&[1], &bytes[..]].concat());
    }
    seeds
}
