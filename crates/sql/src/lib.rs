//! Topics as tables: what a topic looks like to SQL, how its records are read, and the PostgreSQL wire protocol.
//!
//! [`Engine`] is where queries come from; what it needs to know of the broker is [`Topics`], and [`System`] for the schema
//! `sys`, and to write a [`Writer`]. A query goes through [`Engine::plan`], which says what may not be done here, and runs on
//! the engine's own threads ([`Engine::handle`]). What writes is a matter of the wire's sessions ([`postgres`]), since they
//! know of transactions. Whoever has records of its own and wants the same SQL over them takes [`compute`].

mod batch_facts;
mod bounded;
mod bounds;
mod catalogue;
mod checked;
mod columns;
pub mod compute;
mod cooperative;
mod dialect;
mod earliest_times;
mod engine;
mod errors;
mod export;
mod filters;
mod intervals;
mod json_operators;
mod latest;
mod memory;
mod minutes;
mod no_files;
mod open_batch;
mod options;
mod pieces;
pub mod postgres;
mod reader;
mod record_source;
mod rows;
mod scan;
mod similar;
mod slices;
mod snapshot;
mod spec;
mod statements;
mod sys;
pub mod system;
mod table;
mod threads;
mod topics;
mod typed;
mod views;
mod wanted;
mod width_bucket;
mod write;

pub use bounds::TooMuch;
pub use catalogue::{CATALOGUE, PUBLIC};
pub use engine::{Engine, EngineError};
pub use errors::{ScanCause, ScanError, UnknownTable, hint};
pub use export::{Exports, S3Endpoint, S3Options, S3Prefix};
pub use options::{EngineOptions, IsolationLevel, Priority, SessionOptions, Strict};
pub use statements::Refused;
pub use system::System;
pub use threads::lower_priority;
pub use topics::{Partition, Topic, TopicError, Topics};
pub use typed::{ContractFault, Fault, check_contract};
pub use write::{
    DefinitionError, InsertError, NewTopic, Record, RowError, Transaction, WriteError, Writer,
};
