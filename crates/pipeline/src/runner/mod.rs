//! Reads, runs, commits.
