//! `watertable pipeline resume`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The pipeline goes on where it stopped: when it was paused, held because too many records were bad, or taken over by a worker that is
gone. One that waits to be tried again is tried at once. Nothing becomes of one that runs.

Examples:
  watertable pipeline resume trips_clean --env prod
  watertable pipeline resume trips_clean --env prod --skip-deleted -m 'retention was faster than we were'")]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Leave out records that were deleted before they were read, this once, and go on with the first that is there
    #[arg(long)]
    skip_deleted: bool,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    pub(super) session: Session,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        target,
        skip_deleted,
        asked,
        session,
    } = arguments;
    let done = |_, _| format!("{} resumed in {}", target.name, target.env);
    session::run(ask(
        session,
        target,
        asked,
        Request::Resume {
            skip_deleted: *skip_deleted,
        },
        "resume",
        done,
        "is not paused, and goes on as it does",
    ))
}
