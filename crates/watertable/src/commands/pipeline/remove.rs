//! `watertable pipeline remove`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The pipeline stops at its next commit and does not run any more. Its versions, how far it has read, and its topics stay: once its
file is planned and applied again it goes on where it ended. `plan --remove` removes all that run and have no file.

Examples:
  watertable pipeline remove trips_clean --env prod -m 'nobody reads it'")]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    pub(super) session: Session,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        target,
        asked,
        session,
    } = arguments;
    let done = |_, _| format!("{} removed from {}", target.name, target.env);
    let request = Request::Remove;
    session::run(ask(session, target, asked, request, "remove", done, ""))
}
