//! Opening a data directory: over files that hold anything, and over a log of ours with some of its bytes damaged.

mod damage;
mod directory;
mod files;

use super::target;
use crate::Target;

pub(super) use directory::{ROOT, closed, file_of};

pub(super) const RECOVERY: Target = target(
    "recovery",
    "any files of a partition: opens, serves whole batches in order, takes appends, opens again to the same; the offline check changes nothing",
    files::seeds,
    files::run,
);

pub(super) const DAMAGE: Target = target(
    "damage",
    "a log of ours with damaged bytes: no wrong record is served, what is intact is, what is not was told",
    damage::seeds,
    damage::run,
);
