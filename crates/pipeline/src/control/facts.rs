//! [`facts`]: what a plan has to know of the cluster.
//!
//! Invariant: it asks, and changes nothing. Settings are read of the topics that files name, offsets of at most [`GROUPS_MAX`]
//! groups.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{AdminError, ConfigResource, describe_configs, list_groups};
use client::{Cluster, FetchOffsetsError, GroupCoordinator, MetadataError, TopicSelection};
use contract::{Contract, ContractError};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::plan::{Facts, TopicFacts};

/// Of more groups the offsets are not read.
const GROUPS_MAX: usize = 1000;
/// So many questions are on their way at once.
const AT_ONCE: usize = 8;
const CLEANUP: &str = "cleanup.policy";

/// Why the cluster is not known.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Topics cannot be listed.
    #[error("cannot list the topics")]
    Topics(#[from] MetadataError),
    /// Settings or groups cannot be read.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// What a group has read cannot be.
    #[error("cannot read the offsets of a group")]
    Group(#[from] FetchOffsetsError),
    /// The contract of a topic is none.
    #[error("the contract of the topic '{topic}' cannot be read")]
    Contract {
        /// Which.
        topic: String,
        /// What is wrong with it.
        #[source]
        source: Box<ContractError>,
    },
}

/// What there is: all topics, with the settings of those that are named and the groups that have read them.
///
/// # Errors
/// The brokers cannot be asked.
pub async fn facts(cluster: &Cluster, named: &BTreeSet<String>) -> Result<Facts, FactsError> {
    let metadata = cluster.metadata(TopicSelection::All).await?;
    let mut topics = BTreeMap::new();
    for (name, topic) in metadata.topics {
        let Ok(topic) = topic else { continue };
        let id = topic.id.to_string();
        let is_told = topic.id != protocol::Uuid::default();
        let facts = TopicFacts {
            id: is_told.then_some(id),
            partitions: topic.partition_count(),
            ..TopicFacts::default()
        };
        topics.insert(name.as_ref().to_owned(), facts);
    }
    let there: Vec<String> = named
        .iter()
        .filter(|name| topics.contains_key(*name))
        .cloned()
        .collect();
    let settings = stream::iter(there.iter().map(|topic| settings(cluster, topic)));
    let mut settings = settings.buffered(AT_ONCE);
    for topic in &there {
        let Some((cleanup, contract)) = settings.try_next().await? else {
            break;
        };
        if let Some(facts) = topics.get_mut(topic) {
            facts.cleanup = cleanup;
            facts.contract = contract;
        }
    }
    drop(settings);
    let groups = groups(cluster, &there).await?;
    Ok(Facts { topics, groups })
}

/// The cleanup policy and the contract of a topic.
async fn settings(
    cluster: &Cluster,
    topic: &str,
) -> Result<(Option<String>, Option<Contract>), FactsError> {
    let resource = ConfigResource::Topic(topic.to_owned());
    let names = [CLEANUP.to_owned(), contract::SETTING.to_owned()];
    let entries = describe_configs(cluster, &resource, Some(&names), false).await?;
    let value = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.and_then(|entry| entry.value.clone())
    };
    let text = value(contract::SETTING).filter(|text| !text.is_empty());
    let contract = text.map(|text| Contract::parse(&text)).transpose();
    let contract = contract.map_err(|source| FactsError::Contract {
        topic: topic.to_owned(),
        source: Box::new(source),
    })?;
    Ok((value(CLEANUP), contract))
}

/// The groups that have committed an offset of one of these topics.
async fn groups(
    cluster: &Cluster,
    topics: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, FactsError> {
    let mut of_topics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if topics.is_empty() {
        return Ok(of_topics);
    }
    let listed = list_groups(cluster, &[], &[]).await?;
    let ids = listed.into_iter().map(|group| group.group_id);
    let asked = stream::iter(ids.take(GROUPS_MAX).map(|id| read(cluster, id)));
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some((group, read)) = asked.try_next().await? {
        for topic in topics.iter().filter(|topic| read.contains(*topic)) {
            let groups = of_topics.entry(topic.clone()).or_default();
            groups.insert(group.clone());
        }
    }
    Ok(of_topics)
}

/// The topics of which a group has committed an offset.
async fn read(cluster: &Cluster, group: String) -> Result<(String, BTreeSet<String>), FactsError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group.as_str());
    match client::fetch_committed_offsets(&coordinator, None).await {
        Ok(offsets) => {
            let topics = offsets
                .into_keys()
                .map(|place| place.topic.as_ref().to_owned());
            Ok((group, topics.collect()))
        }
        // It is gone by now, or of a kind that commits none.
        Err(FetchOffsetsError::Refused { .. }) => Ok((group, BTreeSet::new())),
        Err(error) => Err(error.into()),
    }
}
