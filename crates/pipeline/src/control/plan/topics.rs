//! The topics that a plan creates or changes, and their contracts.

use contract::{Column, Contract, Format};
use spec::names::{self, Environment};
use spec::{Cleanup, Input, Pipeline, Sink, Source};

use super::wanted::{Facts, Wanted};
use super::{PlanFault, TopicPlan};
use crate::control::record::{ColumnRecord, PipelineRecord};
use crate::runner::dead_letter;
use crate::tasks::{Task, Writes};

const CLEANUP: &str = "cleanup.policy";
const RETENTION: &str = "retention.ms";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long what has landed is kept: 7 days.
const LANDED_MS: u64 = 7 * DAY_MS;
/// How long dead letters are kept: 30 days. Compacted, too: one that is written again, because a process ended before it knew that
/// it had been, has the same key as before and replaces it.
const DEAD_MS: u64 = 30 * DAY_MS;
const DEAD_CLEANUP: &str = "compact,delete";

/// The topics of a pipeline that are not as it needs them.
pub(super) fn topics(
    wanted: &Wanted,
    old: Option<&PipelineRecord>,
    tasks: &[Task],
    environment: &Environment,
    facts: &Facts,
    faults: &mut Vec<PlanFault>,
) -> Vec<TopicPlan> {
    let mut topics = Vec::new();
    for task in tasks {
        let Writes::Topic(topic) = &task.writes else {
            continue;
        };
        topics.extend(if task.runs_query {
            sink(topic, wanted, old, environment, facts, faults)
        } else {
            landing(topic, task, wanted, facts, faults)
        });
    }
    topics.extend(dead_letters(&wanted.pipeline, environment, facts));
    for input in &wanted.pipeline.inputs {
        topics.extend(declared(input, environment, facts, faults));
    }
    topics
}

/// The topic that the rows go to.
fn sink(
    topic: &str,
    wanted: &Wanted,
    old: Option<&PipelineRecord>,
    environment: &Environment,
    facts: &Facts,
    faults: &mut Vec<PlanFault>,
) -> Option<TopicPlan> {
    let Sink::Topic(sink) = &wanted.pipeline.sink else {
        return None;
    };
    for (column, what) in sink.key.iter().map(|column| (column, "the key")).chain(
        sink.timestamp
            .iter()
            .map(|column| (column, "the timestamp")),
    ) {
        if !wanted.output.iter().any(|output| output.name == *column) {
            let column = column.clone();
            faults.push(PlanFault::NoColumn { column, what });
        }
    }
    let contract = match output_contract(&wanted.output) {
        Ok(contract) => contract,
        Err(fault) => {
            let topic = topic.to_owned();
            faults.push(PlanFault::Output { topic, fault });
            return None;
        }
    };
    let cleanup = match sink.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    };
    let contract_setting = (contract::SETTING.to_owned(), contract.to_string());
    let cleanup_setting = (CLEANUP.to_owned(), cleanup.to_owned());
    let Some(found) = facts.topics.get(topic) else {
        let partitions = u32::try_from(sink.partitions).unwrap_or(u32::MAX);
        return Some(create(
            topic,
            partitions,
            vec![cleanup_setting, contract_setting],
            (cleanup == "compact").then_some("compacted"),
        ));
    };
    let is_ours = old.is_some_and(|old| {
        let before = old.pipeline().ok();
        let before = before.and_then(|before| before.sink.topic().map(str::to_owned));
        before.is_some_and(|before| environment.name(&before) == topic)
    });
    if let Some(stored) = &found.contract
        && !is_ours
    {
        contradiction(topic, stored, contract.columns(), faults);
    }
    let (mut settings, mut says) = (Vec::new(), Vec::new());
    if found.contract.as_ref() != Some(&contract) {
        settings.push(contract_setting);
        says.push(match &found.contract {
            Some(_) => "its contract changes".to_owned(),
            None => "it gets a contract".to_owned(),
        });
    }
    if found.cleanup.as_ref().is_some_and(|found| found != cleanup) {
        says.push(format!("{CLEANUP} becomes {cleanup}"));
        settings.push(cleanup_setting);
    }
    changed(topic, settings, &says)
}

/// The topic in which a source lands, as objects of JSON with the columns of the input.
fn landing(
    topic: &str,
    task: &Task,
    wanted: &Wanted,
    facts: &Facts,
    faults: &mut Vec<PlanFault>,
) -> Option<TopicPlan> {
    let landed = task
        .reads
        .first()
        .and_then(|read| wanted.inputs.get(read.input))?;
    let contract = match output_contract(&landed.columns) {
        Ok(contract) => contract,
        Err(fault) => {
            faults.push(PlanFault::Input {
                input: landed.name.clone(),
                fault,
            });
            return None;
        }
    };
    let setting = (contract::SETTING.to_owned(), contract.to_string());
    match facts.topics.get(topic) {
        None => {
            let settings = vec![(RETENTION.to_owned(), LANDED_MS.to_string()), setting];
            Some(create(topic, 1, settings, Some("lands here, 7 d")))
        }
        Some(found) if found.contract.as_ref() == Some(&contract) => None,
        Some(_) => changed(topic, vec![setting], &["its contract changes"]),
    }
}

fn dead_letters(
    pipeline: &Pipeline,
    environment: &Environment,
    facts: &Facts,
) -> Option<TopicPlan> {
    let topic = environment.name(&pipeline.dead_letters());
    let contract = dead_letter::contract().to_string();
    if let Some(found) = facts.topics.get(&topic) {
        // Whoever made it by hand gets its columns, too.
        let has_none = found.contract.is_none();
        let settings = vec![(contract::SETTING.to_owned(), contract)];
        let says = ["it gets the contract of dead letters"];
        return has_none.then(|| changed(&topic, settings, &says)).flatten();
    }
    let settings = vec![
        (CLEANUP.to_owned(), DEAD_CLEANUP.to_owned()),
        (RETENTION.to_owned(), DEAD_MS.to_string()),
        (contract::SETTING.to_owned(), contract),
    ];
    Some(create(&topic, 1, settings, Some("dead letters")))
}

/// A topic that is read, whose columns the file declares.
fn declared(
    input: &Input,
    environment: &Environment,
    facts: &Facts,
    faults: &mut Vec<PlanFault>,
) -> Option<TopicPlan> {
    let (Source::Topic(topic), Some(declared)) = (&input.source, &input.columns) else {
        return None;
    };
    let name = environment.name(&topic.name);
    let found = facts.topics.get(&name)?;
    if let Some(stored) = &found.contract {
        contradiction(&name, stored, &declared.columns, faults);
        return None;
    }
    let contract = Contract::new(Format::Json, declared.columns.clone()).ok()?;
    let settings = vec![(contract::SETTING.to_owned(), contract.to_string())];
    changed(&name, settings, &["it gets the contract that is declared"])
}

/// The contract of what a query gives.
pub(super) fn output_contract(output: &[ColumnRecord]) -> Result<Contract, String> {
    let column = |record: &ColumnRecord| {
        let data_type = record.data_type.parse();
        let data_type = data_type
            .map_err(|cause: contract::Cause| format!("the column {}: {cause}", record.name))?;
        let column = Column::new(record.name.clone(), data_type);
        Ok(if record.not_null {
            column.not_null()
        } else {
            column
        })
    };
    let columns = output.iter().map(column).collect::<Result<_, String>>()?;
    Contract::new(Format::Json, columns).map_err(|error| error.to_string())
}

/// A column that has to be there and is not, or is of another type.
fn contradiction(topic: &str, stored: &Contract, columns: &[Column], faults: &mut Vec<PlanFault>) {
    for column in columns {
        let found = stored
            .columns()
            .iter()
            .find(|stored| stored.name == column.name);
        let stored = match found {
            Some(stored) if stored.data_type == column.data_type => continue,
            Some(stored) => format!("{} {}", stored.name, stored.data_type),
            None => "no such column".to_owned(),
        };
        faults.push(PlanFault::Contract {
            topic: topic.to_owned(),
            stored,
            declared: format!("{} {}", column.name, column.data_type),
        });
    }
}

fn create(
    topic: &str,
    partitions: u32,
    settings: Vec<(String, String)>,
    of: Option<&str>,
) -> TopicPlan {
    let s = if partitions == 1 { "" } else { "s" };
    let of = of.map(|of| format!(", {of}")).unwrap_or_default();
    TopicPlan {
        name: topic.to_owned(),
        create: Some(partitions),
        settings,
        says: format!("{partitions} partition{s}{of}"),
    }
}

fn changed(
    topic: &str,
    settings: Vec<(String, String)>,
    says: &[impl AsRef<str>],
) -> Option<TopicPlan> {
    let says: Vec<_> = says.iter().map(AsRef::as_ref).collect();
    (!settings.is_empty()).then(|| TopicPlan {
        name: topic.to_owned(),
        create: None,
        settings,
        says: says.join(", "),
    })
}

/// The topics that a pipeline uses, with the environment's prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    /// Those that it reads.
    pub(super) read: Vec<String>,
    /// Those that it writes, that of its dead letters among them.
    pub(super) written: Vec<String>,
}

pub(super) fn used(pipeline: &Pipeline, tasks: &[Task], environment: &Environment) -> Used {
    let read = pipeline
        .inputs
        .iter()
        .filter_map(|input| match &input.source {
            Source::Topic(topic) => Some(environment.name(&topic.name)),
            Source::Files(_) | Source::Postgres(_) => None,
        });
    let written = tasks.iter().filter_map(|task| match &task.writes {
        Writes::Topic(topic) => Some(topic.clone()),
        Writes::Table => None,
    });
    let dead = environment.name(&pipeline.dead_letters());
    Used {
        read: read.collect(),
        written: written.chain([dead]).collect(),
    }
}

/// What two names that collide have in common.
pub(super) fn unified(topic: &str) -> String {
    names::unified(topic)
}
