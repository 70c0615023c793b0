//! Errors as PostgreSQL's clients know them: SQLSTATE, message, detail, hint and position.
//!
//! Invariant: every error of the engine has a SQLSTATE here, and its text is bounded. Which state an error gets is decided in
//! this file alone.

use std::io;
use std::sync::Arc;

use contract::nearest;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use storage::ReadError;

use crate::bounded::TooLong;
use crate::bounds::TooMuch;
use crate::errors::{ScanCause, ScanError, UnknownTable, hint_of, io_error};
use crate::statements::Refused;
use crate::system::Unanswered;
use crate::topics::TopicError;
use crate::typed::ContractFault;

use super::writing;
use crate::export::{ExportError, StoreFailure};

/// The longest text of an error; a plan that does not fit in one is of no help either.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// SQLSTATEs, by the names of PostgreSQL's `errcodes.txt`.
pub(super) mod state {
    pub(crate) const TRANSACTION_RESOLUTION_UNKNOWN: &str = "08007";
    pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
    pub(crate) const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub(crate) const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
    pub(crate) const DATETIME_FIELD_OVERFLOW: &str = "22008";
    pub(crate) const DIVISION_BY_ZERO: &str = "22012";
    pub(crate) const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
    pub(crate) const INVALID_PARAMETER_VALUE: &str = "22023";
    pub(crate) const INVALID_TEXT_REPRESENTATION: &str = "22P02";
    pub(crate) const INVALID_BINARY_REPRESENTATION: &str = "22P03";
    pub(crate) const BAD_COPY_FILE_FORMAT: &str = "22P04";
    pub(crate) const INTEGRITY_CONSTRAINT_VIOLATION: &str = "23000";
    pub(crate) const NOT_NULL_VIOLATION: &str = "23502";
    pub(crate) const ACTIVE_SQL_TRANSACTION: &str = "25001";
    pub(crate) const NO_ACTIVE_SQL_TRANSACTION: &str = "25P01";
    pub(crate) const IN_FAILED_SQL_TRANSACTION: &str = "25P02";
    pub(crate) const IDLE_IN_TRANSACTION_TIMEOUT: &str = "25P03";
    pub(crate) const TRANSACTION_TIMEOUT: &str = "25P04";
    pub(crate) const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    pub(crate) const INVALID_CURSOR_NAME: &str = "34000";
    pub(crate) const SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION: &str = "42000";
    pub(crate) const SYNTAX_ERROR: &str = "42601";
    pub(crate) const GENERATED_ALWAYS: &str = "428C9";
    pub(crate) const DUPLICATE_COLUMN: &str = "42701";
    pub(crate) const UNDEFINED_COLUMN: &str = "42703";
    pub(crate) const UNDEFINED_FUNCTION: &str = "42883";
    pub(crate) const INVALID_OBJECT_DEFINITION: &str = "42P17";
    pub(crate) const UNDEFINED_TABLE: &str = "42P01";
    pub(crate) const DUPLICATE_CURSOR: &str = "42P03";
    pub(crate) const DUPLICATE_PSTATEMENT: &str = "42P05";
    pub(crate) const DUPLICATE_TABLE: &str = "42P07";
    pub(crate) const INVALID_TABLE_DEFINITION: &str = "42P16";
    pub(crate) const AMBIGUOUS_COLUMN: &str = "42702";
    pub(crate) const UNDEFINED_OBJECT: &str = "42704";
    pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub(crate) const WRONG_OBJECT_TYPE: &str = "42809";
    pub(crate) const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    pub(crate) const STATEMENT_TOO_COMPLEX: &str = "54001";
    pub(crate) const SYSTEM_ERROR: &str = "58000";
    pub(crate) const IO_ERROR: &str = "58030";
    pub(crate) const DATA_CORRUPTED: &str = "XX001";
    pub(crate) const OUT_OF_MEMORY: &str = "53200";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const CONFIGURATION_LIMIT_EXCEEDED: &str = "53400";
    pub(crate) const QUERY_CANCELED: &str = "57014";
    pub(crate) const ADMIN_SHUTDOWN: &str = "57P01";
    pub(crate) const CANNOT_CONNECT_NOW: &str = "57P03";
    pub(crate) const IDLE_SESSION_TIMEOUT: &str = "57P05";
    pub(crate) const INVALID_NAME: &str = "42602";
    pub(crate) const DUPLICATE_FILE: &str = "58P02";
    pub(crate) const UNDEFINED_FILE: &str = "58P01";
    pub(crate) const DISK_FULL: &str = "53100";
    pub(crate) const INTERNAL_ERROR: &str = "XX000";
}

/// What an error does to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The statement ends.
    Error,
    /// The session ends.
    Fatal,
    /// Nothing ends.
    Warning,
    /// Nothing is wrong.
    Notice,
}

impl Severity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct PgError {
    pub(super) severity: Severity,
    pub(super) state: &'static str,
    pub(super) message: String,
    pub(super) detail: Option<Box<str>>,
    pub(super) hint: Option<String>,
    /// In characters of the query, from 1.
    pub(super) position: Option<usize>,
    /// Where in the data.
    pub(super) context: Option<Box<str>>,
}

impl PgError {
    pub(super) fn new(state: &'static str, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        truncate(&mut message);
        Self {
            severity: Severity::Error,
            state,
            message,
            detail: None,
            hint: None,
            position: None,
            context: None,
        }
    }

    pub(super) fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fatal,
            ..Self::new(state, message)
        }
    }

    pub(super) fn warning(state: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::new(state, message)
        }
    }

    pub(super) fn notice(state: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Notice,
            ..Self::new(state, message)
        }
    }

    /// Something that is not there, with what to do instead.
    pub(super) fn unsupported(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(state::FEATURE_NOT_SUPPORTED, message).with_hint(hint)
    }

    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::fatal(state::PROTOCOL_VIOLATION, message)
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let mut hint: String = hint.into();
        truncate(&mut hint);
        self.hint = Some(hint);
        self
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into().into_boxed_str());
        self
    }

    pub(super) fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into().into_boxed_str());
        self
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.severity == Severity::Fatal
    }

    /// An error of the parser in `sql`.
    pub(super) fn of_parser(error: &ParserError, sql: &str) -> Self {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
            ParserError::RecursionLimitExceeded => {
                return Self::new(
                    state::STATEMENT_TOO_COMPLEX,
                    "the statement is nested too deeply",
                )
                .with_hint("Give parts of it names with WITH.");
            }
        };
        let (text, location) = split_location(text);
        let mut error = Self::new(state::SYNTAX_ERROR, format!("syntax error: {text}"));
        error.position = location.and_then(|(line, column)| position(sql, line, column));
        error
    }

    /// What is too much in `sql`.
    pub(super) fn of_too_much(error: &TooMuch, sql: &str) -> Self {
        let place = error.at.and_then(|at| position(sql, at.line, at.column));
        let mut converted =
            Self::new(state::STATEMENT_TOO_COMPLEX, error.to_string()).with_hint(error.hint);
        converted.position = place;
        converted
    }

    /// An error of the engine; `sql` is the text that the positions in it count in.
    pub(super) fn of_engine(error: &DataFusionError, sql: &str) -> Self {
        let mut converted = of_root(error, sql);
        let diagnostic = error.diagnostic();
        if let Some(span) = diagnostic.and_then(|diagnostic| diagnostic.span) {
            converted.position = position(sql, span.start.line, span.start.column);
        }
        if converted.hint.is_none()
            && let Some(help) = diagnostic.and_then(|diagnostic| diagnostic.helps.first())
        {
            converted = converted.with_hint(help.message.clone());
        }
        converted
    }
}

impl PgError {
    /// Why a result did not become a file; `sql` as in [`PgError::of_engine`].
    pub(super) fn of_export(error: &ExportError, sql: &str) -> Self {
        let new = |state| Self::new(state, error.to_string());
        match error {
            ExportError::NotAllowed => new(state::INSUFFICIENT_PRIVILEGE).with_hint(
                "The server's setting sql.export.dir (--sql-export-dir) names the folder for files; \\copy of psql and of `watertable \
                 sql` writes files of yours.",
            ),
            ExportError::NoStores => new(state::INSUFFICIENT_PRIVILEGE).with_hint(
                "The server's setting sql.export.s3.prefixes names what may be written, such as s3://bucket/folder; its credentials \
                 come from AWS_ACCESS_KEY_ID and the like in the server's environment.",
            ),
            ExportError::Remote(_) => new(state::FEATURE_NOT_SUPPORTED).with_hint(
                "Name a file, which is written to the folder of the setting sql.export.dir, or an object as s3://bucket/key.",
            ),
            ExportError::NotThere { .. } => new(state::INSUFFICIENT_PRIVILEGE)
                .with_hint("The server's setting sql.export.s3.prefixes names what may be written."),
            ExportError::ObjectName { .. } => {
                new(state::INVALID_NAME).with_hint("Objects are named s3://bucket/key, as they are in the store.")
            }
            ExportError::Store { source, .. } => {
                let (state, hint) = of_store(source);
                new(state).with_hint(hint)
            }
            ExportError::Name { .. } => new(state::INVALID_NAME)
                .with_hint("The name is that of a file in the folder of the setting sql.export.dir."),
            ExportError::Exists(_) => {
                new(state::DUPLICATE_FILE).with_hint("WITH (OVERWRITE true) writes over it.")
            }
            ExportError::NoFormat(_) => new(state::SYNTAX_ERROR).with_hint(
                "Let it end with .parquet, .csv or .ndjson, or say WITH (FORMAT parquet), csv or ndjson.",
            ),
            ExportError::TooLarge { .. } => {
                new(state::PROGRAM_LIMIT_EXCEEDED).with_hint("Export by parts, such as one for each partition.")
            }
            ExportError::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => new(state::UNDEFINED_FILE)
                    .with_hint("Folders are not made; the one of the setting sql.export.dir and those within must be there."),
                kind => new(state_of_io(kind)),
            },
            ExportError::Column { .. } => {
                new(state::FEATURE_NOT_SUPPORTED).with_hint("Cast it to text: column::text.")
            }
            ExportError::Query(error) => Self::of_engine(error, sql),
        }
    }
}

/// What to do if a store does not take an object. No state of class 08: the session's own connection is well.
fn of_store(failure: &StoreFailure) -> (&'static str, &'static str) {
    match failure {
        StoreFailure::NoBucket(_) => (
            state::UNDEFINED_FILE,
            "Buckets are not made by exports: make it, or name another.",
        ),
        StoreFailure::Denied(_) => (
            state::INSUFFICIENT_PRIVILEGE,
            "The server's credentials need s3:PutObject and s3:AbortMultipartUpload there, and without OVERWRITE true also \
             s3:GetObject and s3:ListBucket, to see whether the object is there.",
        ),
        StoreFailure::Credentials(_) | StoreFailure::NoCredentials(_) => (
            state::INSUFFICIENT_PRIVILEGE,
            "The server takes them from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of its environment when it \
             starts, or from the machine or container it runs in.",
        ),
        StoreFailure::Region(_) => (
            state::IO_ERROR,
            "Its region goes into the server's setting sql.export.s3.region.",
        ),
        StoreFailure::Clock(_) => (state::IO_ERROR, "Set the clock of the server's machine."),
        StoreFailure::Unreachable(_) | StoreFailure::Silent => (
            state::IO_ERROR,
            "The server's setting sql.export.s3.endpoint says where the store is; nothing was written.",
        ),
        StoreFailure::Answered(_) => (
            state::IO_ERROR,
            "Nothing was written. If the store is busy, try again; else its answer says what is wrong.",
        ),
        StoreFailure::Unknown(_) => (
            state::IO_ERROR,
            "Look whether it is there before you write it again: it is whole, or not there.",
        ),
        StoreFailure::Settings(_) => (
            state::IO_ERROR,
            "The server's settings sql.export.s3 and the variables AWS_ of its environment say how the store is used.",
        ),
    }
}

impl From<DataFusionError> for PgError {
    fn from(error: DataFusionError) -> Self {
        Self::of_engine(&error, "")
    }
}

impl From<ArrowError> for PgError {
    fn from(error: ArrowError) -> Self {
        of_arrow(&error)
    }
}

fn truncate(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str(" ...");
    }
}

fn of_root(error: &DataFusionError, sql: &str) -> PgError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            of_root(inner, sql)
        }
        DataFusionError::Shared(inner) => of_root(inner, sql),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => PgError::of_engine(first, sql),
            None => PgError::new(state::INTERNAL_ERROR, "an empty collection of errors"),
        },
        DataFusionError::External(source) => match source.downcast_ref::<PgError>() {
            Some(ours) => ours.clone(),
            None => of_external(source.as_ref(), sql),
        },
        DataFusionError::ArrowError(source, _) => of_arrow(source),
        DataFusionError::SQL(source, _) => PgError::of_parser(source, sql),
        DataFusionError::SchemaError(source, _) => of_schema(source),
        DataFusionError::NotImplemented(text) => unsupported(text),
        DataFusionError::Plan(text) => of_plan(text),
        DataFusionError::Configuration(text) => PgError::new(state::INVALID_PARAMETER_VALUE, text),
        DataFusionError::ResourcesExhausted(text) => PgError::new(state::OUT_OF_MEMORY, text)
            .with_hint(
                "Ask for fewer columns, rows or groups at a time, or give queries more memory.",
            ),
        DataFusionError::Execution(text) => of_execution(text),
        other => match io_error(other) {
            Some(said) => of_io(said),
            None => PgError::new(state::INTERNAL_ERROR, other.strip_backtrace()),
        },
    }
}

/// What the system said while a query put rows aside, which is where queries use files.
fn of_io(error: &io::Error) -> PgError {
    let new = |text| PgError::new(state_of_io(error.kind()), format!("{text}: {error}"));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            new("no room for what the query has to put aside").with_hint(
                "Ask for fewer columns, rows or groups at a time, or make room where the server keeps its data.",
            )
        }
        // DataFusion's own bound comes as an error of the system.
        io::ErrorKind::Other if error.to_string().contains("exceeded the allowable limit") => {
            PgError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                "queries have put aside as much as they may",
            )
            .with_hint(
                "Ask for fewer columns, rows or groups at a time, or raise the server's setting sql.spill.max.bytes.",
            )
        }
        _ => new("could not put aside what the query does not hold in memory"),
    }
}

fn state_of_io(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => state::DISK_FULL,
        _ => state::IO_ERROR,
    }
}

fn of_external(source: &(dyn std::error::Error + Send + Sync + 'static), sql: &str) -> PgError {
    if let Some(inner) = source.downcast_ref::<DataFusionError>() {
        return of_root(inner, sql);
    }
    if let Some(inner) = source.downcast_ref::<ArrowError>() {
        return of_arrow(inner);
    }
    let error = writing::error(source).or_else(|| of_ours(source));
    let error = error.unwrap_or_else(|| PgError::new(state::INTERNAL_ERROR, source.to_string()));
    match hint_of(source) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// An error of this crate.
fn of_ours(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<PgError> {
    if let Some(unknown) = source.downcast_ref::<UnknownTable>() {
        // In the words that PostgreSQL's clients know.
        let text = match unknown {
            UnknownTable::NoTopic { name, .. } => format!("relation \"{name}\" does not exist"),
            UnknownTable::NoView { .. } => unknown.to_string(),
        };
        return Some(PgError::new(state::UNDEFINED_TABLE, text));
    }
    if let Some(refused) = source.downcast_ref::<Refused>() {
        let state = match refused {
            Refused::Setting(_) => state::INSUFFICIENT_PRIVILEGE,
            _ => state::FEATURE_NOT_SUPPORTED,
        };
        return Some(PgError::new(state, refused.to_string()));
    }
    if let Some(too_much) = source.downcast_ref::<TooMuch>() {
        return Some(PgError::of_too_much(too_much, ""));
    }
    if let Some(too_long) = source.downcast_ref::<TooLong>() {
        let state = state::PROGRAM_LIMIT_EXCEEDED;
        return Some(PgError::new(state, too_long.to_string()));
    }
    if let Some(scan) = source.downcast_ref::<ScanError>() {
        return Some(PgError::new(state_of_scan(&scan.cause), scan.to_string()));
    }
    if let Some(unanswered) = source.downcast_ref::<Unanswered>() {
        return Some(PgError::new(
            state::CANNOT_CONNECT_NOW,
            unanswered.to_string(),
        ));
    }
    if let Some(fault) = source.downcast_ref::<ContractFault>() {
        let state = state::INVALID_OBJECT_DEFINITION;
        return Some(PgError::new(state, fault.to_string()));
    }
    let topic = source.downcast_ref::<Arc<TopicError>>()?;
    Some(PgError::new(state::IO_ERROR, with_causes(topic)))
}

fn state_of_scan(cause: &ScanCause) -> &'static str {
    match cause {
        ScanCause::Read(ReadError::Deleted) => state::UNDEFINED_TABLE,
        ScanCause::Read(ReadError::Corrupt { .. })
        | ScanCause::Batch(_)
        | ScanCause::Payload(_) => state::DATA_CORRUPTED,
        ScanCause::Read(_) | ScanCause::Io(_) => state::IO_ERROR,
        ScanCause::TooLarge { .. } => state::PROGRAM_LIMIT_EXCEEDED,
        ScanCause::Memory(_) => state::OUT_OF_MEMORY,
        ScanCause::Contract(_) => state::INVALID_TEXT_REPRESENTATION,
        ScanCause::NoProgress => state::INTERNAL_ERROR,
    }
}

/// An error with what is behind it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

fn of_arrow(error: &ArrowError) -> PgError {
    match error {
        ArrowError::DivideByZero => PgError::new(state::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(text) => {
            PgError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, text)
        }
        ArrowError::CastError(text) | ArrowError::ParseError(text) => {
            PgError::new(state::INVALID_TEXT_REPRESENTATION, text)
        }
        ArrowError::NotYetImplemented(text) => unsupported(text),
        ArrowError::MemoryError(text) => PgError::new(state::OUT_OF_MEMORY, text),
        ArrowError::InvalidArgumentError(text) => {
            PgError::new(state::INVALID_PARAMETER_VALUE, text)
        }
        ArrowError::ExternalError(source) => match source.downcast_ref::<PgError>() {
            Some(ours) => ours.clone(),
            None => of_external(source.as_ref(), ""),
        },
        other => match io_error(other) {
            Some(said) => of_io(said),
            None => PgError::new(state::INTERNAL_ERROR, other.to_string()),
        },
    }
}

fn of_schema(error: &SchemaError) -> PgError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let missing = PgError::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{}\" does not exist", field.flat_name()),
            );
            let names = valid_fields.iter().map(|valid| valid.name.as_str());
            match nearest(&field.name, names) {
                Some(near) => missing.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => missing,
            }
        }
        SchemaError::AmbiguousReference { field } => PgError::new(
            state::AMBIGUOUS_COLUMN,
            format!("column reference \"{}\" is ambiguous", field.flat_name()),
        ),
        other => PgError::new(state::AMBIGUOUS_COLUMN, other.to_string()),
    }
}

/// Planning tells its causes only by their text.
fn of_plan(text: &str) -> PgError {
    let lower = text.to_ascii_lowercase();
    if let Some(table) = text
        .strip_prefix("table '")
        .and_then(|rest| rest.strip_suffix("' not found"))
    {
        let name = table.strip_prefix("watertable.").unwrap_or(table);
        let name = name.strip_prefix("public.").unwrap_or(name);
        return PgError::new(
            state::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        );
    }
    if text.starts_with("Column count doesn't match insert query") {
        let text = "INSERT has more or fewer expressions than target columns";
        return PgError::new(state::SYNTAX_ERROR, text);
    }
    if lower.starts_with("invalid function")
        || lower.contains("no function matches")
        || lower.contains("failed to coerce arguments")
    {
        return PgError::new(state::UNDEFINED_FUNCTION, text);
    }
    if lower.contains("not supported")
        || lower.contains("unsupported")
        || lower.contains("not implemented")
    {
        return unsupported(text);
    }
    PgError::new(state::SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION, text)
}

fn of_execution(text: &str) -> PgError {
    let lower = text.to_ascii_lowercase();
    let code = if lower.contains("divide by zero") || lower.contains("division by zero") {
        state::DIVISION_BY_ZERO
    } else if lower.contains("overflow") || lower.contains("out of range") {
        state::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("error parsing") || lower.contains("cannot cast") {
        state::INVALID_TEXT_REPRESENTATION
    } else {
        state::INTERNAL_ERROR
    };
    PgError::new(code, text)
}

fn unsupported(text: &str) -> PgError {
    PgError::unsupported(
        text,
        "Queries are planned by Apache DataFusion; its SQL reference says what there is.",
    )
}

/// The parser puts the place of an error behind its text.
fn split_location(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some((before, place)) = text.rsplit_once(" at Line: ") else {
        return (text, None);
    };
    let location = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
    match location {
        Some(location) => (before, Some(location)),
        None => (text, None),
    }
}

/// Where line and column, both from 1, are in the text, in characters from 1.
fn position(sql: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: usize = sql
        .split('\n')
        .take(line)
        .map(|line| line.chars().count() + 1)
        .sum();
    let within = sql.split('\n').nth(line)?.chars().count();
    (column <= within).then_some(before + column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        assert_eq!(position("select\n  größe x", 2, 3), Some(10));
        assert_eq!(position("select", 1, 1), Some(1));
        assert_eq!(position("select", 2, 1), None);
        assert_eq!(position("select", 1, 99), None);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let error = PgError::new(state::INTERNAL_ERROR, "ü".repeat(TEXT_BYTES_MAX));
        assert!(error.message.len() < TEXT_BYTES_MAX + 10);
    }
}
