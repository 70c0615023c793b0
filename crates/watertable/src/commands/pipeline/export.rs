//! `watertable pipeline export`: the file of any version that ran.

use anyhow::Result;
use pipeline::control::{ActionError, Store, existing, spec_of};
use serde::Serialize;

use super::target::{Target, version};
use crate::output;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
What is written is the pipeline as it ran: with the values of its variables and its query in it, without comments. Reading it gives
the same pipeline.

Examples:
  watertable pipeline export trips_clean --env prod > trips_clean.yaml
  watertable pipeline export trips_clean --env prod --version v7 | diff trips_clean.yaml -"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The version; the one that runs if absent
    #[arg(long, value_name = "VERSION", value_parser = version)]
    version: Option<u32>,
    #[command(flatten)]
    pub(super) session: Session,
}

/// A version, for machines.
#[derive(Serialize)]
struct View<'a> {
    pipeline: &'a str,
    version: u32,
    yaml: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Target { name, env } = &arguments.target;
    let cluster = arguments.session.cluster();
    let store = session::run(async { Ok(Store::open(&cluster).await?) })?;
    let state = store.state();
    let record = match arguments.version {
        // What was removed can be exported, too, by its number.
        Some(version) => state.version(env.as_str(), name, version).ok_or_else(|| {
            let kept = state.versions(env.as_str(), name);
            let kept: Vec<_> = kept.map(|record| record.version).collect();
            match existing(state, env, name) {
                Err(unknown @ ActionError::Unknown { .. }) => unknown,
                _ => ActionError::NoVersion {
                    pipeline: name.clone(),
                    version,
                    kept,
                },
            }
        })?,
        None => existing(state, env, name)?,
    };
    let yaml = spec_of(record)?.to_yaml();
    if arguments.session.json {
        let (pipeline, version) = (name.as_str(), record.version);
        return output::json(&View {
            pipeline,
            version,
            yaml,
        });
    }
    output::write(yaml.as_bytes())
}
