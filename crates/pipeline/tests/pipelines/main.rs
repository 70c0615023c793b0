//! Pipelines from outside.

mod control;
