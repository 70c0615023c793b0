//! What tables have in common that ask one thing after the other.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use types::TopicName;

use super::Source;
use super::wish::Wish;
use crate::system::{Group, System, Unanswered};

/// A partition of a topic.
#[derive(Clone, Debug)]
pub(super) struct PartitionPart {
    pub(super) topic: TopicName,
    pub(super) partition: i32,
}

/// The partitions that a query is about, by the columns `topic` and `partition`.
pub(super) async fn partitions(source: &Arc<Source>, wish: &Wish) -> Result<Vec<PartitionPart>> {
    let (system, wish) = (Arc::clone(&source.system), wish.clone());
    let list = move || {
        let topics = system.topics().into_iter();
        let wanted = topics.filter(|topic| wish.allows("topic", topic.name.as_str()));
        let parts = wanted.flat_map(|topic| {
            let name = topic.name;
            (0..topic.partitions).map(move |partition| PartitionPart {
                topic: name.clone(),
                partition,
            })
        });
        parts
            .filter(|part| wish.allows_number("partition", part.partition))
            .collect()
    };
    source.asking.run(list).await
}

/// Asks for one part after the other until there are rows enough, where waiting for the disk holds nobody up.
pub(super) async fn ask<P, R>(
    source: &Source,
    parts: &mut VecDeque<P>,
    enough: usize,
    rows: fn(&dyn System, P) -> Vec<R>,
) -> Result<Vec<R>>
where
    P: Send + 'static,
    R: Send + 'static,
{
    let system = Arc::clone(&source.system);
    let mut rest = std::mem::take(parts);
    let asked = source.asking.run(move || {
        let mut all = Vec::new();
        while all.len() < enough
            && let Some(part) = rest.pop_front()
        {
            all.append(&mut rows(&*system, part));
        }
        (all, rest)
    });
    let (all, rest) = asked.await?;
    *parts = rest;
    Ok(all)
}

/// The groups that a query is about, by the column `group_id`.
pub(super) async fn groups(source: &Source, wish: &Wish) -> Result<Vec<Group>> {
    let mut groups = source.system.groups().await.map_err(unanswered)?;
    groups.retain(|group| {
        wish.allows("group_id", group.group.as_str()) && wish.allows("type", group.kind.name())
    });
    groups.sort_by(|one, other| one.group.as_str().cmp(other.group.as_str()));
    Ok(groups)
}

/// Bytes of memory that texts take.
pub(super) fn bytes(texts: &[String]) -> usize {
    let each = texts.iter().map(|text| size_of::<String>() + text.len());
    each.sum()
}

pub(super) fn unanswered(error: Unanswered) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
