//! The PostgreSQL wire protocol over real sockets, spoken byte by byte and by psql.

#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach free functions of integration tests"
)]

mod catalogue;
mod client;
mod copy;
mod cursors;
mod drivers;
mod extended;
mod fixture;
mod malformed;
mod psql;
mod sessions;
mod simple;
mod streaming;
