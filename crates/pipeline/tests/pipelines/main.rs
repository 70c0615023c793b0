//! Pipelines from outside.

mod control;
mod engine;
mod runner;
