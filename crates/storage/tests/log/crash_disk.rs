//! A disk that loses power: after so many changes nothing more reaches it, and what was not synced may be lost.
//!
//! Names are journaled: those of a folder that were made, given or taken since its last sync come back as they were, all or
//! the later ones of them. Bytes behind what was synced of a file are lost.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode, SystemDisk};

use crate::support::EIO;

/// A change of names that is not durable yet.
#[derive(Debug)]
enum Change {
    Made(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<PathBuf>,
    },
    Removed {
        path: PathBuf,
        kept: PathBuf,
    },
}

/// What is durable of a file.
#[derive(Debug)]
struct Durable {
    file: Arc<dyn DiskFile>,
    length: u64,
    is_dirty: bool,
}

#[derive(Debug)]
struct State {
    /// Changes that still succeed.
    left: AtomicI64,
    /// How the others fail.
    error: AtomicI32,
    /// Folders whose names could not be made durable.
    unsynced: Mutex<Vec<PathBuf>>,
    next_kept: AtomicU64,
    kept: PathBuf,
    changes: Mutex<HashMap<PathBuf, Vec<Change>>>,
    files: Mutex<HashMap<u64, Durable>>,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct CrashDisk(Arc<State>);

impl CrashDisk {
    /// `kept` is a folder on the same file system for what may come back.
    pub(crate) fn new(kept: &Path) -> Self {
        std::fs::create_dir_all(kept).unwrap();
        Self(Arc::new(State {
            left: AtomicI64::new(i64::MAX),
            error: AtomicI32::new(EIO),
            unsynced: Mutex::default(),
            next_kept: AtomicU64::new(0),
            kept: kept.to_owned(),
            changes: Mutex::default(),
            files: Mutex::default(),
        }))
    }

    /// After `changes` more, all fail.
    pub(crate) fn die_after(&self, changes: i64) {
        self.0.left.store(changes, Ordering::SeqCst);
    }

    /// After `changes` more, all fail with the system's error `error`.
    pub(crate) fn fail_after(&self, changes: i64, error: i32) {
        self.0.error.store(error, Ordering::SeqCst);
        self.die_after(changes);
    }

    /// Changes succeed again; nothing is lost.
    pub(crate) fn make_room(&self) {
        self.0.error.store(EIO, Ordering::SeqCst);
        self.0.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Whether the names in a folder whose name ends so could not be made durable.
    pub(crate) fn has_refused_sync_of(&self, folder: &str) -> bool {
        let unsynced = self.0.unsynced.lock().unwrap();
        unsynced.iter().any(|path| path.ends_with(folder))
    }

    /// Whether a change was refused.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.left.load(Ordering::SeqCst) < 0
    }

    /// The power comes back. Of the changes of each folder that were not durable the first `share` of 100 are there.
    pub(crate) fn revive(&self, share: usize) {
        for changes in std::mem::take(&mut *self.0.changes.lock().unwrap()).into_values() {
            let stay = changes.len() * share / 100;
            for change in changes.into_iter().skip(stay).rev() {
                undo(change);
            }
        }
        for durable in std::mem::take(&mut *self.0.files.lock().unwrap()).into_values() {
            if durable.is_dirty && durable.file.length().unwrap() > durable.length {
                durable.file.set_length(durable.length).unwrap();
            }
        }
        self.0.left.store(i64::MAX, Ordering::SeqCst);
    }

    fn change(&self) -> io::Result<()> {
        if self.0.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        self.0.left.store(-1, Ordering::SeqCst);
        let error = self.0.error.load(Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(error))
    }

    fn note(&self, folder: &Path, change: Change) {
        let mut changes = self.0.changes.lock().unwrap();
        changes.entry(folder.to_owned()).or_default().push(change);
    }

    /// Another name for a file, so that it can come back.
    fn keep(&self, path: &Path) -> Option<PathBuf> {
        let number = self.0.next_kept.fetch_add(1, Ordering::SeqCst);
        let kept = self.0.kept.join(number.to_string());
        std::fs::hard_link(path, &kept).ok()?;
        Some(kept)
    }
}

fn undo(change: Change) {
    match change {
        Change::Made(path) => drop(std::fs::remove_file(path)),
        Change::Renamed { from, to, replaced } => {
            drop(std::fs::rename(&to, from));
            if let Some(replaced) = replaced {
                std::fs::rename(replaced, to).unwrap();
            }
        }
        Change::Removed { path, kept } => std::fs::rename(kept, path).unwrap(),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap()
}

impl Disk for CrashDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let makes = mode != OpenMode::Read && mode != OpenMode::ReadWrite && !path.exists();
        if makes {
            self.change()?;
        }
        let file = SystemDisk.open(path, mode)?;
        if makes {
            self.note(folder_of(path), Change::Made(path.to_owned()));
        }
        let inode = std::fs::metadata(path)?.ino();
        let length = file.length()?;
        let mut files = self.0.files.lock().unwrap();
        let durable = files.entry(inode).or_insert_with(|| Durable {
            file: Arc::clone(&file),
            length,
            is_dirty: false,
        });
        let _ = durable;
        Ok(Arc::new(CrashFile {
            file,
            inode,
            disk: self.clone(),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        SystemDisk.list(directory)
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        self.change()?;
        SystemDisk.create_directories(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !from.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change()?;
        let replaced = to.exists().then(|| self.keep(to)).flatten();
        SystemDisk.rename(from, to)?;
        let change = Change::Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
            replaced,
        };
        self.note(folder_of(from), change);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change()?;
        let kept = self.keep(path).unwrap();
        SystemDisk.remove_file(path)?;
        let path = path.to_owned();
        self.note(folder_of(&path.clone()), Change::Removed { path, kept });
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        SystemDisk.remove_directory(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if let Err(error) = self.change() {
            let mut unsynced = self.0.unsynced.lock().unwrap();
            unsynced.push(directory.to_owned());
            return Err(error);
        }
        self.0.changes.lock().unwrap().remove(directory);
        Ok(())
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        Ok(Arc::new(CrashDirectory {
            path: directory.to_owned(),
            disk: self.clone(),
        }))
    }

    fn sync_file_system(&self, _directory: &Path) -> io::Result<()> {
        self.change()?;
        self.0.changes.lock().unwrap().clear();
        for durable in self.0.files.lock().unwrap().values_mut() {
            durable.length = durable.file.length()?;
            durable.is_dirty = false;
        }
        Ok(())
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        SystemDisk.free_bytes(directory)
    }

    fn total_bytes(&self, directory: &Path) -> io::Result<u64> {
        SystemDisk.total_bytes(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        SystemDisk.lock(path)
    }
}

#[derive(Debug)]
struct CrashDirectory {
    path: PathBuf,
    disk: CrashDisk,
}

impl DiskDirectory for CrashDirectory {
    fn sync(&self) -> io::Result<()> {
        self.disk.sync_directory(&self.path)
    }
}

#[derive(Debug)]
struct CrashFile {
    file: Arc<dyn DiskFile>,
    inode: u64,
    disk: CrashDisk,
}

impl CrashFile {
    fn durable(&self, change: impl FnOnce(&mut Durable)) {
        let mut files = self.disk.0.files.lock().unwrap();
        if let Some(durable) = files.get_mut(&self.inode) {
            change(durable);
        }
    }
}

impl DiskFile for CrashFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.disk.change()?;
        self.durable(|durable| {
            durable.is_dirty = true;
            durable.length = durable.length.min(offset);
        });
        self.file.write_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change()?;
        let length = self.file.length()?;
        self.durable(|durable| {
            durable.is_dirty = false;
            durable.length = length;
        });
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.disk.change()?;
        self.durable(|durable| {
            durable.is_dirty = true;
            durable.length = durable.length.min(length);
        });
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.allocate(length)
    }

    fn is_cached(&self, offset: u64, length: usize) -> bool {
        self.file.is_cached(offset, length)
    }

    fn forget_cached(&self, offset: u64, length: u64) {
        self.file.forget_cached(offset, length);
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }
}
