//! Backslash commands, as psql has them: [`COMMANDS`] is the list of all, for running, help and completion.

mod copy;
mod describe;
mod help;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::describe::identifier;
use crate::batch;
use crate::error::PromptError;
use crate::print::Format;
use crate::session::{Outcome, Session, tell};

/// What to do after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    Quit,
}

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) help: &'static str,
    pub(crate) does: Does,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Describe,
    ListTopics,
    ListDatabases,
    ListSchemas,
    Expanded,
    Timing,
    Format,
    Watch,
    Go,
    Output,
    Include,
    Copy,
    Connection,
    Help,
    SqlHelp,
    Quit,
}

const fn command(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    does: Does,
) -> Command {
    Command {
        name,
        arguments,
        help,
        does,
    }
}

/// All commands, in the order of the help.
pub(crate) const COMMANDS: [Command; 16] = [
    command(
        "d",
        "[TOPIC]",
        "columns of a topic, or all topics",
        Does::Describe,
    ),
    command(
        "dt",
        "[PATTERN]",
        "topics; * and ? stand for other letters",
        Does::ListTopics,
    ),
    command("l", "", "databases", Does::ListDatabases),
    command("dn", "", "schemas", Does::ListSchemas),
    command(
        "x",
        "[on|off]",
        "a line per value in place of tables",
        Does::Expanded,
    ),
    command(
        "format",
        "[FORMAT]",
        "table, csv, json, ndjson or expanded",
        Does::Format,
    ),
    command(
        "timing",
        "[on|off]",
        "how long each statement takes",
        Does::Timing,
    ),
    command(
        "watch",
        "[SECONDS]",
        "the statement again and again, until Ctrl-C",
        Does::Watch,
    ),
    command("g", "", "the statement, as ; does", Does::Go),
    command(
        "o",
        "[FILE]",
        "results to a file, or to the screen again",
        Does::Output,
    ),
    command("i", "FILE", "the statements of a file", Does::Include),
    command(
        "copy",
        "TOPIC|(QUERY) TO FILE",
        "rows to a file of yours: .csv, .json, .ndjson",
        Does::Copy,
    ),
    command(
        "conninfo",
        "",
        "where this is connected to",
        Does::Connection,
    ),
    command("?", "", "these commands", Does::Help),
    command("h", "[STATEMENT]", "the statements of SQL", Does::SqlHelp),
    command("q", "", "leave, as Ctrl-D does", Does::Quit),
];

/// The longest pause of `\watch`.
const PAUSE_MAX: f64 = 86_400.0;

fn known(name: &str) -> Option<&'static Command> {
    // The pluses of psql ask for more than there is to say.
    let name = name.trim_end_matches('+');
    COMMANDS.iter().find(|command| command.name == name)
}

/// Runs a command; `sql` is the statement in front of it.
///
/// # Errors
/// [`PromptError::Command`] if it cannot be done.
pub(crate) async fn run(session: &mut Session, line: &str, sql: &str) -> Result<Next, PromptError> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = rest.trim().trim_end_matches(';').trim_end();
    let command = known(name).ok_or_else(|| PromptError::Command(unknown(name)))?;
    let takes_statement = matches!(command.does, Does::Watch | Does::Go);
    if !sql.is_empty() && !takes_statement {
        let text =
            format!("\\{name} stands behind an open statement; end the statement with ; first");
        return Err(PromptError::Command(text));
    }
    match command.does {
        Does::Describe if argument.is_empty() => describe::topics(session, "*").await?,
        Does::Describe => describe::topic(session, argument).await?,
        Does::ListTopics => {
            let pattern = if argument.is_empty() { "*" } else { argument };
            describe::topics(session, pattern).await?;
        }
        Does::ListDatabases => describe::databases(session).await?,
        Does::ListSchemas => describe::schemas(session).await?,
        Does::Expanded => {
            session.settings.is_expanded = switch(session.settings.is_expanded, argument)?;
            say(session, "Expanded display", session.settings.is_expanded);
        }
        Does::Timing => {
            session.settings.has_timing = switch(session.settings.has_timing, argument)?;
            say(session, "Timing", session.settings.has_timing);
        }
        Does::Format => set_format(session, argument)?,
        Does::Watch => watch(session, sql, argument).await?,
        Does::Go => go(session, sql).await?,
        Does::Output => {
            let path = (!argument.is_empty()).then(|| PathBuf::from(argument));
            if argument.starts_with('|') {
                return Err(PromptError::Command("\\o writes to files; programs get results from `watertable sql -c … | program`".to_owned()));
            }
            session.redirect(path).map_err(of_file)?;
        }
        Does::Include => {
            if argument.is_empty() {
                return Err(PromptError::Command("\\i needs a file".to_owned()));
            }
            return Box::pin(batch::run_file(session, argument.as_ref()))
                .await
                .map_err(of_file);
        }
        Does::Copy => copy::run(session, argument).await?,
        Does::Connection => tell(&format!(
            "connected to {} (server {})",
            session.address(),
            session.connection().version
        )),
        Does::Help => print(&help::commands())?,
        Does::SqlHelp => print(&help::statements(argument))?,
        Does::Quit => return Ok(Next::Quit),
    }
    Ok(Next::GoOn)
}

/// Files that cannot be used are told as what is wrong with a command.
fn of_file(error: PromptError) -> PromptError {
    match error {
        PromptError::File { path, source } => {
            PromptError::Command(format!("cannot use {}: {source}", path.display()))
        }
        other => other,
    }
}

fn unknown(name: &str) -> String {
    let near = COMMANDS.iter().map(|command| {
        (
            strsim::damerau_levenshtein(command.name, name),
            command.name,
        )
    });
    match near
        .filter(|(distance, nearest)| *distance <= nearest.len().max(2) / 2 + 1)
        .min()
    {
        Some((_, nearest)) => {
            format!("there is no command \\{name}; perhaps you mean \\{nearest}; \\? lists all")
        }
        None => format!("there is no command \\{name}; \\? lists all"),
    }
}

fn switch(before: bool, argument: &str) -> Result<bool, PromptError> {
    match argument.to_ascii_lowercase().as_str() {
        "" => Ok(!before),
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        other => Err(PromptError::Command(format!(
            "'{other}' is neither on nor off"
        ))),
    }
}

fn say(session: &Session, what: &str, is_on: bool) {
    if session.settings.is_interactive {
        tell(&format!("{what} is {}.", if is_on { "on" } else { "off" }));
    }
}

fn set_format(session: &mut Session, argument: &str) -> Result<(), PromptError> {
    if argument.is_empty() {
        tell(&format!(
            "The format is {}.",
            session.settings.format().name()
        ));
        return Ok(());
    }
    let Some(format) = Format::of(argument) else {
        let names = Format::ALL.map(Format::name).join(", ");
        return Err(PromptError::Command(format!(
            "there is no format '{argument}'; there are {names}"
        )));
    };
    session.settings.format = format;
    session.settings.is_expanded = false;
    Ok(())
}

fn print(text: &str) -> Result<(), PromptError> {
    use std::io::Write as _;
    let mut sink = crate::sink::Sink::stdout();
    sink.write_all(text.as_bytes())?;
    Ok(sink.finish()?)
}

async fn go(session: &mut Session, sql: &str) -> Result<(), PromptError> {
    let sql = statement(session, sql)?;
    checked(session, &sql).await.map(drop)
}

/// The statement in front of a command, or the one before.
fn statement(session: &mut Session, sql: &str) -> Result<String, PromptError> {
    if !sql.is_empty() {
        return Ok(sql.to_owned());
    }
    let last = session.last().map(str::to_owned);
    last.ok_or_else(|| PromptError::Command("there is no statement yet".to_owned()))
}

/// Runs a statement; that it failed ends what is not interactive.
async fn checked(session: &mut Session, sql: &str) -> Result<Outcome, PromptError> {
    let outcome = session.execute(sql).await?;
    if outcome == Outcome::Failed && !session.settings.is_interactive {
        return Err(PromptError::Told);
    }
    Ok(outcome)
}

async fn watch(session: &mut Session, sql: &str, argument: &str) -> Result<(), PromptError> {
    let seconds = if argument.is_empty() {
        Ok(2.0)
    } else {
        argument.parse::<f64>()
    };
    let pause = seconds
        .ok()
        .filter(|seconds| (0.0..=PAUSE_MAX).contains(seconds));
    let Some(pause) = pause.map(Duration::from_secs_f64) else {
        return Err(PromptError::Command(format!(
            "'{argument}' is no number of seconds between 0 and {PAUSE_MAX}"
        )));
    };
    let sql = statement(session, sql)?;
    // A pager would wait for somebody.
    let was_paging = std::mem::replace(&mut session.settings.is_paging, false);
    let outcome = watch_until(session, &sql, pause).await;
    session.settings.is_paging = was_paging;
    outcome
}

async fn watch_until(session: &mut Session, sql: &str, pause: Duration) -> Result<(), PromptError> {
    loop {
        if checked(session, sql).await? != Outcome::Done {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = session.interrupted() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_once() {
        for command in &COMMANDS {
            assert_eq!(
                known(command.name).map(|found| found.does),
                Some(command.does)
            );
        }
        assert_eq!(known("dt+").map(|found| found.does), Some(Does::ListTopics));
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        assert!(
            unknown("tming").contains("perhaps you mean \\timing"),
            "{}",
            unknown("tming")
        );
        assert!(
            unknown("dtt").contains("perhaps you mean \\dt;"),
            "{}",
            unknown("dtt")
        );
        assert!(
            !unknown("gibberish").contains("perhaps"),
            "{}",
            unknown("gibberish")
        );
    }

    #[test]
    fn switches_turn_and_are_set() {
        assert!(switch(false, "").unwrap());
        assert!(!switch(true, "off").unwrap());
        assert!(switch(true, "ON").unwrap());
        assert!(switch(true, "perhaps").is_err());
    }
}
