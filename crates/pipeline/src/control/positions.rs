//! Positions, read from `__positions`: how far tasks have read.
//!
//! Invariant: what a task committed before is read, so a task first takes over its transactional id, which ends what an older life
//! of it has left open, and then reads its positions.

use std::collections::BTreeMap;

use client::{Cluster, RecordBatch};
use spec::names::internal;

use super::Key;
use super::log::Log;
use super::record::{self, Position, RecordError};
use super::store::StoreError;

/// Positions by input and place.
pub type Positions = BTreeMap<(String, String), Position>;

/// How far a task has read. Read it after the task's transactional id was taken over.
///
/// # Errors
/// The topic cannot be read, or a later version has written a position of the task.
pub async fn positions(
    cluster: &Cluster,
    environment: &str,
    pipeline: &str,
    task: &str,
) -> Result<Positions, StoreError> {
    let mut found = Positions::new();
    let Some(mut log) = Log::open(cluster, &[internal::POSITIONS]).await? else {
        return Ok(found);
    };
    let wanted = [environment, pipeline, task];
    each(&mut log, |key, position| {
        let [front @ .., input, place] = key.parts() else {
            return Ok(());
        };
        if front != wanted {
            return Ok(());
        }
        let at = (input.clone(), place.clone());
        match position? {
            None => found.remove(&at),
            Some(position) => found.insert(at, position),
        };
        Ok(())
    })
    .await?;
    Ok(found)
}

/// What all pipelines have kept under the name of a task, by environment and pipeline. It is written in no transaction, and read past
/// those that are open: a pipeline whose worker was killed ends its own only when it runs, which is after this was read.
///
/// # Errors
/// The topic cannot be read, or a later version has written one of them.
pub async fn positions_of_task(
    cluster: &Cluster,
    task: &str,
) -> Result<BTreeMap<(String, String), Positions>, StoreError> {
    let mut found: BTreeMap<(String, String), Positions> = BTreeMap::new();
    let log = Log::open_past_transactions(cluster, &[internal::POSITIONS]);
    let Some(mut log) = log.await? else {
        return Ok(found);
    };
    each(&mut log, |key, position| {
        let [environment, pipeline, of, input, place] = key.parts() else {
            return Ok(());
        };
        if of != task {
            return Ok(());
        }
        let (of, at) = (
            (environment.clone(), pipeline.clone()),
            (input.clone(), place.clone()),
        );
        match position? {
            None => found.entry(of).or_default().remove(&at),
            Some(position) => found.entry(of).or_default().insert(at, position),
        };
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Hands over what the topic says of positions up to its end, in its order: a position, or that there is none any more.
pub(super) async fn each(
    log: &mut Log,
    mut each: impl FnMut(&Key, Result<Option<Position>, RecordError>) -> Result<(), RecordError>,
) -> Result<(), StoreError> {
    let topic = || internal::POSITIONS.to_owned();
    log.read_to_end(|batch: &RecordBatch| {
        for record in batch.records() {
            let record = record.map_err(|source| StoreError::Batch {
                topic: topic(),
                source,
            })?;
            let Some(key) = record.key.and_then(Key::read) else {
                tracing::warn!(
                    topic = topic(),
                    offset = record.offset,
                    "left out a record without a key of ours"
                );
                continue;
            };
            let position = record.value.map(record::read).transpose();
            // A position that cannot be read is not left out: its task would read again what it has read.
            each(&key, position).map_err(|source| StoreError::Record {
                topic: topic(),
                offset: record.offset,
                source,
            })?;
        }
        Ok(())
    })
    .await
}
