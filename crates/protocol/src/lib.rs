//! Kafka's wire protocol: generated messages, frames, primitives, and record batches as views over bytes.
//!
//! Pure: no async, no IO, no clock. Invariant: bytes from outside never panic and never make this crate allocate more
//! than a small multiple of their own number (decompression excepted, which takes an explicit cap).
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

pub mod records;
mod slice;
pub mod varint;

pub use slice::{FileHandle, FileSlice, Slice};
