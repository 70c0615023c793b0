//! What a loss of power leaves of the store, on a disk that keeps only what was synced.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use env::Env;
use env::disk::{Disk, DiskDirectory, DiskFile, DiskLock, Entry, OpenMode};
use metadata::{LocalStore, MetadataStore, Revision, TransactError, Transaction};
use parking_lot::Mutex;
use proptest::prelude::*;

/// A write that the disk may or may not have kept.
#[derive(Clone, Debug)]
enum Write {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Bytes(offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                let end = start + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

/// One file in memory.
#[derive(Debug)]
pub(crate) struct MemoryDisk {
    content: Mutex<Content>,
    pub(crate) syncs_fail: AtomicBool,
    /// How many more writes find room.
    pub(crate) room: AtomicI64,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self {
            content: Mutex::default(),
            syncs_fail: AtomicBool::new(false),
            room: AtomicI64::new(i64::MAX),
        }
    }
}

impl MemoryDisk {
    /// The file after a loss of power: what was synced, and of the rest whatever `kept` says.
    fn after_crash(&self, mut kept: impl FnMut() -> bool) -> Self {
        let content = self.content.lock();
        let mut left = content.durable.clone();
        for write in &content.pending {
            if kept() {
                write.apply(&mut left);
            }
        }
        Self {
            content: Mutex::new(Content {
                current: left.clone(),
                durable: left,
                pending: Vec::new(),
            }),
            ..Self::default()
        }
    }

    fn write(&self, write: Write) -> io::Result<()> {
        if self.room.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.room.store(0, Ordering::Relaxed);
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut content = self.content.lock();
        write.apply(&mut content.current);
        content.pending.push(write);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile(Arc<MemoryDisk>);

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.content.lock();
        let rest = content.current.get(usize::try_from(offset).unwrap()..);
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes = parts.iter().flat_map(|part| part.iter().copied());
        self.0.write(Write::Bytes(offset, bytes.collect()))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.syncs_fail.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut content = self.0.content.lock();
        content.durable = content.current.clone();
        content.pending.clear();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.content.lock().current.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.write(Write::Length(length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_length(length)
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
struct OneFile(Arc<MemoryDisk>);

impl Disk for OneFile {
    fn open(&self, _path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(MemoryFile(Arc::clone(&self.0))))
    }

    fn list(&self, _directory: &Path) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn create_directories(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open_directory(&self, _directory: &Path) -> io::Result<Arc<dyn DiskDirectory>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_file_system(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn total_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<DiskLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A store whose file is this disk.
pub(crate) fn open(disk: &Arc<MemoryDisk>) -> LocalStore {
    let env = Env {
        disk: Arc::new(OneFile(Arc::clone(disk))),
        ..Env::system()
    };
    LocalStore::open(&env, Path::new("metadata.redb")).unwrap()
}

fn put(number: u64) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.put(format!("key-{}", number % 7), number.to_string());
    transaction
}

async fn run(rounds: Vec<(u8, Vec<bool>)>) {
    let mut disk = Arc::new(MemoryDisk::default());
    let mut acked = 0;
    for (count, kept) in rounds {
        let store = open(&disk);
        let (revision, _) = store.range(b"");
        assert!(
            revision.value() >= acked,
            "an answered transaction is never lost"
        );
        acked = revision.value();
        for _ in 0..count {
            acked += 1;
            assert_eq!(
                store.transact(put(acked)).await.unwrap(),
                Revision::new(acked)
            );
        }
        // The next one is under way when the power goes: it may be there afterwards or not.
        let mut choices = kept.into_iter().cycle();
        let after = disk.after_crash(|| choices.next().unwrap_or(false));
        disk = Arc::new(after);
    }
    let store = open(&disk);
    let (revision, entries) = store.range(b"");
    assert_eq!(revision.value(), acked);
    for entry in entries {
        let value = entry.mod_revision.value().to_string();
        assert_eq!(
            entry.value,
            value.as_bytes(),
            "values are those of their revisions"
        );
    }
    store.close();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn answered_transactions_survive_the_loss_of_power(
        rounds in prop::collection::vec(
            (0..6_u8, prop::collection::vec(any::<bool>(), 1..16)),
            1..5,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(run(rounds));
    }
}

#[tokio::test]
async fn a_crash_at_any_point_leaves_all_or_nothing_of_a_transaction() {
    // Everything the first transactions wrote and synced, then a crash that keeps any prefix of the last one's writes.
    let mut outcomes = std::collections::BTreeSet::new();
    for kept in 0..40 {
        let disk = Arc::new(MemoryDisk::default());
        let store = open(&disk);
        for number in 1..=3 {
            store.transact(put(number)).await.unwrap();
        }
        disk.syncs_fail.store(true, Ordering::Relaxed);
        let mut both = put(4);
        both.put("other", "4");
        assert!(matches!(
            store.transact(both).await,
            Err(TransactError::Storage(_))
        ));
        let mut left = kept;
        let disk = Arc::new(disk.after_crash(|| {
            left -= 1;
            left >= 0
        }));
        let store = open(&disk);
        let (revision, entries) = store.range(b"");
        let has_other = entries.iter().any(|entry| entry.key == "other");
        let fourth = entries.iter().find(|entry| entry.key == "key-4");
        assert_eq!(has_other, fourth.is_some_and(|entry| entry.value == "4"));
        assert_eq!(revision.value(), if has_other { 4 } else { 3 });
        outcomes.insert(has_other);
    }
    assert_eq!(outcomes.len(), 2, "both outcomes were met");
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written_any_more() {
    let disk = Arc::new(MemoryDisk::default());
    let store = open(&disk);
    store.transact(put(1)).await.unwrap();
    disk.syncs_fail.store(true, Ordering::Relaxed);
    assert!(matches!(
        store.transact(put(2)).await,
        Err(TransactError::Storage(_))
    ));
    disk.syncs_fail.store(false, Ordering::Relaxed);
    assert!(matches!(
        store.transact(put(3)).await,
        Err(TransactError::Storage(_))
    ));
    let (revision, entries) = store.range(b"");
    assert_eq!(
        (revision.value(), entries.len()),
        (1, 1),
        "readers see what was answered"
    );
    store.close();
}
