//! The seam between appending and being durable.
//!
//! An append puts bytes into the page cache and submits its log here; some time later one commit makes everything that
//! was submitted durable and tells each log. Local disks do it by `fdatasync` in groups; a remote engine does it by
//! writing objects. Invariant: after one failure a target is never reported committed again.

use std::fmt::Debug;
use std::sync::Arc;

use types::Offset;

/// Makes appended records durable, in groups over many partitions.
pub trait Durability: Debug + Send + Sync {
    /// Asks that everything appended to `target` so far becomes durable. Returns at once; the outcome is told to the
    /// target. A target submits itself once and again only after [`SyncTarget::appended`] was asked for.
    fn submit(&self, target: Arc<dyn SyncTarget>);
}

/// A log that waits to become durable. For each window a commit calls `appended`, then makes the target durable (by
/// `sync`, or together with others by one sync of their file system), then calls `committed` or `failed`.
pub trait SyncTarget: Debug + Send + Sync {
    /// Begins a window: the log end at this moment, which is what a sync that starts now will cover.
    fn appended(&self) -> Offset;
    /// Makes the bytes of the window durable. May block.
    ///
    /// # Errors
    /// When the system could not; the target then goes offline and the sync is never repeated.
    fn sync(&self) -> Result<(), CommitFailed>;
    /// The window is over: everything below `end` is durable. Called in ascending order of `end`.
    fn committed(&self, end: Offset);
    /// A sync failed: nothing beyond what was committed is known to be durable, and nothing more will be.
    fn failed(&self, failure: CommitFailed);
}

/// Why a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not make the log durable; its partition is offline until the broker is restarted")]
pub struct CommitFailed {
    /// What the system said.
    #[source]
    pub cause: Arc<std::io::Error>,
}
