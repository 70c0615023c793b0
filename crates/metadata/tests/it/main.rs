//! The crate through its public face, on real files.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, not the functions they share"
)]

mod crash;
mod documentation;
mod fixture;
mod full_disk;
mod inspect;
mod settings;
mod store;
mod topics;
