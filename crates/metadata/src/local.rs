//! The metadata store of one machine: a redb file, and a copy of it in memory.
//!
//! Invariant: one thread writes. It takes whatever transactions wait, decides each against the state its predecessors
//! leave, makes them durable with one commit, and only then shows them in memory and answers. After a commit failed,
//! what the file holds is unknown. If it failed for lack of room alone, the file is read again before the next commit and
//! tells; after anything else nothing is written any more until the store is opened again.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::disk::{DiskFile, OpenMode};
use env::{BoxFuture, Env, Thread, Worker};
use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::{mpsc, oneshot, watch};

use crate::inspect::verified;
use crate::redb_file::{
    ENTRIES, FIGURES, FORMAT_VERSION, REVISION, Trouble, format, initialise, open_database, stored,
    stored_revision,
};
use crate::store::{
    Change, Commit, KeyValue, MetadataStore, Revision, TransactError, Transaction, Watch,
    WatchError,
};

/// Transactions that may wait for the writer before callers wait to hand theirs over.
const QUEUE_LENGTH_MAX: usize = 1024;
/// Transactions made durable by one commit.
const GROUP_SIZE_MAX: usize = 256;
/// Commits kept for watchers that lag behind.
const HISTORY_LENGTH_MAX: usize = 1024;
/// What is copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The file could not be opened or its folder not be written.
    #[error("cannot open the metadata file {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, or is no metadata file.
    #[error("cannot read the metadata file {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A newer release wrote the file.
    #[error("the metadata file {} has format {found}, this release reads up to {FORMAT_VERSION}: start the release that wrote it, or a newer one", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
    },
    /// The system refused another thread.
    #[error("cannot start the metadata writer")]
    Thread(#[source] io::Error),
}

/// A [`MetadataStore`] in one file.
pub struct LocalStore {
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Sender<Submission>>>,
    writer: Mutex<Option<Thread>>,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalStore")
            .field("revision", &self.shared.published.read().revision)
            .finish_non_exhaustive()
    }
}

struct Submission {
    transaction: Transaction,
    answer: Answer,
}

type Entries = BTreeMap<Bytes, (Revision, Bytes)>;

/// What readers and watchers see.
#[derive(Debug, Default)]
struct Published {
    revision: Revision,
    entries: Entries,
    /// The newest commits; the last one is `revision`'s.
    history: VecDeque<Arc<Commit>>,
}

struct Shared {
    published: RwLock<Published>,
    /// Tells watchers that `published` moved on; closed with the writer.
    moved: watch::Sender<Revision>,
}

impl LocalStore {
    /// Opens the file, creating it if there is none, and starts the writer.
    ///
    /// # Errors
    /// See [`OpenStoreError`].
    pub fn open(env: &Env, path: &Path) -> Result<Self, OpenStoreError> {
        let open_error = |source| OpenStoreError::Open {
            path: path.to_owned(),
            source,
        };
        let file = env
            .disk
            .open(path, OpenMode::CreateIfMissing)
            .map_err(open_error)?;
        if let Some(folder) = path.parent() {
            env.disk.sync_directory(folder).map_err(open_error)?;
        }
        let read_error = |source: redb::Error| OpenStoreError::Read {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let trouble = Arc::new(Trouble::default());
        if file.length().map_err(open_error)? > 0 {
            // Before anything is changed: damage is told, not repaired by going back to an older commit.
            let database = verified(Arc::clone(&file)).map_err(read_error)?;
            let found = format(&database).map_err(read_error)?.unwrap_or_default();
            if found > FORMAT_VERSION {
                return Err(OpenStoreError::NewerFormat {
                    path: path.to_owned(),
                    found,
                });
            }
            write_again(&*file).map_err(open_error)?;
        }
        let database = open_database(&file, &trouble).map_err(read_error)?;
        initialise(&database).map_err(read_error)?;
        let published = load(&database).map_err(read_error)?;

        let (moved, _) = watch::channel(published.revision);
        let shared = Arc::new(Shared {
            published: RwLock::new(published),
            moved,
        });
        let (queue, submissions) = mpsc::channel(QUEUE_LENGTH_MAX);
        let writer = Writer {
            file,
            trouble,
            database: Some(database),
            shared: Arc::clone(&shared),
            failure: None,
            lacks_room: false,
        };
        let writer = env
            .spawner
            .spawn_worker("metadata", Arc::new(WriterThread::new(writer, submissions)))
            .map_err(OpenStoreError::Thread)?;
        Ok(Self {
            shared,
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Finishes what was handed over, then closes the file. Blocks; later transactions fail with
    /// [`TransactError::Closed`].
    pub fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(writer) = self.writer.lock().take()
            && !writer.join()
        {
            tracing::error!("the metadata writer ended by a panic");
        }
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        // The writer ends by itself once the queue is closed; waiting for it here could block an async task.
        drop(self.queue.lock().take());
    }
}

impl MetadataStore for LocalStore {
    fn range(&self, prefix: &[u8]) -> (Revision, Vec<KeyValue>) {
        let published = self.shared.published.read();
        let found = published
            .entries
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, (mod_revision, value))| KeyValue {
                key: key.clone(),
                value: value.clone(),
                mod_revision: *mod_revision,
            })
            .collect();
        (published.revision, found)
    }

    fn transact(
        &self,
        transaction: Transaction,
    ) -> BoxFuture<'static, Result<Revision, TransactError>> {
        let queue = self.queue.lock().clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let submission = Submission {
                transaction,
                answer,
            };
            let queue = queue.ok_or(TransactError::Closed)?;
            queue
                .send(submission)
                .await
                .map_err(|_refused| TransactError::Closed)?;
            drop(queue);
            answered.await.map_err(|_dropped| TransactError::Closed)?
        })
    }

    fn watch(&self, from: Revision) -> Box<dyn Watch> {
        Box::new(LocalWatch {
            seen: from,
            moved: self.shared.moved.subscribe(),
            shared: Arc::clone(&self.shared),
        })
    }
}

/// A watcher's place in the history.
struct LocalWatch {
    seen: Revision,
    moved: watch::Receiver<Revision>,
    shared: Arc<Shared>,
}

impl fmt::Debug for LocalWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalWatch")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Watch for LocalWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<Arc<Commit>, WatchError>> {
        Box::pin(async move {
            loop {
                // Marked before looking, so that a commit in between wakes us at once.
                self.moved.borrow_and_update();
                if let Some(commit) = self.try_next()? {
                    return Ok(commit);
                }
                // The writer holds the sender's only live use; its end is told by a last notification.
                if self.shared.is_closed() {
                    return Err(WatchError::Closed);
                }
                self.moved
                    .changed()
                    .await
                    .map_err(|_gone| WatchError::Closed)?;
            }
        })
    }

    fn try_next(&mut self) -> Result<Option<Arc<Commit>>, WatchError> {
        let published = self.shared.published.read();
        if self.seen >= published.revision {
            return Ok(None);
        }
        let oldest = published
            .history
            .front()
            .map_or(published.revision.next(), |commit| commit.revision);
        let wanted = self.seen.next();
        let position = wanted
            .value()
            .checked_sub(oldest.value())
            .and_then(|position| usize::try_from(position).ok());
        match position.and_then(|position| published.history.get(position)) {
            Some(commit) => {
                self.seen = wanted;
                Ok(Some(Arc::clone(commit)))
            }
            None => Err(WatchError::Compacted { oldest }),
        }
    }
}

/// What the writer thread owns.
struct Writer {
    file: Arc<dyn DiskFile>,
    trouble: Arc<Trouble>,
    /// `None` after a commit failed.
    database: Option<Database>,
    shared: Arc<Shared>,
    failure: Option<Failure>,
    /// Commits find no room, and that was told. Opening the file again takes none, so only a commit ends it.
    lacks_room: bool,
}

/// A commit that failed.
enum Failure {
    /// There was no room: the file says what of it counts once it can be opened again.
    NoRoom {
        error: TransactError,
        commits: Vec<Commit>,
        overlay: Overlay,
    },
    /// Nothing is written any more.
    ForGood(TransactError),
}

/// A transaction that passed its conditions, waiting for the group's commit.
struct Accepted {
    commit: Commit,
    answer: Answer,
}

impl Accepted {
    fn split(self) -> (Commit, (Answer, Revision)) {
        let revision = self.commit.revision;
        (self.commit, (self.answer, revision))
    }
}

type Answer = oneshot::Sender<Result<Revision, TransactError>>;

/// The state that the transactions of a group leave, above what is published.
type Overlay = BTreeMap<Bytes, Option<(Revision, Bytes)>>;

/// The writer and what waits for it, until the queue is closed.
struct WriterThread(Mutex<Option<(Writer, mpsc::Receiver<Submission>)>>);

impl WriterThread {
    fn new(writer: Writer, submissions: mpsc::Receiver<Submission>) -> Self {
        Self(Mutex::new(Some((writer, submissions))))
    }

    /// Writes `first` and what waits behind it, or ends without one.
    fn write(&self, first: Option<Submission>) {
        let mut state = self.0.lock();
        let Some((writer, submissions)) = &mut *state else {
            return;
        };
        if let Some(first) = first {
            let mut group = vec![first];
            while group.len() < GROUP_SIZE_MAX
                && let Ok(next) = submissions.try_recv()
            {
                group.push(next);
            }
            writer.write(group);
            return;
        }
        let shared = Arc::clone(&writer.shared);
        *state = None; // the file is closed before anyone is told
        shared.close();
    }
}

impl Worker for WriterThread {
    fn run(&self) {
        loop {
            let first = match &mut *self.0.lock() {
                Some((_, submissions)) => submissions.blocking_recv(),
                None => return,
            };
            self.write(first);
        }
    }

    fn turn(&self) -> bool {
        let first = match &mut *self.0.lock() {
            Some((_, submissions)) => match submissions.try_recv() {
                Ok(first) => Some(first),
                Err(mpsc::error::TryRecvError::Empty) => return false,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            },
            None => return false,
        };
        self.write(first);
        true
    }
}

impl Writer {
    fn write(&mut self, group: Vec<Submission>) {
        if let Err(failure) = self.open_again() {
            for submission in group {
                answer(submission.answer, Err(failure.clone()));
            }
            return;
        }
        let (accepted, overlay) = self.decide(group);
        let Some(database) = self.database.as_ref().filter(|_| !accepted.is_empty()) else {
            return;
        };
        match persist(database, &accepted, &overlay) {
            Ok(()) => {
                if std::mem::take(&mut self.lacks_room) {
                    tracing::info!("there is space for the metadata again: changes are accepted");
                }
                let (commits, answers) = accepted.into_iter().map(Accepted::split).unzip();
                self.publish(commits, overlay);
                let answers: Vec<_> = answers;
                for (to, revision) in answers {
                    answer(to, Ok(revision));
                }
            }
            Err(error) => self.commit_failed(error, accepted, overlay),
        }
    }

    fn commit_failed(&mut self, error: redb::Error, accepted: Vec<Accepted>, overlay: Overlay) {
        // redb does nothing more with a file that failed once.
        self.database = None;
        let has_room_soon = self.trouble.is_only_lack_of_room();
        if has_room_soon && self.lacks_room {
            tracing::debug!(%error, "still no space left for the metadata");
        } else if has_room_soon {
            self.lacks_room = true;
            tracing::error!(%error, "no space left for the metadata: changes are refused until there is");
        } else {
            tracing::error!(%error, "the metadata could not be written; no more changes until restart");
        }
        let error = TransactError::Storage(Arc::new(error));
        let (commits, answers): (Vec<_>, Vec<_>) =
            accepted.into_iter().map(Accepted::split).unzip();
        for (to, _) in answers {
            answer(to, Err(error.clone()));
        }
        self.failure = Some(if has_room_soon {
            Failure::NoRoom {
                error,
                commits,
                overlay,
            }
        } else {
            Failure::ForGood(error)
        });
    }

    /// After a commit found no room: opens the file again, and goes on from what it holds.
    fn open_again(&mut self) -> Result<(), TransactError> {
        let (commits, overlay) = match self.failure.take() {
            None => return Ok(()),
            Some(Failure::ForGood(error)) => {
                self.failure = Some(Failure::ForGood(error.clone()));
                return Err(error);
            }
            Some(Failure::NoRoom {
                error,
                commits,
                overlay,
            }) => match self.read_again() {
                Ok(revision) => {
                    let published = self.shared.published.read().revision;
                    let last = commits.last().map(|commit| commit.revision);
                    if revision == published {
                        // Nothing of it came to be.
                        (Vec::new(), Overlay::new())
                    } else if Some(revision) == last {
                        (commits, overlay)
                    } else {
                        tracing::error!(%revision, %published, "the metadata file holds another revision than was written; no more changes until restart");
                        self.database = None;
                        self.failure = Some(Failure::ForGood(error.clone()));
                        return Err(error);
                    }
                }
                Err(_) if self.trouble.is_only_lack_of_room() => {
                    self.failure = Some(Failure::NoRoom {
                        error: error.clone(),
                        commits,
                        overlay,
                    });
                    return Err(error);
                }
                Err(again) => {
                    tracing::error!(error = %again, "the metadata could not be read again; no more changes until restart");
                    let again = TransactError::Storage(Arc::new(again));
                    self.failure = Some(Failure::ForGood(again.clone()));
                    return Err(again);
                }
            },
        };
        tracing::debug!("the metadata file is open again");
        if !commits.is_empty() {
            self.publish(commits, overlay);
        }
        Ok(())
    }

    /// Opens the file and returns the revision it holds.
    fn read_again(&mut self) -> Result<Revision, redb::Error> {
        self.trouble = Arc::new(Trouble::default());
        let database = open_database(&self.file, &self.trouble)?;
        let revision = stored_revision(&database)?;
        self.database = Some(database);
        Ok(revision)
    }

    /// Answers the transactions whose conditions do not hold and gives the others their revisions.
    fn decide(&self, group: Vec<Submission>) -> (Vec<Accepted>, Overlay) {
        let published = self.shared.published.read();
        let mut revision = published.revision;
        let mut overlay = Overlay::new();
        let mut accepted = Vec::with_capacity(group.len());
        for Submission {
            transaction,
            answer: to,
        } in group
        {
            let conflict = transaction.compares.iter().find(|compare| {
                let current = match overlay.get(&compare.key) {
                    Some(entry) => entry.as_ref().map(|(revision, _)| *revision),
                    None => published.entries.get(&compare.key).map(|entry| entry.0),
                };
                current != compare.mod_revision
            });
            if let Some(compare) = conflict {
                let key = compare.key.clone();
                answer(to, Err(TransactError::Conflict { key }));
                continue;
            }
            revision = revision.next();
            let changes = apply(transaction, revision, &mut overlay);
            accepted.push(Accepted {
                commit: Commit { revision, changes },
                answer: to,
            });
        }
        (accepted, overlay)
    }

    fn publish(&self, commits: Vec<Commit>, overlay: Overlay) {
        let revision = {
            let mut published = self.shared.published.write();
            for (key, entry) in overlay {
                match entry {
                    Some(entry) => drop(published.entries.insert(key, entry)),
                    None => drop(published.entries.remove(&key)),
                }
            }
            for commit in commits {
                published.revision = commit.revision;
                published.history.push_back(Arc::new(commit));
            }
            while published.history.len() > HISTORY_LENGTH_MAX {
                published.history.pop_front();
            }
            published.revision
        };
        self.shared.moved.send_replace(revision);
    }
}

impl Shared {
    fn close(&self) {
        self.moved.send_replace(CLOSED);
    }

    fn is_closed(&self) -> bool {
        *self.moved.borrow() == CLOSED
    }
}

/// No store reaches this revision, so it can say that there will be none any more.
const CLOSED: Revision = Revision::new(u64::MAX);

fn answer(to: Answer, result: Result<Revision, TransactError>) {
    // Nobody waits any more: the transaction stands all the same.
    to.send(result).ok();
}

/// Enters a transaction into the overlay; a key that is put and deleted is put.
fn apply(transaction: Transaction, revision: Revision, overlay: &mut Overlay) -> Vec<Change> {
    let mut changes: BTreeMap<Bytes, Change> = BTreeMap::new();
    for key in transaction.deletes {
        overlay.insert(key.clone(), None);
        changes.insert(key.clone(), Change::Delete { key });
    }
    for (key, value) in transaction.puts {
        overlay.insert(key.clone(), Some((revision, value.clone())));
        changes.insert(key.clone(), Change::Put { key, value });
    }
    changes.into_values().collect()
}

/// Writes the whole file over itself and syncs it. If a sync of the last process failed, the page cache has what the disk
/// never got, and no later sync would say so.
fn write_again(file: &dyn DiskFile) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut buffer, at)?;
        if count == 0 {
            break;
        }
        file.write_at(&[IoSlice::new(buffer.get(..count).unwrap_or_default())], at)?;
        at += count as u64;
    }
    file.sync_data()
}

fn load(database: &Database) -> Result<Published, redb::Error> {
    let (revision, entries) = stored(database)?;
    let entries = entries.into_iter();
    Ok(Published {
        revision,
        entries: entries
            .map(|entry| (entry.key, (entry.mod_revision, entry.value)))
            .collect(),
        history: VecDeque::new(),
    })
}

fn persist(
    database: &Database,
    accepted: &[Accepted],
    overlay: &Overlay,
) -> Result<(), redb::Error> {
    let Some(last) = accepted.last() else {
        return Ok(());
    };
    // redb's default is a durable commit: fdatasync before it returns.
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        for (key, entry) in overlay {
            match entry {
                Some((revision, value)) => {
                    entries.insert(&key[..], (revision.value(), &value[..]))?;
                }
                None => {
                    entries.remove(&key[..])?;
                }
            }
        }
        let mut figures = transaction.open_table(FIGURES)?;
        figures.insert(REVISION, last.commit.revision.value())?;
    }
    transaction.commit()?;
    Ok(())
}
