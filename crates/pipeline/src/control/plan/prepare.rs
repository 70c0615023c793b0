//! [`prepare`]: from the files of a folder and what the cluster has to what a plan is made from.

use std::collections::BTreeSet;

use contract::{Column, Contract, Format};
use spec::names::{self, Environment};
use spec::{File, Input, Problem, Source};

use super::wanted::{Facts, Wanted};
use super::{PlanFault, PlanProblem};
use crate::control::record::{ColumnRecord, ResolvedInput};
use crate::directory::{self, Resolved};
use crate::engine::{InputTable, Options};

/// What is wrong with files, once the cluster is known.
#[derive(Debug, Default)]
pub struct Refused {
    /// At a place of a file.
    pub problems: Vec<Problem>,
    /// With what the cluster has.
    pub faults: Vec<PlanProblem>,
}

impl Refused {
    /// Together with what was found to be wrong with inputs before. Of an input whose columns could not be looked up it is not told again
    /// that they are not known.
    #[must_use]
    pub fn with(mut self, before: Vec<PlanProblem>) -> Self {
        self.faults.retain(|fault| {
            let is_unknown = matches!(fault.fault, PlanFault::Columns { .. });
            !is_unknown || before.iter().all(|before| before.file != fault.file)
        });
        self.faults.splice(0..0, before);
        self
    }
}

/// The topics that files name, with the environment's prefix.
pub fn topics_of(files: &[File], environment: &Environment) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for file in files {
        let pipeline = &file.pipeline;
        topics.extend(
            pipeline
                .inputs
                .iter()
                .filter_map(topic_of)
                .map(|topic| environment.name(topic)),
        );
        topics.extend(pipeline.sink.topic().map(|topic| environment.name(topic)));
        topics.insert(environment.name(&pipeline.dead_letters()));
        topics.insert(environment.name(&names::landing(&pipeline.name)));
    }
    topics
}

fn topic_of(input: &Input) -> Option<&str> {
    match &input.source {
        Source::Topic(topic) => Some(&topic.name),
        Source::Files(_) | Source::Postgres(_) => None,
    }
}

/// Compiles files against the cluster.
///
/// # Errors
/// All that is wrong with them.
pub fn prepare(
    files: Vec<File>,
    environment: &Environment,
    facts: &Facts,
) -> Result<Vec<Wanted>, Refused> {
    let written: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Some(environment.name(file.pipeline.sink.topic()?)))
        .collect();
    let known = |topic: &str| {
        let topic = facts.topics.get(&environment.name(topic))?;
        let contract = topic.contract.as_ref();
        Some(contract.map_or_else(Vec::new, |contract| contract.columns().to_vec()))
    };
    let compiled = directory::compile(files, &known, Options::default());
    let mut refused = Refused {
        problems: compiled.problems,
        faults: Vec::new(),
    };
    let mut all = Vec::new();
    for resolved in compiled.files {
        let mut faults = unknown(&resolved, environment, facts, &written);
        let wanted = wanted(resolved, environment, facts, &mut faults);
        refused.faults.extend(faults);
        all.extend(wanted);
    }
    if refused.problems.is_empty() && refused.faults.is_empty() {
        Ok(all)
    } else {
        Err(refused)
    }
}

/// Inputs of which nobody knows the columns.
fn unknown(
    resolved: &Resolved,
    environment: &Environment,
    facts: &Facts,
    written: &BTreeSet<String>,
) -> Vec<PlanProblem> {
    let file = &resolved.file;
    let inputs = file.pipeline.inputs.iter().zip(&resolved.inputs);
    let faults = inputs.filter_map(|(input, table)| {
        let topic = topic_of(input).map(|topic| environment.name(topic));
        match topic {
            Some(topic) if facts.topics.contains_key(&topic) || written.contains(&topic) => None,
            Some(topic) => Some(PlanFault::no_topic(topic, environment, facts)),
            None if table.is_known => None,
            None => Some(PlanFault::Columns {
                input: input.name.clone(),
                of: outside(&input.source),
            }),
        }
    });
    faults.map(|fault| problem(file, fault)).collect()
}

/// What an input outside of the cluster reads.
fn outside(source: &Source) -> String {
    match source {
        Source::Topic(topic) => topic.name.clone(),
        Source::Files(files) => files.path.clone(),
        Source::Postgres(postgres) => super::wanted::connection(&postgres.connection),
    }
}

fn problem(file: &File, fault: PlanFault) -> PlanProblem {
    PlanProblem {
        file: file.name.clone(),
        pipeline: file.pipeline.name.clone(),
        fault,
    }
}

fn wanted(
    resolved: Resolved,
    environment: &Environment,
    facts: &Facts,
    faults: &mut Vec<PlanProblem>,
) -> Option<Wanted> {
    let Resolved {
        file,
        inputs: tables,
        compiled,
    } = resolved;
    let compiled = compiled?;
    let mut inputs = Vec::new();
    for (input, table) in file.pipeline.inputs.iter().zip(&tables) {
        match resolve(input, table, environment, facts) {
            Ok(input) => inputs.push(input),
            Err(fault) => faults.push(problem(&file, fault)),
        }
    }
    let says_start = file.pipeline.inputs.iter().filter(|input| {
        let path = ["from", &input.name, "topic", "start"];
        file.says(&path)
    });
    Some(Wanted {
        says_start: says_start.map(|input| input.name.clone()).collect(),
        query: compiled.normalised().to_owned(),
        inputs,
        output: compiled.output().iter().map(ColumnRecord::from).collect(),
        outside: Vec::new(),
        file: file.name,
        pipeline: file.pipeline,
    })
}

/// An input as it is run: its columns, and how its values are read.
fn resolve(
    input: &Input,
    table: &InputTable,
    environment: &Environment,
    facts: &Facts,
) -> Result<ResolvedInput, PlanFault> {
    let found = topic_of(input).and_then(|topic| facts.topics.get(&environment.name(topic)));
    let stored = found.and_then(|topic| topic.contract.as_ref());
    let contract = stored.map(|stored| read_by(stored, &table.columns));
    let contract = contract.transpose().map_err(|stored| PlanFault::Contract {
        topic: topic_of(input).map_or_else(String::new, |topic| environment.name(topic)),
        stored,
        declared: "the same list of columns".to_owned(),
    })?;
    Ok(ResolvedInput::of(
        input,
        environment,
        found.and_then(|topic| topic.id.clone()),
        contract.as_ref(),
        table.columns.iter().map(ColumnRecord::from).collect(),
    ))
}

/// A contract by which values are read as these columns, in the format that is stored; or what is stored.
fn read_by(stored: &Contract, columns: &[Column]) -> Result<Contract, String> {
    if stored.columns() == columns {
        return Ok(stored.clone());
    }
    // Fields of CSV have no names: they are read as all columns or not at all.
    let is_by_name = !matches!(stored.format(), Format::Csv { .. });
    let contract = Contract::new(stored.format().clone(), columns.to_vec()).ok();
    contract.filter(|_| is_by_name).ok_or_else(|| {
        let columns = stored.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| format!("{} {}", column.name, column.data_type))
            .collect();
        columns.join(", ")
    })
}
