//! An offline check of a data directory: everything in it is read and compared with what the broker writes.
//!
//! Invariants: the directory is locked meanwhile, so that no broker runs on it; nothing in it is changed but by
//! [`DirectoryCheck::repair`]; memory is bounded by the names of one folder, the checkpoint, one producer snapshot and a
//! bounded list of findings. What the next start would do is judged by the code of recovery where it can be shared: the
//! walk over batches ([`crate::scan`]), the rule for offsets ([`crate::chain`]), the decoders of the small files.

mod finding;
mod indexes;
mod missing;
mod partition;
mod repair;
mod report;
mod search;
mod segment;
mod tell;
mod topic_id;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Env;
use env::disk::{Disk, DiskLock, OpenMode};
use types::TopicPartition;

pub use finding::{Finding, FindingKind, Remedy, Severity};
pub use repair::{RepairAction, RepairError, Repaired};
pub use report::CheckReport;

use crate::checkpoint::{self, LoadError, LogEntry};
use crate::directory::LOCK_FILE;
use crate::files::parse_part;
use crate::format::{self, BOOT_FILE, FORMAT_FILE, FormatError};
use crate::opening::parse_folder;
use crate::shared::LOGS_FOLDER;
use partition::PartitionCheck;
use repair::{Repairer, SET_ASIDE_FOLDER};
use report::Collector;

/// Says which topic id a partition has in the metadata; `None` if there is no such partition.
pub type TopicIds<'a> = &'a dyn Fn(&TopicPartition) -> Option<String>;

/// Why a directory could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such directory.
    #[error("there is no directory {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is no data directory.
    #[error("{} is not a data directory: it has neither {} nor a folder {}", path.display(), FORMAT_FILE, LOGS_FOLDER)]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// A broker runs on it.
    #[error("a broker is running on the data directory {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A broker was started on it meanwhile; only possible where the directory had no lock file.
    #[error("a broker was started on the data directory {} while it was checked", path.display())]
    Started {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(transparent)]
    Format(FormatError),
    /// The disk failed at something without which nothing can be checked.
    #[error("could not read {}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A data directory that is held for a check.
#[derive(Debug)]
pub struct DirectoryCheck {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    now_ms: i64,
    lock: Option<DiskLock>,
}

/// What the last checkpoint says.
#[derive(Debug, Default)]
struct LastCheckpoint {
    entries: HashMap<TopicPartition, LogEntry>,
    /// It is that of a clean stop.
    was_closed: bool,
    /// There is one that can be read.
    has_checkpoint: bool,
}

impl DirectoryCheck {
    /// Takes the directory's lock. Makes nothing, not even the lock file: where there is none, no broker runs.
    ///
    /// # Errors
    /// See [`CheckError`].
    pub fn open(env: &Env, root: &Path) -> Result<Self, CheckError> {
        let mut check = Self {
            disk: Arc::clone(&env.disk),
            root: root.to_owned(),
            now_ms: env.clock.wall().ms(),
            lock: None,
        };
        let names: Vec<_> = match check.disk.list(root) {
            Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CheckError::Missing {
                    path: root.to_owned(),
                });
            }
            Err(source) => return Err(check.io_error(root, source)),
        };
        let has = |name: &str| names.iter().any(|other| other == name);
        if !has(FORMAT_FILE) && !has(LOGS_FOLDER) {
            return Err(CheckError::NotOurs {
                path: root.to_owned(),
            });
        }
        if has(LOCK_FILE) {
            let path = root.join(LOCK_FILE);
            let lock = check.disk.lock_existing(&path);
            check.lock = lock.map_err(|source| check.io_error(&path, source))?;
            if check.lock.is_none() {
                return Err(CheckError::Locked {
                    path: root.to_owned(),
                });
            }
        }
        if let Err(error) = format::refuse_newer_directory(&*check.disk, root)
            && error.is_newer()
        {
            return Err(CheckError::Format(error));
        }
        Ok(check)
    }

    fn io_error(&self, path: &Path, source: io::Error) -> CheckError {
        CheckError::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// The bytes of all segments: how much a check reads, about. Files that cannot be looked at count nothing.
    pub fn bytes(&self) -> u64 {
        let folders = self.disk.list(&self.root.join(LOGS_FOLDER));
        let folders = folders.unwrap_or_default();
        let files = folders
            .iter()
            .filter(|folder| folder.is_directory)
            .flat_map(|folder| self.disk.list(&folder.path).unwrap_or_default());
        files
            .filter(|file| matches!(parse_part(&file.name), Some((_, "log"))))
            .filter_map(|file| {
                let file = self.disk.open(&file.path, OpenMode::Read).ok()?;
                file.length().ok()
            })
            .sum()
    }

    /// Reads everything. `topic_ids` says which topic id each partition has in the metadata, if that could be read;
    /// `progress` gets the bytes that were read since it was called last.
    ///
    /// # Errors
    /// See [`CheckError`]; what a partition's files are like is no error but a finding.
    pub fn run(
        &self,
        topic_ids: Option<TopicIds<'_>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<CheckReport, CheckError> {
        let mut report = Collector::new(&self.root, progress);
        let logs = self.root.join(LOGS_FOLDER);
        let mut folders = match self.disk.list(&logs) {
            Ok(folders) => folders,
            // A directory that was made and never written to.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(self.io_error(&logs, source)),
        };
        folders.sort_by(|one, other| one.name.cmp(&other.name));
        self.check_format(&mut report);
        let mut last = self.check_boots(!folders.is_empty(), &mut report);
        for folder in folders {
            let Some(partition) = parse_folder(&folder.name).filter(|_| folder.is_directory) else {
                let detail = "not a partition's folder";
                plain(&mut report, FindingKind::UnknownFile, &folder.path, detail);
                continue;
            };
            let check = PartitionCheck {
                disk: &*self.disk,
                entry: last.entries.remove(&partition),
                folder: folder.path,
                was_closed: last.was_closed,
                has_checkpoint: last.has_checkpoint,
                topic_id: topic_ids.map(|topic_ids| topic_ids(&partition)),
                partition,
            };
            check.run(&mut report);
        }
        self.check_lost(last.entries, topic_ids, &mut report);
        if self.lock.is_none()
            && self
                .disk
                .open(&self.root.join(LOCK_FILE), OpenMode::Read)
                .is_ok()
        {
            return Err(CheckError::Started {
                path: self.root.clone(),
            });
        }
        Ok(report.end())
    }

    fn check_format(&self, report: &mut Collector<'_>) {
        let path = self.root.join(FORMAT_FILE);
        match format::look(&*self.disk, &self.root) {
            Ok(true) => {}
            Ok(false) => plain(report, FindingKind::DamagedFormat, &path, "is missing"),
            Err(error) => self.tell_format(FindingKind::DamagedFormat, &path, &error, report),
        }
    }

    fn tell_format(
        &self,
        kind: FindingKind,
        path: &Path,
        error: &FormatError,
        report: &mut Collector<'_>,
    ) {
        match error {
            FormatError::Io { source, .. } => {
                plain(report, FindingKind::Unreadable, path, source.to_string());
            }
            other => plain(report, kind, path, other.to_string()),
        }
    }

    /// Looks at the number of starts and the checkpoint: what it says of each log, and whether a start would go by it alone.
    fn check_boots(&self, has_logs: bool, report: &mut Collector<'_>) -> LastCheckpoint {
        let path = self.root.join(BOOT_FILE);
        let boots = match format::boots(&*self.disk, &self.root) {
            Ok(None) if has_logs => {
                plain(report, FindingKind::DamagedBootCount, &path, "is missing");
                None
            }
            Ok(boots) => boots,
            Err(error) => {
                self.tell_format(FindingKind::DamagedBootCount, &path, &error, report);
                None
            }
        };
        let path = self.root.join(checkpoint::FILE);
        let checkpoint = match checkpoint::load(&*self.disk, &self.root, self.now_ms) {
            Ok(checkpoint) => checkpoint,
            Err(LoadError::Damaged) => {
                let detail = "does not match its checksum";
                plain(report, FindingKind::DamagedCheckpoint, &path, detail);
                report.repair(RepairAction::SetAside { path });
                return LastCheckpoint::default();
            }
            Err(LoadError::Io(error)) => {
                plain(report, FindingKind::Unreadable, &path, error.to_string());
                return LastCheckpoint::default();
            }
        };
        if let (Some(boots), Some(known)) = (boots, &checkpoint)
            && boots < known.boot
        {
            let detail = format!(
                "counts {boots} starts, and start {} wrote the checkpoint",
                known.boot
            );
            let path = self.root.join(BOOT_FILE);
            plain(report, FindingKind::BootCountBehind, &path, detail);
        }
        let was_closed = checkpoint
            .as_ref()
            .is_some_and(|known| known.clean && Some(known.boot) == boots);
        if !was_closed && has_logs {
            let detail = "no checkpoint of a clean stop";
            plain(report, FindingKind::UncleanStop, &path, detail);
        }
        let has_checkpoint = checkpoint.is_some();
        let logs = checkpoint.into_iter().flat_map(|known| known.logs);
        let entries = logs.map(|entry| (entry.partition.clone(), entry)).collect();
        LastCheckpoint {
            entries,
            was_closed,
            has_checkpoint,
        }
    }

    /// Tells of logs that the checkpoint knows and that have no folder. Of a topic that was deleted there is none.
    fn check_lost(
        &self,
        entries: HashMap<TopicPartition, LogEntry>,
        topic_ids: Option<TopicIds<'_>>,
        report: &mut Collector<'_>,
    ) {
        let mut lost: Vec<_> = entries
            .into_values()
            .filter(|entry| {
                topic_ids.is_none_or(|topic_ids| {
                    topic_ids(&entry.partition).as_ref() == Some(&entry.topic_id)
                })
            })
            .filter_map(|entry| Some((entry.partition, entry.recovered?)))
            .filter(|(_, recovered)| recovered.log_end.offset > recovered.log_start)
            .collect();
        lost.sort_by_key(|(partition, _)| partition.to_string());
        for (partition, recovered) in lost {
            let path = self.root.join(LOGS_FOLDER).join(partition.to_string());
            let (start, end) = (recovered.log_start, recovered.log_end.offset);
            report.add(Finding {
                kind: FindingKind::LostFolder,
                path,
                bytes: None,
                offsets: Some((start, Some(end))),
                detail: format!(
                    "the checkpoint knows offsets {start} to {}",
                    end.value() - 1
                ),
            });
        }
    }

    /// The lock, made now where there was no file for it.
    fn hold(&self) -> Result<Option<DiskLock>, RepairError> {
        if self.lock.is_some() {
            return Ok(None);
        }
        let path = self.root.join(LOCK_FILE);
        match self.disk.lock(&path) {
            Ok(Some(lock)) => Ok(Some(lock)),
            Ok(None) => Err(RepairError::Changed { path }),
            Err(source) => Err(RepairError::Io { path, source }),
        }
    }

    /// Does what a report proposes. What is taken away is kept in the folder that is returned, below the data directory.
    ///
    /// # Errors
    /// See [`RepairError`]; what was done before stands, and may be repeated.
    pub fn repair(
        &self,
        actions: &[RepairAction],
    ) -> Result<(PathBuf, Vec<Repaired>), RepairError> {
        let _made = self.hold()?;
        let folder = Path::new(SET_ASIDE_FOLDER);
        let mut number = 0_u32;
        let name = loop {
            let name = folder.join(format!("{}-{number}", self.now_ms));
            let listed = self.disk.list(&self.root.join(&name));
            match listed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break name,
                Err(source) => {
                    return Err(RepairError::Io {
                        path: self.root.join(name),
                        source,
                    });
                }
                Ok(_) => number += 1,
            }
        };
        let repairer = Repairer {
            disk: &*self.disk,
            root: &self.root,
            aside: self.root.join(&name),
            now_ms: self.now_ms,
        };
        Ok((name, repairer.run(actions)?))
    }
}

fn plain(report: &mut Collector<'_>, kind: FindingKind, path: &Path, detail: impl Into<String>) {
    report.add(Finding {
        kind,
        path: path.to_owned(),
        bytes: None,
        offsets: None,
        detail: detail.into(),
    });
}
