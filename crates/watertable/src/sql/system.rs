//! What the broker tells of itself, as the schema `sys` wants it.

use std::sync::Arc;

use async_trait::async_trait;
use broker::View;
use broker::view::{
    ConnectionView, GroupDescription, GroupOffsetView, GroupType, GroupView, MemberView,
    PartitionView, TransactionView, Unanswered,
};
use env::{Clock, SystemClock};
use metadata::settings::{CleanupPolicy, ConfigEntry, Resource};
use pipeline::control::{FollowError, Lag};
use sql::{System, system};
use storage::{ActiveProducer, LogSegment};
use types::{Timestamp, TopicName, TransactionalId};

use crate::pipelines::Standing;

/// A broker, and the pipelines that its topics tell of.
#[derive(Debug)]
pub(super) struct BrokerSystem {
    pub(super) view: View,
    pub(super) pipelines: Standing,
}

#[async_trait]
impl System for BrokerSystem {
    fn topics(&self) -> Vec<system::Topic> {
        self.view.topics().iter().map(topic).collect()
    }

    fn partition(&self, topic: &TopicName, partition: i32) -> Option<system::Partition> {
        let view = self.view.partition(topic.as_str(), partition)?;
        let PartitionView {
            leader,
            leader_epoch,
            is_offline,
            offsets,
            size_bytes,
        } = view;
        Some(system::Partition {
            leader: leader.map(|broker| broker.0),
            leader_epoch,
            is_offline,
            offsets,
            size_bytes,
        })
    }

    fn segments(&self, topic: &TopicName, partition: i32) -> Vec<LogSegment> {
        self.view.segments(topic.as_str(), partition)
    }

    fn producers(&self, topic: &TopicName, partition: i32) -> Vec<ActiveProducer> {
        self.view.producers(topic.as_str(), partition)
    }

    fn resources(&self) -> Vec<Resource> {
        self.view.resources()
    }

    fn settings(&self, resource: &Resource) -> Vec<ConfigEntry> {
        self.view.settings(resource)
    }

    fn connections(&self) -> Vec<system::Connection> {
        self.view
            .connections()
            .into_iter()
            .map(connection)
            .collect()
    }

    async fn groups(&self) -> Result<Vec<system::Group>, system::Unanswered> {
        let groups = self.view.groups().await.map_err(unanswered)?;
        Ok(groups.into_iter().map(group).collect())
    }

    async fn describe_group(
        &self,
        group: &system::Group,
    ) -> Result<Option<system::GroupDescription>, system::Unanswered> {
        let described = self.view.describe_group(&group_view(group)).await;
        Ok(described.map_err(unanswered)?.map(description))
    }

    async fn group_offsets(
        &self,
        group: &system::Group,
    ) -> Result<Vec<system::GroupOffset>, system::Unanswered> {
        let offsets = self.view.group_offsets(&group_view(group)).await;
        Ok(offsets
            .map_err(unanswered)?
            .into_iter()
            .map(group_offset)
            .collect())
    }

    async fn transactions(&self) -> Result<Vec<TransactionalId>, system::Unanswered> {
        self.view.transactions().await.map_err(unanswered)
    }

    async fn describe_transaction(
        &self,
        id: TransactionalId,
    ) -> Result<Option<system::Transaction>, system::Unanswered> {
        let described = self.view.describe_transaction(id).await;
        Ok(described.map_err(unanswered)?.map(transaction))
    }

    async fn dead_letters(&self) -> Result<Vec<system::DeadLetters>, system::Unanswered> {
        let topics = self.pipelines.dead_letters().await.map_err(unknown)?;
        let topics = topics.into_iter().map(|of| system::DeadLetters {
            environment: of.environment,
            topic: of.topic,
        });
        Ok(topics.collect())
    }

    async fn lag(&self) -> Result<Vec<system::Lag>, system::Unanswered> {
        let lag = self.pipelines.lag().await.map_err(unknown)?;
        let now = SystemClock::new().wall();
        Ok(lag.into_iter().map(|lag| lag_at(lag, now)).collect())
    }
}

fn unanswered(error: Unanswered) -> system::Unanswered {
    system::Unanswered(Box::new(error))
}

fn unknown(error: FollowError) -> system::Unanswered {
    system::Unanswered(Box::new(error))
}

fn lag_at(lag: Lag, now: Timestamp) -> system::Lag {
    system::Lag {
        seconds: lag.seconds(now.ms()),
        next_time: lag.next_ms.map(Timestamp::from_ms),
        environment: lag.environment,
        pipeline: lag.pipeline,
        task: lag.task.name(),
        input: lag.input,
        topic: lag.topic,
        partition: lag.partition,
        next_offset: lag.next,
        end_offset: lag.end,
        records: lag.records,
    }
}

fn topic(topic: &Arc<metadata::Topic>) -> system::Topic {
    let settings = &topic.resolved;
    system::Topic {
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        is_internal: topic.internal,
        cleanup_policy: cleanup_policy(settings.cleanup_policy),
        retention_ms: limit(settings.retention_ms),
        retention_bytes: limit(settings.retention_bytes),
    }
}

fn limit(limit: Option<u64>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// As the setting is written.
fn cleanup_policy(policy: CleanupPolicy) -> String {
    let names = [(policy.delete, "delete"), (policy.compact, "compact")];
    let in_force = names.iter().filter(|(is_in_force, _)| *is_in_force);
    let names: Vec<_> = in_force.map(|(_, name)| *name).collect();
    names.join(",")
}

fn connection(view: ConnectionView) -> system::Connection {
    let ConnectionView {
        id,
        peer,
        accepted,
        client_id,
        software,
        requests,
        received_bytes,
        sent_bytes,
    } = view;
    system::Connection {
        id,
        peer,
        accepted,
        client_id,
        software,
        requests,
        received_bytes,
        sent_bytes,
    }
}

fn group(view: GroupView) -> system::Group {
    let GroupView {
        group,
        kind,
        state,
        protocol_type,
        coordinator,
    } = view;
    system::Group {
        group,
        kind: match kind {
            GroupType::Classic => system::GroupType::Classic,
            GroupType::Consumer => system::GroupType::Consumer,
            GroupType::Share => system::GroupType::Share,
            GroupType::Streams => system::GroupType::Streams,
        },
        state,
        protocol_type,
        coordinator,
    }
}

fn group_view(group: &system::Group) -> GroupView {
    GroupView {
        group: group.group.clone(),
        kind: match group.kind {
            system::GroupType::Classic => GroupType::Classic,
            system::GroupType::Consumer => GroupType::Consumer,
            system::GroupType::Share => GroupType::Share,
            system::GroupType::Streams => GroupType::Streams,
        },
        state: group.state,
        protocol_type: group.protocol_type.clone(),
        coordinator: group.coordinator,
    }
}

fn description(described: GroupDescription) -> system::GroupDescription {
    let member = |view: MemberView| {
        let MemberView {
            member,
            instance,
            client_id,
            client_host,
            rack,
            epoch,
            assignment,
        } = view;
        system::Member {
            member,
            instance,
            client_id,
            client_host,
            rack,
            epoch,
            assignment,
        }
    };
    system::GroupDescription {
        protocol: described.protocol,
        epoch: described.epoch,
        members: described.members.into_iter().map(member).collect(),
    }
}

fn group_offset(view: GroupOffsetView) -> system::GroupOffset {
    let GroupOffsetView {
        topic,
        partition,
        offset,
        leader_epoch,
        metadata,
        committed,
        high_watermark,
        lag,
    } = view;
    system::GroupOffset {
        topic,
        partition,
        offset,
        leader_epoch,
        metadata,
        committed,
        high_watermark,
        lag,
    }
}

fn transaction(view: TransactionView) -> system::Transaction {
    let TransactionView {
        id,
        state,
        producer,
        epoch,
        timeout_ms,
        started,
        partitions,
        coordinator,
    } = view;
    system::Transaction {
        id,
        state,
        producer,
        epoch,
        timeout_ms,
        started,
        partitions,
        coordinator,
    }
}
