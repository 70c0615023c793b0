//! Share partitions: tables of single rules, and random histories against a model of single offsets.

mod history;
mod rules;

use std::time::Duration;

use types::{Instant, MemberId};

use super::*;

const LIMITS: ShareLimits = ShareLimits {
    in_flight_max: 200,
    delivery_count_max: 5,
};
const LOCK: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

fn member(name: &str) -> MemberId {
    MemberId::new(name)
}

fn fetched(base_offset: i64, last_offset: i64) -> FetchedBatch {
    FetchedBatch {
        base_offset,
        last_offset,
        producer: None,
        transactional: false,
        abort_marker: false,
    }
}

fn empty_partition(limits: ShareLimits) -> SharePartition {
    SharePartition::new(limits, 1, 0, &[]).unwrap()
}

/// Acquires up to `records_max` records of `batches` from where the partition wants to read.
fn acquire(
    partition: &mut SharePartition,
    now: Instant,
    name: &str,
    mode: AcquireMode,
    records_max: i64,
    batches: &[FetchedBatch],
) -> Vec<AcquiredRecords> {
    let fetch_offset = partition.next_fetch_offset();
    let from = batches
        .iter()
        .filter(|batch| batch.last_offset >= fetch_offset);
    let from: Vec<_> = from.copied().collect();
    let request = AcquireRequest {
        member: &member(name),
        mode,
        batch_size: 500,
        records_max,
        fetch_offset,
        lock_duration: LOCK,
    };
    partition.acquire(now, &request, &from, &[]).ranges
}

/// A partition with this log, of which member "a" got up to `records_max` records in second 0.
fn handed_out(log: &[FetchedBatch], records_max: i64) -> SharePartition {
    let mut partition = empty_partition(LIMITS);
    let mode = AcquireMode::BatchOptimized;
    acquire(&mut partition, at(0), "a", mode, records_max, log);
    partition
}

fn range(first: i64, last: i64, delivery_count: i16) -> AcquiredRecords {
    AcquiredRecords {
        first,
        last,
        delivery_count,
    }
}

fn say(first: i64, last: i64, kind: AcknowledgeType) -> AcknowledgementBatch {
    AcknowledgementBatch {
        first,
        last,
        types: vec![kind],
    }
}

/// Says it and lets it be persisted.
fn acknowledge(
    partition: &mut SharePartition,
    now: Instant,
    name: &str,
    batches: &[AcknowledgementBatch],
) -> Result<(), AcknowledgeError> {
    let write = partition.acknowledge(now, &member(name), batches, LOCK)?;
    if let Some(write) = write {
        partition.complete(now, write.id, true);
    }
    Ok(())
}
