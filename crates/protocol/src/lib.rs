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

mod error_code;
pub mod frame;
mod message;
#[path = "generated/mod.rs"]
pub mod messages;
mod reader;
pub mod records;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod slice;
mod uuid;
pub mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use error_code::{ErrorCode, UnknownErrorCode};
pub use message::{
    CoordinatorKey, Message, Request, ResponseMessage, coordinator_key_type,
    decode_coordinator_key, decode_versioned, encode_coordinator_key, encode_versioned,
};
pub use messages::{ApiKey, UnknownApiKey};
pub use reader::{DecodeCause, DecodeError, Reader, Tags};
pub use slice::{FileHandle, FileSlice, IntoBytesError, Records, Slice};
pub use uuid::{ParseUuidError, Uuid};
pub use writer::{EncodeError, Segments, TaggedFields, Writer};
