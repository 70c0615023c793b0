//! Pipelines from outside.

mod control;
mod runner;
