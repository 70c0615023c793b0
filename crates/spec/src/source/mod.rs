//! [`Input`]: what a pipeline reads, one for each name that its SQL knows.

mod files;
mod postgres;
mod topic;

pub use files::{AfterReading, Compression, FileFormat, Files, Store};
pub(crate) use postgres::TABLE;
pub use postgres::{Incremental, Postgres, Rows};
pub use topic::{Start, Topic};

use crate::columns::{self, COLUMNS, Columns, ON_MISSING_COLUMN, ON_NEW_COLUMN};
use crate::problem::{Cause, Problems};
use crate::shape::{Object, OneOf, Shape, key, later};
use crate::tree::Node;
use crate::value::{Value, Written};
use crate::view::View;

/// What a pipeline reads under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The name, which is the name of a table in SQL.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Its declared columns.
    pub columns: Option<Columns>,
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A topic.
    Topic(Topic),
    /// Files.
    Files(Files),
    /// A database.
    Postgres(Postgres),
}

const HTTP: &str = "let a program of yours call the API and produce what it answers to a topic";
pub(crate) static INPUT: Object = Object {
    what: "an input",
    keys: &[
        key("topic", Shape::Object(&topic::TOPIC), "A topic is read."),
        key(
            "files",
            Shape::Object(&files::FILES),
            "Files are read, each once.",
        ),
        key(
            "postgres",
            Shape::Object(&postgres::POSTGRES),
            "A table or a query of PostgreSQL is read.",
        ),
        COLUMNS,
        ON_NEW_COLUMN,
        ON_MISSING_COLUMN,
        later("http", "reading an API page by page", HTTP),
        later("land", "a topic in which a source lands first", HTTP),
        later(
            "event_time",
            "windows over the time of events",
            "aggregate in psql until then",
        ),
        later(
            "on_late",
            "what happens to rows behind the watermark",
            "aggregate in psql until then",
        ),
    ],
    one_of: OneOf::Of(&["topic", "files", "postgres"]),
};

pub(crate) fn read(
    name: &str,
    node: &Node,
    path: String,
    problems: &mut Problems,
) -> Option<Input> {
    let view = View::at_path(node, &INPUT, path)?;
    let columns = columns::read(&view, problems);
    let (chosen, _) = view.chosen()?;
    let source = match chosen {
        "topic" => Source::Topic(topic::read(&view.map("topic", &topic::TOPIC)?)?),
        "files" => {
            let files = view.map("files", &files::FILES)?;
            Source::Files(files::read(&files, view.has("columns"), problems)?)
        }
        _ => {
            let postgres = view.map("postgres", &postgres::POSTGRES)?;
            let postgres = postgres::read(&postgres, problems)?;
            check_cursor(&view, &postgres, columns.as_ref(), problems);
            Source::Postgres(postgres)
        }
    };
    Some(Input {
        name: name.to_owned(),
        source,
        columns,
    })
}

/// What is declared has the columns by which rows are found again.
fn check_cursor(
    view: &View<'_>,
    postgres: &Postgres,
    columns: Option<&Columns>,
    problems: &mut Problems,
) {
    let (Some(incremental), Some(columns)) = (&postgres.incremental, columns) else {
        return;
    };
    for (key, name) in [
        ("cursor", Some(&incremental.cursor)),
        ("tie_breaker", incremental.tie_breaker.as_ref()),
    ] {
        let Some(name) = name else { continue };
        let names = || columns.columns.iter().map(|column| column.name.as_str());
        if names().any(|known| known == name) {
            continue;
        }
        let cause = Cause::NoColumn {
            input: "the input".to_owned(),
            name: name.clone(),
            nearest: contract::nearest(name, names()).map(str::to_owned),
        };
        let below = view.map("postgres", &postgres::POSTGRES);
        let below = below.and_then(|view| view.map("incremental", &postgres::INCREMENTAL));
        if let Some(below) = below {
            below.problem(key, cause, problems);
        }
    }
}

pub(crate) fn write(input: &Input) -> Value {
    let written = Written::default();
    let written = match &input.source {
        Source::Topic(topic) => written.with("topic", topic::write(topic)),
        Source::Files(files) => written.with("files", files::write(files)),
        Source::Postgres(postgres) => written.with("postgres", postgres::write(postgres)),
    };
    columns::write(written, input.columns.as_ref()).done()
}
