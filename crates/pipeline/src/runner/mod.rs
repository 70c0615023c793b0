//! Reads, runs, commits.

pub mod dead_letter;
mod schedule;
