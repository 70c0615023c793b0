//! Completion, and when a statement is complete.
//!
//! What can stand at the cursor is guessed from the words in front of it: topics behind FROM and its like, columns of the tables
//! that the statement names, keywords, commands. Names are asked of the server once per statement, with patience for a moment
//! only: the prompt never hangs for want of a suggestion.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use tokio::runtime::Runtime;

use crate::commands::{COMMANDS, identifier};
use crate::print::Format;
use crate::scan;
use crate::wire::{Connection, Row};

/// How long the server may take to tell its names.
const PATIENCE: Duration = Duration::from_secs(1);

/// A column of a table of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    schema: String,
    table: String,
    column: String,
}

/// What the editor of the prompt asks.
pub(crate) struct Assistant {
    runtime: Rc<Runtime>,
    address: String,
    /// As of this statement.
    names: RefCell<Option<Vec<Name>>>,
    files: FilenameCompleter,
}

impl Assistant {
    /// Completes with the names of this server.
    pub(crate) fn new(runtime: Rc<Runtime>, address: &str) -> Self {
        Self {
            runtime,
            address: address.to_owned(),
            names: RefCell::new(None),
            files: FilenameCompleter::new(),
        }
    }

    /// The next statement may see other topics.
    pub(crate) fn forget(&mut self) {
        *self.names.borrow_mut() = None;
    }

    fn names(&self) -> Vec<Name> {
        let mut names = self.names.borrow_mut();
        names.get_or_insert_with(|| self.ask()).clone()
    }

    /// Asks in a session of its own: that of the user may be in a transaction that failed, and must not wait for this.
    fn ask(&self) -> Vec<Name> {
        const SQL: &str = "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema NOT IN \
                           ('pg_catalog', 'information_schema') ORDER BY table_schema, table_name, ordinal_position";
        let ask = async {
            let mut connection = Connection::open(&self.address).await.ok()?;
            let rows = connection.ask(SQL).await.ok()?.ok()?;
            connection.close().await;
            Some(rows)
        };
        let asked = async { tokio::time::timeout(PATIENCE, ask).await };
        let rows = self.runtime.block_on(asked).ok().flatten();
        let name = |row: &Row| Name {
            schema: row.text(0),
            table: row.text(1),
            column: row.text(2),
        };
        rows.unwrap_or_default().iter().map(name).collect()
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let statement = last_statement(&line[..at]);
        if is_file(statement) {
            return self.files.complete(line, at, context);
        }
        let (start, wanted) = wanted(statement);
        let typed = &statement[start..];
        let found = match wanted {
            Wanted::Nothing => Vec::new(),
            Wanted::Command => commands(),
            Wanted::Words(words) => words,
            Wanted::Table => tables(&self.names()),
            Wanted::Expression => expression(&self.names(), &line[at - statement.len()..]),
        };
        let start = at - typed.len();
        Ok((start, matching(found, typed)))
    }
}

/// The part of the input behind the last statement that is complete.
fn last_statement(text: &str) -> &str {
    let mut rest = text;
    while let Some((piece, after)) = scan::piece(rest) {
        // A command has its end only with its line.
        if piece.command.is_some() && after.is_empty() {
            break;
        }
        rest = after;
    }
    rest.trim_start()
}

/// What could stand at the end of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Command,
    Words(Vec<String>),
    Table,
    /// A column, a function or a keyword.
    Expression,
}

fn is_file(statement: &str) -> bool {
    let mut words = statement.split_whitespace();
    let takes_file = matches!(words.next(), Some("\\i" | "\\o"));
    takes_file && statement.contains(char::is_whitespace)
}

/// Where the word at the end begins, and what it could be.
fn wanted(statement: &str) -> (usize, Wanted) {
    let start = word_start(statement);
    let before = &statement[..start];
    let wanted = if before.matches('\'').count() % 2 == 1 {
        Wanted::Nothing
    } else if before.is_empty() && statement.starts_with('\\') {
        Wanted::Command
    } else if statement.starts_with('\\') {
        after_command(statement)
    } else {
        match previous_word(before).as_str() {
            "FROM" | "JOIN" | "INTO" | "TABLE" | "UPDATE" | "COPY" | "DESCRIBE" => Wanted::Table,
            _ if follows_comma_of_from(before) => Wanted::Table,
            _ => Wanted::Expression,
        }
    };
    (start, wanted)
}

fn after_command(statement: &str) -> Wanted {
    let words =
        |words: &[&str]| Wanted::Words(words.iter().map(|word| (*word).to_owned()).collect());
    match statement.split_whitespace().next() {
        Some("\\d" | "\\dt" | "\\d+" | "\\dt+" | "\\copy") => Wanted::Table,
        Some("\\format") => words(&Format::ALL.map(Format::name)),
        Some("\\x" | "\\timing") => words(&["on", "off"]),
        _ => Wanted::Nothing,
    }
}

/// A word is letters, digits and what names of topics have in quotes.
fn word_start(statement: &str) -> usize {
    if let Some(start) = open_quote(statement) {
        return start;
    }
    let in_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '\\');
    let word = statement.trim_end_matches(in_word);
    word.len()
}

/// Where a name in quotes begins that does not end.
fn open_quote(statement: &str) -> Option<usize> {
    let quotes = statement.matches('"').count();
    (quotes % 2 == 1).then(|| statement.rfind('"')).flatten()
}

fn previous_word(before: &str) -> String {
    let words = before.trim_end();
    let word = words
        .rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next();
    // Directly behind a dot or a parenthesis there is no word before.
    if words.len() == before.len() {
        String::new()
    } else {
        word.unwrap_or_default().to_ascii_uppercase()
    }
}

/// `FROM a, ` wants another table; `SELECT a, ` does not.
fn follows_comma_of_from(before: &str) -> bool {
    if !before.trim_end().ends_with(',') {
        return false;
    }
    let clause = |word: &&str| {
        [
            "SELECT", "FROM", "WHERE", "BY", "ON", "HAVING", "SET", "VALUES",
        ]
        .iter()
        .any(|clause| clause.eq_ignore_ascii_case(word))
    };
    let last = before
        .split(|letter: char| !letter.is_alphanumeric())
        .rev()
        .find(clause);
    last.is_some_and(|last| last.eq_ignore_ascii_case("FROM"))
}

fn commands() -> Vec<String> {
    COMMANDS
        .iter()
        .map(|command| format!("\\{}", command.name))
        .collect()
}

/// A name as it is completed from a schema that is searched, or with the schema.
fn table(name: &Name) -> String {
    match name.schema.as_str() {
        "public" => identifier(&name.table),
        schema => format!("{}.{}", identifier(schema), identifier(&name.table)),
    }
}

fn tables(names: &[Name]) -> Vec<String> {
    let mut tables: Vec<String> = names.iter().map(table).collect();
    tables.dedup();
    tables
}

/// Columns of the tables that a statement names, then keywords.
fn expression(names: &[Name], statement: &str) -> Vec<String> {
    let named: Vec<&Name> = names
        .iter()
        .filter(|name| mentions(statement, &table(name)))
        .collect();
    // Before FROM is written, the columns of any topic could be meant.
    let known = if named.is_empty() {
        names.iter().collect()
    } else {
        named
    };
    let mut found: Vec<String> = known.iter().map(|name| identifier(&name.column)).collect();
    found.sort_unstable();
    found.dedup();
    found.extend(KEYWORDS.iter().map(|word| (*word).to_owned()));
    found
}

/// Whether a name stands in a statement as a word of its own.
fn mentions(statement: &str, name: &str) -> bool {
    let in_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '"');
    statement.match_indices(name).any(|(at, _)| {
        !statement[..at].ends_with(in_word) && !statement[at + name.len()..].starts_with(in_word)
    })
}

/// Those that begin as what was typed; keywords are written in the case of what was typed.
fn matching(found: Vec<String>, typed: &str) -> Vec<Pair> {
    let is_lower = !typed.chars().any(char::is_uppercase) && !typed.is_empty();
    let plain = typed.trim_start_matches('"').to_lowercase();
    let fits = |name: &String| {
        name.trim_start_matches('"')
            .to_lowercase()
            .starts_with(&plain)
    };
    let pair = |name: String| {
        let is_keyword = is_lower && KEYWORDS.contains(&name.as_str());
        let replacement = if is_keyword {
            name.to_lowercase()
        } else {
            name
        };
        Pair {
            display: replacement.clone(),
            replacement,
        }
    };
    found.into_iter().filter(fits).map(pair).collect()
}

const KEYWORDS: [&str; 59] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "ON",
    "USING",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS NULL",
    "IS NOT NULL",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "EXISTS",
    "DISTINCT",
    "HAVING",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "COALESCE",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "ASC",
    "DESC",
    "NULLS LAST",
    "OVER",
    "PARTITION BY",
    "INTERVAL",
    "EXPLAIN",
    "ANALYZE",
    "INSERT INTO",
    "VALUES",
    "CREATE TABLE",
    "DROP TABLE",
    "COPY",
    "SET",
    "SHOW",
    "BEGIN",
];

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// Whether Enter runs what was typed: nothing is open behind the last semicolon.
fn is_complete(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = scan::piece(rest) {
        rest = after;
    }
    rest.trim().is_empty()
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, table: &str, column: &str) -> Name {
        Name {
            schema: schema.to_owned(),
            table: table.to_owned(),
            column: column.to_owned(),
        }
    }

    fn names() -> Vec<Name> {
        vec![
            name("public", "page-views", "_key"),
            name("public", "page-views", "url"),
            name("public", "trips", "_key"),
            name("public", "trips", "_value"),
            name("sys", "topics", "partitions"),
        ]
    }

    fn replacements(found: Vec<String>, typed: &str) -> Vec<String> {
        matching(found, typed)
            .into_iter()
            .map(|pair| pair.replacement)
            .collect()
    }

    #[test]
    fn what_is_wanted_is_told_by_the_words_before() {
        for (statement, start, expected) in [
            ("", 0, Wanted::Expression),
            ("SELECT _v", 7, Wanted::Expression),
            ("select * from tr", 14, Wanted::Table),
            ("SELECT * FROM a JOIN ", 21, Wanted::Table),
            ("SELECT * FROM a, tr", 17, Wanted::Table),
            ("SELECT a, b", 10, Wanted::Expression),
            ("SELECT * FROM \"page-v", 14, Wanted::Table),
            ("SELECT * FROM t WHERE t.", 24, Wanted::Expression),
            ("SELECT 'fro", 8, Wanted::Nothing),
            ("\\d", 0, Wanted::Command),
            ("\\d tr", 3, Wanted::Table),
            (
                "\\timing o",
                8,
                Wanted::Words(vec!["on".to_owned(), "off".to_owned()]),
            ),
        ] {
            assert_eq!(wanted(statement), (start, expected), "{statement}");
        }
    }

    #[test]
    fn topics_are_completed_with_the_quotes_they_need() {
        let all = tables(&names());
        assert_eq!(all, ["\"page-views\"", "trips", "sys.topics"]);
        assert_eq!(replacements(all.clone(), "pag"), ["\"page-views\""]);
        assert_eq!(replacements(all.clone(), "\"page"), ["\"page-views\""]);
        assert_eq!(replacements(all, "TR"), ["trips"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_in_the_statement() {
        let found = expression(&names(), "SELECT  FROM trips");
        assert_eq!(replacements(found, "_"), ["_key", "_value"]);
        let found = expression(&names(), "SELECT u FROM \"page-views\" v");
        assert_eq!(replacements(found, "u"), ["url", "using", "union all"]);
        // A topic's name inside of another word names no topic.
        assert!(!mentions("SELECT * FROM trips2", "trips"));
    }

    #[test]
    fn keywords_are_written_as_one_types() {
        assert_eq!(replacements(expression(&[], ""), "sel"), ["select"]);
        assert_eq!(replacements(expression(&[], ""), "SEL"), ["SELECT"]);
    }

    #[test]
    fn enter_runs_what_is_complete() {
        for complete in [
            "",
            "SELECT 1;",
            "SELECT 1;  ",
            "\\dt",
            "SELECT 1; SELECT 2;",
            "SELECT 1 \\watch",
        ] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT $$;"] {
            assert!(!is_complete(open), "{open}");
        }
    }

    #[test]
    fn what_is_complete_is_not_looked_at() {
        assert_eq!(
            last_statement("SELECT 1; SELECT * FROM t"),
            "SELECT * FROM t"
        );
        assert_eq!(last_statement("SELECT 1; \\d tr"), "\\d tr");
    }

    #[test]
    fn files_are_completed_where_commands_take_them() {
        assert!(is_file("\\i query"));
        assert!(is_file("\\o "));
        assert!(!is_file("\\i"));
        assert!(!is_file("\\d x"));
    }
}
