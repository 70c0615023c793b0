//! `\copy`: rows to a file of the user's, where COPY … TO 'file' writes one of the server's.
//!
//! Invariant: the file has its name only once all rows are in it; what is left of a failure is removed.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::PromptError;
use crate::print::Format;
use crate::scan;
use crate::session::{Outcome, Session, tell};
use crate::sink::Sink;

pub(super) async fn run(session: &mut Session, argument: &str) -> Result<(), PromptError> {
    let copy = Copy::of(argument).map_err(PromptError::Command)?;
    let failed = |source: std::io::Error| {
        PromptError::Command(format!("cannot write {}: {source}", copy.path.display()))
    };
    let unfinished = Unfinished::new(&copy.path);
    let file = File::create(&unfinished.0).map_err(failed)?;
    let mut sink = Sink::file(file);
    let copied = session
        .execute_into(&copy.sql, &mut sink, copy.format)
        .await;
    let outcome = match copied {
        Err(PromptError::Output(source)) => return Err(failed(source)),
        other => other?,
    };
    match outcome {
        Outcome::Done => {
            std::fs::rename(&unfinished.0, &copy.path).map_err(failed)?;
            if session.settings.is_interactive {
                tell(&format!("wrote {}", copy.path.display()));
            }
            Ok(())
        }
        Outcome::Cancelled | Outcome::Failed => Err(PromptError::Told),
    }
}

/// A file under its name of before it is complete.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        Self(name.into())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more if it was renamed.
        std::fs::remove_file(&self.0).ok();
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Copy {
    sql: String,
    path: PathBuf,
    format: Format,
}

const USAGE: &str =
    "write \\copy (SELECT …) TO file.csv, or .json, or .ndjson; or name the format behind the file";

impl Copy {
    fn of(argument: &str) -> Result<Self, String> {
        let (source, target) = split(argument).ok_or(USAGE)?;
        let source = source.trim();
        let query = source
            .strip_prefix('(')
            .and_then(|query| query.strip_suffix(')'));
        let sql = match query {
            Some(query) => query.trim().to_owned(),
            None if is_one_name(source) => format!("SELECT * FROM {source}"),
            None => return Err(USAGE.to_owned()),
        };
        let (path, options) = path(target.trim()).ok_or(USAGE)?;
        let format = match options {
            "" => by_ending(&path)?,
            named => by_words(named)?,
        };
        Ok(Self { sql, path, format })
    }
}

/// What is in front of the word TO and behind it, outside of quotes and parentheses.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < argument.len() {
        let rest = &argument[at..];
        match rest.as_bytes()[0] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => {
                if let Some(after) = word_to(&argument[..at], rest) {
                    return Some((&argument[..at], after));
                }
            }
            _ => {}
        }
        at += scan::token(rest, &argument[..at])?;
    }
    None
}

/// Whether there are no blanks but in quotes.
fn is_one_name(source: &str) -> bool {
    let mut rest = source;
    while let Some(length) = scan::token(rest, "") {
        if rest.starts_with(char::is_whitespace) {
            return false;
        }
        rest = &rest[length..];
        if rest.is_empty() {
            return true;
        }
    }
    false
}

fn word_to<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let after = rest.get(2..)?;
    let is_word = rest[..2].eq_ignore_ascii_case("to")
        && before.ends_with(|letter: char| letter.is_whitespace() || letter == ')')
        && after.starts_with(|letter: char| letter.is_whitespace() || letter == '\'');
    is_word.then_some(after)
}

/// A path, in quotes or up to the next blank, and what is behind it.
fn path(target: &str) -> Option<(PathBuf, &str)> {
    let (path, rest) = match target.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?,
        None => target
            .split_once(char::is_whitespace)
            .unwrap_or((target, "")),
    };
    (!path.is_empty()).then(|| (path.into(), rest.trim()))
}

fn by_ending(path: &Path) -> Result<Format, String> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        "ndjson" | "jsonl" => Ok(Format::Ndjson),
        "parquet" => Err(
            "the server writes Parquet: COPY (SELECT …) TO 'file.parquet', into the folder of its setting sql.export.dir".to_owned(),
        ),
        _ => Err(USAGE.to_owned()),
    }
}

/// `csv`, `with csv header`, `(format csv)`: as psql and people write it.
fn by_words(words: &str) -> Result<Format, String> {
    let words = words.to_ascii_lowercase();
    let words = words.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut format = None;
    for word in words.filter(|word| !word.is_empty()) {
        match Format::of(word) {
            Some(named) if !named.is_for_people() => format = Some(named),
            // A CSV file always has its line of names here.
            None if matches!(word, "with" | "format" | "header") => {}
            _ => {
                return Err(format!(
                    "'{word}' is no format of \\copy; there are csv, json and ndjson"
                ));
            }
        }
    }
    format.ok_or_else(|| USAGE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argument: &str, sql: &str, path: &str, format: Format) {
        let copy = Copy::of(argument).unwrap();
        assert_eq!(
            (copy.sql.as_str(), copy.path.to_str(), copy.format),
            (sql, Some(path), format)
        );
    }

    #[test]
    fn a_query_or_a_topic_goes_to_a_file_by_its_ending() {
        check("(SELECT 1) TO a.csv", "SELECT 1", "a.csv", Format::Csv);
        check(
            "(select ') to x' from (select 1) t) to 'my file.JSON'",
            "select ') to x' from (select 1) t",
            "my file.JSON",
            Format::Json,
        );
        check(
            "trips TO a.jsonl",
            "SELECT * FROM trips",
            "a.jsonl",
            Format::Ndjson,
        );
        check(
            "\"to to\" to b.csv",
            "SELECT * FROM \"to to\"",
            "b.csv",
            Format::Csv,
        );
    }

    #[test]
    fn a_format_may_be_named() {
        check(
            "t TO a.txt csv header",
            "SELECT * FROM t",
            "a.txt",
            Format::Csv,
        );
        check(
            "t TO 'a.txt' WITH (FORMAT ndjson)",
            "SELECT * FROM t",
            "a.txt",
            Format::Ndjson,
        );
        for wrong in [
            "t TO a.txt",
            "t TO a.txt xml",
            "t TO a.parquet",
            "t",
            "TO a.csv",
            "t FROM a.csv",
            "a b TO c.csv",
            "t TO a.csv table",
        ] {
            assert!(Copy::of(wrong).is_err(), "{wrong}");
        }
    }
}
