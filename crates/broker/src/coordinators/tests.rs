//! The runtime against a log whose appends, commits and reads the test decides about.

#![allow(
    clippy::disallowed_methods,
    reason = "tests run tasks beside each other on their own runtime"
)]

mod fakes;
mod life;
mod on_disk;
mod requests;
mod transactions;
