//! `watertable pipeline checks`: what checks have found.

use std::collections::VecDeque;

use anyhow::Result;
use pipeline::control::{CheckResult, Tail};

use super::target::Target;
use crate::output::{self, Columns};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show what the checks of a pipeline have found in its last runs
    Results(ResultsArguments),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Results are written when a run ends, and kept for 7 days; in SQL they are sys.check_results. The rows are in the dead letters:
`watertable pipeline dead list NAME`.

Examples:
  watertable pipeline checks results trips_clean --env prod
  watertable pipeline checks results trips_clean --env prod --json | jq '.[] | select(.failed > 0)'")]
struct ResultsArguments {
    #[command(flatten)]
    target: Target,
    /// Of one run only
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// How many results: the last
    #[arg(long, short = 'n', default_value = "100", value_name = "COUNT")]
    number: usize,
    #[command(flatten)]
    session: Session,
}

impl Arguments {
    pub(super) fn wants_json(&self) -> bool {
        let Verb::Results(arguments) = &self.verb;
        arguments.session.json
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Verb::Results(arguments) = &arguments.verb;
    let Target { name, env } = &arguments.target;
    let last = session::run(last(arguments))?;
    if arguments.session.json {
        return output::json(&last);
    }
    if last.is_empty() {
        return output::line(&format!(
            "no results of checks of {name} in {env}; they are written when a run ends"
        ));
    }
    let mut table = Columns::new(&[
        "TIME", "RUN", "VERSION", "CHECK", "SEVERITY", "#ROWS", "#FAILED",
    ]);
    for result in &last {
        table.row([
            result.time.to_string(),
            result.run.clone(),
            format!("v{}", result.version),
            result.check.clone(),
            result.severity.clone(),
            result.rows.to_string(),
            result.failed.to_string(),
        ]);
    }
    table.print()
}

async fn last(arguments: &ResultsArguments) -> Result<VecDeque<CheckResult>> {
    let Target { name, env } = &arguments.target;
    let mut last = VecDeque::new();
    let cluster = arguments.session.cluster();
    let Some(mut tail) = Tail::open::<CheckResult>(&cluster).await? else {
        return Ok(last);
    };
    tail.read_to_end(|result: CheckResult| {
        let is_of_run = arguments.run.as_ref().is_none_or(|run| *run == result.run);
        if result.env == env.as_str() && result.pipeline == *name && is_of_run {
            last.push_back(result);
        }
        if last.len() > arguments.number {
            last.pop_front();
        }
    })
    .await?;
    Ok(last)
}
