//! Writing: what INSERT, COPY FROM, CREATE TABLE and DROP TABLE need of the broker ([`Writer`]), and how rows become records.
//!
//! Invariants: the engine itself never writes. An INSERT is planned as a write, which [`insert::admit`] takes apart: its query
//! is run like any other, and what it gives is made records here ([`records`]) and handed to the [`Writer`]. Rows are
//! checked before any record of them is sent, and what a statement or a block of statements writes counts as a whole or not
//! at all ([`Writes`]).

pub(crate) mod definition;
mod error;
mod headers;
pub(crate) mod insert;
mod records;
mod target;
mod typed;
mod writes;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::prelude::{SessionConfig, SessionContext};
use types::TopicName;

pub use definition::DefinitionError;
pub use error::WriteError;
pub use insert::InsertError;
pub use records::RowError;

pub(crate) use headers::{array_of_json, headers_function};
pub(crate) use records::records;
pub(crate) use target::{HEADERS, INSERT_VIEW, InsertTarget};
pub(crate) use writes::Writes;

/// How records come into topics, and topics into being. The binary's composition root implements it as a client of its own
/// broker, so that what is written through SQL passes all checks that other producers pass.
#[async_trait]
pub trait Writer: Debug + Send + Sync {
    /// Writes one record, once, and waits until it is there.
    ///
    /// # Errors
    /// It was not written; [`WriteError::Unknown`]: it may have been.
    async fn append(&self, topic: &TopicName, record: Record) -> Result<(), WriteError>;

    /// Begins a transaction: records of any topics that count together.
    ///
    /// # Errors
    /// There is none to be had.
    async fn begin(&self) -> Result<Box<dyn Transaction>, WriteError>;

    /// Makes a topic; when it returns, the topic is there to be read and written.
    ///
    /// # Errors
    /// There is one of this name, or the broker does not want it.
    async fn create_topic(&self, topic: &NewTopic) -> Result<(), WriteError>;

    /// Removes a topic with all that is in it.
    ///
    /// # Errors
    /// There is none, or the broker keeps it.
    async fn drop_topic(&self, name: &TopicName) -> Result<(), WriteError>;
}

/// Records that count together. Whoever drops it without an end aborts it.
#[async_trait]
pub trait Transaction: Debug + Send + Sync {
    /// Takes records, in their order. It waits while too many are on their way, not until they are there.
    ///
    /// # Errors
    /// One of them, or one before, cannot be written: there is nothing left but to abort.
    async fn append(&mut self, topic: &TopicName, records: Vec<Record>) -> Result<(), WriteError>;

    /// Has the records count, and waits until readers see them.
    ///
    /// # Errors
    /// None of them counts; [`WriteError::Unknown`]: perhaps all do.
    async fn commit(self: Box<Self>) -> Result<(), WriteError>;

    /// Has none of the records count.
    async fn abort(self: Box<Self>);
}

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where to; chosen by the key if there is none.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; now if there is none.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none deletes the key in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; as many as the broker gives by itself if not said.
    pub partitions: Option<i32>,
    /// Its settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// The writer in a session's configuration.
#[derive(Debug)]
struct Handle(Arc<dyn Writer>);

/// Sessions of this configuration can write.
pub(crate) fn with_writer(config: SessionConfig, writer: Arc<dyn Writer>) -> SessionConfig {
    config.with_extension(Arc::new(Handle(writer)))
}

/// What a session writes with; none if this server only reads.
pub(crate) fn writer(context: &SessionContext) -> Option<Arc<dyn Writer>> {
    let handle = context
        .state_ref()
        .read()
        .config()
        .get_extension::<Handle>()?;
    Some(Arc::clone(&handle.0))
}

/// What to do about an error that came from here.
pub(crate) fn hint(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    if let Some(error) = source.downcast_ref::<InsertError>() {
        error.hint()
    } else if let Some(error) = source.downcast_ref::<RowError>() {
        error.hint()
    } else if let Some(error) = source.downcast_ref::<DefinitionError>() {
        error.hint()
    } else {
        let error = source.downcast_ref::<WriteError>()?;
        error.hint().map(str::to_owned)
    }
}
