//! Tests over all messages.

mod bounds;
mod generated_files;
mod round_trip;
