//! Why there is no plan.

use std::fmt;

use spec::names::Environment;

use super::wanted::Facts;

/// Something that cannot be done, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    /// The file that wants it.
    pub file: String,
    /// The pipeline.
    pub pipeline: String,
    /// What is wrong.
    pub fault: PlanFault,
}

impl std::error::Error for PlanProblem {}

impl fmt::Display for PlanProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: ", self.file, self.pipeline)?;
        self.fault.fmt(formatter)
    }
}

/// What cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// Where it reads from would be guessed.
    #[error(
        "reads something that it has not read before, and would begin {begins}; say so with --accept-source-change, or write start: under the input"
    )]
    SourceChange {
        /// Where reading would begin.
        begins: String,
    },
    /// How far it has read says nothing of what is read now.
    #[error(
        "how far {input} has been read says nothing once {what} is another; give the input another name, and it is read from its beginning"
    )]
    Unreadable {
        /// The input.
        input: String,
        /// What is another.
        what: &'static str,
    },
    /// A topic is not there.
    #[error("reads the topic {topic}, which is not there; {instead}")]
    NoTopic {
        /// Which.
        topic: String,
        /// What to do.
        instead: String,
    },
    /// Nobody knows what is in it.
    #[error(
        "the columns of {input} are not known: declare columns: under it; `watertable pipeline infer '{of}'` proposes them"
    )]
    Columns {
        /// Which input.
        input: String,
        /// What would have them.
        of: String,
    },
    /// There is no file yet that could say what is in it.
    #[error(
        "there is no file {path} yet with a line in it from which the columns of {input} could be taken; put one there, or declare columns: under it"
    )]
    NoFile {
        /// Which input.
        input: String,
        /// Where files are looked for.
        path: String,
    },
    /// What is read cannot be looked at.
    #[error("the columns of {input} cannot be looked up: {fault}")]
    Input {
        /// Which input.
        input: String,
        /// What is wrong, and what to do.
        fault: String,
    },
    /// A path that another process would not find.
    #[error(
        "the path {path} cannot be made whole with the folder '{folder}' of the file ({why}), and the process that reads it is somewhere else; write the whole path, from / on"
    )]
    Path {
        /// The path.
        path: String,
        /// What it is relative to.
        folder: String,
        /// Why not.
        why: String,
    },
    /// A name that follows is none.
    #[error("the topic {topic} would have a name that Kafka does not take; {instead}")]
    TopicName {
        /// Which.
        topic: String,
        /// What to do.
        instead: &'static str,
    },
    /// Two names are the same for metrics.
    #[error(
        "the topic {topic} would differ from {other} only in . and _, which Kafka's metrics cannot tell apart; choose another name"
    )]
    Collision {
        /// Which.
        topic: String,
        /// The one that is there.
        other: String,
    },
    /// A name of one environment begins as those of another do.
    #[error(
        "the topic {topic} of {owner} would belong to the environment {environment}, whose names begin with {environment}.; {instead}"
    )]
    Prefix {
        /// Which.
        topic: String,
        /// Whose it is.
        owner: String,
        /// The environment that its name belongs to.
        environment: String,
        /// What to do.
        instead: &'static str,
    },
    /// Another pipeline writes the topic.
    #[error(
        "the topic {topic} is written by the pipeline {writer}, which runs; write another one, or remove that pipeline first"
    )]
    Written {
        /// Which.
        topic: String,
        /// Who writes it.
        writer: String,
    },
    /// It would read what comes of its own rows, of which some may be of another folder.
    #[error("a circle of pipelines: {}; let one of them write another topic", .names.join(" -> "))]
    Circle {
        /// Their names in the order of the records, its own again at the end.
        names: Vec<String>,
    },
    /// What is declared is not what is stored.
    #[error(
        "the contract of the topic {topic} has {stored} where {declared} is needed; change the file, or the contract with `watertable topic contract set {topic}`"
    )]
    Contract {
        /// Which.
        topic: String,
        /// What is stored.
        stored: String,
        /// What the file says.
        declared: String,
    },
    /// What a query gives can be no contract.
    #[error("what the query gives cannot be the contract of the topic {topic}: {fault}")]
    Output {
        /// Which.
        topic: String,
        /// What is wrong.
        fault: String,
    },
    /// A column that the sink needs is not there.
    #[error("the query gives no column {column}, which {what} of the sink names")]
    NoColumn {
        /// Which.
        column: String,
        /// What names it.
        what: &'static str,
    },
    /// It is too long to be stored.
    #[error(
        "the file with its query is {bytes} bytes long, and {most} can be kept as a version; make it shorter"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// What it writes to cannot be looked at, or does not fit.
    #[error("where it writes: {fault}")]
    Outside {
        /// What is wrong, and what to do.
        fault: String,
    },
    /// It cannot be compiled.
    #[error("{0}")]
    Tasks(#[from] crate::tasks::TasksError),
    /// What runs was written by a later version.
    #[error(
        "the version that runs (v{version}) cannot be read by this version of Watertable: {fault}; use the one that applied it"
    )]
    Later {
        /// The version.
        version: u32,
        /// What is wrong.
        fault: String,
    },
}

impl PlanFault {
    /// A topic that is read and not there.
    pub(super) fn no_topic(topic: String, environment: &Environment, facts: &Facts) -> Self {
        let known = facts.topics.keys().map(String::as_str);
        let instead = match contract::nearest(&topic, known) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => format!("create it with `watertable topic create {topic}`"),
        };
        let instead = if environment.is_production() {
            instead
        } else {
            format!("names of the environment {environment} begin with {environment}.; {instead}")
        };
        Self::NoTopic { topic, instead }
    }
}
