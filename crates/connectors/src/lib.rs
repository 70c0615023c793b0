//! What pipelines read and write besides topics: files ([`files`]), and tables of PostgreSQL ([`postgres`]).
//!
//! What is read comes as raw records, bytes with the place where they stood, and a contract that says what they are; only Parquet comes as
//! columns. Positions are values that whoever reads keeps where it keeps what it made of the records, in one transaction.
//!
//! Invariant: a position says exactly what was read before it; a source that is not any more what it was when its position was
//! taken is an error and never new data. No Kafka, no queries.

pub mod files;
pub mod postgres;
