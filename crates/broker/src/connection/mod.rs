//! One client connection: frames in, requests started in order, responses out in the same order.
//!
//! A request runs until it first has to wait (an append happens, its commit is awaited) as soon as it arrives; the next
//! one starts behind it without waiting for its answer. So effects happen in request order, waits overlap, and answers
//! leave in request order. Kafka instead handles one request of a connection at a time (`SocketServer`, mute/unmute).
//! Requests whose effects cannot be made before their first wait hold those behind them back: until they are answered
//! (administration), or until they say so (transactions, of which the coordinator has to be asked first).
//!
//! Bounded: requests in flight by count and by bytes, responses by what the client has not read, and all of it together with
//! that of other connections (`request_memory`).

mod inbox;
mod outbox;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use env::BoxFuture;
use env::net::Stream;
use types::Instant;

#[cfg(feature = "fuzzing")]
pub use self::inbox::frames_of;
use self::inbox::{FrameError, Inbox};
use self::outbox::Outbox;
use crate::context::ConnectionInfo;
use crate::dispatch::{Begun, Dispatch, Order, Outcome, Refusal};
use crate::request_memory::{Account, KEPT};

/// Requests started and not answered. Clients keep at most 5 produce requests in flight; consumers one fetch.
const IN_FLIGHT_MAX: usize = 64;
/// Bytes of requests started and not answered; a single larger request still runs, alone.
const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Response bytes in memory above which no further request is started until the client reads.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The same while half of the memory for requests is in use.
const UNSENT_BYTES_SHORT: usize = 64 * 1024;
/// Requests handled in one turn before other connections of the thread get theirs.
const TURN_REQUESTS: usize = 32;
/// Bytes of requests started in one turn, likewise: large requests take longer.
const TURN_BYTES: usize = 1024 * 1024;
/// How long requests are begun in one turn: an answer about all topics takes as long as many others.
const TURN_TIME: Duration = Duration::from_micros(500);
/// Answers sent in one turn from which on a client counts as reading.
const READER_BYTES: usize = 64 * 1024;
/// How often a quiet connection is looked at.
const IDLE_CHECK: Duration = Duration::from_secs(10);
/// How long requests of a client that hung up may still run: a half-closed client reads its answers, a gone one must not
/// hold a socket for as long as its long poll says.
const ENDING: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// The client hung up between requests.
    #[error("the client closed the connection")]
    ByClient,
    /// The client hung up in the middle of a request.
    #[error("the client closed the connection in the middle of a request")]
    InRequest,
    /// The bytes are no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A request cannot be answered in the protocol.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A handler asked for it.
    #[error("{0}")]
    ByHandler(&'static str),
    /// No byte moved for `connections.max.idle.ms`.
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    /// Others wait for the memory that it holds and does nothing with.
    #[error(
        "held memory for requests or answers (queued.max.request.bytes) that others wait for, and finished nothing with it"
    )]
    Evicted,
    /// The broker stops.
    #[error("the broker is stopping")]
    Stopping,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Closed {
    /// Whether a client did something wrong, which deserves a line in the log; coming and going does not.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Refused(_) | Self::Evicted)
    }
}

/// A request that was started.
enum Slot {
    /// Still running; answers leave in order, so later ones wait behind it.
    Running(BoxFuture<'static, Outcome>),
    /// Finished, waiting for those before it.
    Finished(Outcome),
}

/// One client connection.
pub(crate) struct Connection {
    stream: Arc<dyn Stream>,
    dispatch: Arc<Dispatch>,
    info: Arc<ConnectionInfo>,
    inbox: Inbox,
    outbox: Outbox,
    /// What all of this may take.
    memory: Account,
    /// Requests in the order they came, with the memory of each: of the request while it runs, of its answer then.
    in_flight: VecDeque<(usize, Slot)>,
    in_flight_bytes: usize,
    /// The youngest request in flight must finish before another one starts.
    alone: bool,
    /// A whole frame that has to wait for requests before it, or for memory.
    held: Option<Bytes>,
    last_request: Instant,
    /// When bytes moved last, in either direction.
    last_moved: Instant,
    idle_limit: Duration,
    idle_interval: Duration,
    idle_check: BoxFuture<'static, ()>,
    /// Bytes of requests started in this turn.
    turn_bytes: usize,
    /// When the first request of this turn began.
    turn_began: Option<Instant>,
    /// Until then no request is started: the client is above a quota.
    muted: Option<BoxFuture<'static, ()>>,
    /// Resolves when no more requests may be started.
    stopping: BoxFuture<'static, ()>,
    is_stopping: bool,
    /// No more is read: answers to what came before are still sent, for a while.
    ending: Option<Ending>,
}

/// How a connection ends.
struct Ending {
    reason: Closed,
    /// When answers that are not ready yet are given up.
    deadline: Instant,
}

impl Connection {
    pub(crate) fn new(
        stream: Arc<dyn Stream>,
        dispatch: Arc<Dispatch>,
        info: Arc<ConnectionInfo>,
        limits: ConnectionLimits,
        memory: Account,
        stopping: BoxFuture<'static, ()>,
    ) -> Self {
        let now = dispatch.env().clock.now();
        let idle_interval = IDLE_CHECK.min(limits.idle);
        let idle_check = dispatch.env().clock.sleep_until(now.plus(idle_interval));
        Self {
            stream,
            dispatch,
            info,
            inbox: Inbox::new(limits.request_bytes_max),
            outbox: Outbox::default(),
            memory,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            alone: false,
            held: None,
            last_request: now,
            last_moved: now,
            idle_limit: limits.idle,
            idle_interval,
            idle_check,
            turn_bytes: 0,
            turn_began: None,
            muted: None,
            stopping,
            is_stopping: false,
            ending: None,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) -> Closed {
        let closed = std::future::poll_fn(|context| self.poll(context)).await;
        self.stream.shut_down();
        closed
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Closed> {
        if self.memory.begin_turn(context) && !self.give_way() {
            self.memory.evicted();
            return Poll::Ready(Closed::Evicted);
        }
        let polled = self.poll_turn(context);
        if self.memory.is_tight() {
            self.inbox.release_memory();
        }
        self.memory.settle(self.memory_bytes());
        self.memory.end_turn();
        match polled {
            Poll::Ready(Err(closed)) => Poll::Ready(closed),
            Poll::Ready(Ok(never)) => match never {},
            Poll::Pending => Poll::Pending,
        }
    }

    /// Gives back what is only kept for later; false if that was not what the connection held.
    fn give_way(&mut self) -> bool {
        self.inbox.release_memory();
        let left = self.memory_bytes();
        self.memory.settle(left);
        left <= KEPT
    }

    /// Bytes of memory that requests and answers take.
    fn memory_bytes(&self) -> usize {
        self.inbox.memory_bytes()
            + self.held.as_ref().map_or(0, Bytes::len)
            + self.in_flight_bytes
            + self.outbox.memory_bytes()
    }

    /// Works until nothing can be done without waiting.
    fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<std::convert::Infallible, Closed>> {
        if !self.is_stopping && self.stopping.as_mut().poll(context).is_ready() {
            self.is_stopping = true;
        }
        self.poll_idle(context)?;
        if let Some(muted) = &mut self.muted
            && muted.as_mut().poll(context).is_ready()
        {
            self.muted = None;
        }
        self.outbox.begin_turn();
        self.turn_bytes = 0;
        self.turn_began = None;
        for _request in 0..TURN_REQUESTS {
            self.poll_in_flight(context)?;
            // All requests that have arrived are started before anything is sent: their answers leave in one call.
            if self.may_start() && self.start_next(context) {
                if self.is_turn_over() {
                    break;
                }
                continue;
            }
            self.send(context)?;
            if self.is_finished() {
                return Poll::Ready(Err(self.end()));
            }
            // Sending may have made room for a request that is here already.
            if self.may_start() && self.start_next(context) {
                if self.is_turn_over() {
                    break;
                }
                continue;
            }
            // Without room for another request nothing is read either: the client feels it as back-pressure.
            let reads = self.may_start() && self.held.is_none() && self.ending.is_none();
            if !reads || !self.receive(context)? {
                return Poll::Pending;
            }
        }
        self.send(context)?;
        // There is more to do, but it is the turn of others.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether requests of this turn were many bytes, or took long.
    fn is_turn_over(&self) -> bool {
        let took = self
            .turn_began
            .map_or(Duration::ZERO, |began| self.last_request.since(began));
        self.turn_bytes >= TURN_BYTES || took >= TURN_TIME
    }

    /// Sends what can be sent.
    fn send(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let before = self.outbox.sent_in_turn();
        let sent = self
            .outbox
            .poll_send(&*self.stream, self.dispatch.env(), context);
        let moved = self.outbox.sent_in_turn() - before;
        if moved > 0 {
            self.info.figures.sent(moved);
            self.last_moved = self.dispatch.env().clock.now();
            // Who takes a few bytes now and then does not read.
            if self.outbox.is_empty() || moved >= READER_BYTES {
                self.memory.touch(self.last_moved);
            }
        }
        match sent {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Polls what runs and moves answers to the outbox in order.
    fn poll_in_flight(&mut self, context: &mut Context<'_>) -> Result<(), Closed> {
        for (bytes, slot) in &mut self.in_flight {
            if let Slot::Running(future) = slot
                && let Poll::Ready(outcome) = future.as_mut().poll(context)
            {
                self.in_flight_bytes -= *bytes;
                *bytes = outcome.memory_bytes();
                self.in_flight_bytes += *bytes;
                *slot = Slot::Finished(outcome);
            }
        }
        while let Some((_, Slot::Finished(_))) = self.in_flight.front() {
            let Some((bytes, Slot::Finished(outcome))) = self.in_flight.pop_front() else {
                break;
            };
            self.in_flight_bytes -= bytes;
            let outcome = match outcome {
                Outcome::Throttled(outcome, throttle) => {
                    self.mute(throttle, context);
                    *outcome
                }
                outcome => outcome,
            };
            match outcome {
                Outcome::Respond(slices) => self.outbox.push(slices),
                Outcome::Silence | Outcome::Throttled(..) => {}
                Outcome::Close(reason) => {
                    // Answers before this one are sent, those behind it are not.
                    self.in_flight.clear();
                    self.in_flight_bytes = 0;
                    self.end_with(Closed::ByHandler(reason));
                }
            }
        }
        if self.in_flight.is_empty() {
            self.alone = false;
        }
        Ok(())
    }

    /// Starts nothing more for this time. What runs already goes on, and its answers are sent.
    fn mute(&mut self, throttle: Duration, context: &mut Context<'_>) {
        let clock = &self.dispatch.env().clock;
        let mut muted = clock.sleep_until(clock.now().plus(throttle));
        if muted.as_mut().poll(context).is_pending() {
            self.muted = Some(muted);
        }
    }

    fn may_start(&self) -> bool {
        !self.is_stopping
            && self.muted.is_none()
            && !self.alone
            && !self.info.is_held()
            && !self.is_refusing()
            && self.in_flight.len() < IN_FLIGHT_MAX
            && (self.in_flight_bytes < IN_FLIGHT_BYTES_MAX || self.in_flight.is_empty())
            && self.outbox.memory_bytes() < self.unsent_bytes_max()
            && (self.held.is_none() || self.in_flight.is_empty())
    }

    /// While memory is short nobody has many answers made ahead of reading them.
    fn unsent_bytes_max(&self) -> usize {
        if self.memory.is_tight() {
            UNSENT_BYTES_SHORT
        } else {
            UNSENT_BYTES_MAX
        }
    }

    /// Whether what has arrived and was not started never will be.
    fn is_refusing(&self) -> bool {
        let hung_up =
            |ending: &Ending| matches!(ending.reason, Closed::ByClient | Closed::InRequest);
        self.ending.as_ref().is_some_and(|ending| !hung_up(ending))
    }

    /// Starts the next request, if its frame is whole. False if there is none. What is no request ends the connection,
    /// once those before it are answered: a client must not lose acks for the mistake behind them.
    fn start_next(&mut self, context: &mut Context<'_>) -> bool {
        self.try_start_next(context).unwrap_or_else(|reason| {
            self.end_with(reason);
            false
        })
    }

    fn end_with(&mut self, reason: Closed) {
        let clock = &self.dispatch.env().clock;
        let deadline = clock.now().plus(ENDING);
        self.ending = Some(Ending { reason, deadline });
    }

    fn try_start_next(&mut self, context: &mut Context<'_>) -> Result<bool, Closed> {
        let frame = match self.held.take() {
            Some(frame) => frame,
            None => match self.inbox.next_frame()? {
                Some(frame) => frame,
                None => return Ok(false),
            },
        };
        let order = self.dispatch.order_of(&frame);
        if order == Order::Alone && !self.in_flight.is_empty() {
            self.held = Some(frame);
            return Ok(false);
        }
        let mut bytes = self.dispatch.memory_of(&frame);
        if !self
            .memory
            .may_hold(self.memory_bytes().saturating_add(bytes), context)
        {
            self.held = Some(frame);
            return Ok(false);
        }
        self.last_request = self.dispatch.env().clock.now();
        if self.outbox.is_empty() {
            self.memory.touch(self.last_request);
        }
        self.turn_bytes += frame.len();
        self.turn_began.get_or_insert(self.last_request);
        let Begun { mut future } = self.dispatch.begin(&self.info, frame, self.last_request)?;
        let slot = match future.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                bytes = outcome.memory_bytes();
                Slot::Finished(outcome)
            }
            Poll::Pending => Slot::Running(future),
        };
        self.alone = order == Order::Alone;
        self.in_flight_bytes += bytes;
        self.in_flight.push_back((bytes, slot));
        Ok(true)
    }

    /// Reads once. False if there is nothing to read now.
    fn receive(&mut self, context: &mut Context<'_>) -> Result<bool, Closed> {
        // A quiet connection holds no buffer; it gets one when there is something to read.
        let was_quiet = self.inbox.is_unallocated();
        if was_quiet && self.stream.poll_readable(context)?.is_pending() {
            return Ok(false);
        }
        let elsewhere = self.memory_bytes() - self.inbox.memory_bytes();
        let wanted = elsewhere.saturating_add(self.inbox.memory_wanted());
        if !self.memory.may_hold(wanted, context) {
            return Ok(false);
        }
        self.inbox.make_room();
        let had_part = self.inbox.has_partial_frame();
        match self.inbox.read_from(&*self.stream) {
            Ok(0) => {
                let reason = if self.inbox.has_partial_frame() {
                    Closed::InRequest
                } else {
                    Closed::ByClient
                };
                self.end_with(reason);
                Ok(true)
            }
            Ok(bytes) => {
                self.info.figures.received(bytes);
                self.last_moved = self.dispatch.env().clock.now();
                if !had_part && self.outbox.is_empty() {
                    self.memory.touch(self.last_moved);
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A new socket is called readable before anything has come.
                if was_quiet {
                    self.inbox.release_memory();
                }
                Ok(self.stream.poll_readable(context)?.is_ready())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn is_finished(&self) -> bool {
        (self.ending.is_some() || self.is_stopping)
            && self.in_flight.is_empty()
            && self.outbox.is_empty()
    }

    fn end(&mut self) -> Closed {
        match self.ending.take() {
            Some(ending) => ending.reason,
            None => Closed::Stopping,
        }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Result<(), Closed> {
        while self.idle_check.as_mut().poll(context).is_ready() {
            let clock = &self.dispatch.env().clock;
            let now = clock.now();
            if let Some(ending) = self.ending.take_if(|ending| ending.deadline <= now) {
                return Err(ending.reason);
            }
            // Half a frame, or answers that nobody takes, are no activity.
            if self.in_flight.is_empty() || !self.outbox.is_empty() {
                let quiet = now.since(self.last_moved.max(self.last_request));
                if quiet >= self.idle_limit {
                    return Err(Closed::Idle);
                }
            }
            if now.since(self.last_moved) >= IDLE_CHECK {
                self.inbox.release_memory();
            }
            self.idle_check = clock.sleep_until(now.plus(self.idle_interval));
        }
        Ok(())
    }
}

/// What a connection may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// `socket.request.max.bytes`.
    pub(crate) request_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub(crate) idle: Duration,
}
