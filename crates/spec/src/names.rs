//! Names: what pipelines, inputs, columns and topics can be called, and the names that follow from those of pipelines.
//!
//! Invariant: the names that follow are stored in clusters, so how they are made never changes; and each is a legal name of a topic
//! for every pipeline and environment there can be.

use std::fmt;
use std::str::FromStr;

use contract::NAME_BYTES_MAX as COLUMN_BYTES_MAX;

use crate::problem::Cause;
use crate::shape::Rule;

/// The longest name of a pipeline: with what is put around it, it is still a name of a topic.
pub const PIPELINE_NAME_BYTES_MAX: usize = 128;
/// The longest name of an environment, of an input and of a parameter.
pub const SHORT_NAME_BYTES_MAX: usize = 63;
/// The longest name of a topic (`org.apache.kafka.common.internals.Topic`).
const TOPIC_NAME_BYTES_MAX: usize = 249;
/// What the names of the system's own topics begin with.
pub(crate) const INTERNAL_PREFIX: &str = "__";
/// The environment whose names have no prefix.
pub const PRODUCTION: &str = "prod";

/// What is wrong with a text that has to be something: the rule.
fn unless(fits: bool, found: &str, rule: &'static str) -> Result<(), Cause> {
    if fits {
        return Ok(());
    }
    let found = found.chars().take(60).collect();
    Err(Cause::Unfit { found, rule })
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let mut bytes = text.bytes();
    text.len() <= bytes_max
        && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

macro_rules! name_rule {
    ($rule:ident, $what:literal, $most:expr) => {
        pub(crate) static $rule: Rule = Rule::new($what, "^[a-z][a-z0-9_]*$", |text| {
            unless(is_name(text, $most), text, $what)
        });
    };
}

name_rule!(
    PIPELINE_NAME,
    "a name of a pipeline: a small letter, then small letters, digits and _, at most 128, as trips_clean",
    PIPELINE_NAME_BYTES_MAX
);
name_rule!(
    INPUT_NAME,
    "a name of an input: a small letter, then small letters, digits and _, at most 63, as trips",
    SHORT_NAME_BYTES_MAX
);
name_rule!(
    PARAMETER_NAME,
    "a name of a parameter: a small letter, then small letters, digits and _, at most 63, as adult",
    SHORT_NAME_BYTES_MAX
);
name_rule!(
    SECRET_NAME,
    "a name of a secret: a small letter, then small letters, digits and _, at most 63, as pg_app",
    SHORT_NAME_BYTES_MAX
);

const COLUMN_FORM: &str = "a name of a column: 1 to 256 bytes, as trip_id";
pub(crate) static COLUMN: Rule = Rule::new(COLUMN_FORM, "", |text| {
    let fits = (1..=COLUMN_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    unless(fits, text, COLUMN_FORM)
});

const LINE_FORM: &str = "a line of text";
pub(crate) static LINE: Rule = Rule::new(LINE_FORM, "", |text| {
    let fits = (1..=1000).contains(&text.len()) && !text.chars().any(char::is_control);
    unless(fits, text, LINE_FORM)
});

pub(crate) static DESCRIPTION: Rule = Rule::new("text for people", "", |text| {
    let (bytes, most) = (text.len(), 10_000);
    if bytes > most {
        return Err(Cause::TooLong { bytes, most });
    }
    Ok(())
});

const TOPIC_WHAT: &str = "a name of a topic, as trips.clean";
pub(crate) static TOPIC: Rule = Rule::new(TOPIC_WHAT, "", check_topic).replaced();
pub(crate) static WRITTEN_TOPIC: Rule = Rule::new(TOPIC_WHAT, "", |text| {
    check_topic(text)?;
    if text.starts_with(INTERNAL_PREFIX) {
        let name = text.to_owned();
        return Err(Cause::InternalTopic { name });
    }
    Ok(())
})
.replaced();

/// The rules of Kafka (`org.apache.kafka.common.internals.Topic`).
fn check_topic(name: &str) -> Result<(), Cause> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_legal)
        && !matches!(name, "." | "..");
    if fits {
        return Ok(());
    }
    let name = name.chars().take(60).collect();
    Err(Cause::TopicName { name })
}

/// Whether Kafka takes this as the name of a topic.
pub fn is_topic(name: &str) -> bool {
    check_topic(name).is_ok()
}

/// What two names that collide have in common: metrics' names cannot tell `.` from `_` (`Topic.hasCollision`).
pub fn unified(topic: &str) -> String {
    topic.replace('.', "_")
}

/// The topic that a pipeline's dead letters go to unless its file names another one.
pub fn dead_letters(pipeline: &str) -> String {
    format!("{pipeline}.dead")
}

/// The topic in which a source lands that cannot be read again.
pub fn landing(pipeline: &str) -> String {
    format!("{pipeline}.raw")
}

/// The consumer group of a pipeline; from its first rebuild on with the version.
pub fn group(pipeline: &str, version: Option<u32>) -> String {
    match version {
        None => format!("pl.{pipeline}"),
        Some(version) => format!("pl.{pipeline}.v{version}"),
    }
}

/// The topics of the system, one of each for a cluster; their records are keyed by environment first.
pub mod internal {
    /// What runs: the versions of pipelines.
    pub const PIPELINES: &str = "__pipelines";
    /// What was deployed, and what was asked of those who run pipelines.
    pub const DEPLOYMENTS: &str = "__deployments";
    /// How far tasks have read.
    pub const POSITIONS: &str = "__positions";
    /// Executions.
    pub const RUNS: &str = "__runs";
    /// What checks have found.
    pub const CHECK_RESULTS: &str = "__check_results";
    /// What those who run pipelines say.
    pub const LOGS: &str = "__logs";
}

/// The transactional id of those who change what runs: of two at once one wins.
pub const CONTROL: &str = "pl.control";

/// A name that pipelines run under, with its secrets and variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment(String);

/// A text that is no name of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name of an environment is a small letter, then small letters, digits and _, at most 63, as dev"
)]
pub struct NoEnvironment;

impl FromStr for Environment {
    type Err = NoEnvironment;

    fn from_str(text: &str) -> Result<Self, NoEnvironment> {
        let fits = is_name(text, SHORT_NAME_BYTES_MAX);
        fits.then(|| Self(text.to_owned())).ok_or(NoEnvironment)
    }
}

impl Environment {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its names have no prefix.
    pub fn is_production(&self) -> bool {
        self.0 == PRODUCTION
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The internal topics of one pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Internal {
    /// The changes of the state of a version.
    State(u32),
    /// Rows by another key, of a version.
    Repartition(u32),
    /// What the sources without partitions are cut into.
    Splits,
    /// What a check keeps back.
    Held,
}

impl Environment {
    /// The name that a topic, a group or a transactional id of this name has in the environment.
    pub fn name(&self, name: &str) -> String {
        if self.0 == PRODUCTION {
            name.to_owned()
        } else {
            format!("{}.{name}", self.0)
        }
    }

    /// The name of an internal topic of a pipeline: the environment follows the first part.
    pub fn internal(&self, topic: Internal, pipeline: &str) -> String {
        let pipeline = self.name(pipeline);
        match topic {
            Internal::State(version) => format!("__state.{pipeline}.v{version}"),
            Internal::Repartition(version) => format!("__repartition.{pipeline}.v{version}"),
            Internal::Splits => format!("__splits.{pipeline}"),
            Internal::Held => format!("__held.{pipeline}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_those_of_pipelines() {
        let dev: Environment = "dev".parse().unwrap();
        let production: Environment = PRODUCTION.parse().unwrap();
        assert_eq!(dead_letters("trips_clean"), "trips_clean.dead");
        assert_eq!(landing("scf"), "scf.raw");
        assert_eq!(group("scf", None), "pl.scf");
        assert_eq!(dev.name(&group("scf", Some(8))), "dev.pl.scf.v8");
        assert_eq!(production.name("trips.clean"), "trips.clean");
        let state = Internal::State(8);
        assert_eq!(
            dev.internal(state, "page_minutes"),
            "__state.dev.page_minutes.v8"
        );
        assert_eq!(production.internal(Internal::Held, "a"), "__held.a");
        assert_eq!("Dev".parse::<Environment>(), Err(NoEnvironment));
    }

    #[test]
    fn the_longest_names_that_follow_are_names_of_topics() {
        let environment: Environment = "e".repeat(SHORT_NAME_BYTES_MAX).parse().unwrap();
        let pipeline = "p".repeat(PIPELINE_NAME_BYTES_MAX);
        assert!((PIPELINE_NAME.fits)(&pipeline).is_ok());
        for topic in [
            Internal::State(u32::MAX),
            Internal::Repartition(u32::MAX),
            Internal::Splits,
            Internal::Held,
        ] {
            assert_eq!(check_topic(&environment.internal(topic, &pipeline)), Ok(()));
        }
        for topic in [
            dead_letters(&pipeline),
            landing(&pipeline),
            group(&pipeline, Some(u32::MAX)),
        ] {
            assert_eq!(check_topic(&environment.name(&topic)), Ok(()));
        }
    }

    #[test]
    fn names_of_topics_are_those_that_kafka_takes() {
        for name in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(check_topic(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            assert!(check_topic(name).is_err(), "{name}");
        }
    }
}
