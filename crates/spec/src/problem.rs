//! [`Problem`]: what is wrong with a file, where, and what to write instead.

use std::fmt;

mod cause;

pub(crate) use cause::Bounds;
pub use cause::{Cause, Found, Words};

/// Longer paths of keys are cut: they are for people.
const KEY_CHARS_MAX: usize = 200;
/// More problems of a file are not told: somebody reads them.
pub(crate) const PROBLEMS_MAX: usize = 1000;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where every file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The file, as its reader was told it.
    pub file: String,
    /// Where in it.
    pub at: Position,
    /// The path of keys, as `from.raw.files.path` or `checks[2].accepted_range`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub cause: Cause,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.at;
        write!(formatter, "{}:{line}:{column}: ", self.file)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        self.cause.fmt(formatter)
    }
}

/// The problems of one file, as they are found.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
        }
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn add(&mut self, at: Position, key: &str, cause: Cause) {
        if self.is_full() {
            return;
        }
        self.found.push(Problem {
            file: self.file.clone(),
            at,
            key: key.chars().take(KEY_CHARS_MAX).collect(),
            cause,
        });
    }

    /// Whether nothing more is told, so that looking for it is idle.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.at);
        self.found
    }
}
