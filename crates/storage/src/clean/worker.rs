//! [`Cleaner`]: which log is cleaned next, and the threads that do it.
//!
//! Invariants: a log is cleaned by one thread at a time; a cleaning ends soon after its log is deleted, closed or no longer
//! compacted, or the cleaner shall stop; what goes wrong with one log holds no other up: it is not chosen for a while
//! ([`StepBack`](super::step_back)), or, if it is corrupt, not before the next start. Source: Kafka's `LogCleaner` and
//! `LogCleanerManager`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use env::Worker;
use parking_lot::{Condvar, Mutex, RwLock};
use types::Instant;

use super::errors::CleanError;
use super::plan::Cleanable;
use super::rewrite::{Cleaned, Pace, Rewrite};
use super::settings::CleanerSettings;
use super::state::CleanState;
use super::throttle::Throttle;
use crate::append::{is_full, passes};
use crate::local_log::{LocalLog, Status};
use crate::registry::Registry;

/// The longest wait without a look at the clock: clocks of a simulation jump.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// As [`LOOK_EVERY`], while there is nothing to do.
const REST_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the threads that clean share.
#[derive(Debug)]
pub(crate) struct Cleaner {
    settings: RwLock<CleanerSettings>,
    throttle: Throttle,
    /// One thread chooses at a time.
    choosing: Mutex<()>,
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Cleaner {
    pub(crate) fn new(settings: CleanerSettings) -> Self {
        Self {
            settings: RwLock::new(settings),
            throttle: Throttle::default(),
            choosing: Mutex::default(),
            stopping: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn settings(&self) -> CleanerSettings {
        *self.settings.read()
    }

    pub(crate) fn configure(&self, settings: CleanerSettings) {
        *self.settings.write() = settings;
        self.changed.notify_all();
    }

    /// Has all cleanings end.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }
}

/// One of the threads that clean.
pub(crate) struct CleanerThread {
    registry: Arc<Registry>,
    number: usize,
    /// In a simulation: when to look again.
    rests_until: Mutex<Option<Instant>>,
}

impl CleanerThread {
    pub(crate) fn new(registry: Arc<Registry>, number: usize) -> Self {
        Self {
            registry,
            number,
            rests_until: Mutex::default(),
        }
    }
}

impl Worker for CleanerThread {
    fn run(&self) {
        self.registry.run_cleaner(self.number);
    }

    fn turn(&self) -> bool {
        let registry = &self.registry;
        let clock = &registry.shared.env.clock;
        let settings = registry.cleaner.settings();
        let mut rests_until = self.rests_until.lock();
        let is_wanted = settings.enabled && self.number < settings.threads;
        if !is_wanted
            || registry.cleaner.is_stopping()
            || rests_until.is_some_and(|until| clock.now() < until)
        {
            return false;
        }
        *rests_until = None;
        let is_cleaned = registry.clean_once();
        if !is_cleaned {
            let backoff = Duration::from_millis(settings.backoff_ms);
            *rests_until = Some(clock.now().plus(backoff));
        }
        is_cleaned
    }
}

/// The log that is worth most.
#[derive(Debug)]
struct Choice {
    log: Arc<LocalLog>,
    cleanable: Cleanable,
    state: CleanState,
}

/// What came of looking for a log to clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Cleaned,
    /// The log that was chosen could not be cleaned, and will not be chosen again soon.
    Failed,
    /// There is nothing to do now.
    Idle,
}

/// Why a log has to wait that is worth cleaning.
#[derive(Debug, thiserror::Error)]
enum Delay {
    #[error("could not write a checkpoint, and nothing is cleaned before there is one")]
    Checkpoint(#[source] io::Error),
    #[error("the last checkpoint does not reach far enough")]
    NoCheckpoint,
    #[error("a cleaned segment could not be put in place yet")]
    UnfinishedSwap(#[source] io::Error),
}

impl Registry {
    /// The life of the `number`th thread that cleans.
    pub(crate) fn run_cleaner(&self, number: usize) {
        let clock = &self.shared.env.clock;
        while !self.cleaner.is_stopping() {
            let settings = self.cleaner.settings();
            let is_wanted = settings.enabled && number < settings.threads;
            if is_wanted && self.clean_round() != Round::Idle {
                continue;
            }
            let until = clock.now().plus(Duration::from_millis(settings.backoff_ms));
            let mut stopping = self.cleaner.stopping.lock();
            while !*stopping && clock.now() < until && self.cleaner.settings() == settings {
                let wait = until.since(clock.now()).min(REST_LOOK_EVERY);
                self.cleaner.changed.wait_for(&mut stopping, wait);
            }
        }
    }

    /// Cleans the log that is worth most, and gives up old segments of compacted logs. False if none was cleaned.
    pub(crate) fn clean_once(&self) -> bool {
        self.clean_round() == Round::Cleaned
    }

    fn clean_round(&self) -> Round {
        let now = self.shared.env.clock.wall();
        let round = self.clean_dirtiest();
        for log in self.logs() {
            if !log.settings().cleanup.compact {
                continue;
            }
            if let Err(error) = log.retain(now) {
                tracing::warn!(partition = %log.partition(), %error, "could not apply retention");
            }
        }
        round
    }

    fn clean_dirtiest(&self) -> Round {
        let choosing = self.cleaner.choosing.lock();
        let Some(choice) = self.choose() else {
            return Round::Idle;
        };
        if let Err(cause) = self.require_checkpoint(&choice) {
            self.step_back(&choice.log, &cause);
            return Round::Failed;
        }
        let log = Arc::clone(&choice.log);
        let before = choice.state;
        let mut progress = log.cleaning.progress.lock();
        drop(choosing);
        let mut state = progress.unwrap_or(before);
        let outcome = self.clean_log(choice, &mut state);
        *progress = Some(state);
        drop(progress);
        self.tell(&log, &outcome);
        if state.generation != before.generation {
            // So that a crash need not look at the new segments.
            self.shared.background.want_checkpoint();
        }
        match outcome {
            Ok(_) if state != before => Round::Cleaned,
            Ok(_) | Err(CleanError::Stopped) => Round::Idle,
            Err(_) => Round::Failed,
        }
    }

    /// The cleanable log with the largest uncleaned share.
    fn choose(&self) -> Option<Choice> {
        let now = self.shared.env.clock.wall();
        let mut best: Option<Choice> = None;
        let mut dirtiest = 0.0_f64;
        let mut overdue_ms = 0;
        let mut uncleanable = 0;
        let mut waiting = 0;
        for log in self.logs() {
            let settings = log.settings();
            if log.cleaning.is_uncleanable.load(Ordering::Relaxed) {
                uncleanable += 1;
                continue;
            }
            if !settings.cleanup.compact {
                continue;
            }
            if log.is_stepped_back() {
                waiting += 1;
                continue;
            }
            // Another thread cleans it.
            let Some(mut progress) = log.cleaning.progress.try_lock() else {
                continue;
            };
            if let Err(error) = log.lock_segments() {
                self.step_back(&log, &Delay::UnfinishedSwap(error));
                continue;
            }
            let Some(state) = log.load_progress(&mut progress) else {
                continue;
            };
            drop(progress);
            let Some(cleanable) = log.cleanable(state.first_dirty, now) else {
                continue;
            };
            dirtiest = dirtiest.max(cleanable.ratio());
            overdue_ms = overdue_ms.max(cleanable.overdue_ms);
            let is_better = best
                .as_ref()
                .is_none_or(|best| cleanable.ratio() > best.cleanable.ratio());
            if cleanable.is_due(&settings) && is_better {
                best = Some(Choice {
                    log,
                    cleanable,
                    state,
                });
            }
        }
        let metrics = &self.shared.metrics;
        metrics.uncleanable_logs.set(uncleanable);
        metrics.waiting_logs.set(waiting);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 1 in percent"
        )]
        metrics.dirtiest_percent.set((dirtiest * 100.0) as u64);
        metrics.compaction_delay_ms.set(overdue_ms);
        best
    }

    /// Has a checkpoint on disk whose end lies behind what is to be cleaned.
    fn require_checkpoint(&self, choice: &Choice) -> Result<(), Delay> {
        let upper_bound = choice.cleanable.upper_bound;
        if choice.log.is_checkpointed_behind(upper_bound) {
            return Ok(());
        }
        self.checkpoint(false).map_err(Delay::Checkpoint)?;
        if choice.log.is_checkpointed_behind(upper_bound) {
            Ok(())
        } else {
            Err(Delay::NoCheckpoint)
        }
    }

    /// The log waits before it is chosen again, so that others are.
    fn step_back(&self, log: &LocalLog, cause: &dyn std::error::Error) {
        let first = Duration::from_millis(self.cleaner.settings().backoff_ms);
        let now = self.shared.env.clock.now();
        let wait = log.cleaning.step_back.lock().failed(first, now);
        tracing::warn!(
            partition = %log.partition(),
            error = %cause,
            cause = cause.source().map(ToString::to_string),
            wait_seconds = wait.as_secs(),
            "could not clean a log; it is tried again after a wait"
        );
    }

    fn clean_log(&self, choice: Choice, state: &mut CleanState) -> Result<Cleaned, CleanError> {
        let Choice { log, cleanable, .. } = choice;
        let log = &*log;
        let mut seed = [0; 8];
        self.shared.env.random.fill(&mut seed);
        let pace = Watched {
            registry: self,
            log,
        };
        let rewrite = Rewrite {
            log,
            cleaner: &self.cleaner.settings(),
            settings: &log.settings(),
            pace: &pace,
            now: self.shared.env.clock.wall(),
            seed: u64::from_ne_bytes(seed),
        };
        let outcome = rewrite.run(cleanable, state);
        if outcome.is_err() && log.is_online() {
            // What it wrote is of no use; the next cleaning would remove it too.
            log.remove_unfinished().ok();
        }
        outcome
    }

    fn tell(&self, log: &LocalLog, outcome: &Result<Cleaned, CleanError>) {
        let metrics = &self.shared.metrics;
        let partition = log.partition();
        match outcome {
            Ok(cleaned) => {
                metrics.cleanings.add(1);
                metrics.cleaner_read_bytes.add(cleaned.bytes_read);
                metrics.cleaner_written_bytes.add(cleaned.bytes_written);
                let gone = cleaned.records_read.saturating_sub(cleaned.records_kept);
                metrics.cleaned_records.add(gone);
                metrics.cleaner_map_percent.set(cleaned.map_percent);
                log.cleaning.step_back.lock().succeeded();
                tracing::info!(
                    %partition,
                    bytes_read = cleaned.bytes_read,
                    bytes_written = cleaned.bytes_written,
                    records_read = cleaned.records_read,
                    records_kept = cleaned.records_kept,
                    "cleaned a log"
                );
                if cleaned.unreadable > 0 {
                    tracing::warn!(
                        %partition,
                        batches = cleaned.unreadable,
                        "records of a compacted log cannot be read; their batches stay, and so do the tombstones behind them"
                    );
                }
            }
            Err(CleanError::Stopped) => {}
            // Not found: retention or a deletion took the segment meanwhile.
            Err(CleanError::Io(error))
                if is_full(error) || passes(error) || error.kind() == io::ErrorKind::NotFound =>
            {
                metrics.failed_cleanings.add(1);
                self.step_back(log, error);
            }
            Err(error) => {
                metrics.failed_cleanings.add(1);
                log.cleaning.is_uncleanable.store(true, Ordering::Relaxed);
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(
                    %partition,
                    %error,
                    cause,
                    "could not clean a log; it is left as it is until the broker is restarted"
                );
            }
        }
    }
}

impl LocalLog {
    /// How far the log was cleaned, from its file the first time.
    fn load_progress(&self, progress: &mut Option<CleanState>) -> Option<CleanState> {
        if let Some(state) = progress {
            return Some(*state);
        }
        let state = match CleanState::read(&*self.shared.env.disk, &self.folder()) {
            Ok(Some(state)) => state,
            Ok(None) => {
                tracing::warn!(
                    partition = %self.partition,
                    "the record of how far the log was cleaned is damaged; cleaning it from its start"
                );
                CleanState::default()
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "could not read how far the log was cleaned");
                return None;
            }
        };
        let generation = self.view.lock().generation;
        let state = CleanState {
            generation: state.generation.max(generation),
            ..state
        };
        *progress = Some(state);
        Some(state)
    }

    pub(crate) fn is_online(&self) -> bool {
        self.view.lock().status == Status::Online
    }

    fn is_stepped_back(&self) -> bool {
        let now = self.shared.env.clock.now();
        self.cleaning.step_back.lock().is_waiting(now)
    }
}

/// Ends a cleaning when it should end, and holds it back when it is too fast.
struct Watched<'a> {
    registry: &'a Registry,
    log: &'a LocalLog,
}

impl Watched<'_> {
    fn check(&self) -> Result<(), CleanError> {
        let goes_on = !self.registry.cleaner.is_stopping()
            && self.log.is_online()
            && self.log.settings().cleanup.compact;
        if goes_on {
            Ok(())
        } else {
            Err(CleanError::Stopped)
        }
    }

    fn wait(&self, until: Instant) -> Result<(), CleanError> {
        let clock = &self.registry.shared.env.clock;
        let cleaner = &self.registry.cleaner;
        loop {
            self.check()?;
            let now = clock.now();
            // A limit that was lifted meanwhile holds nobody back.
            if now >= until || cleaner.settings().io_bytes_per_second.is_none() {
                return Ok(());
            }
            let mut stopping = cleaner.stopping.lock();
            if !*stopping {
                let wait = until.since(now).min(LOOK_EVERY);
                cleaner.changed.wait_for(&mut stopping, wait);
            }
        }
    }
}

impl Pace for Watched<'_> {
    fn transferred(&self, bytes: usize) -> Result<(), CleanError> {
        self.check()?;
        let rate = self.registry.cleaner.settings().io_bytes_per_second;
        let now = self.registry.shared.env.clock.now();
        match self.registry.cleaner.throttle.book(bytes as u64, rate, now) {
            Some(until) => self.wait(until),
            None => Ok(()),
        }
    }
}
