//! A pipeline of a query over one topic, and what becomes of its records.

use pipeline::directory;
use pipeline::engine::{Compiled, Fault, InputTable, Metadata, Options, Outcome, Raw, RunError};
use spec::{File, Surroundings};

use contract::{Column, Contract, Format};

pub(super) const COLUMNS: &str =
    "{ id: bigint not null, name: text, at: text, amount: double, tags: json, \"Big\": text }";

/// A file with this query over the input `t`, which is the topic `in`, and what else there is to say.
pub(super) fn file(sql: &str, rest: &str) -> File {
    let sql = sql.replace('\n', "\n  ");
    let to = if rest.contains("to:") {
        ""
    } else {
        "to: { topic: { name: out } }\n"
    };
    let text = format!(
        "format: 1\npipeline: p\nrun: continuous\nfrom:\n  t: {{ topic: {{ name: in }}, columns: {COLUMNS} }}\n  u: {{ topic: {{ name: other }}, columns: {{ id: bigint, name: text }} }}\nsql: |\n  {sql}\n{to}{rest}\n"
    );
    match File::read("p.yaml", text.as_bytes(), &Surroundings::NONE) {
        Ok(file) => file,
        Err(problems) => panic!("{text}\n{problems:?}"),
    }
}

pub(super) fn inputs(file: &File) -> Vec<InputTable> {
    let inputs = file.pipeline.inputs.iter();
    inputs
        .map(|input| InputTable {
            name: input.name.clone(),
            columns: columns(file, &input.name),
            metadata: Metadata::Topic,
            is_known: true,
        })
        .collect()
}

pub(super) fn columns(file: &File, input: &str) -> Vec<Column> {
    let mut inputs = file.pipeline.inputs.iter();
    let input = inputs.find(|known| known.name == input).unwrap();
    input.columns.clone().unwrap().columns
}

pub(super) fn compiled(sql: &str, rest: &str) -> Result<Compiled, Vec<Fault>> {
    let file = file(sql, rest);
    Compiled::new(&file.pipeline, &inputs(&file), Options::default())
}

/// As `validate` tells them.
pub(super) fn told(sql: &str, rest: &str) -> Vec<String> {
    let file = file(sql, rest);
    let faults = Compiled::new(&file.pipeline, &inputs(&file), Options::default());
    let faults = faults.map(|_| ()).unwrap_err();
    let told = faults
        .into_iter()
        .map(|fault| directory::problem(&file, fault).to_string());
    told.collect()
}

/// Records with these values in `t`, and none in `u`.
pub(super) fn run(sql: &str, rest: &str, values: &[&str]) -> Outcome {
    run_within(sql, rest, values, Options::default()).unwrap()
}

pub(super) fn run_within(
    sql: &str,
    rest: &str,
    values: &[&str],
    options: Options,
) -> Result<Outcome, RunError> {
    let file = file(sql, rest);
    let inputs = inputs(&file);
    let compiled = Compiled::new(&file.pipeline, &inputs, options).unwrap();
    let batches = inputs.iter().enumerate().map(|(index, input)| {
        let contract = Contract::new(Format::Json, input.columns.clone()).unwrap();
        let mut decoder = compiled
            .decoder(index, Metadata::Topic, Some(&contract))
            .unwrap();
        for (offset, value) in (0..).zip(values).filter(|_| index == 0) {
            decoder.push(&Raw {
                source: "in",
                offset,
                key: Some(b"k"),
                ..Raw::of_value(value.as_bytes())
            });
        }
        let decoded = decoder.finish().unwrap();
        assert_eq!(decoded.misfits, vec![]);
        decoded.rows
    });
    let batches: Vec<_> = batches.collect();
    compiled.run(&batches)
}

/// The rows as values of records.
pub(super) fn rows(sql: &str, outcome: &Outcome) -> Vec<String> {
    let compiled = compiled(sql, "").unwrap();
    let mut values = pipeline::engine::Values::default();
    let encoder = pipeline::engine::Encoder::new(compiled.output()).unwrap();
    encoder.encode(&outcome.rows, &mut values).unwrap();
    let values = values.iter();
    values
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

/// What the query makes of the values.
pub(super) fn made(sql: &str, values: &[&str]) -> Vec<String> {
    rows(sql, &run(sql, "", values))
}
