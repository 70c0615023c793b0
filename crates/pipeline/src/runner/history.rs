//! [`History`]: writes down what happens: runs, what checks have found, what is said. And [`Runs`], what of it was there before.
//!
//! Invariant: history never holds a pipeline up: what cannot be written within the bounds is told in the process' own log instead, and
//! the pipeline goes on; positions are the truth, history is for people.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Cluster, Producer, ProducerConfig, ProducerRecord};
use spec::names::internal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control::record::{self, CheckResult, Level, LogLine, Run, RunState};
use crate::control::{Key, StoreError, Time};

/// What may wait to be written.
const WAITING_MAX: usize = 1024;

/// A record of a topic of history.
#[derive(Debug)]
struct Entry {
    topic: &'static str,
    key: Vec<u8>,
    value: Vec<u8>,
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
        let key = key.bytes();
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
    let topics: HashMap<&str, Arc<str>> = [internal::RUNS, internal::CHECK_RESULTS, internal::LOGS]
        .into_iter()
        .map(|name| (name, Arc::from(name)))
        .collect();
    while let Some(entry) = receiver.recv().await {
        let Some(topic) = topics.get(entry.topic) else {
            continue;
        };
        let record = ProducerRecord {
            key: Some(&entry.key),
            value: Some(&entry.value),
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

/// The runs that were there when the worker began: which scheduled times have run, and what ran once.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: HashMap<(String, String), Vec<Run>>,
}

/// Runs that are remembered of each pipeline.
const RUNS_MAX: usize = 100;

impl Runs {
    /// Reads the topic of runs.
    pub(crate) async fn read(cluster: &Cluster) -> Result<Self, StoreError> {
        let mut runs = Self::default();
        crate::control::runs(cluster, |run| runs.add(run)).await?;
        Ok(runs)
    }

    /// Takes in how a run stands.
    pub(crate) fn add(&mut self, run: Run) {
        let key = (run.env.clone(), run.pipeline.clone());
        let known = self.runs.entry(key).or_default();
        known.retain(|other| other.run != run.run);
        if known.len() == RUNS_MAX {
            known.remove(0);
        }
        known.push(run);
    }

    fn of(&self, env: &str, pipeline: &str) -> impl Iterator<Item = &Run> {
        let runs = self.runs.get(&(env.to_owned(), pipeline.to_owned()));
        runs.into_iter().flatten()
    }

    /// The last scheduled time that has run to its end, whatever that was.
    pub(crate) fn last_nominal(&self, env: &str, pipeline: &str) -> Option<i64> {
        let ended = self
            .of(env, pipeline)
            .filter(|run| run.state != RunState::Running);
        ended.filter_map(|run| run.nominal).map(Time::ms).max()
    }

    /// Whether a version has run once, successfully.
    pub(crate) fn has_run_once(&self, env: &str, pipeline: &str, version: u32) -> bool {
        let mut runs = self.of(env, pipeline);
        runs.any(|run| {
            run.version == version && run.trigger == ONCE && run.state == RunState::Succeeded
        })
    }

    /// Whether a run is known.
    pub(crate) fn has(&self, env: &str, pipeline: &str, run: &str) -> bool {
        self.of(env, pipeline).any(|known| known.run == run)
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
        }
    }

    #[test]
    fn what_has_run_is_known_and_what_was_interrupted_is_not_done() {
        let mut runs = Runs::default();
        runs.add(run("a", 1, SCHEDULE, Some(5), RunState::Failed));
        runs.add(run("b", 1, SCHEDULE, Some(10), RunState::Running));
        assert_eq!(runs.last_nominal("dev", "trips"), Some(5));
        runs.add(run("b", 1, SCHEDULE, Some(10), RunState::Succeeded));
        assert_eq!(runs.last_nominal("dev", "trips"), Some(10));
        assert_eq!(runs.last_nominal("prod", "trips"), None);
        runs.add(run("c", 2, ONCE, None, RunState::Running));
        assert!(!runs.has_run_once("dev", "trips", 2));
        runs.add(run("c", 2, ONCE, None, RunState::Succeeded));
        assert!(runs.has_run_once("dev", "trips", 2));
        assert!(!runs.has_run_once("dev", "trips", 3));
        assert!(runs.has("dev", "trips", "c") && !runs.has("dev", "trips", "d"));
    }
}
