//! What is fuzzed, each target with seed inputs that our own writers make. libFuzzer drives the targets with coverage
//! (`cargo xtask fuzz run`), and the tests of this crate run each over its seeds and some mutations of them, so that no target
//! rots.
//!
//! Invariant: a target is a function of its bytes alone. It panics where the code under test breaks a promise, and only
//! there; what is merely refused is fine.

mod counting;
mod input;
mod memory_disk;
mod mutate;
mod targets;

pub use mutate::{Random, mutate};

/// Something that reads foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it reads, and what must hold.
    pub about: &'static str,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads one input. Panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets, in the order in which `list` shows them.
pub fn all() -> Vec<Target> {
    targets::ALL.to_vec()
}

/// The target of this name.
pub fn find(name: &str) -> Option<Target> {
    targets::ALL
        .iter()
        .find(|target| target.name == name)
        .copied()
}
