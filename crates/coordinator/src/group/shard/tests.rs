//! Scenarios: histories of requests and ticks against one shard, with what each must answer.

mod commits;
mod consumer_model;
mod consumers;
mod deletion;
mod expiry;
mod generations;
mod harness;
mod leaving;
mod migrations;
mod model;
mod static_members;
mod streams;
mod streams_model;
mod syncing;
mod transactions;
