//! [`Shared`]: what all logs of a data directory use together: places, counters, open files, the commit, later work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use env::Env;
use env::disk::DiskDirectory;
use parking_lot::{Condvar, Mutex};
use types::{LeaderEpoch, Offset, TopicPartition};

use crate::Durability;
use crate::background::{Background, Job};
use crate::commit::GroupCommit;
use crate::directory::DirectoryOptions;
use crate::files::FileCache;
use crate::index_files::IndexCache;
use crate::local_log::LocalLog;
use crate::losses::LossLog;
use crate::metrics::StorageMetrics;
use crate::room::Room;
use crate::tail::TailBudget;

pub(crate) const LOGS_FOLDER: &str = "logs";
pub(crate) const TRASH_FOLDER: &str = "trash";
const STRAY_FOLDER: &str = "stray";
/// The next checkpoint waits for so many times the length of the last one, so that checkpoints of many producers stay a
/// small part of what is written.
const CHECKPOINT_SHARE: u64 = 8;
/// How long a checkpoint waits for a commit before it looks again.
const DURABLE_LOOK: Duration = Duration::from_millis(100);

/// The rules for producers that can change while the broker runs.
#[derive(Debug)]
pub(crate) struct ProducerRules {
    expiration_ms: AtomicI64,
    verify: AtomicBool,
}

impl ProducerRules {
    fn new(options: &DirectoryOptions) -> Self {
        Self {
            expiration_ms: AtomicI64::new(options.producer_expiration_ms),
            verify: AtomicBool::new(options.verify_transactions),
        }
    }

    pub(crate) fn set(&self, expiration_ms: i64, verify: bool) {
        self.expiration_ms.store(expiration_ms, Ordering::Relaxed);
        self.verify.store(verify, Ordering::Relaxed);
    }

    pub(crate) fn expiration_ms(&self) -> i64 {
        self.expiration_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn verify(&self) -> bool {
        self.verify.load(Ordering::Relaxed)
    }
}

/// What all logs of a directory share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    root: PathBuf,
    pub(crate) options: DirectoryOptions,
    pub(crate) producers: ProducerRules,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metrics: Arc<StorageMetrics>,
    pub(crate) losses: Arc<LossLog>,
    pub(crate) files: FileCache,
    pub(crate) indexes: IndexCache,
    pub(crate) tails: TailBudget,
    pub(crate) commit: Arc<GroupCommit>,
    pub(crate) background: Background,
    /// The folder of all logs, open: a new log's name is made durable with its first commit, and no lack of descriptors
    /// may keep it from that.
    logs_names: Arc<dyn DiskDirectory>,
    /// Making its names durable failed once: which of them are is not known, and another sync would not tell.
    logs_names_failed: AtomicBool,
    trash_count: AtomicU64,
    room: Room,
    appended_since_checkpoint: AtomicU64,
    checkpoint_every: AtomicU64,
    durable_wanted: AtomicBool,
    durable_lock: Mutex<()>,
    durable_signal: Condvar,
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        root: &Path,
        options: DirectoryOptions,
        leader_epoch: LeaderEpoch,
        metrics: Arc<StorageMetrics>,
        losses: Arc<LossLog>,
        logs_names: Arc<dyn DiskDirectory>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            leader_epoch,
            producers: ProducerRules::new(&options),
            files: FileCache::new(options.open_files_max),
            indexes: IndexCache::new(options.index_bytes_max),
            tails: TailBudget::new(options.tail_bytes_max),
            commit: Arc::new(GroupCommit::new(
                &env,
                root.to_owned(),
                Arc::clone(&metrics),
            )),
            background: Background::new(Arc::clone(&env.clock), Arc::clone(&env.disk)),
            metrics,
            losses,
            logs_names,
            logs_names_failed: AtomicBool::new(false),
            trash_count: AtomicU64::new(0),
            room: Room::default(),
            appended_since_checkpoint: AtomicU64::new(0),
            checkpoint_every: AtomicU64::new(options.checkpoint_bytes),
            durable_wanted: AtomicBool::new(false),
            durable_lock: Mutex::default(),
            durable_signal: Condvar::new(),
            options,
            env,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn logs_folder(&self) -> PathBuf {
        self.root.join(LOGS_FOLDER)
    }

    pub(crate) fn trash_folder(&self) -> PathBuf {
        self.root.join(TRASH_FOLDER)
    }

    pub(crate) fn log_folder(&self, partition: &TopicPartition) -> PathBuf {
        self.logs_folder().join(partition.to_string())
    }

    /// Makes the names of all logs' folders durable. Once that failed it fails for every log that is new.
    pub(crate) fn sync_logs_names(&self) -> io::Result<()> {
        if self.logs_names_failed.load(Ordering::Relaxed) {
            return Err(io::Error::other(
                "the names in the folder of all logs could not be made durable before",
            ));
        }
        let outcome = self.logs_names.sync();
        self.logs_names_failed
            .fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    /// Has `log` synced by the next commit.
    pub(crate) fn submit(&self, log: Arc<LocalLog>) {
        self.commit.submit(log);
    }

    /// Bytes were appended to some log.
    pub(crate) fn appended(&self, bytes: u64) {
        let before = self
            .appended_since_checkpoint
            .fetch_add(bytes, Ordering::Relaxed);
        let every = self.checkpoint_every.load(Ordering::Relaxed).max(1);
        // Also at each further multiple: a checkpoint may have failed.
        if before / every != (before + bytes) / every {
            self.background.want_checkpoint();
        }
    }

    /// A checkpoint of `length` bytes was written.
    pub(crate) fn note_checkpoint(&self, length: u64) {
        self.metrics.checkpoints.add(1);
        let every = length
            .saturating_mul(CHECKPOINT_SHARE)
            .max(self.options.checkpoint_bytes);
        self.checkpoint_every.store(every, Ordering::Relaxed);
        self.appended_since_checkpoint.store(0, Ordering::Relaxed);
    }

    /// A log's durable end moved, or never will again.
    pub(crate) fn durable_changed(&self) {
        if self.durable_wanted.load(Ordering::Acquire) {
            let _lock = self.durable_lock.lock();
            self.durable_signal.notify_all();
        }
    }

    /// Waits until `log` is durable up to `end`; false if it went offline or away.
    pub(crate) fn wait_until_durable(&self, log: &LocalLog, end: Offset) -> bool {
        self.durable_wanted.store(true, Ordering::Release);
        let mut lock = self.durable_lock.lock();
        loop {
            {
                let view = log.view.lock();
                if view.durable.offset >= end {
                    return true;
                }
                if view.sync_failed {
                    return false;
                }
            }
            if self.options.own_threads && self.env.spawner.has_threads() {
                self.durable_signal.wait_for(&mut lock, DURABLE_LOOK);
            } else {
                drop(lock);
                self.commit.run_once();
                lock = self.durable_lock.lock();
            }
        }
    }

    /// Syncs `log` within `flush_ms`.
    pub(crate) fn flush_later(&self, log: &Arc<LocalLog>, flush_ms: u64) {
        let job = Job::Flush(Arc::downgrade(log));
        self.background.after(Duration::from_millis(flush_ms), job);
    }

    /// Moves a file away at once and removes it after `delay`.
    pub(crate) fn discard_file(&self, path: &Path, delay: Duration) {
        match self.move_to_trash(path) {
            Ok(trash) => self.background.after(
                delay,
                Job::Remove {
                    path: trash,
                    is_directory: false,
                },
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The trash folder may have no room for another name: what is open stays readable for who has it open.
            Err(error) => {
                if let Err(removal) = self.env.disk.remove_file(path) {
                    tracing::warn!(path = %path.display(), %error, %removal, "could not move a file of a deleted segment away, nor remove it");
                }
            }
        }
    }

    /// Moves a folder away at once and removes it after `delay`. Nothing happens if there is none.
    pub(crate) fn discard_folder(&self, path: &Path, delay: Duration) -> io::Result<()> {
        match self.move_to_trash(path) {
            Ok(trash) => {
                let job = Job::Remove {
                    path: trash,
                    is_directory: true,
                };
                self.background.after(delay, job);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn move_to_trash(&self, path: &Path) -> io::Result<PathBuf> {
        let trash = self.trash_folder().join(self.unique_name());
        self.env.disk.rename(path, &trash)?;
        Ok(trash)
    }

    /// Moves a partition's folder to where it is kept but not used.
    pub(crate) fn set_aside_folder(&self, partition: &TopicPartition) -> io::Result<PathBuf> {
        let folder = self.root.join(STRAY_FOLDER).join(self.unique_name());
        self.env.disk.create_directories(&folder)?;
        let to = folder.join(partition.to_string());
        self.env.disk.rename(&self.log_folder(partition), &to)?;
        Ok(to)
    }

    /// Whether there is no room for writes.
    pub(crate) fn is_full(&self) -> bool {
        self.room.is_full()
    }

    /// A write of `bytes` found no room. Says so once.
    pub(crate) fn lacked_room(&self, bytes: usize) {
        if self.room.lacked(bytes, self.env.clock.now()) {
            let directory = self.root.display();
            tracing::error!(%directory, "no space left: produce requests are refused until there is, consumers go on");
        }
    }

    /// A write of `bytes` found room. Says once that there is some again.
    pub(crate) fn found_room(&self, bytes: usize) {
        if self.room.is_full() && self.room.found(bytes, self.env.clock.now()) {
            let directory = self.root.display();
            tracing::info!(%directory, "there is space again: produce requests are accepted");
        }
    }

    /// A name that no other opening and no other call gives.
    fn unique_name(&self) -> String {
        let number = self.trash_count.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.leader_epoch)
    }
}
