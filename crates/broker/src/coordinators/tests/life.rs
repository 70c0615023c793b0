//! A shard's life: created, loaded, failed, loaded again, stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use protocol::records::{BatchBuilder, BatchOptions};
use tokio_util::sync::CancellationToken;

use super::fakes::{Appends, Fixture, WRITE_TIMEOUT, commit_request, fetch_request, join_request};
use crate::coordinators::CoordinatorError;

const GROUP: &str = "readers";
/// Longer than a shard waits after a failure.
const PATIENCE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn nobody_coordinates_before_the_topic_is_created() {
    let fixture = Fixture::new(1);
    fixture.topic.exists.store(false, Ordering::Relaxed);
    assert_eq!(
        fixture.commit(GROUP, 1).await,
        Err(CoordinatorError::NotCoordinator)
    );
    assert_eq!(fixture.groups.partition_of(GROUP), None);
    fixture.topic.creatable.store(false, Ordering::Relaxed);
    assert_eq!(
        fixture.groups.ensure_topic().await,
        Err(CoordinatorError::NotAvailable)
    );
    fixture.topic.creatable.store(true, Ordering::Relaxed);
    assert_eq!(fixture.groups.ensure_topic().await, Ok(()));
    assert_eq!(fixture.commit(GROUP, 1).await, Ok(()));
}

#[tokio::test]
async fn replies_wait_until_what_they_promise_is_durable_and_keep_their_order() {
    let fixture = Fixture::new(1);
    fixture.log().set_appends(Appends::Held);
    let mut first = Box::pin(fixture.groups.commit(commit_request(GROUP, 1)));
    let mut second = Box::pin(fixture.groups.commit(commit_request(GROUP, 2)));
    // Reads what the commits have done, so it waits for them too.
    let mut fetch = Box::pin(fixture.groups.fetch_offsets(fetch_request(GROUP)));
    tokio::task::yield_now().await;
    assert!(poll!(&mut first).is_pending());
    fixture.log().commit(true);
    assert!(first.await.is_ok());
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut fetch).is_pending());
    fixture.log().commit(true);
    assert!(second.await.is_ok());
    let topics = fetch.await.unwrap().unwrap();
    assert_eq!(
        topics[0].partitions[0]
            .result
            .clone()
            .unwrap()
            .unwrap()
            .offset,
        2
    );
}

#[tokio::test]
async fn a_write_that_is_not_durable_in_time_is_told_to_try_again() {
    let fixture = Fixture::new(1);
    fixture.log().set_appends(Appends::Held);
    let mut commit = Box::pin(fixture.groups.commit(commit_request(GROUP, 1)));
    assert!(poll!(&mut commit).is_pending());
    fixture.clock.advance(WRITE_TIMEOUT);
    assert_eq!(commit.await, Err(CoordinatorError::NotAvailable));
    // It is in the log, and counts when it is durable.
    fixture.log().commit(true);
    fixture.log().set_appends(Appends::Durable);
    assert_eq!(fixture.committed(GROUP).await, Ok(Some(1)));
}

#[tokio::test]
async fn effects_are_made_before_the_future_is_polled() {
    let fixture = Fixture::new(1);
    let never_polled = fixture.groups.commit(commit_request(GROUP, 1));
    assert_eq!(fixture.log().batches(), 1);
    drop(never_polled);
    assert_eq!(fixture.committed(GROUP).await, Ok(Some(1)));
}

#[tokio::test]
async fn a_restart_loads_what_was_durable() {
    let fixture = Fixture::new(3);
    for (group, offset) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
        fixture.commit(group, offset).await.unwrap();
    }
    let restarted = fixture.restarted();
    for (group, offset) in [("a", 4), ("b", 2), ("c", 3)] {
        assert_eq!(restarted.committed_when_loaded(group).await, Some(offset));
    }
}

#[tokio::test]
async fn a_load_goes_on_where_its_last_read_ended() {
    let fixture = Fixture::new(1);
    // With metadata of 4 KiB each, more than the loader reads at a time.
    for offset in 0..400 {
        let mut request = commit_request(&format!("group-{}", offset % 300), offset);
        request.topics[0].partitions[0].metadata = Some(Arc::from("x".repeat(4096)));
        fixture.groups.commit(request).await.unwrap().unwrap();
    }
    let restarted = fixture.restarted();
    for (group, offset) in [
        ("group-0", 300),
        ("group-99", 399),
        ("group-100", 100),
        ("group-299", 299),
    ] {
        assert_eq!(restarted.committed_when_loaded(group).await, Some(offset));
    }
}

#[tokio::test]
async fn requests_during_a_load_are_told_so() {
    let fixture = Fixture::new(1);
    fixture.commit(GROUP, 1).await.unwrap();
    let restarted = fixture.restarted();
    restarted.log().hold_reads();
    for _ in 0..3 {
        assert_eq!(
            restarted.committed(GROUP).await,
            Err(CoordinatorError::LoadInProgress)
        );
    }
    restarted.log().allow_reads();
    assert_eq!(restarted.committed_when_loaded(GROUP).await, Some(1));
}

#[tokio::test]
async fn a_refused_append_takes_its_effects_back() {
    for (appends, told) in [
        (Appends::Refused, CoordinatorError::NotCoordinator),
        (Appends::Fenced, CoordinatorError::NotCoordinator),
    ] {
        let fixture = Fixture::new(1);
        fixture.commit(GROUP, 1).await.unwrap();
        let waiting = fixture.groups.join(join_request("other", None));
        fixture.log().set_appends(appends);
        assert_eq!(fixture.commit(GROUP, 2).await, Err(told));
        assert_eq!(waiting.await, Err(told), "whoever waits must look again");
        assert_eq!(
            fixture.committed(GROUP).await,
            Err(CoordinatorError::NotAvailable)
        );
        fixture.log().set_appends(Appends::Durable);
        fixture.clock.advance(PATIENCE);
        assert_eq!(fixture.committed_when_loaded(GROUP).await, Some(1));
        assert_eq!(fixture.commit(GROUP, 3).await, Ok(()));
    }
}

#[tokio::test]
async fn a_failed_commit_takes_everything_behind_it_back() {
    let fixture = Fixture::new(1);
    fixture.commit(GROUP, 1).await.unwrap();
    fixture.log().set_appends(Appends::Held);
    let first = fixture.groups.commit(commit_request(GROUP, 2));
    let second = fixture.groups.commit(commit_request(GROUP, 3));
    fixture.log().commit(false);
    assert_eq!(first.await.map(drop), Err(CoordinatorError::NotCoordinator));
    // The second append is not decided yet, so nothing may be loaded.
    fixture.clock.advance(PATIENCE);
    assert_eq!(
        fixture.committed(GROUP).await,
        Err(CoordinatorError::LoadInProgress)
    );
    // Whoever waits for it has been told so in the meantime.
    assert_eq!(second.await.map(drop), Err(CoordinatorError::NotAvailable));
    fixture.log().commit(false);
    tokio::task::yield_now().await;
    assert_eq!(fixture.committed_when_loaded(GROUP).await, Some(1));
}

#[tokio::test]
async fn lost_leadership_ends_the_shard_and_a_new_epoch_loads_it_again() {
    let fixture = Fixture::new(1);
    fixture.commit(GROUP, 1).await.unwrap();
    let waiting = fixture.groups.join(join_request(GROUP, None));
    fixture.topic.epoch.store(-1, Ordering::Relaxed);
    assert_eq!(
        fixture.committed(GROUP).await,
        Err(CoordinatorError::NotCoordinator)
    );
    assert_eq!(waiting.await, Err(CoordinatorError::NotCoordinator));
    fixture.topic.epoch.store(2, Ordering::Relaxed);
    assert_eq!(fixture.committed_when_loaded(GROUP).await, Some(1));
}

#[tokio::test]
async fn timers_end_the_join_phase() {
    let fixture = Fixture::new(1);
    let stopping = CancellationToken::new();
    let timers = tokio::spawn(Arc::clone(&fixture.groups).run_timers(stopping.clone()));
    let mut join = Box::pin(fixture.groups.join(join_request(GROUP, None)));
    tokio::task::yield_now().await;
    assert!(poll!(&mut join).is_pending());
    fixture
        .clock
        .advance(fixture.topic.settings.initial_rebalance_delay);
    let joined = join.await.unwrap().result.unwrap();
    assert_eq!(joined.generation.value(), 1);
    stopping.cancel();
    timers.await.unwrap();
}

#[tokio::test]
async fn timers_load_at_the_start_and_after_failures() {
    let fixture = Fixture::new(1);
    fixture.commit(GROUP, 1).await.unwrap();
    let restarted = fixture.restarted();
    let stopping = CancellationToken::new();
    let timers = tokio::spawn(Arc::clone(&restarted.groups).run_timers(stopping.clone()));
    while restarted.committed(GROUP).await != Ok(Some(1)) {
        tokio::task::yield_now().await;
    }
    restarted.log().set_appends(Appends::Refused);
    restarted.commit(GROUP, 2).await.unwrap_err();
    restarted.log().set_appends(Appends::Durable);
    restarted.clock.advance(PATIENCE);
    while restarted.committed(GROUP).await != Ok(Some(1)) {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
    timers.await.unwrap();
}

#[tokio::test]
async fn stopping_answers_those_who_wait_for_others_and_keeps_promises_in_flight() {
    let fixture = Fixture::new(1);
    let stopping = CancellationToken::new();
    let timers = tokio::spawn(Arc::clone(&fixture.groups).run_timers(stopping.clone()));
    let join = fixture.groups.join(join_request("other", None));
    fixture.log().set_appends(Appends::Held);
    let mut commit = Box::pin(fixture.groups.commit(commit_request(GROUP, 1)));
    stopping.cancel();
    timers.await.unwrap();
    assert_eq!(join.await, Err(CoordinatorError::NotCoordinator));
    assert!(poll!(&mut commit).is_pending());
    assert_eq!(
        fixture.committed(GROUP).await,
        Err(CoordinatorError::NotAvailable)
    );
    fixture.log().commit(true);
    assert!(commit.await.unwrap().is_ok());
    assert!(matches!(
        poll!(Box::pin(fixture.committed(GROUP))),
        Poll::Ready(Err(_))
    ));
}

fn batch(options: BatchOptions, key: Option<&[u8]>, value: Option<&[u8]>) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    builder.push(0, key, value, &[]).unwrap();
    builder.build().unwrap()
}

#[tokio::test]
async fn records_of_unknown_types_are_skipped() {
    let fixture = Fixture::new(1);
    fixture.log().plant(batch(
        BatchOptions::default(),
        Some(b"\0\x63whatever"),
        Some(b"x"),
    ));
    fixture.commit(GROUP, 1).await.unwrap_err();
    assert_eq!(fixture.committed_when_loaded(GROUP).await, None);
    fixture.commit(GROUP, 1).await.unwrap();
    assert_eq!(
        fixture.restarted().committed_when_loaded(GROUP).await,
        Some(1)
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_understood_is_not_served() {
    let nobodys_transaction = BatchOptions {
        is_transactional: true,
        ..BatchOptions::default()
    };
    let tombstone = b"\0\x02\0\x01g";
    let mut twice = vec![0, 3, 0, 1, b'c', 0, 0, 0, 1, 0, 1, b'r', 0xff, 0xff];
    twice.extend([0; 8]);
    twice.extend(2_i32.to_be_bytes());
    for _ in 0..2 {
        twice.extend(b"\0\x01m\xff\xff\0\0\0\0");
        twice.extend([0; 4 + 4 + 4 + 4]);
    }
    let cases = [
        batch(BatchOptions::default(), None, Some(b"x")),
        batch(BatchOptions::default(), Some(b"\0\x02\0\x09short"), None),
        batch(BatchOptions::default(), Some(tombstone), Some(&twice)),
        batch(nobodys_transaction, Some(tombstone), None),
    ];
    for planted in cases {
        let fixture = Fixture::new(1);
        fixture.log().plant(planted.clone());
        let mut answer = fixture.committed(GROUP).await;
        while answer == Err(CoordinatorError::LoadInProgress) {
            tokio::task::yield_now().await;
            answer = fixture.committed(GROUP).await;
        }
        assert_eq!(answer, Err(CoordinatorError::NotAvailable), "{planted:?}");
    }
}
