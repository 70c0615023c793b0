//! A disk in memory that does what disks do to files: it keeps what was synced, and of the rest what it likes.
//!
//! The machine's disk ([`Machine`]) outlives its processes; each process sees it through a [`SimDisk`] of its own, which is
//! dead once the process is. Invariant: what a sync covered that returned without an error survives everything.

mod content;
mod faults;
mod names;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode};
use parking_lot::Mutex;

use self::content::Content;
pub(crate) use self::content::Loss;
use self::faults::Call;
pub(crate) use self::faults::Faults;
use self::names::{FileId, FolderId, Names, Node};
use crate::process::Life;
use crate::random::Random;
use crate::scheduler::{ProcessId, Scheduler};
use crate::trace::digest;

/// What the disk has room for, as far as anybody asks.
const TOTAL_BYTES: u64 = 1 << 40;
/// No file of a run comes near: one that grows further is a runaway.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The disk of the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    names: Names,
    files: BTreeMap<FileId, Content>,
    locks: BTreeMap<PathBuf, ProcessId>,
    random: Random,
    faults: Faults,
    /// Faults that happened.
    failed: u64,
}

impl Machine {
    pub(crate) fn new(scheduler: Arc<Scheduler>, random: Random) -> Arc<Self> {
        Arc::new(Self {
            scheduler,
            state: Mutex::new(State {
                names: Names::new(),
                files: BTreeMap::new(),
                locks: BTreeMap::new(),
                random,
                faults: Faults::default(),
                failed: 0,
            }),
        })
    }

    /// From now on the disk fails like this.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// How often the disk failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.state.lock().failed
    }

    /// The power is lost and comes back.
    pub(crate) fn lose_power(&self, loss: Loss) {
        let mut state = self.state.lock();
        let State {
            names,
            files,
            random,
            locks,
            ..
        } = &mut *state;
        names.lose_power(loss.kept, random);
        files
            .values_mut()
            .for_each(|content| content.lose_power(loss, random));
        locks.clear();
        state.collect();
    }

    /// A bit of one file in a partition's folder flips, but for the last segment's: nobody may have it open.
    pub(crate) fn flip_bit(&self, folder: &Path) {
        let mut state = self.state.lock();
        let State {
            names,
            files,
            random,
            ..
        } = &mut *state;
        let Ok(entries) = names.list(folder) else {
            return;
        };
        let is_part = |name: &str, part: &str| name.ends_with(part);
        let last = entries.iter().rev().find(|(name, _)| is_part(name, ".log"));
        let last = last.map(|(name, _)| name.clone());
        let parts = [".log", ".index", ".timeindex", ".snapshot"];
        let found: Vec<_> = entries
            .iter()
            .filter(|(name, _)| parts.iter().any(|part| is_part(name, part)))
            .filter(|(name, _)| Some(name) != last.as_ref())
            .collect();
        if found.is_empty() {
            return;
        }
        let (name, node) = found[random.index(found.len())];
        if let Node::File(file) = node
            && let Some(content) = files.get_mut(file)
        {
            content.flip_bit(random);
            self.scheduler.note(format_args!("a bit of {name} flips"));
        }
    }

    /// A process is gone; the page cache is not.
    pub(crate) fn release(&self, process: ProcessId) {
        let mut state = self.state.lock();
        state.locks.retain(|_, holder| *holder != process);
        state.collect();
    }
}

impl State {
    /// Forgets files that nothing leads to. Nobody has them open.
    fn collect(&mut self) {
        let reachable = self.names.reachable();
        self.files.retain(|file, _| reachable.contains(file));
    }
}

/// The disk as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    machine: Arc<Machine>,
    life: Arc<Life>,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl SimDisk {
    pub(crate) fn new(machine: Arc<Machine>, life: Arc<Life>) -> Self {
        Self { machine, life }
    }

    /// One call: it may fail before it has any effect.
    fn call<T>(
        &self,
        call: Call,
        what: &dyn std::fmt::Debug,
        effect: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.life.is_alive() {
            return Err(dead());
        }
        let is_change = !matches!(call, Call::Open | Call::Read);
        if is_change && !self.life.survives_change() {
            return Err(dead());
        }
        let mut state = self.machine.state.lock();
        let state = &mut *state;
        if let Some(error) = state.faults.draw(call, &mut state.random) {
            state.failed += 1;
            self.machine
                .scheduler
                .note(format_args!("{call:?} {what:?} fails"));
            return Err(error);
        }
        if is_change {
            self.machine
                .scheduler
                .note(format_args!("{call:?} {what:?}"));
        }
        effect(state)
    }

    /// A sync takes its time, in which others go on; what it covers is decided when it begins.
    fn take_time(&self) {
        let latency = {
            let mut state = self.machine.state.lock();
            let limit = state.faults.latency;
            state.random.span(limit)
        };
        if self.life.is_alive() {
            self.machine.scheduler.preempt(latency);
        }
    }

    fn sync_folder(&self, folder: FolderId) -> io::Result<()> {
        let outcome = self.call(Call::SyncNames, &folder, |state| {
            state.names.sync(folder);
            Ok(())
        });
        self.take_time();
        outcome
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let entries = self.machine.state.lock().names.list(path)?;
        for (name, node) in entries {
            let path = path.join(name);
            match node {
                Node::Folder(_) => self.remove_tree(&path)?,
                Node::File(_) => self.remove_file(&path)?,
            }
        }
        self.call(Call::Names, &path, |state| state.names.remove_folder(path))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.machine.state.lock().names.find(path);
        let may_make = matches!(mode, OpenMode::CreateIfMissing | OpenMode::CreateNew);
        let file = match (found, mode) {
            (Some(Node::File(_)), OpenMode::CreateNew) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (Some(Node::File(file)), _) => self.call(Call::Open, &path, |_| Ok(file))?,
            (Some(Node::Folder(_)), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (None, _) if may_make => self.call(Call::Names, &path, |state| {
                let file = state.names.take_id();
                state.names.add(path, Node::File(file))?;
                state.files.insert(file, Content::default());
                Ok(file)
            })?,
            (None, _) => return Err(io::Error::from_raw_os_error(2)),
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            is_writable: mode != OpenMode::Read,
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = self.call(Call::Open, &directory, |state| {
            let names = state.names.list(directory)?;
            // In no order that anybody may rely on.
            Ok((names, state.random.fork()))
        })?;
        let (names, random) = &mut entries;
        for place in (1..names.len()).rev() {
            names.swap(place, random.index(place + 1));
        }
        let entry = |(name, node): (String, Node)| Entry {
            path: directory.join(&name),
            name,
            is_directory: matches!(node, Node::Folder(_)),
        };
        Ok(entries.0.into_iter().map(entry).collect())
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        let mut path = PathBuf::new();
        for component in directory.components() {
            path.push(component);
            let found = self.machine.state.lock().names.find(&path);
            match found {
                Some(Node::Folder(_)) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => self.call(Call::Names, &path, |state| {
                    let id = state.names.take_id();
                    state.names.add(&path, Node::Folder(id))
                })?,
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Names, &(from, to), |state| {
            state.names.rename(from, to)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Names, &path, |state| state.names.remove_file(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.remove_tree(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let folder = self.machine.state.lock().names.folder(directory)?;
        self.sync_folder(folder)
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        let folder = self.call(Call::Open, &directory, |state| {
            state.names.folder(directory)
        })?;
        Ok(Arc::new(SimDirectory {
            disk: self.clone(),
            folder,
        }))
    }

    fn sync_file_system(&self, _directory: &Path) -> io::Result<()> {
        let outcome = self.call(Call::Sync, &"all", |state| {
            state.names.sync_all();
            state.files.values_mut().for_each(Content::sync);
            Ok(())
        });
        if outcome.is_err() && self.life.is_alive() {
            let mut state = self.machine.state.lock();
            let State { files, random, .. } = &mut *state;
            files
                .values_mut()
                .for_each(|content| content.fail_sync(random));
        }
        self.take_time();
        outcome
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let is_full = self.machine.state.lock().faults.is_full;
        if is_full {
            return Ok(0);
        }
        self.total_bytes(directory)
    }

    fn total_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(TOTAL_BYTES)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        if self.machine.state.lock().names.find(path).is_none() {
            self.open(path, OpenMode::CreateIfMissing)?;
        }
        let mut state = self.machine.state.lock();
        if state.locks.contains_key(path) {
            return Ok(None);
        }
        state.locks.insert(path.to_owned(), self.life.process);
        let held = Held {
            machine: Arc::clone(&self.machine),
            path: path.to_owned(),
            process: self.life.process,
        };
        Ok(Some(DiskLock::new(Arc::new(held))))
    }
}

/// A lock file that is held.
#[derive(Debug)]
struct Held {
    machine: Arc<Machine>,
    path: PathBuf,
    process: ProcessId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.machine.state.lock();
        if state.locks.get(&self.path) == Some(&self.process) {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimDirectory {
    disk: SimDisk,
    folder: FolderId,
}

impl DiskDirectory for SimDirectory {
    fn sync(&self) -> io::Result<()> {
        self.disk.sync_folder(self.folder)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: FileId,
    is_writable: bool,
}

fn position(offset: u64) -> io::Result<usize> {
    if offset > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    usize::try_from(offset).map_err(|_narrow| io::ErrorKind::FileTooLarge.into())
}

impl SimFile {
    fn content<'a>(&self, state: &'a mut State) -> &'a mut Content {
        state.files.entry(self.file).or_default()
    }

    fn refuse_read_only(&self) -> io::Result<()> {
        if self.is_writable {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(9))
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = position(offset)?;
        self.disk.call(Call::Read, &self.file, |state| {
            Ok(self.content(state).read(buffer, offset))
        })
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.refuse_read_only()?;
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let offset = position(offset)?;
        position((offset + bytes.len()) as u64)?;
        let what = (self.file, offset, bytes.len(), digest(&bytes));
        let was_alive = self.disk.life.is_alive();
        let outcome = self.disk.call(Call::Write, &what, |state| {
            self.content(state).write(offset, &bytes);
            Ok(())
        });
        if outcome.is_err() && was_alive {
            // Any prefix may have been written.
            let mut state = self.disk.machine.state.lock();
            let end = state.random.index(bytes.len() + 1);
            self.content(&mut state).write(offset, &bytes[..end]);
        }
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.disk.call(Call::Sync, &self.file, |state| {
            self.content(state).sync();
            Ok(())
        });
        if outcome.is_err() && self.disk.life.is_alive() {
            let mut state = self.disk.machine.state.lock();
            let mut random = state.random.fork();
            self.content(&mut state).fail_sync(&mut random);
        }
        self.disk.take_time();
        outcome
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.call(Call::Open, &self.file, |state| {
            Ok(self.content(state).length() as u64)
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.refuse_read_only()?;
        let length = position(length)?;
        let grows = {
            let mut state = self.disk.machine.state.lock();
            self.content(&mut state).length() < length
        };
        let call = if grows { Call::Length } else { Call::Names };
        self.disk.call(call, &(self.file, length), |state| {
            self.content(state).set_length(length);
            Ok(())
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.refuse_read_only()?;
        let length = position(length)?;
        self.disk.call(Call::Length, &(self.file, length), |state| {
            let content = self.content(state);
            if content.length() < length {
                content.set_length(length);
            }
            Ok(())
        })
    }

    fn is_cached(&self, _offset: u64, _length: usize) -> bool {
        !self.disk.machine.state.lock().random.chance(100)
    }

    fn forget_cached(&self, _offset: u64, _length: u64) {}

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
