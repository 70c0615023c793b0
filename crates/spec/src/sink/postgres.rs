//! A table of PostgreSQL as a sink.

use super::topic::{KEY, key_columns};
use crate::problem::{Cause, Problems};
use crate::secret::{self, Connection};
use crate::shape::{Object, OneOf, Shape, Word, key, later_word, word};
use crate::source::TABLE;
use crate::surroundings::escape;
use crate::units::{SPAN_POSITIVE, Span};
use crate::value::{Value, Written};
use crate::view::View;

/// A table that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSink {
    /// How the database is reached.
    pub connection: Connection,
    /// The table.
    pub table: String,
    /// What writing a row does.
    pub mode: Mode,
    /// Whether the table is created.
    pub create: Create,
    /// What a crash can do.
    pub delivery: Delivery,
    /// How much is written in one transaction.
    pub batch: Batch,
}

/// What writing a row does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It takes the place of the one with the same key; a tombstone deletes it.
    Upsert {
        /// The columns of the key; at least one.
        key: Vec<String>,
    },
    /// It is added.
    Append,
}

/// Whether the table is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Create {
    /// If it is not there.
    #[default]
    IfMissing,
    /// Never.
    Never,
}

/// What a crash can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing: rows and offsets are written in one transaction.
    #[default]
    ExactlyOnce,
    /// Write rows again.
    AtLeastOnce,
}

/// How much is written in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most so many rows.
    pub rows: u64,
    /// What came in so long.
    pub every: Span,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            rows: 10_000,
            every: Span::from_ms(1000),
        }
    }
}

static MODE: [Word; 3] = [
    word(
        "upsert",
        "A row takes the place of the one with the same key; a tombstone deletes it.",
    ),
    word("append", "A row is added."),
    later_word(
        "delete_insert",
        "replacing all rows of a key",
        "write mode: upsert",
    ),
];
static CREATE: [Word; 2] = [
    word("if_missing", "If it is not there."),
    word("never", "Never."),
];
const CREATES: [(&str, Create); 2] = [("if_missing", Create::IfMissing), ("never", Create::Never)];
static DELIVERY: [Word; 2] = [
    word(
        "exactly_once",
        "Rows and offsets are written in one transaction; the offsets are in the schema `watertable` of the database.",
    ),
    word(
        "at_least_once",
        "Nothing but the rows is written, and a crash can write rows again.",
    ),
];
const DELIVERIES: [(&str, Delivery); 2] = [
    ("exactly_once", Delivery::ExactlyOnce),
    ("at_least_once", Delivery::AtLeastOnce),
];
static BATCH: Object = Object {
    what: "how much is written in one transaction",
    keys: &[
        key("rows", Shape::Whole(1, 1_000_000), "At most so many rows.").default("10000"),
        key(
            "every",
            Shape::Text(&SPAN_POSITIVE),
            "What came in so long.",
        )
        .default("1s"),
    ],
    one_of: OneOf::None,
};
pub(crate) static POSTGRES: Object = Object {
    what: "a table to write",
    keys: &[
        key(
            "connection",
            Shape::Text(&secret::POSTGRES),
            "How the database is reached: `secret:NAME`, or a URL without a password.",
        )
        .required("secret:NAME"),
        key("table", Shape::Text(&TABLE), "The table.").required("public.trips"),
        key("mode", Shape::Words(&MODE), "What writing a row does.").default("upsert"),
        key(
            "key",
            KEY,
            "With `upsert`: the column, or the list of columns, of the key.",
        ),
        key(
            "create",
            Shape::Words(&CREATE),
            "Whether the table is created.",
        )
        .default("if_missing"),
        key("delivery", Shape::Words(&DELIVERY), "What a crash can do.").default("exactly_once"),
        key(
            "batch",
            Shape::Object(&BATCH),
            "How much is written in one transaction.",
        ),
    ],
    one_of: OneOf::None,
};

pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<PostgresSink> {
    let batch = view.map("batch", &BATCH);
    let rows = batch.as_ref().and_then(|view| view.whole("rows"));
    let every = batch.and_then(|view| view.text("every")?.parse().ok());
    let default = Batch::default();
    Some(PostgresSink {
        mode: mode(view, problems)?,
        connection: secret::connection(view.text("connection")?).ok()?,
        table: view.owned("table")?,
        create: view.word("create", &CREATES).unwrap_or_default(),
        delivery: view.word("delivery", &DELIVERIES).unwrap_or_default(),
        batch: Batch {
            rows: rows.unwrap_or(default.rows),
            every: every.unwrap_or(default.every),
        },
    })
}

fn mode(view: &View<'_>, problems: &mut Problems) -> Option<Mode> {
    let key = key_columns(view, problems);
    let word = if view.has("mode") {
        view.text("mode")?
    } else {
        "upsert"
    };
    match (word, view.has("key")) {
        ("append", false) => Some(Mode::Append),
        ("append", true) => {
            let with = "mode: append".to_owned();
            let instead = "leave it out, or write mode: upsert";
            view.problem_of_key("key", Cause::Meaningless { with, instead }, problems);
            None
        }
        (_, true) => Some(Mode::Upsert { key }),
        (_, false) => {
            let cause = Cause::Needs {
                with: "mode: upsert",
                key: "key",
                example: "COLUMN",
            };
            view.problem("mode", cause, problems);
            None
        }
    }
}

pub(crate) fn write(postgres: &PostgresSink) -> Value {
    let written = Written::default()
        .with("connection", postgres.connection.write())
        .with("table", Value::Text(escape(&postgres.table)));
    let written = match &postgres.mode {
        Mode::Upsert { key } => written.with("key", Value::one_or_many(key)),
        Mode::Append => written.with("mode", Value::text("append")),
    };
    let create = match postgres.create {
        Create::IfMissing => "if_missing",
        Create::Never => "never",
    };
    let delivery = match postgres.delivery {
        Delivery::ExactlyOnce => "exactly_once",
        Delivery::AtLeastOnce => "at_least_once",
    };
    let default = Batch::default();
    let batch = Written::default()
        .number_unless("rows", postgres.batch.rows, default.rows)
        .unless("every", postgres.batch.every, default.every);
    let batch = (!batch.is_empty()).then(|| batch.done());
    written
        .unless("create", create, "if_missing")
        .unless("delivery", delivery, "exactly_once")
        .maybe("batch", batch)
        .done()
}
