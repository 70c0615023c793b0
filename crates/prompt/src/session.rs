//! [`Session`]: statements to the server, their rows to where results go, Ctrl-C to the statement that runs.
//!
//! Invariant: when a statement is over, for whatever reason, the connection is ready for the next one or known to be lost; rows
//! are never held but for what a [`Printer`] holds.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::error::{ConnectError, Lost, PromptError, ServerError};
use crate::print::{Format, Printer, printer};
use crate::sink::Sink;
use crate::wire::{Canceller, Column, Connection, Event, Row};

/// How long a cancel request may take before one goes on waiting for the statement.
const CANCEL: Duration = Duration::from_secs(5);

/// What a person can switch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// In place of tables.
    pub(crate) is_expanded: bool,
    pub(crate) has_timing: bool,
    /// Somebody sits before it: commands say what they did.
    pub(crate) is_interactive: bool,
    /// Statements without rows do not say what they did.
    pub(crate) is_quiet: bool,
    /// Long results go to a pager.
    pub(crate) is_paging: bool,
}

impl Settings {
    pub(crate) fn format(&self) -> Format {
        match self.format {
            Format::Table if self.is_expanded => Format::Expanded,
            other => other,
        }
    }
}

/// How a statement came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The user, or the pager that was left, ended it.
    Cancelled,
    /// It failed, and the user was told.
    Failed,
}

/// A file that results go to.
#[derive(Debug)]
struct Redirection {
    path: PathBuf,
    sink: Sink,
}

/// A session of the server and what is done with what it says.
#[derive(Debug)]
pub(crate) struct Session {
    address: String,
    connection: Connection,
    interrupts: Signal,
    pub(crate) settings: Settings,
    redirection: Option<Redirection>,
    /// The statement that ran last.
    last: Option<String>,
}

impl Session {
    /// Connects.
    pub(crate) async fn open(address: &str, settings: Settings) -> Result<Self, PromptError> {
        // Before anything runs: from here on Ctrl-C ends statements, not the process.
        let interrupts = signal(SignalKind::interrupt()).map_err(PromptError::Input)?;
        Ok(Self {
            connection: Connection::open(address).await?,
            address: address.to_owned(),
            interrupts,
            settings,
            redirection: None,
            last: None,
        })
    }

    /// Connects again after the connection was lost.
    pub(crate) async fn reconnect(&mut self) -> Result<(), ConnectError> {
        self.connection = Connection::open(&self.address).await?;
        Ok(())
    }

    pub(crate) async fn close(mut self) -> Result<(), PromptError> {
        self.redirect(None)?;
        self.connection.close().await;
        Ok(())
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends results to this file from now on, or to standard output again.
    pub(crate) fn redirect(&mut self, path: Option<PathBuf>) -> Result<(), PromptError> {
        if let Some(mut before) = self.redirection.take() {
            let finished = before.sink.finish();
            finished.map_err(|source| PromptError::file(&before.path, source))?;
        }
        if let Some(path) = path {
            let file = File::create(&path).map_err(|source| PromptError::file(&path, source))?;
            let sink = Sink::file(file);
            self.redirection = Some(Redirection { path, sink });
        }
        Ok(())
    }

    /// The statement that ran last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Runs a statement and prints what it gives.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<Outcome, PromptError> {
        self.last = Some(sql.to_owned());
        let mut redirection = self.redirection.take();
        let mut own = match &redirection {
            Some(_) => None,
            None if self.settings.is_paging && std::io::stdout().is_terminal() => {
                Some(Sink::screen())
            }
            None => Some(Sink::stdout()),
        };
        let sink = match (&mut redirection, &mut own) {
            (Some(redirection), _) => &mut redirection.sink,
            (None, sink) => sink.get_or_insert_with(Sink::stdout),
        };
        let outcome = self.execute_into(sql, sink, self.settings.format()).await;
        self.redirection = redirection;
        outcome
    }

    /// Runs a statement and writes what it gives to `sink`.
    pub(crate) async fn execute_into(
        &mut self,
        sql: &str,
        sink: &mut Sink,
        format: Format,
    ) -> Result<Outcome, PromptError> {
        // A Ctrl-C from before was meant for something else.
        self.interrupts.recv().now_or_never();
        let begun = Instant::now();
        self.connection.query(sql).await?;
        let mut run = Run {
            sql,
            format,
            tells_tags: !self.settings.is_quiet && format.is_for_people(),
            is_copying: false,
            printer: None,
            sink,
            outcome: Outcome::Done,
            failure: None,
            canceller: self.connection.canceller(),
        };
        loop {
            let event = tokio::select! {
                biased;
                _ = self.interrupts.recv() => {
                    run.cancel().await;
                    continue;
                }
                event = self.connection.event() => event?,
            };
            match event {
                Event::Ready => break,
                Event::CopyIn => {
                    let why = "this prompt does not send lines of a COPY; produce records with `watertable produce`";
                    self.connection.decline_copy(why).await?;
                }
                event => run.take(event).await,
            }
        }
        let took = begun.elapsed();
        let (outcome, failure) = (run.outcome, run.failure);
        let written = failure.map_or(Ok(()), Err).and_then(|()| sink.finish());
        if let Err(error) = written
            && !sink.is_left()
        {
            return Err(error.into());
        }
        if self.settings.has_timing {
            tell(&format!("Time: {:.3} ms", took.as_secs_f64() * 1000.0));
        }
        Ok(outcome)
    }

    /// The rows of a statement that is not printed; see [`Connection::ask`].
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Result<Vec<Row>, ServerError>, Lost> {
        self.connection.ask(sql).await
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn interrupted(&mut self) {
        self.interrupts.recv().await;
    }

    /// The next event of what was sent with [`Session::send`], or nothing at a Ctrl-C.
    pub(crate) async fn event(&mut self) -> Result<Option<Event>, Lost> {
        tokio::select! {
            biased;
            _ = self.interrupts.recv() => Ok(None),
            event = self.connection.event() => event.map(Some),
        }
    }

    /// Sends a statement whose events are taken with [`Session::event`].
    pub(crate) async fn send(&mut self, sql: &str) -> Result<(), Lost> {
        self.connection.query(sql).await
    }
}

/// A statement that runs.
struct Run<'a> {
    sql: &'a str,
    format: Format,
    /// Statements without rows say what they did, as psql has them do.
    tells_tags: bool,
    /// The lines of a COPY come, which is what there is to tell of it.
    is_copying: bool,
    printer: Option<Box<dyn Printer>>,
    sink: &'a mut Sink,
    outcome: Outcome,
    /// Why the output takes no more.
    failure: Option<std::io::Error>,
    canceller: Canceller,
}

impl Run<'_> {
    /// Asks the server to end the statement; that it did so is told as its error.
    async fn cancel(&mut self) {
        let asked = tokio::time::timeout(CANCEL, self.canceller.cancel()).await;
        if !matches!(asked, Ok(Ok(()))) {
            tell("could not send a cancel request");
        }
    }

    async fn take(&mut self, event: Event) {
        let written = match event {
            Event::Columns(columns) => self.begin(columns),
            Event::Row(row) if self.outcome == Outcome::Done => self.row(row),
            Event::CopyOut => {
                self.is_copying = true;
                Ok(())
            }
            Event::CopyData(line) if self.outcome == Outcome::Done => self.sink.write_all(&line),
            Event::Done(tag) => self.end(&tag),
            Event::Failed(error) => {
                self.fail(&error);
                Ok(())
            }
            Event::Notice(notice) => {
                tell(notice.shown(self.sql).trim_end());
                Ok(())
            }
            _ => Ok(()),
        };
        // Nobody takes the rest, such as when a pager is left: it need not come, but the statement has to come to its end.
        if let Err(error) = written
            && self.failure.is_none()
        {
            self.failure = Some(error);
            self.outcome = Outcome::Cancelled;
            self.cancel().await;
        }
    }

    fn begin(&mut self, columns: Vec<Column>) -> std::io::Result<()> {
        self.printer = Some(printer(self.format, columns));
        Ok(())
    }

    fn row(&mut self, row: Row) -> std::io::Result<()> {
        match &mut self.printer {
            Some(printer) => printer.row(row, self.sink),
            None => Ok(()),
        }
    }

    fn end(&mut self, tag: &str) -> std::io::Result<()> {
        if let Some(mut printer) = self.printer.take() {
            if self.outcome == Outcome::Done {
                printer.settle(self.sink)?;
                printer.finish(self.sink)?;
            }
            return Ok(());
        }
        let is_told = std::mem::take(&mut self.is_copying) || tag.is_empty();
        if self.tells_tags && !is_told && self.outcome == Outcome::Done {
            writeln!(self.sink, "{tag}")?;
        }
        Ok(())
    }

    fn fail(&mut self, error: &ServerError) {
        self.printer = None;
        if self.outcome == Outcome::Cancelled && error.is_cancelled() {
            return;
        }
        // Rows and errors shall come in their order, also where both are a terminal.
        self.sink.flush().ok();
        tell(error.shown(self.sql).trim_end());
        self.outcome = if error.is_cancelled() {
            Outcome::Cancelled
        } else {
            Outcome::Failed
        };
    }
}

/// Says something beside the results.
pub(crate) fn tell(text: &str) {
    // Nobody may be there to hear it.
    writeln!(std::io::stderr().lock(), "{text}").ok();
}
