//! [`State`]: what runs, what ran, and what was done, as the records of `__pipelines` and `__deployments` say it.
//!
//! Invariants: it is a function of the records, so whoever reads them to the same place has the same state; what compaction takes
//! out of `__pipelines` changes nothing; and of the log of deployments the last [`DEPLOYMENTS_KEPT`] of each pipeline are kept here
//! that say what ran, and the last [`ASKS_KEPT`] that ask for something, so that a pipeline which is run every minute knows its versions.
//! No IO.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use spec::names::Environment;

use super::record::{self, Deployment, PipelineRecord, PipelineState, RecordError};
use super::{Action, Key};

/// Of each pipeline so many deployments that say what ran are kept in memory; the topic has all.
pub const DEPLOYMENTS_KEPT: usize = 256;
/// Of each pipeline so many deployments are kept in memory that ask for something and change no version.
pub const ASKS_KEPT: usize = 64;

/// What runs, what ran, and what was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pipelines: BTreeMap<(String, String), Entry>,
}

/// What is known of one pipeline of an environment.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    current: Option<Arc<PipelineRecord>>,
    versions: BTreeMap<u32, Arc<PipelineRecord>>,
    deployments: VecDeque<Arc<Deployment>>,
}

impl Entry {
    /// Takes in what was done; the oldest of its kind goes if there are too many.
    fn add(&mut self, deployment: Arc<Deployment>) {
        let asks = asks(&deployment);
        let most = if asks { ASKS_KEPT } else { DEPLOYMENTS_KEPT };
        let of_kind = |other: &Arc<Deployment>| self::asks(other) == asks;
        let count = self
            .deployments
            .iter()
            .filter(|other| of_kind(other))
            .count();
        if count >= most
            && let Some(oldest) = self.deployments.iter().position(of_kind)
        {
            self.deployments.remove(oldest);
        }
        self.deployments.push_back(deployment);
    }
}

/// Whether a deployment asks for something, and changes no version.
fn asks(deployment: &Deployment) -> bool {
    match deployment.action {
        Action::Pause | Action::Resume | Action::Cancel | Action::Run => true,
        Action::Apply | Action::Rollback | Action::Remove | Action::Cut => false,
    }
}

/// What a record changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What runs of a pipeline is another now; nothing if it was forgotten.
    Pipeline {
        /// The environment.
        environment: String,
        /// The pipeline.
        pipeline: String,
        /// What runs now.
        current: Option<Arc<PipelineRecord>>,
    },
    /// A version is kept.
    Version(Arc<PipelineRecord>),
    /// Something was done, or asked for.
    Deployment(Arc<Deployment>),
}

impl State {
    /// Takes a record of `__pipelines`.
    ///
    /// # Errors
    /// It cannot be read; the state is as it was.
    pub fn apply_pipeline(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<Event>, RecordError> {
        let key = Key::read(key).ok_or(RecordError::Key)?;
        let (environment, pipeline, version) = key.of_pipeline().ok_or(RecordError::Key)?;
        let record: Option<PipelineRecord> = value.map(record::read).transpose()?;
        let record = record.map(Arc::new);
        if let Some(record) = &record {
            let is_of_key = record.env == environment
                && record.pipeline == pipeline
                && version.is_none_or(|version| version == record.version);
            if !is_of_key {
                return Err(RecordError::Key);
            }
        }
        let entry = self.entry(environment, pipeline);
        let Some(version) = version else {
            entry.current.clone_from(&record);
            return Ok(Some(Event::Pipeline {
                environment: environment.to_owned(),
                pipeline: pipeline.to_owned(),
                current: record,
            }));
        };
        match record {
            Some(record) => {
                entry.versions.insert(version, Arc::clone(&record));
                Ok(Some(Event::Version(record)))
            }
            None => {
                entry.versions.remove(&version);
                Ok(None)
            }
        }
    }

    /// Takes a record of `__deployments`.
    ///
    /// # Errors
    /// It cannot be read; the state is as it was.
    pub fn apply_deployment(&mut self, value: Option<&[u8]>) -> Result<Option<Event>, RecordError> {
        let Some(value) = value else { return Ok(None) };
        let deployment: Arc<Deployment> = Arc::new(record::read(value)?);
        let entry = self.entry(&deployment.env, &deployment.pipeline);
        entry.add(Arc::clone(&deployment));
        Ok(Some(Event::Deployment(deployment)))
    }

    fn entry(&mut self, environment: &str, pipeline: &str) -> &mut Entry {
        let key = (environment.to_owned(), pipeline.to_owned());
        self.pipelines.entry(key).or_default()
    }

    fn get(&self, environment: &str, pipeline: &str) -> Option<&Entry> {
        self.pipelines
            .get(&(environment.to_owned(), pipeline.to_owned()))
    }

    /// What there is of all pipelines, by environment and name; those that were removed are among them.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<PipelineRecord>> {
        self.pipelines
            .values()
            .filter_map(|entry| entry.current.as_ref())
    }

    /// The pipelines of an environment that were not removed, by name.
    pub fn deployed<'a>(
        &'a self,
        environment: &'a Environment,
    ) -> impl Iterator<Item = &'a Arc<PipelineRecord>> {
        self.pipelines().filter(|record| {
            record.env == environment.as_str() && record.state != PipelineState::Removed
        })
    }

    /// What there is of a pipeline, also if it was removed.
    pub fn current(&self, environment: &str, pipeline: &str) -> Option<&Arc<PipelineRecord>> {
        self.get(environment, pipeline)?.current.as_ref()
    }

    /// A version of a pipeline.
    pub fn version(
        &self,
        environment: &str,
        pipeline: &str,
        version: u32,
    ) -> Option<&Arc<PipelineRecord>> {
        self.get(environment, pipeline)?.versions.get(&version)
    }

    /// The versions of a pipeline that are kept, in their order.
    pub fn versions(
        &self,
        environment: &str,
        pipeline: &str,
    ) -> impl DoubleEndedIterator<Item = &Arc<PipelineRecord>> {
        let entry = self.get(environment, pipeline);
        entry.into_iter().flat_map(|entry| entry.versions.values())
    }

    /// The last deployments of a pipeline, in their order.
    pub fn deployments(
        &self,
        environment: &str,
        pipeline: &str,
    ) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        let entry = self.get(environment, pipeline);
        entry.into_iter().flat_map(|entry| &entry.deployments)
    }

    /// The runs that were asked for, the last of them, in their order; what was asked for before it was removed is not wanted any more.
    pub fn asked_runs(&self, environment: &str, pipeline: &str) -> Vec<&str> {
        let deployments = self.deployments(environment, pipeline).rev();
        let deployments = deployments.take_while(|done| done.action != Action::Remove);
        let runs = deployments.filter(|done| done.action == Action::Run);
        let mut runs: Vec<_> = runs.map(|run| run.id.as_str()).collect();
        runs.reverse();
        runs
    }

    /// The number of the next version of a pipeline: none is used twice.
    pub fn next_version(&self, environment: &str, pipeline: &str) -> u32 {
        let Some(entry) = self.get(environment, pipeline) else {
            return 1;
        };
        let kept = entry.versions.keys().next_back().copied();
        let current = entry.current.as_ref().map(|current| current.version);
        kept.max(current).unwrap_or_default().saturating_add(1)
    }

    /// The last cut to a version: where the one before it ended.
    pub fn cut(&self, environment: &str, pipeline: &str, version: u32) -> Option<&Arc<Deployment>> {
        let is_cut = |deployment: &&Arc<Deployment>| {
            deployment.action == Action::Cut && deployment.to_version == Some(version)
        };
        self.deployments(environment, pipeline).rev().find(is_cut)
    }

    /// A rollback that asked a pipeline to go back, and that nobody has carried out: where what runs next begins.
    pub fn pending_rewind(&self, environment: &str, pipeline: &str) -> Option<&Arc<Deployment>> {
        let done = self.deployments(environment, pipeline).rev();
        let mut uncut = done.take_while(|done| done.action != Action::Cut);
        uncut.find(|done| done.action == Action::Rollback && !done.positions.is_empty())
    }

    /// The deployment of a plan, if it was applied.
    pub fn deployment(
        &self,
        environment: &str,
        pipeline: &str,
        id: &str,
    ) -> Option<&Arc<Deployment>> {
        let has_id = |deployment: &&Arc<Deployment>| deployment.id == id;
        self.deployments(environment, pipeline).rev().find(has_id)
    }

    /// What of an environment a plan is made from, as one text: it is another after every change of what runs, because each has
    /// a deployment of its own.
    pub fn base(&self, environment: &Environment) -> String {
        let mut hash = Sha256::new();
        let of = |record: &&Arc<PipelineRecord>| record.env == environment.as_str();
        for record in self.pipelines().filter(of) {
            for part in [
                record.pipeline.as_str(),
                &record.version.to_string(),
                record.state.name(),
                &record.fingerprint,
                &record.deployment,
            ] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
        }
        hex(&hash.finalize())
    }
}

/// The first 128 bits of a hash: enough that no two are the same by chance.
pub(super) fn hex(hash: &[u8]) -> String {
    let bytes = hash.iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Time;

    fn deployment(id: &str, action: Action) -> Deployment {
        Deployment {
            id: id.to_owned(),
            env: "prod".to_owned(),
            pipeline: "trips".to_owned(),
            action,
            from_version: Some(1),
            to_version: Some(2),
            class: None,
            positions: Vec::new(),
            of: None,
            skip_deleted: false,
            author: "ada".to_owned(),
            message: None,
            time: Time::from_ms(0),
            base: None,
        }
    }

    #[test]
    fn a_pipeline_that_is_run_again_and_again_knows_its_versions() {
        let mut state = State::default();
        let mut add = |id: &str, action| {
            let value = record::write(&deployment(id, action));
            state.apply_deployment(Some(&value)).unwrap();
        };
        add("applied", Action::Apply);
        for number in 0..2 * DEPLOYMENTS_KEPT {
            add(&format!("run {number}"), Action::Run);
        }
        assert!(state.deployment("prod", "trips", "applied").is_some());
        let runs = state.asked_runs("prod", "trips");
        let last = format!("run {}", 2 * DEPLOYMENTS_KEPT - 1);
        assert_eq!((runs.len(), *runs.last().unwrap()), (ASKS_KEPT, &*last));
        let mut add = |id: &str, action| {
            let value = record::write(&deployment(id, action));
            state.apply_deployment(Some(&value)).unwrap();
        };
        add("removed", Action::Remove);
        add("applied again", Action::Apply);
        for number in 0..DEPLOYMENTS_KEPT {
            add(&number.to_string(), Action::Cut);
        }
        assert!(state.deployment("prod", "trips", "applied").is_none());
        assert!(state.deployments("prod", "trips").count() <= ASKS_KEPT + DEPLOYMENTS_KEPT);
    }
}
