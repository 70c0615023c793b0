//! The prompt: reads a statement or a command, runs it, and reads the next.
//!
//! Invariant: nothing but Ctrl-D and `\q` ends it: not a failed statement, not Ctrl-C, not a server that went away. What was
//! typed is in the history before it runs.

use std::path::PathBuf;
use std::rc::Rc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;

use crate::commands::{self, Next};
use crate::complete::Assistant;
use crate::error::PromptError;
use crate::scan::{self, Piece};
use crate::session::{Session, tell};
use crate::wire::Transaction;

/// Statements that are remembered.
const HISTORY: usize = 5000;

type Lines = Editor<Assistant, FileHistory>;

pub(crate) fn run(runtime: Runtime, mut session: Session) -> Result<(), PromptError> {
    let runtime = Rc::new(runtime);
    tell(&format!(
        "watertable sql, connected to {} (server {}). \\? lists commands, \\q leaves.",
        session.address(),
        session.connection().version
    ));
    let assistant = Assistant::new(Rc::clone(&runtime), session.address());
    let mut lines = editor(assistant)?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none before the first time.
        lines.load_history(history).ok();
    }
    loop {
        let prompt = prompt(&session);
        let text = match lines.readline(&prompt) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(PromptError::Terminal(error)),
        };
        remember(&mut lines, &text, history.as_ref());
        if let Some(assistant) = lines.helper_mut() {
            assistant.forget();
        }
        let next = runtime.block_on(run_text(&mut session, &text))?;
        if next == Next::Quit {
            break;
        }
    }
    runtime.block_on(session.close())
}

fn editor(assistant: Assistant) -> Result<Lines, PromptError> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .max_history_size(HISTORY);
    let config = config.map_err(PromptError::Terminal)?;
    let mut lines = Lines::with_config(config.build()).map_err(PromptError::Terminal)?;
    lines.set_helper(Some(assistant));
    Ok(lines)
}

/// As psql marks an open transaction, and one that failed.
fn prompt(session: &Session) -> String {
    let mark = match session.connection().transaction {
        Transaction::None => "",
        Transaction::Open => "*",
        Transaction::Failed => "!",
    };
    format!("watertable{mark}> ")
}

/// `sql_history` in the user's state directory, as the XDG specification has it.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let folder = state.or_else(home)?.join("watertable");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

fn remember(lines: &mut Lines, text: &str, history: Option<&PathBuf>) {
    if text.trim().is_empty() {
        return;
    }
    let added = lines.add_history_entry(text.trim_end()).unwrap_or_default();
    if let Some(history) = history.filter(|_| added)
        && let Err(error) = lines.append_history(history)
    {
        tell(&format!("could not write {}: {error}", history.display()));
    }
}

/// Runs what was typed: any number of statements and commands.
async fn run_text(session: &mut Session, text: &str) -> Result<Next, PromptError> {
    let mut rest = text;
    while let Some((piece, after)) = scan::piece(rest) {
        match run_piece(session, &piece).await {
            Ok(Next::Quit) => return Ok(Next::Quit),
            Ok(Next::GoOn) => {}
            // As psql: what stands behind a failed statement in the same text is given up.
            Err(PromptError::Told | PromptError::OutputClosed) => return Ok(Next::GoOn),
            Err(PromptError::Lost(_)) => {
                recover(session).await;
                return Ok(Next::GoOn);
            }
            Err(error) => {
                tell(&told(&error));
                return Ok(Next::GoOn);
            }
        }
        rest = after;
    }
    Ok(Next::GoOn)
}

async fn run_piece(session: &mut Session, piece: &Piece<'_>) -> Result<Next, PromptError> {
    if let Some(command) = piece.command {
        return commands::run(session, command, piece.sql).await;
    }
    if !piece.sql.is_empty() {
        session.execute(piece.sql).await?;
    }
    Ok(Next::GoOn)
}

/// An error with what caused it.
fn told(error: &PromptError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn recover(session: &mut Session) {
    tell("The connection to the server was lost.");
    match session.reconnect().await {
        Ok(()) => tell("Connected again; settings of the session are as at its start."),
        Err(error) => tell(&format!(
            "Could not connect again ({error}); the next statement tries to."
        )),
    }
}
