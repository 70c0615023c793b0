//! [`Failure`]: what PostgreSQL, or the way to it, said; and [`Kind`], what follows from that.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::{DbError, Severity};

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It goes away by itself: the database is down, busy, or chose this transaction to break a deadlock. The same again, a little later.
    Retry,
    /// Somebody has to do something: give rights, put a column back, mend a password. Nothing is left out; the same again, later, and it
    /// goes on when that was done.
    Hold,
    /// It is in rows, and the same rows would be refused again.
    Rows,
    /// Another one writes now; this one ends.
    Fenced,
    /// The sink is at another offset than the writer; it goes on from there.
    Moved,
    /// A mistake of the caller.
    Defect,
}

/// An error of PostgreSQL, or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Box<Said>);

/// What a [`Failure`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What was done, as `writing to public.users`.
    pub doing: String,
    /// PostgreSQL's code; none where the error is not PostgreSQL's.
    pub sqlstate: Option<String>,
    /// What was said.
    pub message: String,
    /// PostgreSQL's hint.
    pub hint: Option<String>,
    /// More of it, which may have values of rows and so belongs to dead letters and not to logs.
    pub(crate) detail: Option<String>,
    pub(crate) constraint: Option<String>,
    pub(crate) column: Option<String>,
    /// Whether the session ended with it, so that it may have come after a commit.
    pub(crate) ended_session: bool,
    /// Whether it is about trust: a certificate, or that there is no TLS.
    is_trust: bool,
    /// Whether somebody's function has raised it, with whatever code.
    is_raised: bool,
}

/// The function of PostgreSQL that carries out RAISE of PL/pgSQL.
const RAISE: &str = "exec_stmt_raise";

impl std::ops::Deref for Failure {
    type Target = Said;

    fn deref(&self) -> &Said {
        &self.0
    }
}

impl Failure {
    /// An error that is not PostgreSQL's.
    pub(crate) fn io(doing: &str, message: impl Into<String>) -> Self {
        Self::other(doing, message.into(), false)
    }

    /// An error of what is trusted, or of what this is not made for.
    pub(crate) fn trust(doing: &str, message: String) -> Self {
        Self::other(doing, message, true)
    }

    fn other(doing: &str, message: String, is_trust: bool) -> Self {
        Self(Box::new(Said {
            doing: doing.to_owned(),
            sqlstate: None,
            message,
            hint: None,
            detail: None,
            constraint: None,
            column: None,
            ended_session: true,
            is_trust,
            is_raised: false,
        }))
    }

    pub(crate) fn new(doing: &str, error: &tokio_postgres::Error) -> Self {
        if let Some(error) = error.as_db_error() {
            return Self::of_database(doing, error);
        }
        let mut message = error.to_string();
        let mut is_trust = message.contains("TLS");
        let mut source = error.source();
        while let Some(error) = source {
            let said = error.to_string();
            if !message.contains(&said) {
                message = format!("{message}: {said}");
            }
            is_trust |= error.is::<rustls::Error>();
            source = error.source();
        }
        // An error that is not a word on a socket is one of what was asked: no password, no way to log in that both know.
        is_trust |= message.contains("authentication") || message.contains("password");
        Self::other(doing, message, is_trust)
    }

    fn of_database(doing: &str, error: &DbError) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let ends = matches!(
            error.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic)
        );
        Self(Box::new(Said {
            doing: doing.to_owned(),
            sqlstate: Some(error.code().code().to_owned()),
            message: error.message().to_owned(),
            hint: owned(error.hint()),
            detail: owned(error.detail()),
            constraint: owned(error.constraint()),
            column: owned(error.column()),
            ended_session: ends,
            is_trust: false,
            is_raised: error.routine() == Some(RAISE),
        }))
    }

    /// The same as what ended a session.
    pub(crate) fn ending(&self, doing: &str) -> Self {
        let mut failure = self.clone();
        doing.clone_into(&mut failure.0.doing);
        failure.0.ended_session = true;
        failure
    }

    /// What follows from it.
    pub fn kind(&self) -> Kind {
        match self.sqlstate.as_deref() {
            Some(code) => kind_of(code),
            None if self.is_trust => Kind::Hold,
            None => Kind::Retry,
        }
    }
}

impl Failure {
    /// Whether a row may be what PostgreSQL does not like, whatever the code says: a type that reads a text has errors of syntax and of
    /// names that are not there, policies are rights, and a trigger raises what it likes. That it is one is known once other rows of the
    /// batch are taken.
    pub(crate) fn may_be_of_rows(&self) -> bool {
        let Some(code) = self.sqlstate.as_deref().filter(|_| !self.ended_session) else {
            return false;
        };
        // Which functions of extensions raise, too, where a text is none of their type.
        const INTERNAL: &str = "XX000";
        self.is_raised || code == INTERNAL || self.kind() != Kind::Retry
    }
}

/// What follows from a code of PostgreSQL (its appendix A).
fn kind_of(code: &str) -> Kind {
    match code {
        // A statement or a lock took too long, a session idled in a transaction, an object is in use.
        "57014" | "55P03" | "25P03" | "55006" => Kind::Retry,
        // The server is, or became, one that is only read: after a fail-over another one is written.
        "25006" => Kind::Retry,
        // A prepared statement does not fit the table any more: the next session prepares it anew.
        "0A000" | "26000" => Kind::Retry,
        _ => match code.get(..2).unwrap_or_default() {
            // Connections; resources; ended or starting; serialization and deadlocks; the system; its own errors.
            "08" | "53" | "57" | "40" | "58" | "XX" => Kind::Retry,
            // Values; constraints; WITH CHECK OPTION; too large for an index, too deep; raised by triggers.
            "22" | "23" | "44" | "54" | "P0" => Kind::Rows,
            _ => Kind::Hold,
        },
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.doing, self.message)?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(formatter, " (SQLSTATE {sqlstate})")?;
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_code() {
        for (kind, codes) in [
            (
                Kind::Retry,
                &[
                    "08006", "53300", "57P01", "57P03", "40001", "40P01", "55P03", "57014", "25006",
                ][..],
            ),
            (
                Kind::Hold,
                &[
                    "28P01", "28000", "42501", "42P01", "42703", "3D000", "42P10",
                ],
            ),
            (
                Kind::Rows,
                &[
                    "22P02", "22003", "23502", "23503", "23505", "23514", "P0001", "54000",
                ],
            ),
        ] {
            for code in codes {
                assert_eq!(kind_of(code), kind, "{code}");
            }
        }
    }
}
