//! `watertable pipeline plan`: what changes when the files of a folder are what runs. Nothing is changed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use client::Cluster;
use pipeline::control::plan::{
    ChangeKind, Facts, Options, PipelinePlan, PlanFault, PlanProblem, Refused, Wanted, inputs,
    prepare, topics_of,
};
use pipeline::control::{Class, Plan, Store, diff, facts, outside};
use pipeline::runner::back_test::back_test;
use pipeline::secrets::Secrets;
use serde::Serialize;
use spec::File;
use spec::names::Environment;

use super::folder::{Folder, Place};
use super::target::{SecretsArgument, git_commit};
use super::validate::{self, ProblemView};
use crate::output::{self, counted};
use crate::report::{Failure, Status, sentence};
use crate::session::{self, Session};

/// The exit status when something changes, if somebody wants to know.
const CHANGES: u8 = 2;
/// So many records of each input a changed version is tested on.
const BACK_TESTED: u64 = 10_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0; 1 if there is no plan; with --exit-code 2 if something changes.

Examples:
  watertable pipeline plan pipelines --env prod -o plan.json
  watertable pipeline apply plan.json
  watertable pipeline plan pipelines --env prod --exit-code

  +  runs for the first time        ~  runs in a new version       !  only its checks are others
  -  does not run any more          ?  runs and has no file

In every environment but prod names of topics and groups have the environment in front: in dev the topic trips of a file is
dev.trips. A plan looks into the databases that are read and written, and has no values of secrets. Columns that no file declares
are those of the first file, or of the table, from then on; relative paths are relative to the file of the pipeline.")]
pub(super) struct Arguments {
    /// The folder of the pipeline files
    #[arg(default_value = ".", value_name = "DIR")]
    path: PathBuf,
    /// The environment. Variables ${NAME} come from env/ENV.yaml below the folder; what is set in the process's environment wins
    #[arg(long, value_name = "ENV", env = "WATERTABLE_ENV")]
    env: Environment,
    /// Write the plan to this file, for `apply`
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Remove what runs and has no file
    #[arg(long)]
    remove: bool,
    /// Read what was not read before from where the plan says
    #[arg(long)]
    accept_source_change: bool,
    /// End with status 2 if something changes
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    secrets: SecretsArgument,
    #[command(flatten)]
    pub(super) session: Session,
}

/// Why there is no plan, for machines.
#[derive(Serialize)]
struct RefusedView {
    problems: Vec<ProblemView>,
    faults: Vec<FaultView>,
}

#[derive(Serialize)]
struct FaultView {
    file: String,
    pipeline: String,
    message: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let place = Place::of(arguments.path.clone(), arguments.env.clone());
    if !arguments.path.is_dir() {
        return Err(Failure::new(
            format!("{} is no folder", arguments.path.display()),
            "plans are for all files of a folder, because what has no file would not run",
        )
        .into());
    }
    let folder = place.read()?;
    let (files, problems) = validate::look(&folder);
    if !problems.is_empty() {
        let problems = Refused {
            problems,
            faults: Vec::new(),
        };
        return refuse(&folder, problems, arguments.session.json);
    }
    let cluster = arguments.session.cluster();
    let planned = session::run(async { plan(arguments, &cluster, files).await })?;
    match planned {
        Ok(plan) => print(arguments, &plan),
        Err(refused) => refuse(&folder, refused, arguments.session.json),
    }
}

async fn plan(
    arguments: &Arguments,
    cluster: &Cluster,
    files: Vec<File>,
) -> Result<Result<Plan, Refused>> {
    let options = Options {
        remove: arguments.remove,
        accept_source_change: arguments.accept_source_change,
        git_commit: git_commit(&arguments.path),
    };
    let secrets = arguments.secrets.secrets();
    let planned = make(cluster, &arguments.env, files, &options, &secrets).await?;
    let (mut plan, store) = match planned {
        Ok(planned) => planned,
        Err(refused) => return Ok(Err(refused)),
    };
    back_tests(&mut plan, cluster, &store).await;
    Ok(Ok(plan))
}

/// The plan that makes files what runs, and the state that it is made from.
pub(super) async fn make(
    cluster: &Cluster,
    environment: &Environment,
    mut files: Vec<File>,
    options: &Options,
    secrets: &Secrets,
) -> Result<Result<(Plan, Store), Refused>> {
    let store = Store::open(cluster).await?;
    let unnamed = inputs::absolute(&mut files);
    if !unnamed.is_empty() {
        return Ok(Err(Refused::default().with(unnamed)));
    }
    let running = |name: &str| {
        let found = store.state().current(environment.as_str(), name);
        found.map(AsRef::as_ref)
    };
    let faults = inputs::look(&mut files, &running, secrets).await;
    let facts: Facts = facts(cluster, &topics_of(&files, environment)).await?;
    let wanted = match prepare(files, environment, &facts) {
        Ok(wanted) if faults.is_empty() => wanted,
        Ok(_) => return Ok(Err(Refused::default().with(faults))),
        Err(refused) => return Ok(Err(refused.with(faults))),
    };
    let planned = diff(environment, store.state(), &wanted, &facts, options);
    let planned = match planned {
        Ok(mut plan) => outside(&mut plan, &wanted, secrets).await.map(|()| plan),
        Err(faults) => Err(faults),
    };
    Ok(planned.map(|plan| (plan, store)).map_err(|faults| Refused {
        problems: Vec::new(),
        faults,
    }))
}

/// Adds what changed queries and checks would have done to recent records. It is a service: a plan is one without it, too.
async fn back_tests(plan: &mut Plan, cluster: &Cluster, store: &Store) {
    let is_changed = |plan: &&mut PipelinePlan| {
        matches!(plan.change, ChangeKind::Changed | ChangeKind::Checks)
            && plan.class == Some(Class::HandOver)
    };
    let environment = plan.environment.clone();
    for pipeline in plan.pipelines.iter_mut().filter(is_changed) {
        let name = &pipeline.pipeline;
        let Some(before) = store.state().current(&environment, name) else {
            continue;
        };
        match back_test(cluster, before, &pipeline.record, BACK_TESTED).await {
            Ok(test) => pipeline.back_test = test,
            Err(error) => {
                let error = sentence(&error.into());
                tracing::warn!(pipeline = name, error, "could not look at recent records");
            }
        }
    }
}

/// Adds what is created outside of the cluster.
async fn outside(
    plan: &mut Plan,
    wanted: &[Wanted],
    secrets: &Secrets,
) -> Result<(), Vec<PlanProblem>> {
    let mut problems = Vec::new();
    let is_kept = |plan: &&mut PipelinePlan| plan.change != ChangeKind::Removed;
    for pipeline in plan.pipelines.iter_mut().filter(is_kept) {
        match outside::describe(&pipeline.record, secrets).await {
            Ok(statements) => pipeline.outside = statements,
            Err(error) => {
                let name = &pipeline.pipeline;
                let file = wanted.iter().find(|wanted| wanted.pipeline.name == *name);
                problems.push(PlanProblem {
                    file: file.map_or_else(String::new, |wanted| wanted.file.clone()),
                    pipeline: name.clone(),
                    fault: PlanFault::Outside {
                        fault: sentence(&error.into()),
                    },
                });
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn print(arguments: &Arguments, plan: &Plan) -> Result<()> {
    if let Some(out) = &arguments.out {
        let shown = out.display();
        std::fs::write(out, plan.to_json()).with_context(|| format!("cannot write {shown}"))?;
    }
    if arguments.session.json {
        output::write(format!("{}\n", plan.to_json()).as_bytes())?;
    } else {
        let to = arguments.out.as_ref();
        let to = to.map(|out| format!("  → {}", out.display()));
        output::line(&format!("{plan}{}", to.unwrap_or_default()))?;
    }
    if arguments.exit_code && !plan.is_empty() {
        return Err(Status(CHANGES).into());
    }
    Ok(())
}

/// Says all that is wrong.
fn refuse(folder: &Folder, refused: Refused, json: bool) -> Result<()> {
    if json {
        let Refused { problems, faults } = &refused;
        output::json(&RefusedView {
            problems: problems.iter().map(ProblemView::of).collect(),
            faults: faults.iter().map(view).collect(),
        })?;
    } else {
        say_refused(folder, &refused)?;
    }
    Err(Status(1).into())
}

/// The same, for people.
pub(super) fn say_refused(folder: &Folder, refused: &Refused) -> Result<()> {
    let Refused { problems, faults } = refused;
    if !problems.is_empty() {
        validate::print(folder, problems)?;
    }
    for fault in faults {
        output::line(&fault.to_string())?;
    }
    if !faults.is_empty() {
        output::line(&format!("no plan: {}", counted(faults.len(), "fault")))?;
    }
    Ok(())
}

fn view(fault: &PlanProblem) -> FaultView {
    FaultView {
        file: fault.file.clone(),
        pipeline: fault.pipeline.clone(),
        message: fault.fault.to_string(),
    }
}
