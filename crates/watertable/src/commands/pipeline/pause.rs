//! `watertable pipeline pause`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The pipeline stops at its next commit, so nothing is lost and nothing is there twice. A new version that is applied stays paused, too.

Examples:
  watertable pipeline pause trips_clean --env prod -m 'the source is being repaired'")]
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
    let done = |_, _| format!("{} paused in {}", target.name, target.env);
    session::run(ask(
        session,
        target,
        asked,
        Request::Pause,
        "pause",
        done,
        "is paused already",
    ))
}
