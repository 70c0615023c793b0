//! Files of a folder: what they tell each other, and their tests.

use contract::{Column, DataType};
use pipeline::directory::{self, Directory};
use pipeline::engine::Options;
use pipeline::fixtures::{self, Tested};
use spec::{File, Surroundings};

fn files(texts: &[(&str, String)]) -> Vec<File> {
    let read = texts.iter().map(|(name, text)| {
        let file = File::read(name, text.as_bytes(), &Surroundings::NONE);
        file.unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
    });
    read.collect()
}

/// A file that reads one topic and writes another.
fn file(name: &str, from: &str, sql: &str, to: &str, rest: &str) -> (String, String) {
    let columns = if rest.contains("columns:") { "" } else { "}\n" };
    let text = format!(
        "format: 1\npipeline: {name}\nrun: continuous\nfrom:\n  t: {{ topic: {{ name: {from} }} {columns}{rest}\nsql: {sql}\nto: {{ topic: {{ name: {to} }} }}\n"
    );
    (format!("{name}.yaml"), text)
}

fn compile(texts: &[(String, String)]) -> Directory {
    let texts: Vec<_> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    let known = |topic: &str| (topic == "known").then(|| vec![Column::new("n", DataType::BigInt)]);
    directory::compile(files(&texts), &known, Options::default())
}

fn told(problems: &[spec::Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_writes_a_topic_tells_its_columns_to_those_that_read_it() {
    // In the order of names the readers come first.
    let directory = compile(&[
        file("a", "two", "SELECT m || 'x' AS k FROM t", "three", ""),
        file("b", "one", "SELECT upper(name) AS m FROM t", "two", ""),
        file(
            "c",
            "zero",
            "SELECT name FROM t",
            "one",
            ", columns: { name: text } }\n",
        ),
        file("d", "known", "SELECT n + 1 AS n FROM t", "four", ""),
    ]);
    assert_eq!(told(&directory.problems), Vec::<String>::new());
    let outputs: Vec<_> = directory
        .files
        .iter()
        .map(|file| file.compiled.as_ref().unwrap().output()[0].clone())
        .collect();
    let of = |name: &str, of| Column::new(name, of);
    let text = DataType::Text;
    assert_eq!(
        outputs,
        [
            of("k", text),
            of("m", text),
            of("name", text),
            of("n", DataType::BigInt)
        ]
    );
}

#[test]
fn mistakes_of_all_files_are_told_and_no_file_is_blamed_for_another() {
    let directory = compile(&[
        file("a", "two", "SELECT m FROM t", "three", ""),
        file("b", "one", "SELECT nmae AS m FROM t", "two", ""),
        file(
            "c",
            "zero",
            "SELECT name, id FROM t",
            "one",
            ", columns: { name: text, id: int } }\n",
        ),
        file("d", "one", "SELECT idd FROM t", "four", ""),
        file(
            "e",
            "one",
            "SELECT x FROM t",
            "five",
            ", columns: { name: text, id: text, x: text } }\n",
        ),
    ]);
    assert_eq!(
        told(&directory.problems),
        [
            "b.yaml:7:13: sql: there is no column nmae; did you mean name?",
            "d.yaml:7:13: sql: there is no column idd; did you mean id?",
            "e.yaml:5:58: from.t.columns.id: c.yaml writes one with id as int; declare it so",
            "e.yaml:5:67: from.t.columns.x: c.yaml writes one without a column x; leave it out",
        ]
    );
    assert_eq!(told(&directory.unchecked), Vec::<String>::new());
}

#[test]
fn a_column_that_only_the_cluster_knows_is_no_mistake() {
    let directory = compile(&[
        file("a", "theirs", "SELECT age FROM t", "mine", ""),
        file("b", "mine", "SELECT age + 1 AS age FROM t", "next", ""),
        file(
            "c",
            "theirs",
            "SELECT _value->>'age' AS age FROM t",
            "other",
            "",
        ),
    ]);
    assert_eq!(told(&directory.problems), Vec::<String>::new());
    assert_eq!(
        told(&directory.unchecked),
        [
            "a.yaml:7:13: sql: there is no column age; the contract of t is not known here; write its columns under from.t.columns"
        ]
    );
    let compiled = directory.files.iter().map(|file| file.compiled.is_some());
    assert_eq!(compiled.collect::<Vec<_>>(), [false, false, true]);
}

fn tested(sql: &str, tests: &str) -> Vec<Tested> {
    let (name, text) = file("a", "in", sql, "out", "");
    let file = files(&[(&name, format!("{text}{tests}"))]);
    let directory = directory::compile(file, &|_topic| None, Options::default());
    let resolved = &directory.files[0];
    fixtures::run(
        &resolved.file,
        &resolved.inputs,
        resolved.compiled.as_ref(),
        Options::default(),
    )
    .unwrap()
}

fn failures(tested: &Tested) -> Vec<String> {
    tested.failures.iter().map(ToString::to_string).collect()
}

#[test]
fn types_of_tests_are_those_of_their_values_where_no_contract_is_known() {
    let sql = "SELECT id, price * 2 AS price, at, tags->>'a' AS a, ok, _key AS k, _value->>'id' AS v FROM t";
    let tested = tested(
        sql,
        r#"tests:
  - name: types
    given:
      t:
        - { id: 1, price: 1.5, at: "2026-08-01T10:00:05Z", tags: { a: x }, ok: true, _key: k }
        - { id: 2, price: 1, at: null }
    expect:
      - { id: 2, price: 2, at: null, a: null, ok: null, v: "2" }
      - { price: 3.0, at: "2026-08-01 12:00:05+02:00", a: x, ok: true, k: k }
"#,
    );
    assert_eq!(failures(&tested[0]), Vec::<String>::new());
}

#[test]
fn what_differs_is_told_so_that_people_see_it() {
    let sql = "\"SELECT id, CAST(n AS INT) AS n FROM t WHERE id < 9\"";
    let tested = tested(
        sql,
        r#"checks:
  - accepted_range: { column: n, min: 0 }
tests:
  - name: rows
    given: { t: [ { id: 1, n: "5" }, { id: 2, n: "7" }, { id: 3, n: "x" }, { id: 4, n: "-1" } ] }
    expect: [ { id: 1, n: 5 }, { id: 2, n: 8 }, { id: 8, n: 8 } ]
    expect_dead: [ { id: 4, reason: accepted_range(n), n: -1 } ]
  - name: columns
    given: { t: [ { id: 9, n: "1" } ] }
    expect: [ { idd: 1 } ]
  - name: passes
    given: { t: [ { id: 3, n: "x" }, { id: 9, n: "5" } ] }
    expect_dead: [ { id: 3, n: x, reason: error } ]
"#,
    );
    assert_eq!(
        failures(&tested[0]),
        [
            "missing row: { id: 2, n: 8 }\n  the nearest differs in n:\n    n: expected 8, found 7",
            "missing row: { id: 8, n: 8 }",
            "unexpected row: { id: 2, n: 7 }",
            "unexpected dead letter: { id: 3, n: \"x\", reason: \"error\" }",
        ]
    );
    assert_eq!(
        failures(&tested[1]),
        ["the result has no column idd; did you mean id?"]
    );
    assert_eq!(failures(&tested[2]), Vec::<String>::new());
    let actual = &tested[0].actual;
    assert_eq!((actual.rows.len(), actual.dead.len()), (2, 2));
}

#[test]
fn a_row_that_does_not_fit_its_contract_is_a_dead_letter_with_its_reason() {
    let (name, text) = file(
        "a",
        "in",
        "SELECT id FROM t",
        "out",
        ", columns: { id: int not null, at: date } }\n",
    );
    let tests = "tests:\n  - name: misfits\n    given: { t: [ { id: 1 }, { id: x }, { at: 2019-05-21 }, { id: 4, at: soon } ] }\n    expect: [ { id: 1 } ]\n    expect_dead: [ { id: x, reason: decode }, { at: 2019-05-21, reason: decode }, { id: 4, reason: decode } ]\n";
    let file = files(&[(&name, format!("{text}{tests}"))]);
    let directory = directory::compile(file, &|_topic| None, Options::default());
    let resolved = &directory.files[0];
    let tested = fixtures::run(
        &resolved.file,
        &resolved.inputs,
        resolved.compiled.as_ref(),
        Options::default(),
    )
    .unwrap();
    assert_eq!(failures(&tested[0]), Vec::<String>::new());
}

/// A tenth of the time is enough when it is optimised.
#[test]
fn two_hundred_files_that_read_each_other_are_compiled_in_a_moment() {
    let texts: Vec<_> = (0..200)
        .map(|number| {
            let rest = if number == 0 { ", columns: { id: bigint, name: text, at: text } }\n" } else { "" };
            file(
                &format!("p{number}"),
                &format!("t{number}"),
                "SELECT id, upper(name) AS name, at FROM t WHERE id > 5 AND name <> '' AND split_part(at, ':', 1) = 'x'",
                &format!("t{}", number + 1),
                rest,
            )
        })
        .collect();
    let directory = compile(&texts);
    assert!(directory.problems.is_empty());
    assert!(directory.files.iter().all(|file| file.compiled.is_some()));
}
