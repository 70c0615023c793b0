//! Transactions on the real metadata and the real storage: the way from Prepare to Complete, interrupted everywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{
    AddPartitionsRequest, EndRequest, InitProducerError, Producer, TransactionState,
    TransactionVersion,
};
use metadata::{TRANSACTION_STATE, TopicRef};
use protocol::records::{BatchIterator, ControlRecordType, control};
use testkit::eventually;
use tokio_util::sync::CancellationToken;
use types::{PartitionIndex, TopicName, TopicPartition, TransactionalId};

use crate::coordinators::{CoordinatorError, TransactionCoordinator};
use crate::handlers::fixture::Fixture;

const ID: &str = "transfers";
const TIMEOUT_MS: i32 = 60_000;

fn id() -> TransactionalId {
    TransactionalId::new(ID)
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic),
        partition: PartitionIndex::default(),
    }
}

/// A coordinator that is loaded, and writes no markers before it is told to.
async fn coordinator(fixture: &Fixture) -> Arc<TransactionCoordinator> {
    let transactions = fixture.transactions();
    transactions.ensure_topic().await.unwrap();
    eventually("the coordinator is loaded", async || {
        state(&transactions).await.is_ok()
    })
    .await;
    transactions
}

async fn state(
    transactions: &TransactionCoordinator,
) -> Result<Option<TransactionState>, CoordinatorError> {
    let mut described = transactions.describe(vec![id()]).await;
    let (_, described) = described.remove(0);
    Ok(described?.map(|described| described.state))
}

async fn reaches(transactions: &TransactionCoordinator, expected: TransactionState) {
    eventually("the state is reached", async || {
        state(transactions).await == Ok(Some(expected))
    })
    .await;
}

async fn begin(transactions: &Arc<TransactionCoordinator>, topics: &[&str]) -> Producer {
    let session = transactions.init_producer(id(), TIMEOUT_MS, None).await;
    let session = session.unwrap().unwrap();
    let added = transactions.add_partitions(AddPartitionsRequest {
        id: id(),
        producer: session.into(),
        version: TransactionVersion::V0,
        partitions: topics.iter().map(|topic| partition(topic)).collect(),
    });
    added.await.unwrap().unwrap();
    session
}

async fn end(
    transactions: &Arc<TransactionCoordinator>,
    producer: Producer,
    commit: bool,
    version: TransactionVersion,
) -> Producer {
    let ended = transactions.end(EndRequest {
        id: id(),
        producer: producer.into(),
        commit,
        version,
        fresh: None,
    });
    ended.await.unwrap().unwrap()
}

fn write_markers(transactions: &Arc<TransactionCoordinator>) -> CancellationToken {
    let stopping = CancellationToken::new();
    tokio::spawn(Arc::clone(transactions).run_markers(stopping.clone()));
    stopping
}

/// The epochs of the markers in a topic, and whether they commit.
fn markers(fixture: &Fixture, topic: &str) -> Vec<(i16, bool)> {
    let log = fixture.log(topic, 0);
    let start = log.offsets().log_start;
    let plan = log
        .read(start, 1 << 20, storage::Isolation::ReadUncommitted, true)
        .unwrap();
    let bytes = crate::coordinators::loader::in_memory(plan).unwrap();
    BatchIterator::new(&bytes)
        .map(|batch| batch.unwrap())
        .filter(|batch| batch.is_control())
        .map(|batch| {
            let record = batch.records(batch.record_bytes()).next().unwrap().unwrap();
            let kind = control::decode_key(record.key.unwrap()).unwrap();
            (batch.producer_epoch(), kind == ControlRecordType::Commit)
        })
        .collect()
}

#[tokio::test]
async fn a_transaction_that_was_prepared_is_completed_after_a_restart() {
    for commit in [true, false] {
        for (version, epoch) in [(TransactionVersion::V0, 0), (TransactionVersion::V2, 1)] {
            let fixture = Fixture::new().await;
            fixture.create_topic("flights", 1).await;
            fixture.create_topic("seats", 1).await;
            let transactions = coordinator(&fixture).await;
            let session = begin(&transactions, &["flights", "seats"]).await;
            let next = end(&transactions, session, commit, version).await;
            assert_eq!(next.epoch.value(), epoch);
            let prepared = match commit {
                true => TransactionState::PrepareCommit,
                false => TransactionState::PrepareAbort,
            };
            assert_eq!(state(&transactions).await, Ok(Some(prepared)));
            // A kill between the outcome and its markers.
            drop(transactions);
            let fixture = fixture.restart().await;
            let transactions = coordinator(&fixture).await;
            assert_eq!(state(&transactions).await, Ok(Some(prepared)));
            assert!(markers(&fixture, "flights").is_empty());
            let again = transactions.init_producer(id(), TIMEOUT_MS, None).await;
            assert_eq!(again, Ok(Err(InitProducerError::Concurrent)));
            let _stopping = write_markers(&transactions).drop_guard();
            let complete = match commit {
                true => TransactionState::CompleteCommit,
                false => TransactionState::CompleteAbort,
            };
            reaches(&transactions, complete).await;
            for topic in ["flights", "seats"] {
                assert_eq!(markers(&fixture, topic), [(epoch, commit)]);
            }
        }
    }
}

#[tokio::test]
async fn markers_wait_for_partitions_that_nobody_leads_and_not_for_those_that_are_gone() {
    let fixture = Fixture::new().await;
    for topic in ["flights", "seats", "gone"] {
        fixture.create_topic(topic, 1).await;
    }
    let transactions = coordinator(&fixture).await;
    let session = begin(&transactions, &["flights", "seats", "gone"]).await;
    fixture.ownership.orphan("seats", 0);
    let gone = TopicRef::Name("gone".to_owned());
    for outcome in fixture.topics().cluster.delete_topics(vec![gone]).await {
        outcome.unwrap();
    }
    let _stopping = write_markers(&transactions).drop_guard();
    end(&transactions, session, true, TransactionVersion::V0).await;
    eventually("the first partition has its marker", async || {
        !markers(&fixture, "flights").is_empty()
    })
    .await;
    assert_eq!(
        state(&transactions).await,
        Ok(Some(TransactionState::PrepareCommit))
    );
    fixture.ownership.take_back("seats", 0);
    reaches(&transactions, TransactionState::CompleteCommit).await;
    // Those that had theirs were left alone.
    assert_eq!(markers(&fixture, "flights"), [(0, true)]);
    assert_eq!(markers(&fixture, "seats"), [(0, true)]);
}

#[tokio::test]
async fn a_newer_session_in_a_partition_makes_an_old_marker_needless() {
    let fixture = Fixture::new().await;
    fixture.create_topic("flights", 1).await;
    let transactions = coordinator(&fixture).await;
    let session = begin(&transactions, &["flights"]).await;
    let newer = coordinator::EndMarker {
        producer: Producer {
            epoch: types::ProducerEpoch::new(9).unwrap(),
            ..session
        },
        coordinator_epoch: 0,
        committed: false,
        version: TransactionVersion::V0,
    };
    let writer = crate::coordinators::MarkerWriter::new(fixture.topics(), fixture.groups());
    writer.write(&partition("flights"), newer).await.unwrap();
    let _stopping = write_markers(&transactions).drop_guard();
    end(&transactions, session, true, TransactionVersion::V0).await;
    reaches(&transactions, TransactionState::CompleteCommit).await;
    assert_eq!(markers(&fixture, "flights"), [(9, false)]);
}

#[tokio::test]
async fn a_coordinator_that_moves_away_coordinates_no_more() {
    let fixture = Fixture::new().await;
    let transactions = coordinator(&fixture).await;
    transactions
        .init_producer(id(), TIMEOUT_MS, None)
        .await
        .unwrap()
        .unwrap();
    let index = transactions.partition_of(ID).unwrap();
    fixture
        .ownership
        .move_away(TRANSACTION_STATE, index.value());
    let answer = transactions.init_producer(id(), TIMEOUT_MS, None).await;
    assert_eq!(answer, Err(CoordinatorError::NotCoordinator));
}

#[tokio::test]
async fn the_topic_of_transactions_is_made_as_kafka_makes_it() {
    let fixture = Fixture::new().await;
    coordinator(&fixture).await;
    let image = fixture.topics().image();
    let topic = image.topic(TRANSACTION_STATE).unwrap();
    assert_eq!((topic.partitions, topic.replication_factor), (50, 1));
    let settings: BTreeSet<(&str, &str)> = topic
        .settings
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .collect();
    assert_eq!(
        settings,
        BTreeSet::from([
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", "2"),
            ("segment.bytes", "104857600"),
            ("unclean.leader.election.enable", "false"),
        ])
    );
}
