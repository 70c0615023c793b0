//! Where groups stand: committed offsets, and the start offsets of share groups, beside what there is to read.

use std::sync::Arc;

use coordinator::{
    CommittedOffset, FetchOffsetsRequest, FetchedTopic, GroupType, TopicPartitions, TopicSelection,
};
use types::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicName};

use super::groups::unanswered;
use super::{GroupView, Unanswered, View};

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffsetView {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset it reads next; of a share group the one below which everything is settled. A bare number, because
    /// Kafka keeps whatever a client sends.
    pub offset: i64,
    /// The leader epoch of the last record read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client keeps beside the offset; share groups keep nothing.
    pub metadata: Option<Arc<str>>,
    /// When it was committed.
    pub committed: Option<Timestamp>,
    /// The end of what readers may see; `None` if there is no such partition here.
    pub high_watermark: Option<Offset>,
    /// Records from there to the high watermark that the group has not settled; negative if the group is ahead of it.
    pub lag: Option<i64>,
}

impl View {
    /// Where a group stands in each partition that it has an offset of.
    ///
    /// # Errors
    /// A coordinator does not answer.
    pub async fn group_offsets(
        &self,
        group: &GroupView,
    ) -> Result<Vec<GroupOffsetView>, Unanswered> {
        match group.kind {
            GroupType::Share => self.share_offsets(group).await,
            GroupType::Classic | GroupType::Consumer | GroupType::Streams => {
                self.committed_offsets(group).await
            }
        }
    }

    async fn committed_offsets(
        &self,
        group: &GroupView,
    ) -> Result<Vec<GroupOffsetView>, Unanswered> {
        let request = FetchOffsetsRequest {
            group: group.group.clone(),
            member: None,
            member_epoch: -1,
            topics: TopicSelection::All,
            require_stable: false,
        };
        let fetched = self.services.groups.fetch_offsets(request).await;
        // A refusal is one of a member, and nobody was named: it is a group that has just become one of another kind.
        let topics = fetched.map_err(unanswered)?.unwrap_or_default();
        Ok(topics
            .iter()
            .flat_map(|topic| self.of_topic(topic))
            .collect())
    }

    fn of_topic<'a>(
        &'a self,
        topic: &'a FetchedTopic,
    ) -> impl Iterator<Item = GroupOffsetView> + use<'a> {
        topic.partitions.iter().filter_map(|fetched| {
            let committed = fetched.result.as_ref().ok()?.as_ref()?;
            Some(self.committed(&topic.topic, fetched.partition, committed))
        })
    }

    fn committed(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        committed: &CommittedOffset,
    ) -> GroupOffsetView {
        let high_watermark = self.high_watermark(topic.as_str(), partition.value());
        GroupOffsetView {
            topic: topic.clone(),
            partition,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: Some(Arc::clone(&committed.metadata)),
            committed: Some(committed.commit_timestamp),
            high_watermark,
            lag: high_watermark.map(|end| end.value().saturating_sub(committed.offset)),
        }
    }

    fn high_watermark(&self, topic: &str, index: i32) -> Option<Offset> {
        let topics = &self.services.topics;
        let led = topics.leading_by_name(&topics.image(), topic, index);
        Some(led.ok()?.log.offsets().high_watermark)
    }

    async fn share_offsets(&self, group: &GroupView) -> Result<Vec<GroupOffsetView>, Unanswered> {
        let shares = &self.services.shares;
        let partitions: TopicPartitions = shares
            .initialized_partitions(&group.group)
            .await
            .map_err(unanswered)?;
        let image = shares.topics.image();
        let mut views = Vec::new();
        for (id, partition) in partitions.iter() {
            let Some(topic) = image.topic_by_id(id) else {
                continue;
            };
            let standing = shares.standing(&group.group, topic, partition.value());
            // Nothing was handed out yet, or the partition went elsewhere.
            let Ok(Some(standing)) = standing.await else {
                continue;
            };
            if let Some(progress) = standing.progress {
                views.push(GroupOffsetView {
                    topic: topic.name.clone(),
                    partition,
                    offset: standing.start_offset,
                    leader_epoch: LeaderEpoch::new(standing.leader_epoch),
                    metadata: None,
                    committed: None,
                    high_watermark: Some(progress.high_watermark),
                    lag: Some(progress.lag),
                });
            }
        }
        Ok(views)
    }
}
