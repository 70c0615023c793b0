//! Reads, runs, commits.

pub mod dead_letter;
pub mod positions;
mod schedule;
mod topic_reader;
mod transaction;
