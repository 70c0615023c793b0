//! Whatever is pushed down, the answer is that of a plain filter over all rows.

use proptest::prelude::*;
use protocol::records::{BatchOptions, Compression, ControlRecordType, TimestampType};
use storage::LogSettings;

use crate::world::*;

/// What one append brings.
#[derive(Clone, Debug)]
enum Append {
    Batch {
        partition: usize,
        codec: usize,
        /// Keys, minutes and lengths of values.
        records: Vec<(u8, Option<i64>, usize)>,
    },
    /// A transaction of its own.
    Transaction {
        partition: usize,
        records: usize,
        commits: bool,
    },
    Delete {
        partition: usize,
        part: f64,
    },
}

fn append() -> impl Strategy<Value = Append> {
    let record = (
        0_u8..6,
        proptest::option::weighted(0.9, -60_i64..60),
        0_usize..40,
    );
    prop_oneof![
        6 => (0_usize..3, 0_usize..5, proptest::collection::vec(record, 1..12)).prop_map(
            |(partition, codec, records)| Append::Batch { partition, codec, records }
        ),
        2 => (0_usize..3, 1_usize..4, any::<bool>()).prop_map(|(partition, records, commits)| {
            Append::Transaction { partition, records, commits }
        }),
        1 => (0_usize..3, 0.0..0.6).prop_map(|(partition, part)| Append::Delete { partition, part }),
    ]
}

/// A condition on one of the columns that are pushed down, as SQL.
fn condition() -> impl Strategy<Value = String> {
    let offset = -2_i64..60;
    let operator = prop::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    let moment = (-3700_i64..3700)
        .prop_map(|seconds| format!("to_timestamp_millis({})", NOW_MS + 1000 * seconds));
    let simple = prop_oneof![
        (operator.clone(), offset.clone()).prop_map(|(op, value)| format!("_offset {op} {value}")),
        (operator.clone(), offset.clone()).prop_map(|(op, value)| format!("{value} {op} _offset")),
        (operator.clone(), -1_i64..4).prop_map(|(op, value)| format!("_partition {op} {value}")),
        (operator, moment.clone()).prop_map(|(op, value)| format!("_timestamp {op} {value}")),
        (offset.clone(), offset.clone(), any::<bool>()).prop_map(|(low, high, not)| {
            format!(
                "_offset {}BETWEEN {low} AND {high}",
                if not { "NOT " } else { "" }
            )
        }),
        (moment.clone(), moment)
            .prop_map(|(low, high)| { format!("_timestamp BETWEEN {low} AND {high}") }),
        (proptest::collection::vec(-1_i64..4, 1..6), any::<bool>()).prop_map(|(list, not)| {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            format!(
                "_partition {}IN ({})",
                if not { "NOT " } else { "" },
                list.join(", ")
            )
        }),
        proptest::collection::vec(offset, 4..8).prop_map(|list| {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            format!("_offset IN ({})", list.join(", "))
        }),
        Just("_key = 'k1'".to_owned()),
    ];
    simple.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn fill(world: &World, appends: &[Append]) {
    world.topic(
        "t",
        3,
        &LogSettings {
            segment_bytes: 2000,
            index_interval_bytes: 200,
            ..LogSettings::default()
        },
    );
    for (number, append) in appends.iter().enumerate() {
        match append {
            Append::Batch {
                partition,
                codec,
                records,
            } => {
                let records: Vec<_> = records
                    .iter()
                    .map(|(key, minutes, length)| {
                        let at = minutes.map_or(-1, |minutes| NOW_MS + 60_000 * minutes);
                        written(at, &format!("k{key}"), &"v".repeat(*length))
                    })
                    .collect();
                let options = BatchOptions {
                    compression: Compression::ALL[*codec],
                    timestamp_type: TimestampType::CreateTime,
                    ..BatchOptions::default()
                };
                world.append("t", *partition, batch_with(options, &records));
            }
            Append::Transaction {
                partition,
                records,
                commits,
            } => {
                let producer = 100 + i64::try_from(number).unwrap();
                let values = vec!["in a transaction"; *records];
                world.append("t", *partition, transactional(producer, 0, &values));
                let kind = if *commits {
                    ControlRecordType::Commit
                } else {
                    ControlRecordType::Abort
                };
                world.end_transaction("t", *partition, producer, kind);
            }
            Append::Delete { partition, part } => {
                let end = world.log("t", *partition).offsets().high_watermark.value();
                #[allow(clippy::cast_possible_truncation, reason = "a part of a small number")]
                let before = (end as f64 * part) as i64;
                let start = world.log("t", *partition).offsets().log_start.value();
                world.delete_records("t", *partition, before.max(start));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// `CASE` cannot be pushed down, so that the second form of a filter is one over all rows.
    #[test]
    fn a_pushed_filter_gives_what_a_plain_filter_gives(
        appends in proptest::collection::vec(append(), 1..25),
        conditions in proptest::collection::vec(condition(), 1..7),
        rows_max in 1_usize..20,
    ) {
        let world = World::new();
        fill(&world, &appends);
        let engine = world.engine_with(|options| options.batch_rows = rows_max.try_into().unwrap());
        let session = Session::of(engine);
        for isolation in ["read_committed", "read_uncommitted"] {
            session.ask(&format!("SET watertable.isolation = '{isolation}'"));
            for condition in &conditions {
                let ask = |what: &str, filter: &str| {
                    let mut rows = session.ask(&format!("SELECT {what} FROM t WHERE {filter}"));
                    rows.sort();
                    rows
                };
                let plain = format!("CASE WHEN ({condition}) THEN length(_topic) ELSE NULL END = 1");
                for what in ["count(*)", "_partition, _offset", "_partition, _offset, _timestamp, _key, _value"] {
                    prop_assert_eq!(ask(what, condition), ask(what, &plain), "{} of {}", what, condition);
                }
            }
        }
    }
}

#[test]
fn a_plain_filter_is_not_pushed_down() {
    let world = World::new();
    fill(&world, &[]);
    let session = world.session();
    let plan = session.ask(
        "EXPLAIN FORMAT INDENT SELECT _offset FROM t WHERE CASE WHEN (_offset > 5) THEN length(_topic) ELSE NULL END = 1",
    );
    assert!(plan.join("\n").contains("FilterExec"), "{plan:?}");
}
