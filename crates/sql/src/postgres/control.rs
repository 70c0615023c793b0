//! What ends a statement from outside: a cancel request, its time-out, the server's stop, a client that is gone.
//!
//! Invariant: whatever a statement waits for, it waits for through [`Control::run`], so that none outlives its reason; and a
//! panic of the engine ends the statement, not the session.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use types::Instant;

use super::activity::Running;
use super::error::{PgError, state};
use super::frontend::{self, Message};
use super::wire::{ReceiveError, Wire};

/// Why a statement did not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is told.
    Error(PgError),
    /// There is no client any more.
    Gone,
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

/// The limits of one running statement.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) running: Running,
    pub(super) stopping: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
    /// When `statement_timeout` is over.
    pub(super) deadline: Option<Instant>,
    /// How long the client may take nothing of what it is sent.
    pub(super) stall: Duration,
}

impl Control {
    /// Waits for the work, unless something ends the statement first.
    pub(super) async fn run<T>(
        &self,
        wire: &mut Wire,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let work = AssertUnwindSafe(work).catch_unwind();
        let outcome = tokio::select! {
            biased;
            error = self.ended() => return Err(Stop::Error(error)),
            () = wire.gone() => return Err(Stop::Gone),
            outcome = work => outcome,
        };
        outcome.map_err(|panic| Stop::Error(panicked(panic.as_ref())))
    }

    /// Sends what was written, unless something ends the statement first.
    pub(super) async fn flush(&self, wire: &mut Wire) -> Result<(), Stop> {
        let outcome = tokio::select! {
            biased;
            error = self.ended() => return Err(Stop::Error(error)),
            outcome = wire.flush_within(&*self.clock, self.stall) => outcome,
        };
        outcome.map_err(|_closed: io::Error| Stop::Gone)
    }

    /// The next message of a client that is in the midst of sending data, unless something ends the statement first.
    pub(super) async fn receive(&self, wire: &mut Wire) -> Result<Message, Stop> {
        let silent = self.clock.sleep_until(self.clock.now().plus(self.stall));
        let received = tokio::select! {
            biased;
            error = self.ended() => return Err(Stop::Error(error)),
            received = wire.receive(frontend::message_length) => received,
            () = silent => {
                let message = "terminating connection because nothing came for a COPY";
                return Err(PgError::fatal(state::IDLE_IN_TRANSACTION_TIMEOUT, message).into());
            }
        };
        let packet = match received {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(ReceiveError::Io(_)) => return Err(Stop::Gone),
            Err(ReceiveError::Decode(error)) => {
                return Err(PgError::protocol(error.to_string()).into());
            }
        };
        let message = frontend::message(packet);
        message.map_err(|error| PgError::protocol(error.to_string()).into())
    }

    async fn ended(&self) -> PgError {
        let timed_out = async {
            match self.deadline {
                Some(deadline) => self.clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => shutdown(),
            () = self.running.token.cancelled() => {
                PgError::new(state::QUERY_CANCELED, "canceling statement due to user request")
            }
            () = timed_out => {
                PgError::new(state::QUERY_CANCELED, "canceling statement due to statement timeout")
            }
        }
    }
}

/// What sessions are told when the server stops.
pub(super) fn shutdown() -> PgError {
    PgError::fatal(
        state::ADMIN_SHUTDOWN,
        "terminating connection due to administrator command",
    )
}

fn panicked(panic: &(dyn Any + Send)) -> PgError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = text, "a query panicked");
    PgError::new(
        state::INTERNAL_ERROR,
        format!("the query engine failed: {text}"),
    )
}
