//! `watertable pipeline run`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The run is asked for, and begins as soon as a worker sees it; one that goes on already comes first. A pipeline that is held goes on if
the run ends well. Of a pipeline that runs all the time there is no run to start.

Examples:
  watertable pipeline run people --env prod
  watertable pipeline runs people --env prod")]
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
    let done = |_, _| {
        let Target { name, env } = target;
        format!(
            "a run of {name} was asked for; `watertable pipeline runs {name} --env {env}` shows it"
        )
    };
    let request = Request::Run;
    session::run(ask(session, target, asked, request, "run", done, ""))
}
