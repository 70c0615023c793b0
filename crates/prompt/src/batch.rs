//! Statements that nobody types: from arguments, files and standard input.
//!
//! Invariant: the first statement that fails ends the work, and nothing behind it runs. Statements of standard input run as they
//! come.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use crate::commands::{self, Next};
use crate::error::PromptError;
use crate::scan;
use crate::session::{Outcome, Session};
use crate::{Source, session};

/// A statement longer than this is none that somebody wrote; the server takes 16 MiB.
const STATEMENT_BYTES_MAX: usize = 64 << 20;

pub(crate) async fn run(mut session: Session, sources: Vec<Source>) -> Result<(), PromptError> {
    for source in sources {
        let next = match source {
            Source::Text(text) => run_text(&mut session, &text).await?,
            Source::File(path) => run_file(&mut session, &path).await?,
            Source::Input => {
                run_input(&mut session, std::io::stdin().lock(), PromptError::Input).await?
            }
        };
        if next == Next::Quit {
            break;
        }
    }
    session.close().await
}

pub(crate) async fn run_file(session: &mut Session, path: &Path) -> Result<Next, PromptError> {
    let file = std::fs::File::open(path).map_err(|source| PromptError::file(path, source))?;
    run_input(session, file, |source| PromptError::file(path, source)).await
}

async fn run_text(session: &mut Session, text: &str) -> Result<Next, PromptError> {
    run_input(session, text.as_bytes(), PromptError::Input).await
}

/// Runs the statements of a text as they come.
async fn run_input(
    session: &mut Session,
    input: impl Read,
    failed: impl Fn(std::io::Error) -> PromptError,
) -> Result<Next, PromptError> {
    let mut input = BufReader::new(input);
    let mut text = String::new();
    loop {
        let limit = u64::try_from(STATEMENT_BYTES_MAX).unwrap_or(u64::MAX);
        let read = input
            .by_ref()
            .take(limit)
            .read_line(&mut text)
            .map_err(&failed)?;
        if text.len() > STATEMENT_BYTES_MAX {
            let what =
                std::io::Error::new(std::io::ErrorKind::InvalidData, "a statement is too long");
            return Err(failed(what));
        }
        let mut rest = text.as_str();
        while let Some((piece, after)) = scan::piece(rest) {
            if run_piece(session, &piece).await? == Next::Quit {
                return Ok(Next::Quit);
            }
            rest = after;
        }
        text = rest.to_owned();
        if read == 0 {
            break;
        }
    }
    // The last one needs no semicolon.
    if scan::is_blank(&text) {
        return Ok(Next::GoOn);
    }
    let last = scan::Piece {
        sql: text.trim(),
        command: None,
    };
    run_piece(session, &last).await
}

async fn run_piece(session: &mut Session, piece: &scan::Piece<'_>) -> Result<Next, PromptError> {
    if let Some(command) = piece.command {
        return match commands::run(session, command, piece.sql).await {
            Err(PromptError::Command(text)) => {
                session::tell(&text);
                Err(PromptError::Told)
            }
            other => other,
        };
    }
    if piece.sql.is_empty() {
        return Ok(Next::GoOn);
    }
    match session.execute(piece.sql).await? {
        Outcome::Done => Ok(Next::GoOn),
        Outcome::Cancelled | Outcome::Failed => Err(PromptError::Told),
    }
}
