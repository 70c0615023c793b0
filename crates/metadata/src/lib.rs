//! Topics, partitions and settings, with revisions and watches; the local store.
//!
//! Invariant: metadata changes only through transactions of a [`MetadataStore`]; everything else here is a view of it.

mod local;
pub mod settings;
mod store;

pub use local::{LocalStore, OpenStoreError};
pub use store::{
    Change, Commit, Compare, KeyValue, MetadataStore, Revision, TransactError, Transaction, Watch,
    WatchError,
};
