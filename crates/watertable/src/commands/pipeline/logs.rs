//! `watertable pipeline logs`: what those who run a pipeline said.

use std::collections::VecDeque;

use anyhow::Result;
use pipeline::control::{Level, LogLine, Tail};

use super::target::{Target, check};
use crate::output;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Logs are a topic, __logs, so they are there wherever the pipeline ran, and in SQL as sys.pipeline_logs; they are kept for 7 days.
With --json each line is a JSON object.

Examples:
  watertable pipeline logs trips_clean --env prod
  watertable pipeline logs trips_clean --env prod -f
  watertable pipeline logs trips_clean --env prod --run 1767225600000-5f1c0a2b")]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Go on with what is said from now on
    #[arg(long, short)]
    follow: bool,
    /// Of one run only
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// How many lines: the last
    #[arg(long, short = 'n', default_value = "1000", value_name = "COUNT")]
    number: usize,
    #[command(flatten)]
    pub(super) session: Session,
}

impl Arguments {
    fn wants(&self, line: &LogLine) -> bool {
        let Target { name, env } = &self.target;
        let is_of_run = |run: &String| line.run.as_ref() == Some(run);
        line.env == env.as_str()
            && line.pipeline == *name
            && self.run.as_ref().is_none_or(is_of_run)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    session::run(async {
        tokio::select! {
            biased;
            () = session::interrupted() => Ok(()),
            shown = show(arguments) => shown,
        }
    })
}

async fn show(arguments: &Arguments) -> Result<()> {
    let cluster = arguments.session.cluster();
    let json = arguments.session.json;
    let mut last = VecDeque::new();
    let tail = Tail::open::<LogLine>(&cluster).await?;
    let Some(mut tail) = tail else {
        check(&cluster, &arguments.target).await?;
        return nothing(arguments);
    };
    tail.read_to_end(|line: LogLine| {
        if arguments.wants(&line) {
            last.push_back(line);
        }
        if last.len() > arguments.number {
            last.pop_front();
        }
    })
    .await?;
    if last.is_empty() {
        check(&cluster, &arguments.target).await?;
    }
    if last.is_empty() && !arguments.follow {
        return nothing(arguments);
    }
    for line in last {
        print(&line, json)?;
    }
    if !arguments.follow {
        return Ok(());
    }
    loop {
        let mut new = Vec::new();
        tail.next(|line: LogLine| new.push(line)).await?;
        for line in new.iter().filter(|line| arguments.wants(line)) {
            print(line, json)?;
        }
    }
}

fn nothing(arguments: &Arguments) -> Result<()> {
    let Target { name, env } = &arguments.target;
    if arguments.session.json {
        return Ok(());
    }
    output::line(&format!(
        "nothing was said of {name} in {env}; `watertable pipeline status --env {env}` shows what runs"
    ))
}

fn print(line: &LogLine, json: bool) -> Result<()> {
    if json {
        return output::line(&serde_json::to_string(line)?);
    }
    let level = match line.level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let version = line.version.map(|version| format!(" v{version}"));
    let run = line.run.as_ref().map(|run| format!(" {run}"));
    let task = line.task.as_ref().map(|task| format!(" {task}"));
    let of = [version, run, task].into_iter().flatten();
    let of: String = of.collect();
    output::line(&format!("{} {level:<5}{of}: {}", line.time, line.message))
}
