//! Which partitions the tasks of each member read, so that clients know where to ask interactive queries.
//!
//! After `EndpointToPartitionsManager.java` and `StreamsGroup.buildEndpointToPartitions`. Kafka fails the heartbeat
//! where the topology has no partition counts yet; here such a member serves nothing until there are.

use std::collections::BTreeSet;

use types::TopicName;

use super::member::{Member, UserEndpoint};
use super::state::StreamsGroup;
use super::tasks::Tasks;
use super::topics::ConfiguredTopology;
use crate::group::modern::topics::TopicsImage;

/// What one endpoint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPartitions {
    /// The endpoint.
    pub endpoint: UserEndpoint,
    /// Partitions its active tasks read, by topic.
    pub active: Vec<(TopicName, Vec<i32>)>,
    /// Partitions its standby tasks would read, by topic.
    pub standby: Vec<(TopicName, Vec<i32>)>,
}

/// What every endpoint of the group serves; `updated` stands for itself as it will be.
pub(crate) fn endpoint_partitions(
    group: &StreamsGroup,
    updated: &Member,
    configured: &ConfiguredTopology,
    topics: &TopicsImage,
) -> Vec<EndpointPartitions> {
    let others = group.members().values();
    let others = others.filter(|member| member.id != updated.id);
    others
        .chain(std::iter::once(updated))
        .filter_map(|member| {
            let endpoint = member.metadata.user_endpoint.clone()?;
            let assigned = &member.current.assigned;
            let active: Tasks = assigned
                .active
                .iter()
                .map(|(subtopology, partitions)| {
                    let partitions: BTreeSet<i32> = partitions.keys().copied().collect();
                    (subtopology.clone(), partitions)
                })
                .collect();
            Some(EndpointPartitions {
                endpoint,
                active: partitions(&active, configured, topics),
                standby: partitions(&assigned.standby, configured, topics),
            })
        })
        .collect()
}

fn partitions(
    tasks: &Tasks,
    configured: &ConfiguredTopology,
    topics: &TopicsImage,
) -> Vec<(TopicName, Vec<i32>)> {
    let mut partitions = Vec::new();
    for (id, tasks) in tasks {
        let subtopologies = configured.subtopologies.as_ref();
        let Some(subtopology) = subtopologies.and_then(|subtopologies| subtopologies.get(id))
        else {
            continue;
        };
        let inputs: BTreeSet<&TopicName> = subtopology.input_topics().collect();
        for topic in inputs {
            let Some(image) = topics.by_name(topic.as_str()) else {
                continue;
            };
            // A topic with fewer partitions than there are tasks here: the first ones, as Kafka says it.
            let limit = usize::try_from(image.partitions).unwrap_or(0);
            let of_topic = tasks.iter().copied().take(limit).collect();
            partitions.push((topic.clone(), of_topic));
        }
    }
    partitions
}
