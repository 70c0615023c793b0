//! `COPY … TO 'file'`: the statement, and how the session runs it. Files are written by [`crate::export`].
//!
//! CSV is that of COPY TO STDOUT, so that a value reads the same wherever it was written.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::backend::Column;
use super::copy::CopyFormat;
use super::encode::{self, Rows, Style};
use super::error::{PgError, state};
use super::rewrite;
use super::statement::{Command, ascii, is_word, parser, select_from, words};
use crate::export::{self, Encoder, ExportError, FileFormat, Output, Wanted};

/// Rows of CSV that are put together before they are written.
const CSV_ROWS: usize = 256;

/// A file that a statement asks for.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) wanted: Wanted,
    /// `None`: the name tells it.
    format: Option<FileFormat>,
    csv: CopyFormat,
}

/// The statement, if it is a COPY to a file.
pub(super) fn parse(tokens: &[TokenWithSpan]) -> Result<Option<Command>, ParserError> {
    if !is_word(words(tokens).next(), "copy") {
        return Ok(None);
    }
    let Some((source, name, options)) = split(tokens) else {
        return Ok(None);
    };
    let mut query = Statement::Query(Box::new(match parse_source(source)? {
        Ok(query) => query,
        Err(error) => return Ok(Some(Command::Refused(error))),
    }));
    rewrite::rewrite(&mut query);
    Ok(Some(match parse_options(name, options) {
        Ok(export) => Command::Export {
            query: Arc::new(query),
            export: Arc::new(export),
        },
        Err(error) => Command::Refused(error),
    }))
}

/// What is in front of `TO 'name'`, the name, and what is behind.
fn split(tokens: &[TokenWithSpan]) -> Option<(&[TokenWithSpan], &str, &[TokenWithSpan])> {
    let copy = tokens
        .iter()
        .position(|token| is_word(Some(&token.token), "copy"))?;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            word if depth == 0 && is_word(Some(word), "to") => {
                let is_blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
                let name = at
                    + 1
                    + tokens[at + 1..]
                        .iter()
                        .take_while(|token| is_blank(token))
                        .count();
                let Token::SingleQuotedString(text) = &tokens.get(name)?.token else {
                    return None;
                };
                return Some((&tokens[copy + 1..at], text, &tokens[name + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// A query in parentheses, or a table and perhaps its columns.
fn parse_source(
    tokens: &[TokenWithSpan],
) -> Result<Result<datafusion::sql::sqlparser::ast::Query, PgError>, ParserError> {
    let mut parser = parser(tokens);
    let query = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Ok(*query)
    } else {
        let table = parser.parse_object_name(false)?;
        let columns = parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
        select_from(&table, &columns)
    };
    match parser.peek_token() {
        end if end.token == Token::EOF => Ok(query),
        other => parser.expected("TO", other),
    }
}

fn parse_options(name: &str, tokens: &[TokenWithSpan]) -> Result<Export, PgError> {
    let mut csv = CopyFormat::csv();
    // A file has no description of its columns beside it.
    csv.header = true;
    let mut export = Export {
        wanted: Wanted {
            name: name.to_owned(),
            overwrites: false,
        },
        format: None,
        csv,
    };
    for (option, value) in options(tokens)? {
        match option.as_str() {
            "format" => {
                let named = value.as_deref().and_then(FileFormat::named);
                export.format = Some(named.ok_or_else(|| unknown_format(value.as_deref()))?);
            }
            "overwrite" => export.wanted.overwrites = switch(&option, value.as_deref())?,
            "header" => export.csv.header = switch(&option, value.as_deref())?,
            "delimiter" => export.csv.delimiter = letter(value.as_deref())?,
            "quote" => export.csv.quote = letter(value.as_deref())?,
            "escape" => export.csv.escape = letter(value.as_deref())?,
            "null" => export.csv.null = value.unwrap_or_default(),
            other => {
                return Err(PgError::unsupported(
                    format!("option \"{other}\" of an export is not supported"),
                    "There are FORMAT and OVERWRITE, and for CSV HEADER, DELIMITER, NULL, QUOTE and ESCAPE.",
                ));
            }
        }
    }
    Ok(export)
}

/// `[WITH] (name value, …)`
fn options(tokens: &[TokenWithSpan]) -> Result<Vec<(String, Option<String>)>, PgError> {
    let mut parser = parser(tokens);
    let _is_written = parser.parse_keyword(Keyword::WITH);
    if parser.peek_token().token == Token::EOF {
        return Ok(Vec::new());
    }
    let mut options = Vec::new();
    let mut word = |expected: &str| {
        let token = parser.next_token();
        match token.token {
            Token::Word(word) => Ok(word.value),
            Token::SingleQuotedString(text) => Ok(text),
            Token::Number(number, _) => Ok(number),
            punctuation @ (Token::LParen | Token::RParen | Token::Comma | Token::EOF) => {
                Err(punctuation)
            }
            other => Err(Token::make_word(
                &format!("{other} in place of {expected}"),
                None,
            )),
        }
    };
    let wrong = |token: Token| {
        PgError::new(
            state::SYNTAX_ERROR,
            format!("syntax error in the options of an export: unexpected {token}"),
        )
        .with_hint("WITH (FORMAT parquet, OVERWRITE true)")
    };
    match word("(") {
        Err(Token::LParen) => {}
        Err(other) => return Err(wrong(other)),
        Ok(other) => return Err(wrong(Token::make_word(&other, None))),
    }
    loop {
        let name = word("a name").map_err(wrong)?.to_ascii_lowercase();
        let (value, next) = match word("a value") {
            Ok(value) => (Some(value), word("a comma").err()),
            Err(punctuation) => (None, Some(punctuation)),
        };
        options.push((name, value));
        match next {
            Some(Token::Comma) => {}
            Some(Token::RParen) => break,
            other => return Err(wrong(other.unwrap_or(Token::EOF))),
        }
    }
    match word("the end") {
        Err(Token::EOF) => Ok(options),
        Err(other) => Err(wrong(other)),
        Ok(other) => Err(wrong(Token::make_word(&other, None))),
    }
}

fn unknown_format(name: Option<&str>) -> PgError {
    PgError::unsupported(
        format!(
            "format \"{}\" of an export is not supported",
            name.unwrap_or_default()
        ),
        "FORMAT parquet, csv or ndjson",
    )
}

fn switch(option: &str, value: Option<&str>) -> Result<bool, PgError> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        Some(other) => Err(PgError::new(
            state::INVALID_PARAMETER_VALUE,
            format!("{option} requires a Boolean value, not \"{other}\""),
        )),
    }
}

fn letter(value: Option<&str>) -> Result<u8, PgError> {
    let mut letters = value.unwrap_or_default().chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => ascii(letter),
        // It says what is wrong.
        _ => ascii('\u{fffd}'),
    }
}

impl Export {
    /// What the file shall consist of.
    pub(super) fn format(&self) -> Result<FileFormat, ExportError> {
        self.format
            .map_or_else(|| FileFormat::of_file(&self.wanted.name), Ok)
    }

    /// Begins the file; to be called where the disk may be waited for.
    pub(super) fn begin(
        &self,
        schema: &SchemaRef,
        zone: Tz,
        output: Output,
    ) -> Result<Box<dyn Encoder>, ExportError> {
        let columns = encode::columns(schema);
        let format = self.format()?;
        if format == FileFormat::Csv {
            return Ok(Box::new(Csv::begin(
                self.csv.clone(),
                columns,
                zone,
                output,
            )?));
        }
        let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
        export::encoder(format, &names, schema, output)
    }
}

/// CSV as COPY has it.
struct Csv {
    format: CopyFormat,
    columns: Vec<Column>,
    style: Style,
    lines: BytesMut,
    output: Output,
}

impl Csv {
    fn begin(
        format: CopyFormat,
        columns: Vec<Column>,
        zone: Tz,
        output: Output,
    ) -> Result<Self, ExportError> {
        let mut csv = Self {
            format,
            columns,
            style: Style { zone },
            lines: BytesMut::new(),
            output,
        };
        if csv.format.header {
            csv.format.put_header(&csv.columns, &mut csv.lines);
            csv.flush()?;
        }
        Ok(csv)
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        use std::io::Write as _;
        let written = self.output.write_all(&self.lines);
        self.lines.clear();
        written.map_err(|error| DataFusionError::IoError(error).into())
    }
}

impl Encoder for Csv {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        for start in (0..batch.num_rows()).step_by(CSV_ROWS) {
            let part = batch.slice(start, CSV_ROWS.min(batch.num_rows() - start));
            let rows = Rows::new(&part, &self.columns);
            let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
            for row in 0..rows.count {
                self.format
                    .put_row(&rows, row, self.columns.len(), self.style, &mut self.lines);
            }
            self.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Output, ExportError> {
        Ok(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement;
    use super::*;

    fn command(sql: &str) -> Command {
        statement::parse(sql).unwrap().pop().unwrap()
    }

    #[track_caller]
    fn check(sql: &str, query: &str, name: &str, format: FileFormat, overwrites: bool) {
        let Command::Export {
            query: found,
            export,
        } = command(sql)
        else {
            panic!("{sql}: {:?}", command(sql));
        };
        assert_eq!(found.to_string(), query);
        assert_eq!(
            (export.wanted.name.as_str(), export.format().unwrap()),
            (name, format),
            "{sql}"
        );
        assert_eq!(export.wanted.overwrites, overwrites, "{sql}");
    }

    #[test]
    fn a_copy_to_a_file_has_a_query_a_name_and_options() {
        check(
            "COPY (SELECT a FROM t) TO 'a.parquet'",
            "SELECT a FROM t",
            "a.parquet",
            FileFormat::Parquet,
            false,
        );
        check(
            "copy t (a, b) to 'x/a.csv' with (overwrite)",
            "SELECT a, b FROM t",
            "x/a.csv",
            FileFormat::Csv,
            true,
        );
        check(
            "COPY (SELECT ' TO ' AS a FROM t WHERE b IN ('x')) TO 'a' (FORMAT ndjson, OVERWRITE false)",
            "SELECT ' TO ' AS a FROM t WHERE b IN ('x')",
            "a",
            FileFormat::Ndjson,
            false,
        );
    }

    #[test]
    fn a_copy_to_a_client_is_none() {
        assert!(matches!(command("COPY t TO STDOUT"), Command::Copy { .. }));
        assert!(matches!(
            command("COPY t TO PROGRAM 'rm'"),
            Command::Refused(_)
        ));
        assert!(matches!(
            command("COPY t FROM 'a.csv'"),
            Command::Refused(_)
        ));
    }

    #[test]
    fn what_is_wrong_with_options_is_told() {
        for (options, expected) in [
            ("(FORMAT xml)", "format \"xml\""),
            ("(OVERWRITE perhaps)", "requires a Boolean"),
            ("(COMPRESSION zstd)", "option \"compression\""),
            ("(DELIMITER 'ab')", "one ASCII character"),
            ("(FORMAT csv", "unexpected EOF"),
            ("FORMAT csv", "unexpected FORMAT"),
            ("(FORMAT csv) x", "unexpected x"),
            ("()", "unexpected )"),
        ] {
            let Command::Refused(error) = command(&format!("COPY t TO 'a.csv' {options}")) else {
                panic!("{options} is taken");
            };
            assert!(
                error.message.contains(expected),
                "{options}: {}",
                error.message
            );
        }
        let Command::Export { export, .. } = command("COPY t TO 'a'") else {
            panic!("a name without an ending is told when it is run");
        };
        assert!(matches!(export.format(), Err(ExportError::NoFormat(_))));
    }
}
