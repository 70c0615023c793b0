//! Pipelines from outside.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, not the functions they share"
)]

mod control;
mod engine;
mod folders;
mod runner;
