//! PostgreSQL as a sink and as a source, against a real one (see [`support::server`]).

mod sink;
mod source;
mod support;
