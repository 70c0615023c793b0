//! [`Registry`]: all logs of a data directory, those in use and those only found, and the checkpoint over both.
//!
//! Invariant: a partition is in use or found, never both; a folder is taken for a topic only if it names the topic's id.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use types::{Offset, TopicId, TopicPartition};

use crate::checkpoint::{self, CheckpointWriter, LogEntry, LogState, encode_log, encode_recovered};
use crate::clean::worker::Cleaner;
use crate::directory::MoveAwayError;
use crate::local_log::{LocalLog, Recovered, Status};
use crate::opening::Found;
use crate::planted::{Bug, is_planted};
use crate::recover::METADATA_FILE;
use crate::settings::LogSettings;
use crate::shared::Shared;

/// All logs of a data directory.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) shared: Arc<Shared>,
    logs: Mutex<HashMap<TopicPartition, Arc<LocalLog>>>,
    found: Mutex<BTreeMap<TopicPartition, Found>>,
    /// One checkpoint at a time.
    checkpointing: Mutex<()>,
    pub(crate) cleaner: Cleaner,
}

/// The folder of a log does not say what everything else says: whose it is.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} does not name topic {topic_id}, whose log this is by the checkpoint and the metadata: write two lines into it, \"version: 0\" and \"topic_id: {topic_id}\", and start again",
    path.display()
)]
pub(crate) struct NamesAnother {
    path: PathBuf,
    topic_id: String,
}

impl NamesAnother {
    pub(crate) fn new(folder: &Path, topic_id: &str) -> Self {
        Self {
            path: folder.join(METADATA_FILE),
            topic_id: topic_id.to_owned(),
        }
    }
}

impl Registry {
    pub(crate) fn new(shared: Arc<Shared>, found: BTreeMap<TopicPartition, Found>) -> Self {
        Self {
            cleaner: Cleaner::new(shared.options.cleaner),
            shared,
            logs: Mutex::default(),
            found: Mutex::new(found),
            checkpointing: Mutex::default(),
        }
    }

    /// See [`crate::LogDirectory::log`].
    pub(crate) fn log(
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
        let names_none = found.as_ref().is_some_and(|found| found.topic_id.is_none());
        let mut unreadable = None;
        let recovered = match found.map(|found| self.claim(partition, topic_id, found)) {
            None => Recovered::default(),
            Some(Ok(Some(recovered))) => recovered,
            Some(Ok(None)) if names_none => {
                // Nobody can tell whose it is: it is kept.
                let to = self.set_aside(partition)?;
                tracing::error!(%partition, kept = %to.display(), "a folder that names no topic was set aside");
                Recovered::default()
            }
            Some(Ok(None)) => {
                // That of a deleted topic of the same name, or its name is damaged: it is kept.
                let to = self.set_aside(partition)?;
                tracing::error!(%partition, kept = %to.display(), "a folder that names another topic was set aside");
                Recovered::default()
            }
            Some(Err(error)) => {
                unreadable = Some(error);
                Recovered::default()
            }
        };
        let log = LocalLog::new(
            Arc::clone(&self.shared),
            partition.clone(),
            topic_id,
            settings,
            recovered,
            unreadable,
        );
        logs.insert(partition.clone(), Arc::clone(&log));
        Ok(log)
    }

    /// The log in a folder if it belongs to the topic, or why that cannot be read.
    fn claim(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        found: Found,
    ) -> Result<Option<Recovered>, Arc<io::Error>> {
        let topic_id = topic_id.to_string();
        let known_as = found.checkpointed_as.as_ref();
        if found.topic_id.is_none() && known_as.is_some_and(|known| *known != topic_id) {
            // That of an earlier topic of the name.
            return Ok(None);
        }
        let recovered = found.recovered?;
        if found.topic_id.as_ref() == Some(&topic_id) || is_planted(Bug::OldTopicTakenOver) {
            return Ok(Some(recovered));
        }
        if found.checkpointed_as.as_ref() == Some(&topic_id) {
            let error = NamesAnother::new(&self.shared.log_folder(partition), &topic_id);
            tracing::error!(%partition, %error, "the partition is offline");
            return Err(Arc::new(io::Error::other(error)));
        }
        Ok(None)
    }

    /// Whether the folder that nobody asked for belongs to the topic. One that cannot be read does not.
    fn is_found(&self, partition: &TopicPartition, topic_id: TopicId) -> bool {
        let found = self.found.lock();
        let Some(found) = found.get(partition) else {
            return false;
        };
        found.topic_id == Some(topic_id.to_string())
    }

    /// See [`crate::LogDirectory::delete`].
    pub(crate) fn delete(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<(), MoveAwayError> {
        let mut logs = self.logs.lock();
        let is_other = match logs.get(partition) {
            Some(log) => log.topic_id() != topic_id,
            None => !self.is_found(partition, topic_id),
        };
        // The folder is that of another life of the topic by now, which nobody asked to delete.
        if is_other {
            return Ok(());
        }
        self.remove(&mut logs, partition)
    }

    fn remove(
        &self,
        logs: &mut HashMap<TopicPartition, Arc<LocalLog>>,
        partition: &TopicPartition,
    ) -> Result<(), MoveAwayError> {
        if let Some(log) = logs.remove(partition) {
            // What cleaning does in the folder now, and an append that runs now, end before the folder moves.
            let _segments = log.cleaning.segments.lock();
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

    fn set_aside(&self, partition: &TopicPartition) -> Result<PathBuf, MoveAwayError> {
        let moved = self.shared.set_aside_folder(partition);
        moved.map_err(|source| MoveAwayError {
            partition: partition.clone(),
            source,
        })
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

    /// In the order of their names, so that what is done to all of them is done in the same order each time.
    pub(crate) fn logs(&self) -> Vec<Arc<LocalLog>> {
        in_order(&self.logs.lock())
    }

    /// See [`crate::LogDirectory::unclaimed`].
    pub(crate) fn unclaimed(&self) -> Vec<TopicPartition> {
        self.found.lock().keys().cloned().collect()
    }

    /// See [`crate::LogDirectory::set_aside_unclaimed`].
    pub(crate) fn set_aside_unclaimed(&self) -> io::Result<Vec<TopicPartition>> {
        // New logs wait, so that a folder that is claimed now is not moved.
        let _logs = self.logs.lock();
        let mut found = self.found.lock();
        let partitions: Vec<_> = found.keys().cloned().collect();
        for partition in &partitions {
            let to = self.shared.set_aside_folder(partition)?;
            tracing::warn!(
                %partition,
                kept = %to.display(),
                "the folder of a partition that no topic has was set aside"
            );
            found.remove(partition);
        }
        Ok(partitions)
    }

    /// Takes the state of all logs, waits until everything up to it is durable, and replaces the checkpoint.
    pub(crate) fn checkpoint(&self, clean: bool) -> io::Result<()> {
        let _one = self.checkpointing.lock();
        let All {
            logs,
            found,
            mut unknown,
        } = self.all();
        // After a clean stop no file is looked into, and the folder of an unfinished swap has to be.
        let is_swapping = |log: &Arc<LocalLog>| log.cleaning.segments.lock().is_some();
        let clean = clean && !logs.iter().any(is_swapping);
        let mut taken = Vec::new();
        for log in logs {
            match log.take_state() {
                Some((bytes, end, segment)) => taken.push((log, bytes, end, segment)),
                None => drop(unknown.insert(log.partition().clone())),
            }
        }
        for (log, _, end, _) in &taken {
            log.request_sync(*end);
        }
        let mut written = Vec::with_capacity(taken.len());
        for (log, bytes, end, segment) in &taken {
            if is_planted(Bug::CheckpointAheadOfLog) || self.shared.wait_until_durable(log, *end) {
                written.push((log, bytes, segment));
            } else {
                unknown.insert(log.partition().clone());
            }
        }
        let old = self.known_before(&unknown);
        // Of those that went offline only their older state is known: the next opening has to look.
        let clean = clean && old.is_empty();
        let mut writer = CheckpointWriter::new(self.shared.leader_epoch, clean);
        for (_, bytes, _) in &written {
            writer.add(bytes);
        }
        for entry in &old {
            writer.add(&entry.encode());
        }
        for log in &found {
            writer.add(log);
        }
        let length = writer.write(&*self.shared.env.disk, self.shared.root())?;
        for (log, _, segment) in written {
            let checkpointed = &log.cleaning.checkpointed;
            checkpointed.store(segment.value(), Ordering::Release);
        }
        self.shared.note_checkpoint(length);
        Ok(())
    }

    /// What the last checkpoint knew of these logs, which went offline since: without it recovery would take them for
    /// logs that are younger than the checkpoint.
    fn known_before(&self, partitions: &BTreeSet<TopicPartition>) -> Vec<LogEntry> {
        if partitions.is_empty() {
            return Vec::new();
        }
        let shared = &self.shared;
        let now_ms = shared.env.clock.wall().ms();
        let mut logs = match checkpoint::load(&*shared.env.disk, shared.root(), now_ms) {
            Ok(known) => known.map(|known| known.logs).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "could not read the last checkpoint");
                Vec::new()
            }
        };
        logs.retain(|entry| partitions.contains(&entry.partition));
        logs
    }

    /// Of one moment: a log that is asked for in between would be in neither, and read as a whole by the next opening.
    fn all(&self) -> All {
        let logs = self.logs.lock();
        let found = self.found.lock();
        let mut all = All {
            logs: in_order(&logs),
            ..All::default()
        };
        for (partition, found) in &*found {
            match (&found.recovered, &found.topic_id, &found.checkpointed_as) {
                (Ok(recovered), Some(topic_id), None) => {
                    all.found
                        .push(encode_recovered(partition, topic_id, recovered));
                }
                _ => drop(all.unknown.insert(partition.clone())),
            }
        }
        all
    }
}

/// What a checkpoint is about.
#[derive(Debug, Default)]
struct All {
    /// The logs in use.
    logs: Vec<Arc<LocalLog>>,
    /// What it says of those that nobody asked for: they are where they were.
    found: Vec<Vec<u8>>,
    /// Those that could not be read, or whose folders have another topic's name: what the last checkpoint knew goes for them.
    unknown: BTreeSet<TopicPartition>,
}

fn in_order(logs: &HashMap<TopicPartition, Arc<LocalLog>>) -> Vec<Arc<LocalLog>> {
    let mut logs: Vec<_> = logs.values().cloned().collect();
    logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
    logs
}

impl LocalLog {
    /// The log's state for a checkpoint, the offset it is true at, and the base of the segment that ends there. `None` if
    /// there is nothing to know, or nothing to rely on.
    fn take_state(&self) -> Option<(Vec<u8>, Offset, Offset)> {
        let writer = self.writer.lock();
        let tail = {
            let view = self.view.lock();
            if !matches!(view.status, Status::Online | Status::Closed) {
                return None;
            }
            // A segment was made for a write that was refused: no commit has made its name durable, and none is due.
            // The next opening must not rely on it without a sync.
            let has_unsynced_names = view.unsynced_names.is_some() || view.syncing_names.is_some();
            if has_unsynced_names && view.durable.offset == view.log_end.offset {
                return None;
            }
            view.segments.last().cloned()?
        };
        self.save_index(&tail);
        let topic_id = self.topic_id().to_string();
        let view = self.view.lock();
        let bytes = encode_log(&LogState {
            partition: self.partition(),
            topic_id: &topic_id,
            log_start: view.log_start,
            log_end: view.log_end,
            untrimmed: writer.untrimmed,
            generation: view.generation,
            segments: &view.segments,
            epochs: &view.epochs,
            producers: &writer.producers,
            transactions: &view.transactions,
        });
        Some((bytes, view.log_end.offset, view.log_end.segment))
    }

    /// Has everything below `end` synced, if it is not yet.
    fn request_sync(&self, end: Offset) {
        if self.view.lock().durable.offset < end {
            self.submit();
        }
    }
}
