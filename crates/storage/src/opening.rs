//! What a data directory holds when it is opened: one entry per partition's folder.
//!
//! After a clean stop the checkpoint is the whole truth and no folder is looked into. Otherwise each folder is probed, and
//! recovered where something was written after the checkpoint, on a few threads at once. Invariants: files are changed
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

use crate::checkpoint::{self, LoadError, LogEntry};
use crate::local_log::Recovered;
use crate::losses::{LossKind, LossLog};
use crate::metrics::StorageMetrics;
use crate::recover::{Known, Recovery, is_half_named, read_topic_id};
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
    /// Whether the folder was asked; a checkpoint may speak of an earlier life of the topic.
    pub(crate) is_confirmed: bool,
    /// The log in it, or why it cannot be read.
    pub(crate) recovered: Result<Recovered, Arc<io::Error>>,
}

/// What opening found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) found: BTreeMap<TopicPartition, Found>,
    pub(crate) was_closed: bool,
    /// There is a checkpoint that could be read.
    pub(crate) has_checkpoint: bool,
    /// The start that wrote it.
    pub(crate) checkpointed_in: Option<LeaderEpoch>,
}

/// A folder to look into.
#[derive(Debug)]
struct Task {
    partition: TopicPartition,
    folder: PathBuf,
    entry: Option<LogEntry>,
    /// There is a checkpoint.
    has_checkpoint: bool,
}

/// Finds the logs of the data directory at `root`, whose folders are in `logs`.
pub(crate) fn find_logs(
    env: &Env,
    root: &Path,
    logs: &Path,
    leader_epoch: LeaderEpoch,
    metrics: &Arc<StorageMetrics>,
    losses: &Arc<LossLog>,
) -> io::Result<Findings> {
    let now_ms = env.clock.wall().ms();
    let checkpoint = match checkpoint::load(&*env.disk, root, now_ms) {
        Ok(checkpoint) => checkpoint,
        Err(LoadError::Io(error)) => return Err(error),
        Err(LoadError::Damaged) => {
            let path = root.join(checkpoint::FILE);
            let cause = "it does not match its checksum";
            losses.tell_unused(LossKind::Checkpoint, &path, cause);
            None
        }
    };
    let was_closed = checkpoint
        .as_ref()
        .is_some_and(|known| known.clean && known.boot.next() == Some(leader_epoch));
    let has_checkpoint = checkpoint.is_some();
    let checkpointed_in = checkpoint.as_ref().map(|known| known.boot);
    let mut entries: HashMap<_, _> = checkpoint
        .into_iter()
        .flat_map(|known| known.logs)
        .map(|entry| (entry.partition.clone(), entry))
        .collect();
    let mut findings = Findings {
        was_closed,
        has_checkpoint,
        checkpointed_in,
        ..Findings::default()
    };
    let mut tasks = Vec::new();
    for folder in env.disk.list(logs)? {
        let Some(partition) = parse_folder(&folder.name).filter(|_| folder.is_directory) else {
            tracing::warn!(path = %folder.path.display(), "not a partition's folder; it is left alone");
            continue;
        };
        let entry = entries.remove(&partition);
        match entry {
            Some(LogEntry {
                topic_id,
                recovered: Some(recovered),
                ..
            }) if was_closed => {
                let found = Found {
                    topic_id: Some(topic_id),
                    checkpointed_as: None,
                    is_confirmed: true,
                    recovered: Ok(recovered),
                };
                findings.found.insert(partition, found);
            }
            entry => tasks.push(Task {
                partition,
                folder: folder.path,
                entry,
                has_checkpoint,
            }),
        }
    }
    let recovered = recover_in_parallel(env, metrics, losses, leader_epoch, tasks)?;
    findings.found.extend(recovered);
    if metrics.recovered_logs.get() > 0 {
        // What was read may be in the page cache only; from now on it counts as committed.
        env.disk.sync_file_system(root)?;
    }
    Ok(findings)
}

fn recover_in_parallel(
    env: &Env,
    metrics: &Arc<StorageMetrics>,
    losses: &Arc<LossLog>,
    leader_epoch: LeaderEpoch,
    tasks: Vec<Task>,
) -> io::Result<Vec<(TopicPartition, Found)>> {
    let helpers = (tasks.len() / FOLDERS_PER_THREAD).min(RECOVERY_THREADS - 1);
    let shared = Arc::new(Work {
        now_ms: env.clock.wall().ms(),
        leader_epoch,
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
        let metrics = Arc::clone(metrics);
        let losses = Arc::clone(losses);
        let name = format!("log-recovery-{number}");
        let run = Box::new(move || work.run(&*disk, &metrics, &losses));
        threads.push(env.spawner.spawn_thread(&name, run)?);
    }
    shared.run(&*env.disk, metrics, losses);
    for thread in threads {
        if !thread.join() {
            return Err(io::Error::other("a thread that recovered logs panicked"));
        }
    }
    Ok(std::mem::take(&mut *shared.results.lock()))
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
    match try_recover_folder(recovery, task.entry, task.has_checkpoint, &task.folder) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(
                folder = %task.folder.display(),
                %error,
                "could not read a partition's folder; the partition is offline until the broker is restarted"
            );
            Found {
                topic_id: None,
                checkpointed_as: None,
                is_confirmed: false,
                recovered: Err(Arc::new(error)),
            }
        }
    }
}

fn try_recover_folder(
    recovery: &Recovery<'_>,
    mut entry: Option<LogEntry>,
    has_checkpoint: bool,
    folder: &Path,
) -> io::Result<Found> {
    if let Some(known) = &mut entry
        && let Some(recovered) = &mut known.recovered
        && recovery.probe(folder, recovered)?
    {
        return Ok(Found {
            recovered: Ok(std::mem::take(recovered)),
            topic_id: Some(std::mem::take(&mut known.topic_id)),
            checkpointed_as: None,
            is_confirmed: false,
        });
    }
    // From here on files are changed: only for the topic that they belong to.
    let topic_id = read_topic_id(recovery.disk, folder)?;
    let checkpointed_as = match &entry {
        Some(known) if topic_id.as_ref() == Some(&known.topic_id) => None,
        Some(known) if never_got_its_name(recovery.disk, folder, known)? => None,
        known => known.as_ref().map(|known| known.topic_id.clone()),
    };
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
        is_confirmed: true,
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
