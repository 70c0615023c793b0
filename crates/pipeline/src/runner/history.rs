//! [`History`]: writes down what happens: runs, what checks have found, what is said. And [`Runs`], what of it was there before.
//!
//! Invariant: history never holds a pipeline up: what cannot be written within the bounds is told in the process' own log instead, and
//! the pipeline goes on; positions are the truth, history is for people.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use client::{Cluster, Producer, ProducerConfig, ProducerRecord};
use serde::Deserialize;
use spec::names::internal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::outcome::{self, Outcome};
use crate::control::record::{self, CheckResult, Level, LogLine, Run, Then};
use crate::control::{Key, StoreError, Time};

/// What may wait to be written.
const WAITING_MAX: usize = 1024;

/// A record of a topic of history.
#[derive(Debug)]
struct Entry {
    topic: &'static str,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Writes history; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct History {
    sender: mpsc::Sender<Entry>,
}

impl History {
    /// Begins to write; the task ends when nobody has anything to say any more.
    pub(crate) fn start(cluster: Cluster, tasks: &mut JoinSet<()>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tasks.spawn(write(cluster, receiver));
        Self { sender }
    }

    /// How a run stands.
    pub(crate) fn run(&self, run: &Run) {
        self.say(internal::RUNS, run.key(), record::write(run));
    }

    /// What is kept of the runs of a pipeline, of which this one was the last.
    pub(crate) fn outcome(&self, outcome: &Outcome, run: &Run, now_ms: i64) {
        let (key, value) = outcome.record(run, now_ms);
        self.send(internal::POSITIONS, key, value);
    }

    /// What a check has found.
    pub(crate) fn check(&self, result: &CheckResult) {
        self.say(internal::CHECK_RESULTS, result.key(), record::write(result));
    }

    /// A line for people.
    pub(crate) fn log(&self, line: &LogLine) {
        let LogLine {
            env,
            pipeline,
            version,
            run,
            task,
            message,
            ..
        } = line;
        match line.level {
            Level::Debug => tracing::debug!(env, pipeline, version, run, task, "{message}"),
            Level::Info => tracing::info!(env, pipeline, version, run, task, "{message}"),
            Level::Warn => tracing::warn!(env, pipeline, version, run, task, "{message}"),
            Level::Error => tracing::error!(env, pipeline, version, run, task, "{message}"),
        }
        self.say(internal::LOGS, line.key(), record::write(line));
    }

    fn say(&self, topic: &'static str, key: Key, value: Vec<u8>) {
        self.send(topic, key.bytes(), Some(value));
    }

    fn send(&self, topic: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.sender.try_send(Entry { topic, key, value }).is_err() {
            tracing::warn!(
                topic,
                "history of pipelines is not written: the broker takes it too slowly"
            );
        }
    }
}

async fn write(cluster: Cluster, mut receiver: mpsc::Receiver<Entry>) {
    let config = ProducerConfig {
        allow_auto_topic_creation: false,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(cluster, config);
    let topics: HashMap<&str, Arc<str>> = [
        internal::RUNS,
        internal::POSITIONS,
        internal::CHECK_RESULTS,
        internal::LOGS,
    ]
    .into_iter()
    .map(|name| (name, Arc::from(name)))
    .collect();
    while let Some(entry) = receiver.recv().await {
        let Some(topic) = topics.get(entry.topic) else {
            continue;
        };
        let record = ProducerRecord {
            key: Some(&entry.key),
            value: entry.value.as_deref(),
            ..ProducerRecord::default()
        };
        // What becomes of it is told by the flush.
        if let Err(error) = producer.send(topic, record).await.map(drop) {
            tracing::warn!(topic = entry.topic, %error, "history of pipelines is not written");
        }
    }
    if let Err(error) = producer.flush().await {
        tracing::warn!(%error, "the last of the history of pipelines is not written");
    }
}

/// The runs that a worker knows: which scheduled times have run, what ran once, and what is to go on.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pipelines: HashMap<(String, String), OfPipeline>,
}

#[derive(Debug, Default)]
struct OfPipeline {
    /// The last of them, in the order in which they were heard of.
    runs: VecDeque<Run>,
    outcome: Outcome,
    /// What of it was kept when it was read.
    kept: Outcome,
}

/// A run that was begun and is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// The time that it is for, of one that has a schedule.
    pub(crate) nominal: Option<i64>,
    /// The attempt that comes next.
    pub(crate) attempt: u32,
    /// Why the last one failed.
    pub(crate) failed: Option<String>,
}

/// Runs that are remembered of each pipeline.
const RUNS_MAX: usize = 100;

impl Runs {
    /// Reads what was kept of runs.
    pub(crate) async fn read(cluster: &Cluster) -> Result<Self, StoreError> {
        let mut runs = Self::default();
        let kept = crate::control::positions_of_task(cluster, outcome::TASK).await?;
        for (of, kept) in kept {
            let of_pipeline = runs.pipelines.entry(of).or_default();
            for position in kept.into_values() {
                match Outcome::deserialize(&position.position) {
                    Ok(outcome) => {
                        of_pipeline.outcome.merge(&outcome);
                        of_pipeline.kept.merge(&outcome);
                    }
                    Err(error) => tracing::warn!(
                        env = position.env,
                        pipeline = position.pipeline,
                        %error,
                        "what was kept of the runs of a pipeline cannot be read"
                    ),
                }
            }
        }
        crate::control::runs(cluster, |run| {
            runs.add(run);
        })
        .await?;
        Ok(runs)
    }

    /// What is known of pipelines from their runs and was not kept, since nobody did or could: with the last run of each.
    pub(crate) fn not_kept(&self) -> impl Iterator<Item = (&Outcome, &Run)> {
        let all = self.pipelines.values();
        let other = all.filter(|of| of.outcome != of.kept);
        other.filter_map(|of| Some((&of.outcome, of.runs.back()?)))
    }

    /// Takes in how a run stands; what is to be kept of it, if that is another now.
    pub(crate) fn add(&mut self, run: Run) -> Option<&Outcome> {
        let key = (run.env.clone(), run.pipeline.clone());
        let OfPipeline { runs, outcome, .. } = self.pipelines.entry(key).or_default();
        let is_other = outcome.add(&run);
        runs.retain(|other| other.run != run.run);
        if runs.len() == RUNS_MAX {
            runs.pop_front();
        }
        runs.push_back(run);
        is_other.then_some(outcome)
    }

    /// Takes in what was read anew; what is known here is younger.
    pub(crate) fn merge(&mut self, read: Self) {
        for (of, read) in read.pipelines {
            let known = self.pipelines.entry(of).or_default();
            let new = read.runs.into_iter();
            let new = new.filter(|run| known.runs.iter().all(|other| other.run != run.run));
            let mut runs: Vec<_> = new.chain(known.runs.iter().cloned()).collect();
            runs.sort_by_key(|run| run.started);
            let too_many = runs.len().saturating_sub(RUNS_MAX);
            known.runs = runs.split_off(too_many).into();
            known.outcome.merge(&read.outcome);
        }
    }

    fn of(&self, env: &str, pipeline: &str) -> Option<&OfPipeline> {
        self.pipelines.get(&(env.to_owned(), pipeline.to_owned()))
    }

    /// The last scheduled time that has run to its end, whatever that was.
    pub(crate) fn last_nominal(&self, env: &str, pipeline: &str) -> Option<i64> {
        let nominal = self.of(env, pipeline)?.outcome.nominal();
        nominal.map(Time::ms)
    }

    /// The run of a version that was begun by this trigger and is not over: it goes on, with the attempt that comes next.
    pub(crate) fn unfinished(
        &self,
        env: &str,
        pipeline: &str,
        version: u32,
        trigger: &str,
    ) -> Option<Unfinished> {
        let OfPipeline { runs, outcome, .. } = self.of(env, pipeline)?;
        let last = runs.iter().rev().find(|run| run.trigger == trigger)?;
        let is_done = last.nominal.is_some() && last.nominal <= outcome.nominal();
        if last.version != version || is_done || outcome::is_over(last) {
            return None;
        }
        let (attempt, failed) = match last.then {
            Some(Then::Retrying) => (last.attempt.saturating_add(1), last.error.clone()),
            Some(Then::Held) => (1, None),
            None => (last.attempt, None),
        };
        Some(Unfinished {
            nominal: last.nominal.map(Time::ms),
            attempt,
            failed,
        })
    }

    /// Whether a version has run once, successfully.
    pub(crate) fn has_run_once(&self, env: &str, pipeline: &str, version: u32) -> bool {
        let of = self.of(env, pipeline);
        of.is_some_and(|of| of.outcome.has_run_once(version))
    }

    /// Whether a run that was asked for is over.
    pub(crate) fn is_answered(&self, env: &str, pipeline: &str, run: &str) -> bool {
        let of = self.of(env, pipeline);
        of.is_some_and(|of| of.outcome.is_answered(run))
    }
}

/// What starts a run, as its record says.
pub(crate) const ONCE: &str = "once";
pub(crate) const CONTINUOUS: &str = "continuous";
pub(crate) const SCHEDULE: &str = "schedule";
pub(crate) const MANUAL: &str = "manual";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::record::RunState;

    fn run(id: &str, version: u32, trigger: &str, nominal: Option<i64>, state: RunState) -> Run {
        Run {
            env: "dev".to_owned(),
            pipeline: "trips".to_owned(),
            run: id.to_owned(),
            version,
            trigger: trigger.to_owned(),
            nominal: nominal.map(Time::from_ms),
            state,
            started: Time::from_ms(0),
            ended: None,
            attempt: 1,
            rows_in: 0,
            rows_out: 0,
            dead: 0,
            dropped: 0,
            warned: 0,
            error: None,
            then: None,
            deployment: None,
        }
    }

    #[test]
    fn what_has_run_is_known_and_what_was_interrupted_is_not_done() {
        let mut runs = Runs::default();
        runs.add(run("a", 1, SCHEDULE, Some(5), RunState::Failed));
        for state in [RunState::Running, RunState::Interrupted] {
            runs.add(run("b", 1, SCHEDULE, Some(10), state));
        }
        assert_eq!(runs.last_nominal("dev", "trips"), Some(5));
        runs.add(run("b", 1, SCHEDULE, Some(10), RunState::Succeeded));
        assert_eq!(runs.last_nominal("dev", "trips"), Some(10));
        assert_eq!(runs.last_nominal("prod", "trips"), None);
        for state in [RunState::Running, RunState::Interrupted] {
            runs.add(run("c", 2, ONCE, None, state));
            assert!(!runs.has_run_once("dev", "trips", 2));
        }
        runs.add(run("c", 2, ONCE, None, RunState::Succeeded));
        assert!(runs.has_run_once("dev", "trips", 2));
        assert!(!runs.has_run_once("dev", "trips", 3));
    }

    #[test]
    fn a_run_that_is_not_over_goes_on_with_its_next_attempt() {
        let mut runs = Runs::default();
        let next = |runs: &Runs, version| runs.unfinished("dev", "trips", version, SCHEDULE);
        assert_eq!(next(&runs, 1), None);
        let failed = Run {
            error: Some("no".to_owned()),
            then: Some(Then::Retrying),
            ..run("a", 1, SCHEDULE, Some(5), RunState::Failed)
        };
        runs.add(failed);
        let retry = Unfinished {
            nominal: Some(5),
            attempt: 2,
            failed: Some("no".to_owned()),
        };
        assert_eq!(runs.last_nominal("dev", "trips"), None);
        assert_eq!(next(&runs, 1), Some(retry));
        assert_eq!(next(&runs, 2), None, "another version begins anew");
        let again = Run {
            attempt: 2,
            ..run("b", 1, SCHEDULE, Some(5), RunState::Interrupted)
        };
        runs.add(again.clone());
        assert_eq!(next(&runs, 1).map(|next| next.attempt), Some(2));
        let state = RunState::Succeeded;
        runs.add(Run { state, ..again });
        assert_eq!(next(&runs, 1), None);
        assert_eq!(runs.last_nominal("dev", "trips"), Some(5));
        let held = Run {
            then: Some(Then::Held),
            ..run("c", 1, SCHEDULE, Some(9), RunState::Failed)
        };
        runs.add(held);
        assert_eq!(next(&runs, 1).map(|next| next.attempt), Some(1));
    }

    #[test]
    fn what_was_asked_for_is_known_however_many_runs_came_after() {
        let mut runs = Runs::default();
        runs.add(run("asked", 1, MANUAL, None, RunState::Interrupted));
        assert!(!runs.is_answered("dev", "trips", "asked"));
        runs.add(run("asked", 1, MANUAL, None, RunState::Failed));
        for number in 0..2 * RUNS_MAX {
            let id = format!("n{number}");
            runs.add(run(&id, 1, SCHEDULE, Some(7), RunState::Succeeded));
        }
        assert!(runs.is_answered("dev", "trips", "asked"));
        // It is kept elsewhere than runs are.
        let mut anew = Runs::default();
        let outcome = &runs.of("dev", "trips").unwrap().outcome;
        let (_, value) = outcome.record(&run("x", 1, MANUAL, None, RunState::Failed), 0);
        let kept: record::Position = record::read(&value.unwrap()).unwrap();
        let of = anew.pipelines.entry(("dev".to_owned(), "trips".to_owned()));
        of.or_default()
            .outcome
            .merge(&Outcome::deserialize(&kept.position).unwrap());
        assert!(anew.is_answered("dev", "trips", "asked"));
        // What nobody kept is kept by the next worker.
        assert_eq!(runs.not_kept().count(), 1);
        let of = runs.pipelines.values_mut().next().unwrap();
        of.kept = of.outcome.clone();
        assert_eq!(runs.not_kept().count(), 0);
        assert_eq!(anew.last_nominal("dev", "trips"), Some(7));
    }

    #[test]
    fn what_is_read_anew_does_not_take_the_place_of_what_is_known() {
        let mut known = Runs::default();
        known.add(run("a", 1, SCHEDULE, Some(5), RunState::Succeeded));
        let mut read = Runs::default();
        read.add(run("a", 1, SCHEDULE, Some(5), RunState::Running));
        read.add(run("b", 1, ONCE, None, RunState::Succeeded));
        known.merge(read);
        assert_eq!(known.unfinished("dev", "trips", 1, SCHEDULE), None);
        assert!(known.has_run_once("dev", "trips", 1));
    }
}
