//! Members come, move tasks, fall silent and leave; what else they tell each other.

use super::*;

#[test]
fn the_first_member_gets_all_tasks_in_epoch_two() {
    let mut harness = Harness::with_streams_topics(&READY);
    let reply = harness.streams(join("one"));
    assert_eq!(reply.member_epoch, 2);
    assert_eq!(reply.heartbeat_interval_ms, 5_000);
    assert_eq!(reply.status, []);
    assert_eq!(reply.endpoint_epoch, 0);
    assert_eq!(reply.tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
    // What has not changed is not told again, and writes nothing.
    let records = harness.log.len();
    let reply = harness.streams(stay("one", 2));
    assert_eq!((reply.member_epoch, reply.tasks), (2, None));
    assert_eq!(harness.log.len(), records);
}

#[test]
fn tasks_move_only_after_they_were_given_up() {
    let mut harness = Harness::with_streams_topics(&READY);
    let one = harness.streams(join("one"));
    let all = one.tasks.expect("told on joining");
    let two = harness.streams(join("two"));
    // Everything is still with the first.
    assert_eq!(two.member_epoch, 3);
    assert_eq!(two.tasks, Some(TaskSet::default()));
    let told = harness.streams(own("one", 2, &all));
    assert_eq!(told.member_epoch, 2);
    let kept = told.tasks.expect("something is revoked");
    assert!(kept.active.values().map(BTreeSet::len).sum::<usize>() == 2);
    assert_eq!(harness.streams(stay("two", 3)).tasks, None);
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Reconciling
    );
    // A heartbeat that does not tell what it has changes nothing.
    assert_eq!(harness.streams(stay("one", 2)).member_epoch, 2);
    assert_eq!(harness.streams(own("one", 2, &all)).member_epoch, 2);
    let done = harness.streams(own("one", 2, &kept));
    assert_eq!((done.member_epoch, done.tasks), (3, None));
    let got = harness.streams(stay("two", 3)).tasks.expect("released");
    let union: BTreeMap<_, BTreeSet<i32>> = kept.active.iter().chain(&got.active).fold(
        BTreeMap::new(),
        |mut union, (subtopology, partitions)| {
            let of_both: &mut BTreeSet<i32> = union.entry(subtopology.clone()).or_default();
            assert!(of_both.is_disjoint(partitions));
            of_both.extend(partitions);
            union
        },
    );
    assert_eq!(union, all.active);
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
}

#[test]
fn a_member_that_gives_nothing_up_is_removed_after_its_rebalance_timeout() {
    let mut harness = Harness::with_streams_topics(&READY);
    let all = harness.streams(join("one")).tasks.expect("told");
    harness.streams(join("two"));
    harness.streams(own("one", 2, &all));
    for _ in 0..9 {
        harness.advance(Duration::from_secs(1));
        harness.streams(own("one", 2, &all));
    }
    assert!(harness.streams_group().members().contains_key("one"));
    harness.advance(Duration::from_secs(1));
    assert!(!harness.streams_group().members().contains_key("one"));
    let reply = harness.streams(stay("two", 3));
    assert_eq!(reply.tasks, Some(all));
}

#[test]
fn a_silent_member_is_removed_after_its_session() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.two_members();
    harness.advance(Duration::from_secs(44));
    let epoch = harness.streams_group().target_epoch();
    harness.streams(stay("two", epoch));
    harness.advance(Duration::from_secs(1));
    let members: Vec<&str> = harness
        .streams_group()
        .members()
        .keys()
        .map(MemberId::as_str)
        .collect();
    assert_eq!(members, ["two"]);
    assert_eq!(
        harness.streams_error(stay("one", epoch)),
        StreamsHeartbeatError::UnknownMember {
            member: MemberId::new("one"),
            group: GroupId::new(GROUP),
        }
    );
    let tasks = harness.streams(stay("two", epoch)).tasks;
    assert_eq!(tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    harness.advance(Duration::from_secs(45));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Empty);
}

#[test]
fn the_sessions_of_a_group_have_its_own_length() {
    let mut harness = Harness::with_streams_topics(&READY);
    let mut short = join("one");
    short.settings.session_timeout = Duration::from_secs(1);
    short.settings.heartbeat_interval_ms = 100;
    assert_eq!(harness.streams(short).heartbeat_interval_ms, 100);
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Empty);
}

#[test]
fn a_member_that_leaves_gets_its_epoch_back_and_frees_its_tasks() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let reply = harness.streams(leave("one"));
    assert_eq!(
        reply,
        StreamsHeartbeatReply {
            member_epoch: -1,
            ..StreamsHeartbeatReply::default()
        }
    );
    let tasks = harness.streams(stay("two", epoch)).tasks;
    assert_eq!(tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    assert!(matches!(
        harness.streams_error(leave("one")),
        StreamsHeartbeatError::UnknownMember { .. }
    ));
}

#[test]
fn the_first_members_wait_for_others() {
    let mut harness = Harness::with_streams_topics(&READY);
    let delayed = |mut request: StreamsHeartbeatRequest| {
        request.settings.initial_rebalance_delay = Duration::from_secs(3);
        request
    };
    let one = harness.streams(delayed(join("one")));
    assert_eq!((one.member_epoch, codes(&one)), (1, vec![5]));
    assert_eq!(one.tasks, Some(TaskSet::default()));
    harness.advance(Duration::from_secs(2));
    let two = harness.streams(delayed(join("two")));
    assert_eq!((two.member_epoch, codes(&two)), (1, vec![5]));
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Assigning
    );
    harness.advance(Duration::from_secs(1));
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Reconciling
    );
    for member in ["one", "two"] {
        let reply = harness.streams(delayed(stay(member, 1)));
        assert_eq!((reply.member_epoch, codes(&reply)), (3, vec![]));
        let tasks = reply.tasks.expect("its first");
        assert_eq!(tasks.active.values().map(BTreeSet::len).sum::<usize>(), 2);
    }
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
}

#[test]
fn a_group_of_which_only_one_heartbeat_came_is_assigned_at_the_next() {
    let mut harness = Harness::with_streams_topics(&READY);
    let mut request = join("one");
    request.settings.initial_rebalance_delay = Duration::from_secs(3);
    harness.streams(request);
    // Nobody has configured the topology since the group exists.
    harness.advance(Duration::from_secs(3));
    assert_eq!(harness.streams_group().target_epoch(), 0);
    let reply = harness.streams(stay("one", 1));
    assert_eq!(reply.member_epoch, 2);
    assert!(reply.tasks.is_some_and(|tasks| tasks.active.len() == 2));
}

#[test]
fn standby_replicas_are_set_while_the_group_runs() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    for member in ["one", "two"] {
        let mut request = stay(member, epoch);
        request.settings.standby_replicas = 1;
        let tasks = harness.streams(request).tasks.expect("changed");
        assert_eq!(
            tasks.standby.len(),
            1,
            "only the second subtopology has state"
        );
        let own = &tasks.active["1"];
        assert!(tasks.standby["1"].is_disjoint(own));
    }
    let configs = &harness.streams_group().metadata().last_assignment_configs;
    assert_eq!(configs["num.standby.replicas"].as_ref(), "1");
}

#[test]
fn a_shutdown_reaches_everybody_and_is_forgotten_with_the_last_member() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let mut request = stay("one", epoch);
    request.shutdown_application = true;
    for reply in [
        harness.streams(request),
        harness.streams(stay("two", epoch)),
    ] {
        assert_eq!(codes(&reply), [4]);
        assert_eq!(
            reply.status[0].to_string(),
            "Streams group member one encountered a fatal error and requested a shutdown for the entire application."
        );
    }
    let mut leaving = leave("two");
    leaving.shutdown_application = true;
    harness.streams(leaving);
    // Who asked first is named.
    assert_eq!(
        harness.streams(stay("one", epoch)).status,
        [StreamsStatus::ShutdownApplication(MemberId::new("one"))]
    );
    harness.streams(leave("one"));
    assert_eq!(harness.streams(join("one")).status, []);
}

#[test]
fn endpoints_are_told_when_they_have_changed() {
    let mut harness = Harness::with_streams_topics(&READY);
    let endpoint = |port| UserEndpoint {
        host: Arc::from("localhost"),
        port,
    };
    let mut request = join("one");
    request.user_endpoint = Some(endpoint(1));
    let reply = harness.streams(request);
    // The first answer of a group is not remembered, so it has no epoch yet.
    assert_eq!(reply.endpoint_epoch, 0);
    let told = reply.partitions_by_endpoint.expect("changed");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].endpoint, endpoint(1));
    let all = vec![0, 1];
    assert_eq!(
        told[0].active,
        [
            (TopicName::new("in"), all.clone()),
            (TopicName::new("repartition"), all)
        ]
    );
    let reply = harness.streams(stay("one", 2));
    assert_eq!(reply.partitions_by_endpoint, None);
    let mut request = join("two");
    request.user_endpoint = Some(endpoint(2));
    let reply = harness.streams(request);
    assert_eq!(reply.endpoint_epoch, 1);
    let told = reply.partitions_by_endpoint.expect("changed");
    assert_eq!(
        told.iter().map(|one| one.endpoint.port).collect::<Vec<_>>(),
        [1, 2]
    );
    // The first gives tasks up, which changes what its endpoint serves.
    let reply = harness.streams(stay("one", 2));
    assert_eq!(reply.endpoint_epoch, 2);
    assert!(reply.partitions_by_endpoint.is_some());
    let mut request = stay("two", 3);
    request.endpoint_epoch = 2;
    assert_eq!(harness.streams(request).partitions_by_endpoint, None);
}
