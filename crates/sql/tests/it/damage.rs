//! Damaged logs: what is damaged is named, what is around it can be read.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use protocol::records::{BatchOptions, BatchView, Compression, compression, layout};

use crate::world::*;

/// Five batches of ten records.
fn filled() -> Arc<World> {
    let world = World::new();
    world.simple_topic("t", 1);
    for start in 0..5 {
        let record = |number: i64| written(NOW_MS, "k", &format!("value {}", start * 10 + number));
        let records: Vec<_> = (0..10).map(record).collect();
        world.append("t", 0, batch(&records));
    }
    world
}

/// Changes a byte in the records of the third batch.
fn damage(root: &Path) {
    let segment = &World::segments(root, "t", 0)[0];
    let bytes = std::fs::read(segment).unwrap();
    let at = bytes
        .windows(8)
        .position(|window| window == b"value 25")
        .unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap();
    file.write_all_at(b"X", u64::try_from(at).unwrap()).unwrap();
}

#[test]
fn a_corrupt_batch_is_named_and_what_is_around_it_is_read() {
    let world = filled().reopened(damage);
    world.simple_topic("t", 1);
    let session = world.session();
    for sql in [
        "SELECT _value FROM t",
        "SELECT count(_key) FROM t",
        "SELECT max(_timestamp) FROM t",
    ] {
        let refusal = session.refusal(sql);
        assert!(
            refusal.contains("topic \"t\", partition 0, offset 20: corrupt record batch"),
            "{sql}: {refusal}"
        );
        assert!(
            refusal.contains("HINT: The records around it can be read"),
            "{refusal}"
        );
    }
    // How many records were written is known without a look at them.
    assert_eq!(session.ask("SELECT count(*) FROM t"), ["50"]);
    assert_eq!(
        session.ask("SELECT count(_key) FROM t WHERE _offset < 20"),
        ["20"]
    );
    assert_eq!(
        session.ask("SELECT count(_value) FROM t WHERE _offset < 20 OR _offset > 29"),
        ["40"]
    );
}

/// A batch of two records, whose compressed records both say that they are the first.
fn lying() -> Bytes {
    let record = written(NOW_MS, "k", "first");
    let one = batch(std::slice::from_ref(&record));
    let records = [&one[layout::RECORDS..], &one[layout::RECORDS..]].concat();
    let records = compression::compress(Compression::Lz4, None, &records).unwrap();
    let options = BatchOptions {
        compression: Compression::Lz4,
        ..BatchOptions::default()
    };
    let honest = batch_with(options, &[record.clone(), record]);
    let mut bytes = [&honest[..layout::RECORDS], &records].concat();
    let length = i32::try_from(bytes.len() - layout::LOG_OVERHEAD).unwrap();
    bytes[layout::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    let crc = BatchView::parse(&bytes).unwrap().compute_crc();
    bytes[layout::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn records_that_are_not_where_their_batch_says_are_an_error_and_not_left_out() {
    let world = filled();
    assert_eq!(world.append("t", 0, lying()), 50);
    world.append("t", 0, batch(&[written(NOW_MS, "k", "after")]));
    let session = world.session();
    let refusal = session.refusal("SELECT _value FROM t");
    assert!(
        refusal.contains("topic \"t\", partition 0, offset 50: cannot read the records of the batch: record 1 has offset delta 0"),
        "{refusal}"
    );
    assert_eq!(
        session.ask("SELECT _value FROM t WHERE _offset > 51"),
        ["after"]
    );
}
