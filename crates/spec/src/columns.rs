//! [`Columns`]: the columns that an input declares, and what happens to records with others.

use contract::{Column, Contract, DataType, Format};

use crate::names::COLUMN;
use crate::problem::{Cause, Position, Problems};
use crate::shape::{Key, Rule, Shape, Word, key, word};
use crate::value::{Value, Written};
use crate::view::{View, text_of};

/// The declared columns of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The columns, in their order; at least one.
    pub columns: Vec<Column>,
    /// What happens when a record has a column that is not declared.
    pub on_new: OnNewColumn,
    /// What happens when a record has no such column.
    pub on_missing: OnMissingColumn,
}

/// What happens when a record has a column that is not declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNewColumn {
    /// It is left out.
    #[default]
    Ignore,
    /// It is added to the contract, as text.
    Add,
    /// The input fails.
    Fail,
}

/// What happens when a declared column is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissingColumn {
    /// The input fails.
    #[default]
    Fail,
    /// It is NULL.
    Null,
}

const TYPE_FORM: &str = "a type of a column, as text, bigint, timestamptz or decimal(10,2), with not null behind it where it has to be there";
/// What a comma cut in two.
const CUT_FORM: &str =
    "a type of a column; within { } one with a comma stands in quotes, as \"decimal(10,2)\"";
/// What stands behind a type.
const BEHIND_FORM: &str = "a type of a column: behind the type stands nothing, or not null";
static TYPE: Rule = Rule::new(TYPE_FORM, "", |text| column_type(text).map(drop));

static ON_NEW: [Word; 3] = [
    word("ignore", "It is left out."),
    word("add", "It is added to the contract, as text."),
    word("fail", "The input fails."),
];
static ON_MISSING: [Word; 2] = [
    word("fail", "The input fails."),
    word(
        "null",
        "It is NULL; `null` stands in quotes, or YAML reads it as nothing.",
    ),
];
const ON_NEW_WORDS: [(&str, OnNewColumn); 3] = [
    ("ignore", OnNewColumn::Ignore),
    ("add", OnNewColumn::Add),
    ("fail", OnNewColumn::Fail),
];
const ON_MISSING_WORDS: [(&str, OnMissingColumn); 2] = [
    ("fail", OnMissingColumn::Fail),
    ("null", OnMissingColumn::Null),
];

static TYPE_SHAPE: Shape = Shape::Text(&TYPE);
pub(crate) const COLUMNS: Key = key(
    "columns",
    Shape::Named(&COLUMN, &TYPE_SHAPE),
    "The contract: names of columns with their types, as `bigint not null`. Without one a CSV file has columns of text, and a topic those that every topic has and those of its stored contract.",
);
pub(crate) const ON_NEW_COLUMN: Key = key(
    "on_new_column",
    Shape::Words(&ON_NEW),
    "What happens when a record has a column that is not declared.",
)
.default("ignore");
pub(crate) const ON_MISSING_COLUMN: Key = key(
    "on_missing_column",
    Shape::Words(&ON_MISSING),
    "What happens when a declared column is missing.",
)
.default("fail");

/// `bigint not null`
fn column_type(text: &str) -> Result<(DataType, bool), Cause> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let words: Vec<_> = lower.split_whitespace().collect();
    let (name, nullable) = match words.as_slice() {
        [name @ .., "not", "null"] => (name, false),
        [name @ .., "null"] => (name, true),
        name => (name, true),
    };
    if lower.contains('(') && !lower.contains(')') {
        let found = text.to_owned();
        let rule = CUT_FORM;
        return Err(Cause::Unfit { found, rule });
    }
    match name.join(" ").parse::<DataType>() {
        Ok(data_type) => Ok((data_type, nullable)),
        // The type is right, and what follows it is not.
        Err(_unknown)
            if name
                .first()
                .is_some_and(|first| first.parse::<DataType>().is_ok()) =>
        {
            let found = text.to_owned();
            let rule = BEHIND_FORM;
            Err(Cause::Unfit { found, rule })
        }
        Err(unknown) => Err(Cause::Contract(unknown)),
    }
}

/// The columns of an input, if it declares any.
pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<Columns> {
    if !view.has("columns") {
        for key in ["on_new_column", "on_missing_column"] {
            if view.has(key) {
                let with = "no columns".to_owned();
                let instead = "write columns: beside it, or leave it out";
                view.problem_of_key(key, Cause::Meaningless { with, instead }, problems);
            }
        }
        return None;
    }
    let mut columns = Vec::new();
    let mut places: Vec<(Position, String)> = Vec::new();
    for (entry, path) in view.named("columns") {
        let (data_type, nullable) = column_type(text_of(&entry.value)?).ok()?;
        columns.push(Column {
            name: entry.key.clone(),
            data_type,
            nullable,
        });
        places.push((entry.key_at, path));
    }
    check(&columns, &places, view, problems)?;
    Some(Columns {
        columns,
        on_new: view
            .word("on_new_column", &ON_NEW_WORDS)
            .unwrap_or_default(),
        on_missing: view
            .word("on_missing_column", &ON_MISSING_WORDS)
            .unwrap_or_default(),
    })
}

/// What contracts say about columns, at the column that it is about.
fn check(
    columns: &[Column],
    places: &[(Position, String)],
    view: &View<'_>,
    problems: &mut Problems,
) -> Option<()> {
    let Err(error) = Contract::new(Format::Json, columns.to_vec()) else {
        return Some(());
    };
    let index = error.place.strip_prefix("columns[");
    let index = index.and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
    match index.and_then(|index| places.get(index)) {
        Some((at, path)) => problems.add(*at, path, Cause::Contract(error.cause)),
        None => view.problem("columns", Cause::Contract(error.cause), problems),
    }
    None
}

pub(crate) fn write(written: Written, columns: Option<&Columns>) -> Written {
    let Some(columns) = columns else {
        return written;
    };
    let declared = columns.columns.iter().map(|column| {
        let not_null = if column.nullable { "" } else { " not null" };
        let text = format!("{}{not_null}", column.data_type);
        (column.name.clone(), Value::Text(text))
    });
    let on_new = ON_NEW_WORDS
        .iter()
        .find(|(_, meaning)| *meaning == columns.on_new);
    let on_missing = ON_MISSING_WORDS
        .iter()
        .find(|(_, meaning)| *meaning == columns.on_missing);
    written
        .with("columns", Value::Map(declared.collect()))
        .unless(
            "on_new_column",
            on_new.map_or("", |(name, _)| name),
            "ignore",
        )
        .unless(
            "on_missing_column",
            on_missing.map_or("", |(name, _)| name),
            "fail",
        )
}
