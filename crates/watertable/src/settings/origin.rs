//! Where a setting was made, so that every error can say it.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the command line, by this flag.
    Flag(&'static str),
    /// In this environment variable.
    Environment(String),
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => formatter.write_str(flag),
            Self::Environment(variable) => write!(formatter, "environment variable {variable}"),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// A setting as somebody made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name it was made under.
    pub(crate) key: String,
    /// Its text.
    pub(crate) text: String,
    /// Where it was made.
    pub(crate) origin: Origin,
}
