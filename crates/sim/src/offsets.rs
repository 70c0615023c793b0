//! Offsets that a group commits and asks for, each answer checked with what is known.

use crate::client::Client;
use crate::plan::Partition;
use crate::requests::{self, Committer};
use crate::world::World;

/// Commits offsets. The codes by partition, `None` without an answer.
pub(crate) async fn commit(
    world: &World,
    client: &mut Client,
    group: &str,
    committer: &Committer,
    offsets: &[(Partition, i64)],
) -> Option<Vec<i16>> {
    let commits = &world.model.commits;
    let process = world.starts();
    let names: Vec<_> = offsets
        .iter()
        .map(|(partition, offset)| commits.sent(group, partition, *offset, process))
        .collect();
    let request = requests::commit(group, committer, offsets);
    let answer = client.call(&request, requests::COMMIT).await.ok()?;
    let mut codes = Vec::new();
    for topic in &answer.topics {
        for part in &topic.partitions {
            codes.push(part.error_code);
            let place = offsets.iter().position(|(partition, _)| {
                partition.topic == topic.name && partition.index == part.partition_index
            });
            if let Some(place) = place.filter(|_| part.error_code == 0) {
                commits.acknowledged(group, &offsets[place].0, names[place]);
            }
        }
    }
    Some(codes)
}

/// What the group committed, by partition; `None` without an answer that says so of all.
pub(crate) async fn committed(
    world: &World,
    client: &mut Client,
    group: &str,
    partitions: &[Partition],
) -> Option<Vec<Option<i64>>> {
    let asked = world.model.commits.moment();
    let request = requests::committed(group, partitions);
    let answer = client.call(&request, requests::COMMITTED).await.ok()?;
    let told = answer.groups.first().filter(|told| told.error_code == 0)?;
    let mut committed = vec![None; partitions.len()];
    for topic in &told.topics {
        for part in &topic.partitions {
            let place = partitions.iter().position(|partition| {
                partition.topic == topic.name && partition.index == part.partition_index
            });
            if part.error_code != 0 {
                return None;
            }
            if let Some(place) = place {
                committed[place] = Some(part.committed_offset).filter(|offset| *offset >= 0);
            }
        }
    }
    for (partition, offset) in partitions.iter().zip(&committed) {
        world.model.commits.told(group, partition, asked, *offset);
    }
    Some(committed)
}
