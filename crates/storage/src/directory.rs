//! [`LogDirectory`]: the data directory. Locks it, knows its format, opens and deletes logs, closes them in order.
//!
//! ```text
//! <data>/lock                     held by the process that uses the directory
//! <data>/watertable.format        which format the directory has
//! <data>/boot-count               how often it was opened: the leader epoch
//! <data>/checkpoint               how far each log is known to be whole, and its state there
//! <data>/logs/<topic>-<n>/        one folder per partition that was ever appended to
//! <data>/trash/                   what was deleted and waits to be removed
//! <data>/stray/                   folders of partitions that no topic has, kept for the operator
//! ```
//!
//! Invariants: one process at a time; the leader epoch of this opening is durable before anything is appended in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::disk::DiskLock;
use env::{Env, Thread, Worker};
use parking_lot::Mutex;
use types::{LeaderEpoch, Timestamp, TopicId, TopicPartition};

use crate::CleanerSettings;
use crate::background::{Job, Next};
use crate::clean::worker::CleanerThread;
use crate::commit::{AbortOnPanic, GroupCommit};
use crate::format::{self, FormatError};
use crate::local_log::LocalLog;
use crate::losses::{Loss, LossLog};
use crate::metrics::StorageMetrics;
use crate::opening::{Opening, has_entries, load_checkpoint};
use crate::registry::Registry;
use crate::settings::LogSettings;
use crate::shared::{LOGS_FOLDER, Shared, TRASH_FOLDER};

pub(crate) const LOCK_FILE: &str = "lock";
/// More threads than this do not clean, whatever is set.
const CLEANER_THREADS_MAX: usize = 64;

/// How a data directory is used.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Segments that keep their file open between uses.
    pub open_files_max: usize,
    /// Bytes of indexes of closed segments that are kept in memory.
    pub index_bytes_max: usize,
    /// Bytes of small batches that were appended last that are kept in memory for those who wait for them.
    pub tail_bytes_max: usize,
    /// `producer.id.expiration.ms`: a producer that is not heard of for so long is forgotten.
    pub producer_expiration_ms: i64,
    /// `transaction.partition.verification.enable`: a transaction begins in a partition only with a guard.
    pub verify_transactions: bool,
    /// A checkpoint is written after so many appended bytes; what is read after a crash is about as much.
    pub checkpoint_bytes: u64,
    /// How compacted logs are cleaned.
    pub cleaner: CleanerSettings,
    /// Whether commits and later work run on threads of their own. Without, the caller drives
    /// [`LogDirectory::run_once`], as a simulation does.
    pub own_threads: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            open_files_max: 4096,
            index_bytes_max: 8 << 20,
            tail_bytes_max: 8 << 20,
            producer_expiration_ms: 24 * 3600 * 1000,
            verify_transactions: true,
            checkpoint_bytes: 64 << 20,
            cleaner: CleanerSettings::default(),
            own_threads: true,
        }
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("the data directory {} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It was written by a newer version, or by something else.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The disk failed.
    #[error("could not open the data directory {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a partition's folder could not be moved away.
#[derive(Debug, thiserror::Error)]
#[error("could not move the folder of partition {partition} away")]
pub struct MoveAwayError {
    /// The partition.
    pub partition: TopicPartition,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// An opened data directory, and how that went.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub directory: LogDirectory,
    /// The epoch in which this process leads all its partitions: how often the directory was opened.
    pub leader_epoch: LeaderEpoch,
    /// Whether the last process closed it, so that nothing had to be recovered. False for a new directory.
    pub was_closed: bool,
}

/// The data directory of a broker.
#[derive(Debug)]
pub struct LogDirectory {
    registry: Arc<Registry>,
    threads: Mutex<Threads>,
    lock: Mutex<Option<DiskLock>>,
}

#[derive(Debug, Default)]
struct Threads {
    commit: Option<Thread>,
    background: Option<Thread>,
    cleaners: Vec<Thread>,
}

impl LogDirectory {
    /// Opens the data directory at `root`, making it if there is none: locks it, checks its format, counts the boot,
    /// recovers what an unclean stop left, and starts its threads. Blocks on the disk.
    ///
    /// # Errors
    /// Another process holds it, a newer version wrote it, or the disk failed.
    pub fn open(env: Env, root: &Path, options: DirectoryOptions) -> Result<Opened, OpenError> {
        let io_error = |source| OpenError::Io {
            path: root.to_owned(),
            source,
        };
        let disk = Arc::clone(&env.disk);
        disk.create_directories(root).map_err(io_error)?;
        let Some(lock) = disk.lock(&root.join(LOCK_FILE)).map_err(io_error)? else {
            return Err(OpenError::Locked {
                path: root.to_owned(),
            });
        };
        format::refuse_newer_directory(&*disk, root)?;
        let losses = Arc::new(LossLog::default());
        let checkpoint = load_checkpoint(&env, root, &losses).map_err(io_error)?;
        let logs = root.join(LOGS_FOLDER);
        let has_logs = has_entries(&*disk, &logs).map_err(io_error)?;
        let checkpointed_in = checkpoint.as_ref().map(|known| known.boot);
        let leader_epoch = format::next_boot(&*disk, root, has_logs, checkpointed_in)?;
        // Up to here a start may be refused, and has changed nothing.
        format::check(&*disk, root)?;
        disk.create_directories(&logs).map_err(io_error)?;
        disk.create_directories(&root.join(TRASH_FOLDER))
            .map_err(io_error)?;
        format::count_boot(&*disk, root, leader_epoch)?;
        let logs_names = disk.open_directory(&logs).map_err(io_error)?;
        let metrics = Arc::new(StorageMetrics::default());
        let has_checkpoint = checkpoint.is_some();
        let opening = Opening {
            env: &env,
            root,
            leader_epoch,
            metrics: &metrics,
            losses: &losses,
        };
        let findings = opening.find_logs(&logs, checkpoint).map_err(io_error)?;
        let shared = Arc::new(Shared::new(
            env,
            root,
            options,
            leader_epoch,
            metrics,
            losses,
            logs_names,
        ));
        let registry = Arc::new(Registry::new(shared, findings.found));
        if !has_logs && !has_checkpoint {
            // From now on a log that no checkpoint knows is a new one, unless the checkpoint was lost.
            registry.checkpoint(false).map_err(io_error)?;
        }
        let directory = Self {
            registry,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        directory.empty_trash().map_err(io_error)?;
        let has_losses = !directory.losses().is_empty();
        if has_losses && let Err(error) = directory.checkpoint() {
            tracing::warn!(%error, "could not write down what this start found; the next one looks again");
        }
        if directory.shared().metrics.recovered_logs.get() > 0 || has_losses {
            // So that the next crash need not read the same again.
            directory.shared().background.want_checkpoint();
        }
        if directory.shared().options.own_threads {
            directory.start_threads().map_err(io_error)?;
        }
        Ok(Opened {
            directory,
            leader_epoch,
            was_closed: findings.was_closed,
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.registry.shared
    }

    fn empty_trash(&self) -> io::Result<()> {
        let shared = self.shared();
        for entry in shared.env.disk.list(&shared.trash_folder())? {
            let job = Job::Remove {
                path: entry.path,
                is_directory: entry.is_directory,
            };
            shared.background.after(Duration::ZERO, job);
        }
        Ok(())
    }

    fn start_threads(&self) -> io::Result<()> {
        let shared = self.shared();
        let spawner = &*shared.env.spawner;
        let mut threads = self.threads.lock();
        threads.commit = Some(shared.commit.start(spawner)?);
        let worker = Arc::new(BackgroundThread(Arc::clone(&self.registry)));
        threads.background = Some(spawner.spawn_worker("log-background", worker)?);
        drop(threads);
        self.start_cleaners()
    }

    /// Starts threads that clean until there are as many as the settings want. Surplus ones rest.
    fn start_cleaners(&self) -> io::Result<()> {
        let shared = self.shared();
        let settings = self.registry.cleaner.settings();
        let wanted = if settings.enabled {
            settings.threads
        } else {
            0
        };
        let mut threads = self.threads.lock();
        for number in threads.cleaners.len()..wanted.min(CLEANER_THREADS_MAX) {
            let worker = Arc::new(CleanerThread::new(Arc::clone(&self.registry), number));
            let name = format!("log-cleaner-{number}");
            let thread = shared.env.spawner.spawn_worker(&name, worker)?;
            threads.cleaners.push(thread);
        }
        Ok(())
    }

    /// Changes how logs are cleaned, from now on.
    ///
    /// # Errors
    /// The system refuses another thread; those that run go by the new settings.
    pub fn configure_cleaner(&self, settings: CleanerSettings) -> io::Result<()> {
        self.registry.cleaner.configure(settings);
        if self.shared().options.own_threads {
            self.start_cleaners()?;
        }
        Ok(())
    }

    /// Cleans the log that is worth most, on the thread of the caller; what the threads of the directory do by themselves.
    /// False if no log is due. Blocks on the disk.
    pub fn clean_once(&self) -> bool {
        self.registry.clean_once()
    }

    /// Without threads of its own: does one commit and the later work that is due. False if there was nothing to do.
    pub fn run_once(&self) -> bool {
        let mut busy = self.shared().commit.run_once();
        while let Some(work) = self.shared().background.next_due() {
            perform(&self.registry, work);
            busy = true;
        }
        busy
    }

    /// The log of a partition, with `settings` from now on. Nothing is made on disk before its first append. The folder
    /// of another life of the topic is moved away.
    ///
    /// # Errors
    /// A folder of another topic id could not be moved away.
    pub fn log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        settings: LogSettings,
    ) -> Result<Arc<LocalLog>, MoveAwayError> {
        self.registry.log(partition, topic_id, settings)
    }

    /// Deletes a partition's log: its folder moves away at once and is removed after `file.delete.delay.ms`. Readers
    /// that hold slices of it may finish. Nothing happens if there is no such log.
    ///
    /// # Errors
    /// The folder could not be moved away; the log is deleted for its users all the same.
    pub fn delete(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<(), MoveAwayError> {
        self.registry.delete(partition, topic_id)
    }

    /// All logs that were asked for, in no order.
    pub fn partitions(&self) -> Vec<Arc<LocalLog>> {
        self.registry.logs()
    }

    /// Partitions that have a folder but were not asked for since the directory was opened.
    pub fn unclaimed(&self) -> Vec<TopicPartition> {
        self.registry.unclaimed()
    }

    /// Moves the folders of partitions that nobody asked for since opening to `stray/`, where they are kept; to be called
    /// once every partition of every topic was asked for. Returns which they were.
    ///
    /// # Errors
    /// The disk's; what was not moved stays where it is.
    pub fn set_aside_unclaimed(&self) -> io::Result<Vec<TopicPartition>> {
        self.registry.set_aside_unclaimed()
    }

    /// The counters of this directory.
    pub fn metrics(&self) -> &Arc<StorageMetrics> {
        &self.shared().metrics
    }

    /// What was taken out of logs since opening, given up, or not believed. Each was also told in the broker's log.
    pub fn losses(&self) -> Vec<Loss> {
        self.shared().losses.all()
    }

    /// The group commit of this directory.
    pub fn commit(&self) -> &Arc<GroupCommit> {
        &self.shared().commit
    }

    /// The epoch in which this process leads all its partitions.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.shared().leader_epoch
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.shared().root()
    }

    /// Bytes that may still be written to the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.shared().env.disk.free_bytes(self.root())
    }

    /// Changes `producer.id.expiration.ms` and `transaction.partition.verification.enable`; both hold from the next
    /// append or sweep.
    pub fn configure_producers(&self, expiration_ms: i64, verify_transactions: bool) {
        self.shared()
            .producers
            .set(expiration_ms, verify_transactions);
    }

    /// Applies retention to all logs as of `now` and forgets producers that expired. Blocks on the disk. Returns how
    /// many segments were given up.
    pub fn run_retention(&self, now: Timestamp) -> usize {
        let mut count = 0;
        for log in self.partitions() {
            log.expire_producers(now);
            match log.retain(now) {
                Ok(gone) => count += gone,
                Err(error) => {
                    tracing::warn!(partition = %log.partition(), %error, "could not apply retention");
                }
            }
        }
        count
    }

    /// Writes a checkpoint now. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's; the older checkpoint stays.
    pub fn checkpoint(&self) -> io::Result<()> {
        self.registry.checkpoint(false)
    }

    /// Closes the directory in order: later appends fail, what was appended becomes durable, the threads end, and a
    /// clean checkpoint says that nothing need be recovered. Blocks on the disk.
    ///
    /// # Errors
    /// The checkpoint could not be written: the next opening recovers, nothing is lost.
    pub fn close(&self) -> io::Result<()> {
        let Some(_lock) = self.lock.lock().take() else {
            return Ok(());
        };
        let shared = self.shared();
        self.stop_cleaners();
        for log in self.partitions() {
            log.close();
        }
        // A checkpoint that somebody asked for before would come after the clean one, and say that the stop was none.
        self.stop_background();
        let outcome = self.registry.checkpoint(true);
        self.stop_threads();
        while shared.commit.run_once() {}
        shared.background.remove_now();
        outcome
    }

    fn stop_cleaners(&self) {
        self.registry.cleaner.stop();
        let cleaners = std::mem::take(&mut self.threads.lock().cleaners);
        for thread in cleaners {
            thread.join();
        }
    }

    fn stop_threads(&self) {
        self.stop_cleaners();
        // A checkpoint that is being written waits for a commit: the commits end last.
        self.stop_background();
        let commit = self.threads.lock().commit.take();
        self.shared().commit.stop();
        if let Some(commit) = commit {
            commit.join();
        }
    }

    fn stop_background(&self) {
        self.shared().background.stop();
        let background = self.threads.lock().background.take();
        if let Some(background) = background {
            background.join();
        }
    }
}

impl Drop for LogDirectory {
    fn drop(&mut self) {
        // Without `close` the next process recovers; the threads end all the same, before the lock is given up.
        self.stop_threads();
    }
}

/// Does what waits for a time.
struct BackgroundThread(Arc<Registry>);

impl Worker for BackgroundThread {
    fn run(&self) {
        let _guard = AbortOnPanic;
        loop {
            match self.0.shared.background.next() {
                Next::Stop => break,
                work => perform(&self.0, work),
            }
        }
    }

    fn turn(&self) -> bool {
        let due = self.0.shared.background.next_due();
        let is_due = due.is_some();
        if let Some(work) = due {
            perform(&self.0, work);
        }
        is_due
    }
}

fn perform(registry: &Registry, work: Next) {
    match work {
        Next::Job(job) => registry.shared.background.perform(job),
        Next::Checkpoint => {
            if let Err(error) = registry.checkpoint(false) {
                tracing::warn!(%error, "could not write a checkpoint; recovery would read more");
            }
        }
        Next::Stop => {}
    }
}
