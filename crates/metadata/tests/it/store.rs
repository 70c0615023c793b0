//! The store against a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::Env;
use metadata::{
    Change, LocalStore, MetadataStore, OpenStoreError, Revision, TransactError, Transaction,
    WatchError,
};
use proptest::prelude::*;

use crate::crash::{MemoryDisk, open};
use crate::fixture::Folder;

type Model = BTreeMap<Vec<u8>, (Revision, Vec<u8>)>;

/// What a random history consists of. Few keys, so that they meet again.
#[derive(Clone, Debug)]
enum Step {
    Transact {
        /// Key, and whether the condition is made to hold.
        compares: Vec<(u8, bool)>,
        puts: Vec<(u8, u8)>,
        deletes: Vec<u8>,
    },
    Reopen,
}

fn key(number: u8) -> Vec<u8> {
    // Some keys are prefixes of others.
    b"kkkkkkkk"[..usize::from(number % 8) + 1].to_vec()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let transact = (
        prop::collection::vec((0..8_u8, prop::bool::weighted(0.8)), 0..3),
        prop::collection::vec((0..8_u8, any::<u8>()), 0..3),
        prop::collection::vec(0..8_u8, 0..3),
    )
        .prop_map(|(compares, puts, deletes)| Step::Transact {
            compares,
            puts,
            deletes,
        });
    prop::collection::vec(prop_oneof![9 => transact, 1 => Just(Step::Reopen)], 1..40)
}

fn transaction(model: &Model, step: &Step) -> Transaction {
    let mut transaction = Transaction::default();
    if let Step::Transact {
        compares,
        puts,
        deletes,
    } = step
    {
        for &(number, holds) in compares {
            let current = model.get(&key(number)).map(|entry| entry.0);
            let wrong = match current {
                Some(_) => None,
                None => Some(Revision::new(1)),
            };
            transaction.expect(key(number), if holds { current } else { wrong });
        }
        for &(number, value) in puts {
            transaction.put(key(number), vec![value]);
        }
        for &number in deletes {
            transaction.delete(key(number));
        }
    }
    transaction
}

/// The model's version of a transaction; false on a conflict.
fn apply(model: &mut Model, revision: Revision, transaction: &Transaction) -> bool {
    let holds = transaction
        .compares
        .iter()
        .all(|compare| model.get(&compare.key[..]).map(|entry| entry.0) == compare.mod_revision);
    if holds {
        for key in &transaction.deletes {
            model.remove(&key[..]);
        }
        for (key, value) in &transaction.puts {
            model.insert(key.to_vec(), (revision, value.to_vec()));
        }
    }
    holds
}

fn contents(store: &LocalStore, prefix: &[u8]) -> (Revision, Model) {
    let (revision, entries) = store.range(prefix);
    let entries = entries.into_iter();
    (
        revision,
        entries
            .map(|entry| {
                (
                    entry.key.to_vec(),
                    (entry.mod_revision, entry.value.to_vec()),
                )
            })
            .collect(),
    )
}

async fn run(steps: Vec<Step>) {
    let disk = Arc::new(MemoryDisk::default());
    let mut store = open(&disk);
    let mut watch = store.watch(Revision::ZERO);
    let mut replica: Model = Model::new();
    let mut model = Model::new();
    let mut revision = Revision::ZERO;
    for step in steps {
        if let Step::Reopen = step {
            store.close();
            assert!(matches!(watch.next().await, Err(WatchError::Closed)));
            drop(store);
            store = open(&disk);
            watch = store.watch(revision);
        } else {
            let transaction = transaction(&model, &step);
            let outcome = store.transact(transaction.clone()).await;
            if apply(&mut model, revision.next(), &transaction) {
                revision = revision.next();
                assert_eq!(outcome.unwrap(), revision);
                let commit = watch.next().await.unwrap();
                assert_eq!(commit.revision, revision);
                for change in &commit.changes {
                    match change {
                        Change::Put { key, value } => {
                            replica.insert(key.to_vec(), (revision, value.to_vec()));
                        }
                        Change::Delete { key } => drop(replica.remove(&key[..])),
                    }
                }
            } else {
                assert!(matches!(outcome, Err(TransactError::Conflict { .. })));
            }
        }
        assert_eq!(contents(&store, b""), (revision, model.clone()));
        assert_eq!(
            replica, model,
            "what the watch told adds up to what is there"
        );
        let mut with_prefix = model.clone();
        with_prefix.retain(|key, _| key.starts_with(b"kkk"));
        assert_eq!(contents(&store, b"kkk").1, with_prefix);
    }
    store.close();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_history_equals_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn transactions_handed_over_together_are_decided_one_after_the_other() {
    let folder = Folder::new();
    let store = Arc::new(LocalStore::open(&Env::system(), &folder.file()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let mut transaction = Transaction::default();
        transaction.expect("k", None);
        transaction.put("k", "v");
        tasks.spawn(store.transact(transaction));
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(store.range(b"").0, Revision::new(1));
}

#[tokio::test]
async fn a_watch_that_is_too_far_behind_is_told_so() {
    let folder = Folder::new();
    let store = LocalStore::open(&Env::system(), &folder.file()).unwrap();
    let mut behind = store.watch(Revision::ZERO);
    let puts = (0..1100).map(|number: u32| {
        let mut transaction = Transaction::default();
        transaction.put("k", number.to_string());
        store.transact(transaction)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for put in puts {
        tasks.spawn(put);
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    let oldest = Revision::new(1100 - 1024 + 1);
    assert_eq!(
        behind.try_next().unwrap_err(),
        WatchError::Compacted { oldest }
    );
    let mut just_there = store.watch(Revision::new(oldest.value() - 1));
    assert_eq!(just_there.try_next().unwrap().unwrap().revision, oldest);
}

#[tokio::test]
async fn a_transaction_stands_when_nobody_waits_for_it() {
    let folder = Folder::new();
    let env = Env::system();
    let store = LocalStore::open(&env, &folder.file()).unwrap();
    let mut watch = store.watch(Revision::ZERO);
    let mut transaction = Transaction::default();
    transaction.put("k", "v");
    let mut handed_over = store.transact(transaction);
    // One poll hands it over; then the caller loses interest.
    std::future::poll_fn(|context| {
        let pending = handed_over.as_mut().poll(context).is_pending();
        std::task::Poll::Ready(pending)
    })
    .await;
    drop(handed_over);
    assert_eq!(watch.next().await.unwrap().revision, Revision::new(1));
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused() {
    use redb::TableDefinition;
    let folder = Folder::new();
    let env = Env::system();
    LocalStore::open(&env, &folder.file()).unwrap().close();
    let database = redb::Database::open(folder.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let figures: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");
    transaction
        .open_table(figures)
        .unwrap()
        .insert("format", 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = std::fs::read(folder.file()).unwrap();
    let error = LocalStore::open(&env, &folder.file()).unwrap_err();
    assert!(
        matches!(error, OpenStoreError::NewerFormat { found: 2, .. }),
        "{error}"
    );
    let after = std::fs::read(folder.file()).unwrap();
    assert_eq!(after, before, "the file is as it was");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused() {
    let folder = Folder::new();
    std::fs::write(
        folder.file(),
        b"not a database, but long enough to look at".repeat(200),
    )
    .unwrap();
    let error = LocalStore::open(&Env::system(), &folder.file()).unwrap_err();
    assert!(matches!(error, OpenStoreError::Read { .. }), "{error}");
}
