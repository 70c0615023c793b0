//! Streams groups: what heartbeats, timers and administrators get to see. The expectations are those of Kafka's
//! `GroupMetadataManagerTest` and `StreamsGroupTest`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, MemberId, TopicId, TopicName};

use super::harness::{Harness, commit_topic, join_request};
use crate::group::classic::generation::Generation;
use crate::group::classic::join::JoinError;
use crate::group::classic::member::Client;
use crate::group::delete::{DeleteGroupError, DeleteGroupsRequest};
use crate::group::kind::Group;
use crate::group::list::{GroupType, ListRequest};
use crate::group::modern::topics::{TopicImage, TopicsImage};
use crate::group::offsets::commit::{CommitError, CommitPartition, CommitRequest, CommitTopic};
use crate::group::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest, TopicSelection};
use crate::group::request::{GroupReply, GroupRequest};
use crate::group::settings::GroupSettings;
use crate::group::streams::answer::{StreamsHeartbeatError, StreamsHeartbeatReply, StreamsStatus};
use crate::group::streams::describe::{
    DescribeStreamsError, DescribeStreamsRequest, DescribedStreamsGroup,
};
use crate::group::streams::member::UserEndpoint;
use crate::group::streams::request::{
    DeclaredTopology, InvalidStreamsHeartbeat, OwnedTasks, StreamsHeartbeatRequest,
};
use crate::group::streams::settings::StreamsGroupSettings;
use crate::group::streams::state::{StreamsGroup, StreamsGroupState};
use crate::group::streams::tasks::TaskSet;
use crate::group::streams::topics::problem::{ConfigureError, TopicProblem};
use crate::group::streams::topology::{InternalTopic, Subtopology};

mod group_apis;
mod membership;
mod refusals;

pub(super) const GROUP: &str = "readers";

pub(super) fn settings() -> StreamsGroupSettings {
    StreamsGroupSettings {
        initial_rebalance_delay: Duration::ZERO,
        ..StreamsGroupSettings::default()
    }
}

fn internal(name: &str, partitions: i32) -> InternalTopic {
    InternalTopic {
        name: TopicName::new(name),
        partitions,
        replication_factor: 0,
        configs: Vec::new(),
    }
}

/// `in` is counted by way of a repartition topic, as a word count does it.
pub(super) fn topology() -> DeclaredTopology {
    let first = Subtopology {
        source_topics: vec![TopicName::new("in")],
        repartition_sink_topics: vec![TopicName::new("repartition")],
        ..Subtopology::default()
    };
    let second = Subtopology {
        repartition_source_topics: vec![internal("repartition", 0)],
        state_changelog_topics: vec![internal("changelog", 0)],
        ..Subtopology::default()
    };
    DeclaredTopology {
        epoch: 0,
        subtopologies: vec![(Arc::from("0"), first), (Arc::from("1"), second)],
    }
}

/// A member that stays in `epoch` and says nothing of itself.
pub(super) fn stay(member: &str, epoch: i32) -> StreamsHeartbeatRequest {
    StreamsHeartbeatRequest {
        group: GroupId::new(GROUP),
        member: MemberId::new(member),
        member_epoch: epoch,
        endpoint_epoch: 0,
        instance: None,
        rack: None,
        rebalance_timeout_ms: None,
        topology: None,
        active_tasks: None,
        standby_tasks: None,
        warmup_tasks: None,
        process: None,
        user_endpoint: None,
        client_tags: None,
        has_task_offsets: false,
        has_task_end_offsets: false,
        shutdown_application: false,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        settings: settings(),
    }
}

/// A member that joins, each in a process of its own.
pub(super) fn join(member: &str) -> StreamsHeartbeatRequest {
    StreamsHeartbeatRequest {
        rebalance_timeout_ms: Some(10_000),
        topology: Some(topology()),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process: Some(Arc::from(format!("process-{member}"))),
        client_tags: Some(Vec::new()),
        ..stay(member, 0)
    }
}

/// A member that tells what it has.
pub(super) fn own(member: &str, epoch: i32, tasks: &TaskSet) -> StreamsHeartbeatRequest {
    let listed = |tasks: &crate::group::streams::tasks::Tasks| -> OwnedTasks {
        let tasks = tasks.iter();
        tasks
            .map(|(subtopology, partitions)| {
                (subtopology.clone(), partitions.iter().copied().collect())
            })
            .collect()
    };
    StreamsHeartbeatRequest {
        active_tasks: Some(listed(&tasks.active)),
        standby_tasks: Some(listed(&tasks.standby)),
        warmup_tasks: Some(Vec::new()),
        ..stay(member, epoch)
    }
}

fn leave(member: &str) -> StreamsHeartbeatRequest {
    stay(member, -1)
}

pub(super) fn topics(topics: &[(&str, i32)]) -> Arc<TopicsImage> {
    let image = |(name, partitions): &(&str, i32)| {
        let mut id = [0; 16];
        for (byte, of_name) in id.iter_mut().zip(name.bytes()) {
            *byte = of_name;
        }
        TopicImage {
            id: TopicId::new(id).expect("not zero"),
            name: TopicName::new(name),
            partitions: *partitions,
        }
    };
    Arc::new(TopicsImage::new(1, topics.iter().map(image)))
}

/// All topics of [`topology`], with two tasks in each subtopology.
pub(super) const READY: [(&str, i32); 3] = [("in", 2), ("repartition", 2), ("changelog", 2)];

impl Harness {
    /// A shard in a cluster with these topics.
    pub(super) fn with_streams_topics(known: &[(&str, i32)]) -> Self {
        Self::with(GroupSettings {
            topics: topics(known),
            streams_default: settings(),
            initial_rebalance_delay: Duration::ZERO,
            ..GroupSettings::default()
        })
    }

    pub(super) fn set_streams_topics(&mut self, known: &[(&str, i32)]) {
        let reply = self.call(GroupRequest::TopicsChanged(topics(known)));
        assert_eq!(reply, GroupReply::TopicsChanged);
    }

    pub(super) fn streams_result(
        &mut self,
        request: StreamsHeartbeatRequest,
    ) -> Result<StreamsHeartbeatReply, StreamsHeartbeatError> {
        match self.call(GroupRequest::StreamsHeartbeat(request)) {
            GroupReply::StreamsHeartbeat(result) => result,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    fn streams(&mut self, request: StreamsHeartbeatRequest) -> StreamsHeartbeatReply {
        self.streams_result(request).expect("accepted")
    }

    fn streams_error(&mut self, request: StreamsHeartbeatRequest) -> StreamsHeartbeatError {
        let records = self.log.len();
        let error = self.streams_result(request).expect_err("refused");
        assert_eq!(self.log.len(), records, "a refusal writes nothing");
        error
    }

    pub(super) fn streams_group(&self) -> &StreamsGroup {
        match self.shard.groups.get(GROUP) {
            Some(Group::Streams(group)) => group,
            other => panic!("not a streams group: {other:?}"),
        }
    }

    fn described(&mut self, group: &str) -> Result<DescribedStreamsGroup, DescribeStreamsError> {
        let groups = vec![GroupId::new(group)];
        let reply = self.call(GroupRequest::DescribeStreams(DescribeStreamsRequest {
            groups,
        }));
        match reply {
            GroupReply::DescribeStreams(mut described) => described.remove(0),
            other => panic!("not a description: {other:?}"),
        }
    }

    /// Two members that have all tasks, one task of each subtopology each; both in the epoch that comes back.
    fn two_members(&mut self) -> i32 {
        let one = self.streams(join("one"));
        let all = one.tasks.expect("told on joining");
        let two = self.streams(join("two"));
        let told = self.streams(own("one", one.member_epoch, &all));
        let kept = told.tasks.expect("something is revoked");
        self.streams(own("one", told.member_epoch, &kept));
        self.streams(stay("two", two.member_epoch));
        assert_eq!(self.streams_group().state(), StreamsGroupState::Stable);
        self.streams_group().target_epoch()
    }
}

fn active(tasks: &[(&str, &[i32])]) -> TaskSet {
    let tasks = tasks.iter();
    TaskSet {
        active: tasks
            .map(|(subtopology, partitions)| {
                (
                    Arc::from(*subtopology),
                    partitions.iter().copied().collect(),
                )
            })
            .collect(),
        ..TaskSet::default()
    }
}

fn codes(reply: &StreamsHeartbeatReply) -> Vec<i8> {
    reply.status.iter().map(StreamsStatus::code).collect()
}
