//! How much a statement may be. Parser, planner and evaluation go down the trees of expressions and queries by recursion, and WITH can
//! make a tree of a short text that is far larger than it.
//!
//! | Part | Looks at |
//! |---|---|
//! | [`admit_text`] | tokens, before anything is made of them |
//! | [`admit_statement`] | a statement, before it is planned |
//! | [`admit_conditions`] | a plan, before it is optimised |
//!
//! Invariant: what passes has trees of a bounded depth and size.

mod plan;
mod statement;
mod text;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::Location;

pub(crate) use plan::admit_conditions;
pub(crate) use statement::admit_statement;
pub(crate) use text::admit_text;

/// The most queries that a statement has in it, and the most tables that it names.
const QUERIES_MAX: usize = 200;
/// What to do instead of one statement with so many.
const TELL_APART: &str = "give parts of it statements of their own";

/// What is too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TooMuch {
    message: String,
    /// What to do instead.
    pub hint: &'static str,
    /// Where it is too much, if that is one place of a text.
    pub at: Option<Location>,
}

impl From<TooMuch> for DataFusionError {
    fn from(too_much: TooMuch) -> Self {
        Self::External(Box::new(too_much))
    }
}
