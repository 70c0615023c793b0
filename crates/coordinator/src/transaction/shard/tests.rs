//! The shard as its runtime uses it.

mod ending;
mod harness;
mod life;
mod model;
mod sessions;
