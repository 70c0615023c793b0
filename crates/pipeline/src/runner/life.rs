//! The life of one pipeline: which version is wanted, when it runs, what happens when it fails.
//!
//! Invariants: one version runs at a time, and the next begins only when the last one has ended at a commit; who is told to stop, pause,
//! hand over or cancel ends at the next commit; a run that failed is tried again as the file says, and one that ends by a halt or
//! because another worker has taken over waits until somebody does something.

use std::sync::Arc;
use std::time::Duration;

use env::Env;
use parking_lot::Mutex;
use spec::Trigger;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deployed::Deployed;
use super::hand_over::HandOver;
use super::history::{CONTINUOUS, History, MANUAL, ONCE, Runs, SCHEDULE};
use super::open::{self, Surroundings};
use super::progress::Progress;
use super::schedule::{Due, Schedule, backoff};
use super::status::{Phase, Statuses, tally_of};
use super::tally::Tally;
use super::task::{self, TaskError};
use super::transaction::Session;
use crate::control::Time;
use crate::control::record::{
    CheckResult, Level, LogLine, PipelineRecord, PipelineState, Run, RunState, Then,
};
use crate::tasks::{Role, Task};

/// How often the record of a run that goes on is written again.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether a run that goes on has something that somebody has to see.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many problems are told.
const PROBLEMS_MAX: usize = 20;
/// A continuous run that has lasted so long before it failed begins to count its attempts anew.
const SETTLED_MS: i64 = 60_000;

/// What a pipeline is told.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// This is what runs from now on; nothing if it was forgotten.
    Wanted(Option<Wanted>),
    /// It runs now, once.
    Run {
        /// The name of the run.
        id: String,
    },
    /// What it does ends at the next commit.
    Cancel,
}

/// A version that is to run, and what its deployment asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) record: Arc<PipelineRecord>,
    pub(crate) hand_over: HandOver,
}

/// What all pipelines of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) surroundings: Surroundings,
    pub(crate) history: History,
    pub(crate) runs: Mutex<Runs>,
    pub(crate) statuses: Statuses,
    /// What a batch of a pipeline may take.
    pub(crate) memory_bytes_max: usize,
}

impl Shared {
    fn env(&self) -> &Env {
        &self.surroundings.env
    }

    fn now_ms(&self) -> i64 {
        self.env().clock.wall().ms()
    }

    /// A name for a run: its time, and what tells it from others.
    fn run_id(&self) -> String {
        let mut bytes = [0; 4];
        self.env().random.fill(&mut bytes);
        format!("{}-{:08x}", self.now_ms(), u32::from_be_bytes(bytes))
    }

    /// A random time up to another.
    fn jitter(&self, most: Duration) -> Duration {
        let mut bytes = [0; 8];
        self.env().random.fill(&mut bytes);
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(u64::from_be_bytes(bytes) % most.saturating_add(1))
    }
}

/// Lives until nobody tells it anything any more.
pub(crate) async fn live(shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let mut wanted: Option<Wanted> = None;
    let sessions = Sessions::default();
    loop {
        let runs = |wanted: &Wanted| wanted.record.state == PipelineState::Running;
        let Some(version) = wanted.take().filter(runs) else {
            match commands.recv().await {
                Some(Command::Wanted(next)) => {
                    forget_unless_running(&shared, next.as_ref());
                    wanted = next;
                }
                Some(Command::Run { .. } | Command::Cancel) => {}
                None => return,
            }
            continue;
        };
        let (asks, asked) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let version = Version {
            shared: Arc::clone(&shared),
            record: version.record,
            hand_over: version.hand_over,
            stop: stop.clone(),
            sessions: sessions.clone(),
        };
        let running = version.run(asked);
        tokio::pin!(running);
        let mut is_over = false;
        wanted = loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Wanted(next)) => {
                        break next;
                    }
                    // More than so many at once are answered by the runs before them.
                    Some(Command::Run { id }) => drop(asks.try_send(Ask::Run { id })),
                    Some(Command::Cancel) => drop(asks.try_send(Ask::Cancel)),
                    None => {
                        stop.cancel();
                        if !is_over {
                            running.await;
                        }
                        return;
                    }
                },
                () = &mut running, if !is_over => is_over = true,
            }
        };
        stop.cancel();
        if !is_over {
            running.await;
        }
        // It told of its end.
        forget_unless_running(&shared, wanted.as_ref());
    }
}

/// Nothing is told of what does not run here.
fn forget_unless_running(shared: &Shared, next: Option<&Wanted>) {
    let next = next.map(|next| &next.record);
    if let Some(next) = next.filter(|next| next.state != PipelineState::Running) {
        shared.statuses.remove(&next.env, &next.pipeline);
    }
}

/// What a version that runs is asked.
#[derive(Debug)]
enum Ask {
    Run { id: String },
    Cancel,
}

/// A version that runs.
struct Version {
    shared: Arc<Shared>,
    record: Arc<PipelineRecord>,
    hand_over: HandOver,
    stop: CancellationToken,
    sessions: Sessions,
}

/// Who the tasks of a pipeline are for the coordinator of transactions, over attempts and versions; cheap to clone.
#[derive(Clone, Debug, Default)]
struct Sessions([Session; 3]);

impl Sessions {
    fn of(&self, role: Role) -> Session {
        let [main, land, load] = &self.0;
        match role {
            Role::Main => main.clone(),
            Role::Land => land.clone(),
            Role::Load => load.clone(),
        }
    }
}

/// How a run ended.
enum Ended {
    /// It did what it had to.
    Well,
    /// It was told to.
    Stopped,
    /// Somebody cancelled it.
    Cancelled,
    /// It failed, and is perhaps tried again.
    Failed {
        /// Whether somebody has to do something first.
        holds: bool,
        /// How long it had gone on.
        lasted_ms: i64,
        /// Why.
        message: String,
    },
}

/// A run that is to be made.
#[derive(Clone)]
struct Planned {
    id: String,
    trigger: &'static str,
    nominal: Option<i64>,
    attempt: u32,
    /// Why the attempt before failed.
    failed: Option<String>,
}

impl Version {
    async fn run(self, mut asked: mpsc::Receiver<Ask>) {
        let deployed = Deployed::new(Arc::clone(&self.record), self.shared.memory_bytes_max);
        let deployed = match deployed {
            Ok(deployed) => Arc::new(deployed),
            Err(error) => {
                let message = causes(&error);
                self.log(Level::Error, None, message.clone());
                self.status(Phase::Held, Some(message));
                return;
            }
        };
        self.begin_status(&deployed);
        match &deployed.pipeline.run.trigger {
            Trigger::Continuous => self.continuously(&deployed, &mut asked).await,
            Trigger::Once => self.once(&deployed, &mut asked).await,
            Trigger::Scheduled(schedule) => match Schedule::new(schedule) {
                Ok(times) => {
                    let jitter = schedule.jitter.duration();
                    self.scheduled(&deployed, &times, jitter, &mut asked).await;
                }
                Err(cause) => self.status(Phase::Held, Some(cause.to_string())),
            },
        }
    }

    async fn continuously(&self, deployed: &Arc<Deployed>, asked: &mut mpsc::Receiver<Ask>) {
        let mut attempt = 1;
        loop {
            let planned = self.planned(CONTINUOUS, None, attempt);
            match self.attempt(deployed, planned, asked).await {
                Ended::Stopped => return,
                Ended::Well | Ended::Cancelled => attempt = 1,
                Ended::Failed { holds: true, .. } => return,
                Ended::Failed { lasted_ms, .. } => {
                    attempt = if lasted_ms > SETTLED_MS {
                        1
                    } else {
                        attempt + 1
                    };
                    if !self.wait_to_retry(deployed, attempt, asked).await {
                        return;
                    }
                }
            }
        }
    }

    async fn once(&self, deployed: &Arc<Deployed>, asked: &mut mpsc::Receiver<Ask>) {
        let PipelineRecord {
            env,
            pipeline,
            version,
            ..
        } = &*self.record;
        let is_done = self
            .shared
            .runs
            .lock()
            .has_run_once(env, pipeline, *version);
        if !is_done
            && !self
                .with_retries(deployed, self.planned(ONCE, None, 1), asked)
                .await
        {
            return;
        }
        // One that failed as often as it may waits for somebody to ask for it.
        self.shared.statuses.set(env, pipeline, |status| {
            let has_failed = status.error.is_some();
            status.phase = if has_failed { Phase::Held } else { Phase::Done };
        });
        self.only_when_asked(deployed, asked).await;
    }

    async fn scheduled(
        &self,
        deployed: &Arc<Deployed>,
        schedule: &Schedule,
        jitter: Duration,
        asked: &mut mpsc::Receiver<Ask>,
    ) {
        loop {
            let PipelineRecord { env, pipeline, .. } = &*self.record;
            let last = self.shared.runs.lock().last_nominal(env, pipeline);
            let now_ms = self.shared.now_ms();
            let wait = match schedule.due(last, self.record.time.ms(), now_ms) {
                Due::Now(nominal) => {
                    let jitter = self.shared.jitter(jitter);
                    if !self.wait(jitter, asked, deployed).await {
                        return;
                    }
                    let planned = self.planned(SCHEDULE, Some(nominal), 1);
                    if !self.with_retries(deployed, planned, asked).await {
                        return;
                    }
                    continue;
                }
                Due::At(nominal) => u64::try_from(nominal - now_ms).unwrap_or_default(),
                Due::Never => u64::MAX,
            };
            self.status(Phase::Waiting, None);
            // A clock that is set anew is noticed within a minute.
            let wait = Duration::from_millis(wait.min(60_000));
            if !self.wait(wait, asked, deployed).await {
                return;
            }
        }
    }

    async fn only_when_asked(&self, deployed: &Arc<Deployed>, asked: &mut mpsc::Receiver<Ask>) {
        while self.wait(Duration::from_secs(3600), asked, deployed).await {}
    }

    /// Waits, and makes the runs that are asked for in between. False: it is to stop.
    async fn wait(
        &self,
        wait: Duration,
        asked: &mut mpsc::Receiver<Ask>,
        deployed: &Arc<Deployed>,
    ) -> bool {
        let until = self.shared.env().clock.now().plus(wait);
        loop {
            let ask = tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                ask = asked.recv() => ask,
                () = self.shared.env().clock.sleep_until(until) => return true,
            };
            match ask {
                Some(Ask::Run { id }) => {
                    let planned = Planned {
                        id,
                        ..self.planned(MANUAL, None, 1)
                    };
                    // Who asks for a run asks again if it fails.
                    if let Ended::Stopped = self.attempt(deployed, planned, asked).await {
                        return false;
                    }
                }
                Some(Ask::Cancel) => {}
                None => return false,
            }
        }
    }

    async fn wait_to_retry(
        &self,
        deployed: &Arc<Deployed>,
        attempt: u32,
        asked: &mut mpsc::Receiver<Ask>,
    ) -> bool {
        let retry = &deployed.pipeline.run.retry;
        let wait = backoff(retry.backoff, u64::from(attempt.saturating_sub(1)));
        self.status_phase(Phase::Retrying);
        self.wait(wait, asked, deployed).await
    }

    /// Makes a run, again if it fails. False: it is to stop, or is held.
    async fn with_retries(
        &self,
        deployed: &Arc<Deployed>,
        mut planned: Planned,
        asked: &mut mpsc::Receiver<Ask>,
    ) -> bool {
        let times = deployed.pipeline.run.retry.times;
        loop {
            match self.attempt(deployed, planned.clone(), asked).await {
                Ended::Stopped => return false,
                Ended::Well | Ended::Cancelled => return true,
                Ended::Failed { holds: true, .. } => return false,
                Ended::Failed { .. } if u64::from(planned.attempt) > times => return true,
                Ended::Failed { message, .. } => {
                    planned.failed = Some(message);
                    planned.attempt += 1;
                    if !self.wait_to_retry(deployed, planned.attempt, asked).await {
                        return false;
                    }
                }
            }
        }
    }

    fn planned(&self, trigger: &'static str, nominal: Option<i64>, attempt: u32) -> Planned {
        Planned {
            id: self.shared.run_id(),
            trigger,
            nominal,
            attempt,
            failed: None,
        }
    }

    /// One attempt of a run, from its first record to its last.
    async fn attempt(
        &self,
        deployed: &Arc<Deployed>,
        planned: Planned,
        asked: &mut mpsc::Receiver<Ask>,
    ) -> Ended {
        let is_bounded = planned.trigger != CONTINUOUS;
        let progress: Vec<(Role, Arc<Progress>)> = deployed
            .tasks
            .iter()
            .map(|task| (task.role, Arc::default()))
            .collect();
        let telling = Telling {
            version: self,
            deployed,
            started: self.shared.now_ms(),
            planned,
            progress: &progress,
        };
        self.shared
            .statuses
            .set(&self.record.env, &self.record.pipeline, |status| {
                status.phase = Phase::Running;
                status.tasks.clone_from(&progress);
            });
        telling.tell(RunState::Running, telling.planned.failed.clone(), None);
        let began = format!(
            "began: {}, attempt {}",
            telling.planned.trigger, telling.planned.attempt
        );
        self.log(Level::Info, Some(&telling.planned.id), began);
        let stop = self.stop.child_token();
        let running = self.run_tasks(deployed, is_bounded, &progress, &stop);
        tokio::pin!(running);
        let timeout = deployed.pipeline.run.timeout;
        let timeout = timeout.map_or(Duration::MAX, spec::Span::duration);
        let deadline = self.shared.env().clock.now().plus(timeout);
        let mut ends = None;
        let mut problems = Vec::new();
        let mut told = self.shared.env().clock.now();
        let result = loop {
            let look_at = self.shared.env().clock.now().plus(LOOK_EVERY);
            tokio::select! {
                biased;
                result = &mut running => break result,
                ask = asked.recv() => match ask {
                    Some(Ask::Cancel) => {
                        ends = Some(RunState::Cancelled);
                        stop.cancel();
                    }
                    // It runs.
                    Some(Ask::Run { .. }) => {}
                    None => stop.cancel(),
                },
                () = self.shared.env().clock.sleep_until(deadline), if ends.is_none() => {
                    ends = Some(RunState::TimedOut);
                    stop.cancel();
                }
                () = self.shared.env().clock.sleep_until(look_at) => {
                    let now = self.shared.env().clock.now();
                    let is_other = telling.log_problems(&mut problems);
                    if is_other || now.since(told) >= TELL_EVERY {
                        let problems = (!problems.is_empty()).then(|| problems.join("; "));
                        let error = problems.or_else(|| telling.planned.failed.clone());
                        telling.tell(RunState::Running, error, None);
                        told = now;
                    }
                }
            }
        };
        self.end(&telling, result, ends)
    }

    fn end(
        &self,
        telling: &Telling<'_>,
        result: Result<(), TaskError>,
        ends: Option<RunState>,
    ) -> Ended {
        let now_ms = self.shared.now_ms();
        let tally = telling.tally();
        let lasted_ms = now_ms - telling.started;
        let timed_out = || {
            let after = telling.deployed.pipeline.run.timeout;
            after.map_or_else(String::new, |after| {
                format!("took longer than its timeout of {after}")
            })
        };
        let (state, error, ended) = match (result, ends) {
            (Err(error), _) => {
                let holds = error.holds();
                let message = with_name(causes(&error), &self.record.pipeline);
                (
                    RunState::Failed,
                    Some(message.clone()),
                    Ended::Failed {
                        holds,
                        lasted_ms,
                        message,
                    },
                )
            }
            (Ok(()), Some(RunState::TimedOut)) => {
                let (holds, message) = (false, timed_out());
                (
                    RunState::TimedOut,
                    Some(message.clone()),
                    Ended::Failed {
                        holds,
                        lasted_ms,
                        message,
                    },
                )
            }
            (Ok(()), Some(_)) => (RunState::Cancelled, None, Ended::Cancelled),
            (Ok(()), None) if self.stop.is_cancelled() => {
                (RunState::Succeeded, None, Ended::Stopped)
            }
            (Ok(()), None) => (RunState::Succeeded, None, Ended::Well),
        };
        let then = match &ended {
            Ended::Failed { holds: true, .. } => Some(Then::Held),
            Ended::Failed { .. } => telling.after_failure(),
            _ => None,
        };
        telling.tell(state, error.clone(), then);
        telling.tell_checks(&tally);
        let (level, message) = match &error {
            Some(error) => (Level::Error, error.clone()),
            None => (Level::Info, ended_well(state, &tally)),
        };
        self.log(level, Some(&telling.planned.id), message);
        self.shared
            .statuses
            .set(&self.record.env, &self.record.pipeline, |status| {
                status.end_tasks();
                status.failures += u64::from(error.is_some());
                if error.is_none() {
                    status.succeeded_ms = Some(now_ms);
                }
                status.phase = match then {
                    Some(Then::Held) => Phase::Held,
                    Some(Then::Retrying) => Phase::Retrying,
                    None => Phase::Waiting,
                };
                status.error = error;
            });
        ended
    }

    /// Runs the tasks of a pipeline: side by side if they go on, else one after the other.
    async fn run_tasks(
        &self,
        deployed: &Arc<Deployed>,
        is_bounded: bool,
        progress: &[(Role, Arc<Progress>)],
        stop: &CancellationToken,
    ) -> Result<(), TaskError> {
        let tasks = deployed.tasks.iter().zip(progress);
        let tasks = tasks.map(|(task, (role, progress))| RunningTask {
            surroundings: self.shared.surroundings.clone(),
            deployed: Arc::clone(deployed),
            task: task.clone(),
            session: self.sessions.of(*role),
            hand_over: self.hand_over.clone(),
            is_bounded,
            progress: Arc::clone(progress),
            stop: stop.clone(),
        });
        if is_bounded {
            for task in tasks {
                task.run().await?;
            }
            return Ok(());
        }
        let mut running = JoinSet::new();
        for task in tasks {
            running.spawn(async move {
                let stop = task.stop.clone();
                let ended = task.run().await;
                // One without the other is of no use.
                stop.cancel();
                ended
            });
        }
        task::all(running).await
    }

    fn begin_status(&self, deployed: &Deployed) {
        let checks = deployed.pipeline.checks.iter();
        let checks = checks.map(|check| (check.reason.clone(), check.severity.name()));
        let checks: Arc<[_]> = checks.collect();
        self.shared
            .statuses
            .set(&self.record.env, &self.record.pipeline, |status| {
                if status.version != self.record.version {
                    status.ended = Tally::default();
                    status.ended_stages = Default::default();
                    status.ended_batches = 0;
                }
                status.version = self.record.version;
                status.checks = checks;
                status.phase = Phase::Waiting;
                status.error = None;
            });
    }

    fn status(&self, phase: Phase, error: Option<String>) {
        self.shared
            .statuses
            .set(&self.record.env, &self.record.pipeline, |status| {
                status.version = self.record.version;
                status.phase = phase;
                if error.is_some() {
                    status.error = error;
                }
            });
    }

    fn status_phase(&self, phase: Phase) {
        self.status(phase, None);
    }

    fn log(&self, level: Level, run: Option<&str>, message: String) {
        self.shared.history.log(&LogLine {
            env: self.record.env.clone(),
            pipeline: self.record.pipeline.clone(),
            version: Some(self.record.version),
            run: run.map(str::to_owned),
            task: None,
            level,
            message,
            time: Time::from_ms(self.shared.now_ms()),
        });
    }
}

/// What is told of a run.
struct Telling<'a> {
    version: &'a Version,
    deployed: &'a Deployed,
    started: i64,
    planned: Planned,
    progress: &'a [(Role, Arc<Progress>)],
}

impl Telling<'_> {
    fn tally(&self) -> Tally {
        tally_of(self.progress)
    }

    /// What becomes of the pipeline after a run that may be tried again.
    fn after_failure(&self) -> Option<Then> {
        let times = self.deployed.pipeline.run.retry.times;
        let is_last = u64::from(self.planned.attempt) > times;
        match self.planned.trigger {
            CONTINUOUS => Some(Then::Retrying),
            ONCE | SCHEDULE if !is_last => Some(Then::Retrying),
            ONCE => Some(Then::Held),
            _ => None,
        }
    }

    /// What somebody has to see although the run goes on, as files that cannot be read: each is logged once, and stands in the record
    /// of the run until it is mended. Whether it is something else than before.
    fn log_problems(&self, before: &mut Vec<String>) -> bool {
        let problems = self
            .progress
            .iter()
            .flat_map(|(_, progress)| progress.seen().problems);
        let problems: Vec<String> = problems.take(PROBLEMS_MAX).collect();
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            self.version
                .log(Level::Warn, Some(&self.planned.id), problem.clone());
        }
        let is_other = problems != *before;
        *before = problems;
        is_other
    }

    fn tell(&self, state: RunState, error: Option<String>, then: Option<Then>) {
        let shared = &self.version.shared;
        let record = &self.version.record;
        let now = Time::from_ms(shared.now_ms());
        let tally = self.tally();
        let run = Run {
            env: record.env.clone(),
            pipeline: record.pipeline.clone(),
            run: self.planned.id.clone(),
            version: record.version,
            trigger: self.planned.trigger.to_owned(),
            nominal: self.planned.nominal.map(Time::from_ms),
            state,
            started: Time::from_ms(self.started),
            ended: (state != RunState::Running).then_some(now),
            attempt: self.planned.attempt,
            rows_in: tally.rows_in,
            rows_out: tally.rows_out,
            dead: tally.dead,
            dropped: tally.dropped,
            warned: tally.warned,
            error,
            then,
        };
        shared.history.run(&run);
        shared.runs.lock().add(run);
    }

    fn tell_checks(&self, tally: &Tally) {
        let record = &self.version.record;
        let checks = self.deployed.pipeline.checks.iter().enumerate();
        for (index, check) in checks {
            self.version.shared.history.check(&CheckResult {
                env: record.env.clone(),
                pipeline: record.pipeline.clone(),
                run: self.planned.id.clone(),
                version: record.version,
                check: check.reason.clone(),
                severity: check.severity.name().to_owned(),
                rows: tally.rows_in,
                failed: tally.failed.get(&index).copied().unwrap_or_default(),
                time: Time::from_ms(self.version.shared.now_ms()),
            });
        }
    }
}

/// A task that runs.
struct RunningTask {
    surroundings: Surroundings,
    deployed: Arc<Deployed>,
    task: Task,
    session: Session,
    hand_over: HandOver,
    is_bounded: bool,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl RunningTask {
    async fn run(self) -> Result<(), TaskError> {
        let Self {
            surroundings,
            deployed,
            task,
            session,
            hand_over,
            is_bounded,
            progress,
            stop,
        } = self;
        let opening = open::open(
            &surroundings,
            &deployed,
            &task,
            session,
            &hand_over,
            is_bounded,
            progress,
        );
        let parts = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            parts = opening => parts?,
        };
        task::run(parts, stop).await
    }
}

fn ended_well(state: RunState, tally: &Tally) -> String {
    let Tally {
        rows_in,
        rows_out,
        dead,
        ..
    } = tally;
    let state = state.name();
    format!("{state}: {rows_in} read, {rows_out} written, {dead} dead letters")
}

/// Errors name commands that are run for a pipeline, and do not know which.
fn with_name(message: String, pipeline: &str) -> String {
    ["resume", "rollback"]
        .iter()
        .fold(message, |message, verb| {
            let (of_any, of_it) = (
                format!("pipeline {verb} NAME"),
                format!("pipeline {verb} {pipeline}"),
            );
            message.replace(&of_any, &of_it)
        })
}

/// An error with all its causes, as one sentence.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
