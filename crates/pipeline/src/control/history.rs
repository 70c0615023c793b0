//! What happened: runs, read from `__runs` for those who look.

use std::collections::BTreeMap;

use client::{Cluster, RecordBatch};
use spec::names::{Environment, internal};

use super::Key;
use super::log::Log;
use super::record::{self, RecordError, Run};
use super::store::StoreError;

/// So many runs of each pipeline are told: the last.
pub const RUNS_KEPT: usize = 1000;

/// The last runs of the pipelines of an environment, or of one of them; the first of them first.
///
/// # Errors
/// The topic cannot be read, or was written by a later version.
pub async fn runs(
    cluster: &Cluster,
    environment: &Environment,
    pipeline: Option<&str>,
) -> Result<BTreeMap<String, Vec<Run>>, StoreError> {
    let mut history = History::default();
    let Some(mut log) = Log::open(cluster, &[internal::RUNS]).await? else {
        return Ok(BTreeMap::new());
    };
    let topic = || internal::RUNS.to_owned();
    log.to_end(|batch: &RecordBatch| {
        for record in batch.records() {
            let record = record.map_err(|source| StoreError::Batch {
                topic: topic(),
                source,
            })?;
            let key = record.key.and_then(Key::read);
            let parts = key.as_ref().map(Key::parts).unwrap_or_default();
            let [of, name, run] = parts else { continue };
            if *of != environment.as_str() || pipeline.is_some_and(|wanted| wanted != name) {
                continue;
            }
            match record.value.map(record::read::<Run>).transpose() {
                Ok(value) => history.apply(name, run, value),
                Err(source @ RecordError::Later { .. }) => {
                    return Err(StoreError::Record {
                        topic: topic(),
                        offset: record.offset,
                        source,
                    });
                }
                Err(error) => {
                    tracing::warn!(offset = record.offset, %error, "left out a record of a run");
                }
            }
        }
        Ok::<(), StoreError>(())
    })
    .await?;
    Ok(history.done())
}

/// Hands over how all runs stand, in the order in which it was written: a later record of a run is a later state of it.
///
/// # Errors
/// The topic cannot be read. A record that cannot be is left out: runs are for people.
pub async fn every_run(cluster: &Cluster, mut each: impl FnMut(Run)) -> Result<(), StoreError> {
    let Some(mut log) = Log::open(cluster, &[internal::RUNS]).await? else {
        return Ok(());
    };
    log.to_end(|batch| {
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

/// Runs by pipeline, as their records come.
#[derive(Debug, Default)]
struct History(BTreeMap<String, BTreeMap<String, Run>>);

impl History {
    fn apply(&mut self, pipeline: &str, run: &str, value: Option<Run>) {
        let runs = self.0.entry(pipeline.to_owned()).or_default();
        match value {
            Some(value) => {
                runs.insert(run.to_owned(), value);
            }
            None => {
                runs.remove(run);
            }
        }
        if runs.len() > RUNS_KEPT {
            let oldest = runs.iter().min_by_key(|(_, run)| run.started);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                runs.remove(&oldest);
            }
        }
    }

    fn done(self) -> BTreeMap<String, Vec<Run>> {
        let sorted = |runs: BTreeMap<String, Run>| {
            let mut runs: Vec<_> = runs.into_values().collect();
            runs.sort_by(|one, other| (one.started, &one.run).cmp(&(other.started, &other.run)));
            runs
        };
        let pipelines = self.0.into_iter();
        pipelines.map(|(name, runs)| (name, sorted(runs))).collect()
    }
}
