//! `watertable check`: looks for damage in a data directory, without a broker. Exit status 0: none; 1: some; 2: it could
//! not be checked.
//!
//! Invariant: nothing in the directory changes without `--repair` and a yes.

mod text;
mod view;

use std::collections::HashMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use env::Env;
use metadata::{InspectError, StoredMetadata, metadata_file};
use storage::{CheckError, CheckReport, DirectoryCheck, Finding, FindingKind, TopicIds};
use types::TopicPartition;

use crate::report::{Failure, Status};
use crate::{output, progress};

/// The exit status when there is damage.
const DAMAGED: u8 = 1;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no damage, 1 damage, 2 it could not be checked. Notes are no damage.

Examples:
  watertable check --data-dir /var/lib/watertable
  watertable check --json | jq '.findings[] | {kind, path, position}'
  watertable check --repair

A repair cuts the last segment of a log at its first damaged batch, and moves files away that the broker makes anew. It
shows what it will do and asks. Nothing is deleted: what it takes away is kept in the folder set-aside.")]
pub(crate) struct Arguments {
    /// The data directory
    #[arg(
        long,
        value_name = "DIR",
        env = "WATERTABLE_DATA_DIR",
        default_value = "./watertable-data"
    )]
    data_dir: PathBuf,
    /// Repair what is safe to repair
    #[arg(long)]
    repair: bool,
    /// Do not ask before a repair
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .context("cannot start the runtime")?;
    let _entered = runtime.enter();
    let env = Env::system();
    let root = &arguments.data_dir;
    let check = DirectoryCheck::open(&env, root).map_err(explain)?;
    let mut report = look(&env, &check, root)?;
    if !arguments.json {
        text::findings(&report)?;
        text::summary(&report)?;
    }
    let mut view = view::Report::new(root, &report);
    if arguments.repair && !report.repairs.is_empty() && agreed(arguments, &report)? {
        let (folder, repaired) = check.repair(&report.repairs)?;
        report = look(&env, &check, root)?;
        if arguments.json {
            view.repaired(&folder, &repaired, &report);
        } else {
            text::repaired(&folder, &repaired)?;
            text::findings(&report)?;
            text::summary(&report)?;
        }
    } else if arguments.repair && !arguments.json && report.damage > 0 {
        output::line("nothing was repaired")?;
    }
    if arguments.json {
        output::json(&view)?;
    }
    if report.damage > 0 {
        return Err(Status(DAMAGED).into());
    }
    Ok(())
}

/// Errors with what a person can do.
fn explain(error: CheckError) -> anyhow::Error {
    let next_step = match &error {
        CheckError::Missing { .. } | CheckError::NotOurs { .. } => {
            "name the data directory of a broker with --data-dir DIR"
        }
        CheckError::Locked { .. } | CheckError::Started { .. } => {
            "stop the broker first, or check a copy of the directory"
        }
        CheckError::Format(_) => "check it with the version that wrote it",
        CheckError::Io { .. } => "look into the kernel's log for what is wrong with the disk",
    };
    let failure = Failure::new(error.to_string(), next_step);
    anyhow::Error::new(failure)
}

/// Reads metadata and logs.
fn look(env: &Env, check: &DirectoryCheck, root: &Path) -> Result<CheckReport> {
    let (stored, problem) = match read_metadata(env, root) {
        Ok(stored) => (Some(stored), None),
        Err(error @ InspectError::NewerFormat { .. }) => {
            let what = format!("{} {error}", metadata_file(root).display());
            let next_step = "check it with the version that wrote it";
            return Err(Failure::new(what, next_step).into());
        }
        Err(error) => (None, Some(error)),
    };
    let topics: Option<HashMap<_, _>> = stored.map(|stored| {
        let topics = stored.topics.into_iter();
        topics
            .map(|(name, id, partitions)| (name, (id.to_string(), partitions)))
            .collect()
    });
    let topic_id = |partition: &TopicPartition| {
        let (id, partitions) = topics.as_ref()?.get(&partition.topic)?;
        (partition.partition.value() < *partitions).then(|| id.clone())
    };
    let known = topics.is_some();
    let topic_ids: Option<TopicIds<'_>> = if known { Some(&topic_id) } else { None };
    let bar = progress::bar(Some(check.bytes()), "bytes", false);
    let report = check.run(topic_ids, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let mut report = report.map_err(explain)?;
    if let Some(problem) = problem {
        tell_metadata(&problem, root, &mut report);
    }
    Ok(report)
}

/// Reads the metadata; what redb says when it panics at damage is told as a finding, not on the terminal.
fn read_metadata(env: &Env, root: &Path) -> Result<StoredMetadata, InspectError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let stored = StoredMetadata::read(&*env.disk, &metadata_file(root));
    std::panic::set_hook(hook);
    stored
}

fn tell_metadata(problem: &InspectError, root: &Path, report: &mut CheckReport) {
    let kind = match problem {
        // A directory without logs may be without metadata, too.
        InspectError::Missing if report.partitions == 0 => return,
        InspectError::Io(_) => FindingKind::Unreadable,
        _ => FindingKind::DamagedMetadata,
    };
    let cause = std::error::Error::source(problem).map(|cause| format!(": {cause}"));
    let path = metadata_file(root);
    report.add(Finding {
        kind,
        path: path.strip_prefix(root).unwrap_or(&path).to_owned(),
        bytes: None,
        offsets: None,
        detail: format!("{problem}{}", cause.unwrap_or_default()),
    });
}

/// Shows what a repair would do, and asks.
fn agreed(arguments: &Arguments, report: &CheckReport) -> Result<bool> {
    if arguments.yes {
        if !arguments.json {
            text::plan(&arguments.data_dir, report)?;
        }
        return Ok(true);
    }
    if arguments.json || !std::io::stdin().is_terminal() {
        let what = "a repair has to be confirmed, and nobody is there to ask";
        let next_step = "look at the plan with `watertable check`, then repeat with --repair --yes";
        return Err(Failure::new(what, next_step).into());
    }
    text::plan(&arguments.data_dir, report)?;
    let mut stderr = std::io::stderr();
    write!(stderr, "Do this? Only \"yes\" does it: ").ok();
    stderr.flush().ok();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.context("cannot read the answer")?;
    Ok(answer.trim() == "yes")
}
