//! Queries of pipelines, compiled and run.

mod cuts;
mod examples;
mod extremes;
mod given;
mod memory;
mod refusals;
mod rules;
