//! [`Fixture`]: a test of a pipeline: rows that are given, and those that are expected.

use std::collections::HashMap;

use crate::columns::Columns;
use crate::names::{COLUMN, INPUT_NAME, LINE};
use crate::problem::{Cause, Problems};
use crate::shape::{Object, OneOf, Shape, key};
use crate::source::Input;
use crate::tree::{Node, Tree};
use crate::value::{Value, Written};
use crate::view::View;

/// A test of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixture {
    /// What it shows.
    pub name: String,
    /// The rows of inputs; an input that is not there has none.
    pub given: Vec<Given>,
    /// The rows that have to come out: all of them, each with these columns at least.
    pub expect: Vec<Row>,
    /// The dead letters that have to come out, each with these columns at least.
    pub expect_dead: Vec<Row>,
}

/// The rows of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The input.
    pub input: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row: columns with their values.
pub type Row = Vec<(String, Value)>;

const ROWS: Shape = Shape::Rows(&Shape::Row(&COLUMN, &Shape::Any));
pub(crate) static TEST: Object = Object {
    what: "a test",
    keys: &[
        key("name", Shape::Text(&LINE), "What it shows.").required("drops rows without a page"),
        key(
            "given",
            Shape::Named(&INPUT_NAME, &ROWS),
            "Rows of inputs: lists of columns with values. Inputs that are left out have none.",
        )
        .required("{ INPUT: [{ COLUMN: value }] }"),
        key(
            "expect",
            ROWS,
            "All rows that have to come out, each with these columns at least.",
        )
        .default("no row comes out; `expect_dead` has to be there then"),
        key(
            "expect_dead",
            ROWS,
            "All dead letters that have to come out, each with these columns at least; `reason` is that of the check.",
        )
        .default("no dead letter comes out; `expect` has to be there then"),
    ],
    one_of: OneOf::None,
};

/// Reads a test of a pipeline with inputs of these names, as far as they could be read themselves.
pub(crate) fn read(
    node: &Node,
    path: String,
    names: &[&str],
    inputs: &[Input],
    problems: &mut Problems,
) -> Option<Fixture> {
    let view = View::at_path(node, &TEST, path)?;
    if !view.has("expect") && !view.has("expect_dead") {
        let cause = Cause::Needs {
            with: "a test",
            key: "expect",
            example: "the rows that have to come out",
        };
        view.problem_here(cause, problems);
    }
    let mut given = Vec::new();
    for (entry, path) in view.named("given") {
        if !names.contains(&entry.key.as_str()) {
            let cause = Cause::NoInput {
                name: entry.key.clone(),
                nearest: contract::nearest(&entry.key, names.iter().copied()).map(str::to_owned),
            };
            problems.add(entry.key_at, &path, cause);
            continue;
        }
        let input = inputs.iter().find(|input| input.name == entry.key);
        if let Some((input, columns)) =
            input.and_then(|input| Some((input, input.columns.as_ref()?)))
        {
            check_rows(&entry.value, &path, &input.name, columns, problems);
        }
        given.push(Given {
            input: entry.key.clone(),
            rows: rows(Some(&entry.value))?,
        });
    }
    Some(Fixture {
        name: view.owned("name")?,
        given,
        expect: rows(view.get("expect"))?,
        expect_dead: rows(view.get("expect_dead"))?,
    })
}

fn rows(node: Option<&Node>) -> Option<Vec<Row>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let Some(Value::List(rows)) = Value::of(node) else {
        return None;
    };
    let row = |row| match row {
        Value::Map(members) => Some(members),
        _ => None,
    };
    rows.into_iter().map(row).collect()
}

/// Rows have declared columns only, and values where they have to be.
fn check_rows(node: &Node, path: &str, input: &str, columns: &Columns, problems: &mut Problems) {
    let Tree::List(rows) = &node.tree else {
        return;
    };
    let declared: HashMap<_, _> = columns
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column))
        .collect();
    for (index, row) in rows.iter().enumerate() {
        let Tree::Map(entries) = &row.tree else {
            continue;
        };
        if problems.is_full() {
            return;
        }
        let path = format!("{path}[{index}]");
        for entry in entries {
            let column = declared.get(entry.key.as_str());
            let path = || format!("{path}.{}", entry.key);
            let (input, name) = (input.to_owned(), entry.key.clone());
            match column {
                None if problems.is_full() => return,
                None => {
                    let names = columns.columns.iter().map(|column| column.name.as_str());
                    let nearest = contract::nearest(&name, names).map(str::to_owned);
                    let cause = Cause::NoColumn {
                        input,
                        name,
                        nearest,
                    };
                    problems.add(entry.key_at, &path(), cause);
                }
                Some(column) if !column.nullable && matches!(entry.value.tree, Tree::Null) => {
                    let cause = Cause::NullColumn { input, name };
                    problems.add(entry.value.at, &path(), cause);
                }
                Some(_) => {}
            }
        }
    }
}

pub(crate) fn write(fixture: &Fixture) -> Value {
    let rows = |rows: &[Row]| Value::List(rows.iter().cloned().map(Value::Map).collect());
    let given = fixture.given.iter();
    let given = given.map(|given| (given.input.clone(), rows(&given.rows)));
    Written::default()
        .with("name", Value::text(&fixture.name))
        .with("given", Value::Map(given.collect()))
        .with("expect", rows(&fixture.expect))
        .maybe(
            "expect_dead",
            (!fixture.expect_dead.is_empty()).then(|| rows(&fixture.expect_dead)),
        )
        .done()
}
