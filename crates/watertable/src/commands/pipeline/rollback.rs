//! `watertable pipeline rollback`.

use anyhow::Result;
use pipeline::control::Request;

use super::target::{Asked, Target, ask, version};
use crate::output::or_dash;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The older version goes on where the newer one ends. With --rewind it begins where it ended: where rows have a key that repairs what the
newer one wrote; rows without one would be there twice, which needs --duplicates-ok.

Examples:
  watertable pipeline rollback trips_clean --env prod
  watertable pipeline rollback trips_clean --env prod --to v7 --rewind -m 'fares are wrong since v8'")]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The version; the one that ran before if absent
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Option<u32>,
    /// Begin where that version ended
    #[arg(long)]
    rewind: bool,
    /// Rows may be in a sink without keys twice
    #[arg(long, requires = "rewind")]
    duplicates_ok: bool,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    pub(super) session: Session,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let request = Request::Rollback {
        to: arguments.to,
        rewind: arguments.rewind,
        duplicates_ok: arguments.duplicates_ok,
    };
    let target = &arguments.target;
    let done = |from: Option<u32>, to: Option<u32>| {
        let (from, to) = (or_dash(from), or_dash(to));
        format!("{} v{from} → v{to} in {}", target.name, target.env)
    };
    let (session, asked) = (&arguments.session, &arguments.asked);
    session::run(ask(session, target, asked, request, "rollback", done, ""))
}
