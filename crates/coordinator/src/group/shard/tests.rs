//! Scenarios: histories of requests and ticks against one shard, with what each must answer.

mod generations;
mod harness;
