//! [`act`]: what is asked for one pipeline at a time, without a plan: an older version, a pause, a run.
//!
//! [`decide`] is a pure function from what runs to what is written; [`act`] writes it. Invariant: a version that runs again goes on
//! where the newer one ends, unless somebody asks to go back and the sink can take rows twice.

use std::sync::Arc;

use client::Cluster;
use sha2::{Digest, Sha256};
use spec::names::Environment;
use spec::{Mode, Sink, Trigger};

use super::apply::Who;
use super::commit::{Change, CommitError, Writer};
use super::history::last_runs;
use super::record::{Action, Class, Deployment, PipelineRecord, PipelineState, Rewind, Run, Then};
use super::state::{State, hex};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// An older version runs again.
    Rollback {
        /// Which; the one that ran before if it is not there.
        to: Option<u32>,
        /// It begins where it ended.
        rewind: bool,
        /// Rows may then be in the sink twice.
        duplicates_ok: bool,
    },
    /// It stops at the next commit.
    Pause,
    /// It goes on, also if it was held.
    Resume {
        /// Records that were deleted before they were read are left out.
        skip_deleted: bool,
    },
    /// What it is doing stops at the next commit.
    Cancel,
    /// It runs once, now.
    Run,
    /// It stops for good.
    Remove,
}

impl Request {
    const fn action(self) -> Action {
        match self {
            Self::Rollback { .. } => Action::Rollback,
            Self::Pause => Action::Pause,
            Self::Resume { .. } => Action::Resume,
            Self::Cancel => Action::Cancel,
            Self::Run => Action::Run,
            Self::Remove => Action::Remove,
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// There is none.
    #[error("no pipeline {pipeline} runs in {environment}{}; `watertable pipeline status --env {environment}` shows those that do", near(nearest.as_deref()))]
    Unknown {
        /// The name.
        pipeline: String,
        /// The environment.
        environment: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
    /// It was removed.
    #[error("{pipeline} was removed; plan and apply its file to have it run again")]
    Removed {
        /// The name.
        pipeline: String,
    },
    /// It is held.
    #[error("{pipeline} is paused; resume it first")]
    Paused {
        /// The name.
        pipeline: String,
    },
    /// It runs all the time.
    #[error("{pipeline} runs all the time; there is no run to start")]
    Continuous {
        /// The name.
        pipeline: String,
    },
    /// There is no version before.
    #[error("{pipeline} has no version before v{version}")]
    First {
        /// The name.
        pipeline: String,
        /// The version that runs.
        version: u32,
    },
    /// The version is not kept.
    #[error("{pipeline} has no v{version}; there are {}", list(kept))]
    NoVersion {
        /// The name.
        pipeline: String,
        /// The version that was asked for.
        version: u32,
        /// Those there are.
        kept: Vec<u32>,
    },
    /// It runs already.
    #[error("v{version} of {pipeline} runs already")]
    Runs {
        /// The name.
        pipeline: String,
        /// The version.
        version: u32,
    },
    /// Nobody knows where to begin.
    #[error(
        "where v{version} of {pipeline} ended was never recorded, so it cannot begin there again; roll back without --rewind"
    )]
    NoCut {
        /// The name.
        pipeline: String,
        /// The version.
        version: u32,
    },
    /// Rows would be there twice.
    #[error(
        "rows of {pipeline} have no key, so those written since would be there twice: what was published cannot be taken back; say --duplicates-ok, or roll back without --rewind"
    )]
    Duplicates {
        /// The name.
        pipeline: String,
    },
    /// A version cannot be read.
    #[error("v{version} of {pipeline} cannot be read by this version of Watertable: {fault}")]
    Unreadable {
        /// The name.
        pipeline: String,
        /// The version.
        version: u32,
        /// What is wrong.
        fault: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

fn near(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn list(versions: &[u32]) -> String {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| format!("v{version}"))
        .collect();
    versions.join(", ")
}

/// Does what is asked. Nothing is given back if it was so already.
///
/// # Errors
/// It cannot be done, or the cluster does not let us.
pub async fn act(
    cluster: &Cluster,
    environment: &Environment,
    pipeline: &str,
    request: Request,
    who: &Who,
) -> Result<Option<Deployment>, ActionError> {
    let writer = Writer::open(cluster, environment).await?;
    let mut hash = Sha256::new();
    for part in [&writer.unique(), pipeline, request.action().name()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let id = hex(&hash.finalize());
    if let Request::Resume {
        skip_deleted: false,
    } = request
    {
        let current = existing(writer.state(), environment, pipeline)?;
        // One that runs goes on as it does.
        if current.state == PipelineState::Running && !waits(cluster, environment, current).await? {
            return Ok(None);
        }
    }
    let change = decide(writer.state(), environment, pipeline, request, &id, who)?;
    let Some(deployment) = change.deployments.first().cloned() else {
        return Ok(None);
    };
    writer.commit(&change, async || {}).await?;
    Ok(Some(deployment))
}

/// Whether a pipeline that is not paused does not run, and begins again when it is resumed: it is held, taken over by a worker that may
/// be gone, or waits to be tried again.
async fn waits(
    cluster: &Cluster,
    environment: &Environment,
    current: &PipelineRecord,
) -> Result<bool, CommitError> {
    let pipeline = &current.pipeline;
    let runs = last_runs(cluster, environment, Some(pipeline)).await?;
    let runs = runs.get(pipeline).map_or(&[][..], Vec::as_slice);
    let is_of_now = |run: &&Run| run.deployment.as_ref() == Some(&current.deployment);
    let mut held = runs.iter().filter(is_of_now);
    let is_retried = runs.last().and_then(|last| last.then) == Some(Then::Retrying);
    Ok(is_retried || held.any(|run| run.then == Some(Then::Held)))
}

/// What is written for what is asked; nothing if it is so already.
///
/// # Errors
/// It cannot be done.
pub fn decide(
    state: &State,
    environment: &Environment,
    pipeline: &str,
    request: Request,
    id: &str,
    who: &Who,
) -> Result<Change, ActionError> {
    let current = existing(state, environment, pipeline)?;
    let mut deployment = Deployment {
        id: id.to_owned(),
        env: environment.to_string(),
        pipeline: pipeline.to_owned(),
        action: request.action(),
        from_version: Some(current.version),
        to_version: Some(current.version),
        class: None,
        positions: Vec::new(),
        of: None,
        skip_deleted: false,
        author: who.author.clone(),
        message: who.message.clone(),
        time: who.time,
        base: None,
    };
    let record = match request {
        Request::Rollback {
            to,
            rewind,
            duplicates_ok,
        } => {
            let target = target(state, current, to)?;
            if rewind {
                deployment.positions = cut(state, current, target, duplicates_ok)?;
            }
            deployment.class = Some(Class::HandOver);
            deployment.to_version = Some(target.version);
            // A pause is of the pipeline, not of its version.
            Some(with_state(target, current.state))
        }
        Request::Pause if current.state == PipelineState::Paused => return Ok(Change::default()),
        Request::Pause => Some(with_state(current, PipelineState::Paused)),
        // One that runs may be held since it halted: it is begun again.
        Request::Resume { skip_deleted } => {
            deployment.skip_deleted = skip_deleted;
            Some(with_state(current, PipelineState::Running))
        }
        Request::Remove => {
            deployment.to_version = None;
            Some(with_state(current, PipelineState::Removed))
        }
        Request::Cancel => None,
        Request::Run => {
            startable(current)?;
            None
        }
    };
    let record = record.map(|record| PipelineRecord {
        deployment: id.to_owned(),
        ..record
    });
    Ok(Change {
        pipelines: record.into_iter().collect(),
        deployments: vec![deployment],
    })
}

fn with_state(record: &PipelineRecord, state: PipelineState) -> PipelineRecord {
    PipelineRecord {
        state,
        ..record.clone()
    }
}

/// What there is of a pipeline that was not removed.
///
/// # Errors
/// There is none, or it was removed.
pub fn existing<'a>(
    state: &'a State,
    environment: &Environment,
    pipeline: &str,
) -> Result<&'a Arc<PipelineRecord>, ActionError> {
    match state.current(environment.as_str(), pipeline) {
        Some(current) if current.state == PipelineState::Removed => Err(ActionError::Removed {
            pipeline: pipeline.to_owned(),
        }),
        Some(current) => Ok(current),
        None => {
            let known = state.deployed(environment);
            let known: Vec<_> = known.map(|record| record.pipeline.as_str()).collect();
            Err(ActionError::Unknown {
                pipeline: pipeline.to_owned(),
                environment: environment.to_string(),
                nearest: contract::nearest(pipeline, known).map(str::to_owned),
            })
        }
    }
}

/// The version that runs after a rollback.
fn target<'a>(
    state: &'a State,
    current: &PipelineRecord,
    to: Option<u32>,
) -> Result<&'a Arc<PipelineRecord>, ActionError> {
    let (environment, pipeline) = (current.env.as_str(), current.pipeline.as_str());
    let name = || pipeline.to_owned();
    let version = match to.or_else(|| before(state, current)) {
        None => {
            return Err(ActionError::First {
                pipeline: name(),
                version: current.version,
            });
        }
        Some(version) if version == current.version => {
            return Err(ActionError::Runs {
                pipeline: name(),
                version,
            });
        }
        Some(version) => version,
    };
    let kept = state.version(environment, pipeline, version);
    kept.ok_or_else(|| {
        let kept = state.versions(environment, pipeline);
        ActionError::NoVersion {
            pipeline: name(),
            version,
            kept: kept.map(|record| record.version).collect(),
        }
    })
}

/// The version that ran before the one that runs: the one that it took over from.
fn before(state: &State, current: &PipelineRecord) -> Option<u32> {
    let (environment, pipeline) = (&current.env, &current.pipeline);
    let took_over = |deployment: &&Arc<Deployment>| {
        matches!(deployment.action, Action::Apply | Action::Rollback)
            && deployment.to_version == Some(current.version)
    };
    let deployments = state.deployments(environment, pipeline);
    let from = deployments.rev().find(took_over)?.from_version;
    from.filter(|from| *from != current.version)
}

/// Where a version ended when the next one took over.
fn cut(
    state: &State,
    current: &PipelineRecord,
    target: &PipelineRecord,
    duplicates_ok: bool,
) -> Result<Vec<Rewind>, ActionError> {
    let pipeline = || current.pipeline.clone();
    let is_of = |deployment: &&Arc<Deployment>| {
        deployment.action == Action::Cut && deployment.from_version == Some(target.version)
    };
    let deployments = || state.deployments(&current.env, &current.pipeline);
    let Some(cut) = deployments().rev().find(is_of) else {
        return Err(ActionError::NoCut {
            pipeline: pipeline(),
            version: target.version,
        });
    };
    let is_keyed = match spec_of(target)?.sink {
        Sink::Topic(sink) => !sink.key.is_empty(),
        Sink::Postgres(sink) => matches!(sink.mode, Mode::Upsert { .. }),
    };
    if !is_keyed && !duplicates_ok {
        return Err(ActionError::Duplicates {
            pipeline: pipeline(),
        });
    }
    // Each task has written where it ended by itself.
    let of_same = deployments().filter(|other| other.action == Action::Cut && other.of == cut.of);
    Ok(of_same.flat_map(|cut| cut.positions.clone()).collect())
}

/// Whether a run can be started.
fn startable(current: &PipelineRecord) -> Result<(), ActionError> {
    let pipeline = || current.pipeline.clone();
    if current.state == PipelineState::Paused {
        return Err(ActionError::Paused {
            pipeline: pipeline(),
        });
    }
    if spec_of(current)?.run.trigger == Trigger::Continuous {
        return Err(ActionError::Continuous {
            pipeline: pipeline(),
        });
    }
    Ok(())
}

/// What the file of a version said.
///
/// # Errors
/// This version of Watertable cannot read it.
pub fn spec_of(record: &PipelineRecord) -> Result<spec::Pipeline, ActionError> {
    record.pipeline().map_err(|problems| {
        let fault = problems.first().map(ToString::to_string);
        ActionError::Unreadable {
            pipeline: record.pipeline.clone(),
            version: record.version,
            fault: fault.unwrap_or_default(),
        }
    })
}
