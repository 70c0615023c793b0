//! The life of one pipeline: which version is wanted, when it runs, what happens when it fails.
//!
//! Invariants: one version runs at a time, and the next begins only when the last one has ended at a commit; who is told to stop, pause,
//! hand over or cancel ends at the next commit; a run that failed is tried again as the file says, and one that ends by a halt waits until
//! somebody does something; a run that was interrupted is not over, and goes on with the pipeline. A pipeline that another worker has
//! taken over is begun again here when somebody changes or resumes it, and not before, so that two workers do not take it from each other
//! for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Env;
use parking_lot::Mutex;
use spec::Trigger;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deployed::Deployed;
use super::hand_over::HandOver;
use super::history::{CONTINUOUS, History, MANUAL, ONCE, Runs, SCHEDULE};
use super::mailbox::Mailbox;
use super::open::{self, Surroundings};
use super::progress::Progress;
use super::schedule::{Due, Schedule, backoff};
use super::status::{Phase, Status, Statuses, tally_of};
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
    /// Whether another worker has run a pipeline of this one, so that there are runs which are not known here.
    pub(crate) lacks_runs: AtomicBool,
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
pub(crate) async fn live(shared: Arc<Shared>, mailbox: Arc<Mailbox>) {
    let mut wanted: Option<Wanted> = None;
    loop {
        let runs = |wanted: &Wanted| wanted.record.state == PipelineState::Running;
        let Some(version) = wanted.take().filter(runs) else {
            let Some(next) = mailbox.next_wanted().await else {
                return;
            };
            forget_unless_running(&shared, next.as_ref());
            wanted = next;
            continue;
        };
        let stop = CancellationToken::new();
        let version = Version {
            shared: Arc::clone(&shared),
            record: version.record,
            hand_over: version.hand_over,
            stop: stop.clone(),
            mailbox: Arc::clone(&mailbox),
            // Somebody has asked for it: it takes over from whoever ran it.
            sessions: Sessions::default(),
        };
        let running = version.run();
        tokio::pin!(running);
        let mut is_over = false;
        let next = loop {
            tokio::select! {
                biased;
                next = mailbox.next_wanted() => break next,
                () = &mut running, if !is_over => is_over = true,
            }
        };
        stop.cancel();
        if !is_over {
            running.await;
        }
        let Some(next) = next else {
            return;
        };
        // It told of its end.
        forget_unless_running(&shared, next.as_ref());
        wanted = next;
    }
}

/// Nothing is told of what does not run here.
fn forget_unless_running(shared: &Shared, next: Option<&Wanted>) {
    let next = next.map(|next| &next.record);
    if let Some(next) = next.filter(|next| next.state != PipelineState::Running) {
        shared.statuses.remove(&next.env, &next.pipeline);
    }
}

/// A version that runs.
struct Version {
    shared: Arc<Shared>,
    record: Arc<PipelineRecord>,
    hand_over: HandOver,
    stop: CancellationToken,
    mailbox: Arc<Mailbox>,
    sessions: Sessions,
}

/// Who the tasks of a version are for the coordinator of transactions, over attempts; cheap to clone.
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
    /// It failed, and somebody has to do something first.
    Held,
    /// Another worker has taken over.
    Fenced,
    /// It failed, and is perhaps tried again.
    Failed {
        /// How long it had gone on.
        lasted_ms: i64,
        /// Why.
        message: String,
    },
}

/// What comes behind a run, or behind waiting for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It goes on as its file says.
    On,
    /// It is to stop.
    Stop,
    /// Somebody has to do something first.
    Held,
    /// Another worker runs it.
    Fenced,
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
    async fn run(self) {
        let deployed = Deployed::new(Arc::clone(&self.record), self.shared.memory_bytes_max);
        let deployed = match deployed {
            Ok(deployed) => Arc::new(deployed),
            Err(error) => return self.cannot_run(&causes(&error)).await,
        };
        self.begin_status(&deployed);
        loop {
            let next = match &deployed.pipeline.run.trigger {
                Trigger::Continuous => self.continuously(&deployed).await,
                Trigger::Once => self.once(&deployed).await,
                Trigger::Scheduled(schedule) => match Schedule::new(schedule) {
                    Ok(times) => {
                        let jitter = schedule.jitter.duration();
                        self.scheduled(&deployed, &times, jitter).await
                    }
                    Err(cause) => return self.cannot_run(&cause.to_string()).await,
                },
            };
            let next = match next {
                Next::Held => self.held(&deployed).await,
                next => next,
            };
            match next {
                Next::On | Next::Held => {}
                Next::Stop => return,
                Next::Fenced => {
                    self.shared.lacks_runs.store(true, Ordering::Relaxed);
                    // Who has taken over makes the runs that are asked for.
                    return self.stop.cancelled().await;
                }
            }
        }
    }

    /// Says why it cannot run here, and that runs are not made that somebody asks for.
    async fn cannot_run(&self, message: &str) {
        self.log(Level::Error, None, message.to_owned());
        self.status(Phase::Held, Some(message.to_owned()));
        while let Some(id) = self.next_run().await {
            let message = format!("the run is not made: {message}");
            self.log(Level::Error, Some(&id), message);
        }
    }

    async fn continuously(&self, deployed: &Arc<Deployed>) -> Next {
        let mut attempt = 1;
        loop {
            let planned = self.planned(CONTINUOUS, None, attempt);
            match self.attempt(deployed, planned).await {
                Ended::Stopped => return Next::Stop,
                Ended::Held => return Next::Held,
                Ended::Fenced => return Next::Fenced,
                Ended::Well | Ended::Cancelled => attempt = 1,
                Ended::Failed { lasted_ms, .. } => {
                    attempt = if lasted_ms > SETTLED_MS {
                        1
                    } else {
                        attempt + 1
                    };
                    match self.wait_to_retry(deployed, attempt).await {
                        Next::On => {}
                        next => return next,
                    }
                }
            }
        }
    }

    async fn once(&self, deployed: &Arc<Deployed>) -> Next {
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
        if !is_done {
            let planned = self.unfinished(ONCE);
            let planned = planned.unwrap_or_else(|| self.planned(ONCE, None, 1));
            match self.with_retries(deployed, planned).await {
                Next::On => {}
                next => return next,
            }
        }
        // One that failed as often as it may waits for somebody to ask for it.
        let idle = |status: &Status| match status.error {
            Some(_) => Phase::Held,
            None => Phase::Done,
        };
        self.wait(Duration::MAX, deployed, idle).await
    }

    async fn scheduled(
        &self,
        deployed: &Arc<Deployed>,
        schedule: &Schedule,
        jitter: Duration,
    ) -> Next {
        loop {
            // What was interrupted, or failed and is to be tried again, comes first.
            let planned = match self.unfinished(SCHEDULE) {
                Some(planned) => planned,
                None => match self.next_time(deployed, schedule, jitter).await {
                    Ok(nominal) => self.planned(SCHEDULE, Some(nominal), 1),
                    Err(next) => return next,
                },
            };
            match self.with_retries(deployed, planned).await {
                Next::On => {}
                next => return next,
            }
        }
    }

    /// Waits until it is time for a run; what comes instead is the error.
    async fn next_time(
        &self,
        deployed: &Arc<Deployed>,
        schedule: &Schedule,
        jitter: Duration,
    ) -> Result<i64, Next> {
        let PipelineRecord { env, pipeline, .. } = &*self.record;
        loop {
            let last = self.shared.runs.lock().last_nominal(env, pipeline);
            let now_ms = self.shared.now_ms();
            let (wait, due) = match schedule.due(last, self.record.time.ms(), now_ms) {
                Due::Now(nominal) => (self.shared.jitter(jitter), Some(nominal)),
                Due::At(nominal) => {
                    let wait = u64::try_from(nominal - now_ms).unwrap_or_default();
                    // A clock that is set anew is noticed within a minute.
                    (Duration::from_millis(wait.min(60_000)), None)
                }
                Due::Never => (Duration::from_secs(60), None),
            };
            match (self.wait(wait, deployed, |_| Phase::Waiting).await, due) {
                (Next::On, Some(nominal)) => return Ok(nominal),
                (Next::On, None) => {}
                (next, _) => return Err(next),
            }
        }
    }

    /// Waits, and makes the runs that are asked for in between. `idle` is what it does when nothing goes on.
    async fn wait(
        &self,
        wait: Duration,
        deployed: &Arc<Deployed>,
        idle: impl Fn(&Status) -> Phase,
    ) -> Next {
        let until = self.shared.env().clock.now().plus(wait);
        loop {
            let PipelineRecord { env, pipeline, .. } = &*self.record;
            self.shared.statuses.set(env, pipeline, |status| {
                status.phase = idle(status);
            });
            let asked = tokio::select! {
                biased;
                asked = self.next_run() => asked,
                () = self.shared.env().clock.sleep_until(until) => return Next::On,
            };
            let Some(id) = asked else {
                return Next::Stop;
            };
            match self.make_run(id, deployed).await {
                Ended::Stopped => return Next::Stop,
                Ended::Held => return Next::Held,
                Ended::Fenced => return Next::Fenced,
                // Who asks for a run asks again if it fails.
                Ended::Well | Ended::Cancelled | Ended::Failed { .. } => {}
            }
        }
    }

    /// Waits until somebody asks for a run and it goes well: then there is nothing that holds it any more.
    async fn held(&self, deployed: &Arc<Deployed>) -> Next {
        while let Some(id) = self.next_run().await {
            match self.make_run(id, deployed).await {
                Ended::Well => return Next::On,
                Ended::Stopped => return Next::Stop,
                Ended::Fenced => return Next::Fenced,
                Ended::Held | Ended::Cancelled | Ended::Failed { .. } => {
                    self.status(Phase::Held, None);
                }
            }
        }
        Next::Stop
    }

    /// The next run that is asked for; nothing if it is to stop.
    async fn next_run(&self) -> Option<String> {
        let PipelineRecord { env, pipeline, .. } = &*self.record;
        loop {
            let id = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                id = self.mailbox.next_run() => id,
            };
            // It may have been told twice.
            if !self.shared.runs.lock().is_answered(env, pipeline, &id) {
                return Some(id);
            }
        }
    }

    async fn make_run(&self, id: String, deployed: &Arc<Deployed>) -> Ended {
        let planned = Planned {
            id,
            ..self.planned(MANUAL, None, 1)
        };
        self.attempt(deployed, planned).await
    }

    async fn wait_to_retry(&self, deployed: &Arc<Deployed>, attempt: u32) -> Next {
        let retry = &deployed.pipeline.run.retry;
        let wait = backoff(retry.backoff, u64::from(attempt.saturating_sub(1)));
        self.wait(wait, deployed, |_| Phase::Retrying).await
    }

    /// Makes a run, again if it fails.
    async fn with_retries(&self, deployed: &Arc<Deployed>, mut planned: Planned) -> Next {
        let times = deployed.pipeline.run.retry.times;
        loop {
            match self.attempt(deployed, planned.clone()).await {
                Ended::Stopped => return Next::Stop,
                Ended::Held => return Next::Held,
                Ended::Fenced => return Next::Fenced,
                Ended::Well | Ended::Cancelled => return Next::On,
                Ended::Failed { .. } if u64::from(planned.attempt) > times => return Next::On,
                Ended::Failed { message, .. } => {
                    planned.failed = Some(message);
                    planned.attempt += 1;
                    match self.wait_to_retry(deployed, planned.attempt).await {
                        Next::On => {}
                        next => return next,
                    }
                }
            }
        }
    }

    /// The run of this version that is not over.
    fn unfinished(&self, trigger: &'static str) -> Option<Planned> {
        let PipelineRecord {
            env,
            pipeline,
            version,
            ..
        } = &*self.record;
        let runs = self.shared.runs.lock();
        let unfinished = runs.unfinished(env, pipeline, *version, trigger)?;
        Some(Planned {
            failed: unfinished.failed,
            ..self.planned(trigger, unfinished.nominal, unfinished.attempt)
        })
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
    async fn attempt(&self, deployed: &Arc<Deployed>, planned: Planned) -> Ended {
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
                () = self.mailbox.cancelled() => {
                    ends = Some(RunState::Cancelled);
                    stop.cancel();
                }
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
        result: Result<bool, TaskError>,
        ends: Option<RunState>,
    ) -> Ended {
        let now_ms = self.shared.now_ms();
        let tally = telling.tally();
        let lasted_ms = now_ms - telling.started;
        let stopped = if self.stop.is_cancelled() {
            Ended::Stopped
        } else {
            Ended::Well
        };
        let failed = |message| Ended::Failed { lasted_ms, message };
        let (state, error, ended) = match (result, ends) {
            (Err(error), _) => {
                let message = with_name(causes(&error), &self.record.pipeline);
                let ended = match () {
                    () if error.is_fenced() => Ended::Fenced,
                    () if error.holds() => Ended::Held,
                    () => failed(message.clone()),
                };
                (RunState::Failed, Some(message), ended)
            }
            // All was read, whatever was said meanwhile.
            (Ok(true), _) => (RunState::Succeeded, None, stopped),
            (Ok(false), Some(RunState::TimedOut)) => {
                let after = telling.deployed.pipeline.run.timeout;
                let message = after.map_or_else(String::new, |after| {
                    format!("took longer than its timeout of {after}")
                });
                (RunState::TimedOut, Some(message.clone()), failed(message))
            }
            (Ok(false), Some(_)) => (RunState::Cancelled, None, Ended::Cancelled),
            // One that does not end by itself has done all that it could.
            (Ok(false), None) if telling.planned.trigger == CONTINUOUS => {
                (RunState::Succeeded, None, stopped)
            }
            (Ok(false), None) => (RunState::Interrupted, None, stopped),
        };
        let then = match &ended {
            Ended::Held | Ended::Fenced => Some(Then::Held),
            Ended::Failed { .. } => telling.after_failure(),
            _ => None,
        };
        telling.log_notes();
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
                if state == RunState::Succeeded {
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

    /// Runs the tasks of a pipeline: side by side if they go on, else one after the other. Whether all was read that was to be read.
    async fn run_tasks(
        &self,
        deployed: &Arc<Deployed>,
        is_bounded: bool,
        progress: &[(Role, Arc<Progress>)],
        stop: &CancellationToken,
    ) -> Result<bool, TaskError> {
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
                if !task.run().await? {
                    return Ok(false);
                }
            }
            return Ok(true);
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
        self.log_notes();
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

    fn log_notes(&self) {
        for note in self.progress.iter().flat_map(|(_, task)| task.take_notes()) {
            self.version.log(Level::Warn, Some(&self.planned.id), note);
        }
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
            deployment: Some(record.deployment.clone()),
        };
        shared.history.run(&run);
        if let Some(outcome) = shared.runs.lock().add(run.clone()) {
            shared.history.outcome(outcome, &run, now.ms());
        }
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
    /// Whether all was read that was to be read.
    async fn run(self) -> Result<bool, TaskError> {
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
            () = stop.cancelled() => return Ok(false),
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
