//! The broker over real sockets, spoken to in bytes.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not test functions"
)]

mod bad_disk;
mod bad_input;
mod beside_kafka;
mod connections;
mod consumer_groups;
mod disk_faults;
mod fetch_rules;
mod groups;
mod internal_topics;
mod ordering;
mod overload;
mod produce_fetch;
mod quotas;
mod shares;
mod streams_groups;
mod transaction_commits;
mod transactional_data;
mod transactions;
mod view;
