//! The query of a pipeline with its checks, compiled once and run over batches.
//!
//! The only place of this crate that knows DataFusion: it reads, types and simplifies the query, and makes its expressions ready.
//! Running is ours and small, since a query of a pipeline has nothing but projections, filters, UNNEST and UNION ALL ([`Branch`]):
//! expressions are evaluated over batches, nothing is spawned, and nothing is left of a batch when its rows are given back.
//!
//! Invariant: what a batch gives is what its rows give one by one. So it does not matter where batches end, and a batch that fails
//! is halved until the records are alone that are at fault.
//!
//! [`Branch`]: branch::Branch

mod bind;
mod branch;
mod checks;
mod compiled;
mod constants;
mod expect;
mod fault;
mod operands;
mod planner;
mod refuse;
mod run;
mod step;
mod words;

pub use checks::SAMPLES_MAX;
pub use compiled::{Compiled, InputTable, Options};
pub use datafusion::arrow;
pub use fault::{Fault, Place};
pub use run::{Count, Dead, ERROR, Origin, Outcome, RunError};
pub use sql::compute::{Decoded, Decoder, Encoder, Metadata, Raw, Values, input_schema};
