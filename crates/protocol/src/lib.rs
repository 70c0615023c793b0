//! Kafka's wire protocol: generated messages, frames, primitives, and record batches as views over bytes.

mod slice;

pub use slice::{FileHandle, FileSlice, Slice};
