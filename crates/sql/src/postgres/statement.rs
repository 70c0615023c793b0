//! What a statement is: a query for the engine, or one of those that the session answers itself.
//!
//! Invariant: a statement that could change records, read files or run programs is refused here, before anything is planned.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    CloseCursor, ContextModifier, CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource,
    CopyTarget, CreateTable, DataType, DiscardObject, Expr, Ident, ObjectName, Query, Reset, Set,
    Statement, UnaryOperator, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::copy::CopyFormat;
use super::error::{PgError, state};
use super::export::{self, Export};
use super::{rewrite, writing};
use crate::bounds;
use crate::dialect::Postgres;
use crate::statements::Refused;

/// How deeply statements may be nested: the parser and the planner go down the tree by recursion.
const DEPTH_MAX: usize = 60;
/// How many operators may follow each other: a plan of them is as deep, and what planning costs goes up with their square.
const OPERATORS_MAX: usize = 1000;

/// One statement.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Planned and run by the engine.
    Query(Arc<Statement>),
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    /// `None` is the default.
    Set {
        name: String,
        value: Option<String>,
        is_local: bool,
    },
    ResetAll,
    Show(String),
    ShowAll,
    /// `SET TRANSACTION`, whose modes make no difference to who only reads.
    SetTransaction,
    Declare {
        name: String,
        is_held: bool,
        is_binary: bool,
        query: Arc<Statement>,
    },
    /// `None` is all that is left.
    Fetch {
        name: String,
        count: Option<u64>,
    },
    CloseCursor(Option<String>),
    Copy {
        query: Arc<Statement>,
        format: CopyFormat,
    },
    /// Its rows are planned and run by the engine, and written by the session.
    Insert(Arc<Statement>),
    CopyIn {
        table: ObjectName,
        columns: Vec<Ident>,
        format: CopyFormat,
    },
    CreateTable(Arc<CreateTable>),
    DropTable {
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    /// COPY to a file of the server.
    Export {
        query: Arc<Statement>,
        export: Arc<Export>,
    },
    Prepare {
        name: String,
        types: Vec<DataType>,
        command: Box<Command>,
    },
    Execute {
        name: String,
        values: Vec<Expr>,
    },
    Deallocate(Option<String>),
    DiscardAll,
    /// Accepted without an effect; the tag to answer with.
    Nothing(&'static str),
    Refused(PgError),
}

/// The statements of a text, in order.
pub(super) fn parse(sql: &str) -> Result<Vec<Command>, PgError> {
    let error = |error: ParserError| PgError::of_parser(&error, sql);
    let tokens = Tokenizer::new(&Postgres, sql).tokenize_with_location();
    let tokens = tokens.map_err(|invalid| error(invalid.into()))?;
    let texts = tokens.split(|token| token.token == Token::SemiColon);
    let texts = texts.filter(|tokens| words(tokens).next().is_some());
    let commands = texts.map(|tokens| {
        bounds::admit_text(tokens, OPERATORS_MAX)
            .map_err(|error| PgError::of_too_much(&error, sql))?;
        parse_one(tokens).map_err(error)
    });
    commands.collect()
}

fn parse_one(tokens: &[TokenWithSpan]) -> Result<Command, ParserError> {
    // The parser wants a number and FROM, neither of which there has to be.
    if is_word(words(tokens).next(), "fetch") {
        return fetch(tokens);
    }
    if let Some(export) = export::parse(tokens)? {
        return Ok(export);
    }
    let mut parser = parser(tokens);
    let statement = parser.parse_statement()?;
    match parser.peek_token() {
        end if end.token == Token::EOF => Ok(command(statement)),
        other => parser.expected("end of statement", other),
    }
}

/// A parser of these tokens.
pub(super) fn parser(tokens: &[TokenWithSpan]) -> Parser<'static> {
    let parser = Parser::new(&Postgres).with_recursion_limit(DEPTH_MAX);
    parser.with_tokens_with_locations(tokens.to_vec())
}

/// The tokens that mean something.
pub(super) fn words(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &Token> {
    let tokens = tokens.iter().map(|token| &token.token);
    tokens.filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF))
}

pub(super) fn is_word(token: Option<&Token>, wanted: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

fn command(statement: Statement) -> Command {
    match statement {
        Statement::Query(mut query) => match writing::insert_with(&mut query) {
            Some(insert) => insert,
            None => self::query(Statement::Query(query)),
        },
        Statement::Explain { .. } => query(statement),
        Statement::Insert(insert) => writing::insert(insert),
        Statement::CreateTable(statement) => writing::create_table(statement),
        Statement::Drop {
            object_type,
            names,
            if_exists,
            ..
        } => writing::drop(object_type, names, if_exists),
        Statement::StartTransaction { .. } => Command::Begin,
        Statement::Commit { .. } => Command::Commit,
        Statement::Rollback {
            savepoint: None, ..
        } => Command::Rollback,
        Statement::Rollback {
            savepoint: Some(name),
            ..
        } => Command::RollbackTo(folded(&name)),
        Statement::Savepoint { name } => Command::Savepoint(folded(&name)),
        Statement::ReleaseSavepoint { name } => Command::Release(folded(&name)),
        Statement::Set(set) => self::set(set),
        Statement::Reset(reset) => match reset.reset {
            Reset::ALL => Command::ResetAll,
            Reset::ConfigurationParameter(name) => Command::Set {
                name: dotted(&name),
                value: None,
                is_local: false,
            },
        },
        Statement::ShowVariable { variable } => show(&variable),
        Statement::Declare { stmts } => declare(stmts),
        Statement::Close { cursor } => Command::CloseCursor(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(folded(&name)),
        }),
        Statement::Copy {
            source,
            to,
            target,
            options,
            legacy_options,
            ..
        } => copy(source, to, target, options, legacy_options),
        Statement::Prepare {
            name,
            data_types,
            statement,
        } => match command(*statement) {
            command @ (Command::Query(_) | Command::Insert(_)) => Command::Prepare {
                name: folded(&name),
                types: data_types,
                command: Box::new(command),
            },
            Command::Refused(error) => Command::Refused(error),
            _ => refused(
                "only queries and INSERT can be prepared",
                "Use the statement itself.",
            ),
        },
        Statement::Execute {
            name: Some(name),
            parameters,
            ..
        } => Command::Execute {
            name: dotted(&name),
            values: parameters,
        },
        Statement::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Command::Deallocate((!is_all).then(|| folded(&name)))
        }
        Statement::Discard {
            object_type: DiscardObject::ALL,
        } => Command::DiscardAll,
        Statement::Discard { .. } => Command::Nothing("DISCARD"),
        Statement::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        Statement::ShowTables { .. } | Statement::ShowColumns { .. } => refused(
            "SHOW of tables and columns is not supported",
            "\\dt and \\d of psql, or SELECT from information_schema.tables and information_schema.columns.",
        ),
        change @ (Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Truncate(_)
        | Statement::Merge(_)) => {
            let change = Refused::Change(verb(&change));
            refused(&change.to_string(), change.hint())
        }
        other => refused(
            &format!("{} is not supported", verb(&other)),
            "Topics are read with SELECT and written with INSERT and COPY.",
        ),
    }
}

/// The first words of a statement.
fn verb(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text
        .split_ascii_whitespace()
        .take_while(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
        .take(3)
        .collect();
    if words.is_empty() {
        "the statement".to_owned()
    } else {
        words.join(" ")
    }
}

pub(super) fn refused(message: &str, hint: &str) -> Command {
    Command::Refused(PgError::unsupported(message, hint))
}

fn query(mut statement: Statement) -> Command {
    if let Statement::Explain {
        statement: inner, ..
    } = &statement
        && !matches!(inner.as_ref(), Statement::Query(_))
    {
        return refused("only queries can be explained", "EXPLAIN SELECT ...");
    }
    rewrite::rewrite(&mut statement);
    Command::Query(Arc::new(statement))
}

/// A name as SQL reads it: lower case unless quoted.
pub(crate) fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

fn dotted(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident()).map(folded);
    parts.collect::<Vec<_>>().join(".")
}

fn set(set: Set) -> Command {
    match set {
        Set::SingleAssignment {
            scope,
            variable,
            values,
            ..
        } => match setting_value(&values) {
            Ok(value) => Command::Set {
                name: dotted(&variable),
                value,
                is_local: scope == Some(ContextModifier::Local),
            },
            Err(error) => Command::Refused(error),
        },
        Set::SetTimeZone { local, value } => match setting_value(&[value]) {
            Ok(value) => Command::Set {
                name: "timezone".to_owned(),
                // LOCAL and DEFAULT both mean the server's.
                value: value.filter(|value| !value.eq_ignore_ascii_case("local")),
                is_local: local,
            },
            Err(error) => Command::Refused(error),
        },
        Set::SetNames { charset_name, .. } => Command::Set {
            name: "client_encoding".to_owned(),
            value: Some(charset_name.value),
            is_local: false,
        },
        Set::SetNamesDefault {} => Command::Set {
            name: "client_encoding".to_owned(),
            value: None,
            is_local: false,
        },
        Set::SetTransaction { snapshot: None, .. } => Command::SetTransaction,
        other => refused(
            &format!("SET {other} is not supported"),
            "SHOW ALL lists the settings.",
        ),
    }
}

/// Words, numbers and strings, joined by commas; nothing if it is DEFAULT.
fn setting_value(values: &[Expr]) -> Result<Option<String>, PgError> {
    let mut words = Vec::new();
    for value in values {
        match value {
            Expr::Identifier(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
            {
                return Ok(None);
            }
            Expr::Identifier(word) => words.push(word.value.clone()),
            Expr::CompoundIdentifier(parts) => {
                words.extend(parts.last().map(|part| part.value.clone()))
            }
            Expr::Value(value) => words.push(literal(value)),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => words.push(format!("-{expr}")),
            other => {
                let message = format!("invalid value of a setting: {other}");
                return Err(PgError::new(state::SYNTAX_ERROR, message)
                    .with_hint("Give a word, a number or a string."));
            }
        }
    }
    Ok(Some(words.join(", ")))
}

fn literal(value: &ValueWithSpan) -> String {
    match &value.value {
        Value::Boolean(true) => "on".to_owned(),
        Value::Boolean(false) => "off".to_owned(),
        other => other
            .clone()
            .into_string()
            .unwrap_or_else(|| other.to_string()),
    }
}

fn show(words: &[Ident]) -> Command {
    let words: Vec<String> = words.iter().map(folded).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["all"] => Command::ShowAll,
        ["transaction", "isolation", "level"] => Command::Show("transaction_isolation".to_owned()),
        ["time", "zone"] => Command::Show("TimeZone".to_owned()),
        ["session", "authorization"] => Command::Show("session_authorization".to_owned()),
        names => Command::Show(names.join(".")),
    }
}

fn declare(mut declared: Vec<datafusion::sql::sqlparser::ast::Declare>) -> Command {
    let Some(cursor) = declared.pop().filter(|_| declared.is_empty()) else {
        return refused(
            "only one cursor can be declared at a time",
            "DECLARE name CURSOR FOR query",
        );
    };
    let (Some(name), Some(for_query)) = (cursor.names.first(), cursor.for_query) else {
        return refused(
            "only cursors can be declared",
            "DECLARE name CURSOR FOR query",
        );
    };
    if cursor.scroll == Some(true) {
        return refused("cursors go forward only", "Leave SCROLL out.");
    }
    let mut query = Statement::Query(for_query);
    rewrite::rewrite(&mut query);
    Command::Declare {
        name: folded(name),
        is_held: cursor.hold == Some(true),
        is_binary: cursor.binary == Some(true),
        query: Arc::new(query),
    }
}

/// `FETCH [FORWARD] [count | ALL | NEXT] [FROM | IN] name`
fn fetch(tokens: &[TokenWithSpan]) -> Result<Command, ParserError> {
    let mut words = words(tokens).skip(1).peekable();
    let mut next_is = |wanted: &str| {
        let is_it = is_word(words.peek().copied(), wanted);
        if is_it {
            words.next();
        }
        is_it
    };
    for backward in ["prior", "first", "last", "absolute", "relative", "backward"] {
        if next_is(backward) {
            return Ok(refused(
                "cursors go forward only",
                "FETCH FORWARD count FROM name",
            ));
        }
    }
    let is_one = next_is("next");
    let is_all = !is_one && (next_is("forward") && next_is("all") || next_is("all"));
    let number = match words.peek() {
        Some(Token::Number(text, _)) if !is_one && !is_all => text.parse().ok(),
        _ => None,
    };
    if number.is_some() {
        words.next();
    }
    let has_from = is_word(words.peek().copied(), "from") || is_word(words.peek().copied(), "in");
    if has_from {
        words.next();
    }
    match (words.next(), words.next()) {
        (Some(Token::Word(name)), None) => Ok(Command::Fetch {
            name: match name.quote_style {
                Some(_) => name.value.clone(),
                None => name.value.to_ascii_lowercase(),
            },
            count: if is_all {
                None
            } else {
                Some(number.unwrap_or(1))
            },
        }),
        _ => Err(ParserError::ParserError(
            "expected FETCH count FROM name".to_owned(),
        )),
    }
}

fn copy(
    source: CopySource,
    to: bool,
    target: CopyTarget,
    options: Vec<CopyOption>,
    legacy: Vec<CopyLegacyOption>,
) -> Command {
    let format = match copy_format(options, legacy) {
        Ok(format) => format,
        Err(error) => return Command::Refused(error),
    };
    match (to, target) {
        (false, target) => {
            return match source {
                CopySource::Table {
                    table_name,
                    columns,
                } => writing::copy_in(table_name, columns, &target, format),
                CopySource::Query(_) => refused("COPY FROM needs a topic", "COPY topic FROM STDIN"),
            };
        }
        (true, CopyTarget::Stdout) if format.is_binary => {
            return refused(
                "COPY TO in binary is not supported",
                "FORMAT text or FORMAT csv; a cursor or a prepared statement gives rows in binary.",
            );
        }
        (true, CopyTarget::Stdout) => {}
        (true, _) => {
            return refused(
                "COPY TO a file or program is not supported",
                "COPY ... TO STDOUT; psql's \\copy writes it to a file of yours.",
            );
        }
    }
    let query = match source {
        CopySource::Query(query) => Ok(*query),
        CopySource::Table {
            table_name,
            columns,
        } => select_from(&table_name, &columns),
    };
    let query = match query {
        Ok(query) => query,
        Err(error) => return Command::Refused(error),
    };
    let mut query = Statement::Query(Box::new(query));
    rewrite::rewrite(&mut query);
    Command::Copy {
        query: Arc::new(query),
        format,
    }
}

/// `COPY t (a, b)` is `COPY (SELECT a, b FROM t)`.
pub(super) fn select_from(table: &ObjectName, columns: &[Ident]) -> Result<Query, PgError> {
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let columns = if columns.is_empty() {
        "*".to_owned()
    } else {
        columns.join(", ")
    };
    let text = format!("SELECT {columns} FROM {table}");
    let error = |error: ParserError| PgError::of_parser(&error, &text);
    let mut parser = Parser::new(&Postgres).try_with_sql(&text).map_err(error)?;
    Ok(*parser.parse_query().map_err(error)?)
}

fn copy_format(
    options: Vec<CopyOption>,
    legacy: Vec<CopyLegacyOption>,
) -> Result<CopyFormat, PgError> {
    let mut is_csv = false;
    let mut is_binary = false;
    for option in &options {
        if let CopyOption::Format(name) = option {
            is_csv = match name.value.to_ascii_lowercase().as_str() {
                "csv" => true,
                "text" => false,
                "binary" => {
                    is_binary = true;
                    false
                }
                other => {
                    return Err(PgError::unsupported(
                        format!("COPY format \"{other}\" is not supported"),
                        "FORMAT text, csv or binary",
                    ));
                }
            };
        }
    }
    is_csv |= legacy
        .iter()
        .any(|option| matches!(option, CopyLegacyOption::Csv(_)));
    is_binary |= legacy
        .iter()
        .any(|option| matches!(option, CopyLegacyOption::Binary));
    let mut format = if is_csv {
        CopyFormat::csv()
    } else {
        CopyFormat::text()
    };
    format.is_binary = is_binary;
    let means_text = |option: &CopyOption| {
        !matches!(
            option,
            CopyOption::Format(_) | CopyOption::Freeze(_) | CopyOption::Encoding(_)
        )
    };
    if is_binary && (options.iter().any(means_text) || legacy.len() > 1) {
        return Err(PgError::new(
            state::SYNTAX_ERROR,
            "cannot specify DELIMITER, NULL, HEADER or quotes in BINARY mode",
        )
        .with_hint("Leave them out, or use FORMAT text or csv."));
    }
    for option in options {
        match option {
            CopyOption::Format(_) | CopyOption::Freeze(_) => {}
            CopyOption::Delimiter(delimiter) => format.delimiter = ascii(delimiter)?,
            CopyOption::Null(null) => format.null = null,
            CopyOption::Header(header) => format.header = header,
            CopyOption::Quote(quote) => format.quote = ascii(quote)?,
            CopyOption::Escape(escape) => format.escape = ascii(escape)?,
            CopyOption::Encoding(name)
                if matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8") => {}
            other => {
                return Err(PgError::unsupported(
                    format!("COPY option {other} is not supported"),
                    "FORMAT, DELIMITER, NULL, HEADER, QUOTE, ESCAPE",
                ));
            }
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Csv(options) => {
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => format.header = true,
                        CopyLegacyCsvOption::Quote(quote) => format.quote = ascii(quote)?,
                        CopyLegacyCsvOption::Escape(escape) => format.escape = ascii(escape)?,
                        other => {
                            return Err(PgError::unsupported(
                                format!("COPY option {other} is not supported"),
                                "Leave it out.",
                            ));
                        }
                    }
                }
            }
            CopyLegacyOption::Binary => {}
            CopyLegacyOption::Header => format.header = true,
            CopyLegacyOption::Delimiter(delimiter) => format.delimiter = ascii(delimiter)?,
            CopyLegacyOption::Null(null) => format.null = null,
            other => {
                return Err(PgError::unsupported(
                    format!("COPY option {other} is not supported"),
                    "FORMAT, DELIMITER, NULL, HEADER, QUOTE, ESCAPE",
                ));
            }
        }
    }
    Ok(format)
}

pub(super) fn ascii(character: char) -> Result<u8, PgError> {
    let byte = u8::try_from(character).ok().filter(u8::is_ascii);
    byte.ok_or_else(|| {
        PgError::new(
            state::INVALID_PARAMETER_VALUE,
            "COPY delimiter, quote and escape must be one ASCII character",
        )
    })
}
