//! What a data directory holds when it is opened: one entry per partition's folder.
//!
//! After a clean stop the checkpoint is the whole truth, and of each folder only the names are looked at: a segment may have
//! been taken away since. Otherwise each folder is probed, and recovered where something was written after the checkpoint,
//! on a few threads at once. Invariants: files are changed
//! only for the topic id that their folder names, and a log is used only for it; a folder that cannot be read makes one
//! partition unavailable, not the broker.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use env::Env;
use env::disk::Disk;
use parking_lot::Mutex;
use types::{LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use crate::checkpoint::{self, Checkpoint, LoadError, LogEntry};
use crate::local_log::Recovered;
use crate::losses::{LossKind, LossLog};
use crate::metrics::StorageMetrics;
use crate::recover::{Known, Recovery, is_half_named, read_topic_id};
use crate::registry::NamesAnother;
use crate::settings::LogSettings;

/// Threads that recover at once.
const RECOVERY_THREADS: usize = 4;
/// Folders that are worth another thread.
const FOLDERS_PER_THREAD: usize = 64;

/// A partition's folder that nobody asked for yet.
#[derive(Debug)]
pub(crate) struct Found {
    /// The topic's id as the folder names it, or the checkpoint.
    pub(crate) topic_id: Option<String>,
    /// What the checkpoint calls the topic, if the folder says otherwise.
    pub(crate) checkpointed_as: Option<String>,
    /// The log in it, or why it cannot be read.
    pub(crate) recovered: Result<Recovered, Arc<io::Error>>,
}

/// What opening found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) found: BTreeMap<TopicPartition, Found>,
    pub(crate) was_closed: bool,
}

/// A folder to look into.
#[derive(Debug)]
struct Task {
    partition: TopicPartition,
    folder: PathBuf,
    entry: Option<LogEntry>,
    /// There is a checkpoint.
    has_checkpoint: bool,
    /// It is that of the last stop, which was clean.
    was_closed: bool,
}

/// The checkpoint of the data directory at `root`; one that is damaged is told of and not used. Changes nothing.
pub(crate) fn load_checkpoint(
    env: &Env,
    root: &Path,
    losses: &LossLog,
) -> io::Result<Option<Checkpoint>> {
    match checkpoint::load(&*env.disk, root, env.clock.wall().ms()) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(LoadError::Io(error)) => Err(error),
        Err(LoadError::Damaged) => {
            let path = root.join(checkpoint::FILE);
            let cause = "it does not match its checksum";
            losses.tell_unused(LossKind::Checkpoint, &path, cause);
            Ok(None)
        }
    }
}

/// Whether there is something in a folder, and the folder.
pub(crate) fn has_entries(disk: &dyn Disk, folder: &Path) -> io::Result<bool> {
    match disk.list(folder) {
        Ok(entries) => Ok(!entries.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// One opening of a data directory.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) env: &'a Env,
    pub(crate) root: &'a Path,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metrics: &'a Arc<StorageMetrics>,
    pub(crate) losses: &'a Arc<LossLog>,
}

impl Opening<'_> {
    /// Finds the logs whose folders are in `logs`.
    pub(crate) fn find_logs(
        &self,
        logs: &Path,
        checkpoint: Option<Checkpoint>,
    ) -> io::Result<Findings> {
        let was_closed = checkpoint
            .as_ref()
            .is_some_and(|known| known.clean && known.boot.next() == Some(self.leader_epoch));
        let has_checkpoint = checkpoint.is_some();
        let mut entries: HashMap<_, _> = checkpoint
            .into_iter()
            .flat_map(|known| known.logs)
            .map(|entry| (entry.partition.clone(), entry))
            .collect();
        let mut tasks = Vec::new();
        for folder in self.env.disk.list(logs)? {
            let Some(partition) = parse_folder(&folder.name).filter(|_| folder.is_directory) else {
                tracing::warn!(path = %folder.path.display(), "not a partition's folder; it is left alone");
                continue;
            };
            tasks.push(Task {
                entry: entries.remove(&partition),
                partition,
                folder: folder.path,
                has_checkpoint,
                was_closed,
            });
        }
        let found = self.recover_in_parallel(tasks)?.into_iter().collect();
        if self.metrics.recovered_logs.get() > 0 {
            // What was read may be in the page cache only; from now on it counts as committed.
            self.env.disk.sync_file_system(self.root)?;
        }
        Ok(Findings { found, was_closed })
    }

    fn recover_in_parallel(&self, tasks: Vec<Task>) -> io::Result<Vec<(TopicPartition, Found)>> {
        let env = self.env;
        let helpers = (tasks.len() / FOLDERS_PER_THREAD).min(RECOVERY_THREADS - 1);
        let shared = Arc::new(Work {
            now_ms: env.clock.wall().ms(),
            leader_epoch: self.leader_epoch,
            tasks: tasks
                .into_iter()
                .map(|task| Mutex::new(Some(task)))
                .collect(),
            next: AtomicUsize::new(0),
            results: Mutex::default(),
        });
        let mut threads = Vec::new();
        for number in 0..helpers {
            let work = Arc::clone(&shared);
            let disk = Arc::clone(&env.disk);
            let metrics = Arc::clone(self.metrics);
            let losses = Arc::clone(self.losses);
            let name = format!("log-recovery-{number}");
            let run = Box::new(move || work.run(&*disk, &metrics, &losses));
            threads.push(env.spawner.spawn_thread(&name, run)?);
        }
        shared.run(&*env.disk, self.metrics, self.losses);
        for thread in threads {
            if !thread.join() {
                return Err(io::Error::other("a thread that recovered logs panicked"));
            }
        }
        Ok(std::mem::take(&mut *shared.results.lock()))
    }
}

/// Folders that are recovered by several threads.
#[derive(Debug)]
struct Work {
    now_ms: i64,
    leader_epoch: LeaderEpoch,
    tasks: Vec<Mutex<Option<Task>>>,
    next: AtomicUsize,
    results: Mutex<Vec<(TopicPartition, Found)>>,
}

impl Work {
    fn run(&self, disk: &dyn Disk, metrics: &StorageMetrics, losses: &LossLog) {
        let recovery = Recovery {
            disk,
            metrics,
            losses,
            now_ms: self.now_ms,
            leader_epoch: self.leader_epoch,
            index_interval_bytes: LogSettings::default().index_interval_bytes,
        };
        while let Some(slot) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let Some(task) = slot.lock().take() else {
                continue;
            };
            let partition = task.partition.clone();
            let found = recover_folder(&recovery, task);
            self.results.lock().push((partition, found));
        }
    }
}

fn recover_folder(recovery: &Recovery<'_>, task: Task) -> Found {
    let folder = task.folder.clone();
    match try_recover_folder(recovery, task) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(
                folder = %folder.display(),
                %error,
                "could not read a partition's folder; the partition is offline until the broker is restarted"
            );
            Found {
                topic_id: None,
                checkpointed_as: None,
                recovered: Err(Arc::new(error)),
            }
        }
    }
}

fn try_recover_folder(recovery: &Recovery<'_>, task: Task) -> io::Result<Found> {
    let Task {
        mut entry,
        has_checkpoint,
        was_closed,
        ..
    } = task;
    let folder = &task.folder;
    if was_closed
        && let Some(known) = &mut entry
        && let Some(recovered) = known.recovered.take()
    {
        return Ok(Found {
            recovered: Ok(recovery.closed(folder, recovered)?),
            topic_id: Some(std::mem::take(&mut known.topic_id)),
            checkpointed_as: None,
        });
    }
    let topic_id = read_topic_id(recovery.disk, folder)?;
    if let Some(known) = &mut entry
        && topic_id.as_ref() == Some(&known.topic_id)
        && let Some(recovered) = &mut known.recovered
        && recovery.probe(folder, recovered)?
    {
        return Ok(Found {
            recovered: Ok(std::mem::take(recovered)),
            topic_id,
            checkpointed_as: None,
        });
    }
    // From here on files are changed: only for the topic that they belong to.
    let checkpointed_as = match &entry {
        Some(known) if topic_id.as_ref() == Some(&known.topic_id) => None,
        Some(known) if never_got_its_name(recovery.disk, folder, known)? => None,
        known => known.as_ref().map(|known| known.topic_id.clone()),
    };
    if topic_id.is_none()
        && let Some(name) = &checkpointed_as
    {
        // Nothing in it is changed before somebody says whose it is.
        let error = NamesAnother::new(folder, name);
        tracing::error!(%error, "the partition is offline");
        return Ok(Found {
            recovered: Err(Arc::new(io::Error::other(error))),
            topic_id,
            checkpointed_as,
        });
    }
    let known = match entry.filter(|entry| Some(&entry.topic_id) == topic_id.as_ref()) {
        Some(LogEntry {
            recovered: Some(recovered),
            ..
        }) => Known::Checkpointed(Box::new(recovered)),
        None if has_checkpoint => Known::Younger,
        Some(_) | None => Known::Nothing,
    };
    Ok(Found {
        recovered: Ok(recovery.recover(folder, known)?),
        topic_id,
        checkpointed_as,
    })
}

/// Whether a crash came before the topic's id was durable in the folder: then nothing in it was ever acknowledged, and a new
/// log may take its place.
fn never_got_its_name(disk: &dyn Disk, folder: &Path, known: &LogEntry) -> io::Result<bool> {
    let had_records = known
        .recovered
        .as_ref()
        .is_none_or(|log| log.log_end.offset > Offset::ZERO);
    Ok(!had_records && is_half_named(disk, folder, &known.topic_id)?)
}

/// The partition that a folder is named after.
pub(crate) fn parse_folder(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    if topic.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(TopicPartition {
        topic: TopicName::new(topic),
        partition: PartitionIndex::new(number.parse().ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_partitions_as_in_kafka() {
        let partition = parse_folder("a-b-12").unwrap();
        assert_eq!(partition.to_string(), "a-b-12");
        assert_eq!(partition.partition.value(), 12);
        for other in [
            "a",
            "a-",
            "-1",
            "a-x",
            "a-1x",
            "a-99999999999",
            "a.1-delete",
        ] {
            assert_eq!(parse_folder(other), None, "{other}");
        }
    }
}
