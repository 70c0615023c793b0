//! How far a pipeline has read, for those who look: `status`, and a rollback that goes back.
//!
//! Who runs a task reads its positions itself, after it took over the task's transactional id.

use std::collections::BTreeMap;

use client::{Cluster, RecordBatch};
use spec::names::internal;

use super::Key;
use super::log::Log;
use super::record::RecordError;
use super::store::StoreError;
use crate::runner::positions::{Kept, Source};

/// How far a task has read, at least what was committed before the call.
///
/// # Errors
/// The topic cannot be read, or the task's positions in it.
pub async fn positions(
    cluster: &Cluster,
    environment: &str,
    pipeline: &str,
    task: &str,
) -> Result<BTreeMap<Source, Kept>, StoreError> {
    let mut found = BTreeMap::new();
    let Some(mut log) = Log::open(cluster, &[internal::POSITIONS]).await? else {
        return Ok(found);
    };
    let wanted = [environment, pipeline, task];
    let topic = || internal::POSITIONS.to_owned();
    log.to_end(|batch: &RecordBatch| {
        for record in batch.records() {
            let record = record.map_err(|source| StoreError::Batch {
                topic: topic(),
                source,
            })?;
            let Some(source) = record.key.and_then(|key| source_of(key, wanted)) else {
                continue;
            };
            let Some(value) = record.value else {
                found.remove(&source);
                continue;
            };
            let kept = serde_json::from_slice(value).map_err(|error| StoreError::Record {
                topic: topic(),
                offset: record.offset,
                source: RecordError::Malformed(error),
            })?;
            found.insert(source, kept);
        }
        Ok::<(), StoreError>(())
    })
    .await?;
    Ok(found)
}

/// What a key says, if it is of this task.
fn source_of(key: &[u8], wanted: [&str; 3]) -> Option<Source> {
    let key = Key::read(key)?;
    let [front @ .., input, place] = key.parts() else {
        return None;
    };
    (front == wanted).then(|| Source {
        input: input.clone(),
        place: place.clone(),
    })
}
