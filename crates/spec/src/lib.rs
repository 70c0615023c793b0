//! Pipeline files: YAML around one query, with what it reads, what has to hold of its rows, and what it writes.
//!
//! [`File::read`] takes the bytes of a file and gives its [`Pipeline`], or every mistake in it with line, column, key and what to
//! write instead. [`directory`] looks at what several files say together. A pipeline is written back as JSON and YAML, its checks
//! are given as SQL ([`reasons`]), and the format describes itself: [`json_schema`], and the tables of [`shape`].
//!
//! Invariant: what of the format does not run yet is refused by its name, and nothing is ever ignored. No IO, no clock, no engine.

mod bad_records;
mod check;
mod columns;
pub mod directory;
mod fixture;
pub mod names;
mod pipeline;
mod problem;
mod read;
mod resources;
mod run;
mod secret;
pub mod shape;
mod sink;
mod source;
mod sql_text;
mod surroundings;
mod tree;
mod units;
mod value;
mod variables;
mod view;
mod write;

pub use bad_records::{BadRecords, HaltAbove, Over};
pub use check::{Check, Condition, Severity, Test, condition, reasons};
pub use columns::{Columns, OnMissingColumn, OnNewColumn};
pub use fixture::{Fixture, Given, Row};
pub use pipeline::{FORMAT, ITEMS_MAX, Pipeline};
pub use problem::{Cause, Found, Position, Problem, Words};
pub use read::File;
pub use resources::Resources;
pub use run::{Backoff, Catchup, Retry, Run, Schedule, Times, Trigger, cron};
pub use secret::{Connection, SecretName};
pub use shape::json_schema;
pub use sink::{Batch, Cleanup, Create, Delivery, Mode, PostgresSink, Sink, TopicSink};
pub use source::{
    AfterReading, Compression, FileFormat, Files, Incremental, Input, Postgres, Rows, Source,
    Start, Store, Topic,
};
pub use sql_text::SQL_BYTES_MAX;
pub use surroundings::{Surroundings, TEXT_BYTES_MAX};
pub use tree::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};
pub use units::{Bytes, Share, Span};
pub use value::Value;
pub use variables::read_variables;
