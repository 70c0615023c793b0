//! The binary from outside: processes, signals, sockets on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, not the functions they share"
)]

mod backup;
mod check;
mod commands;
mod crash;
mod exports;
mod follow;
mod full_disk;
mod idle_connections;
mod metrics;
mod newer_versions;
mod pipeline_deploy;
mod pipeline_dev;
mod pipeline_files;
mod pipelines;
mod prompt;
mod server;
mod sql;
mod sql_page;
mod sql_write;
mod start;
mod terminal;
