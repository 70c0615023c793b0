//! `watertable pipeline validate`: all mistakes of all files in one run, without a broker.

use anyhow::Result;
use serde::Serialize;
use spec::directory::unknown_contracts;
use spec::{File, Problem, Source};

use super::folder::{Folder, Place};
use crate::output::{self, counted};
use crate::report::Status;

/// The exit status when there are mistakes.
const MISTAKES: u8 = 1;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no mistakes, 1 mistakes, or the files could not be read.

Examples:
  watertable pipeline validate
  watertable pipeline validate pipelines --env prod
  watertable pipeline validate pipelines --json | jq -r '.problems[] | \"\\(.file):\\(.line): \\(.message)\"'

The files of a folder are looked at together: what one writes another may read. Columns of topics come from the files alone; of
inputs whose columns only the cluster knows it says so, and `watertable pipeline plan` looks at them.")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is wrong, for machines.
#[derive(Debug, Serialize)]
pub(super) struct ProblemView {
    file: String,
    line: usize,
    column: usize,
    key: String,
    message: String,
}

impl ProblemView {
    pub(super) fn of(problem: &Problem) -> Self {
        Self {
            file: problem.file.clone(),
            line: problem.at.line,
            column: problem.at.column,
            key: problem.key.clone(),
            message: problem.cause.to_string(),
        }
    }
}

/// An input whose columns no file tells.
#[derive(Debug, Serialize)]
struct UnknownView {
    file: String,
    input: String,
    topic: String,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    files: usize,
    problems: Vec<ProblemView>,
    only_the_cluster_knows: Vec<UnknownView>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.read()?;
    let (files, problems) = look(&folder);
    let unknown = unknown(&folder, &files);
    let found = problems.len();
    if arguments.json {
        output::json(&Report {
            files: folder.count(),
            problems: problems.iter().map(ProblemView::of).collect(),
            only_the_cluster_knows: unknown,
        })?;
    } else if problems.is_empty() {
        output::line(&format!("{}: no mistakes", counted(folder.count(), "file")))?;
        print_unknown(&unknown)?;
    } else {
        print(&folder, &problems)?;
    }
    if found > 0 {
        return Err(Status(MISTAKES).into());
    }
    Ok(())
}

/// The files, if there is no mistake in any of them; and the mistakes in those that were asked about.
pub(super) fn look(folder: &Folder) -> (Vec<File>, Vec<Problem>) {
    let (directory, mut problems) = folder.directory();
    let mut files = Vec::new();
    match directory.into_files() {
        Ok(read) => files = read,
        Err(found) => {
            let is_asked = |problem: &Problem| folder.is_asked(&problem.file);
            let asked: Vec<_> = found.into_iter().filter(is_asked).collect();
            if asked.is_empty() {
                // Mistakes of others do not keep one file from being looked at.
                files = folder.alone().into_files().unwrap_or_default();
            }
            problems.extend(asked);
        }
    }
    (files, problems)
}

/// All mistakes, and how many there are.
pub(super) fn print(folder: &Folder, problems: &[Problem]) -> Result<()> {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
    }
    text.push_str(&format!(
        "{} in {}\n",
        counted(problems.len(), "mistake"),
        counted(folder.count(), "file")
    ));
    output::write(text.as_bytes())
}

fn unknown(folder: &Folder, files: &[File]) -> Vec<UnknownView> {
    let inputs = unknown_contracts(files).into_iter();
    let asked = inputs.filter(|(file, _)| folder.is_asked(&file.name));
    asked
        .filter_map(|(file, input)| match &input.source {
            Source::Topic(topic) => Some(UnknownView {
                file: file.name.clone(),
                input: input.name.clone(),
                topic: topic.name.clone(),
            }),
            Source::Files(_) | Source::Postgres(_) => None,
        })
        .collect()
}

fn print_unknown(unknown: &[UnknownView]) -> Result<()> {
    if unknown.is_empty() {
        return Ok(());
    }
    output::line(
        "\nThe columns of these only the cluster knows; `watertable pipeline plan` looks at them:",
    )?;
    for UnknownView { file, input, topic } in unknown {
        output::line(&format!("  {file}: from.{input}, topic {topic}"))?;
    }
    Ok(())
}
