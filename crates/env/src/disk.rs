//! Files, by position: no seek state, no memory maps.
//!
//! Durability is explicit: a write is in the page cache, [`DiskFile::sync_data`] makes it survive the loss of power, and
//! a created, renamed or removed name survives only once [`Disk::sync_directory`] of its folder has returned. All calls
//! may block; callers decide on which thread. Retrying a failed sync is forbidden (the kernel may have dropped the pages).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fdatasync};

/// A place for files.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for reading and writing as `mode` says.
    ///
    /// # Errors
    /// The operating system's, as for all methods here.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// The names in a folder, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a folder and its parents.
    fn create_directories(&self, directory: &Path) -> io::Result<()>;
    /// Gives a file or folder another name, replacing what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all it holds.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Opens a folder, so that its names can be made durable later without another descriptor.
    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>>;
    /// Makes everything written to the file system that holds `directory` durable, with one call.
    fn sync_file_system(&self, directory: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process may still write.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
    /// The size of the file system that holds `directory`, in bytes.
    fn total_bytes(&self, directory: &Path) -> io::Result<u64>;
    /// Takes the lock file `path` for the life of the returned guard; `None` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;
    /// As [`Disk::lock`] for a lock file that is there: it need not be writable.
    fn lock_existing(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.lock(path)
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist, and is only read.
    Read,
    /// It must exist.
    ReadWrite,
    /// It is made if there is none; what it holds stays.
    CreateIfMissing,
    /// It must not exist.
    CreateNew,
}

/// A name in a folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The full path.
    pub path: PathBuf,
    /// The last part of the path, as far as it is text.
    pub name: String,
    /// Whether it is a folder.
    pub is_directory: bool,
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The operating system's, as for all methods here.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `parts` one after the other from `offset`. On an error any prefix may have been written.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes what was written durable (`fdatasync`). After an error the file's unsynced bytes are lost: never retry.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) the file.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Reserves and extends: afterwards the file is at least `length` bytes long, zeros where nothing was written.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Whether the bytes at `offset` can be read without waiting for the disk. True when that cannot be told.
    fn is_cached(&self, offset: u64, length: usize) -> bool;
    /// Tells the system that these bytes will not be read again soon.
    fn forget_cached(&self, offset: u64, length: u64);
    /// The descriptor, where there is one, for sendfile; a simulated file has none and is read instead.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// An open folder.
pub trait DiskDirectory: Debug + Send + Sync {
    /// Makes the names in the folder durable, also after it was renamed.
    ///
    /// # Errors
    /// The operating system's.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a lock file until it is dropped or the process ends.
#[derive(Debug)]
pub struct DiskLock {
    _held: Arc<dyn Debug + Send + Sync>,
}

impl DiskLock {
    /// A lock that `held` keeps.
    pub fn new(held: Arc<dyn Debug + Send + Sync>) -> Self {
        Self { _held: held }
    }
}

/// The machine's file systems.
#[derive(Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::CreateIfMissing => options.write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Arc::new(SystemFile(options.open(path)?)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            Ok(Entry {
                path: entry.path(),
                name: entry.file_name().to_string_lossy().into_owned(),
                is_directory: entry.file_type()?.is_dir(),
            })
        };
        std::fs::read_dir(directory)?.map(entry).collect()
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        Ok(Arc::new(SystemDirectory(File::open(directory)?)))
    }

    fn sync_file_system(&self, directory: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(kept_open(directory)?)?)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn total_bytes(&self, directory: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(directory)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        try_lock(file)
    }

    fn lock_existing(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        try_lock(File::open(path)?)
    }
}

fn try_lock(file: File) -> io::Result<Option<DiskLock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(DiskLock::new(Arc::new(file)))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// A descriptor of `directory` that stays open for the life of the process: `syncfs` tells a descriptor only of writeback
/// errors that came after it was opened, or that nobody was told yet. One opened for the call could miss an error that
/// another process's sync has taken.
fn kept_open(directory: &Path) -> io::Result<Arc<File>> {
    static OPEN: Mutex<BTreeMap<PathBuf, Arc<File>>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = open.get(directory) {
        return Ok(Arc::clone(folder));
    }
    let folder = Arc::new(File::open(directory)?);
    open.insert(directory.to_owned(), Arc::clone(&folder));
    Ok(folder)
}

/// A folder of the machine.
#[derive(Debug)]
struct SystemDirectory(File);

impl DiskDirectory for SystemDirectory {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// A file of the machine.
#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .0
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        // The common case is one call: all parts fit and the kernel takes them whole.
        const PARTS_PER_CALL: usize = 1024; // IOV_MAX on Linux
        let mut position = offset;
        for parts in parts.chunks(PARTS_PER_CALL) {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            let written = write_once(&self.0, parts, position)?;
            if written < length {
                write_rest(&self.0, parts, written, position)?;
            }
            position += length as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(fdatasync(&self.0)?)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // A file system without fallocate: the length is extended, the reservation is not to be had.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                if self.length()? < length {
                    self.set_length(length)?;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_cached(&self, offset: u64, length: usize) -> bool {
        // Both ends: the first byte alone says yes to ranges that readahead has only begun (docs/performance.md, S4).
        let last = offset + length.saturating_sub(1) as u64;
        is_byte_cached(&self.0, offset) && (last == offset || is_byte_cached(&self.0, last))
    }

    fn forget_cached(&self, offset: u64, length: u64) {
        // Advice only: a refusal changes nothing that anyone relies on.
        rustix::fs::fadvise(
            &self.0,
            offset,
            std::num::NonZeroU64::new(length),
            rustix::fs::Advice::DontNeed,
        )
        .ok();
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

fn is_byte_cached(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    let outcome = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, flags);
    !matches!(outcome, Err(rustix::io::Errno::AGAIN))
}

fn write_once(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, parts, offset) {
            Ok(count) => return Ok(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes what a short `pwritev` left over: all of `parts` after their first `done` bytes.
fn write_rest(file: &File, parts: &[IoSlice<'_>], done: usize, offset: u64) -> io::Result<()> {
    let mut skip = done;
    let mut position = offset;
    for part in parts {
        let start = skip.min(part.len());
        file.write_all_at(&part[start..], position + start as u64)?;
        skip -= start;
        position += part.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn parts_are_written_one_after_the_other() {
        let folder = folder();
        let file = SystemDisk
            .open(&folder.path().join("a"), OpenMode::CreateNew)
            .unwrap();
        file.write_at(
            &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")],
            3,
        )
        .unwrap();
        let mut buffer = [9; 16];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 8);
        assert_eq!(&buffer[..8], b"\0\0\0abcde");
    }

    #[test]
    fn a_short_write_is_completed_from_where_it_stopped() {
        let folder = folder();
        let path = folder.path().join("a");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        write_rest(
            &file,
            &[IoSlice::new(b"ab"), IoSlice::new(b"cd"), IoSlice::new(b"e")],
            3,
            0,
        )
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcde");
    }

    #[test]
    fn more_parts_than_one_call_takes_are_all_written() {
        let folder = folder();
        let path = folder.path().join("a");
        let file = SystemDisk.open(&path, OpenMode::CreateNew).unwrap();
        let parts: Vec<_> = (0..3000).map(|_| IoSlice::new(b"xy")).collect();
        file.write_at(&parts, 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"xy".repeat(3000));
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let folder = folder();
        let path = folder.path().join("lock");
        let held = SystemDisk.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(SystemDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(SystemDisk.lock(&path).unwrap().is_some());
    }

    #[test]
    fn allocating_extends_with_zeros_and_never_shrinks() {
        let folder = folder();
        let file = SystemDisk
            .open(&folder.path().join("a"), OpenMode::CreateIfMissing)
            .unwrap();
        file.allocate(4096).unwrap();
        assert_eq!(file.length().unwrap(), 4096);
        file.allocate(10).unwrap();
        assert_eq!(file.length().unwrap(), 4096);
        assert!(SystemDisk.free_bytes(folder.path()).unwrap() > 0);
    }
}
