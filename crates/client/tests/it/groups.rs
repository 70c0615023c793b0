//! Groups: sharing, rebalancing, committing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{
    Assignor, CommitOffset, GroupConfig, GroupCoordinator, GroupEvent, GroupMember, OffsetSpec,
    Producer, ProducerConfig, ProducerRecord, commit_offsets, fetch_committed_offsets,
};
use parking_lot::Mutex;
use testkit::eventually;

use crate::{Target, place, unique};

async fn fill(target: &Target, topic: &Arc<str>, partitions: i32, from: u32, count: u32) {
    let producer = Producer::new(target.cluster.clone(), ProducerConfig::default());
    for number in from..from + count {
        let value = number.to_be_bytes();
        let record = ProducerRecord {
            partition: Some(number.cast_signed() % partitions),
            value: Some(&value),
            ..ProducerRecord::default()
        };
        producer.send(topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("the broker takes them");
}

fn config(group: &Arc<str>, assignor: Assignor) -> GroupConfig {
    let mut config = GroupConfig::new(Arc::clone(group));
    config.assignors = vec![assignor];
    config.start = Some(OffsetSpec::Earliest);
    config.heartbeat_interval = Duration::from_millis(100);
    config.session_timeout = Duration::from_secs(10);
    config.rebalance_timeout = Duration::from_secs(20);
    config
}

/// What a running member has seen.
#[derive(Default)]
struct Seen {
    numbers: Vec<u32>,
    assigned: BTreeSet<i32>,
}

/// A member that runs until it is told to leave.
struct Running {
    seen: Arc<Mutex<Seen>>,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "members run beside the test, as processes would"
)]
fn run(target: &Target, topic: &Arc<str>, config: GroupConfig) -> Running {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let noted = Arc::clone(&seen);
    let mut member = GroupMember::new(target.cluster.clone(), vec![Arc::clone(topic)], config);
    let done = tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = member.poll() => event.expect("the group works"),
                _ = &mut stopped => break,
            };
            match event {
                GroupEvent::Batch(batch) => {
                    let mut seen = noted.lock();
                    for record in batch.records() {
                        let value = record.expect("well formed").value.expect("not null");
                        let number = value.try_into().expect("four bytes");
                        seen.numbers.push(u32::from_be_bytes(number));
                    }
                    drop(seen);
                    member.processed(&batch.partition, batch.next_offset);
                }
                GroupEvent::Assigned(partitions) => {
                    noted.lock().assigned = partitions.iter().map(|p| p.partition).collect();
                }
                GroupEvent::Idle => {}
            }
        }
        member.leave().await.expect("leaving works");
    });
    Running { seen, stop, done }
}

impl Running {
    fn assigned(&self) -> BTreeSet<i32> {
        self.seen.lock().assigned.clone()
    }

    async fn leave(self) -> Vec<u32> {
        self.stop.send(()).expect("it runs");
        self.done.await.expect("it did not panic");
        std::mem::take(&mut self.seen.lock().numbers)
    }
}

/// Waits until the members share all partitions, each with some.
async fn shared(members: &[&Running], partitions: i32) {
    eventually("the group shares its partitions", async || {
        let shares: Vec<BTreeSet<i32>> = members.iter().map(|member| member.assigned()).collect();
        let all: BTreeSet<i32> = shares.iter().flatten().copied().collect();
        let count: usize = shares.iter().map(BTreeSet::len).sum();
        shares.iter().all(|share| !share.is_empty())
            && all == (0..partitions).collect()
            && count == all.len()
    })
    .await;
}

async fn three_members_join_and_leave(assignor: Assignor) {
    const PARTITIONS: i32 = 6;
    let target = Target::start().await;
    let topic = target.topic("group", PARTITIONS).await;
    let group = unique("members");
    fill(&target, &topic, PARTITIONS, 0, 600).await;
    let first = run(&target, &topic, config(&group, assignor));
    shared(&[&first], PARTITIONS).await;
    let second = run(&target, &topic, config(&group, assignor));
    shared(&[&first, &second], PARTITIONS).await;
    let third = run(&target, &topic, config(&group, assignor));
    shared(&[&first, &second, &third], PARTITIONS).await;
    fill(&target, &topic, PARTITIONS, 600, 600).await;
    let all = |members: &[&Running]| {
        let counts = members
            .iter()
            .map(|member| member.seen.lock().numbers.len());
        counts.sum::<usize>()
    };
    eventually("all records are seen", async || {
        all(&[&first, &second, &third]) >= 1200
    })
    .await;
    let mut numbers = second.leave().await;
    shared(&[&first, &third], PARTITIONS).await;
    fill(&target, &topic, PARTITIONS, 1200, 300).await;
    let before = numbers.len();
    eventually("the others go on", async || {
        all(&[&first, &third]) + before >= 1500
    })
    .await;
    numbers.extend(first.leave().await);
    numbers.extend(third.leave().await);
    numbers.sort_unstable();
    // Everybody commits before giving partitions away, so nothing is seen twice, and nothing is lost.
    assert_eq!(numbers, (0..1500).collect::<Vec<_>>());
    let coordinator = GroupCoordinator::new(target.cluster.clone(), group);
    let committed = fetch_committed_offsets(&coordinator, None)
        .await
        .expect("it answers");
    let total: i64 = committed.values().map(|committed| committed.offset).sum();
    assert_eq!(total, 1500);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_share_by_range() {
    three_members_join_and_leave(Assignor::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_share_by_sticky() {
    three_members_join_and_leave(Assignor::Sticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_share_cooperatively() {
    three_members_join_and_leave(Assignor::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_stopped() {
    let target = Target::start().await;
    let topic = target.topic("resume", 2).await;
    let group = unique("resuming");
    fill(&target, &topic, 2, 0, 100).await;
    let first = run(&target, &topic, config(&group, Assignor::RoundRobin));
    eventually("all is read", async || {
        first.seen.lock().numbers.len() >= 100
    })
    .await;
    first.leave().await;
    fill(&target, &topic, 2, 100, 10).await;
    let second = run(&target, &topic, config(&group, Assignor::RoundRobin));
    eventually("the rest is read", async || {
        second.seen.lock().numbers.len() >= 10
    })
    .await;
    let mut numbers = second.leave().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (100..110).collect::<Vec<_>>());
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_comes_back_keeps_its_partitions_without_a_rebalance() {
    let target = Target::start().await;
    let topic = target.topic("static", 4).await;
    let group = unique("static-members");
    let named = |instance: &str| {
        let mut config = config(&group, Assignor::Range);
        config.group_instance_id = Some(instance.to_owned());
        config
    };
    let first = run(&target, &topic, named("a"));
    shared(&[&first], 4).await;
    let second = run(&target, &topic, named("b"));
    shared(&[&first, &second], 4).await;
    let share = second.assigned();
    second.leave().await;
    let again = run(&target, &topic, named("b"));
    eventually("it is back", async || !again.assigned().is_empty()).await;
    assert_eq!(again.assigned(), share);
    again.leave().await;
    first.leave().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_can_be_set_for_a_group_without_members() {
    let target = Target::start().await;
    let topic = target.topic("set", 2).await;
    let coordinator = GroupCoordinator::new(target.cluster.clone(), unique("offsets"));
    let commit = CommitOffset {
        offset: 7,
        metadata: "by hand".to_owned(),
    };
    let offsets = BTreeMap::from([(place(&topic, 1), commit)]);
    commit_offsets(&coordinator, None, &offsets)
        .await
        .expect("it takes them");
    let all = fetch_committed_offsets(&coordinator, None)
        .await
        .expect("it answers");
    assert_eq!(all.len(), 1);
    assert_eq!(all[&place(&topic, 1)].offset, 7);
    assert_eq!(all[&place(&topic, 1)].metadata, "by hand");
    let places = [place(&topic, 0), place(&topic, 1)];
    let some = fetch_committed_offsets(&coordinator, Some(&places)).await;
    assert_eq!(some.expect("it answers"), all);
    target.stop().await;
}
