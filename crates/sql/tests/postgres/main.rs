//! The PostgreSQL wire protocol over real sockets, spoken byte by byte and by psql.

#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach free functions of integration tests"
)]

mod activity;
mod catalogue;
mod client;
mod copy;
mod copy_in;
mod cursors;
mod definitions;
mod export;
mod export_s3;
mod extended;
mod fixture;
mod insert;
mod malformed;
mod psql;
mod sessions;
mod simple;
mod streaming;
mod too_much;
mod tools;
mod transactions;
#[allow(
    dead_code,
    reason = "what the tests of the engine share; not all of it is needed here"
)]
#[path = "../it/world.rs"]
mod world;
mod writable;
