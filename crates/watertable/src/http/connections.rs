//! Connections to the HTTP server, few at a time and none for ever.
//!
//! Invariant: a new peer is accepted after a moment ([`Limits::grace`]) at most. When all places are taken, the peer makes
//! room that was answered least recently, so that peers that say nothing, drip their request or read nothing keep nobody
//! out. But a peer has that moment to itself first: others that come and go all the time, or ask without end, must not cut
//! it before it can be answered. Until then the next one waits. Without others a peer has a while for a whole request and
//! its answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What one server grants its peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time.
    pub(super) connections: usize,
    /// How long a connection may be without an answer.
    pub(super) idle: Duration,
    /// How long a connection keeps its place at least, from when it was accepted or last answered, or began a request; and
    /// the longest that the next one waits for a place.
    pub(super) grace: Duration,
}

/// Accepts connections within limits.
#[derive(Debug)]
pub(super) struct LimitedListener {
    inner: TcpListener,
    places: Arc<Places>,
    limits: Limits,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Places {
    open: Mutex<Open>,
    /// A place became free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    /// By their turn: whose is the lowest did something least recently.
    by_turn: BTreeMap<u64, Holder>,
    next_turn: u64,
}

/// Who has a place.
#[derive(Debug)]
struct Holder {
    cut: CancellationToken,
    /// When it was accepted, or last answered, or began a request.
    since: Instant,
    /// It was answered before.
    served: bool,
}

impl Holder {
    /// How long it keeps its place from its own last moment, or that of who waits for it: who was answered once has had its
    /// turn, and many that ask without end must not keep others waiting for long.
    fn grace(&self, limits: Limits) -> Duration {
        if self.served {
            limits.grace / 10
        } else {
            limits.grace
        }
    }
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    turn: u64,
    /// A part of a request has come that was not answered.
    asks: bool,
}

impl Places {
    /// A place, for which another connection may have to go.
    async fn take(self: &Arc<Self>, limits: Limits) -> (Place, CancellationToken) {
        let come = Instant::now();
        loop {
            let until = match self.try_take(limits, come) {
                Ok(taken) => return taken,
                Err(until) => until,
            };
            // The place of somebody who left, or else that of whose moment is over.
            timeout_at(until, self.freed.notified()).await.ok();
        }
    }

    /// A place if there is one for who came at `come`, or when there will be.
    fn try_take(
        self: &Arc<Self>,
        limits: Limits,
        come: Instant,
    ) -> Result<(Place, CancellationToken), Instant> {
        let mut open = self.open.lock();
        let now = Instant::now();
        if open.by_turn.len() >= limits.connections
            && let Some(first) = open.by_turn.first_entry()
        {
            let first_since = first.get().since.min(come);
            let until = first_since + first.get().grace(limits);
            if now < until {
                return Err(until);
            }
            first.remove().cut.cancel();
        }
        let cut = CancellationToken::new();
        let turn = open.put(cut.clone(), false);
        let place = Place {
            places: Arc::clone(self),
            turn,
            asks: false,
        };
        Ok((place, cut))
    }
}

impl Open {
    /// Puts a connection behind all others.
    fn put(&mut self, cut: CancellationToken, served: bool) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        let since = Instant::now();
        let holder = Holder { cut, since, served };
        self.by_turn.insert(turn, holder);
        turn
    }
}

impl Place {
    /// The connection was answered: it goes behind all others.
    fn answered(&mut self) {
        self.asks = false;
        self.go_last(true);
    }

    /// Bytes of a request have come. With the first of them the connection goes behind all others.
    fn asks(&mut self) {
        if !std::mem::replace(&mut self.asks, true) {
            self.go_last(false);
        }
    }

    fn go_last(&mut self, served: bool) {
        let mut open = self.places.open.lock();
        if let Some(holder) = open.by_turn.remove(&self.turn) {
            self.turn = open.put(holder.cut, holder.served || served);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.lock().by_turn.remove(&self.turn);
        self.places.freed.notify_one();
    }
}

impl LimitedListener {
    pub(super) fn new(inner: TcpListener, limits: Limits) -> Self {
        Self {
            inner,
            places: Arc::default(),
            limits,
        }
    }
}

impl Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.inner).await;
        let (place, cut) = self.places.take(self.limits).await;
        let stream = LimitedStream {
            stream,
            idle: self.limits.idle,
            deadline: Box::pin(tokio::time::sleep(self.limits.idle)),
            cut: Box::pin(cut.cancelled_owned()),
            place,
        };
        (stream, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that fails once it was not answered for a while, or has to make room.
#[derive(Debug)]
pub(super) struct LimitedStream {
    stream: TcpStream,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    place: Place,
}

impl LimitedStream {
    /// Fails what would wait any longer than the connection may.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if outcome.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The deadline stays: a request that comes byte by byte must be whole in time, too.
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.place.asks();
        }
        self.watch(context, outcome)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        if outcome.is_ready() {
            let deadline = Instant::now() + self.idle;
            self.deadline.as_mut().reset(deadline);
            self.place.answered();
        }
        self.watch(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
