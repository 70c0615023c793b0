//! `"topic@latest"` against a model: the newest record of each key, whatever was written, aborted, compacted and deleted.

use std::collections::BTreeMap;

use datafusion::physical_plan::collect;
use proptest::prelude::*;
use protocol::records::{BatchOptions, Compression, ControlRecordType};
use storage::LogSettings;

use crate::world::*;

const PARTITIONS: usize = 3;

/// What a record has: a key, and a value unless it is a tombstone.
type Content = (Option<u8>, Option<u16>);

/// One append: plain, or a transaction that commits or not.
#[derive(Clone, Debug)]
struct Append {
    partition: usize,
    codec: usize,
    commits: Option<bool>,
    records: Vec<Content>,
}

fn append() -> impl Strategy<Value = Append> {
    let record = (
        proptest::option::weighted(0.9, 0_u8..8),
        proptest::option::weighted(0.8, 0_u16..1000),
    );
    let commits = prop_oneof![3 => Just(None), 2 => any::<bool>().prop_map(Some)];
    (
        0..PARTITIONS,
        0_usize..5,
        commits,
        proptest::collection::vec(record, 1..10),
    )
        .prop_map(|(partition, codec, commits, records)| Append {
            partition,
            codec,
            commits,
            records,
        })
}

/// Keys of which some are no text.
fn key_of(key: u8) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        1 => vec![0xff],
        2 => b"\\xff".to_vec(),
        _ => format!("k{key}").into_bytes(),
    }
}

/// Writes a batch, in a transaction if it is one.
fn write(world: &World, number: usize, append: &Append) -> i64 {
    let plain = BatchOptions {
        compression: Compression::ALL[append.codec],
        ..BatchOptions::default()
    };
    let producer = 100 + i64::try_from(number).unwrap();
    let options = match append.commits {
        None => plain,
        Some(_) => BatchOptions {
            producer_id: producer,
            producer_epoch: 0,
            base_sequence: 0,
            is_transactional: true,
            ..plain
        },
    };
    let records: Vec<_> = append
        .records
        .iter()
        .map(|(key, value)| Written {
            timestamp: NOW_MS,
            key: key.map(key_of),
            value: value.map(|value| value.to_string().into_bytes()),
            headers: Vec::new(),
        })
        .collect();
    let base = world.append("t", append.partition, batch_with(options, &records));
    if let Some(commits) = append.commits {
        let kind = match commits {
            true => ControlRecordType::Commit,
            false => ControlRecordType::Abort,
        };
        world.end_transaction("t", append.partition, producer, kind);
    }
    base
}

/// The offset and the value of the newest record of each key.
type Model = BTreeMap<(usize, u8), (i64, Option<u16>)>;

fn note(model: &mut Model, append: &Append, base: i64) {
    for (place, (key, value)) in (0_i64..).zip(&append.records) {
        if let Some(key) = key {
            model.insert((append.partition, *key), (base + place, *value));
        }
    }
}

/// As a query shows it.
fn shown(model: &Model, chosen: impl Fn(&(usize, u8), i64) -> bool) -> Vec<String> {
    let rows = model.iter().filter_map(|(key, (offset, value))| {
        let value = (*value)?;
        chosen(key, *offset).then_some((key.0, *offset, value))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    rows.into_iter()
        .map(|(partition, offset, value)| format!("{partition}|{offset}|{value}"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_record_of_each_key_is_that_of_a_model(
        appends in proptest::collection::vec(append(), 1..30),
        rows_max in 1_usize..20,
        compacts in any::<bool>(),
        from in 0_i64..60,
    ) {
        let world = World::new();
        let settings = match compacts {
            true => compacted(2000),
            false => LogSettings { segment_bytes: 2000, ..LogSettings::default() },
        };
        world.topic("t", i32::try_from(PARTITIONS).unwrap(), &settings);
        let (mut committed, mut all) = (Model::new(), Model::new());
        for (number, append) in appends.iter().enumerate() {
            // A compacted log takes no records without a key.
            let mut append = append.clone();
            if compacts {
                append.records.retain(|(key, _)| key.is_some());
            }
            if append.records.is_empty() {
                continue;
            }
            let base = write(&world, number, &append);
            note(&mut all, &append, base);
            if append.commits != Some(false) {
                note(&mut committed, &append, base);
            }
        }
        let engine = world.engine_with(|options| options.batch_rows = rows_max.try_into().unwrap());
        let session = Session::of(engine);
        let check = |model: &Model| {
            for table in ["t@latest", "t@bytes@latest"] {
                let ask = |filter: &str| session.ask(&format!(
                    "SELECT _partition, _offset, convert_from_text(_value) FROM \"{table}\" WHERE {filter} ORDER BY 1, 2"
                ).replace("convert_from_text(_value)", if table == "t@latest" { "_value" } else { "arrow_cast(_value, 'Utf8View')" }));
                let of_key = if table == "t@latest" { "_key = 'k3'" } else { "_key = 'k3'::bytea" };
                prop_assert_eq!(ask("true"), shown(model, |_, _| true));
                prop_assert_eq!(ask("_partition = 1"), shown(model, |key, _| key.0 == 1));
                prop_assert_eq!(ask(&format!("_offset >= {from}")), shown(model, |_, offset| offset >= from));
                prop_assert_eq!(ask(of_key), shown(model, |key, _| key.1 == 3));
                let count = session.ask(&format!("SELECT count(*) FROM \"{table}\""));
                prop_assert_eq!(count, vec![shown(model, |_, _| true).len().to_string()]);
            }
            Ok(())
        };
        check(&committed)?;
        if compacts {
            world.compact();
            check(&committed)?;
        } else {
            session.ask("SET watertable.isolation = 'read_uncommitted'");
            check(&all)?;
        }
    }
}

#[test]
fn batches_without_a_newest_record_are_not_decoded_and_large_values_are_read_once() {
    let world = World::new();
    world.simple_topic("t", 1);
    for number in 0..40 {
        let options = BatchOptions {
            compression: Compression::Zstd,
            ..BatchOptions::default()
        };
        let record = written(NOW_MS, &format!("k{}", number % 4), &"v".repeat(1000));
        world.append("t", 0, batch_with(options, &[record]));
    }
    let session = world.session();
    let figures = session.figures("SELECT _value FROM \"t@latest\"");
    // Forty for their keys, and four of them again.
    assert_eq!(figures["batches_read"], 44, "{figures:?}");
    assert_eq!(figures["output_rows"], 44, "{figures:?}");
}

#[test]
fn more_keys_than_fit_into_memory_are_spilled() {
    let world = World::new();
    world.simple_topic("t", 2);
    for number in 0..100_i64 {
        let record = |place: i64| {
            let key = (number * 2000 + place) * 7919 % 100_003;
            written(
                NOW_MS,
                &format!("a rather long key, so that they take some room {key:06}"),
                "v",
            )
        };
        let records: Vec<_> = (0..2000).map(record).collect();
        world.append("t", usize::try_from(number % 2).unwrap(), batch(&records));
    }
    let sql = "SELECT count(*), sum(_offset % 7) FROM \"t@latest\"";
    let folder = tempfile::tempdir().unwrap();
    let with = |memory: usize, spill: bool| {
        let engine = world.engine_with(|options| {
            options.memory_bytes_max = memory;
            options.batch_rows = 1024.try_into().unwrap();
            options.spill_directory = spill.then(|| folder.path().join(memory.to_string()));
        });
        Session::of(engine)
    };
    let plenty = with(512 << 20, false);
    let expected = plenty.ask(sql);
    let tight = with(20 << 20, true);
    assert_eq!(tight.ask(sql), expected);
    tight.memory_comes_back();
    let nowhere = with(20 << 20, false);
    let refusal = nowhere.refusal(sql);
    assert!(refusal.contains("Resources exhausted"), "{refusal}");
    nowhere.memory_comes_back();
}

#[test]
fn what_is_written_after_a_query_began_does_not_hide_what_was_the_newest() {
    let world = World::new();
    world.simple_topic("t", 1);
    world.append("t", 0, batch(&[written(NOW_MS, "k", "first")]));
    let session = world.session();
    let plan = session
        .plan("SELECT _offset, _value FROM \"t@latest\"")
        .unwrap();
    world.append("t", 0, batch(&[written(NOW_MS, "k", "second")]));
    let context = session.context.task_ctx();
    let rows = session.block_on(async move { collect(plan, context).await });
    assert_eq!(rows_of(&rows.unwrap()), [["0", "first"]]);
    assert_eq!(session.ask("SELECT _value FROM \"t@latest\""), ["second"]);
}
