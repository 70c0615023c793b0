//! What the tests share: a data directory on a disk that can fail, a clock that stands still, batches, and reading back.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode, SystemDisk};
use env::{BoxFuture, Clock, Env};
use protocol::Slice;
use protocol::records::{BatchBuilder, BatchIterator, BatchOptions};
use storage::{
    AppendContext, AppendError, AppendTicket, CommitFailed, DirectoryOptions, Isolation, LocalLog,
    LogDirectory, LogSettings, PartitionLog, ReadError, SegmentFile,
};
use types::{
    Instant, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition,
};

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
});

/// The time that tests begin at.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock {
    wall_ms: AtomicI64,
    since_start_ms: AtomicU64,
}

impl TestClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.wall_ms
            .fetch_add(i64::try_from(ms).unwrap(), Ordering::SeqCst);
        self.since_start_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_origin(Duration::from_millis(
            self.since_start_ms.load(Ordering::SeqCst),
        ))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_ms(self.wall_ms.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, _deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Which calls of the disk fail.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    gate: Mutex<Option<Gate>>,
    gate_changed: Condvar,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) opens: AtomicU64,
    /// Files that are open now, and the most that were at once since somebody set it back.
    pub(crate) open_now: AtomicU64,
    pub(crate) open_most: AtomicU64,
}

#[derive(Clone, Debug)]
struct Rule {
    call: Call,
    path_part: String,
    error: i32,
    /// For writes: bytes that are written before the failure.
    partial: usize,
    /// How often it still fails.
    times: usize,
}

/// A call that waits until it may go on.
#[derive(Debug)]
struct Gate {
    call: Call,
    path_part: String,
    /// Calls that pass before.
    before: usize,
    is_reached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Sync,
    OpenDirectory,
    SyncDirectory,
    SyncFileSystem,
    SetLength,
    Allocate,
    Rename,
    RemoveFile,
    RemoveDirectory,
    CreateDirectories,
    List,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EMFILE: i32 = 24;

impl Faults {
    /// The next `times` calls on paths with `path_part` in them, or at their end if it ends with `$`, fail with the system's
    /// error `error`.
    pub(crate) fn fail(&self, call: Call, path_part: &str, error: i32, times: usize) {
        self.fail_after(call, path_part, error, times, 0);
    }

    /// As [`Faults::fail`]; writes leave their first `partial` bytes.
    pub(crate) fn fail_after(
        &self,
        call: Call,
        path_part: &str,
        error: i32,
        times: usize,
        partial: usize,
    ) {
        self.rules.lock().unwrap().push(Rule {
            call,
            path_part: path_part.to_owned(),
            error,
            partial,
            times,
        });
    }

    /// The call on a path with `path_part` in it that follows `before` others waits until [`Faults::let_pass`].
    pub(crate) fn hold(&self, call: Call, path_part: &str, before: usize) {
        *self.gate.lock().unwrap() = Some(Gate {
            call,
            path_part: path_part.to_owned(),
            before,
            is_reached: false,
        });
    }

    /// Whether a call is being held.
    pub(crate) fn is_holding(&self) -> bool {
        let gate = self.gate.lock().unwrap();
        gate.as_ref().is_some_and(|gate| gate.is_reached)
    }

    /// The call that is held goes on, and no later one is.
    pub(crate) fn let_pass(&self) {
        *self.gate.lock().unwrap() = None;
        self.gate_changed.notify_all();
    }

    fn wait_at_gate(&self, call: Call, path: &Path) {
        let mut gate = self.gate.lock().unwrap();
        let Some(found) = &mut *gate else { return };
        if found.call != call
            || found.is_reached
            || !path.to_string_lossy().contains(&found.path_part)
        {
            return;
        }
        if found.before > 0 {
            found.before -= 1;
            return;
        }
        found.is_reached = true;
        let limit = Duration::from_secs(60);
        let waits = |gate: &mut Option<Gate>| gate.is_some();
        let (_gate, outcome) = self
            .gate_changed
            .wait_timeout_while(gate, limit, waits)
            .unwrap();
        assert!(!outcome.timed_out(), "nobody let the call pass");
    }

    pub(crate) fn clear(&self) {
        self.rules.lock().unwrap().clear();
    }

    fn check(&self, call: Call, path: &Path) -> Result<(), (io::Error, usize)> {
        self.wait_at_gate(call, path);
        let mut rules = self.rules.lock().unwrap();
        for rule in rules.iter_mut() {
            let path = path.to_string_lossy();
            let is_meant = match rule.path_part.strip_suffix('$') {
                Some(end) => path.ends_with(end),
                None => path.contains(&rule.path_part),
            };
            if rule.call == call && rule.times > 0 && is_meant {
                rule.times -= 1;
                return Err((io::Error::from_raw_os_error(rule.error), rule.partial));
            }
        }
        Ok(())
    }

    fn pass(&self, call: Call, path: &Path) -> io::Result<()> {
        self.check(call, path).map_err(|(error, _)| error)
    }
}

/// The machine's disk, with faults.
#[derive(Debug)]
struct FaultyDisk(Arc<Faults>);

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.0.pass(Call::Open, path)?;
        self.0.opens.fetch_add(1, Ordering::SeqCst);
        let file = SystemDisk.open(path, mode)?;
        let open = self.0.open_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.open_most.fetch_max(open, Ordering::SeqCst);
        Ok(Arc::new(FaultyFile {
            file,
            path: path.to_owned(),
            faults: Arc::clone(&self.0),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        self.0.pass(Call::List, directory)?;
        SystemDisk.list(directory)
    }

    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        self.0.pass(Call::CreateDirectories, directory)?;
        SystemDisk.create_directories(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.pass(Call::Rename, from)?;
        SystemDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.pass(Call::RemoveFile, path)?;
        SystemDisk.remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.0.pass(Call::RemoveDirectory, path)?;
        SystemDisk.remove_directory(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.pass(Call::SyncDirectory, directory)
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        self.0.pass(Call::OpenDirectory, directory)?;
        Ok(Arc::new(FaultyDirectory {
            path: directory.to_owned(),
            faults: Arc::clone(&self.0),
        }))
    }

    fn sync_file_system(&self, directory: &Path) -> io::Result<()> {
        self.0.pass(Call::SyncFileSystem, directory)
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
struct FaultyDirectory {
    path: PathBuf,
    faults: Arc<Faults>,
}

impl DiskDirectory for FaultyDirectory {
    fn sync(&self) -> io::Result<()> {
        self.faults.pass(Call::SyncDirectory, &self.path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        self.faults.open_now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.pass(Call::Read, &self.path)?;
        let count = self.file.read_at(buffer, offset)?;
        self.faults.reads.fetch_add(1, Ordering::SeqCst);
        self.faults
            .bytes_read
            .fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Err((error, partial)) = self.faults.check(Call::Write, &self.path) {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            let some = &all[..partial.min(all.len())];
            self.file.write_at(&[IoSlice::new(some)], offset)?;
            return Err(error);
        }
        self.file.write_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.pass(Call::Sync, &self.path)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.faults.pass(Call::SetLength, &self.path)?;
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.faults.pass(Call::Allocate, &self.path)?;
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

/// A data directory in a temporary folder.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) root: PathBuf,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) options: DirectoryOptions,
    env: Env,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let clock = Arc::new(TestClock {
            wall_ms: AtomicI64::new(NOW_MS),
            since_start_ms: AtomicU64::new(0),
        });
        let _runtime = RUNTIME.enter();
        let env = Env {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            disk: Arc::new(FaultyDisk(Arc::clone(&faults))),
            ..Env::system()
        };
        Self {
            root: folder.path().join("data"),
            faults,
            clock,
            options: DirectoryOptions::default(),
            env,
            _folder: folder,
        }
    }

    /// A data directory on another disk.
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        let mut world = Self::new();
        world.env.disk = disk;
        world
    }

    /// What starts threads.
    pub(crate) fn spawner(&self) -> Arc<dyn env::Spawner> {
        Arc::clone(&self.env.spawner)
    }

    pub(crate) fn try_open(&self) -> Result<storage::Opened, storage::OpenError> {
        LogDirectory::open(self.env.clone(), &self.root, self.options.clone())
    }

    pub(crate) fn open(&self) -> LogDirectory {
        self.try_open().unwrap().directory
    }

    /// The directory, held for a check.
    pub(crate) fn check(&self) -> Result<storage::DirectoryCheck, storage::CheckError> {
        storage::DirectoryCheck::open(&self.env, &self.root)
    }

    /// The checkpoint is lost, also the one that opening wrote.
    pub(crate) fn lose_checkpoint(&self) {
        match std::fs::remove_file(self.root.join("checkpoint")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }

    /// The path of a file in the folder of partition 0 of topic `t`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join("logs").join("t-0").join(name)
    }

    /// The path of a segment's file.
    pub(crate) fn segment(&self, base: i64) -> PathBuf {
        self.file(&format!("{base:020}.log"))
    }

    /// The names in the folder of partition 0 of topic `t`, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.root.join("logs/t-0"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Changes the bytes of a file.
pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The names of the segments, in their order.
pub(crate) fn segment_names(world: &World) -> Vec<String> {
    let mut logs = world.names();
    logs.retain(|name| name.ends_with(".log"));
    logs
}

pub(crate) fn partition(number: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t"),
        partition: PartitionIndex::new(number).unwrap(),
    }
}

pub(crate) fn topic_id(number: u8) -> TopicId {
    TopicId::new([number; 16]).unwrap()
}

/// Partition 0 of topic `t`.
pub(crate) fn log(directory: &LogDirectory, settings: LogSettings) -> Arc<LocalLog> {
    directory.log(&partition(0), topic_id(1), settings).unwrap()
}

/// The least `segment.bytes` is the caller's business, so that tests can roll quickly.
pub(crate) fn small_segments(segment_bytes: u32) -> LogSettings {
    LogSettings {
        segment_bytes,
        index_interval_bytes: 300,
        ..LogSettings::default()
    }
}

pub(crate) fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A batch of records with these values, a millisecond apart from `timestamp` on.
pub(crate) fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    batch_with(BatchOptions::default(), timestamp, values)
}

pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_at(NOW_MS, values)
}

pub(crate) fn batch_with(options: BatchOptions, timestamp: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (number, value) in values.iter().enumerate() {
        let at = timestamp + i64::try_from(number).unwrap();
        builder
            .push(at, Some(b"key"), Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// A batch of an idempotent producer.
pub(crate) fn produced(producer: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    batch_with(options, NOW_MS, values)
}

pub(crate) fn client(log: &LocalLog) -> AppendContext {
    AppendContext::client(epoch(log))
}

pub(crate) fn epoch(log: &LocalLog) -> LeaderEpoch {
    log.offsets().leader_epoch
}

pub(crate) fn append(log: &LocalLog, batch: Bytes) -> Result<AppendTicket, AppendError> {
    log.append(batch, client(log))
}

/// Waits for a ticket; a ticket that never resolves fails the test.
pub(crate) fn committed(ticket: AppendTicket) -> Result<(), CommitFailed> {
    RUNTIME
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), ticket.committed()).await })
        .expect("a commit resolves")
}

/// Appends and waits; returns the base offset.
pub(crate) fn write(log: &LocalLog, batch: Bytes) -> i64 {
    let ticket = append(log, batch).unwrap();
    let base = ticket.outcome.base_offset.value();
    committed(ticket).unwrap();
    base
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) value: String,
}

/// The bytes of a plan.
pub(crate) fn bytes_of(slices: &[Slice]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in slices {
        match slice {
            Slice::Memory(memory) => bytes.extend_from_slice(memory),
            Slice::File(slice) => {
                let file = (&*slice.file as &dyn std::any::Any)
                    .downcast_ref::<SegmentFile>()
                    .expect("storage hands out segment files");
                let mut part = vec![0; slice.length];
                let count = file.disk_file().read_at(&mut part, slice.offset).unwrap();
                assert_eq!(count, slice.length, "a slice lies within its file");
                bytes.extend_from_slice(&part);
            }
        }
    }
    bytes
}

/// The records in bytes of whole batches.
pub(crate) fn records_of(bytes: &[u8]) -> Vec<Read> {
    let mut records = Vec::new();
    let mut batches = BatchIterator::new(bytes);
    for batch in &mut batches {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let payload = batch.payload(1 << 24).unwrap();
        for record in batch.records(&payload) {
            let record = record.unwrap();
            records.push(Read {
                offset: batch.offset_of(record.offset_delta),
                timestamp: batch.timestamp_of(record.timestamp_delta),
                value: String::from_utf8(record.value.unwrap_or(b"-").to_vec()).unwrap(),
            });
        }
    }
    assert_eq!(batches.position(), bytes.len(), "plans hold whole batches");
    records
}

/// One read.
pub(crate) fn read(log: &LocalLog, from: i64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
    let plan = log.read(at(from), max_bytes, Isolation::ReadUncommitted, true)?;
    let bytes = bytes_of(&plan.slices);
    assert_eq!(bytes.len(), plan.length);
    Ok(records_of(&bytes))
}

/// All records from `from` to the high watermark, read piece by piece.
pub(crate) fn read_all(log: &LocalLog, from: i64, max_bytes: usize) -> Vec<Read> {
    let mut all: Vec<Read> = Vec::new();
    let mut next = from;
    loop {
        let part = read(log, next, max_bytes).unwrap();
        let Some(last) = part.last() else {
            assert_complete(log, from, &all);
            return all;
        };
        assert!(last.offset >= next, "a read makes progress");
        let skip = next;
        next = last.offset + 1;
        all.extend(part.into_iter().filter(|record| record.offset >= skip));
    }
}

/// A segment that says that it has nothing but records has one at each of its offsets.
fn assert_complete(log: &LocalLog, from: i64, all: &[Read]) {
    let end = log.offsets().high_watermark.value();
    for segment in log.segments() {
        let offsets = segment.base.value().max(from)..segment.end.value().min(end);
        if segment.has_only_records && !offsets.is_empty() {
            let found = all.iter().map(|record| record.offset);
            let found: Vec<_> = found.filter(|offset| offsets.contains(offset)).collect();
            assert_eq!(found, offsets.collect::<Vec<_>>(), "{segment:?}");
        }
    }
}

pub(crate) fn values(records: &[Read]) -> Vec<&str> {
    records.iter().map(|record| record.value.as_str()).collect()
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = env::SystemClock::new();
    while !condition() {
        assert!(
            clock.now().since_origin() < Duration::from_secs(20),
            "waited too long: {what}"
        );
        std::thread::yield_now();
    }
}
