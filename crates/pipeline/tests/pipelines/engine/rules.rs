//! What queries and checks give.

use pipeline::engine::{ERROR, Options, Origin, RunError};

use super::given::{compiled, made, run};

#[test]
fn rows_are_projected_filtered_and_put_together() {
    let values = [r#"{"id":1,"name":"a"}"#, r#"{"id":2,"name":null}"#];
    for (sql, expected) in [
        (
            "SELECT id + 1 AS n, upper(name) AS name FROM t WHERE name IS NOT NULL",
            &[r#"{"n":2,"name":"A"}"#][..],
        ),
        (
            "SELECT id, 'x' AS of FROM t UNION ALL SELECT id, name FROM t",
            &[
                r#"{"id":1,"of":"x"}"#,
                r#"{"id":1,"of":"a"}"#,
                r#"{"id":2,"of":"x"}"#,
                r#"{"id":2,"of":null}"#,
            ],
        ),
        (
            "WITH w AS (SELECT id * 10 AS id FROM t) SELECT x.id FROM (SELECT id FROM w) x WHERE x.id > 10",
            &[r#"{"id":20}"#],
        ),
        (
            "SELECT CASE WHEN id = 1 THEN 'one' ELSE 'more' END AS n, _offset AS at FROM t",
            &[r#"{"n":"one","at":0}"#, r#"{"n":"more","at":1}"#],
        ),
        ("SELECT id FROM t WHERE false", &[]),
        (
            "SELECT width_bucket(id, 0, 10, 5) AS bucket FROM t",
            &[r#"{"bucket":1}"#, r#"{"bucket":2}"#],
        ),
    ] {
        assert_eq!(made(sql, &values), expected, "{sql}");
    }
}

#[test]
fn lists_become_rows_that_know_their_record() {
    let sql = "SELECT id, unnest(json_get_array(tags, 'a')) AS tag FROM t";
    let values = [
        r#"{"id":1,"tags":{"a":["x","y"]}}"#,
        r#"{"id":2,"tags":{"a":[]}}"#,
        r#"{"id":3}"#,
        r#"{"id":4,"tags":{"a":["z"]}}"#,
    ];
    let outcome = run(sql, "", &values);
    let origins: Vec<_> = outcome.origins.iter().map(|origin| origin.row).collect();
    assert_eq!(origins, [0, 0, 3]);
    assert_eq!(
        super::given::rows(sql, &outcome),
        [
            r#"{"id":1,"tag":"\"x\""}"#,
            r#"{"id":1,"tag":"\"y\""}"#,
            r#"{"id":4,"tag":"\"z\""}"#
        ]
    );
    let parts = "SELECT x->>'id' AS id FROM (SELECT unnest(json_get_array(tags, 'a')) AS x FROM t) y WHERE x->>'id' <> '2'";
    assert_eq!(
        made(
            parts,
            &[r#"{"id":1,"tags":{"a":[{"id":1},{"id":2},{"id":3}]}}"#]
        ),
        [r#"{"id":"1"}"#, r#"{"id":"3"}"#]
    );
    let both = "SELECT unnest([id, id + 1]) AS a, unnest([name]) AS b FROM t";
    assert_eq!(
        made(both, &[r#"{"id":1,"name":"n"}"#]),
        [r#"{"a":1,"b":"n"}"#, r#"{"a":2,"b":null}"#]
    );
}

#[test]
fn a_star_stands_for_the_columns_of_the_contract() {
    let values = [r#"{"id":1,"name":"a"}"#];
    let all = r#"{"id":1,"name":"a","at":null,"amount":null,"tags":null,"Big":null}"#;
    for sql in [
        "SELECT * FROM t",
        "SELECT x.* FROM t AS x",
        "SELECT * FROM (SELECT * FROM t) y",
        "WITH w AS (SELECT * FROM t) SELECT * FROM w",
    ] {
        assert_eq!(made(sql, &values), [all], "{sql}");
    }
}

#[test]
fn a_column_of_json_stays_json() {
    let sql = "SELECT id, tags FROM t";
    let value = r#"{"id":1,"tags":{"a":[1,{"b":null}]}}"#;
    assert_eq!(made(sql, &[value]), [value]);
    let types: Vec<_> = compiled(sql, "")
        .unwrap()
        .output()
        .iter()
        .map(|column| (column.data_type.to_string(), column.nullable))
        .collect();
    assert_eq!(
        types,
        [("bigint".to_owned(), false), ("json".to_owned(), true)]
    );
}

#[test]
fn times_are_read_as_people_write_them() {
    let sql = "SELECT to_timestamp(at, '%m/%d/%Y %H:%M') AS at FROM t";
    assert_eq!(
        made(sql, &[r#"{"id":1,"at":"5/21/2019 18:33"}"#]),
        [r#"{"at":"2019-05-21T18:33:00"}"#]
    );
    let sql = "SELECT at::timestamp AS a, TRY_CAST(name AS timestamptz) AS b FROM t";
    assert_eq!(
        made(
            sql,
            &[r#"{"id":1,"at":"2019-05-21 18:33","name":"2019-05-21T18:33+02:00"}"#]
        ),
        [r#"{"a":"2019-05-21T18:33:00","b":"2019-05-21T16:33:00Z"}"#]
    );
    let rest = "checks: [ { valid_timestamp: at } ]";
    let values = [
        r#"{"id":1,"at":"2019-05-21 18:33"}"#,
        r#"{"id":2,"at":"2019-05-21"}"#,
        r#"{"id":3,"at":"18:33"}"#,
    ];
    let outcome = run("SELECT at FROM t", rest, &values);
    assert_eq!((outcome.origins.len(), outcome.dead.len()), (2, 1));
}

#[test]
fn parameters_are_values_and_never_text_of_the_query() {
    let rest = "params: { least: 2, who: \"o'x' OR true --\", much: 1.5, low: -3, yes: true }";
    let sql =
        "SELECT id, $who AS who, $much * 2 AS much, $low AS low FROM t WHERE id >= $least AND $yes";
    let outcome = run(sql, rest, &[r#"{"id":1}"#, r#"{"id":2}"#]);
    let row = format!("{:?}", outcome.rows);
    assert_eq!(outcome.rows.num_rows(), 1);
    assert!(row.contains("o'x' OR true --"), "{row}");
}

#[test]
fn a_row_that_cannot_be_computed_is_a_dead_letter_and_the_others_are_not() {
    let sql = "SELECT id, CAST(name AS INT) AS n FROM t";
    let outcome = run(
        sql,
        "",
        &[
            r#"{"id":1,"name":"7"}"#,
            r#"{"id":2,"name":"x"}"#,
            r#"{"id":3,"name":"9"}"#,
        ],
    );
    assert_eq!(
        super::given::rows(sql, &outcome),
        [r#"{"id":1,"n":7}"#, r#"{"id":3,"n":9}"#]
    );
    let [dead] = outcome.dead.as_slice() else {
        panic!("{:?}", outcome.dead);
    };
    assert_eq!(dead.origin, Origin { input: 0, row: 1 });
    assert_eq!((dead.reason.as_str(), dead.check), (ERROR, None));
    assert!(dead.message.contains("'x'"), "{}", dead.message);
}

#[test]
fn a_number_that_json_has_not_is_a_dead_letter() {
    let sql = "SELECT id, amount / 0.0 AS n FROM t";
    let outcome = run(sql, "", &[r#"{"id":1,"amount":1}"#, r#"{"id":2}"#]);
    assert_eq!(super::given::rows(sql, &outcome), [r#"{"id":2,"n":null}"#]);
    assert_eq!(
        outcome.dead[0].message,
        "the column n is inf, which JSON has no number for"
    );
}

#[test]
fn a_record_with_an_error_gives_no_row_at_all() {
    let sql = "SELECT id, 0 AS n FROM t UNION ALL SELECT id, CAST(name AS INT) FROM t";
    let outcome = run(
        sql,
        "",
        &[r#"{"id":1,"name":"7"}"#, r#"{"id":2,"name":"x"}"#],
    );
    let rows: Vec<_> = outcome.origins.iter().map(|origin| origin.row).collect();
    assert_eq!(rows, [0, 0]);
    assert_eq!(outcome.dead.len(), 1);
}

const CHECKS: &str = "checks:
  - not_null: { column: name, severity: warn }
  - accepted_values: { column: name, values: [a, b], severity: drop }
  - not_null: amount
  - accepted_range: { column: amount, min: 0, name: positive }
  - expression: { name: small, is_true: amount < 10 }
  - string_length: { column: name, max: 3, of: t }
";

/// For each row what becomes of it, and how many rows failed each check.
fn checked(values: &[&str]) -> (Vec<usize>, Vec<(usize, String)>, Vec<u64>) {
    let outcome = run("SELECT name, amount FROM t", CHECKS, values);
    let passed = outcome.origins.iter().map(|origin| origin.row).collect();
    let dead = outcome
        .dead
        .iter()
        .map(|dead| (dead.origin.row, dead.reason.clone()))
        .collect();
    (
        passed,
        dead,
        outcome.counts.iter().map(|count| count.failed).collect(),
    )
}

#[test]
fn the_first_check_in_the_order_of_the_file_tells_the_reason() {
    let (passed, dead, counts) = checked(&[
        r#"{"id":0,"name":"a","amount":1}"#,
        r#"{"id":1,"name":"c","amount":-1}"#,
        r#"{"id":2,"name":"a","amount":-1}"#,
        r#"{"id":3,"name":"b","amount":11}"#,
        r#"{"id":4,"name":"b"}"#,
        r#"{"id":5,"name":"long","amount":-1}"#,
    ]);
    assert_eq!(passed, [0]);
    let expected = [
        (2, "positive"),
        (3, "small"),
        (4, "not_null(amount)"),
        (5, "string_length(name)"),
    ];
    assert_eq!(dead, expected.map(|(row, reason)| (row, reason.to_owned())));
    assert_eq!(counts, [0, 1, 1, 1, 1, 1]);
}

#[test]
fn null_passes_but_for_the_checks_that_say_so() {
    let (passed, dead, counts) = checked(&[r#"{"id":0,"amount":5}"#, r#"{"id":1,"name":"a"}"#]);
    assert_eq!(passed, [0]);
    assert_eq!(dead, [(1, "not_null(amount)".to_owned())]);
    assert_eq!(counts, [1, 0, 1, 0, 0, 0]);
}

#[test]
fn a_check_does_not_see_what_one_before_it_took_out() {
    let rest = "checks:
  - match_regex: { column: name, pattern: \"^[0-9]+$\" }
  - expression: { name: even, is_true: CAST(name AS INT) % 2 = 0 }
";
    let values = [
        r#"{"id":0,"name":"x"}"#,
        r#"{"id":1,"name":"3"}"#,
        r#"{"id":2,"name":"4"}"#,
    ];
    let outcome = run("SELECT name FROM t", rest, &values);
    let dead: Vec<_> = outcome
        .dead
        .iter()
        .map(|dead| dead.reason.as_str())
        .collect();
    assert_eq!(dead, ["match_regex(name)", "even"]);
    assert_eq!(outcome.origins.len(), 1);
    assert_eq!(outcome.dead[1].failed, Some(1));
    assert_eq!(outcome.failed.num_rows(), 2);
}

#[test]
fn the_plan_as_text_is_the_same_for_another_layout() {
    let plan = |sql: &str| compiled(sql, "").unwrap().normalised().to_owned();
    let one = plan("SELECT id, name FROM t WHERE id > 1 AND name = 'a'");
    assert_eq!(
        one,
        plan("select ID , \"name\" -- a comment\n from T\n where (((id > 1)) and name = 'a')")
    );
    assert_ne!(
        one,
        plan("SELECT id, name FROM t WHERE id > 2 AND name = 'a'")
    );
}

#[test]
fn only_the_columns_that_are_used_are_wanted() {
    let rest = "checks:\n  - not_null: { column: name, of: t }\n";
    let compiled = compiled("SELECT id FROM t WHERE _offset > 1", rest).unwrap();
    let used = compiled.input_columns_used();
    let names = |index: usize| -> Vec<_> {
        let fields = used[index].fields().iter();
        fields.map(|field| field.name().clone()).collect()
    };
    assert_eq!(names(0), ["_offset", "id", "name"]);
    assert!(names(1).is_empty());
}

#[test]
fn a_batch_that_would_take_too_much_memory_is_no_fault_of_a_record() {
    let sql = "SELECT unnest(range(0, id)) AS n FROM t";
    let memory_bytes_max = 1 << 20;
    let run =
        |values: &[&str]| super::given::run_within(sql, "", values, Options { memory_bytes_max });
    let many: Vec<_> = vec![r#"{"id":10000}"#; 4];
    assert_eq!(run(&many).unwrap().rows.num_rows(), 40_000);
    // Each of them may be; together they are too much.
    let huge = run(&[r#"{"id":45000}"#; 4]);
    assert!(matches!(huge, Err(RunError::Memory { .. })), "{huge:?}");
}

#[test]
fn similar_to_is_that_of_postgresql() {
    let values = ["abc", "xdx", "a", "%(b|d)%", "a\\nb"];
    let values: Vec<_> = (0..)
        .zip(values)
        .map(|(id, name)| format!(r#"{{"id":{id},"name":"{name}","at":"%b%"}}"#))
        .collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    for (condition, expected) in [
        ("name SIMILAR TO '%(b|d)%'", vec![0, 1, 3, 4]),
        ("name NOT SIMILAR TO '%(b|d)%'", vec![2]),
        ("name SIMILAR TO '_'", vec![2]),
        ("name SIMILAR TO '#%#(%' ESCAPE '#'", vec![3]),
        ("name SIMILAR TO at", vec![0, 3, 4]),
        ("name SIMILAR TO 'a' OR id = 1", vec![1, 2]),
    ] {
        let sql = format!("SELECT id FROM t WHERE {condition}");
        let expected: Vec<_> = expected
            .iter()
            .map(|id| format!(r#"{{"id":{id}}}"#))
            .collect();
        assert_eq!(made(&sql, &values), expected, "{condition}");
    }
}

#[test]
fn a_regular_expression_of_a_record_that_is_none_is_a_dead_letter() {
    let values = [
        r#"{"id":1,"name":"a","at":"a"}"#,
        r#"{"id":2,"name":"a","at":"(a"}"#,
    ];
    for sql in [
        "SELECT id FROM t WHERE name ~ at",
        "SELECT id, regexp_replace(name, at, 'x') AS x FROM t",
    ] {
        let outcome = run(sql, "", &values);
        assert_eq!(outcome.rows.num_rows(), 1, "{sql}");
        let [dead] = outcome.dead.as_slice() else {
            panic!("{sql}: {:?}", outcome.dead);
        };
        assert_eq!((dead.origin.row, dead.reason.as_str()), (1, ERROR));
        assert!(!dead.message.contains("bug"), "{}", dead.message);
    }
}
