//! `watertable pipeline validate`: all mistakes of all files in one run, without a broker.

use anyhow::Result;
use pipeline::directory::{self, Resolved};
use pipeline::engine::Options;
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
    unchecked: Vec<ProblemView>,
}

/// The files of a folder, compiled as far as they can be, and all that is wrong with those that were asked about.
#[derive(Debug)]
pub(super) struct Looked {
    /// The files that were asked about and can be read.
    pub(super) files: Vec<Resolved>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What may be wrong, if the cluster does not know better.
    unchecked: Vec<Problem>,
    unknown: Vec<UnknownView>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.read()?;
    let looked = compile(&folder);
    let is_right = looked.problems.is_empty();
    if arguments.json {
        let views = |problems: &[Problem]| problems.iter().map(ProblemView::of).collect();
        output::json(&Report {
            files: folder.count(),
            problems: views(&looked.problems),
            only_the_cluster_knows: looked.unknown,
            unchecked: views(&looked.unchecked),
        })?;
    } else {
        if is_right {
            let files = counted(folder.count(), "file");
            output::line(&format!("{files}: no mistakes"))?;
        } else {
            print(&folder, &looked.problems)?;
        }
        print_unknown(&looked)?;
    }
    if is_right {
        Ok(())
    } else {
        Err(Status(MISTAKES).into())
    }
}

/// Reads what is there: the files, if there is no mistake in any of them, and all mistakes but those of queries, which are compiled
/// where the contracts of topics are known.
pub(super) fn look(folder: &Folder) -> (Vec<File>, Vec<Problem>) {
    let (directory, mut problems) = folder.directory();
    match directory.into_files() {
        Ok(files) => (files, problems),
        Err(found) => {
            problems.extend(found);
            (Vec::new(), problems)
        }
    }
}

/// Reads what is there, and compiles it as far as that can be done without a cluster.
pub(super) fn compile(folder: &Folder) -> Looked {
    let (mut files, mut problems) = look(folder);
    if !problems.is_empty() {
        let faulty = problems.iter().map(|problem| problem.file.clone());
        // The queries of the others are looked at all the same, so that one run tells everything.
        let others = folder.without(&faulty.collect());
        files = others.into_files().unwrap_or_default();
    }
    let unknown = unknown(folder, &files);
    let compiled = directory::compile(files, &|_topic| None, Options::default());
    problems.extend(compiled.problems);
    problems.sort_by(|one, other| (&one.file, one.at).cmp(&(&other.file, other.at)));
    let is_variables = |problem: &Problem| !folder.has(&problem.file);
    problems.retain(|problem| folder.is_asked(&problem.file) || is_variables(problem));
    let mut unchecked = compiled.unchecked;
    unchecked.retain(|problem| folder.is_asked(&problem.file));
    let mut files = compiled.files;
    files.retain(|resolved| folder.is_asked(&resolved.file.name));
    Looked {
        files,
        problems,
        unchecked,
        unknown,
    }
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

fn print_unknown(looked: &Looked) -> Result<()> {
    if looked.unknown.is_empty() {
        return Ok(());
    }
    let mut text = String::from(
        "\nThe columns of these only the cluster knows; `watertable pipeline plan` looks at them:\n",
    );
    for UnknownView { file, input, topic } in &looked.unknown {
        text.push_str(&format!("  {file}: from.{input}, topic {topic}\n"));
    }
    if !looked.unchecked.is_empty() {
        text.push_str("Unless it knows better:\n");
    }
    for problem in &looked.unchecked {
        text.push_str(&format!("  {problem}\n"));
    }
    output::write(text.as_bytes())
}
