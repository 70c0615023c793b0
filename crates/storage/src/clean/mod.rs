//! Log cleaning: of all records with the same key, only the last one stays.
//!
//! One cleaning: [`plan`] says what of a log can be cleaned and whether it is worth it; [`rewrite`] reads the part that was
//! never cleaned once to learn the last offset of each key ([`keys`], [`offset_map`]), then all closed segments up to there, and
//! writes what stays ([`filter`], [`transactions`]) into new segments ([`output`]); [`swap`] puts those in place. [`worker`] chooses
//! the logs and runs the threads; a log whose cleaning fails steps back for a while ([`step_back`]). The rules are Kafka's (KIP-58, KIP-98, KIP-354, KIP-534).
//!
//! Invariants: offsets never change, and a reader that goes through the log sees for each key the same last value as
//! before; nothing at or above the last stable offset, nothing of the last segment is touched.

mod batches;
mod errors;
mod filter;
mod keys;
mod offset_map;
mod output;
mod plan;
mod rewrite;
mod settings;
pub(crate) mod state;
mod step_back;
pub(crate) mod swap;
mod throttle;
mod transactions;
pub(crate) mod worker;

pub use settings::CleanerSettings;
