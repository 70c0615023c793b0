//! The topology of a group as heartbeats find it: declared by the first member, configured by the topics there are.
//!
//! Invariant: nothing durable changes here; only what was found out about topics is remembered, and found out again as
//! long as the group's record does not have its hash.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::StreamsHeartbeatError;
use super::record::StreamsRecord;
use super::request::DeclaredTopology;
use super::state::StreamsGroup;
use super::tasks::TaskSet;
use super::topics::ConfiguredTopology;
use super::topics::configure::configure;
use super::topology::StreamsTopology;
use crate::group::modern::hash::metadata_hash;
use crate::group::modern::topics::TopicsImage;

/// The group's topology after the member told its own: the first stays.
pub(super) fn updated_topology(
    group: &StreamsGroup,
    declared: Option<DeclaredTopology>,
    records: &mut Vec<StreamsRecord>,
) -> Result<Arc<StreamsTopology>, StreamsHeartbeatError> {
    let declared = declared.map(topology).transpose()?;
    match (declared, group.topology()) {
        (Some(declared), None) => {
            records.push(StreamsRecord::Topology(Some(declared.clone())));
            Ok(Arc::new(declared))
        }
        (Some(declared), Some(known)) if known.epoch <= declared.epoch && **known != declared => {
            Err(StreamsHeartbeatError::TopologyChanged)
        }
        (_, Some(known)) => Ok(Arc::clone(known)),
        (None, None) => Err(StreamsHeartbeatError::Contradiction(
            "neither the member nor the group has a topology",
        )),
    }
}

fn topology(declared: DeclaredTopology) -> Result<StreamsTopology, StreamsHeartbeatError> {
    let count = declared.subtopologies.len();
    let subtopologies: BTreeMap<_, _> = declared.subtopologies.into_iter().collect();
    if subtopologies.len() != count {
        return Err(StreamsHeartbeatError::Contradiction(
            "a subtopology is listed twice in the topology",
        ));
    }
    if declared.epoch < 0 {
        return Err(StreamsHeartbeatError::Contradiction(
            "the epoch of the topology is negative",
        ));
    }
    Ok(StreamsTopology {
        epoch: declared.epoch,
        subtopologies,
    })
}

/// The configured topology and the hash of its topics, found out again if either may have changed.
pub(super) fn configured_topology(
    group: &mut StreamsGroup,
    topology: &Arc<StreamsTopology>,
    topics: &TopicsImage,
) -> Result<(Arc<ConfiguredTopology>, i64), StreamsHeartbeatError> {
    let known_hash = group.metadata().metadata_hash;
    if let Some(configured) = &group.configured
        && !group.needs_refresh
        && group.topology().is_some()
    {
        return Ok((Arc::clone(configured), known_hash));
    }
    let hash = metadata_hash(topology.required_topics(), topics);
    if let Some(configured) = &group.configured
        && hash == known_hash
        && group.configured_hash == hash
        && group.topology().is_some()
    {
        group.needs_refresh = false;
        return Ok((Arc::clone(configured), hash));
    }
    let partitions = |topic: &types::TopicName| {
        let topic = topics.by_name(topic.as_str());
        topic.map(|topic| topic.partitions)
    };
    let configured = Arc::new(configure(topology, &partitions)?);
    // Until the hash is the group's, which only a record makes it, the next heartbeat looks again; it never comes to
    // be if this heartbeat is refused, and then the topics may become again what they were.
    group.configured = Some(Arc::clone(&configured));
    group.configured_hash = hash;
    Ok((configured, hash))
}

/// The tasks that a member says it has must exist.
pub(super) fn check_owned(
    configured: &ConfiguredTopology,
    owned: Option<&TaskSet>,
) -> Result<(), StreamsHeartbeatError> {
    let Some((owned, subtopologies)) = owned.zip(configured.subtopologies.as_ref()) else {
        return Ok(());
    };
    let all = [&owned.active, &owned.standby, &owned.warmup];
    for (id, partitions) in all.into_iter().flatten() {
        let subtopology = subtopologies
            .get(id)
            .ok_or_else(|| StreamsHeartbeatError::NoSuchSubtopology(id.clone()))?;
        let tasks = subtopology.tasks;
        if let Some(partition) = partitions
            .iter()
            .find(|partition| !(0..tasks).contains(*partition))
        {
            return Err(StreamsHeartbeatError::NoSuchTask {
                subtopology: id.clone(),
                partition: *partition,
                tasks,
            });
        }
    }
    Ok(())
}
