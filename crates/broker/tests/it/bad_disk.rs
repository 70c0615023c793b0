//! The machine's disk, where calls on some paths fail.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use env::Env;
use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode, SystemDisk};

/// What a disk was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Sync,
}

/// Which calls fail: kind, part of the path, the system's error.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Call, String, i32)>>);

impl Faults {
    /// From now on these calls fail.
    pub(crate) fn fail(&self, call: Call, path_part: &str, error: i32) {
        let rule = (call, path_part.to_owned(), error);
        self.0.lock().unwrap().push(rule);
    }

    /// The disk works again.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn pass(&self, call: Call, path: &Path) -> io::Result<()> {
        let rules = self.0.lock().unwrap();
        let path = path.to_string_lossy();
        let rule = rules
            .iter()
            .find(|(kind, part, _)| *kind == call && path.contains(part.as_str()));
        match rule {
            Some((.., error)) => Err(io::Error::from_raw_os_error(*error)),
            None => Ok(()),
        }
    }
}

/// The machine's surroundings over such a disk.
pub(crate) fn env_with(faults: &Arc<Faults>) -> Env {
    Env {
        disk: Arc::new(BadDisk(Arc::clone(faults))),
        ..Env::system()
    }
}

#[derive(Debug)]
struct BadDisk(Arc<Faults>);

impl Disk for BadDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(BadFile {
            file: SystemDisk.open(path, mode)?,
            path: path.to_owned(),
            faults: Arc::clone(&self.0),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        SystemDisk.list(directory)
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.create_directories(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_directory(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.sync_directory(directory)
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        SystemDisk.open_directory(directory)
    }

    fn sync_file_system(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.sync_file_system(directory)
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
struct BadFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl DiskFile for BadFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.pass(Call::Read, &self.path)?;
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.faults.pass(Call::Write, &self.path)?;
        self.file.write_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.pass(Call::Sync, &self.path)?;
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn is_cached(&self, offset: u64, length: usize) -> bool {
        self.file.is_cached(offset, length)
    }

    fn forget_cached(&self, offset: u64, length: u64) {
        self.file.forget_cached(offset, length);
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // Read by us, so that reads can fail.
        None
    }
}
