//! PostgreSQL as a sink and as a source, against a real one (see [`support::server`]).

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod sink;
mod source;
mod support;
