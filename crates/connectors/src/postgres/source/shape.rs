//! [`Shape`]: what is read, from the catalogue: columns, the cursor, and what tells rows apart.

use contract::{Column, DataType, NAME_BYTES_MAX};
use spec::{Columns, Incremental, OnMissingColumn, OnNewColumn, Postgres, Rows};

use crate::postgres::catalog::{self, RelationColumn};
use crate::postgres::failure::Failure;
use crate::postgres::name::{TableName, quoted};
use crate::postgres::session::{Session, get};

use super::error::SourceError;

/// What is read.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// What stands behind FROM; its rows are `t`.
    pub(super) from: String,
    /// The columns of the records, each with the expression that gives its text.
    pub(super) columns: Vec<(Column, String)>,
    pub(super) cursor: Option<Cursor>,
    /// What tells rows apart; none if nothing is known to.
    pub(super) ties: Vec<KeyColumn>,
    /// What somebody should know.
    pub(super) warnings: Vec<String>,
}

/// A column that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// The type that a text is cast to.
    pub(super) type_sql: String,
    pub(super) may_be_null: bool,
    /// The expression of its text.
    pub(super) text: String,
    /// What its values are ordered as. Types with the same order read each other's texts, so a column may go from one to another.
    pub(super) order: String,
}

/// The column that grows with each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) column: KeyColumn,
    /// What holds of its values that have others behind them: not of infinity, nor of what is no number.
    pub(super) finite: Option<String>,
    /// How far back each run looks, as an interval.
    pub(super) lookback: Option<String>,
}

impl KeyColumn {
    fn new(column: &RelationColumn) -> Self {
        Self {
            name: column.name.clone(),
            type_sql: column.base.sql.clone(),
            may_be_null: !column.not_null,
            text: text_of(column),
            order: order_of(column),
        }
    }

    /// As an identifier.
    pub(super) fn sql(&self) -> String {
        format!("t.{}", quoted(&self.name))
    }
}

/// What is read, in words.
pub(super) fn what(spec: &Postgres) -> String {
    match &spec.rows {
        Rows::Table(table) => format!("table {table}"),
        Rows::Query(_) => "the query".to_owned(),
    }
}

/// Looks it up.
pub(super) async fn shape(
    session: &Session,
    doing: &str,
    spec: &Postgres,
    declared: Option<&Columns>,
) -> Result<Shape, SourceError> {
    let unfit = |problems: Vec<String>| SourceError::Unfit {
        what: what(spec),
        problems,
    };
    let (from, found, unique, oid) = match &spec.rows {
        Rows::Table(table) => {
            let name = TableName::new(table);
            let Some(relation) = catalog::relation(session, doing, &name).await? else {
                return Err(unfit(vec!["there is no such table".to_owned()]));
            };
            let unique = catalog::unique(session, doing, relation.oid).await?;
            (
                format!("{} AS t", relation.sql()),
                relation.columns,
                unique,
                Some(relation.oid),
            )
        }
        Rows::Query(query) => {
            // A comment at its end ends with its line.
            let from = format!("(\n{query}\n) AS t");
            let all = format!("SELECT * FROM {from}");
            let found = catalog::columns_of_query(session, doing, &all).await?;
            (from, found, Vec::new(), None)
        }
    };
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let columns = read_columns(&found, declared, &mut problems, &mut warnings);
    let incremental = spec.incremental.as_ref();
    let cursor = incremental.and_then(|incremental| cursor(incremental, &found, &mut problems));
    let breaker = incremental.and_then(|incremental| incremental.tie_breaker.as_ref());
    let ties: Vec<String> = match breaker {
        Some(breaker) => vec![breaker.clone()],
        None => {
            let primary = unique.into_iter().find(|unique| unique.is_primary);
            primary.map_or(Vec::new(), |primary| primary.columns)
        }
    };
    let mut keys = Vec::with_capacity(ties.len());
    for name in ties {
        match found.iter().find(|column| column.name == name) {
            Some(column) => keys.push(KeyColumn::new(column)),
            None => problems.push(format!("it has no column {name}, which tie_breaker names")),
        }
    }
    if !problems.is_empty() {
        return Err(unfit(problems));
    }
    if let (Some(cursor), Some(oid)) = (&cursor, oid) {
        warnings.extend(index_warning(session, doing, oid, &cursor.column).await?);
    }
    warnings.extend(cursor.as_ref().map_or(Vec::new(), |cursor| {
        cursor_warnings(cursor, !keys.is_empty(), oid.is_some())
    }));
    if cursor.is_none() && keys.is_empty() {
        warnings.push("nothing tells its rows apart, so it is read in one go, and after a crash from its beginning: give the table a primary key".to_owned());
    }
    Ok(Shape {
        from,
        columns,
        cursor,
        ties: keys,
        warnings,
    })
}

fn cursor(
    incremental: &Incremental,
    found: &[RelationColumn],
    problems: &mut Vec<String>,
) -> Option<Cursor> {
    let name = &incremental.cursor;
    let Some(column) = found.iter().find(|column| column.name == *name) else {
        problems.push(format!("it has no column {name}, which cursor names"));
        return None;
    };
    let key = KeyColumn::new(column);
    let sql = key.sql();
    let is_time = matches!(
        column.base.name.as_str(),
        "date" | "timestamp" | "timestamptz"
    );
    let finite = match column.base.name.as_str() {
        _ if is_time => Some(format!("pg_catalog.isfinite({sql})")),
        // Behind infinity is NaN.
        "float4" | "float8" => Some(format!("{sql} > '-Infinity' AND {sql} < 'Infinity'")),
        // Infinity less infinity is NaN; before PostgreSQL 14 it knows no other word for either.
        "numeric" => Some(format!("{sql} - {sql} = 0")),
        _ => None,
    };
    let milliseconds = incremental.lookback.duration().as_millis();
    if milliseconds > 0 && !is_time {
        problems.push(format!("lookback needs a cursor that is a date or timestamp, and {name} is {}: leave lookback out", column.type_text));
    }
    Some(Cursor {
        column: key,
        finite,
        lookback: (milliseconds > 0).then(|| format!("{milliseconds} milliseconds")),
    })
}

fn cursor_warnings(cursor: &Cursor, has_ties: bool, is_table: bool) -> Vec<String> {
    let name = &cursor.column.name;
    let mut warnings = Vec::new();
    if cursor.column.may_be_null && is_table {
        warnings.push(format!(
            "rows whose {name} is NULL are read in the snapshot only"
        ));
    }
    match &cursor.lookback {
        Some(lookback) => warnings.push(format!("each run reads the rows of the last {lookback} before its start again; they collapse by the key of what is written")),
        None => warnings.push(format!("a transaction that commits after a run and has an earlier {name} is not seen: write lookback: with the longest that one takes")),
    }
    if !has_ties {
        warnings.push(format!(
            "rows of the same {name} are read at once: name a tie_breaker if there are many"
        ));
    }
    warnings
}

async fn index_warning(
    session: &Session,
    doing: &str,
    oid: u32,
    column: &KeyColumn,
) -> Result<Option<String>, Failure> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
        WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND a.attname = $2::text::name)";
    let rows = session.query(doing, sql, &[&oid, &column.name]).await?;
    let has: bool = rows.first().map_or(Ok(true), |row| get(doing, row, 0))?;
    let name = &column.name;
    Ok((!has).then(|| format!("no index begins with {name}, so each run reads the whole table: CREATE INDEX ON … ({})", quoted(name))))
}

/// The columns of the records: those that are declared, or all that there are.
fn read_columns(
    found: &[RelationColumn],
    declared: Option<&Columns>,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Vec<(Column, String)> {
    let Some(declared) = declared else {
        let all = found
            .iter()
            .map(|column| (resolved(column, warnings), text_of(column)));
        let all: Vec<_> = all.collect();
        problems.extend(
            all.iter()
                .filter_map(|(column, _)| name_problem(&column.name)),
        );
        return all;
    };
    let mut columns = Vec::new();
    for column in &declared.columns {
        match found.iter().find(|found| found.name == column.name) {
            Some(found) => columns.push((column.clone(), text_of(found))),
            None if declared.on_missing == OnMissingColumn::Null => columns.push((column.clone(), "NULL::text".to_owned())),
            None => problems.push(format!("it has no column {}: leave it out of columns:, or write on_missing_column: \"null\"", column.name)),
        }
    }
    let is_new = |found: &&RelationColumn| {
        !declared
            .columns
            .iter()
            .any(|column| column.name == found.name)
    };
    for new in found.iter().filter(is_new) {
        match declared.on_new {
            OnNewColumn::Ignore => {}
            OnNewColumn::Add => columns.push((Column::new(&*new.name, DataType::Text), text_of(new))),
            OnNewColumn::Fail => problems.push(format!("it has a column {} that is not declared: add it to columns:, or write on_new_column: ignore", new.name)),
        }
    }
    columns
}

/// What a contract says of names, where the name is the database's.
fn name_problem(name: &str) -> Option<String> {
    let is_fine = !name.is_empty()
        && !name.starts_with('_')
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(char::is_control);
    (!is_fine).then(|| format!("a column cannot have the name {name:?} here: read it by a query that gives it another one"))
}

/// The column that a record has for it.
fn resolved(column: &RelationColumn, warnings: &mut Vec<String>) -> Column {
    let data_type = match (column.base.name.as_str(), column.base.digits) {
        ("bool", _) => DataType::Boolean,
        ("int2", _) => DataType::SmallInt,
        ("int4", _) => DataType::Int,
        ("int8", _) => DataType::BigInt,
        ("float4", _) => DataType::Real,
        ("float8", _) => DataType::Double,
        ("numeric", Some((precision, scale))) => {
            match (u8::try_from(precision), u8::try_from(scale)) {
                (Ok(precision), Ok(scale))
                    if precision <= contract::DECIMAL_DIGITS_MAX && scale <= precision =>
                {
                    DataType::Decimal { precision, scale }
                }
                _ => DataType::Text,
            }
        }
        ("bytea", _) => DataType::Bytea,
        ("date", _) => DataType::Date,
        ("timestamp", _) => DataType::Timestamp,
        ("timestamptz", _) => DataType::TimestampTz,
        ("json" | "jsonb", _) => DataType::Json,
        _ => DataType::Text,
    };
    if column.base.name == "numeric" && data_type == DataType::Text {
        let name = &column.name;
        warnings.push(format!("column {name} is {}, which may have any number of digits, and is read as text: declare it as decimal(…) in columns:", column.type_text));
    }
    let read = Column::new(&*column.name, data_type);
    if column.not_null {
        read.not_null()
    } else {
        read
    }
}

fn order_of(column: &RelationColumn) -> String {
    let order = match column.base.name.as_str() {
        "int2" | "int4" | "int8" | "numeric" => "number",
        "text" | "varchar" => "text",
        "" => &column.base.sql,
        name => name,
    };
    match &column.collation {
        Some(collation) => format!("{order} COLLATE {collation}"),
        None => order.to_owned(),
    }
}

/// The text of a value, as PostgreSQL shows it. A cast is that for these; of other types it may say something else, as of inet.
fn text_of(column: &RelationColumn) -> String {
    let name = format!("t.{}", quoted(&column.name));
    match column.base.name.as_str() {
        "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "text"
        | "varchar" | "uuid" | "bytea" | "date" | "timestamp" | "timestamptz" | "json"
        | "jsonb" => format!("{name}::text"),
        _ => format!("CASE WHEN {name} IS NULL THEN NULL ELSE pg_catalog.format('%s', {name}) END"),
    }
}
