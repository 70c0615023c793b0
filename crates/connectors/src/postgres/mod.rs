//! PostgreSQL as a source and as a sink.
//!
//! A [`Sink`] writes batches of rows and the offset behind them in one transaction of the database, so that what it did and how far it
//! came are the same fact. A [`Source`] reads a table or a query: first all of it, in chunks by key, and then what has changed, by a
//! cursor. Both reach the database by a text that may hold a password.
//!
//! Invariants: no error, log or `Debug` has any of the text of a connection but host, port and database. Names stand in quotes and values
//! are bound; nothing is pasted into SQL.

mod catalog;
mod connection;
mod failure;
mod name;
mod session;
mod sink;
mod source;
mod tls;

pub use connection::{Address, ConnectionError};
pub use failure::{Failure, Kind, Said};
pub use sink::{
    Batch, Change, ChangeKind, Changes, Delete, Place, Refusal, Sink, SinkError, SinkPartition,
    TaskName, Written,
};
pub use source::{Chunk, Phase, Position, Record, Source, SourceError};
