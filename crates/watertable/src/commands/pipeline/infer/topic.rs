//! A topic as a source: its newest records, if it has no contract.

use anyhow::Result;
use contract::{Contract, Format, Proposal};

use super::text::{input_name, literal};
use super::{Finding, no_proposal, notes};
use crate::commands::topic::contract::{sample_of, stored_contract};
use crate::session::Session;

pub(super) async fn look(session: &Session, topic: &str, sample: u32) -> Result<Finding> {
    let cluster = session.cluster();
    let stored = stored_contract(&cluster, topic).await?;
    let found = |columns, notes| Finding {
        name: input_name(topic),
        source: ("topic", format!("{{ name: {} }}", literal(topic))),
        columns,
        notes,
    };
    if stored.is_some_and(|text| Contract::parse(&text).is_ok()) {
        let note = format!(
            "topic '{topic}' has a contract: its columns need not be declared (`watertable topic contract show {topic}`)"
        );
        return Ok(found(Vec::new(), vec![note]));
    }
    let values = sample_of(&cluster, topic, sample).await?;
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let what = format!("topic '{topic}'");
    let proposal = contract::infer(&values).map_err(|error| no_proposal(&what, &error))?;
    let mut notes = notes(values.len(), &proposal);
    let Proposal { contract, .. } = proposal;
    if !matches!(contract.format(), Format::Json) {
        let format = contract.format().name();
        notes.push(format!("its records are {format}, which only a contract of the topic can say: `watertable topic contract infer {topic} | watertable topic contract set {topic} -`"));
        return Ok(found(Vec::new(), notes));
    }
    Ok(found(contract.columns().to_vec(), notes))
}
