//! Runs, read from `__runs`.

use client::Cluster;
use spec::names::internal;

use super::log::Log;
use super::record::{self, Run};
use super::store::StoreError;

/// Hands over how runs stand, in the order in which it was written; later records of a run are later states of it. What cannot be
/// read is left out: it is for people.
///
/// # Errors
/// The topic cannot be read.
pub async fn runs(cluster: &Cluster, mut each: impl FnMut(Run)) -> Result<(), StoreError> {
    let Some(mut log) = Log::open(cluster, &[internal::RUNS]).await? else {
        return Ok(());
    };
    log.read_to_end(|batch| {
        for record in batch.records() {
            let record = record.map_err(|source| StoreError::Batch {
                topic: internal::RUNS.to_owned(),
                source,
            })?;
            if let Some(run) = record.value.and_then(|value| record::read(value).ok()) {
                each(run);
            }
        }
        Ok(())
    })
    .await
}
