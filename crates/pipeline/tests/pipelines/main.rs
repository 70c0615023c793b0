//! Pipelines from outside.

mod control;
mod engine;
mod folders;
mod runner;
