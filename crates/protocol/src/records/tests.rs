use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const CAP: usize = 16 << 20;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);
type OwnedRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<OwnedHeader>);

fn build(options: BatchOptions, records: &[OwnedRecord]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .collect();
        builder
            .push(*timestamp, key.as_deref(), value.as_deref(), &headers)
            .unwrap();
    }
    builder.build().unwrap()
}

fn read(batch: &BatchView<'_>) -> Vec<OwnedRecord> {
    let payload = batch.payload(CAP).unwrap();
    summarize(&payload, batch.records_count(), batch.base_timestamp()).unwrap();
    let mut records = Vec::new();
    for (index, record) in batch.records(&payload).enumerate() {
        let record = record.unwrap();
        assert_eq!(usize::try_from(record.offset_delta).unwrap(), index);
        records.push((
            batch.timestamp_of(record.timestamp_delta),
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
            record
                .headers
                .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                .collect(),
        ));
    }
    records
}

fn one_batch(compression: Compression) -> Bytes {
    let header = |value: Option<&[u8]>| (b"same".to_vec(), value.map(<[u8]>::to_vec));
    build(
        BatchOptions {
            compression,
            ..BatchOptions::default()
        },
        &[
            (
                1000,
                Some(b"k".to_vec()),
                Some(vec![7; 3000]),
                vec![header(Some(b"1")), header(None)],
            ),
            (990, None, None, vec![]),
            (
                1010,
                Some(vec![]),
                Some(vec![]),
                vec![(vec![], Some(vec![]))],
            ),
        ],
    )
}

#[test]
fn duplicate_header_keys_nulls_and_empties_survive_every_codec() {
    let plain = one_batch(Compression::None);
    let expected = read(&BatchView::parse(&plain).unwrap());
    for codec in Compression::ALL {
        let bytes = one_batch(codec);
        let batch = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        batch.check_records(CAP).unwrap();
        assert_eq!(batch.compression(), codec);
        assert_eq!(
            (
                batch.base_timestamp(),
                batch.max_timestamp(),
                batch.last_offset()
            ),
            (1000, 1010, 2)
        );
        assert_eq!(read(&batch), expected, "{codec}");
    }
    assert_eq!(expected[0].3.len(), 2);
}

#[test]
fn offsets_are_assigned_outside_the_checksum() {
    let mut bytes = one_batch(Compression::None).to_vec();
    assign_offsets(&mut bytes, 41, 7).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(
        (
            batch.base_offset(),
            batch.next_offset(),
            batch.partition_leader_epoch()
        ),
        (41, 44, 7)
    );
    assert!(matches!(
        assign_offsets(&mut bytes, i64::MAX - 2, 7),
        Err(BatchError::ImpossibleOffsets { .. })
    ));
    assert!(matches!(
        assign_offsets(&mut bytes, -1, 7),
        Err(BatchError::ImpossibleOffsets { .. })
    ));
}

#[test]
fn log_append_time_changes_every_timestamp_and_the_checksum() {
    let mut bytes = one_batch(Compression::Gzip).to_vec();
    set_log_append_time(&mut bytes, 5555).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert!(read(&batch).iter().all(|record| record.0 == 5555));
    set_max_timestamp(&mut bytes, TimestampType::CreateTime, 9).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(
        (batch.timestamp_type(), batch.max_timestamp()),
        (TimestampType::CreateTime, 9)
    );
}

#[test]
fn end_transaction_marker_is_a_control_batch() {
    let options = BatchOptions {
        producer_id: 9,
        producer_epoch: 3,
        ..BatchOptions::default()
    };
    let marker = EndTransactionMarker {
        coordinator_epoch: 12,
    };
    let bytes =
        BatchBuilder::end_transaction(options, 77, ControlRecordType::Commit, marker).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    assert!(batch.is_control() && batch.is_transactional() && batch.has_producer_id());
    assert_eq!(
        (
            batch.producer_id(),
            batch.producer_epoch(),
            batch.base_sequence()
        ),
        (9, 3, -1)
    );
    let record = batch.records(batch.record_bytes()).next().unwrap().unwrap();
    assert_eq!(
        control::decode_key(record.key.unwrap()),
        Ok(ControlRecordType::Commit)
    );
    assert_eq!(
        EndTransactionMarker::decode(record.value.unwrap()),
        Ok(marker)
    );
}

fn patched(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = one_batch(Compression::None).to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn impossible_headers_are_refused() {
    let check = |at, value: &[u8], expected| {
        assert_eq!(BatchView::parse(&patched(at, value)).unwrap_err(), expected)
    };
    check(
        layout::MAGIC,
        &[1],
        BatchError::UnsupportedMagic { magic: 1 },
    );
    check(
        layout::BATCH_LENGTH,
        &48_i32.to_be_bytes(),
        BatchError::LengthTooSmall { length: 48 },
    );
    check(
        layout::BATCH_LENGTH,
        &(-1_i32).to_be_bytes(),
        BatchError::LengthTooSmall { length: -1 },
    );
    check(
        layout::ATTRIBUTES,
        &5_i16.to_be_bytes(),
        BatchError::UnknownCompression { id: 5 },
    );
    check(
        layout::RECORDS_COUNT,
        &(-1_i32).to_be_bytes(),
        BatchError::NegativeCount { count: -1 },
    );
    let deltas = |base_offset, last_offset_delta| BatchError::ImpossibleOffsets {
        base_offset,
        last_offset_delta,
    };
    check(
        layout::LAST_OFFSET_DELTA,
        &(-1_i32).to_be_bytes(),
        deltas(0, -1),
    );
    check(
        layout::BASE_OFFSET,
        &i64::MAX.to_be_bytes(),
        deltas(i64::MAX, 2),
    );
    let available = one_batch(Compression::None).len();
    let needed = usize::try_from(i32::MAX).unwrap() + layout::LOG_OVERHEAD;
    check(
        layout::BATCH_LENGTH,
        &i32::MAX.to_be_bytes(),
        BatchError::Truncated { needed, available },
    );
}

#[test]
fn a_flipped_bit_is_a_wrong_checksum() {
    let bytes = patched(layout::RECORDS + 5, &[0xff]);
    assert!(matches!(
        BatchView::parse(&bytes).unwrap().verify_crc(),
        Err(BatchError::CrcMismatch { .. })
    ));
}

#[test]
fn lying_counts_and_lengths_of_records_are_refused() {
    let more = patched(layout::RECORDS_COUNT, &4_i32.to_be_bytes());
    let less = patched(layout::RECORDS_COUNT, &2_i32.to_be_bytes());
    for bytes in [&more, &less] {
        let batch = BatchView::parse(bytes).unwrap();
        assert!(batch.check_records(CAP).is_err());
        assert!(
            batch
                .records(batch.record_bytes())
                .any(|record| record.is_err())
        );
    }
    for (payload, expected) in [
        (
            vec![0x01],
            RecordError::Length {
                index: 0,
                length: -1,
                available: 0,
            },
        ),
        (
            vec![0x80],
            RecordError::Varint {
                index: 0,
                source: crate::varint::VarintError::Truncated,
            },
        ),
        (
            vec![8, 0, 0, 0, 100],
            RecordError::FieldLength {
                index: 0,
                length: 50,
                available: 0,
            },
        ),
        (
            vec![12, 0, 0, 0, 1, 1, 100],
            RecordError::HeaderCount {
                index: 0,
                count: 50,
            },
        ),
        (
            vec![14, 0, 0, 0, 1, 1, 0, 9],
            RecordError::TrailingInRecord {
                index: 0,
                unread: 1,
            },
        ),
    ] {
        assert_eq!(
            RecordIterator::new(&payload, 1).next(),
            Some(Err(expected)),
            "{payload:?}"
        );
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let last = |base_sequence, count| {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_sequence,
            ..BatchOptions::default()
        });
        for _ in 0..count {
            builder.push(0, None, None, &[]).unwrap();
        }
        BatchView::parse(&builder.build().unwrap())
            .unwrap()
            .last_sequence()
    };
    assert_eq!(last(-1, 2), -1);
    assert_eq!(last(5, 2), 6);
    assert_eq!(last(i32::MAX, 1), i32::MAX);
    assert_eq!(last(i32::MAX, 2), 0);
    assert_eq!(last(i32::MAX - 1, 4), 1);
}

#[test]
fn iteration_tells_a_cut_batch_from_garbage() {
    let one = one_batch(Compression::None);
    let two = [one.as_ref(), one.as_ref()].concat();
    for cut in 0..=one.len() {
        let bytes = &two[..one.len() + cut];
        let mut iterator = BatchIterator::new(bytes);
        let whole = iterator.by_ref().map(Result::unwrap).count();
        assert_eq!(whole, if cut == one.len() { 2 } else { 1 });
        assert_eq!(iterator.position(), whole * one.len());
        let needed = (cut >= layout::LOG_OVERHEAD).then_some(one.len());
        let tail = (cut > 0 && whole == 1).then_some(PartialTail {
            position: one.len(),
            available: cut,
            needed,
        });
        assert_eq!(iterator.partial_tail(), tail, "cut at {cut}");
    }
    let garbage = [one.as_ref(), &[0; 100]].concat();
    let mut iterator = BatchIterator::new(&garbage);
    assert!(iterator.next().unwrap().is_ok());
    assert_eq!(
        iterator.next(),
        Some(Err(BatchError::UnsupportedMagic { magic: 0 }))
    );
    assert_eq!(iterator.next(), None);
    assert_eq!(iterator.partial_tail(), None);
    assert_eq!(iterator.position(), one.len());
}

#[test]
fn decompression_stops_at_the_cap() {
    let zeros = vec![0; 4 << 20];
    for codec in Compression::ALL {
        let packed = compression::compress(codec, None, &zeros).unwrap();
        assert_eq!(
            compression::decompress(codec, &packed, zeros.len()).unwrap(),
            zeros,
            "{codec}"
        );
        let error = compression::decompress(codec, &packed, zeros.len() - 1).unwrap_err();
        assert!(
            matches!(error, CompressionError::OutputTooLarge { .. }),
            "{codec}: {error}"
        );
    }
}

#[test]
fn snappy_is_read_raw_framed_and_concatenated() {
    let raw = snap::raw::Encoder::new()
        .compress_vec(b"hello hello hello")
        .unwrap();
    assert_eq!(
        compression::decompress(Compression::Snappy, &raw, 100).unwrap(),
        b"hello hello hello"
    );
    let framed = compression::compress(Compression::Snappy, None, b"hello").unwrap();
    let twice = [framed.as_slice(), framed.as_slice()].concat();
    assert_eq!(
        compression::decompress(Compression::Snappy, &twice, 100).unwrap(),
        b"hellohello"
    );
    // Declares 2 GiB in five bytes.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x07];
    let error = compression::decompress(Compression::Snappy, &bomb, usize::MAX).unwrap_err();
    assert!(matches!(error, CompressionError::Corrupt { .. }), "{error}");
}

#[test]
fn levels_outside_the_range_of_the_codec_are_refused() {
    for (codec, good, bad) in [
        (Compression::Gzip, vec![1, 9], vec![0, 10]),
        (Compression::Lz4, vec![1, 17], vec![0, 18]),
        (Compression::Zstd, vec![-5, 1, 22], vec![23]),
        (Compression::Snappy, vec![], vec![1]),
    ] {
        for level in good {
            let packed = compression::compress(codec, Some(level), b"abcabcabc").unwrap();
            assert_eq!(
                compression::decompress(codec, &packed, 9).unwrap(),
                b"abcabcabc"
            );
        }
        for level in bad {
            let error = compression::compress(codec, Some(level), b"").unwrap_err();
            assert!(
                matches!(error, CompressionError::InvalidLevel { .. }),
                "{codec} {level}"
            );
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let headers = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4);
    (
        any::<i64>(),
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        headers,
    )
}

proptest! {
    #[test]
    fn any_records_round_trip(records in prop::collection::vec(record(), 1..20), codec in 0_u8..5) {
        let compression = Compression::from_id(codec).unwrap();
        let bytes = build(BatchOptions { compression, ..BatchOptions::default() }, &records);
        let batch = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(read(&batch), records);
    }

    #[test]
    fn any_bytes_compress_and_come_back(data in prop::collection::vec(any::<u8>(), 0..100_000), codec in 0_u8..5) {
        let codec = Compression::from_id(codec).unwrap();
        let packed = compression::compress(codec, None, &data).unwrap();
        prop_assert_eq!(compression::decompress(codec, &packed, data.len()).unwrap(), data);
    }

    #[test]
    fn foreign_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300), codec in 0_u8..5) {
        let codec = Compression::from_id(codec).unwrap();
        compression::decompress(codec, &data, 1 << 16).ok();
        summarize(&data, 10, 0).ok();
        RecordIterator::new(&data, 10).for_each(drop);
        BatchIterator::new(&data).for_each(drop);
    }

    #[test]
    fn mutated_batches_never_panic(at in 0_usize..3200, value: u8, codec in 0_u8..5) {
        let mut bytes = one_batch(Compression::from_id(codec).unwrap()).to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        for batch in BatchIterator::new(&bytes).flatten() {
            if let Ok(payload) = batch.payload(1 << 20) {
                for record in batch.records(&payload).flatten() {
                    record.headers.for_each(drop);
                }
            }
        }
    }
}
