//! The statements that add to topics: INSERT, COPY FROM, CREATE TABLE, DROP TABLE; what of them there is, and their errors.
//!
//! Invariant: a clause that is not done is refused by its name.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    CopyTarget, CreateTable, Ident, Insert, ObjectName, ObjectType, Query, SetExpr, Statement,
};

use super::copy::CopyFormat;
use super::error::{PgError, state, with_causes};
use super::rewrite;
use super::statement::{Command, refused};
use crate::write::{DefinitionError, InsertError, RowError, WriteError};

/// INSERT.
pub(super) fn insert(mut insert: Insert) -> Command {
    let clauses = [
        (
            "RETURNING",
            insert.returning.is_some(),
            "SELECT shows what a topic has; _offset numbers its records.",
        ),
        (
            "ON CONFLICT",
            insert.on.is_some(),
            "Records have no keys that could be in conflict: a newer one with the same _key follows the older.",
        ),
        (
            "INSERT without VALUES or a query",
            insert.source.is_none(),
            "INSERT INTO topic (_key, _value) VALUES ('key', 'value')",
        ),
    ];
    if let Some((clause, _, hint)) = clauses.into_iter().find(|(_, is_there, _)| *is_there) {
        return refused(&format!("{clause} is not supported"), hint);
    }
    // A name for the target has nothing to stand for here.
    insert.table_alias = None;
    let plain = Insert {
        insert_token: insert.insert_token.clone(),
        into: insert.into,
        table: insert.table.clone(),
        columns: insert.columns.clone(),
        source: insert.source.clone(),
        ..nothing()
    };
    if insert != plain {
        return refused(
            "this form of INSERT is not supported",
            "INSERT INTO topic (_key, _value) VALUES ('key', 'value')",
        );
    }
    let mut statement = Statement::Insert(plain);
    rewrite::rewrite(&mut statement);
    Command::Insert(Arc::new(statement))
}

/// An INSERT with none of its clauses.
fn nothing() -> Insert {
    Insert {
        insert_token:
            datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        or: None,
        ignore: false,
        into: false,
        table: datafusion::sql::sqlparser::ast::TableObject::TableName(ObjectName(Vec::new())),
        table_alias: None,
        columns: Vec::new(),
        overwrite: false,
        source: None,
        assignments: Vec::new(),
        partitioned: None,
        after_columns: Vec::new(),
        has_table_keyword: false,
        on: None,
        returning: None,
        output: None,
        replace_into: false,
        priority: None,
        insert_alias: None,
        settings: None,
        format_clause: None,
        multi_table_insert_type: None,
        multi_table_into_clauses: Vec::new(),
        multi_table_when_clauses: Vec::new(),
        multi_table_else_clause: None,
    }
}

/// `WITH names AS (...) INSERT ...`, if a query is that: the names are for the rows.
pub(super) fn insert_with(query: &mut Query) -> Option<Command> {
    let SetExpr::Insert(Statement::Insert(insert)) = query.body.as_mut() else {
        return None;
    };
    if let (Some(with), Some(source)) = (query.with.take(), &mut insert.source) {
        if source.with.is_some() {
            return Some(refused(
                "WITH both before INSERT and in its query is not supported",
                "Name all parts in one WITH.",
            ));
        }
        source.with = Some(with);
    }
    Some(self::insert(insert.clone()))
}

/// CREATE TABLE.
pub(super) fn create_table(statement: CreateTable) -> Command {
    Command::CreateTable(Arc::new(statement))
}

/// DROP of anything.
pub(super) fn drop(kind: ObjectType, names: Vec<ObjectName>, if_exists: bool) -> Command {
    if kind == ObjectType::Table {
        return Command::DropTable { names, if_exists };
    }
    refused(
        &format!("DROP {kind} is not supported"),
        "Topics are all there is to drop: DROP TABLE.",
    )
}

/// COPY FROM.
pub(super) fn copy_in(
    table: ObjectName,
    columns: Vec<Ident>,
    target: &CopyTarget,
    format: CopyFormat,
) -> Command {
    if *target != CopyTarget::Stdin {
        return refused(
            "COPY FROM a file or program of the server is not supported",
            "COPY ... FROM STDIN; psql's \\copy sends a file of yours.",
        );
    }
    Command::CopyIn {
        table,
        columns,
        format,
    }
}

/// An error of what writes; its hint is `write::hint`'s.
pub(super) fn error(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<PgError> {
    let (code, text) = if let Some(error) = source.downcast_ref::<InsertError>() {
        (of_insert(error), error.to_string())
    } else if let Some(error) = source.downcast_ref::<RowError>() {
        (of_row(error), error.to_string())
    } else if let Some(error) = source.downcast_ref::<DefinitionError>() {
        (of_definition(error), error.to_string())
    } else {
        let error = source.downcast_ref::<WriteError>()?;
        (of_write(error), with_causes(error))
    };
    Some(PgError::new(code, text))
}

const fn of_insert(error: &InsertError) -> &'static str {
    match error {
        InsertError::NoTopic(_) | InsertError::Latest(_) => state::WRONG_OBJECT_TYPE,
        InsertError::Internal(_) => state::INSUFFICIENT_PRIVILEGE,
        InsertError::ReadOnly(_) => state::GENERATED_ALWAYS,
        InsertError::NoColumn { .. } => state::UNDEFINED_COLUMN,
        InsertError::Bytes { .. } => state::INVALID_TEXT_REPRESENTATION,
        InsertError::Twice(_) => state::DUPLICATE_COLUMN,
        InsertError::NoColumns(_) | InsertError::ValueTwice(_) | InsertError::Width { .. } => {
            state::SYNTAX_ERROR
        }
        InsertError::Format { .. } => state::FEATURE_NOT_SUPPORTED,
    }
}

const fn of_row(error: &RowError) -> &'static str {
    match error {
        RowError::NoPartition { .. } => state::NUMERIC_VALUE_OUT_OF_RANGE,
        RowError::TooEarly => state::DATETIME_FIELD_OVERFLOW,
        RowError::NoKey { .. } | RowError::Null { .. } => state::NOT_NULL_VIOLATION,
        RowError::NoNumber { .. } | RowError::NoJson { .. } | RowError::Headers { .. } => {
            state::INVALID_TEXT_REPRESENTATION
        }
    }
}

const fn of_definition(error: &DefinitionError) -> &'static str {
    match error {
        DefinitionError::Name(error) => of_insert(error),
        DefinitionError::Unsupported(_)
        | DefinitionError::PrimaryKey
        | DefinitionError::Format(_) => state::FEATURE_NOT_SUPPORTED,
        DefinitionError::Type { .. } => state::UNDEFINED_OBJECT,
        DefinitionError::Contract(_) | DefinitionError::NoColumns(_) => {
            state::INVALID_TABLE_DEFINITION
        }
        DefinitionError::Setting { .. } => state::INVALID_PARAMETER_VALUE,
    }
}

const fn of_write(error: &WriteError) -> &'static str {
    match error {
        WriteError::NoTopic { .. } => state::UNDEFINED_TABLE,
        WriteError::TopicExists { .. } => state::DUPLICATE_TABLE,
        WriteError::Definition { .. } => state::INVALID_TABLE_DEFINITION,
        WriteError::TooLarge { .. } => state::PROGRAM_LIMIT_EXCEEDED,
        WriteError::Record { .. } => state::INTEGRITY_CONSTRAINT_VIOLATION,
        WriteError::Denied { .. } => state::INSUFFICIENT_PRIVILEGE,
        WriteError::Expired { .. } => state::TRANSACTION_TIMEOUT,
        WriteError::Failed { .. } => state::SYSTEM_ERROR,
        WriteError::Unknown { .. } => state::TRANSACTION_RESOLUTION_UNKNOWN,
    }
}

impl From<WriteError> for PgError {
    fn from(failed: WriteError) -> Self {
        DataFusionError::External(Box::new(failed)).into()
    }
}

impl From<DefinitionError> for PgError {
    fn from(wrong: DefinitionError) -> Self {
        DataFusionError::from(wrong).into()
    }
}
