//! Files as a planner sees them, without an engine: the query is compared by its words.

use std::collections::BTreeSet;

use contract::{Contract, Format};
use pipeline::control::plan::{Facts, TopicFacts, Wanted};
use pipeline::control::{Change, ColumnRecord, Plan, ResolvedInput, State, Time, Who, record};
use spec::names::Environment;
use spec::{File, Source, Surroundings};

/// The columns `a int, b text`.
pub(crate) fn columns(text: &str) -> Vec<ColumnRecord> {
    let column = |text: &str| {
        let (name, data_type) = text.trim().split_once(' ').expect("a name and a type");
        ColumnRecord {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            not_null: false,
        }
    };
    text.split(',').map(column).collect()
}

pub(crate) fn contract(text: &str) -> Contract {
    let columns = columns(text);
    let columns = columns.iter().map(|column| {
        let data_type = column.data_type.parse().expect("a type");
        contract::Column::new(column.name.clone(), data_type)
    });
    Contract::new(Format::Json, columns.collect()).expect("a contract")
}

/// A file whose query gives these columns.
pub(crate) fn wanted(environment: &Environment, text: &str, output: &str, facts: &Facts) -> Wanted {
    let surroundings = Surroundings::NONE;
    let file = File::read("a.yaml", text.as_bytes(), &surroundings);
    let file = file.unwrap_or_else(|problems| panic!("{problems:?}"));
    let pipeline = file.pipeline;
    let inputs = pipeline.inputs.iter().map(|input| {
        let found = match &input.source {
            Source::Topic(topic) => facts.topics.get(&environment.name(&topic.name)),
            _ => None,
        };
        let contract = found.and_then(|topic| topic.contract.as_ref());
        let declared = input.columns.as_ref().map(|columns| &columns.columns);
        let known = declared.map(Vec::as_slice);
        let known = known
            .or(contract.map(Contract::columns))
            .unwrap_or_default();
        let columns = known.iter().map(ColumnRecord::from).collect();
        let id = found.and_then(|topic| topic.id.clone());
        ResolvedInput::of(input, environment, id, contract, columns)
    });
    let words: Vec<_> = pipeline.sql.split_whitespace().collect();
    Wanted {
        file: "a.yaml".to_owned(),
        says_start: BTreeSet::new(),
        query: words.join(" "),
        inputs: inputs.collect(),
        output: columns(output),
        outside: Vec::new(),
        pipeline,
    }
}

/// Topics with an id and a contract.
pub(crate) fn facts(topics: &[(&str, &str)]) -> Facts {
    let topic = |(name, columns): &(&str, &str)| {
        let facts = TopicFacts {
            id: Some(format!("id-{name}")),
            partitions: 1,
            cleanup: Some("delete".to_owned()),
            contract: (!columns.is_empty()).then(|| contract(columns)),
        };
        ((*name).to_owned(), facts)
    };
    Facts {
        topics: topics.iter().map(topic).collect(),
        ..Facts::default()
    }
}

pub(crate) fn who() -> Who {
    Who {
        author: "ada".to_owned(),
        message: None,
        time: Time::from_ms(1_000),
    }
}

/// What runs after a change.
pub(crate) fn after(state: &State, change: &Change) -> State {
    let mut state = state.clone();
    for record in &change.pipelines {
        let value = record::write(record);
        for key in [record.version_key(), record.current_key()] {
            state.apply_pipeline(&key.bytes(), Some(&value)).unwrap();
        }
    }
    for deployment in &change.deployments {
        let value = record::write(deployment);
        state.apply_deployment(Some(&value)).unwrap();
    }
    state
}

/// What the cluster has after a plan.
pub(crate) fn facts_after(facts: &Facts, plan: &Plan) -> Facts {
    let mut facts = facts.clone();
    for topic in plan.pipelines.iter().flat_map(|plan| &plan.topics) {
        let entry = facts.topics.entry(topic.name.clone()).or_default();
        if let Some(partitions) = topic.create {
            entry.partitions = partitions;
            entry.id = Some(format!("id-{}", topic.name));
            entry.cleanup = Some("delete".to_owned());
        }
        for (name, value) in &topic.settings {
            match name.as_str() {
                "cleanup.policy" => entry.cleanup = Some(value.clone()),
                contract::SETTING => entry.contract = Contract::parse(value).ok(),
                _ => {}
            }
        }
    }
    facts
}
