//! Tests over all messages.

mod bounds;
mod generated_files;
mod independent_codec;
mod round_trip;
mod segments;
