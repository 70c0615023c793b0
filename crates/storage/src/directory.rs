//! [`LogDirectory`]: the data directory. Locks it, knows its format, opens and deletes logs, closes them in order.
//!
//! ```text
//! <data>/lock                     held by the process that uses the directory
//! <data>/watertable.format        which format the directory has
//! <data>/boot-count               how often it was opened: the leader epoch
//! <data>/checkpoint               how far each log is known to be whole
//! <data>/logs/<topic>-<n>/        one folder per partition that was ever appended to
//! <data>/trash/                   what was deleted and waits to be removed
//! ```
//!
//! Invariants: one process at a time; the leader epoch of this opening is durable before anything is appended in it; a
//! folder is used for a topic only if it names the topic's id.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::Env;
use env::disk::DiskLock;
use parking_lot::Mutex;
use types::{LeaderEpoch, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition};

use crate::Durability;
use crate::background::{Background, Job, Next};
use crate::commit::GroupCommit;
use crate::files::{FileCache, SegmentFile};
use crate::format::{self, FormatError};
use crate::local_log::{LocalLog, Recovered};
use crate::metrics::StorageMetrics;
use crate::recover::{METADATA_FILE, Recovery, encode_metadata, read_topic_id};
use crate::settings::LogSettings;

const LOCK_FILE: &str = "lock";
const LOGS_FOLDER: &str = "logs";
const TRASH_FOLDER: &str = "trash";

/// How a data directory is used.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Segments that keep their file open between uses.
    pub open_files_max: usize,
    /// `producer.id.expiration.ms`: a producer that is not heard of for so long is forgotten.
    pub producer_expiration_ms: i64,
    /// A checkpoint is written after so many appended bytes; what is read after a crash is about as much.
    pub checkpoint_bytes: u64,
    /// Whether space is reserved ahead of the end of a log.
    pub reserve_space: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            open_files_max: 4096,
            producer_expiration_ms: 24 * 3600 * 1000,
            checkpoint_bytes: 64 << 20,
            reserve_space: true,
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

/// Why a log could not be opened or deleted.
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
    /// Whether the last process closed it; otherwise logs were recovered.
    pub was_closed: bool,
}

/// What all logs of a directory share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    root: PathBuf,
    pub(crate) options: DirectoryOptions,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metrics: Arc<StorageMetrics>,
    pub(crate) files: FileCache,
    pub(crate) durability: Arc<dyn Durability>,
    background: Arc<Background>,
    trash_count: AtomicU64,
}

impl Shared {
    pub(crate) fn logs_folder(&self) -> PathBuf {
        self.root.join(LOGS_FOLDER)
    }

    pub(crate) fn log_folder(&self, partition: &TopicPartition) -> PathBuf {
        self.logs_folder().join(partition.to_string())
    }

    /// A log's durable end moved, or never will again.
    pub(crate) fn durable_changed(&self) {}

    /// Bytes were appended to some log.
    pub(crate) fn appended(&self, _bytes: u64) {}

    /// Syncs `log` within `flush_ms`.
    pub(crate) fn flush_later(&self, log: &LocalLog, flush_ms: u64) {
        let job = Job::Flush(Arc::downgrade(&log.arc()));
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
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "could not move a file of a deleted segment away");
            }
        }
    }

    fn discard_folder(&self, path: &Path, delay: Duration) -> io::Result<()> {
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
        let number = self.trash_count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.leader_epoch);
        let trash = self.root.join(TRASH_FOLDER).join(name);
        self.env.disk.rename(path, &trash)?;
        Ok(trash)
    }
}

impl LocalLog {
    /// Writes the file that names the topic's id; the commit that covers the first append makes it durable.
    pub(crate) fn write_partition_metadata(&self) -> io::Result<Arc<SegmentFile>> {
        let path = self.folder().join(METADATA_FILE);
        let disk = &self.shared.env.disk;
        let file = disk.open(&path, env::disk::OpenMode::CreateIfMissing)?;
        let text = encode_metadata(self.topic_id);
        file.set_length(0)?;
        file.write_at(&[io::IoSlice::new(text.as_bytes())], 0)?;
        Ok(Arc::new(SegmentFile::new(file)))
    }
}

/// A partition's folder that nobody asked for yet.
#[derive(Debug)]
struct Found {
    topic_id: Option<String>,
    recovered: Recovered,
}

/// The data directory of a broker.
#[derive(Debug)]
pub struct LogDirectory {
    shared: Arc<Shared>,
    commit: Arc<GroupCommit>,
    logs: Mutex<HashMap<TopicPartition, Arc<LocalLog>>>,
    found: Mutex<HashMap<TopicPartition, Found>>,
    threads: Mutex<Threads>,
    lock: Mutex<Option<DiskLock>>,
}

#[derive(Debug, Default)]
struct Threads {
    commit: Vec<env::Thread>,
    background: Option<env::Thread>,
}

impl LogDirectory {
    /// Opens the data directory at `root`, making it if there is none: locks it, checks its format, counts the boot,
    /// recovers what an unclean stop left, and starts its threads.
    ///
    /// # Errors
    /// Another process holds it, a newer version wrote it, or the disk failed.
    pub fn open(env: Env, root: &Path, options: DirectoryOptions) -> Result<Opened, OpenError> {
        let io_error = |source| OpenError::Io {
            path: root.to_owned(),
            source,
        };
        let disk = Arc::clone(&env.disk);
        disk.create_directories(&root.join(LOGS_FOLDER))
            .map_err(io_error)?;
        let Some(lock) = disk.lock(&root.join(LOCK_FILE)).map_err(io_error)? else {
            return Err(OpenError::Locked {
                path: root.to_owned(),
            });
        };
        format::check(&*disk, root)?;
        let leader_epoch = format::count_boot(&*disk, root)?;
        disk.create_directories(&root.join(TRASH_FOLDER))
            .map_err(io_error)?;
        let metrics = Arc::new(StorageMetrics::default());
        let commit = Arc::new(GroupCommit::new(
            Arc::clone(&disk),
            root.to_owned(),
            Arc::clone(&metrics),
        ));
        let background = Arc::new(Background::new(
            Arc::clone(&env.clock),
            Arc::clone(&env.disk),
        ));
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            files: FileCache::new(options.open_files_max),
            options,
            leader_epoch,
            metrics,
            durability: Arc::clone(&commit) as Arc<dyn Durability>,
            background,
            trash_count: AtomicU64::new(0),
            env,
        });
        let directory = Self {
            shared,
            commit,
            logs: Mutex::default(),
            found: Mutex::default(),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        directory.recover_all().map_err(io_error)?;
        directory.empty_trash().map_err(io_error)?;
        directory.start_threads().map_err(io_error)?;
        Ok(Opened {
            directory,
            leader_epoch,
            was_closed: false,
        })
    }

    fn recover_all(&self) -> io::Result<()> {
        let disk = &*self.shared.env.disk;
        let recovery = Recovery {
            disk,
            metrics: &self.shared.metrics,
            now_ms: self.shared.env.clock.wall().ms(),
            index_interval_bytes: LogSettings::default().index_interval_bytes,
        };
        let mut found = HashMap::new();
        for entry in disk.list(&self.shared.logs_folder())? {
            let Some(partition) = parse_folder(&entry.name).filter(|_| entry.is_directory) else {
                tracing::warn!(path = %entry.path.display(), "not a partition's folder; it is left alone");
                continue;
            };
            let topic_id = read_topic_id(disk, &entry.path)?;
            let recovered = recovery.recover(&entry.path, None)?;
            found.insert(
                partition,
                Found {
                    topic_id,
                    recovered,
                },
            );
        }
        if !found.is_empty() {
            // What was read may still be in the page cache only; from now on it counts as committed.
            disk.sync_file_system(&self.shared.root)?;
        }
        *self.found.lock() = found;
        Ok(())
    }

    fn empty_trash(&self) -> io::Result<()> {
        for entry in self
            .shared
            .env
            .disk
            .list(&self.shared.root.join(TRASH_FOLDER))?
        {
            let job = Job::Remove {
                path: entry.path,
                is_directory: entry.is_directory,
            };
            self.shared.background.after(Duration::ZERO, job);
        }
        Ok(())
    }

    fn start_threads(&self) -> io::Result<()> {
        let spawner = &*self.shared.env.spawner;
        let mut threads = self.threads.lock();
        threads.commit = self.commit.start(spawner)?;
        let background = Arc::clone(&self.shared.background);
        threads.background = Some(spawner.spawn_thread(
            "log-background",
            Box::new(move || {
                loop {
                    match background.next() {
                        Next::Job(job) => background.perform(job),
                        Next::Checkpoint => {}
                        Next::Stop => break,
                    }
                }
            }),
        )?);
        Ok(())
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
        let mut logs = self.logs.lock();
        if let Some(log) = logs.get(partition) {
            if log.topic_id() == topic_id {
                log.configure(settings);
                return Ok(Arc::clone(log));
            }
            self.remove(&mut logs, partition)?;
        }
        let found = self.found.lock().remove(partition);
        let recovered = match found {
            Some(found) if found.topic_id.as_deref() == Some(&topic_id.to_string()) => {
                found.recovered
            }
            Some(_) => {
                tracing::warn!(%partition, "found the log of a deleted topic of the same name; moving it away");
                self.discard_folder(partition, settings.file_delete_delay())?;
                Recovered::default()
            }
            None => Recovered::default(),
        };
        let log = LocalLog::new(
            Arc::clone(&self.shared),
            partition.clone(),
            topic_id,
            settings,
            recovered,
        );
        logs.insert(partition.clone(), Arc::clone(&log));
        Ok(log)
    }

    /// Deletes a partition's log: its folder moves away at once and is removed after `file.delete.delay.ms`. Readers
    /// that hold slices of it may finish. Nothing happens if there is no such log.
    ///
    /// # Errors
    /// The folder could not be moved away; the log is deleted for its users all the same.
    pub fn delete(&self, partition: &TopicPartition) -> Result<(), MoveAwayError> {
        let mut logs = self.logs.lock();
        self.remove(&mut logs, partition)
    }

    fn remove(
        &self,
        logs: &mut HashMap<TopicPartition, Arc<LocalLog>>,
        partition: &TopicPartition,
    ) -> Result<(), MoveAwayError> {
        if let Some(log) = logs.remove(partition) {
            // An append that runs now ends before the folder moves.
            let _writer = log.writer.lock();
            log.mark_deleted();
            return self.discard_folder(partition, log.settings().file_delete_delay());
        }
        if self.found.lock().remove(partition).is_some() {
            let delay = LogSettings::default().file_delete_delay();
            return self.discard_folder(partition, delay);
        }
        Ok(())
    }

    fn discard_folder(
        &self,
        partition: &TopicPartition,
        delay: Duration,
    ) -> Result<(), MoveAwayError> {
        let folder = self.shared.log_folder(partition);
        self.shared
            .discard_folder(&folder, delay)
            .map_err(|source| MoveAwayError {
                partition: partition.clone(),
                source,
            })
    }

    /// All logs that were asked for.
    pub fn partitions(&self) -> Vec<Arc<LocalLog>> {
        self.logs.lock().values().cloned().collect()
    }

    /// Partitions that have a folder but were never asked for since the directory was opened.
    pub fn unclaimed(&self) -> Vec<TopicPartition> {
        self.found.lock().keys().cloned().collect()
    }

    /// The counters of this directory.
    pub fn metrics(&self) -> &Arc<StorageMetrics> {
        &self.shared.metrics
    }

    /// The epoch in which this process leads all its partitions.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.shared.leader_epoch
    }

    /// Bytes that may still be written to the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.shared.env.disk.free_bytes(&self.shared.root)
    }

    /// Applies retention to all logs as of `now`; blocks on the disk. Returns how many segments were given up.
    pub fn run_retention(&self, now: Timestamp) -> usize {
        let mut count = 0;
        for log in self.partitions() {
            match log.retain(now) {
                Ok(gone) => count += gone,
                Err(error) => {
                    tracing::warn!(partition = %log.partition(), %error, "could not apply retention");
                }
            }
        }
        count
    }

    /// Closes the directory in order: what was appended becomes durable, then the threads end. Appends that come later
    /// fail. The process that opens it next need not recover.
    pub fn close(&self) {
        let logs = self.partitions();
        for log in &logs {
            log.close();
        }
        self.commit.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads.commit {
            thread.join();
        }
        self.shared.background.stop();
        if let Some(thread) = threads.background {
            thread.join();
        }
        self.shared.background.remove_now();
        *self.lock.lock() = None;
    }
}

impl Drop for LogDirectory {
    fn drop(&mut self) {
        // Without `close` the next process recovers; the threads end all the same.
        self.commit.stop();
        self.shared.background.stop();
    }
}

/// The partition that a folder is named after.
fn parse_folder(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    if topic.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(TopicPartition {
        topic: TopicName::new(topic),
        partition: PartitionIndex::new(number.parse().ok()?)?,
    })
}
