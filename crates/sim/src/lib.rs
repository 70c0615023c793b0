//! The broker on a simulated machine: the same code as in the binary, over simulated time, disk and network, on one thread.
//!
//! A seed decides everything: what runs next, how long calls take, what fails and when, and what the clients do. A run
//! twice is the same run ([`Outcome::hash`]). What must hold is checked with every answer (`model`), and the history of
//! the run goes through the checker of [`history`].
//!
//! ```text
//! run        one seed from start to verdict
//! world      the machine: the broker process on it, its starts and ends        plan      what a seed's run is like
//! scheduler  what runs next, and the time    clock, spawner, random, process   of one simulated process
//! disk       files that keep what was synced                                   network   connections that break
//! producer, pipeline, transactions, compacted   who sends                      nemesis   who breaks things
//! consumer, member   who reads, alone or in a group      trimmer, recreator    who deletes records and topics
//! client, requests, transaction_requests, reader, offsets                      what they share
//! model, commits     what must hold with every answer                          recorder  the history
//! ```

mod client;
mod clock;
mod commits;
mod compacted;
mod consumer;
mod disk;
#[cfg(test)]
mod found;
mod member;
mod model;
mod nemesis;
mod network;
mod offsets;
mod pipeline;
mod plan;
mod process;
mod producer;
mod random;
mod reader;
mod recorder;
mod recreator;
mod requests;
mod run;
mod scheduler;
mod spawner;
mod trace;
mod transaction_requests;
mod transactions;
mod trimmer;
mod world;

pub use run::{Outcome, compare, run};
