//! `watertable pipeline resume`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The pipeline goes on where it stopped.

Examples:
  watertable pipeline resume trips_clean --env prod")]
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
    let done = |_, _| format!("{} resumed in {}", target.name, target.env);
    session::run(ask(
        session,
        target,
        asked,
        Request::Resume,
        "resume",
        done,
        "is not paused",
    ))
}
