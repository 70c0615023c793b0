//! A data directory in memory, and the rest of a machine around it: fast, without threads, the same in every run.
//!
//! Invariant: nothing on it fails but what asks for more than [`FILE_BYTES_MAX`], which is a full disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode};
use env::net::SystemNetwork;
use env::{BoxFuture, Clock, Env, Random, Spawner, Thread};
use parking_lot::Mutex;
use types::{Instant, Timestamp};

/// The time it always is.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
/// A file does not grow beyond.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The machine around `disk`.
pub(crate) fn env_with(disk: &MemoryDisk) -> Env {
    Env {
        clock: Arc::new(StoppedClock),
        random: Arc::new(Same),
        disk: Arc::new(disk.clone()),
        network: Arc::new(SystemNetwork),
        spawner: Arc::new(NoThreads),
    }
}

/// Files and folders in memory. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    folders: BTreeSet<PathBuf>,
}

/// What all files hold.
pub(crate) type Content = BTreeMap<PathBuf, Vec<u8>>;

impl MemoryDisk {
    /// A disk with these files.
    pub(crate) fn with(content: &Content) -> Self {
        let disk = Self::default();
        for (path, bytes) in content {
            let file = MemoryFile(Mutex::new(bytes.clone()));
            let mut names = disk.0.lock();
            names.add_folders(path.parent());
            names.files.insert(path.clone(), Arc::new(file));
        }
        disk
    }

    pub(crate) fn content(&self) -> Content {
        let names = self.0.lock();
        let files = names.files.iter();
        files
            .map(|(path, file)| (path.clone(), file.0.lock().clone()))
            .collect()
    }
}

impl Names {
    fn add_folders(&mut self, folder: Option<&Path>) {
        let folders = folder.into_iter().flat_map(Path::ancestors);
        self.folders.extend(folders.map(Path::to_owned));
    }

    fn file(&self, path: &Path) -> io::Result<&Arc<MemoryFile>> {
        self.files.get(path).ok_or_else(missing)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut names = self.0.lock();
        let is_there = names.files.contains_key(path);
        match mode {
            OpenMode::CreateNew if is_there => return Err(io::ErrorKind::AlreadyExists.into()),
            OpenMode::CreateNew | OpenMode::CreateIfMissing if !is_there => {
                if !path
                    .parent()
                    .is_some_and(|parent| names.folders.contains(parent))
                {
                    return Err(missing());
                }
                names.files.insert(path.to_owned(), Arc::default());
            }
            _ => {}
        }
        Ok(Arc::clone(names.file(path)?) as Arc<dyn DiskFile>)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let names = self.0.lock();
        if !names.folders.contains(directory) {
            return Err(missing());
        }
        let folders = names.folders.iter().map(|path| (path, true));
        let files = names.files.keys().map(|path| (path, false));
        let here = folders
            .chain(files)
            .filter(|(path, _)| path.parent() == Some(directory));
        let entry = |(path, is_directory): (&PathBuf, bool)| Entry {
            path: path.clone(),
            name: path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            is_directory,
        };
        Ok(here.map(entry).collect())
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        self.0.lock().add_folders(Some(directory));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        if let Some(file) = names.files.remove(from) {
            names.files.insert(to.to_owned(), file);
            return Ok(());
        }
        if !names.folders.contains(from) {
            return Err(missing());
        }
        let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        let files = std::mem::take(&mut names.files).into_iter();
        names.files = files
            .map(|(path, file)| (moved(&path).unwrap_or(path), file))
            .collect();
        let folders = std::mem::take(&mut names.folders).into_iter();
        names.folders = folders.map(|path| moved(&path).unwrap_or(path)).collect();
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = self.0.lock().files.remove(path);
        removed.map(drop).ok_or_else(missing)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        names.files.retain(|file, _| !file.starts_with(path));
        names.folders.retain(|folder| !folder.starts_with(path));
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let is_there = self.0.lock().folders.contains(directory);
        is_there.then_some(()).ok_or_else(missing)
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        self.sync_directory(directory)?;
        Ok(Arc::new(OpenFolder))
    }

    fn sync_file_system(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn total_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(1 << 41)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = self.open(path, OpenMode::CreateIfMissing)?;
        Ok(Some(DiskLock::new(Arc::new(file))))
    }
}

#[derive(Debug)]
struct OpenFolder;

impl DiskDirectory for OpenFolder {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFile {
    fn resize(bytes: &mut Vec<u8>, length: u64) -> io::Result<()> {
        if length > FILE_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.resize(length as usize, 0);
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = bytes.get(from..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let end = offset.saturating_add(length as u64);
        if end > bytes.len() as u64 {
            Self::resize(&mut bytes, end)?;
        }
        let mut at = offset as usize;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        Self::resize(&mut self.0.lock(), length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let length = length.max(bytes.len() as u64);
        Self::resize(&mut bytes, length)
    }

    fn is_cached(&self, _offset: u64, _length: usize) -> bool {
        true
    }

    fn forget_cached(&self, _offset: u64, _length: u64) {}

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Instant {
        Instant::from_origin(std::time::Duration::from_secs(1))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_ms(NOW_MS)
    }

    fn sleep_until(&self, _deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[derive(Debug)]
struct Same;

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Whoever needs a thread is refused; what blocks runs at once.
#[derive(Debug)]
struct NoThreads;

impl Spawner for NoThreads {
    fn spawn(&self, _task: BoxFuture<'static, ()>) {}

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        Box::pin(std::future::ready(()))
    }

    fn spawn_thread(&self, _name: &str, _work: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn has_threads(&self) -> bool {
        false
    }
}
