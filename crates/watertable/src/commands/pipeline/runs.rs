//! `watertable pipeline runs`: how the runs of a pipeline went.

use anyhow::Result;
use pipeline::control::{Run, last_runs};

use super::target::{Target, check};
use crate::output::{self, Columns, or_dash};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs are kept for 30 days. A pipeline that runs all the time has one run for each time it was started.

Examples:
  watertable pipeline runs trips_clean --env prod
  watertable pipeline runs trips_clean --env prod -n 100 --json | jq -r '.[] | select(.state == \"failed\") | .error'")]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How many: the last
    #[arg(long, short = 'n', default_value = "20", value_name = "COUNT")]
    number: usize,
    #[command(flatten)]
    pub(super) session: Session,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Target { name, env } = &arguments.target;
    let cluster = arguments.session.cluster();
    let runs = session::run(async {
        let mut runs = last_runs(&cluster, env, Some(name)).await?;
        let runs = runs.remove(name).unwrap_or_default();
        if runs.is_empty() {
            check(&cluster, &arguments.target).await?;
        }
        Ok(runs)
    })?;
    let skipped = runs.len().saturating_sub(arguments.number);
    let runs = runs.get(skipped..).unwrap_or_default();
    if arguments.session.json {
        return output::json(&runs);
    }
    if runs.is_empty() {
        return output::line(&format!("{name} has not run in {env}"));
    }
    table(runs).print()
}

fn table(runs: &[Run]) -> Columns {
    let mut table = Columns::new(&[
        "RUN", "VERSION", "TRIGGER", "STATE", "STARTED", "#SECONDS", "#IN", "#OUT", "#DEAD",
        "ERROR",
    ]);
    for run in runs {
        let ended = run
            .ended
            .map(|ended| ended.ms().saturating_sub(run.started.ms()));
        let seconds = ended.map(|ms| format!("{:.1}", ms as f64 / 1000.0));
        table.row([
            run.run.clone(),
            format!("v{}", run.version),
            run.trigger.clone(),
            run.state.name().to_owned(),
            run.started.to_string(),
            or_dash(seconds),
            run.rows_in.to_string(),
            run.rows_out.to_string(),
            run.dead.to_string(),
            or_dash(run.error.as_ref()),
        ]);
    }
    table
}
