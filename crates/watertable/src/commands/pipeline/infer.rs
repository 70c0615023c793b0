//! `watertable pipeline infer`: an input with its columns, proposed from a sample.
//!
//! Invariant: it is a proposal for somebody to look at; nothing is changed, and digits with a zero in front are never a number.

mod files;
mod postgres;
mod text;
mod topic;

use std::path::Path;

use anyhow::Result;
use contract::{Column, InferError};
use serde::Serialize;

use crate::output::{self, counted};
use crate::report::Failure;
use crate::session::{self, Session};

/// Endings of compression.
const COMPRESSIONS: [&str; 3] = ["gz", "zst", "bz2"];

#[derive(Debug, clap::Args)]
#[command(after_help = "\
SOURCE is a topic; a file or a pattern of files, which has a / or the ending of its format; or a connection to PostgreSQL, with --table.

Examples:
  watertable pipeline infer 'landing/*.csv'
  watertable pipeline infer lake/Ann-Lee.json
  watertable pipeline infer web.clicks --sample 10000
  watertable pipeline infer postgres://reader@db.example/shop --table users

The proposal goes to standard output, for a pipeline file; what to know about it to standard error. CSV whose digits begin with a
zero is text: a number would lose it.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) session: Session,
    /// What to look at
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The table, of a database
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// How many records to look at
    #[arg(long, default_value_t = 1000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: u32,
}

/// What was found out.
#[derive(Debug)]
struct Finding {
    /// What the input could be called.
    name: String,
    /// The source, as keys with their values: `topic`, `{ name: clicks }`.
    source: (&'static str, String),
    /// The columns; none if they are known without being declared.
    columns: Vec<Column>,
    /// What to know about it.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    input: &'a str,
    columns: Vec<ColumnView<'a>>,
    yaml: &'a str,
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct ColumnView<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    session::run(async move {
        let Arguments {
            session,
            source,
            table,
            sample,
        } = &arguments;
        let found = if postgres::is_connection(source) {
            postgres::look(source, table.as_deref()).await?
        } else if table.is_some() {
            return Err(no_tables(source).into());
        } else if is_file(source) {
            files::look(source, *sample).await?
        } else {
            topic::look(session, source, *sample).await?
        };
        tell(&found, session.json)
    })
}

fn no_tables(source: &str) -> Failure {
    Failure::new(
        format!("{source} is no database, so it has no tables"),
        "leave --table out, or name a connection: postgres://reader@db.example/shop, or secret:NAME",
    )
}

/// Whether a source is a file, or a pattern of files.
fn is_file(source: &str) -> bool {
    source.contains(['/', '*', '?', '['])
        || ending(source).is_some_and(|ending| files::is_format(&ending))
}

/// The ending of a path without that of a compression, in small letters.
fn ending(path: &str) -> Option<String> {
    let name = Path::new(path.rsplit('/').next()?);
    let of = |path: &Path| {
        let ending = path.extension()?.to_str()?;
        Some(ending.to_ascii_lowercase())
    };
    let outer = of(name)?;
    if COMPRESSIONS.contains(&outer.as_str()) {
        return of(Path::new(name.file_stem()?));
    }
    Some(outer)
}

fn tell(found: &Finding, json: bool) -> Result<()> {
    let yaml = text::yaml(found);
    if json {
        let columns = found.columns.iter().map(|column| ColumnView {
            name: &column.name,
            data_type: column.data_type.to_string(),
            nullable: column.nullable,
        });
        return output::json(&View {
            input: &found.name,
            columns: columns.collect(),
            yaml: &yaml,
            notes: &found.notes,
        });
    }
    for note in &found.notes {
        eprintln!("{note}");
    }
    output::write(yaml.as_bytes())
}

/// What is noted of a proposal that was made from `records`.
fn notes(records: usize, proposal: &contract::Proposal) -> Vec<String> {
    let mut notes = vec![format!("proposed from {}", counted(records, "record"))];
    if proposal.misfits > 0 {
        notes.push(format!(
            "{} would not fit it, and be dead letters",
            counted(proposal.misfits, "record")
        ));
    }
    for left in &proposal.left_out {
        notes.push(format!("left out {:?}: {}", left.name, left.cause));
    }
    notes
}

fn no_proposal(source: &str, error: &InferError) -> Failure {
    Failure::new(
        format!("no columns can be proposed for {source}: {error}"),
        "write columns: by hand; docs/pipelines/format.md lists the types",
    )
}
