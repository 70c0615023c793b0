//! [`Pipeline`]: what a file says.
//!
//! Invariant: a pipeline that was read from a file, written and read again is the same. Two files that say the same in other words,
//! in another order of keys or with defaults written out are one pipeline.

use std::collections::HashSet;

use crate::bad_records::{self, BAD_RECORDS, BadRecords};
use crate::check::{self, CHECK, Check, Place};
use crate::fixture::{self, Fixture, TEST};
use crate::names::{self, DESCRIPTION, INPUT_NAME, LINE, PARAMETER_NAME, PIPELINE_NAME};
use crate::problem::{Cause, Problems};
use crate::resources::{self, RESOURCES, Resources};
use crate::run::{self, Run};
use crate::shape::{Object, OneOf, Shape, key, later};
use crate::sink::{self, Sink, TO};
use crate::source::{self, INPUT, Input};
use crate::sql_text;
use crate::tree::Node;
use crate::value::{Value, Written};
use crate::view::View;

/// The version of the format.
pub const FORMAT: u64 = 1;
/// The most inputs, checks, parameters and tests.
pub const ITEMS_MAX: usize = 1000;

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// What it is called.
    pub name: String,
    /// What it does, for people.
    pub description: Option<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// When it runs.
    pub run: Run,
    /// The values that `$name` stands for in its SQL, each a number, a text, true or false.
    pub params: Vec<(String, Value)>,
    /// What it reads; at least one.
    pub inputs: Vec<Input>,
    /// The query.
    pub sql: String,
    /// What has to hold of each row, in the order of the file.
    pub checks: Vec<Check>,
    /// What it writes.
    pub sink: Sink,
    /// What becomes of bad records.
    pub bad_records: BadRecords,
    /// What it may take.
    pub resources: Resources,
    /// Its tests.
    pub tests: Vec<Fixture>,
}

impl Pipeline {
    /// The topic that its dead letters go to.
    pub fn dead_letters(&self) -> String {
        let named = self.bad_records.topic.clone();
        named.unwrap_or_else(|| names::dead_letters(&self.name))
    }
}

pub(crate) static PIPELINE: Object = Object {
    what: "a pipeline",
    keys: &[
        key(
            "format",
            Shape::Whole(FORMAT, FORMAT),
            "The version of the format.",
        )
        .required("1"),
        key(
            "pipeline",
            Shape::Text(&PIPELINE_NAME),
            "What the pipeline is called: small letters, digits and `_`.",
        )
        .required("trips_clean"),
        key(
            "description",
            Shape::Text(&DESCRIPTION),
            "What it does, for people.",
        ),
        key("owner", Shape::Text(&LINE), "Who looks after it."),
        key(
            "run",
            run::SHAPE,
            "When it runs: `continuous`, `once`, or a map.",
        )
        .required("continuous"),
        key(
            "params",
            Shape::Named(&PARAMETER_NAME, &Shape::Literal),
            "Values that are bound where the SQL says `$name`: numbers, texts, true or false.",
        ),
        key(
            "from",
            Shape::Named(&INPUT_NAME, &Shape::Object(&INPUT)),
            "The inputs, by the names that they have as tables in SQL.",
        )
        .required("{ trips: { topic: { name: trips } } }"),
        key(
            "sql",
            Shape::Sql,
            "The query: one SELECT over the inputs; or `!file` and the name of a file that has it.",
        )
        .required("SELECT * FROM trips"),
        key(
            "checks",
            Shape::List(&Shape::Object(&CHECK)),
            "What has to hold of each row before it is committed, in this order.",
        ),
        key("to", Shape::Object(&TO), "Where the rows go.")
            .required("{ topic: { name: trips.clean } }"),
        key(
            "bad_records",
            Shape::Object(&BAD_RECORDS),
            "What becomes of records that cannot be read, cast or passed on.",
        ),
        key("resources", Shape::Object(&RESOURCES), "What it may take."),
        key(
            "tests",
            Shape::List(&Shape::Object(&TEST)),
            "Tests: rows that are given, and those that are expected.",
        ),
        later(
            "window",
            "windows over the time of events",
            "aggregate in psql until then",
        ),
        later(
            "alerts",
            "alerts to a webhook",
            "alert on the metrics that the binary serves",
        ),
        later(
            "approve",
            "changes that wait for approval",
            "look at the plan before it is applied",
        ),
        later(
            "restate",
            "writing only what a rebuild changes",
            "leave it out",
        ),
        later(
            "keep_versions",
            "a number of versions to keep",
            "leave it out: all are kept",
        ),
    ],
    one_of: OneOf::None,
};

/// What the tree says. `None` if anything was told as a problem.
pub(crate) fn read(root: &Node, problems: &mut Problems) -> Option<Pipeline> {
    let view = View::of(root, &PIPELINE)?;
    let run = view
        .get("run")
        .and_then(|node| run::read(node, "run", problems));
    let inputs = inputs(&view, problems);
    let to = view.map("to", &TO);
    let sink = to.and_then(|view| sink::read(&view, problems));
    let checks = checks(&view, &inputs, problems);
    let sql = view.text("sql").map(str::trim);
    let params = params(&view, problems);
    check_parameters(&view, sql, &checks, &params, problems);
    let bad_records = view.map("bad_records", &BAD_RECORDS);
    let bad_records = bad_records.map_or_else(BadRecords::default, |view| bad_records::read(&view));
    let resources = view.map("resources", &RESOURCES);
    let resources = resources.map_or_else(Resources::default, |view| resources::read(&view));
    let tests = tests(&view, &inputs, problems);
    Some(Pipeline {
        name: view.owned("pipeline")?,
        description: view.owned("description"),
        owner: view.owned("owner"),
        run: run?,
        params,
        inputs,
        sql: sql?.to_owned(),
        checks: checks.into_iter().map(|(check, _)| check).collect(),
        sink: sink?,
        bad_records,
        resources,
        tests,
    })
}

fn too_many(view: &View<'_>, key: &str, found: usize, problems: &mut Problems) {
    if found > ITEMS_MAX {
        let most = ITEMS_MAX;
        view.problem(key, Cause::TooMany { found, most }, problems);
    }
}

fn inputs(view: &View<'_>, problems: &mut Problems) -> Vec<Input> {
    let named = view.named("from");
    too_many(view, "from", named.len(), problems);
    let each = named.into_iter();
    each.filter_map(|(entry, path)| source::read(&entry.key, &entry.value, path, problems))
        .collect()
}

fn params(view: &View<'_>, problems: &mut Problems) -> Vec<(String, Value)> {
    let named = view.named("params");
    too_many(view, "params", named.len(), problems);
    let each = named.iter().take(ITEMS_MAX);
    each.filter_map(|(entry, _)| Some((entry.key.clone(), Value::of(&entry.value)?)))
        .collect()
}

fn tests(view: &View<'_>, inputs: &[Input], problems: &mut Problems) -> Vec<Fixture> {
    let list = view.list("tests");
    let named = view.named("from");
    let inputs_named: Vec<_> = named.iter().map(|(entry, _)| entry.key.as_str()).collect();
    too_many(view, "tests", list.len(), problems);
    let mut names = HashSet::new();
    let mut tests = Vec::new();
    for (node, path) in list {
        let Some(test) = fixture::read(node, path.clone(), &inputs_named, inputs, problems) else {
            continue;
        };
        if !names.insert(test.name.clone()) {
            let what = format!("the test {:?}", test.name);
            problems.add(node.at, &path, Cause::Twice { what });
        }
        tests.push(test);
    }
    tests
}

fn checks(view: &View<'_>, inputs: &[Input], problems: &mut Problems) -> Vec<(Check, Place)> {
    let list = view.list("checks");
    let read = list
        .into_iter()
        .flat_map(|(node, path)| check::read(node, path, problems));
    let mut checks: Vec<_> = read.collect();
    too_many(view, "checks", checks.len(), problems);
    checks.truncate(ITEMS_MAX);
    let mut names = HashSet::new();
    for (check, Place { at, path }) in &checks {
        if !names.insert(check.reason.as_str()) {
            let name = check.reason.clone();
            problems.add(*at, path, Cause::SameCheck { name });
        }
        if let Some(of) = &check.of
            && let Some(cause) = fault_of_input(of, check, view, inputs)
        {
            problems.add(*at, path, cause);
        }
    }
    checks
}

/// Whether a check of an input has an input, and its column.
fn fault_of_input(of: &str, check: &Check, view: &View<'_>, inputs: &[Input]) -> Option<Cause> {
    let named = view.named("from");
    let mut names = named.iter().map(|(entry, _)| entry.key.as_str());
    if !names.clone().any(|name| name == of) {
        let nearest = contract::nearest(of, &mut names).map(str::to_owned);
        let name = of.to_owned();
        return Some(Cause::NoInput { name, nearest });
    }
    let input = inputs.iter().find(|input| input.name == of)?;
    let columns = input.columns.as_ref()?;
    let check::Condition::Column { column, .. } = &check.condition else {
        return None;
    };
    let names = || columns.columns.iter().map(|column| column.name.as_str());
    let is_ours = column.starts_with('_');
    if is_ours || names().any(|name| name == column) {
        return None;
    }
    Some(Cause::NoColumn {
        input: of.to_owned(),
        name: column.clone(),
        nearest: contract::nearest(column, names()).map(str::to_owned),
    })
}

/// SQL and checks use the parameters there are, and all of them.
fn check_parameters(
    view: &View<'_>,
    sql: Option<&str>,
    checks: &[(Check, Place)],
    params: &[(String, Value)],
    problems: &mut Problems,
) {
    let mut used = HashSet::new();
    let unknown = |name: &str| {
        let known = || params.iter().map(|(name, _)| name.as_str());
        (!known().any(|known| known == name)).then(|| Cause::NoParameter {
            name: name.to_owned(),
            nearest: contract::nearest(name, known()).map(str::to_owned),
        })
    };
    match sql.map(sql_text::query) {
        None => {}
        Some(Err(cause)) => {
            view.problem("sql", cause, problems);
            return;
        }
        Some(Ok(parameters)) => {
            for parameter in parameters {
                let name = parameter.name;
                if used.insert(name.to_owned())
                    && !problems.is_full()
                    && let Some(cause) = unknown(name)
                    && let Some(node) = view.get("sql")
                {
                    problems.add(node.place_in_text(parameter.offset), "sql", cause);
                }
            }
        }
    }
    for (check, Place { at, path }) in checks {
        let check::Condition::Expression(text) = &check.condition else {
            continue;
        };
        for parameter in sql_text::expression(text).unwrap_or_default() {
            let name = parameter.name;
            used.insert(name.to_owned());
            if !problems.is_full()
                && let Some(cause) = unknown(name)
            {
                problems.add(*at, path, cause);
            }
        }
    }
    if sql.is_none() {
        return;
    }
    for (entry, path) in view.named("params") {
        if !used.contains(&entry.key) && !entry.value.is_broken() {
            let name = entry.key.clone();
            problems.add(entry.key_at, &path, Cause::UnusedParameter { name });
        }
    }
}

/// Everything, in the order of the table.
pub(crate) fn write(pipeline: &Pipeline) -> Value {
    let text = |text: &Option<String>| text.as_ref().map(Value::text);
    let list = |items: Vec<Value>| (!items.is_empty()).then_some(Value::List(items));
    let inputs = pipeline.inputs.iter();
    let inputs = inputs.map(|input| (input.name.clone(), source::write(input)));
    let params = (!pipeline.params.is_empty()).then(|| Value::Map(pipeline.params.clone()));
    Written::default()
        .with("format", Value::Integer(1))
        .with("pipeline", Value::text(&pipeline.name))
        .maybe("description", text(&pipeline.description))
        .maybe("owner", text(&pipeline.owner))
        .with("run", run::write(&pipeline.run))
        .maybe("params", params)
        .with("from", Value::Map(inputs.collect()))
        .with("sql", Value::text(&pipeline.sql))
        .maybe(
            "checks",
            list(pipeline.checks.iter().map(check::write).collect()),
        )
        .with("to", sink::write(&pipeline.sink))
        .maybe("bad_records", bad_records::write(&pipeline.bad_records))
        .maybe("resources", resources::write(&pipeline.resources))
        .maybe(
            "tests",
            list(pipeline.tests.iter().map(fixture::write).collect()),
        )
        .done()
}
