//! `watertable pipeline apply`: does what a plan says.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pipeline::control::plan::PipelinePlan;
use pipeline::control::{Applied, Change, Hands, Plan, Step, apply, outside};
use pipeline::secrets::Secrets;
use serde::Serialize;

use super::target::{Asked, SecretsArgument};
use crate::output;
use crate::report::{Failure, sentence};
use crate::session::{self, Session};

/// A longer file is no plan.
const PLAN_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A plan is applied to what it was made from and to nothing else: if anything was changed since, plan again. Whoever is interrupted
applies the same plan again: what was done is not done twice.

Examples:
  watertable pipeline plan pipelines --env prod -o plan.json
  watertable pipeline apply plan.json -m 'fares have cents'")]
pub(super) struct Arguments {
    /// The file of the plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    secrets: SecretsArgument,
    #[command(flatten)]
    pub(super) session: Session,
}

/// What was done, for machines.
#[derive(Serialize)]
struct View<'a> {
    environment: &'a str,
    /// `applied`, `applied before`, or `nothing changes`.
    status: &'static str,
    pipelines: Vec<PipelineView<'a>>,
}

#[derive(Serialize)]
struct PipelineView<'a> {
    pipeline: &'a str,
    version: u32,
    state: &'static str,
}

/// Creates what is in databases, and says what is done as it is done.
pub(super) struct Teller {
    secrets: Secrets,
    is_silent: bool,
    fault: Option<anyhow::Error>,
}

impl Teller {
    pub(super) const fn new(secrets: Secrets, is_silent: bool) -> Self {
        Self {
            secrets,
            is_silent,
            fault: None,
        }
    }

    /// Whether all could be said.
    pub(super) fn said(self) -> Result<()> {
        self.fault.map_or(Ok(()), Err)
    }
}

impl Hands for Teller {
    async fn create_outside(&mut self, plan: &PipelinePlan) -> Result<(), String> {
        let created = outside::create(&plan.record, &plan.outside, &self.secrets).await;
        created.map_err(|error| sentence(&error.into()))
    }

    async fn done(&mut self, step: Step) {
        let line = match step {
            Step::Created(topic) => format!("created the topic {topic}"),
            Step::Changed(topic) => format!("changed the topic {topic}"),
            Step::Outside(pipeline) => format!("created what {pipeline} writes to"),
            Step::Written => return,
        };
        if !self.is_silent && self.fault.is_none() {
            self.fault = output::line(&line).err();
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let plan = read(&arguments.plan)?;
    let who = arguments.asked.who();
    let cluster = arguments.session.cluster();
    let mut teller = Teller::new(arguments.secrets.secrets(), arguments.session.json);
    let applied = session::run(async {
        let applied = apply(&cluster, &plan, &who, &mut teller).await?;
        Ok(applied)
    })?;
    teller.said()?;
    let status = match &applied {
        Applied::Now(_) => "applied",
        Applied::Before(_) => "applied before",
        Applied::Nothing => "nothing changes",
    };
    if arguments.session.json {
        return output::json(&View {
            environment: &plan.environment,
            status,
            pipelines: views(&plan),
        });
    }
    match &applied {
        Applied::Now(change) => print(change, &plan.environment),
        Applied::Before(before) => output::line(&format!(
            "the plan was applied before, by {} at {}",
            before.author, before.time
        )),
        Applied::Nothing => output::line(&format!("nothing changes in {}", plan.environment)),
    }
}

fn views(plan: &Plan) -> Vec<PipelineView<'_>> {
    let views = plan.pipelines.iter().map(|plan| PipelineView {
        pipeline: &plan.pipeline,
        version: plan.record.version,
        state: plan.record.state.name(),
    });
    views.collect()
}

pub(super) fn print(change: &Change, environment: &str) -> Result<()> {
    for record in &change.pipelines {
        output::line(&format!(
            "{} v{} {} in {environment}",
            record.pipeline,
            record.version,
            record.state.name()
        ))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Plan> {
    let shown = path.display();
    let cannot = || format!("cannot read {shown}");
    let file = std::fs::File::open(path).with_context(cannot)?;
    let mut text = Vec::new();
    file.take(PLAN_BYTES_MAX)
        .read_to_end(&mut text)
        .with_context(cannot)?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(
            format!("{shown} is no plan: {error}"),
            "`watertable pipeline plan --env ENV -o FILE` writes one",
        )
        .into()
    })
}
