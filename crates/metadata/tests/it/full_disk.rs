//! A disk without room for the metadata: changes are refused, and accepted again once there is room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metadata::{MetadataStore, Revision, TransactError, Transaction};

use crate::crash::{MemoryDisk, open};

fn put(key: &str, bytes: usize) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.put(key.to_owned(), "x".repeat(bytes));
    transaction
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_takes_them_again_once_there_is_room() {
    // How many writes pass before the disk is full: it fills up at every point of a commit.
    for passing in 0..12 {
        let disk = Arc::new(MemoryDisk::default());
        let store = open(&disk);
        assert_eq!(
            store.transact(put("a", 10)).await.unwrap(),
            Revision::new(1)
        );
        let mut watch = store.watch(Revision::new(1));
        disk.room.store(passing, Ordering::Relaxed);
        let mut refused = 0;
        // Each takes more pages than the last.
        while refused < 3 {
            match store.transact(put("b", 50_000)).await {
                Ok(_) => continue,
                Err(TransactError::Storage(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        let (before, entries) = store.range(b"");
        assert!(!entries.is_empty(), "what is there can be read");
        disk.room.store(i64::MAX, Ordering::Relaxed);
        let next = store.transact(put("c", 10)).await.unwrap();
        assert_eq!(next, before.next(), "{passing}: no revision is skipped");
        let mut seen = Revision::new(1);
        while let Some(commit) = watch.try_next().unwrap() {
            assert_eq!(commit.revision, seen.next());
            seen = commit.revision;
        }
        assert_eq!(seen, next, "{passing}");
        let (_, entries) = store.range(b"");
        store.close();
        let again = open(&disk);
        assert_eq!(again.range(b""), (next, entries), "{passing}");
    }
}

#[tokio::test]
async fn a_sync_that_finds_no_room_is_not_repeated() {
    let disk = Arc::new(MemoryDisk::default());
    let store = open(&disk);
    store.transact(put("a", 10)).await.unwrap();
    disk.syncs_fail.store(true, Ordering::Relaxed);
    store.transact(put("b", 10)).await.unwrap_err();
    disk.syncs_fail.store(false, Ordering::Relaxed);
    store.transact(put("c", 10)).await.unwrap_err();
}
