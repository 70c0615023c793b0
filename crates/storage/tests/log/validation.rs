//! Which batches are refused, and with which error.

use bytes::{Bytes, BytesMut};
use protocol::records::{BatchBuilder, BatchOptions, Compression, compression};
use storage::{
    AppendContext, AppendError, CleanupPolicy, LogCompression, LogSettings, LogTimestampType,
    PartitionLog,
};
use types::LeaderEpoch;

use crate::support::*;

fn refused(settings: LogSettings, batch: Bytes) -> AppendError {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, settings);
    let error = append(&log, batch).unwrap_err();
    assert_eq!(log.offsets().log_end, at(0), "nothing was appended");
    error
}

/// A batch with bytes replaced at a position, and the checksum made right again.
fn altered(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

#[test]
fn malformed_batches_are_invalid() {
    let good = batch(&["a", "b"]);
    let count = |count: i32| altered(&good, 57, &count.to_be_bytes());
    let cases: Vec<(&str, Bytes)> = vec![
        ("no batch", Bytes::new()),
        ("half a header", good.slice(..30)),
        ("cut short", good.slice(..good.len() - 1)),
        ("magic 1", altered(&good, 16, &[1])),
        (
            "length below the least",
            altered(&good, 8, &10_i32.to_be_bytes()),
        ),
        (
            "negative length",
            altered(&good, 8, &(-1_i32).to_be_bytes()),
        ),
        ("base offset", altered(&good, 0, &5_i64.to_be_bytes())),
        (
            "negative base offset",
            altered(&good, 0, &(-5_i64).to_be_bytes()),
        ),
        ("too many records", count(3)),
        ("too few records", count(1)),
        ("no records", count(0)),
        ("negative records", count(-1)),
        ("control batch", altered(&good, 21, &0x20_i16.to_be_bytes())),
        ("unknown codec", altered(&good, 21, &0x07_i16.to_be_bytes())),
        (
            "transactional without producer",
            altered(&good, 21, &0x10_i16.to_be_bytes()),
        ),
        (
            "producer without sequence",
            altered(&good, 43, &7_i64.to_be_bytes()),
        ),
        ("record length", altered(&good, 61, &[0x02])),
        ("garbage", Bytes::from_static(&[0xff; 200])),
        ("zeros", Bytes::from_static(&[0; 200])),
    ];
    for (name, batch) in cases {
        let error = refused(LogSettings::default(), batch);
        assert!(
            matches!(
                error,
                AppendError::InvalidBatch { .. } | AppendError::MalformedRecord(_)
            ),
            "{name}: {error}"
        );
    }
}

/// Where the first record of a batch begins; its fields follow its length.
const RECORDS: usize = 61;
/// The bytes of a record of [`batch`] with a value of one byte.
const RECORD_BYTES: usize = 11;

#[test]
fn records_that_are_not_what_they_say_are_never_stored() {
    let forced = LogSettings {
        compression: LogCompression::Forced(Compression::Gzip, None),
        ..LogSettings::default()
    };
    let append_time = LogSettings {
        timestamp_type: LogTimestampType::LogAppendTime,
        ..LogSettings::default()
    };
    // Length, attributes, timestamp, offset, key with its length, value with its length, header count.
    let good = batch(&["v", "v"]);
    let first = &good[RECORDS..RECORDS + RECORD_BYTES];
    assert_eq!(first, [20, 0, 0, 0, 6, b'k', b'e', b'y', 2, b'v', 0]);
    for (name, position, byte) in [
        ("a key over the end", 4, 0x7e),
        ("a value over the end", 8, 0x7e),
        ("a value that leaves a byte", 8, 0),
        ("headers that are not there", 10, 0x02),
        ("a negative header count", 10, 0x01),
        ("an offset that is used twice", RECORD_BYTES + 3, 0),
        ("an offset that leaves one out", RECORD_BYTES + 3, 4),
        ("an offset before the batch", 3, 1),
    ] {
        let bad = altered(&good, RECORDS + position, &[byte]);
        for (settings, batch) in [
            (LogSettings::default(), bad.clone()),
            (append_time.clone(), bad.clone()),
            (forced.clone(), bad.clone()),
            (forced.clone(), compressed(&bad)),
        ] {
            let error = refused(settings, batch);
            assert!(
                matches!(error, AppendError::MalformedRecord(_)),
                "{name}: {error}"
            );
        }
    }
}

/// The same batch with its records compressed, whatever they are.
fn compressed(batch: &Bytes) -> Bytes {
    const LENGTH: usize = 8;
    const ATTRIBUTES: usize = 21;
    let packed = compression::compress(Compression::Zstd, None, &batch[RECORDS..]).unwrap();
    let batch = Bytes::from([&batch[..RECORDS], &packed].concat());
    let length = i32::try_from(batch.len() - LENGTH - 4).unwrap();
    let batch = altered(&batch, LENGTH, &length.to_be_bytes());
    altered(&batch, ATTRIBUTES, &4_i16.to_be_bytes())
}

#[test]
fn a_timestamp_so_early_that_its_age_overflows_is_refused() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for timestamp in [NOW_MS, i64::MIN + 5] {
        builder.push(timestamp, None, Some(b"v"), &[]).unwrap();
    }
    match refused(LogSettings::default(), builder.build().unwrap()) {
        AppendError::InvalidTimestamp { indexes, .. } => assert_eq!(indexes, [1]),
        other => panic!("{other}"),
    }
}

#[test]
fn any_changed_byte_under_the_checksum_is_found() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let good = batch(&["some", "values"]);
    for index in 21..good.len() {
        let mut bad = BytesMut::from(&good[..]);
        bad[index] ^= 1;
        let error = append(&log, bad.freeze()).unwrap_err();
        let expected = matches!(
            error,
            AppendError::CorruptBatch { .. }
                | AppendError::InvalidBatch { .. }
                | AppendError::InvalidTimestamp { .. }
        );
        assert!(expected, "byte {index}: {error}");
    }
    assert_eq!(write(&log, good), 0);
}

#[test]
fn a_batch_above_max_message_bytes_is_too_large() {
    let batch = batch(&["0123456789"]);
    let limited = |limit: usize| LogSettings {
        max_message_bytes: u32::try_from(limit).unwrap(),
        ..LogSettings::default()
    };
    let error = refused(limited(batch.len() - 1), batch.clone());
    assert!(
        matches!(error, AppendError::BatchTooLarge { size, limit } if size == batch.len() && limit == size - 1)
    );
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, limited(batch.len()));
    assert_eq!(write(&log, batch), 0);
}

#[test]
fn a_batch_above_segment_bytes_is_too_large() {
    let error = refused(small_segments(100), batch(&[&"x".repeat(200)]));
    assert!(matches!(
        error,
        AppendError::BatchTooLarge { limit: 100, .. }
    ));
}

#[test]
fn compacted_topics_refuse_records_without_keys_and_name_them() {
    let compacted = LogSettings {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogSettings::default()
    };
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..BatchOptions::default()
        });
        builder.push(NOW_MS, Some(b"k"), Some(b"v"), &[]).unwrap();
        builder.push(NOW_MS, None, Some(b"v"), &[]).unwrap();
        builder.push(NOW_MS, None, None, &[]).unwrap();
        match refused(compacted.clone(), builder.build().unwrap()) {
            AppendError::InvalidRecords { indexes, .. } => assert_eq!(indexes, [1, 2]),
            other => panic!("{compression}: {other}"),
        }
    }
}

#[test]
fn timestamps_outside_of_the_bounds_are_refused() {
    let settings = LogSettings {
        timestamp_before_max_ms: Some(1000),
        timestamp_after_max_ms: Some(2000),
        ..LogSettings::default()
    };
    for (timestamp, fits) in [
        (NOW_MS - 1001, false),
        (NOW_MS - 1000, true),
        (NOW_MS + 2000, true),
        (NOW_MS + 2001, false),
    ] {
        let world = World::new();
        let directory = world.open();
        let log = log(&directory, settings.clone());
        match append(&log, batch_at(timestamp, &["a"])) {
            Ok(_) => assert!(fits, "{timestamp}"),
            Err(AppendError::InvalidTimestamp {
                timestamp: found,
                indexes,
            }) => {
                assert!(!fits);
                assert_eq!((found, indexes), (timestamp, vec![0]));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn only_records_at_fault_are_named() {
    let settings = LogSettings {
        timestamp_before_max_ms: Some(1000),
        ..LogSettings::default()
    };
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Compression::Lz4,
        ..BatchOptions::default()
    });
    for timestamp in [NOW_MS, NOW_MS - 5000, NOW_MS] {
        builder.push(timestamp, None, Some(b"v"), &[]).unwrap();
    }
    match refused(settings, builder.build().unwrap()) {
        AppendError::InvalidTimestamp { indexes, .. } => assert_eq!(indexes, [1]),
        other => panic!("{other}"),
    }
}

/// Where the largest timestamp stands in the header.
const MAX_TIMESTAMP: usize = 35;

/// The header of the only batch of a log, and the timestamps of its records.
fn stored(log: &storage::LocalLog) -> (protocol::records::TimestampType, i64, Vec<i64>) {
    let plan = log
        .read(at(0), 1 << 20, storage::Isolation::ReadUncommitted, true)
        .unwrap();
    let bytes = bytes_of(&plan.slices);
    let view = protocol::records::BatchView::parse(&bytes).unwrap();
    view.verify_crc().unwrap();
    let records = records_of(&bytes);
    let times = records.iter().map(|record| record.timestamp).collect();
    (view.timestamp_type(), view.max_timestamp(), times)
}

#[test]
fn producers_may_not_say_that_the_broker_set_the_time_where_it_does() {
    for compression in [Compression::None, Compression::Gzip] {
        let options = BatchOptions {
            timestamp_type: protocol::records::TimestampType::LogAppendTime,
            compression,
            ..BatchOptions::default()
        };
        let settings = LogSettings {
            timestamp_type: LogTimestampType::LogAppendTime,
            ..LogSettings::default()
        };
        match refused(settings, batch_with(options, NOW_MS, &["a", "b"])) {
            AppendError::InvalidTimestamp { indexes, .. } => assert_eq!(indexes, [0, 1]),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn where_producers_set_the_time_the_largest_is_put_right() {
    use protocol::records::TimestampType;
    let log_append = BatchOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..BatchOptions::default()
    };
    let right = batch_at(NOW_MS, &["a", "b", "c"]);
    let wrong = |largest: i64| altered(&right, MAX_TIMESTAMP, &largest.to_be_bytes());
    let times = vec![NOW_MS, NOW_MS + 1, NOW_MS + 2];
    let cases = [
        (right.clone(), NOW_MS + 2, times.clone()),
        (wrong(-1), NOW_MS + 2, times.clone()),
        (wrong(0), NOW_MS + 2, times.clone()),
        (wrong(i64::MAX), NOW_MS + 2, times.clone()),
        // The type is taken back, and what the header said stays the largest.
        (
            batch_with(log_append, NOW_MS, &["a", "b"]),
            NOW_MS + 1,
            times[..2].to_vec(),
        ),
    ];
    for (batch, largest, times) in cases {
        for is_shared in [true, false] {
            let world = World::new();
            let directory = world.open();
            let log = log(&directory, LogSettings::default());
            let kept = is_shared.then(|| batch.clone());
            let sent = if is_shared {
                batch.clone()
            } else {
                Bytes::from(batch.to_vec())
            };
            write(&log, sent);
            drop(kept);
            assert_eq!(
                stored(&log),
                (TimestampType::CreateTime, largest, times.clone())
            );
        }
    }
}

#[test]
fn a_header_that_lies_about_the_future_is_looked_behind() {
    for compression in Compression::ALL {
        let options = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        let honest = batch_with(options, NOW_MS, &["a", "b"]);
        let future = NOW_MS + 7_200_000;
        let lying = altered(&honest, MAX_TIMESTAMP, &future.to_be_bytes());
        let world = World::new();
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        write(&log, lying);
        assert_eq!(stored(&log).1, NOW_MS + 1, "{compression}");
    }
}

#[test]
fn one_bad_timestamp_names_the_error_for_all_records_at_fault() {
    let settings = LogSettings {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogSettings::default()
    };
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.push(NOW_MS, Some(b"k"), Some(b"v"), &[]).unwrap();
    builder.push(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let late = NOW_MS + 7_200_000;
    builder.push(late, Some(b"k"), Some(b"v"), &[]).unwrap();
    match refused(settings, builder.build().unwrap()) {
        AppendError::InvalidTimestamp { indexes, timestamp } => {
            assert_eq!((indexes, timestamp), (vec![1, 2], late));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_bomb_is_refused_before_it_has_gone_off() {
    let value = vec![0; 80 << 20];
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..BatchOptions::default()
        });
        builder.push(NOW_MS, Some(b"k"), Some(&value), &[]).unwrap();
        let bomb = builder.build().unwrap();
        assert!(bomb.len() < 1 << 20, "{compression}: {}", bomb.len());
        let settings = LogSettings {
            compression: LogCompression::Forced(Compression::Snappy, None),
            ..LogSettings::default()
        };
        let error = refused(settings, bomb);
        assert!(
            matches!(error, AppendError::InflatesTooFar { .. }),
            "{error}"
        );
    }
}

#[test]
fn log_append_time_replaces_the_timestamps_in_both_ways_of_writing() {
    let world = World::new();
    let directory = world.open();
    let settings = LogSettings {
        timestamp_type: LogTimestampType::LogAppendTime,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    let old = batch_at(12345, &["a", "b"]);
    let shared = old.clone();
    let ticket = append(&log, old).unwrap();
    assert_eq!(ticket.outcome.log_append_time.unwrap().ms(), NOW_MS);
    world.clock.advance(5);
    // The only reference: changed in place.
    append(&log, Bytes::from(shared.to_vec())).unwrap();
    write(&log, batch(&["c"]));
    let times: Vec<_> = read_all(&log, 0, 1 << 20)
        .iter()
        .map(|record| record.timestamp - NOW_MS)
        .collect();
    assert_eq!(times, [0, 0, 5, 5, 5]);
}

#[test]
fn a_shared_buffer_is_not_changed_and_reads_the_same() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, batch(&["x"]));
    let shared = batch(&["a", "b"]);
    let before = shared.to_vec();
    write(&log, shared.clone());
    assert_eq!(shared, before);
    assert_eq!(values(&read_all(&log, 1, 1 << 20)), ["a", "b"]);
}

#[test]
fn a_forced_codec_recompresses_what_has_another() {
    for target in Compression::ALL {
        let world = World::new();
        let directory = world.open();
        let settings = LogSettings {
            compression: LogCompression::Forced(target, None),
            ..LogSettings::default()
        };
        let log = log(&directory, settings);
        for source in Compression::ALL {
            let options = BatchOptions {
                compression: source,
                ..BatchOptions::default()
            };
            write(&log, batch_with(options, NOW_MS, &["same", "values"]));
        }
        let plan = log
            .read(at(0), 1 << 20, storage::Isolation::ReadUncommitted, true)
            .unwrap();
        assert_eq!(plan.has_zstd, target == Compression::Zstd);
        let bytes = bytes_of(&plan.slices);
        for batch in protocol::records::BatchIterator::new(&bytes) {
            assert_eq!(batch.unwrap().compression(), target);
        }
        assert_eq!(values(&records_of(&bytes)), ["same", "values"].repeat(5));
    }
}

#[test]
fn zstd_is_looked_for_batch_by_batch() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(4000);
    let first = log(&directory, settings.clone());
    let zstd = BatchOptions {
        compression: Compression::Zstd,
        ..BatchOptions::default()
    };
    for number in 0..60 {
        let options = if number % 10 == 9 {
            zstd
        } else {
            BatchOptions::default()
        };
        write(&first, batch_with(options, NOW_MS, &["value"]));
    }
    drop(first);
    directory.close().unwrap();
    drop(directory);
    let directory = world.open();
    let log = log(&directory, settings);
    for from in 0..60 {
        let plan = log
            .read(at(from), 1 << 20, storage::Isolation::ReadUncommitted, true)
            .unwrap();
        let plan = plan.before_zstd().unwrap();
        let bytes = bytes_of(&plan.slices);
        assert_eq!(bytes.len(), plan.length);
        let expected = 9 - from % 10;
        assert_eq!(
            records_of(&bytes).len(),
            usize::try_from(expected).unwrap(),
            "{from}"
        );
        assert!(plan.is_limited);
    }
}

#[test]
fn a_compressed_batch_is_stored_unread() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let options = BatchOptions {
        compression: Compression::Zstd,
        ..BatchOptions::default()
    };
    let good = batch_with(options, NOW_MS, &["a"]);
    let nonsense = altered(&good, 61, b"not zstd");
    assert!(append(&log, nonsense).is_ok());
}

#[test]
fn another_leader_epoch_is_fenced() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let current = epoch(&log);
    for requested in [LeaderEpoch::ZERO, current.next().unwrap()] {
        let context = AppendContext::client(requested);
        let error = log.append(batch(&["a"]), context).unwrap_err();
        assert!(matches!(error, AppendError::FencedLeaderEpoch { .. }));
    }
}

#[test]
fn coordinators_append_several_batches_at_once_and_all_or_nothing() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let context = AppendContext::coordinator(epoch(&log));
    let mut both = batch(&["a", "b"]).to_vec();
    both.extend_from_slice(&batch(&["c"]));
    let ticket = log.append(Bytes::from(both.clone()), context).unwrap();
    assert_eq!(ticket.outcome.base_offset, at(0));
    assert_eq!(ticket.outcome.last_offset, at(2));
    committed(ticket).unwrap();
    let shared = Bytes::from(both.clone());
    committed(log.append(shared, context).unwrap()).unwrap();
    assert_eq!(
        values(&read_all(&log, 0, 1 << 20)),
        ["a", "b", "c", "a", "b", "c"]
    );
    let last = both.len() - 1;
    both[last] ^= 1;
    assert!(log.append(Bytes::from(both), context).is_err());
    assert_eq!(log.offsets().log_end, at(6));
}
