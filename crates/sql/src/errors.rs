//! What can go wrong for somebody who asks: [`UnknownTable`] while a statement is planned, [`ScanError`] while it reads.
//!
//! They and [`Refused`] reach the wire as the source of `DataFusionError::External`; [`hint`] says what to do.

use std::error::Error;
use std::io;

use datafusion::common::DataFusionError;
use protocol::records::{BatchError, PayloadError};
use storage::ReadError;
use types::TopicName;

use crate::statements::Refused;
use crate::system::Unanswered;
use crate::typed::{ContractFault, Fault};
use crate::views::View;

/// No topic has the name that a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTable {
    /// There is none.
    #[error("there is no topic \"{name}\"")]
    NoTopic {
        /// The name that was asked for.
        name: String,
        /// The name of the topic that was perhaps meant.
        nearest: Option<String>,
    },
    /// A topic has several forms, but not this one.
    #[error("there is no \"{topic}@{view}\"")]
    NoView {
        /// The topic.
        topic: String,
        /// The form that was asked for.
        view: String,
    },
}

impl UnknownTable {
    /// What to write instead.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTopic { nearest, .. } => nearest
                .as_ref()
                .map(|nearest| format!("Perhaps you meant {}.", quoted(nearest))),
            Self::NoView { topic, .. } => {
                let names: Vec<_> = View::ALL
                    .iter()
                    .map(|view| quoted(&format!("{topic}{view}")))
                    .collect();
                Some(format!("There are {}.", names.join(", ")))
            }
        }
    }
}

/// What the system said, if that is what an error comes from: a disk that is full, mostly. It may be in an error of the
/// system's kind that others made of it.
pub(crate) fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| (*error).source())
        .filter_map(|error| error.downcast_ref())
        .last()
}

/// A name as it has to be written in SQL.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// Why a topic cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("topic \"{topic}\", partition {partition}, offset {offset}: {cause}")]
pub struct ScanError {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// Where: of the first record that was not read, or of the batch that it is in.
    pub offset: i64,
    /// What went wrong; part of the message, so not its source too.
    pub cause: ScanCause,
}

/// What goes wrong in a scan.
#[derive(Debug, thiserror::Error)]
pub enum ScanCause {
    /// The log cannot be read there.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bytes of the log could not be read.
    #[error("could not read the log: {0}")]
    Io(#[from] io::Error),
    /// What was read is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The records of a batch cannot be read.
    #[error("cannot read the records of the batch: {0}")]
    Payload(#[from] PayloadError),
    /// A record is larger than a value of SQL can be.
    #[error("a record of {size} bytes is larger than the {limit} bytes that SQL can show")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A record does not fit its contract, and the session wants to know.
    #[error(transparent)]
    Contract(#[from] Fault),
    /// The log gave no more although it should have.
    #[error("the log gave nothing new")]
    NoProgress,
    /// There is not enough memory for it.
    #[error(transparent)]
    Memory(Box<DataFusionError>),
}

impl ScanError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match &self.cause {
            ScanCause::Read(ReadError::Corrupt { .. })
            | ScanCause::Batch(_)
            | ScanCause::Payload(_) => Some(format!(
                "The records around it can be read: add _partition <> {partition} OR _offset < {offset}, or look behind it \
                 with _offset > {offset}. `watertable check` looks for damage.",
                partition = self.partition,
                offset = self.offset,
            )),
            ScanCause::Contract(_) => Some(
                "With watertable.strict = off what does not fit is NULL, and _error says why."
                    .to_owned(),
            ),
            ScanCause::Read(ReadError::Deleted) => {
                Some("The topic was deleted while it was read.".to_owned())
            }
            _ => None,
        }
    }
}

impl From<ScanError> for DataFusionError {
    fn from(error: ScanError) -> Self {
        match error.cause {
            // Already says who holds how much; the wire knows it by its variant.
            ScanCause::Memory(cause) => cause.context(format!(
                "topic \"{}\", partition {}, offset {}",
                error.topic, error.partition, error.offset
            )),
            _ => Self::External(Box::new(error)),
        }
    }
}

/// What to do about an error of the engine, where this crate knows.
pub fn hint(error: &DataFusionError) -> Option<String> {
    let DataFusionError::External(source) = error.find_root() else {
        return None;
    };
    hint_of(source.as_ref())
}

/// What to do about an error that came from this crate.
pub(crate) fn hint_of(source: &(dyn Error + Send + Sync + 'static)) -> Option<String> {
    if let Some(refused) = source.downcast_ref::<Refused>() {
        Some(refused.hint().to_owned())
    } else if let Some(unknown) = source.downcast_ref::<UnknownTable>() {
        unknown.hint()
    } else if source.is::<ContractFault>() {
        Some(
            "The columns that every topic has can be read. `watertable topic contract set` takes a contract that is right."
                .to_owned(),
        )
    } else if let Some(scan) = source.downcast_ref::<ScanError>() {
        scan.hint()
    } else if let Some(unanswered) = source.downcast_ref::<Unanswered>() {
        Some(unanswered.hint())
    } else {
        crate::write::hint(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_sql_wants_it() {
        assert_eq!(quoted("trips_2"), "trips_2");
        assert_eq!(quoted("Trips"), "\"Trips\"");
        assert_eq!(quoted("page-views"), "\"page-views\"");
        assert_eq!(quoted("2trips"), "\"2trips\"");
    }
}
