//! Topics as tables, as a session sees them, over real logs in a temporary folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod counting;
mod damage;
mod latest;
mod memory;
mod moving;
mod pruning;
mod queries;
mod sessions;
mod stubborn;
mod sys;
mod system;
mod world;
mod yielding;
