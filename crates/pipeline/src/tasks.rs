//! [`Task`]: what a pipeline compiles to: one task, or two with a topic between them.
//!
//! Invariants: each task has one way to be exactly once: a transaction of Kafka if it writes a topic, one of PostgreSQL if it writes
//! a table, and then it reads topics only, because their offsets are what that transaction keeps. The names of tasks, groups and
//! transactional ids are stored, so how they are made never changes.

use std::fmt;

use spec::names::{self, Environment};
use spec::{Pipeline, Sink, Source};
use sql::compute::Metadata;

/// A part of a pipeline that runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which part.
    pub role: Role,
    /// What it reads, in the order of the inputs of its query.
    pub reads: Vec<Read>,
    /// Whether it runs the query of the pipeline; else what it reads is written as it is.
    pub runs_query: bool,
    /// What it writes.
    pub writes: Writes,
    /// The topic of its dead letters, with the environment's prefix.
    pub dead_letters: String,
    /// The group whose offsets show how far it is, likewise.
    pub group: String,
    /// Who it is for the coordinator of transactions, likewise.
    pub transactional_id: String,
}

/// Which part of a pipeline a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// All of it.
    Main,
    /// From outside into a topic.
    Land,
    /// From topics into a table.
    Load,
}

impl Role {
    /// Its name, as positions have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Land => "land",
            Self::Load => "load",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a task reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which input of the pipeline it is.
    pub input: usize,
    /// Where it is read.
    pub from: From,
}

/// Where an input is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A topic, with the environment's prefix.
    Topic(String),
    /// Where the file says.
    Outside,
}

/// What a task writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// A topic, with the environment's prefix.
    Topic(String),
    /// The table of the pipeline.
    Table,
}

/// Which columns say where a row comes from, of an input: what lands in a topic first has those of a topic.
pub fn metadata(pipeline: &Pipeline, input: usize) -> Metadata {
    let source = pipeline.inputs.get(input).map(|input| &input.source);
    match (source, &pipeline.sink) {
        (Some(Source::Topic(_)), _) | (_, Sink::Postgres(_)) => Metadata::Topic,
        (Some(Source::Files(_)), Sink::Topic(_)) => Metadata::File,
        (Some(Source::Postgres(_)) | None, Sink::Topic(_)) => Metadata::None,
    }
}

/// Why a pipeline cannot be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TasksError {
    /// There is one topic to land in.
    #[error(
        "a table as the sink takes one input that is no topic, and there are {found}; write each of them to a topic with a pipeline of its own, and load these topics"
    )]
    SeveralOutside {
        /// How many there are.
        found: usize,
    },
}

/// The tasks of a pipeline, in the order in which records go through them.
///
/// # Errors
/// What it wants cannot be exactly once here.
pub fn compile(pipeline: &Pipeline, environment: &Environment) -> Result<Vec<Task>, TasksError> {
    let compiler = Compiler {
        pipeline,
        environment,
    };
    match &pipeline.sink {
        Sink::Topic(sink) => Ok(vec![compiler.main(environment.name(&sink.name))]),
        Sink::Postgres(_) => compiler.with_table(),
    }
}

struct Compiler<'a> {
    pipeline: &'a Pipeline,
    environment: &'a Environment,
}

impl Compiler<'_> {
    fn main(&self, topic: String) -> Task {
        let reads = self.reads(|_input| From::Outside);
        self.task(Role::Main, reads, true, Writes::Topic(topic))
    }

    fn with_table(&self) -> Result<Vec<Task>, TasksError> {
        let landing = self.environment.name(&names::landing(&self.pipeline.name));
        let load = self.reads(|_input| From::Topic(landing.clone()));
        let outside: Vec<Read> = self.reads(|_input| From::Outside);
        let outside: Vec<Read> = outside
            .into_iter()
            .filter(|read| read.from == From::Outside)
            .collect();
        let role = if outside.is_empty() {
            Role::Main
        } else {
            Role::Load
        };
        let load = self.task(role, load, true, Writes::Table);
        match outside.len() {
            0 => Ok(vec![load]),
            1 => {
                let land = self.task(Role::Land, outside, false, Writes::Topic(landing));
                Ok(vec![land, load])
            }
            found => Err(TasksError::SeveralOutside { found }),
        }
    }

    /// All inputs; those that are no topics as `outside` says.
    fn reads(&self, outside: impl Fn(usize) -> From) -> Vec<Read> {
        let inputs = self.pipeline.inputs.iter().enumerate();
        let read = |(index, input): (usize, &spec::Input)| Read {
            input: index,
            from: match &input.source {
                Source::Topic(topic) => From::Topic(self.environment.name(&topic.name)),
                Source::Files(_) | Source::Postgres(_) => outside(index),
            },
        };
        inputs.map(read).collect()
    }

    fn task(&self, role: Role, reads: Vec<Read>, runs_query: bool, writes: Writes) -> Task {
        let group = self
            .environment
            .name(&names::group(&self.pipeline.name, None));
        Task {
            role,
            reads,
            runs_query,
            writes,
            dead_letters: self.environment.name(&self.pipeline.dead_letters()),
            transactional_id: format!("{group}.{role}"),
            group,
        }
    }
}

#[cfg(test)]
mod tests {
    use spec::{File, Surroundings};

    use super::*;

    fn tasks(environment: &str, from: &str, to: &str) -> Result<Vec<Task>, TasksError> {
        let text = format!(
            "format: 1\npipeline: trips\nrun: continuous\nfrom:\n{from}sql: SELECT * FROM a\nto: {to}\n"
        );
        let file = File::read("a.yaml", text.as_bytes(), &Surroundings::NONE).unwrap();
        compile(&file.pipeline, &environment.parse().unwrap())
    }

    const TOPIC: &str = "  a: { topic: { name: in } }\n";
    const FILES: &str = "  a: { files: { path: x/*.csv, format: csv } }\n";
    const TO_TOPIC: &str = "{ topic: { name: out } }";
    const TO_TABLE: &str =
        "{ postgres: { connection: \"secret:pg\", table: out, mode: upsert, key: id } }";

    #[test]
    fn what_writes_a_topic_is_one_task() {
        let tasks = tasks(
            "dev",
            &format!("{FILES}{}", TOPIC.replace("a:", "b:")),
            TO_TOPIC,
        )
        .unwrap();
        let [task] = tasks.as_slice() else {
            panic!("{tasks:?}")
        };
        assert_eq!(task.role, Role::Main);
        assert!(task.runs_query);
        let from: Vec<_> = task.reads.iter().map(|read| read.from.clone()).collect();
        assert_eq!(from, [From::Outside, From::Topic("dev.in".to_owned())]);
        assert_eq!(task.writes, Writes::Topic("dev.out".to_owned()));
        assert_eq!(task.dead_letters, "dev.trips.dead");
        assert_eq!(task.group, "dev.pl.trips");
        assert_eq!(task.transactional_id, "dev.pl.trips.main");
    }

    #[test]
    fn topics_go_into_a_table_directly_and_files_land_first() {
        let direct = tasks("prod", TOPIC, TO_TABLE).unwrap();
        assert_eq!(direct.len(), 1);
        assert_eq!(direct[0].role, Role::Main);
        let landed = tasks("prod", FILES, TO_TABLE).unwrap();
        let [land, load] = landed.as_slice() else {
            panic!("{landed:?}")
        };
        assert_eq!((land.role, load.role), (Role::Land, Role::Load));
        assert_eq!((land.runs_query, load.runs_query), (false, true));
        assert_eq!(land.writes, Writes::Topic("trips.raw".to_owned()));
        assert_eq!(load.reads[0].from, From::Topic("trips.raw".to_owned()));
        assert_eq!(load.writes, Writes::Table);
        let several = format!("{FILES}{}", FILES.replace("a:", "b:"));
        assert_eq!(
            tasks("prod", &several, TO_TABLE),
            Err(TasksError::SeveralOutside { found: 2 })
        );
    }
}
