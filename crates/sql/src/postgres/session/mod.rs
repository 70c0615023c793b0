//! One session: messages in, answers out, one statement at a time.
//!
//! Invariant: each message is answered before the next is looked at, and an error of the extended protocol is followed by
//! nothing until `Sync`, as the protocol has it. What a session holds (statements, portals) is bounded and goes with it.

mod cursors;
mod execute;
mod extended;
mod prepared;
mod settings;
mod simple;
mod transaction;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::OwnedSemaphorePermit;

use self::execute::Portal;
use self::prepared::Prepared;
use self::transaction::Transaction;
use super::activity::Key;
use super::backend;
use super::catalog;
use super::control::{Control, Stop, shutdown};
use super::error::{PgError, state};
use super::frontend::{self, Message};
use super::server::Shared;
use super::settings::Settings;
use super::startup::{self, Opening};
use super::wire::{ReceiveError, Wire};
use crate::write::Writes;

/// The most prepared statements of a session, and the most portals. Drivers keep at most some hundreds of either.
const STATEMENTS_MAX: usize = 1000;
const PORTALS_MAX: usize = 200;
/// The most text of all prepared statements of a session, and the most bytes of values bound to its portals: a few of the
/// longest messages.
const HELD_BYTES_MAX: usize = 4 * frontend::MESSAGE_BYTES_MAX;

/// A session and everything it has.
pub(super) struct Session {
    wire: Wire,
    shared: Arc<Shared>,
    key: Arc<Key>,
    context: SessionContext,
    /// The engine's options as they were at the start, for RESET.
    pristine: ConfigOptions,
    /// Shared with the functions that answer from it.
    settings: Arc<Mutex<Settings>>,
    applied: settings::Applied,
    transaction: Transaction,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// Records that wait for their commit.
    writes: Option<Writes>,
    /// An error was sent; what comes before the next `Sync` is passed over.
    is_skipping: bool,
    /// The client waits for what was written so far.
    is_due: bool,
    _place: OwnedSemaphorePermit,
}

impl Session {
    pub(super) fn new(wire: Wire, shared: Arc<Shared>, opening: Opening) -> Self {
        let settings = opening.settings;
        let engine = shared.sessions.session();
        let identity = catalog::Identity {
            is_writable: crate::write::writer(&engine).is_some(),
            settings: Arc::clone(&settings),
            activity: Arc::clone(opening.key.activity()),
            process: opening.key.process(),
        };
        let context = catalog::with_catalogue(&engine, identity);
        let pristine = context.state().config_options().as_ref().clone();
        let mut session = Self {
            wire,
            shared,
            key: opening.key,
            context,
            pristine,
            settings,
            applied: settings::Applied::default(),
            transaction: Transaction::default(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            writes: None,
            is_skipping: false,
            is_due: true,
            _place: opening.place,
        };
        session.take_up(&opening.parameters);
        session
    }

    /// The client's wishes for settings; see [`startup::wanted_settings`].
    fn take_up(&mut self, parameters: &[(String, String)]) {
        let written = self.wire.output.len();
        for (name, value) in startup::wanted_settings(parameters) {
            if let Err(error) = self.set(&name, Some(&value)) {
                tracing::debug!(name, value, %error, "passed over a setting");
            }
        }
        // They are told with all others, once.
        self.wire.output.truncate(written);
    }

    /// Serves until the client goes, or has to.
    pub(super) async fn run(mut self, peer: SocketAddr) {
        tracing::debug!(%peer, process = self.key.process(), "a session begins");
        startup::greet(&mut self.wire, &self.settings.lock(), &self.key);
        let ending = self.serve().await;
        self.abort_writes().await;
        if let Some(error) = ending {
            tracing::debug!(%peer, process = self.key.process(), %error, "a session was ended");
            self.farewell(&error).await;
        }
        tracing::debug!(%peer, process = self.key.process(), "a session ends");
    }

    /// The client is told why, if it listens.
    async fn farewell(&mut self, error: &PgError) {
        backend::error(&mut self.wire.output, error);
        let clock = &self.shared.env.clock;
        let patience = clock.sleep_until(clock.now().plus(FAREWELL));
        tokio::select! {
            biased;
            _ = self.wire.flush() => {}
            () = patience => {}
        }
        self.wire.shut_down();
    }

    /// The error that ends the session; none if its client ended it.
    async fn serve(&mut self) -> Option<PgError> {
        loop {
            let message = match self.next().await {
                Ok(message) => message?,
                Err(error) => return Some(error),
            };
            if message == Message::Terminate {
                return None;
            }
            let is_extended = message.is_extended();
            match self.handle(message).await {
                Ok(()) => {}
                Err(Stop::Gone) => return None,
                Err(Stop::Error(error)) if error.is_fatal() => return Some(error),
                Err(Stop::Error(error)) => {
                    if !self.transaction.is_open() {
                        self.abort_writes().await;
                    }
                    self.fail(&error, is_extended);
                }
            }
        }
    }

    /// The next message; what was answered so far is sent before one waits for it.
    async fn next(&mut self) -> Result<Option<Message>, PgError> {
        let clock = Arc::clone(&self.shared.env.clock);
        let limits = &self.shared.limits;
        // Readers wait behind an open transaction.
        let holds = self.writes.as_ref().is_some_and(Writes::is_open);
        let (patience, error) = if holds && limits.idle_in_transaction < limits.idle {
            let message = "terminating connection due to idle-in-transaction timeout";
            (
                limits.idle_in_transaction,
                PgError::fatal(state::IDLE_IN_TRANSACTION_TIMEOUT, message),
            )
        } else {
            let message = "terminating connection due to idle-session timeout";
            (
                limits.idle,
                PgError::fatal(state::IDLE_SESSION_TIMEOUT, message),
            )
        };
        let idle = clock.sleep_until(clock.now().plus(patience));
        let stopping = self.key.ended().clone();
        // Answers to messages that came together leave together, up to where the client looks for them. Nothing cancels this:
        // the statement is over.
        let is_due = self.is_due || !self.wire.has_packet(frontend::message_length);
        let stall = self.shared.limits.stall;
        let receive = async {
            if is_due || self.wire.output.len() >= super::wire::OUTPUT_BYTES {
                self.wire.flush_within(&*clock, stall).await?;
                self.is_due = false;
            }
            self.wire.receive(frontend::message_length).await
        };
        let received = tokio::select! {
            biased;
            () = stopping.cancelled() => return Err(shutdown()),
            received = receive => received,
            () = idle => return Err(error),
        };
        let packet = match received {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(ReceiveError::Io(_)) => return Ok(None),
            Err(ReceiveError::Decode(error)) => return Err(PgError::protocol(error.to_string())),
        };
        frontend::message(packet)
            .map(Some)
            .map_err(|error| PgError::protocol(error.to_string()))
    }

    async fn handle(&mut self, message: Message) -> Result<(), Stop> {
        if self.is_skipping && message != Message::Sync {
            return Ok(());
        }
        match message {
            Message::Query(sql) => self.query(&sql).await,
            Message::Parse { name, query, types } => self.parse(name, &query, &types).await,
            Message::Bind {
                portal,
                statement,
                formats,
                values,
                results,
            } => self.bind(portal, &statement, &formats, &values, results),
            Message::Describe(target, name) => self.describe(target, &name),
            Message::Execute { portal, rows_max } => self.execute(portal, rows_max).await,
            Message::Close(target, name) => {
                self.close(target, &name);
                Ok(())
            }
            Message::Flush => {
                self.is_due = true;
                Ok(())
            }
            Message::Sync => {
                self.sync().await;
                Ok(())
            }
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            Message::Password => Err(PgError::protocol("no password was asked for").into()),
            Message::Terminate => Ok(()),
        }
    }

    /// Tells of an error after which the session goes on.
    fn fail(&mut self, error: &PgError, is_extended: bool) {
        backend::error(&mut self.wire.output, error);
        self.transaction.fail();
        if is_extended {
            self.is_skipping = true;
        } else {
            self.ready();
        }
    }

    /// Tells that the next statement may come.
    fn ready(&mut self) {
        let status = self.transaction.status();
        self.key.wait(status);
        backend::ready(&mut self.wire.output, status);
        self.is_due = true;
    }

    /// The limits of a statement that starts now.
    fn control(&self, sql: &str) -> Control {
        let clock = Arc::clone(&self.shared.env.clock);
        let timeout = self.settings.lock().statement_timeout();
        Control {
            running: self.key.start(sql),
            stopping: self.key.ended().clone(),
            deadline: timeout.map(|timeout| clock.now().plus(timeout)),
            clock,
            stall: self.shared.limits.stall,
        }
    }
}

/// How long a session that is ended waits for its client to hear of it.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);
