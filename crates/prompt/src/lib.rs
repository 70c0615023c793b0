//! The SQL prompt: statements to a server that speaks PostgreSQL's protocol, their rows to people, files and pipes.
//!
//! Invariant: it is a client like any other: what it knows of topics it asks the server, and it works without any crate of ours.
//!
//! [`run`] is all of it: [`Work`] says whether somebody types, statements are given, or a query is followed. A statement goes
//! through [`session`], which reads [`wire`] and writes a [`print`](mod@print)er's output into a [`sink`].

mod batch;
mod cell;
mod commands;
mod complete;
mod error;
mod follow;
mod interactive;
mod print;
mod scan;
mod session;
mod sink;
mod wire;

use std::path::PathBuf;

pub use error::{ConnectError, Lost, PromptError, ServerError};
pub use follow::{From, Unfollowable};
pub use print::Format;

use crate::session::{Session, Settings};

/// Where statements come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This text.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Input,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Read statements from the terminal until the user leaves.
    Prompt,
    /// Run statements until the first that fails.
    Run(Vec<Source>),
    /// Print the rows of a query as they come.
    Follow(String, From),
}

/// What the caller chooses.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server listens, as `host:port`.
    pub server: String,
    /// What is to be done.
    pub work: Work,
    /// How rows are written.
    pub format: Format,
    /// Whether statements without rows say nothing.
    pub is_quiet: bool,
}

/// Does the work.
///
/// # Errors
/// Whatever ends it early. [`PromptError::Told`] if a statement failed, which was said on standard error.
pub fn run(options: Options) -> Result<(), PromptError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(PromptError::Input)?;
    let settings = Settings {
        format: options.format,
        is_expanded: false,
        has_timing: false,
        is_interactive: options.work == Work::Prompt,
        is_quiet: options.is_quiet,
        is_paging: options.work == Work::Prompt,
    };
    let session = runtime.block_on(Session::open(&options.server, settings))?;
    match options.work {
        Work::Prompt => interactive::run(runtime, session),
        Work::Run(sources) => runtime.block_on(batch::run(session, sources)),
        Work::Follow(sql, from) => runtime.block_on(follow::run(session, &sql, from)),
    }
}
