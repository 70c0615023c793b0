//! `watertable pipeline status`: what runs, and what was done to a pipeline.

use anyhow::Result;
use pipeline::control::{
    Deployment, PipelineRecord, PipelineState, Run, RunState, Store, Then, existing, last_runs,
};
use serde::Serialize;
use spec::names::Environment;

use crate::output::{self, Columns, or_dash};
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable pipeline status --env prod
  watertable pipeline status trips_clean --env prod

STATE is what the pipeline does: running (or about to), waiting (for its time), retrying (after a failure), held (after one, until somebody does
something: the error below says what), done, or paused.

With a name: its versions and what was done to it, the last of it last.")]
pub(super) struct Arguments {
    /// One pipeline; all if absent
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The environment
    #[arg(long, value_name = "ENV", env = "WATERTABLE_ENV")]
    env: Environment,
    #[command(flatten)]
    pub(super) session: Session,
}

/// A pipeline, for machines.
#[derive(Serialize)]
struct View<'a> {
    pipeline: &'a str,
    version: u32,
    /// What is wanted: `running` or `paused`.
    state: &'static str,
    /// What it does, as its last run tells.
    phase: &'static str,
    author: &'a str,
    git_commit: Option<&'a str>,
    since: String,
    last_run: Option<&'a Run>,
}

/// One pipeline with its past, for machines.
#[derive(Serialize)]
struct PastView<'a> {
    versions: Vec<&'a PipelineRecord>,
    deployments: Vec<&'a Deployment>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let cluster = arguments.session.cluster();
    let env = &arguments.env;
    let (store, runs) = session::run(async {
        let store = Store::open(&cluster).await?;
        let runs = last_runs(&cluster, env, arguments.name.as_deref()).await?;
        Ok((store, runs))
    })?;
    let state = store.state();
    if let Some(name) = &arguments.name {
        let (environment, json) = (env.as_str(), arguments.session.json);
        if state.current(environment, name).is_none() {
            existing(state, env, name)?;
        }
        let current = state.current(environment, name).map(AsRef::as_ref);
        let versions: Vec<_> = state
            .versions(environment, name)
            .map(AsRef::as_ref)
            .collect();
        let deployments = state.deployments(environment, name).map(AsRef::as_ref);
        return past(current, versions, deployments.collect(), json);
    }
    let deployed: Vec<_> = state.deployed(env).collect();
    let views: Vec<_> = deployed
        .iter()
        .map(|record| {
            let last_run = runs.get(&record.pipeline).and_then(|runs| runs.last());
            View {
                pipeline: &record.pipeline,
                version: record.version,
                state: record.state.name(),
                phase: phase(record, last_run),
                author: &record.author,
                git_commit: record.git_commit.as_deref(),
                since: record.time.to_string(),
                last_run,
            }
        })
        .collect();
    if arguments.session.json {
        return output::json(&views);
    }
    if views.is_empty() {
        return output::line(&format!(
            "no pipeline runs in {env}; `watertable pipeline plan --env {env}` shows what would"
        ));
    }
    let mut table = Columns::new(&[
        "PIPELINE",
        "VERSION",
        "STATE",
        "LAST RUN",
        "STARTED",
        "#IN",
        "#OUT",
        "#DEAD",
        "APPLIED BY",
        "SINCE",
    ]);
    for view in &views {
        let of_run = |text: fn(&Run) -> String| or_dash(view.last_run.map(text));
        table.row([
            view.pipeline.to_owned(),
            format!("v{}", view.version),
            view.phase.to_owned(),
            of_run(|run| run.state.name().to_owned()),
            of_run(|run| run.started.to_string()),
            of_run(|run| run.rows_in.to_string()),
            of_run(|run| run.rows_out.to_string()),
            of_run(|run| run.dead.to_string()),
            view.author.to_owned(),
            view.since.clone(),
        ]);
    }
    table.print()?;
    for view in &views {
        let error = view.last_run.and_then(|run| run.error.as_ref());
        if let Some(error) = error {
            output::line(&format!("\n{}: {error}", view.pipeline))?;
        }
    }
    Ok(())
}

/// What a pipeline does, as its last run tells: one that began before it was applied, resumed or rolled back tells nothing.
fn phase(record: &PipelineRecord, last: Option<&Run>) -> &'static str {
    if record.state != PipelineState::Running {
        return record.state.name();
    }
    let is_of_now = |run: &&Run| run.state == RunState::Running || run.started >= record.time;
    let Some(run) = last.filter(is_of_now) else {
        return record.state.name();
    };
    match (run.state, run.then) {
        (RunState::Running, _) => "running",
        (_, Some(Then::Held)) => "held",
        (_, Some(Then::Retrying)) => "retrying",
        (RunState::Succeeded, None) if run.trigger == "once" => "done",
        // It goes on as soon as a worker is there.
        (RunState::Interrupted, _) => "running",
        _ => "waiting",
    }
}

/// The versions of a pipeline, and what was done to it.
fn past(
    current: Option<&PipelineRecord>,
    versions: Vec<&PipelineRecord>,
    deployments: Vec<&Deployment>,
    json: bool,
) -> Result<()> {
    if json {
        return output::json(&PastView {
            versions,
            deployments,
        });
    }
    let mut table = Columns::new(&["VERSION", "STATE", "COMMIT", "FINGERPRINT"]);
    for record in versions {
        let is_current = current.is_some_and(|current| current.version == record.version);
        let state = current.filter(|_| is_current).map(|current| current.state);
        table.row([
            format!("v{}", record.version),
            or_dash(state.map(PipelineState::name)),
            or_dash(
                record
                    .git_commit
                    .as_ref()
                    .and_then(|commit| commit.get(..12)),
            ),
            record.fingerprint.clone(),
        ]);
    }
    let mut done = Columns::new(&["TIME", "ACTION", "FROM", "TO", "BY", "MESSAGE"]);
    for deployment in deployments {
        let version = |version: Option<u32>| or_dash(version.map(|version| format!("v{version}")));
        done.row([
            deployment.time.to_string(),
            deployment.action.to_string(),
            version(deployment.from_version),
            version(deployment.to_version),
            deployment.author.clone(),
            or_dash(deployment.message.as_ref()),
        ]);
    }
    output::write(format!("{}\n{}", table.text(), done.text()).as_bytes())
}
