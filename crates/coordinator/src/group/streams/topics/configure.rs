//! What follows for a topology from the topics there are.
//!
//! After `InternalTopicManager.java`: source topics must exist, the partition counts of internal topics are decided, and
//! internal topics that exist must agree with them. Missing internal topics are what the broker then creates.

use std::collections::BTreeMap;

use types::TopicName;

use super::super::topology::{InternalTopic, StreamsTopology, Subtopology};
use super::copartition::{copartition_groups, enforce_copartitioning};
use super::problem::{ConfigureError, TopicProblem};
use super::repartition::{changelog_counts, repartition_counts};
use super::{
    ConfiguredSubtopology, ConfiguredTopology, CreatableTopic, DecidedCounts, PartitionCounts,
    known_count, missing_source_topics,
};

/// What ends the configuration early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A status for the members.
    #[error("{0}")]
    Problem(TopicProblem),
    /// A refusal.
    #[error(transparent)]
    Error(#[from] ConfigureError),
}

impl From<TopicProblem> for Failure {
    fn from(problem: TopicProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Configures a topology.
///
/// # Errors
/// It can run on no topics at all.
pub(crate) fn configure(
    topology: &StreamsTopology,
    existing: PartitionCounts<'_>,
) -> Result<ConfiguredTopology, ConfigureError> {
    match try_configure(topology, existing) {
        Ok(configured) => Ok(configured),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Problem(problem)) => Ok(ConfiguredTopology {
            epoch: topology.epoch,
            subtopologies: None,
            missing_topics: Vec::new(),
            problem: Some(problem),
        }),
    }
}

fn try_configure(
    topology: &StreamsTopology,
    existing: PartitionCounts<'_>,
) -> Result<ConfiguredTopology, Failure> {
    let groups = copartition_groups(topology)?;
    let missing = missing_source_topics(topology, existing);
    if !missing.is_empty() {
        return Err(TopicProblem::MissingSourceTopics(missing).into());
    }
    let mut decided = repartition_counts(topology, existing)?;
    enforce_copartitioning(topology, &groups, existing, &mut decided)?;
    let changelogs = changelog_counts(topology, existing, &decided)?;
    decided.extend(changelogs);

    let mut subtopologies = BTreeMap::new();
    for (id, subtopology) in &topology.subtopologies {
        let configured = configured_subtopology(subtopology, existing, &decided)?
            .ok_or_else(|| ConfigureError::NoSourceTopics(id.clone()))?;
        subtopologies.insert(id.clone(), configured);
    }
    let missing_topics = missing_internal_topics(&subtopologies, existing)?;
    let problem = (!missing_topics.is_empty()).then(|| {
        let names = missing_topics.iter().map(|topic| topic.name.clone());
        TopicProblem::MissingInternalTopics(names.collect())
    });
    Ok(ConfiguredTopology {
        epoch: topology.epoch,
        subtopologies: Some(subtopologies),
        missing_topics,
        problem,
    })
}

/// `None` if it reads nothing.
fn configured_subtopology(
    subtopology: &Subtopology,
    existing: PartitionCounts<'_>,
    decided: &DecidedCounts,
) -> Result<Option<ConfiguredSubtopology>, ConfigureError> {
    let inputs = subtopology.input_topics();
    let largest = inputs
        .filter_map(|topic| known_count(topic, existing, decided).map(|count| (count, topic)))
        .max();
    let Some((tasks, largest)) = largest else {
        return Ok(None);
    };
    if tasks < 1 {
        return Err(ConfigureError::ImpossiblePartitionCount {
            topic: largest.clone(),
            partitions: tasks,
        });
    }
    Ok(Some(ConfiguredSubtopology {
        tasks,
        source_topics: subtopology.source_topics.clone(),
        repartition_sink_topics: subtopology.repartition_sink_topics.clone(),
        repartition_source_topics: creatable(&subtopology.repartition_source_topics, decided)?,
        state_changelog_topics: creatable(&subtopology.state_changelog_topics, decided)?,
    }))
}

fn creatable(
    topics: &[InternalTopic],
    decided: &DecidedCounts,
) -> Result<BTreeMap<TopicName, CreatableTopic>, ConfigureError> {
    let creatable = |topic: &InternalTopic| {
        let partitions = match topic.partitions {
            0 => decided.get(&topic.name).copied().unwrap_or(0),
            fixed => fixed,
        };
        if partitions < 1 {
            return Err(ConfigureError::ImpossiblePartitionCount {
                topic: topic.name.clone(),
                partitions,
            });
        }
        let creatable = CreatableTopic {
            name: topic.name.clone(),
            partitions,
            replication_factor: Some(topic.replication_factor).filter(|factor| *factor != 0),
            configs: topic.configs.iter().cloned().collect(),
        };
        Ok((topic.name.clone(), creatable))
    };
    topics.iter().map(creatable).collect()
}

/// The internal topics that do not exist, by name. Those that do must have the number of partitions decided.
fn missing_internal_topics(
    subtopologies: &BTreeMap<super::SubtopologyId, ConfiguredSubtopology>,
    existing: PartitionCounts<'_>,
) -> Result<Vec<CreatableTopic>, TopicProblem> {
    let mut needed: BTreeMap<&TopicName, &CreatableTopic> = BTreeMap::new();
    for subtopology in subtopologies.values() {
        needed.extend(&subtopology.repartition_source_topics);
        needed.extend(&subtopology.state_changelog_topics);
    }
    let mut missing = Vec::new();
    for (name, topic) in needed {
        match existing(name) {
            None => missing.push(topic.clone()),
            Some(found) if found != topic.partitions => {
                return Err(TopicProblem::UnexpectedPartitionCount {
                    topic: name.clone(),
                    expected: topic.partitions,
                    found,
                });
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}
