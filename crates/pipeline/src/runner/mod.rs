//! Reads, runs, commits.

mod chunk;
pub mod dead_letter;
mod judge;
mod lag;
pub mod positions;
pub mod progress;
mod readers;
mod schedule;
pub mod tally;
mod task;
mod topic_output;
mod topic_reader;
mod topic_writer;
mod transaction;
