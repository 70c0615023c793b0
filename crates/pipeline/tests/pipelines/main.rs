//! Pipelines from outside.
