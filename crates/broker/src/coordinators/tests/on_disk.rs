//! The runtime on the real metadata and the real storage.

use std::sync::Arc;

use metadata::CONSUMER_OFFSETS;
use storage::LogSettings;

use super::fakes::{commit_request, fetch_request};
use crate::coordinators::{CoordinatorError, GroupCoordinator};
use crate::handlers::fixture::Fixture;

async fn commit(
    groups: &GroupCoordinator,
    group: &str,
    offset: i64,
) -> Result<(), CoordinatorError> {
    let committed = groups.commit(commit_request(group, offset)).await?;
    committed.expect("the group takes it");
    Ok(())
}

/// The committed offset once the group's shard is loaded.
async fn committed(groups: &GroupCoordinator, group: &str) -> Option<i64> {
    loop {
        match groups.fetch_offsets(fetch_request(group)).await {
            Ok(Ok(topics)) => {
                let offset = topics[0].partitions[0].result.clone().expect("stable");
                return offset.map(|offset| offset.offset);
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(CoordinatorError::LoadInProgress) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn committed_offsets_survive_a_restart_in_files() {
    let fixture = Fixture::new().await;
    let groups = GroupCoordinator::new(fixture.topics());
    assert_eq!(
        commit(&groups, "readers", 1).await,
        Err(CoordinatorError::NotCoordinator)
    );
    groups.ensure_topic().await.expect("the topic is created");
    let created = fixture
        .topics()
        .image()
        .topic(CONSUMER_OFFSETS)
        .cloned()
        .expect("created");
    assert_eq!((created.partitions, created.replication_factor), (50, 1));
    for offset in 0..100 {
        commit(&groups, "readers", offset).await.expect("durable");
        commit(&groups, &format!("readers-{}", offset % 50), offset)
            .await
            .expect("durable");
    }
    drop(groups);
    let fixture = fixture.restart().await;
    let groups = GroupCoordinator::new(fixture.topics());
    assert_eq!(committed(&groups, "readers").await, Some(99));
    for index in 0..50 {
        assert_eq!(
            committed(&groups, &format!("readers-{index}")).await,
            Some(50 + index)
        );
    }
    commit(&groups, "readers", 100).await.expect("durable");
    assert_eq!(committed(&groups, "readers").await, Some(100));
}

/// A group whose commits cannot be read has not committed nothing: its members would begin anew.
#[tokio::test]
async fn a_partition_that_cannot_be_read_is_not_served_as_an_empty_one() {
    let fixture = Fixture::new().await;
    let groups = GroupCoordinator::new(fixture.topics());
    groups.ensure_topic().await.expect("the topic is created");
    commit(&groups, "readers", 1).await.expect("durable");
    drop(groups);
    let fixture = fixture
        .restart_after(|root| {
            std::fs::remove_file(root.join("checkpoint")).expect("it is there");
            for folder in std::fs::read_dir(root.join("logs")).expect("it is there") {
                let segment = folder.expect("it is read").path();
                let segment = segment.join("00000000000000000000.log");
                std::fs::remove_file(&segment).expect("it is there");
                std::fs::create_dir(&segment).expect("it is gone");
            }
        })
        .await;
    let groups = GroupCoordinator::new(fixture.topics());
    let error = loop {
        match groups.fetch_offsets(fetch_request("readers")).await {
            Err(CoordinatorError::LoadInProgress) => tokio::task::yield_now().await,
            outcome => break outcome.map(drop).unwrap_err(),
        }
    };
    assert_eq!(error, CoordinatorError::NotAvailable);
}

#[tokio::test]
async fn a_partition_that_was_cleaned_is_loaded_as_it_was() {
    let fixture = Fixture::new().await;
    let groups = GroupCoordinator::new(fixture.topics());
    groups.ensure_topic().await.expect("the topic is created");
    commit(&groups, "readers", 0).await.expect("durable");
    let directory = Arc::clone(&fixture.topics().directory);
    let logs = directory.partitions();
    for log in logs {
        // Small segments, cleaned as soon as may be.
        log.configure(LogSettings {
            segment_bytes: 2000,
            min_cleanable_dirty_ratio: 0.0,
            ..(*log.settings()).clone()
        });
    }
    for offset in 1..200 {
        commit(&groups, "readers", offset).await.expect("durable");
    }
    while directory.clean_once() {}
    assert!(directory.metrics().cleaned_records.get() > 100);
    drop((groups, directory));
    let fixture = fixture.restart().await;
    let groups = GroupCoordinator::new(fixture.topics());
    assert_eq!(committed(&groups, "readers").await, Some(199));
    commit(&groups, "readers", 200).await.expect("durable");
    assert_eq!(committed(&groups, "readers").await, Some(200));
}

#[tokio::test]
async fn a_partition_that_moves_away_is_no_longer_coordinated() {
    let fixture = Fixture::new().await;
    let groups = Arc::new(GroupCoordinator::new(fixture.topics()));
    groups.ensure_topic().await.expect("the topic is created");
    commit(&groups, "readers", 1).await.expect("durable");
    let partition = groups.partition_of("readers").expect("the topic exists");
    fixture
        .ownership
        .move_away(CONSUMER_OFFSETS, partition.value());
    assert_eq!(
        commit(&groups, "readers", 2).await,
        Err(CoordinatorError::NotCoordinator)
    );
}
