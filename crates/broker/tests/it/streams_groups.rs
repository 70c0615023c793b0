//! Streams groups in bytes: internal topics are made, tasks are told, and all of it survives a restart.

use protocol::ErrorCode;
use protocol::messages::streams_group_heartbeat_request::{
    KeyValue, Subtopology, TopicInfo, Topology,
};
use protocol::messages::*;
use testkit::requests::topic;
use testkit::{RawClient, Server, ServerOptions, eventually};

const GROUP: &str = "application";

/// Waits until the broker coordinates the group.
pub(crate) async fn coordinated(client: &mut RawClient) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![GROUP.to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&find, 4).await.coordinators[0].error_code, 0);
    eventually("the coordinator is loaded", async || {
        let code = describe(client).await.error_code;
        code == i16::from(ErrorCode::None) || code == i16::from(ErrorCode::GroupIdNotFound)
    })
    .await;
}

pub(crate) fn topology(replication_factor: i16) -> Topology {
    let internal = |name: &str| TopicInfo {
        name: name.to_owned(),
        replication_factor,
        topic_configs: vec![KeyValue {
            key: "cleanup.policy".to_owned(),
            value: "compact".to_owned(),
        }],
        ..Default::default()
    };
    Topology {
        epoch: 0,
        subtopologies: vec![Subtopology {
            subtopology_id: "0".to_owned(),
            source_topics: vec!["lines".to_owned()],
            state_changelog_topics: vec![internal("application-changelog")],
            ..Default::default()
        }],
    }
}

fn stay(member_epoch: i32) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: "member".to_owned(),
        member_epoch,
        rebalance_timeout_ms: -1,
        ..Default::default()
    }
}

pub(crate) fn join(topology: Topology) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest {
        rebalance_timeout_ms: 10_000,
        topology: Some(topology),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some("process".to_owned()),
        client_tags: Some(Vec::new()),
        ..stay(0)
    }
}

async fn describe(client: &mut RawClient) -> streams_group_describe_response::DescribedGroup {
    let request = StreamsGroupDescribeRequest {
        group_ids: vec![GROUP.to_owned()],
        ..Default::default()
    };
    client.call(&request, 0).await.groups.remove(0)
}

fn codes(answer: &StreamsGroupHeartbeatResponse) -> Vec<i8> {
    let status = answer.status.iter().flatten();
    status.map(|status| status.status_code).collect()
}

/// Sends heartbeats until tasks come back.
pub(crate) async fn assigned(
    client: &mut RawClient,
    mut epoch: i32,
) -> StreamsGroupHeartbeatResponse {
    let mut last = None;
    eventually("tasks are assigned", async || {
        let answer = client.call(&stay(epoch), 0).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        epoch = answer.member_epoch;
        let is_assigned = answer
            .active_tasks
            .as_ref()
            .is_some_and(|tasks| !tasks.is_empty());
        last = Some(answer);
        is_assigned
    })
    .await;
    last.unwrap()
}

fn options() -> ServerOptions {
    ServerOptions::default().set("group.streams.initial.rebalance.delay.ms", "0")
}

#[tokio::test]
async fn internal_topics_are_made_and_tasks_told() {
    let server = Server::start_with(options()).await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client).await;

    let answer = client.call(&join(topology(0)), 0).await;
    assert_eq!((answer.error_code, codes(&answer)), (0, vec![1]));
    topic(&mut client, "lines", &[]).await;
    let answer = assigned(&mut client, answer.member_epoch).await;
    assert!(codes(&answer).is_empty());
    let tasks = answer.active_tasks.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(
        (
            tasks[0].subtopology_id.as_str(),
            tasks[0].partitions.as_slice()
        ),
        ("0", &[0][..])
    );
    let group = describe(&mut client).await;
    assert_eq!(group.group_state, "Stable");
    let subtopologies = group.topology.unwrap().subtopologies.unwrap();
    let changelog = &subtopologies[0].state_changelog_topics[0];
    assert_eq!(
        (changelog.name.as_str(), changelog.partitions),
        ("application-changelog", 1)
    );

    let configs = DescribeConfigsRequest {
        resources: vec![describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: "application-changelog".to_owned(),
            configuration_keys: Some(vec!["cleanup.policy".to_owned()]),
        }],
        ..Default::default()
    };
    let answer = client.call(&configs, 4).await;
    assert_eq!(
        answer.results[0].configs[0].value.as_deref(),
        Some("compact")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_topic_that_cannot_be_made_is_told_with_the_reason() {
    let server = Server::start_with(options()).await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client).await;
    topic(&mut client, "lines", &[]).await;
    let mut epoch = 0;
    let mut request = join(topology(3));
    eventually("the failure is told", async || {
        let answer = client.call(&request, 0).await;
        assert_eq!(answer.error_code, 0);
        epoch = answer.member_epoch;
        request = stay(epoch);
        let status = answer.status.iter().flatten();
        let mut details = status.map(|status| status.status_detail.as_str());
        details.any(|detail| {
            detail.starts_with(
                "Internal topics are missing: application-changelog; Creation failed: ",
            )
        })
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_group_goes_on_after_a_restart() {
    let server = Server::start_with(options()).await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client).await;
    topic(&mut client, "lines", &[]).await;
    let answer = client.call(&join(topology(0)), 0).await;
    let answer = assigned(&mut client, answer.member_epoch).await;
    let before = describe(&mut client).await;

    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client).await;
    // The topology is shown with its partition counts once a member has come back.
    let after = client.call(&stay(answer.member_epoch), 0).await;
    assert_eq!((after.error_code, codes(&after).len()), (0, 0));
    assert_eq!(
        (after.member_epoch, after.active_tasks),
        (answer.member_epoch, None)
    );
    assert_eq!(describe(&mut client).await, before);

    let left = client.call(&stay(-1), 0).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    assert_eq!(describe(&mut client).await.group_state, "Empty");
    let delete = DeleteGroupsRequest {
        groups_names: vec![GROUP.to_owned()],
    };
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    let gone = describe(&mut client).await;
    assert_eq!(gone.error_code, i16::from(ErrorCode::GroupIdNotFound));
    server.stop().await;
}

#[tokio::test]
async fn a_group_obeys_its_own_settings() {
    let server = Server::start_with(options()).await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client).await;
    topic(&mut client, "lines", &[]).await;
    let set = |name: &str, value: &str| incremental_alter_configs_request::AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let alter = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 32,
            resource_name: GROUP.to_owned(),
            configs: vec![
                set("streams.heartbeat.interval.ms", "6000"),
                set("streams.initial.rebalance.delay.ms", "60000"),
            ],
        }],
        ..Default::default()
    };
    let altered = client.call(&alter, 1).await;
    assert_eq!(altered.responses[0].error_code, 0, "{altered:?}");
    eventually("the group is set", async || {
        let answer = client.call(&join(topology(0)), 0).await;
        assert_eq!(answer.error_code, 0);
        answer.heartbeat_interval_ms == 6_000 && codes(&answer).contains(&5)
    })
    .await;
    server.stop().await;
}
