//! The seam to where metadata lives: keys and values with revisions, in the shape of etcd.
//!
//! Invariant: all changes form one sequence. Each committed transaction has the next [`Revision`], a revision never
//! decreases (not over restarts either), and whoever watches sees every revision once and in order.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use env::BoxFuture;

/// Counts the committed transactions. Zero is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a store into which nothing was ever written.
    pub const ZERO: Self = Self(0);

    /// The revision with this number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The revision of the transaction after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1) // at a million transactions a second it overflows after half a million years
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// What was put last.
    pub value: Bytes,
    /// The revision that put it.
    pub mod_revision: Revision,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key in question.
    pub key: Bytes,
    /// The revision that must have put the key last; `None` if the key must be absent.
    pub mod_revision: Option<Revision>,
}

/// Puts and deletes that happen together, if every condition holds, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold before.
    pub compares: Vec<Compare>,
    /// Keys with their new values.
    pub puts: Vec<(Bytes, Bytes)>,
    /// Keys that go; an absent one is no error. A key that is also put is put.
    pub deletes: Vec<Bytes>,
}

impl Transaction {
    /// Adds the condition that `key` was last put by `mod_revision`, or is absent.
    pub fn expect(&mut self, key: impl Into<Bytes>, mod_revision: Option<Revision>) {
        self.compares.push(Compare {
            key: key.into(),
            mod_revision,
        });
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.puts.push((key.into(), value.into()));
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.deletes.push(key.into());
    }

    /// True if it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// What one revision did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value now.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Bytes,
    },
}

/// All that one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The transaction's revision.
    pub revision: Revision,
    /// Its changes, each key at most once.
    pub changes: Vec<Change>,
}

/// Why a transaction did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransactError {
    /// A condition did not hold; nothing changed.
    #[error("the metadata changed meanwhile: key {} is not at the expected revision", .key.escape_ascii())]
    Conflict {
        /// The first key whose condition failed.
        key: Bytes,
    },
    /// The store cannot write (any more). Whether this transaction is on disk is unknown until the store is opened again.
    #[error("the metadata could not be written")]
    Storage(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store was closed.
    #[error("the metadata store is closed")]
    Closed,
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The watcher is so far behind that what follows is not kept any more: read the range again and watch from there.
    #[error("revisions before {oldest} are not kept any more")]
    Compacted {
        /// The oldest revision still kept.
        oldest: Revision,
    },
    /// The store was closed.
    #[error("the metadata store is closed")]
    Closed,
}

/// Every change after a revision, in order.
pub trait Watch: fmt::Debug + Send {
    /// Waits for the next commit. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Arc<Commit>, WatchError>>;
    /// The next commit if there is one already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    fn try_next(&mut self) -> Result<Option<Arc<Commit>>, WatchError>;
}

/// Where metadata lives.
pub trait MetadataStore: fmt::Debug + Send + Sync {
    /// All keys that begin with `prefix`, in order, as of the returned revision. Never waits for a disk.
    fn range(&self, prefix: &[u8]) -> (Revision, Vec<KeyValue>);
    /// Does the whole transaction if its conditions hold. It is durable, and visible to [`MetadataStore::range`] and the
    /// watches, before the future resolves. Dropping the future does not take the transaction back.
    ///
    /// # Errors
    /// See [`TransactError`].
    fn transact(
        &self,
        transaction: Transaction,
    ) -> BoxFuture<'static, Result<Revision, TransactError>>;
    /// Every commit after `from`.
    fn watch(&self, from: Revision) -> Box<dyn Watch>;
}
