//! [`Outcome`]: what of the runs of a pipeline decides what runs next.
//!
//! Invariants: it is kept with the positions and not with history, which is deleted after a while: what ran once does not run again a
//! month later; a run that was interrupted, or is tried again, is not over.

use serde::{Deserialize, Serialize};

use super::history::{MANUAL, ONCE, SCHEDULE};
use super::positions::{Owner, Source};
use crate::control::record::{Run, RunState, Then};
use crate::control::{ASKS_KEPT, Time};

/// The name under which it stands among tasks.
pub(crate) const TASK: &str = "run";
/// The place of it.
const PLACE: &str = "outcome";
/// Versions that have run once are remembered, so many of them.
const VERSIONS_MAX: usize = 256;

/// What has run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The last scheduled time that has run to its end, whatever that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nominal: Option<Time>,
    /// Versions that have run, successfully, since they run once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    once: Vec<u32>,
    /// Runs that were asked for and are over, the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asked: Vec<String>,
}

impl Outcome {
    /// Takes in how a run stands; whether it changes anything.
    pub(crate) fn add(&mut self, run: &Run) -> bool {
        let before = self.clone();
        if is_over(run) {
            self.nominal = self.nominal.max(run.nominal);
            if run.trigger == MANUAL {
                remember(&mut self.asked, &run.run, ASKS_KEPT);
            }
        }
        // Who asks for a run has it read what is there, too.
        if run.state == RunState::Succeeded && [ONCE, MANUAL].contains(&run.trigger.as_str()) {
            remember(&mut self.once, &run.version, VERSIONS_MAX);
        }
        *self != before
    }

    /// Takes in what another one knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.nominal = self.nominal.max(other.nominal);
        for version in &other.once {
            remember(&mut self.once, version, VERSIONS_MAX);
        }
        for run in &other.asked {
            remember(&mut self.asked, run, ASKS_KEPT);
        }
    }

    pub(crate) const fn nominal(&self) -> Option<Time> {
        self.nominal
    }

    /// Whether a version has run once, successfully.
    pub(crate) fn has_run_once(&self, version: u32) -> bool {
        self.once.contains(&version)
    }

    /// Whether a run that was asked for is over.
    pub(crate) fn is_answered(&self, run: &str) -> bool {
        self.asked.iter().any(|asked| asked == run)
    }

    /// The key and the value of its record.
    pub(crate) fn record(&self, run: &Run, now_ms: i64) -> (Vec<u8>, Option<Vec<u8>>) {
        let owner = Owner {
            environment: run.env.clone(),
            pipeline: run.pipeline.clone(),
            task: TASK,
            version: run.version,
        };
        owner.record(&Source::kept(PLACE), Some(serde_json::json!(self)), now_ms)
    }
}

fn remember<T: PartialEq + Clone>(all: &mut Vec<T>, one: &T, most: usize) {
    if all.contains(one) {
        return;
    }
    if all.len() >= most {
        all.remove(0);
    }
    all.push(one.clone());
}

/// Whether a run has ended for good: not one that is tried again or goes on later.
pub(crate) fn is_over(run: &Run) -> bool {
    match (run.state, run.then) {
        (RunState::Running | RunState::Interrupted, _) | (_, Some(Then::Retrying)) => false,
        // What holds it is mended, and then its time runs.
        (_, Some(Then::Held)) => run.trigger != SCHEDULE,
        (_, None) => true,
    }
}
