//! [`Plan`]: the statements that write these columns to that table, or everything that keeps them from fitting.
//!
//! Rows come into a stage, a temporary table whose columns have the types of the values. From there every value is cast to the type of
//! its column without limits of length, and assigned, so that PostgreSQL judges each row by itself and cuts nothing. A row of the stage has
//! a number, its place in the batch; every statement works on a range of numbers, so that a batch can be written in parts to find the row
//! that is refused.
//!
//! Of several rows with the same key in a range the last one counts. Whatever is deleted in it is deleted first, and then what
//! remains is inserted: that is what happens when they come one after the other.
//!
//! Writers side by side that write the same keys wait for each other and never in a circle: rows are inserted in the order of their
//! keys, and a batch that deletes, whose order PostgreSQL chooses, has the table to itself among the sinks that write it.
//!
//! Pure.

use contract::{Column, DataType};

use crate::postgres::catalog::{BaseType, Relation, RelationColumn, Unique};
use crate::postgres::name::{NAME_BYTES_MAX, quoted};

/// The name of the stage. It is in the schema of temporary tables, and seen by its session alone.
const STAGE: &str = "pg_temp.watertable_stage";

/// Begins a transaction, whatever the database has as a default.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// The upper half of the numbers of our advisory locks: `wate`; the lower one is the table.
const LOCK_CLASS: u64 = 0x7761_7465;

/// Statements. Those with parameters take the range of numbers: from, and up to but not with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Makes the stage, once in a session.
    pub(crate) stage: String,
    /// Fills it.
    pub(crate) copy: String,
    /// Begins the transaction of a batch with deletes, and of one without.
    pub(crate) begin_deleting: String,
    pub(crate) begin: String,
    pub(crate) delete: String,
    pub(crate) insert: String,
    /// The columns of the key, by their places.
    pub(crate) key: Vec<usize>,
}

/// A column and where it goes.
struct Pair<'a> {
    column: &'a Column,
    target: &'a RelationColumn,
}

/// The statements, if all fits.
///
/// # Errors
/// Everything that does not, each with what to do.
pub(crate) fn plan(
    relation: &Relation,
    unique: &[Unique],
    columns: &[Column],
    key: &[String],
    is_utf8: bool,
) -> Result<Plan, Vec<String>> {
    let mut problems = Vec::new();
    let mut pairs = Vec::with_capacity(columns.len());
    for column in columns {
        match relation.column(&column.name) {
            None => problems.push(missing(column)),
            Some(target) => {
                problems.extend(misfit(column, target));
                pairs.push(Pair { column, target });
            }
        }
    }
    problems.extend(relation.columns.iter().filter_map(|target| {
        let is_written = columns.iter().any(|column| column.name == target.name);
        let needs = target.not_null && !target.has_default && !target.generated;
        (needs && !is_written).then(|| {
            let name = &target.name;
            format!("its column {name} is NOT NULL and has no default, and the pipeline has no such column: add it to the query, or give the column a default")
        })
    }));
    problems.extend(key_problem(unique, key));
    let places = key
        .iter()
        .map(|name| columns.iter().position(|column| column.name == *name));
    let places: Option<Vec<_>> = places.collect();
    match places {
        Some(key) if problems.is_empty() => Ok(statements(relation, &pairs, key, is_utf8)),
        Some(_) => Err(problems),
        None => {
            let list = key.join(", ");
            problems.push(format!(
                "the key ({list}) is not among the columns of the query"
            ));
            Err(problems)
        }
    }
}

/// What to say of a column that the table does not have.
fn missing(column: &Column) -> String {
    let name = &column.name;
    format!("it has no column {name}: add it, or leave it out of the query")
}

fn key_problem(unique: &[Unique], key: &[String]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    let is_key = |unique: &Unique| {
        unique.columns.len() == key.len() && key.iter().all(|name| unique.columns.contains(name))
    };
    if unique.iter().any(is_key) {
        return None;
    }
    let list: Vec<_> = key.iter().map(|name| quoted(name)).collect();
    let list = list.join(", ");
    let found: Vec<_> = unique
        .iter()
        .map(|unique| format!("({})", unique.columns.join(", ")))
        .collect();
    let found = if found.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", found.join(", "))
    };
    Some(format!(
        "mode: upsert needs a primary key or unique index on exactly ({list}) that is not deferrable and of all rows, and {found}: create one, as CREATE UNIQUE INDEX ON … ({list})"
    ))
}

/// Why values of the column cannot be written there.
pub(crate) fn misfit(column: &Column, target: &RelationColumn) -> Option<String> {
    let name = &column.name;
    if name.len() > NAME_BYTES_MAX {
        return Some(format!(
            "the name of column {name} is longer than {NAME_BYTES_MAX} bytes, which PostgreSQL would cut: rename it in the query"
        ));
    }
    if target.generated {
        return Some(format!(
            "its column {name} is generated always: leave it out of the query"
        ));
    }
    let (from, to) = (column.data_type, &target.type_text);
    if !fits(from, &target.base) {
        return Some(format!(
            "its column {name} is {to}, and the pipeline writes {from}: cast it in the query, or change the column"
        ));
    }
    is_rounded(from, &target.base).then(|| {
        format!(
            "its column {name} is {to}, and the pipeline writes {from}, which would be rounded: cast it in the query, to text for what PostgreSQL makes of that, or change the column"
        )
    })
}

/// Whether there are values of the type that the other one takes and does not hold.
fn is_rounded(from: DataType, to: &BaseType) -> bool {
    let behind_point = to.digits.map(|(_, behind_point)| behind_point);
    match (from, to.name.as_str()) {
        (DataType::Decimal { scale, .. }, _) => {
            behind_point.is_some_and(|digits| i32::from(scale) > digits)
        }
        (DataType::SmallInt | DataType::Int | DataType::BigInt, "numeric") => {
            behind_point.is_some_and(|digits| digits < 0)
        }
        (DataType::Int | DataType::BigInt | DataType::Double, "float4")
        | (DataType::BigInt, "float8") => true,
        (DataType::Timestamp | DataType::TimestampTz, _) => {
            to.second_digits.is_some_and(|digits| digits < 6)
        }
        _ => false,
    }
}

/// Whether every value of the type can be one of the other, or is refused.
fn fits(from: DataType, to: &BaseType) -> bool {
    let is_text = matches!(to.name.as_str(), "text" | "varchar" | "bpchar");
    let among = |names: &[&str]| names.contains(&to.name.as_str());
    match from {
        // What text can be is said by the type's own input function, row by row.
        DataType::Text => true,
        DataType::Json => is_text || among(&["json", "jsonb"]),
        DataType::Boolean => is_text || among(&["bool"]),
        DataType::SmallInt | DataType::Int | DataType::BigInt => {
            is_text || among(&["int2", "int4", "int8", "numeric", "float4", "float8"])
        }
        DataType::Real | DataType::Double => is_text || among(&["float4", "float8"]),
        DataType::Decimal { .. } => is_text || among(&["numeric"]),
        DataType::Bytea => among(&["bytea"]),
        DataType::Date => is_text || among(&["date", "timestamp", "timestamptz"]),
        DataType::Timestamp | DataType::TimestampTz => {
            is_text || among(&["timestamp", "timestamptz"])
        }
    }
}

/// The type that a column of a table that is created has.
pub(crate) fn sql_type(of: DataType) -> String {
    match of {
        DataType::Boolean => "boolean".to_owned(),
        DataType::SmallInt => "smallint".to_owned(),
        DataType::Int => "integer".to_owned(),
        DataType::BigInt => "bigint".to_owned(),
        DataType::Real => "real".to_owned(),
        DataType::Double => "double precision".to_owned(),
        DataType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        DataType::Text => "text".to_owned(),
        DataType::Bytea => "bytea".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Timestamp => "timestamp without time zone".to_owned(),
        DataType::TimestampTz => "timestamp with time zone".to_owned(),
        DataType::Json => "jsonb".to_owned(),
    }
}

/// The name that the catalogue has for it.
pub(crate) const fn type_name(of: DataType) -> &'static str {
    match of {
        DataType::Boolean => "bool",
        DataType::SmallInt => "int2",
        DataType::Int => "int4",
        DataType::BigInt => "int8",
        DataType::Real => "float4",
        DataType::Double => "float8",
        DataType::Decimal { .. } => "numeric",
        DataType::Text => "text",
        DataType::Bytea => "bytea",
        DataType::Date => "date",
        DataType::Timestamp => "timestamp",
        DataType::TimestampTz => "timestamptz",
        DataType::Json => "jsonb",
    }
}

/// The type of a column of the stage. Where the database cannot hold all text, text comes as bytes and becomes text row by row.
fn stage_type(of: DataType, is_utf8: bool) -> String {
    match of {
        DataType::Text | DataType::Json if is_utf8 => "text".to_owned(),
        DataType::Text | DataType::Json => "bytea".to_owned(),
        // Without limits: the batch has what it has.
        DataType::Decimal { .. } => "numeric".to_owned(),
        other => sql_type(other),
    }
}

fn text_of(column: &str, is_utf8: bool) -> String {
    if is_utf8 {
        column.to_owned()
    } else {
        format!("pg_catalog.convert_from({column}, 'UTF8')")
    }
}

fn statements(relation: &Relation, pairs: &[Pair<'_>], key: Vec<usize>, is_utf8: bool) -> Plan {
    let has_key = !key.is_empty();
    let mut stage = vec!["n integer NOT NULL".to_owned()];
    let mut staged = vec!["n".to_owned()];
    if has_key {
        let text = stage_type(DataType::Text, is_utf8);
        stage.push("deleted boolean NOT NULL".to_owned());
        staged.push("deleted".to_owned());
        for at in 0..key.len() {
            stage.push(format!("d{at} {text}"));
            staged.push(format!("d{at}"));
        }
    }
    for (at, pair) in pairs.iter().enumerate() {
        stage.push(format!(
            "c{at} {}",
            stage_type(pair.column.data_type, is_utf8)
        ));
        staged.push(format!("c{at}"));
    }
    let values: Vec<_> = pairs.iter().enumerate().map(|(at, pair)| {
        let value = match pair.column.data_type {
            DataType::Text | DataType::Json => text_of(&format!("c{at}"), is_utf8),
            _ => format!("c{at}"),
        };
        let cast = format!("CAST({value} AS {})", pair.target.base.sql);
        match key.iter().position(|column| *column == at) {
            // A delete has only its key, as text.
            Some(of_key) => {
                let deleted = text_of(&format!("d{of_key}"), is_utf8);
                let sorted = pair.target.collation.as_ref().map_or(String::new(), |collation| format!(" COLLATE {collation}"));
                format!("(CASE WHEN deleted THEN CAST({deleted} AS {}) ELSE {cast} END){sorted} AS v{at}", pair.target.base.sql)
            }
            None => format!("{cast} AS v{at}"),
        }
    }).collect();
    let names: Vec<_> = pairs.iter().map(|pair| quoted(&pair.target.name)).collect();
    let all: Vec<_> = (0..pairs.len()).map(|at| format!("v{at}")).collect();
    let (names_list, all) = (names.join(", "), all.join(", "));
    let values = values.join(", ");
    let table = relation.sql();
    let of_range = "n >= $1::int AND n < $2::int";
    let key_values: Vec<_> = key.iter().map(|at| format!("v{at}")).collect();
    let key_values = key_values.join(", ");
    // Which rows of the table have a key that is deleted.
    let deleted = format!(
        "(SELECT DISTINCT {key_values} FROM (SELECT n, {values} FROM {STAGE} WHERE deleted AND {of_range}) s) d"
    );
    let same: Vec<_> = key
        .iter()
        .filter_map(|at| Some(format!("t.{} = d.v{at}", names.get(*at)?)))
        .collect();
    let same = same.join(" AND ");
    let lock = LOCK_CLASS << 32 | u64::from(relation.oid);
    let begin = |function: &str| {
        if has_key {
            format!("{BEGIN}; SELECT pg_catalog.{function}({lock})")
        } else {
            BEGIN.to_owned()
        }
    };
    let insert = if has_key {
        let key_names: Vec<_> = key
            .iter()
            .filter_map(|at| names.get(*at).cloned())
            .collect();
        let updates: Vec<_> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !key.contains(at))
            .map(|(_, name)| format!("{name} = EXCLUDED.{name}"))
            .collect();
        let action = if updates.is_empty() {
            "DO NOTHING".to_owned()
        } else {
            format!("DO UPDATE SET {}", updates.join(", "))
        };
        format!(
            "INSERT INTO {table} ({names_list}) SELECT {all} FROM (SELECT DISTINCT ON ({key_values}) deleted, {all} FROM \
             (SELECT n, deleted, {values} FROM {STAGE} WHERE {of_range}) s ORDER BY {key_values}, n DESC) l \
             WHERE NOT deleted ORDER BY {key_values} ON CONFLICT ({}) {action}",
            key_names.join(", ")
        )
    } else {
        format!(
            "INSERT INTO {table} ({names_list}) SELECT {all} FROM (SELECT n, {values} FROM {STAGE} WHERE {of_range}) s ORDER BY n"
        )
    };
    Plan {
        stage: format!(
            "CREATE TEMPORARY TABLE {} ({}) ON COMMIT DELETE ROWS",
            STAGE,
            stage.join(", ")
        ),
        copy: format!(
            "COPY {STAGE} ({}) FROM STDIN (FORMAT binary)",
            staged.join(", ")
        ),
        begin_deleting: begin("pg_advisory_xact_lock"),
        begin: begin("pg_advisory_xact_lock_shared"),
        delete: format!("DELETE FROM {table} t USING {deleted} WHERE {same}"),
        insert,
        key,
    }
}
