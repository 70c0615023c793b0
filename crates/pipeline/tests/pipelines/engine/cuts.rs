//! It does not matter where batches end.

use contract::{Contract, Format};
use pipeline::engine::{Compiled, Decoder, Metadata, Options, Outcome, Raw};
use proptest::prelude::*;

use super::given;

const SQL: &str =
    "SELECT id, CAST(name AS INT) AS n, 'a' AS of FROM t WHERE at IS NULL OR at <> 'no'
UNION ALL SELECT unnest([id, id + CAST(amount AS BIGINT)]), NULL, 'b' FROM t WHERE amount < 100";
const CHECKS: &str = "checks:
  - accepted_range: { column: n, min: 0 }
  - accepted_range: { column: n, max: 50, severity: warn, name: large }
  - expression: { name: odd, is_true: \"id % 7 <> 3\", severity: drop }
  - expression: { name: share, is_true: \"100 / id < 60\" }
  - not_accepted_values: { column: at, values: [bad], of: t }
";

fn value() -> impl Strategy<Value = String> {
    (
        0..40_i64,
        prop_oneof!["[0-9]{1,2}", "-[0-9]", Just("x".to_owned())],
        prop_oneof![
            Just("null"),
            Just("\"no\""),
            Just("\"bad\""),
            Just("\"ok\"")
        ],
        0..200_i32,
    )
        .prop_map(|(id, name, at, amount)| {
            format!(r#"{{"id":{id},"name":"{name}","at":{at},"amount":{amount}}}"#)
        })
}

struct Query {
    compiled: Compiled,
    contracts: Vec<Contract>,
}

impl Query {
    fn new() -> Self {
        let file = given::file(SQL, CHECKS);
        let inputs = given::inputs(&file);
        let contracts = inputs
            .iter()
            .map(|input| Contract::new(Format::Json, input.columns.clone()).unwrap());
        Self {
            contracts: contracts.collect(),
            compiled: Compiled::new(&file.pipeline, &inputs, Options::default()).unwrap(),
        }
    }

    fn run(&self, values: &[String]) -> Outcome {
        let batches = self.contracts.iter().enumerate().map(|(index, contract)| {
            let mut decoder: Decoder = self
                .compiled
                .decoder(index, Metadata::Topic, Some(contract))
                .unwrap();
            for value in values.iter().filter(|_| index == 0) {
                decoder.push(&Raw::of_value(value.as_bytes()));
            }
            decoder.finish().unwrap().rows
        });
        self.compiled.run(&batches.collect::<Vec<_>>()).unwrap()
    }
}

/// What comes of values that are cut before these rows.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    rows: Vec<String>,
    dead: Vec<(usize, String, String)>,
    failed: Vec<String>,
    counts: Vec<u64>,
}

impl Whole {
    fn add(&mut self, outcome: &Outcome, from: usize) {
        let row = |batch: &pipeline::engine::arrow::array::RecordBatch, row: usize| {
            format!("{:?}", batch.slice(row, 1).columns())
        };
        for (index, origin) in outcome.origins.iter().enumerate() {
            self.rows.push(format!(
                "{} {}",
                from + origin.row,
                row(&outcome.rows, index)
            ));
        }
        for dead in &outcome.dead {
            self.dead.push((
                from + dead.origin.row,
                dead.reason.clone(),
                dead.message.clone(),
            ));
            let failed = dead.failed.map(|index| row(&outcome.failed, index));
            self.failed.push(failed.unwrap_or_default());
        }
        self.counts.resize(outcome.counts.len(), 0);
        for (sum, count) in self.counts.iter_mut().zip(&outcome.counts) {
            *sum += count.failed;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn cutting_a_batch_changes_nothing(
        values in prop::collection::vec(value(), 1..40),
        cuts in prop::collection::vec(0..40_usize, 0..5),
    ) {
        let query = Query::new();
        let mut whole = Whole::default();
        whole.add(&query.run(&values), 0);
        let mut one_by_one = Whole::default();
        for (index, value) in values.iter().enumerate() {
            one_by_one.add(&query.run(std::slice::from_ref(value)), index);
        }
        prop_assert_eq!(&whole, &one_by_one);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < values.len()).collect();
        cuts.extend([0, values.len()]);
        cuts.sort_unstable();
        let mut cut = Whole::default();
        for range in cuts.windows(2) {
            cut.add(&query.run(&values[range[0]..range[1]]), range[0]);
        }
        prop_assert_eq!(&whole, &cut);
    }
}
