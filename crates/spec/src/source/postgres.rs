//! PostgreSQL as an input: a snapshot, and then what has changed by a cursor.

use crate::names::COLUMN;
use crate::problem::{Cause, Problems};
use crate::secret::{self, Connection};
use crate::shape::{Object, OneOf, Rule, Shape, key, later};
use crate::surroundings::escape;
use crate::units::{SPAN, Span};
use crate::value::{Value, Written};
use crate::view::View;

/// A table or a query that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// How the database is reached.
    pub connection: Connection,
    /// What is read.
    pub rows: Rows,
    /// How many rows of the snapshot are read at once.
    pub chunk_rows: u64,
    /// How later runs find what has changed; without it each reads everything.
    pub incremental: Option<Incremental>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A table.
    Table(String),
    /// What a query gives.
    Query(String),
}

/// How later runs find what has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// The column that grows with each change.
    pub cursor: String,
    /// The column that tells rows apart whose cursors are equal.
    pub tie_breaker: Option<String>,
    /// How far back each run looks, for transactions that commit late.
    pub lookback: Span,
}

const TABLE_FORM: &str = "a table, as users or public.users";
pub(crate) static TABLE: Rule = Rule::new(TABLE_FORM, "", |text| {
    let is_name = |name: &str| {
        (1..=63).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c == '"')
    };
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() <= 2 && parts.iter().all(|part| is_name(part)) {
        return Ok(());
    }
    let found = text.chars().take(60).collect();
    let rule = TABLE_FORM;
    Err(Cause::Unfit { found, rule })
})
.replaced();

const CHUNK_ROWS: u64 = 50_000;
static SNAPSHOT: Object = Object {
    what: "how the snapshot is read",
    keys: &[
        key(
            "chunk_rows",
            Shape::Whole(1, 10_000_000),
            "How many rows are read at once; what was read is kept by chunk.",
        )
        .default("50000"),
        later(
            "parallel",
            "reading chunks side by side",
            "leave it out: chunks are read one after the other",
        ),
    ],
    one_of: OneOf::None,
};
pub(crate) static INCREMENTAL: Object = Object {
    what: "how later runs find what has changed",
    keys: &[
        key("cursor", Shape::Text(&COLUMN), "The column that grows with each change.").required("updated_at"),
        key("tie_breaker", Shape::Text(&COLUMN), "The column that tells rows apart whose cursors are equal: the primary key."),
        key("lookback", Shape::Text(&SPAN), "How far back each run looks, for transactions that commit late; what is read again collapses by key.").default("0ms"),
        later("cdc", "reading changes from PostgreSQL's log", "write cursor: with a column that grows with each change"),
    ],
    one_of: OneOf::None,
};
pub(crate) static POSTGRES: Object = Object {
    what: "a source of PostgreSQL",
    keys: &[
        key(
            "connection",
            Shape::Text(&secret::POSTGRES),
            "How the database is reached: `secret:NAME`, or a URL without a password.",
        )
        .required("secret:NAME"),
        key("table", Shape::Text(&TABLE), "The table that is read."),
        key(
            "query",
            Shape::Sql,
            "A query of PostgreSQL whose rows are read, in place of a table.",
        ),
        key(
            "snapshot",
            Shape::Object(&SNAPSHOT),
            "How the first run reads everything.",
        ),
        key(
            "incremental",
            Shape::Object(&INCREMENTAL),
            "How later runs find what has changed; without it each run reads everything.",
        ),
        later(
            "deletes",
            "finding rows that were deleted",
            "mark deleted rows in a column, and filter by it",
        ),
    ],
    one_of: OneOf::Of(&["table", "query"]),
};

pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<Postgres> {
    let rows = match view.chosen()? {
        ("table", _) => Rows::Table(view.owned("table")?),
        _ => Rows::Query(query(view, problems)?),
    };
    let snapshot = view.map("snapshot", &SNAPSHOT);
    let incremental = view.map("incremental", &INCREMENTAL);
    Some(Postgres {
        connection: secret::connection(view.text("connection")?).ok()?,
        rows,
        chunk_rows: snapshot
            .and_then(|view| view.whole("chunk_rows"))
            .unwrap_or(CHUNK_ROWS),
        incremental: match incremental {
            Some(view) => Some(changes(&view, problems)?),
            None => None,
        },
    })
}

fn query(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let query = view.text("query")?.trim();
    match crate::sql_text::check_query(query) {
        Ok(()) => Some(query.to_owned()),
        Err(cause) => {
            view.problem("query", cause, problems);
            None
        }
    }
}

fn changes(view: &View<'_>, problems: &mut Problems) -> Option<Incremental> {
    let cursor = view.owned("cursor")?;
    let tie_breaker = view.owned("tie_breaker");
    if tie_breaker.as_ref() == Some(&cursor) {
        let what = format!("the column {cursor}");
        view.problem("tie_breaker", Cause::Twice { what }, problems);
    }
    let lookback = view.text("lookback").and_then(|text| text.parse().ok());
    Some(Incremental {
        cursor,
        tie_breaker,
        lookback: lookback.unwrap_or(Span::from_ms(0)),
    })
}

pub(crate) fn write(postgres: &Postgres) -> Value {
    let written = Written::default().with("connection", postgres.connection.write());
    let written = match &postgres.rows {
        Rows::Table(table) => written.with("table", Value::Text(escape(table))),
        Rows::Query(query) => written.with("query", Value::text(query)),
    };
    let snapshot = Written::default().number_unless("chunk_rows", postgres.chunk_rows, CHUNK_ROWS);
    let snapshot = (!snapshot.is_empty()).then(|| snapshot.done());
    let incremental = postgres.incremental.as_ref().map(|incremental| {
        Written::default()
            .with("cursor", Value::text(&incremental.cursor))
            .maybe(
                "tie_breaker",
                incremental.tie_breaker.as_ref().map(Value::text),
            )
            .unless("lookback", incremental.lookback, Span::from_ms(0))
            .done()
    });
    written
        .maybe("snapshot", snapshot)
        .maybe("incremental", incremental)
        .done()
}
