//! Files as a source of pipelines, each read once.
//!
//! [`Source::list`] tells which files are there, [`choose`] which of them to read and from where, [`Source::read`] gives the next records
//! with the [`Position`] behind them, which whoever reads keeps together with what it made of the records. [`Source::finish`] puts a file
//! away whose end was kept.
//!
//! A crash between any two of these loses nothing and repeats nothing that was kept: the position says what was read, and a file that is
//! done and still there is put away when it is seen again.
//!
//! Invariants: a file that is not any more what its position tells of gives no record. A file is deleted only if it is the one that was
//! read. No memory grows with a file or with a record of it; it does with the number of files, which is bounded.

mod choose;
mod chunk;
mod columns;
mod content;
mod error;
mod finish;
mod found;
mod json;
mod lines;
mod local;
mod parquet;
mod records;
mod s3;
mod settle;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod walk;

pub use choose::{Choice, Problem, SetAside, choose};
pub use chunk::{Chunk, Limits, Rows};
pub use columns::FileColumns;
pub use error::{FilesError, HeaderFault, JsonFault, Trouble};
pub use finish::Finished;
pub use found::{Found, Position};
pub use records::{BadRecord, RawRecord};
pub use s3::{S3Access, StoreFailure};
pub use source::{Listing, Options, Sample, Source};
