//! Batches as text: `batch HEX`, then what is in it. `xtask/oracle/RecordOracle.java` writes the same form.
use bytes::Bytes;
use protocol::records::{
    BatchBuilder, BatchIterator, BatchOptions, BatchView, Compression, ControlRecordType,
    EndTransactionMarker, TimestampType, control, set_log_append_time,
};

/// Most a batch here decompresses to.
const OUTPUT_MAX: usize = 64 << 20;

pub(crate) fn write() {
    for compression in Compression::ALL {
        for (count, size) in [(3, 100), (1, 0), (300, 2000)] {
            let batch = plain(compression, count, size);
            dump_batch(&batch);
            let mut stamped = batch.to_vec();
            set_log_append_time(&mut stamped, 999).expect("it is a batch");
            dump_batch(&stamped);
        }
        let levels: &[i32] = match compression {
            Compression::Gzip => &[1, 9],
            Compression::Lz4 => &[1, 17],
            Compression::Zstd => &[-7, 22],
            Compression::None | Compression::Snappy => &[],
        };
        for level in levels {
            let options = BatchOptions {
                compression,
                compression_level: Some(*level),
                ..BatchOptions::default()
            };
            dump_batch(&filled(options, 50, 3000));
        }
        dump_batch(&transactional(compression));
    }
    for kind in [ControlRecordType::Commit, ControlRecordType::Abort] {
        let options = BatchOptions {
            base_offset: 42,
            partition_leader_epoch: 3,
            producer_id: 5000,
            producer_epoch: 7,
            ..BatchOptions::default()
        };
        let marker = EndTransactionMarker {
            coordinator_epoch: 17,
        };
        dump_batch(
            &BatchBuilder::end_transaction(options, 1_234_567, kind, marker).expect("it fits"),
        );
    }
}

fn plain(compression: Compression, count: usize, size: usize) -> Bytes {
    filled(
        BatchOptions {
            compression,
            base_offset: 70,
            partition_leader_epoch: 9,
            ..BatchOptions::default()
        },
        count,
        size,
    )
}

fn filled(options: BatchOptions, count: usize, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    let mut noise = 1_u32;
    for index in 0..count {
        // Half noise, half repetition, so that compressors find something and not everything.
        let mut value = vec![b'x'; size];
        for byte in &mut value[size / 2..] {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = noise.to_be_bytes()[0];
        }
        let headers: &[(&[u8], Option<&[u8]>)] =
            &[(b"same", Some(&[1])), (b"same", None), (b"", Some(&[]))];
        let headers = if index % 3 == 0 { &[] } else { headers };
        let key = format!("key{index}");
        let key = (index % 2 == 1).then_some(key.as_bytes());
        let value = (index % 5 != 4).then_some(&value[..]);
        builder
            .push(
                100_000 - 7 * i64::try_from(index).expect("small"),
                key,
                value,
                headers,
            )
            .expect("it fits");
    }
    builder.build().expect("it compresses")
}

fn transactional(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        producer_id: 5000,
        producer_epoch: 7,
        base_sequence: i32::MAX - 1,
        is_transactional: true,
        ..BatchOptions::default()
    });
    builder.push(1, Some(b"a"), None, &[]).expect("it fits");
    builder.push(2, None, Some(b"b"), &[]).expect("it fits");
    builder.push(3, None, None, &[]).expect("it fits");
    builder.build().expect("it compresses")
}

pub(crate) fn dump(text: &str) {
    for line in text.lines() {
        if let Some(hex) = line.strip_prefix("batch ") {
            dump_batch(&super::parse_hex(hex).expect("hexadecimal"));
        }
    }
}

fn dump_batch(bytes: &[u8]) {
    println!("batch {}", digits(bytes));
    for batch in BatchIterator::new(bytes) {
        dump_view(&batch.expect("it is a batch"));
    }
}

fn dump_view(batch: &BatchView<'_>) {
    batch.verify_crc().expect("the checksum fits");
    let timestamp_type = match batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    println!(
        "header {} {} {} {} {timestamp_type} {} {} {} {} {} {} {} {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.partition_leader_epoch(),
        batch.compression(),
        batch.is_transactional(),
        batch.is_control(),
        batch.max_timestamp(),
        batch.producer_id(),
        batch.producer_epoch(),
        batch.base_sequence(),
        batch.last_sequence(),
        batch.records_count()
    );
    let payload = batch.payload(OUTPUT_MAX).expect("it decompresses");
    for record in batch.records(&payload) {
        let record = record.expect("it is a record");
        let headers: String = record
            .headers
            .map(|(key, value)| format!(" {}={}", hex(Some(key)), hex(value)))
            .collect();
        println!(
            "record {} {} {} {}{headers}",
            batch.offset_of(record.offset_delta),
            batch.timestamp_of(record.timestamp_delta),
            hex(record.key),
            hex(record.value)
        );
        if batch.is_control() {
            let kind = match control::decode_key(record.key.expect("control records have a key"))
                .expect("a type")
            {
                ControlRecordType::Commit => "COMMIT",
                ControlRecordType::Abort => "ABORT",
                ControlRecordType::Other(_) => "OTHER",
            };
            let marker = EndTransactionMarker::decode(record.value.expect("markers have a value"))
                .expect("a marker");
            println!("marker {kind} {}", marker.coordinator_epoch);
        }
    }
}

fn hex(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("x{}", digits(bytes)))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
