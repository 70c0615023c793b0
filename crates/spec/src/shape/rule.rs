//! [`Rule`]: the form of a text.

use std::fmt;

use crate::problem::Cause;

/// The form of a text.
pub struct Rule {
    /// What it is and looks like: `a duration: a number and its unit, as 30s, 5m or 1h`.
    pub what: &'static str,
    /// A regular expression for the published schema, which is never stricter than [`Rule::fits`]; empty for none.
    pub pattern: &'static str,
    /// Whether `${NAME}` in it is replaced before it is looked at.
    pub replaced: bool,
    /// Whether a text fits.
    pub fits: fn(&str) -> Result<(), Cause>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)
    }
}

impl Rule {
    /// A form that is a condition on the text.
    pub(crate) const fn new(
        what: &'static str,
        pattern: &'static str,
        fits: fn(&str) -> Result<(), Cause>,
    ) -> Self {
        Self {
            what,
            pattern,
            replaced: false,
            fits,
        }
    }

    /// The same, and `${NAME}` in it is replaced.
    pub(crate) const fn replaced(mut self) -> Self {
        self.replaced = true;
        self
    }

    /// The words before the example: `a duration`.
    pub(crate) fn short(&self) -> &'static str {
        self.what.split([':', ';']).next().unwrap_or(self.what)
    }
}
