//! `watertable pipeline cancel`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A run of a scheduled pipeline ends as cancelled, and the next one is due as it was. A pipeline that runs all the time begins
again at once; pause holds it.

Examples:
  watertable pipeline cancel trips_clean --env prod")]
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
    let done = |_, _| format!("{} cancelled in {}", target.name, target.env);
    session::run(ask(
        session,
        target,
        asked,
        Request::Cancel,
        "cancel",
        done,
        "does nothing",
    ))
}
