//! [`Worker`]: runs the pipelines that are applied, all of them.
//!
//! Invariants: what runs is what the control topics say, and it follows them; each pipeline lives by itself, so that none waits for
//! another; pipelines run on threads of their own, within a bound of memory of their own; a worker that stops ends all of them at a
//! commit. Of two workers the one that began later runs a pipeline, and the other one stops running it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Cluster;
use env::Env;
use parking_lot::Mutex;
use sql::Priority;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::hand_over::HandOver;
use super::history::{History, Runs};
use super::life::{self, Shared, Wanted, causes};
use super::mailbox::Mailbox;
use super::open::Surroundings;
use super::pace::Pace;
use super::status::Statuses;
use super::topic_reader::Limits;
use crate::control::record::{Action, Deployment, PipelineRecord};
use crate::control::{Event, State, Store, StoreError};
use crate::secrets::Secrets;

/// How long to wait before the control topics are read again after an error.
const AGAIN: Duration = Duration::from_secs(1);
/// How much a batch has at most.
const BATCH: Limits = Limits {
    rows: 8 * 8192,
    bytes: 8 << 20,
    gather: None,
};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Threads.
    pub threads: usize,
    /// What the batches of all pipelines may take in memory while their queries run, in bytes: each thread runs one at a time.
    pub memory_bytes_max: usize,
    /// Where secrets are looked up.
    pub secrets: Secrets,
    /// What its threads take of processors that others want too; as much as anybody without it.
    pub priority: Option<Priority>,
    /// How fast it goes beside others; as fast as it can without it.
    pub pace: Option<Pace>,
}

/// Runs pipelines until it is stopped.
#[derive(Debug)]
pub struct Worker {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    statuses: Statuses,
    done: Option<tokio::task::JoinHandle<()>>,
}

impl Worker {
    /// Begins to run the pipelines of a cluster.
    ///
    /// # Errors
    /// The system refuses threads.
    pub fn start(cluster: Cluster, options: WorkerOptions) -> io::Result<Self> {
        let priority = options.priority;
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("pipeline")
            .on_thread_start(move || {
                if let Some(priority) = priority {
                    sql::lower_priority(priority);
                }
            })
            .enable_all()
            .build()?;
        let (stop, statuses) = (CancellationToken::new(), Statuses::default());
        let working = {
            let _entered = runtime.enter();
            Working {
                env: Env::system(),
                cluster,
                options,
                statuses: statuses.clone(),
                stop: stop.clone(),
            }
        };
        let done = runtime.spawn(working.run());
        Ok(Self {
            runtime: Some(runtime),
            stop,
            statuses,
            done: Some(done),
        })
    }

    /// How the pipelines stand.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Ends all pipelines, each at its next commit.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(done) = self.done.take()
            && let Err(error) = done.await
        {
            tracing::error!(%error, "the worker of pipelines failed");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A worker at work.
struct Working {
    env: Env,
    cluster: Cluster,
    options: WorkerOptions,
    statuses: Statuses,
    stop: CancellationToken,
}

type Name = (String, String);

impl Working {
    async fn run(self) {
        let mut tasks = JoinSet::new();
        let history = History::start(self.cluster.clone(), &mut tasks);
        let shared = Arc::new(Shared {
            surroundings: Surroundings {
                env: self.env.clone(),
                cluster: self.cluster.clone(),
                limits: BATCH,
                secrets: self.options.secrets.clone(),
                pace: self.options.pace.clone(),
            },
            history,
            runs: Mutex::new(Runs::default()),
            statuses: self.statuses.clone(),
            lacks_runs: AtomicBool::new(true),
            memory_bytes_max: self.options.memory_bytes_max / self.options.threads.max(1),
        });
        let mut lives = Lives {
            shared,
            lives: HashMap::new(),
            tasks: JoinSet::new(),
        };
        loop {
            let followed = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                followed = self.follow(&mut lives) => followed,
            };
            if let Err(error) = followed {
                tracing::warn!(error = %causes(&error), "cannot follow what pipelines are to run; trying again");
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.env.clock.sleep_until(self.env.clock.now().plus(AGAIN)) => {}
            }
        }
        lives.end().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Follows the control topics; ends with an error only.
    async fn follow(&self, lives: &mut Lives) -> Result<(), StoreError> {
        lives.shared.lacks_runs.store(true, Ordering::Relaxed);
        self.read_runs(&lives.shared).await?;
        let mut store = Store::open(&self.cluster).await?;
        let records: Vec<_> = store.pipelines().cloned().collect();
        for record in records {
            lives.want(store.state(), &record.env, &record.pipeline, true);
        }
        loop {
            let events = store.changed().await?;
            self.read_runs(&lives.shared).await?;
            for event in events {
                let state = store.state();
                match event {
                    Event::Pipeline {
                        environment,
                        pipeline,
                        ..
                    } => lives.want(state, &environment, &pipeline, false),
                    Event::Version(_) => {}
                    Event::Deployment(deployment) => {
                        lives.ask(&deployment);
                        lives.want(state, &deployment.env, &deployment.pipeline, false);
                    }
                }
            }
        }
    }

    /// Reads what is not known here of the runs that there were.
    async fn read_runs(&self, shared: &Shared) -> Result<(), StoreError> {
        if !shared.lacks_runs.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let read = Runs::read(&self.cluster).await;
        if read.is_err() {
            shared.lacks_runs.store(true, Ordering::Relaxed);
        }
        let read = read?;
        for (outcome, last) in read.not_kept() {
            let now_ms = self.env.clock.wall().ms();
            shared.history.outcome(outcome, last, now_ms);
        }
        shared.runs.lock().merge(read);
        Ok(())
    }
}

/// The pipelines that live.
struct Lives {
    shared: Arc<Shared>,
    lives: HashMap<Name, (Arc<Mailbox>, Option<Arc<PipelineRecord>>)>,
    tasks: JoinSet<()>,
}

impl Lives {
    /// Tells a pipeline what is wanted of it, unless it knows. A version and its deployment come in two topics, so that the one may be
    /// read before the other: it is waited for, unless all was read that was there (`is_all`).
    fn want(&mut self, state: &State, env: &str, pipeline: &str, is_all: bool) {
        let record = state.current(env, pipeline).cloned();
        let deployment = record
            .as_ref()
            .and_then(|record| state.deployment(env, pipeline, &record.deployment));
        if record.is_some() && deployment.is_none() && !is_all {
            return;
        }
        let name = (env.to_owned(), pipeline.to_owned());
        let Self {
            shared,
            lives,
            tasks,
        } = self;
        let (mailbox, known) = lives.entry(name).or_insert_with(|| {
            let mailbox = Arc::<Mailbox>::default();
            tasks.spawn(life::live(Arc::clone(shared), Arc::clone(&mailbox)));
            (mailbox, None)
        });
        if *known == record {
            return;
        }
        known.clone_from(&record);
        let done: Vec<_> = state.deployments(env, pipeline).collect();
        let wanted = record.map(|record| Wanted {
            hand_over: HandOver::new(&record, done.iter().copied()),
            record,
        });
        // Runs that were asked for while no worker was there, or were interrupted.
        let mut runs = state.asked_runs(env, pipeline);
        let known = shared.runs.lock();
        runs.retain(|run| !known.is_answered(env, pipeline, run));
        mailbox.want(wanted, runs.into_iter().map(str::to_owned));
    }

    /// What is asked for now.
    fn ask(&self, deployment: &Deployment) {
        let Deployment {
            env, pipeline, id, ..
        } = deployment;
        let Some((mailbox, _)) = self.lives.get(&(env.clone(), pipeline.clone())) else {
            return;
        };
        match deployment.action {
            Action::Cancel => mailbox.cancel(),
            Action::Run if !mailbox.run(id) => {
                tracing::warn!(
                    env,
                    pipeline,
                    run = id,
                    "left out a run that was asked for: too many wait already"
                );
            }
            _ => {}
        }
    }

    async fn end(mut self) {
        for (mailbox, _) in self.lives.values() {
            mailbox.close();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
