//! One list of states out of two that may overlap (`PersisterStateBatchCombiner.java`).
//!
//! Invariant: the result is ascending, without overlaps, and contiguous neighbours differ.

use std::collections::BTreeMap;

use crate::share_partition::{RecordState, StateBatch};

/// What decides between two states of one record: deliveries first, then how far along it is.
type Rank = (i16, RecordState);

/// The states of `so_far` and `new` from `start_offset` on; -1 keeps everything.
pub(super) fn combine(
    so_far: &[StateBatch],
    new: &[StateBatch],
    start_offset: i64,
) -> Vec<StateBatch> {
    // Where ranges begin (+1) and where they have ended (-1).
    let mut edges: BTreeMap<i64, Vec<(Rank, i32)>> = BTreeMap::new();
    for batch in so_far.iter().chain(new) {
        let first = batch.first.max(start_offset);
        if first > batch.last {
            continue;
        }
        let rank = (batch.delivery_count, batch.state);
        edges.entry(first).or_default().push((rank, 1));
        let end = batch.last.saturating_add(1);
        edges.entry(end).or_default().push((rank, -1));
    }
    let mut combined: Vec<StateBatch> = Vec::new();
    let mut open: BTreeMap<Rank, i32> = BTreeMap::new();
    let mut from = 0;
    for (offset, changes) in edges {
        if let Some((&(delivery_count, state), _)) = open.last_key_value() {
            push(
                &mut combined,
                StateBatch {
                    first: from,
                    last: offset - 1,
                    state,
                    delivery_count,
                },
            );
        }
        for (rank, change) in changes {
            let count = open.entry(rank).or_insert(0);
            *count += change;
            if *count == 0 {
                open.remove(&rank);
            }
        }
        from = offset;
    }
    combined
}

fn push(combined: &mut Vec<StateBatch>, batch: StateBatch) {
    match combined.last_mut() {
        Some(previous)
            if previous.last + 1 == batch.first
                && previous.state == batch.state
                && previous.delivery_count == batch.delivery_count =>
        {
            previous.last = batch.last;
        }
        _ => combined.push(batch),
    }
}
