//! What goes wrong, and how the server's errors are shown: as psql shows them, with the line and a caret under the place.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar as _;

/// What a server says is wrong, or noteworthy.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServerError {
    pub(crate) severity: String,
    /// The SQLSTATE.
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// In characters of the statement, from 1.
    pub(crate) position: Option<usize>,
}

/// SQLSTATE of a statement that was cancelled.
const QUERY_CANCELED: &str = "57014";

impl ServerError {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.state == QUERY_CANCELED
    }

    /// The error of this statement, for people.
    pub(crate) fn shown(&self, sql: &str) -> String {
        let mut text = format!("{}:  {}\n", self.severity, self.message);
        if let Some(place) = self.position.and_then(|position| Place::of(sql, position)) {
            text.push_str(&place.shown());
        }
        for (name, part) in [("DETAIL", &self.detail), ("HINT", &self.hint)] {
            if let Some(part) = part {
                writeln!(text, "{name}:  {part}").expect("writing to a string does not fail");
            }
        }
        text
    }
}

/// Characters shown of a line that is longer, so that the caret stands where people look.
const LINE_CHARACTERS_MAX: usize = 70;

/// A line of a statement and a character in it.
struct Place<'a> {
    line: &'a str,
    /// From 1.
    number: usize,
    /// In characters from the start of the line.
    column: usize,
}

impl<'a> Place<'a> {
    /// `position` counts characters from 1.
    fn of(sql: &'a str, position: usize) -> Option<Self> {
        let mut before = position.checked_sub(1)?;
        for (number, line) in sql.split('\n').enumerate() {
            let characters = line.chars().count();
            if before <= characters {
                let column = before;
                let number = number + 1;
                return Some(Self {
                    line,
                    number,
                    column,
                });
            }
            before -= characters + 1;
        }
        None
    }

    fn shown(&self) -> String {
        let first = self.column.saturating_sub(LINE_CHARACTERS_MAX * 2 / 3);
        let rest: Vec<char> = self.line.chars().skip(first).collect();
        let shown = &rest[..rest.len().min(LINE_CHARACTERS_MAX)];
        let dots = |is_cut| if is_cut { "..." } else { "" };
        let (left, right) = (dots(first > 0), dots(shown.len() < rest.len()));
        let head = format!("LINE {}: {left}", self.number);
        // A tab has the width of a blank here, so that the caret meets its place on every terminal.
        let shown = |character: &char| {
            if character.is_control() {
                ' '
            } else {
                *character
            }
        };
        let text: String = rest.iter().take(LINE_CHARACTERS_MAX).map(shown).collect();
        let before = text.chars().take(self.column - first);
        let blanks: usize = before.map(|character| character.width().unwrap_or(0)).sum();
        let blanks = " ".repeat(head.chars().count() + blanks);
        format!("{head}{text}{right}\n{blanks}^\n")
    }
}

/// The connection is gone.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the server was lost")]
pub struct Lost(#[from] io::Error);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server does not want another session.
    #[error("the server refused the session: {0}")]
    Refused(Box<ServerError>),
    /// The server asks who one is.
    #[error("the server asks for a password, which this prompt has none for")]
    Password,
    /// What is there does not speak PostgreSQL's protocol, or went away.
    #[error("what listens there gave no answer of PostgreSQL's protocol")]
    Lost(#[from] Lost),
}

/// Why the work ended early.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// There is no session.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is none any more.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A statement failed, and it was said how.
    #[error("a statement failed")]
    Told,
    /// A query cannot be followed.
    #[error(transparent)]
    Unfollowable(#[from] crate::follow::Unfollowable),
    /// Whoever reads the output has had enough.
    #[error("the output was closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    /// The terminal does not do what a prompt needs.
    #[error("cannot use the terminal")]
    Terminal(#[source] rustyline::error::ReadlineError),
    /// A command cannot be done; the text says what to do.
    #[error("{0}")]
    Command(String),
}

impl PromptError {
    /// What to do next, where that is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Connect(ConnectError::Connect { .. } | ConnectError::Lost(_)) => Some(
                "start a broker with `watertable start`, whose --sql-listen says where it takes SQL, or name another with \
                 --server HOST:PORT"
                    .to_owned(),
            ),
            Self::Connect(ConnectError::Refused(error)) => error.hint.clone(),
            Self::Unfollowable(refused) => Some(refused.next_step().to_owned()),
            _ => None,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::File { path, source }
    }
}

/// Errors of writing results.
impl From<io::Error> for PromptError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Output(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(position: usize) -> ServerError {
        ServerError {
            severity: "ERROR".to_owned(),
            message: "no such thing".to_owned(),
            hint: Some("Perhaps another.".to_owned()),
            position: Some(position),
            ..ServerError::default()
        }
    }

    #[test]
    fn the_place_is_shown_under_its_line() {
        let shown = error(19).shown("SELECT a,\n  größe, b\nFROM t");
        assert_eq!(
            shown,
            "ERROR:  no such thing\nLINE 2:   größe, b\n                ^\nHINT:  Perhaps another.\n"
        );
        // Wide characters take two places.
        let shown = error(5).shown("東京, x");
        assert!(
            shown.contains("\nLINE 1: 東京, x\n              ^\n"),
            "{shown}"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let sql = format!("SELECT {}, wrong, {}", "a".repeat(200), "b".repeat(200));
        let shown = error(210).shown(&sql);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("LINE 1: ...aaa"), "{shown}");
        assert!(lines[1].ends_with("bbb..."), "{shown}");
        assert_eq!(lines[1].find("wrong"), lines[2].find('^'), "{shown}");
    }

    #[test]
    fn places_outside_of_the_statement_are_not_shown() {
        for position in [0, 40] {
            assert!(!error(position).shown("SELECT 1").contains("LINE"));
        }
        // Behind the last character is a place: there something is missing.
        assert!(
            error(9)
                .shown("SELECT 1")
                .contains("LINE 1: SELECT 1\n                ^\n")
        );
    }
}
