//! Everything that reads foreign bytes: requests behind their header, all other messages, batches, compression.
use std::ops::RangeInclusive;

use bytes::Bytes;
use protocol::records::{
    BatchBuilder, BatchIterator, BatchOptions, BatchView, Compression, compression, control,
    summarize,
};
use protocol::samples::{Sample, Samples};
use protocol::{Reader, Request, Writer, frame, messages};

/// What any message may allocate: the least budget, and the shared state of the frame's buffer.
pub(crate) const MESSAGE_ALLOWANCE: usize = 64 * 1024 + 256;
/// Fixed buffers of the codecs: an lz4 frame may declare blocks of 4 MiB, of which two are held, with their window.
const CODEC_ALLOWANCE: usize = 16 << 20;
/// Output allowed per byte of compressed input, so that a decompressed payload stays below the general ratio.
const OUTPUT_PER_BYTE: usize = 3;

pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) versions: RangeInclusive<i16>,
    /// Bytes at the start that choose the decoder; often kept.
    pub(crate) header: usize,
    pub(crate) allowance: usize,
    /// A valid frame.
    pub(crate) seed: fn(u64, i16) -> Vec<u8>,
    /// Reads a frame; whether it was accepted.
    pub(crate) decode: fn(Bytes, i16) -> bool,
}

/// All targets. Requests come twice, for they are what strangers send.
pub(crate) fn all() -> Vec<Target> {
    let mut targets = Vec::new();
    for _ in 0..2 {
        macro_rules! requests {
            ($($name:ident),* $(,)?) => { $(targets.push(request::<messages::$name>());)* };
        }
        protocol::for_each_request!(requests);
    }
    macro_rules! others {
        ($($name:ident),* $(,)?) => { $(targets.push(other::<messages::$name>());)* };
    }
    protocol::for_each_other_message!(others);
    for _ in 0..20 {
        targets.push(Target {
            name: "record batches",
            versions: 0..=0,
            header: 0,
            // Damage may turn the batch into a compressed one.
            allowance: CODEC_ALLOWANCE,
            seed: |seed, _version| batches(seed, Compression::None),
            decode: |bytes, _version| read_batches(&bytes),
        });
        targets.push(Target {
            name: "compressed record batches",
            versions: 1..=4,
            header: 61,
            allowance: CODEC_ALLOWANCE,
            seed: |seed, version| batches(seed, codec(version)),
            decode: |bytes, _version| read_batches(&bytes),
        });
        targets.push(Target {
            name: "compressed bytes",
            versions: 1..=4,
            header: 0,
            allowance: CODEC_ALLOWANCE,
            seed: |seed, version| {
                compression::compress(codec(version), None, &batches(seed, Compression::None))
                    .expect("it compresses")
            },
            decode: |bytes, version| {
                compression::decompress(codec(version), &bytes, OUTPUT_PER_BYTE * bytes.len())
                    .is_ok()
            },
        });
    }
    targets
}

fn codec(version: i16) -> Compression {
    u8::try_from(version)
        .ok()
        .and_then(Compression::from_id)
        .unwrap_or_default()
}

fn request<R: Request + Sample>() -> Target {
    Target {
        name: R::NAME,
        versions: R::MIN_VERSION..=R::MAX_VERSION,
        header: 10,
        allowance: MESSAGE_ALLOWANCE,
        seed: |seed, version| {
            let message = R::sample(&mut Samples::random(seed), version);
            let framed = frame::encode_request(7, Some("client"), version, &message)
                .expect("samples can be written");
            framed.into_bytes().expect("samples lie in memory")[frame::LENGTH_PREFIX..].to_vec()
        },
        decode: |bytes, _version| read_request(bytes),
    }
}

fn other<M: Sample>() -> Target {
    Target {
        name: M::NAME,
        versions: M::MIN_VERSION..=M::MAX_VERSION,
        header: 0,
        allowance: MESSAGE_ALLOWANCE,
        seed: |seed, version| {
            let mut writer = Writer::new();
            M::sample(&mut Samples::random(seed), version)
                .encode(&mut writer, version)
                .expect("samples can be written");
            writer
                .finish()
                .into_bytes()
                .expect("samples lie in memory")
                .to_vec()
        },
        decode: |bytes, version| M::decode(&mut Reader::new(bytes), version).is_ok(),
    }
}

/// As a broker reads a frame: header, then the message the header names.
fn read_request(bytes: Bytes) -> bool {
    let mut reader = Reader::new(bytes);
    let Ok((key, header)) = frame::decode_request_header(&mut reader) else {
        return false;
    };
    let version = header.request_api_version;
    macro_rules! by_key {
        ($($name:ident),* $(,)?) => {{
            $(if key == <messages::$name as Request>::KEY { return read::<messages::$name>(&mut reader, version); })*
            false
        }};
    }
    protocol::for_each_request!(by_key)
}

fn read<R: Request>(reader: &mut Reader, version: i16) -> bool {
    R::decode(reader, version).is_ok()
}

/// Two or three batches with keys, values and headers.
fn batches(seed: u64, codec: Compression) -> Vec<u8> {
    let mut samples = Samples::random(seed);
    let mut bytes = Vec::new();
    for _ in 0..1 + samples.u16("batches") % 3 {
        let options = BatchOptions {
            compression: codec,
            base_offset: 5,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        for _ in 0..samples.u16("records") % 8 {
            let key = samples.nullable("key", true, |samples| samples.bytes("key"));
            let value = samples.nullable("value", true, |samples| samples.bytes("value"));
            let name = samples.string("header");
            let header = (name.as_bytes(), value.as_deref());
            let headers = [header, header];
            let headers = &headers[..usize::from(samples.u16("headers") % 3)];
            builder
                .push(
                    samples.i64("timestamp"),
                    key.as_deref(),
                    value.as_deref(),
                    headers,
                )
                .expect("it fits");
        }
        bytes.extend_from_slice(&builder.build().expect("it compresses"));
    }
    bytes
}

/// Reads all there is, records and headers included. Whether every batch was whole and right.
fn read_batches(bytes: &[u8]) -> bool {
    let mut iterator = BatchIterator::new(bytes);
    let mut right = true;
    for batch in iterator.by_ref() {
        right &= batch.is_ok_and(|batch| read_batch(&batch));
    }
    right && iterator.partial_tail().is_none()
}

fn read_batch(batch: &BatchView<'_>) -> bool {
    let mut right = batch.verify_crc().is_ok();
    let _ = (
        batch.last_sequence(),
        batch.next_offset(),
        batch.timestamp_type(),
        batch.has_delete_horizon(),
    );
    let Ok(payload) = batch.payload(OUTPUT_PER_BYTE * batch.total_size()) else {
        return false;
    };
    right &= summarize(&payload, batch.records_count(), batch.base_timestamp()).is_ok();
    for record in batch.records(&payload) {
        let Ok(record) = record else { return false };
        let _ = (
            batch.timestamp_of(record.timestamp_delta),
            batch.offset_of(record.offset_delta),
        );
        right &= record.headers.len() == record.headers.count();
        if let Some(key) = record.key {
            right &= !batch.is_control() || control::decode_key(key).is_ok();
        }
    }
    right
}
