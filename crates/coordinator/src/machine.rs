//! What every coordinator is to its runtime: a state machine over one partition of an internal topic.
//!
//! Invariants the runtime relies on: what a call returns as records is already applied; every token handed to
//! [`Machine::handle`] is answered exactly once, by that call or by a later one, as long as the machine lives; replaying
//! the records into a fresh machine gives the same durable state. In return the runtime appends the outputs in the order
//! of the calls, and lets neither a reply nor an effect out before every record of its call and of all earlier calls is
//! durable. When an append fails, the machine is ahead of its log: the runtime drops it and loads another.

use std::error::Error;
use std::fmt::Debug;

use types::{Instant, Offset, ProducerEpoch, ProducerId};

use crate::time::Now;
use crate::transaction::state::TransactionVersion;

/// A coordinator's state machine. Pure: no IO, no clock, no randomness.
pub trait Machine: Debug + Send + Sized + 'static {
    /// What it decides by; taken when the partition is loaded.
    type Settings: Clone + Debug + Send + Sync + 'static;
    /// What it can be asked.
    type Request: Debug + Send + 'static;
    /// The answer to a request, of the same kind.
    type Reply: Debug + Send + 'static;
    /// What it keeps in its partition.
    type Record: Clone + Debug + Send + 'static;
    /// What it wants done outside once its records are durable. `Infallible` if nothing.
    type Effect: Debug + Send + 'static;
    /// Why a record cannot be applied.
    type ReplayError: Error + Send + Sync + 'static;

    /// A machine with nothing in it.
    fn new(settings: Self::Settings) -> Self;

    /// Applies a record read from the log, in the order of the log. `now` stands in where a record has no time.
    ///
    /// # Errors
    /// If the record contradicts itself. The load fails then.
    fn replay(
        &mut self,
        now: Now,
        origin: Origin,
        record: Self::Record,
    ) -> Result<(), Self::ReplayError>;

    /// Applies the end of a transaction read from the log, at its place among the records.
    fn replay_marker(&mut self, now: Now, marker: EndMarker);

    /// Begins to serve after the last record was replayed; requests come only then.
    fn start(&mut self, now: Now) -> MachineOutput<Self>;

    /// When [`Self::tick`] has something to do; may be now or earlier.
    fn next_deadline(&self) -> Option<Instant>;

    /// Takes up a request. Its reply is in this output or in that of a later call.
    fn handle(
        &mut self,
        now: Now,
        token: ReplyToken,
        request: Self::Request,
    ) -> MachineOutput<Self>;

    /// Does what is due at `now`.
    fn tick(&mut self, now: Now) -> MachineOutput<Self>;

    /// Takes up settings that have changed. Told before [`Self::start`], and whenever something changes after it.
    fn configure(&mut self, now: Now, settings: Self::Settings) -> MachineOutput<Self> {
        // Most settings never change.
        drop((now, settings));
        Output::default()
    }

    /// Told where the records of the last output went: the first to `base_offset`, each other to the offset after the one
    /// before. They are not durable yet.
    fn appended(&mut self, base_offset: Offset) {
        let _ = base_offset;
    }
}

/// [`Output`] of a machine.
pub type MachineOutput<M> =
    Output<<M as Machine>::Record, <M as Machine>::Reply, <M as Machine>::Effect>;

/// What one call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<Record, Reply, Effect> {
    /// To be appended in this order. Already applied to the machine.
    pub records: Vec<Record>,
    /// Whose transaction all `records` of this output belong to: they are appended as transactional batches of this
    /// producer, and are pending until its marker. `None`: they are plain.
    pub producer: Option<Producer>,
    /// Ends of transactions, to be appended behind `records`. Already applied.
    pub markers: Vec<EndMarker>,
    /// What this output appends follows from what is in the log before it, and would follow again after a crash: nobody
    /// waits until it is durable, which it is before whatever comes after it.
    pub may_wait: bool,
    /// To be sent once every record of this and of all earlier calls is durable, but for those that `may_wait`. May answer earlier requests.
    pub replies: Vec<(ReplyToken, Reply)>,
    /// To be done once every record of this and of all earlier calls is durable. Forgotten if they never will be.
    pub effects: Vec<Effect>,
}

impl<Record, Reply, Effect> Default for Output<Record, Reply, Effect> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            producer: None,
            markers: Vec::new(),
            may_wait: false,
            replies: Vec::new(),
            effects: Vec::new(),
        }
    }
}

impl<Record, Reply, Effect> Output<Record, Reply, Effect> {
    /// Whether there is nothing to append.
    pub fn appends_nothing(&self) -> bool {
        self.records.is_empty() && self.markers.is_empty()
    }
}

/// Names a request whose reply is owed. The caller chooses tokens and never uses one twice within a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyToken(pub u64);

/// One session of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    /// Who.
    pub id: ProducerId,
    /// Which of its sessions.
    pub epoch: ProducerEpoch,
}

/// Where a replayed record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its offset.
    pub offset: Offset,
    /// Whose transaction it belongs to, if its batch is transactional.
    pub producer: Option<Producer>,
}

/// The end of a producer's transaction in a partition (`EndTransactionMarker.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Whose transaction ends. With transactions of version 2 the epoch is above that of the records.
    pub producer: Producer,
    /// The leader epoch of the transaction coordinator that ended it.
    pub coordinator_epoch: i32,
    /// Whether it committed.
    pub committed: bool,
    /// The protocol the transaction follows: from V2 on the log takes the marker only with an epoch above that of the
    /// records. The log does not keep it: [`TransactionVersion::V0`] in a replay.
    pub version: TransactionVersion,
}
