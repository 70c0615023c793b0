//! Typed columns: values become columns as the contract of their topic says.
//!
//! A record is read on its own: what of it does not fit is NULL, `_error` says why, and the next record is no worse for it.
//! Whether a column is NULL depends on that column and on whether the value is of its format at all, never on which others a
//! query asks for; only `_error` looks at all of them. A tombstone fits every contract, with NULL in every column.
//!
//! Invariants: only columns that are asked for are built, and of the others no more is read than it takes to find the end
//! of them; what a value takes in memory is a small multiple of its size; no value is a panic.

mod avro;
mod avro_schema;
mod builders;
mod cell;
mod compiled;
mod convert;
mod csv;
mod decimal;
mod json;
mod json_familiar;
mod json_scan;
mod json_text;
mod misfit;
mod protobuf;
mod protobuf_wire;
mod rows;

pub use builders::arrow_type;
pub(crate) use compiled::Compiled;
pub use compiled::{ContractFault, check_contract};
pub use misfit::Fault;
pub(crate) use rows::{Selection, TypedRows};

#[cfg(test)]
mod tests;
