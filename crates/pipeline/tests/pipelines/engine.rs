//! Queries of pipelines, compiled and run.

mod cuts;
mod examples;
mod given;
mod memory;
mod refusals;
mod rules;
