//! What SQL over topics is made of, for records that somebody else reads and rows that somebody else writes.
//!
//! | Part | Is |
//! |---|---|
//! | [`session`] | functions, operators and dialect of a session of psql, without a catalogue |
//! | [`parse`], [`parse_expression`] | statements with the same rewriting as those of psql |
//! | [`Decoder`] | records become rows, by a contract |
//! | [`Encoder`] | rows become values of records, as INSERT writes them |
//!
//! Invariant: what is asked here and in psql over the same records gives the same values.

mod decode;
mod encode;
mod session;
mod types;

pub use decode::{Decoded, Decoder, Raw};
pub use encode::{Encoder, Values};
pub(crate) use encode::{checked_json, formatter, objects_of};
pub use session::{is_repeated_name, parse, parse_expression, session};
pub use types::{Metadata, arrow_type, declared_type, input_schema};
