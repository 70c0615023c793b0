//! What is far out of the usual: results without a bound, numbers at their ends, functions that give up. A record that is at fault
//! becomes a dead letter, whatever it is, and the others pass.

use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, col};
use pipeline::engine::{Dead, ERROR, Options, Outcome};

use super::given::{compiled, rows, run, run_within};

/// The message of the only dead letter, which is of the second record.
#[track_caller]
fn dead(outcome: &Outcome, sql: &str) -> String {
    let [
        Dead {
            origin,
            reason,
            message,
            ..
        },
    ] = outcome.dead.as_slice()
    else {
        panic!("{sql}: {:?}", outcome.dead);
    };
    assert_eq!((origin.row, reason.as_str()), (1, ERROR), "{sql}");
    message.clone()
}

#[test]
fn what_would_grow_without_bound_is_a_dead_letter_before_it_is_made() {
    let long = format!(r#"{{"id":100000000,"name":"{}"}}"#, "a".repeat(900_000));
    for expression in [
        "replace(name, 'a', name)",
        "replace(name, '', name)",
        "regexp_replace(name, 'a', name, 'g')",
        "regexp_replace(name, '', name, 'g')",
        "regexp_replace(name, '(a*)', repeat('\\1', 400))",
        "concat_ws(repeat('x', id), name, name, name)",
        "concat(repeat('x', id), repeat('y', id), repeat('z', id))",
        "repeat('x', id) || repeat('y', id) || repeat('z', id)",
        "to_char(to_timestamp(id), repeat('%c', CAST(id / 5 AS BIGINT)))",
        "array_to_string(string_to_array(repeat('a,', CAST(id / 1000 AS BIGINT)), ','), repeat('z', 10000))",
        "array_to_string(array_repeat('', id), 'z')",
        "array_to_string(array_resize(['a'], id, name), '')",
        "array_to_string(array_replace_all(array_repeat('a', CAST(id / 10000 AS BIGINT)), 'a', name), '')",
        "array_to_string(generate_series(to_timestamp(0), to_timestamp(id), INTERVAL '1 microsecond'), '')",
        "lpad(name, id * 10, 'x')",
        "overlay(repeat('x', id), repeat('y', id * 2), 1, 1)",
    ] {
        let sql =
            format!("SELECT id, CASE WHEN id > 2 THEN {expression} ELSE name END AS x FROM t");
        let outcome = run(&sql, "", &[r#"{"id":2,"name":"n"}"#, &long]);
        assert_eq!(rows(&sql, &outcome), [r#"{"id":2,"x":"n"}"#], "{sql}");
        let message = dead(&outcome, &sql);
        assert!(message.contains("would make"), "{sql}: {message}");
    }
}

#[test]
fn what_is_long_but_within_the_bound_is_made() {
    let long = format!(r#"{{"id":1,"name":"{}"}}"#, "ab".repeat(400_000));
    for (expression, length) in [
        // As many matches as can be would be too much; those that are there are not.
        ("replace(name, 'ba', repeat('x', 1000))", 0),
        ("replace(name, 'c', repeat('x', 1000))", 800_000),
        (
            "regexp_replace(name, 'c+', repeat('x', 1000), 'g')",
            800_000,
        ),
        ("regexp_replace(name, '[ab]+', 'x', 'g')", 1),
        ("regexp_replace(name, 'a', 'xy', 'g')", 1_200_000),
        ("concat_ws(',', name, name)", 1_600_001),
        ("name || name", 1_600_000),
    ] {
        let sql = format!("SELECT length({expression}) AS n FROM t");
        let outcome = run(&sql, "", &[&long]);
        if length > 0 {
            let expected = [format!(r#"{{"n":{length}}}"#)];
            assert_eq!(rows(&sql, &outcome), expected, "{sql}: {:?}", outcome.dead);
        }
    }
}

#[test]
fn whole_numbers_out_of_range_are_dead_letters() {
    for (expression, value) in [
        ("id * 2", i64::MAX),
        ("id + id", i64::MAX),
        ("id + 1", i64::MAX),
        ("-id - 2", i64::MAX),
        ("-id", i64::MIN),
        ("id - 1", i64::MIN),
        ("id * id * id", 3_000_000),
        ("id * -1", i64::MIN),
        ("abs(id)", i64::MIN),
        ("CAST(id AS INT) * CAST(id AS INT)", 100_000),
        ("CAST(id AS SMALLINT) + CAST(id AS SMALLINT)", 20_000),
        ("-CAST(id AS SMALLINT)", i64::from(i16::MIN)),
        (
            "9223372036854775807 + CASE WHEN id = 1 THEN 0 ELSE 1 END",
            5,
        ),
        (
            "CASE WHEN id = 1 THEN 0 ELSE 9223372036854775807 + 1 END",
            5,
        ),
    ] {
        let sql = format!("SELECT {expression} AS x FROM t");
        let outcome = run(&sql, "", &[r#"{"id":1}"#, &format!(r#"{{"id":{value}}}"#)]);
        assert_eq!(outcome.rows.num_rows(), 1, "{sql}");
        let message = dead(&outcome, &sql);
        assert!(
            message.to_lowercase().contains("overflow"),
            "{sql}: {message}"
        );
    }
    let sql = "SELECT id + 1 AS a, id - 3 AS b, id * -2 AS c, -id AS d, id * 1.5 AS e, amount * 2 AS f, id + amount AS g FROM t";
    assert_eq!(
        rows(
            sql,
            &run(sql, "", &[r#"{"id":4,"amount":0.5}"#, r#"{"id":5}"#])
        ),
        [
            r#"{"a":5,"b":1,"c":-8,"d":-4,"e":6,"f":1,"g":4.5}"#,
            r#"{"a":6,"b":2,"c":-10,"d":-5,"e":7.5,"f":null,"g":null}"#
        ]
    );
}

#[test]
fn texts_are_padded_to_no_length_below_nothing() {
    let sql = "SELECT lpad(name, id) AS a, rpad(name, id, 'x') AS b, lpad(name, -1) AS c FROM t";
    let values = [
        format!(r#"{{"id":{},"name":"n"}}"#, i64::MIN),
        r#"{"id":-1,"name":"n"}"#.to_owned(),
        r#"{"id":2,"name":"n"}"#.to_owned(),
    ];
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let outcome = run(sql, "", &values);
    assert_eq!(
        rows(sql, &outcome),
        [
            r#"{"a":"","b":"","c":""}"#,
            r#"{"a":"","b":"","c":""}"#,
            r#"{"a":" n","b":"nx","c":""}"#
        ]
    );
}

#[test]
fn a_record_whose_rows_take_too_much_is_a_dead_letter() {
    let options = Options {
        memory_bytes_max: 2 << 20,
    };
    for sql in [
        "SELECT unnest(generate_series(1, id)) AS x FROM t",
        "SELECT repeat('x', id) AS x FROM t",
        "SELECT id AS x FROM t UNION ALL SELECT unnest(generate_series(1, id)) AS x FROM t",
    ] {
        let values = [r#"{"id":1}"#, r#"{"id":3000000}"#, r#"{"id":2}"#];
        let outcome = run_within(sql, "", &values, options).unwrap();
        let message = dead(&outcome, sql);
        assert!(message.contains("bytes"), "{sql}: {message}");
        let first: std::collections::BTreeSet<_> =
            outcome.origins.iter().map(|origin| origin.row).collect();
        assert_eq!(first.into_iter().collect::<Vec<_>>(), [0, 2], "{sql}");
    }
}

#[test]
fn calls_that_stand_in_each_other_are_planned_at_once() {
    for (open, inner, close) in [
        ("array_to_string(make_array(", "name", ",'b'),'z')"),
        ("upper(", "name", ")"),
        ("(", "name", "->'b')::text"),
        ("coalesce('b',", "name", ")"),
        ("get_field(named_struct('a',", "name", "),'a')"),
    ] {
        let sql = format!(
            "SELECT {}{inner}{} AS x FROM t",
            open.repeat(18),
            close.repeat(18)
        );
        // With each call costing twice as much as those in it this would take hours.
        compiled(&sql, "")
            .map_err(|faults| format!("{sql}: {faults:?}"))
            .unwrap();
    }
    for (open, inner, close) in [
        ("coalesce(", "name", ",'b')"),
        ("nvl(", "name", ",'b')"),
        ("map(['a'],[", "name", "])"),
        ("(", "id", " BETWEEN 1 AND 2)::int"),
    ] {
        let sql = format!(
            "SELECT {}{inner}{} AS x FROM t",
            open.repeat(18),
            close.repeat(18)
        );
        let faults = compiled(&sql, "").unwrap_err();
        let told = &faults[0].message;
        assert!(told.contains("stand in each other"), "{sql}: {told}");
    }
}

/// Each value that a column of the kind can have and that is far out, each beside each.
fn far_out() -> RecordBatch {
    let numbers = [
        None,
        Some(i64::MIN),
        Some(-1),
        Some(0),
        Some(1),
        Some(7),
        Some(i64::MAX),
    ];
    let texts = [
        None,
        Some(""),
        Some("a"),
        Some("é𝄞\u{301}\0"),
        Some("%Y-%m-%d"),
        Some("9999999999"),
        Some("-1,-1"),
    ];
    let floats = [
        None,
        Some(f64::NAN),
        Some(f64::NEG_INFINITY),
        Some(-0.0),
        Some(f64::MAX),
        Some(f64::MIN_POSITIVE),
        Some(0.5),
    ];
    let count = numbers.len();
    let pairs = || (0..count * count).map(|row| (row / count, row % count));
    let first = |of: &dyn Fn(usize) -> Option<i64>| pairs().map(|(a, _)| of(a)).collect::<Vec<_>>();
    let second =
        |of: &dyn Fn(usize) -> Option<i64>| pairs().map(|(_, b)| of(b)).collect::<Vec<_>>();
    let number = |at: usize| numbers[at];
    let list = |of: Vec<Option<i64>>| {
        let lists = of
            .into_iter()
            .map(|value| value.map(|value| vec![Some(value), None]));
        ListArray::from_iter_primitive::<Int64Type, _, _>(lists)
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int64Array::from(first(&number)))),
        ("j", Arc::new(Int64Array::from(second(&number)))),
        (
            "n",
            Arc::new(Int32Array::from(
                pairs()
                    .map(|(a, _)| numbers[a].map(|n| i32::try_from(n).unwrap_or(i32::MIN)))
                    .collect::<Vec<_>>(),
            )),
        ),
        (
            "s",
            Arc::new(pairs().map(|(a, _)| texts[a]).collect::<StringViewArray>()),
        ),
        (
            "t",
            Arc::new(pairs().map(|(_, b)| texts[b]).collect::<StringViewArray>()),
        ),
        (
            "f",
            Arc::new(Float64Array::from(
                pairs().map(|(a, _)| floats[a]).collect::<Vec<_>>(),
            )),
        ),
        (
            "g",
            Arc::new(Float64Array::from(
                pairs().map(|(_, b)| floats[b]).collect::<Vec<_>>(),
            )),
        ),
        (
            "b",
            Arc::new(BooleanArray::from(
                pairs()
                    .map(|(a, _)| numbers[a].map(|n| n > 0))
                    .collect::<Vec<_>>(),
            )),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(first(&number))),
        ),
        ("l", Arc::new(list(first(&number)))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// All ways to give a function so many of these columns.
fn choices(columns: &[&str], count: usize) -> Vec<Vec<Expr>> {
    (0..count).fold(vec![Vec::new()], |chosen, _| {
        let longer = chosen.iter().flat_map(|chosen| {
            columns.iter().map(move |name| {
                let mut longer = chosen.clone();
                longer.push(col(*name));
                longer
            })
        });
        longer.collect()
    })
}

#[test]
fn no_value_is_a_panic_of_a_function() {
    let state = sql::compute::session(16 << 20).unwrap();
    let batch = far_out();
    let schema = DFSchema::try_from(batch.schema()).unwrap();
    let mut arguments = choices(&[], 0);
    arguments.extend(choices(&["i", "n", "s", "f", "b", "at", "l"], 1));
    arguments.extend(choices(&["i", "j", "s", "t", "f", "g", "at", "l"], 2));
    arguments.extend(choices(&["j", "s", "t"], 3));
    arguments.extend(choices(&["i", "j", "s"], 3));
    arguments.extend(
        [["l", "i", "j"], ["l", "j", "i"], ["at", "at", "i"]].map(|names| names.map(col).to_vec()),
    );
    arguments.extend(
        [
            ["s", "t", "i", "j"],
            ["s", "t", "s", "t"],
            ["l", "i", "j", "i"],
        ]
        .map(|names| names.map(col).to_vec()),
    );
    let mut names: Vec<_> = state.scalar_functions().keys().cloned().collect();
    names.sort();
    let only = std::env::var("FUNCTION").ok();
    let mut panics = String::new();
    let mut evaluated = 0;
    panic::set_hook(Box::new(|_told| {}));
    for name in names
        .iter()
        .filter(|name| only.as_ref().is_none_or(|only| *name == only))
    {
        let function = &state.scalar_functions()[name];
        for arguments in &arguments {
            let told: Vec<_> = arguments.iter().map(ToString::to_string).collect();
            let planned = panic::catch_unwind(AssertUnwindSafe(|| {
                state.create_physical_expr(function.call(arguments.clone()), &schema)
            }));
            let Ok(planned) = planned else {
                let _ = writeln!(panics, "planning {name}({})", told.join(", "));
                continue;
            };
            let Ok(planned) = planned else { continue };
            let evaluate = |batch: &RecordBatch| {
                panic::catch_unwind(AssertUnwindSafe(|| planned.evaluate(batch).map(|_| ())))
            };
            evaluated += 1;
            if matches!(evaluate(&batch), Ok(Ok(()))) {
                continue;
            }
            for row in 0..batch.num_rows() {
                let row = batch.slice(row, 1);
                if evaluate(&row).is_err() {
                    let used = arguments
                        .iter()
                        .filter_map(|column| row.column_by_name(&column.schema_name().to_string()));
                    let used: Vec<_> = used
                        .map(|array| format!("{array:?}").replace('\n', ""))
                        .collect();
                    let _ = writeln!(panics, "{name}({}): {}", told.join(", "), used.join(" "));
                    break;
                }
            }
        }
    }
    drop(panic::take_hook());
    assert!(evaluated > 1000 || only.is_some(), "{evaluated}");
    assert_eq!(panics, "", "of {evaluated}");
}
