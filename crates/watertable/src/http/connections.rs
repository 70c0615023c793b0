//! Connections to the HTTP server, few at a time and none for ever.
//!
//! Invariant: a new peer is always accepted. When all places are taken, the peer makes room that was answered least
//! recently, so that peers that say nothing, drip their request or read nothing keep nobody out. Without others a peer has a
//! while for a whole request and its answer.

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
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What one server grants its peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time.
    pub(super) connections: usize,
    /// How long a connection may be without an answer.
    pub(super) idle: Duration,
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
struct Places(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// By their turn: whose is the lowest was accepted or answered least recently.
    by_turn: BTreeMap<u64, CancellationToken>,
    next_turn: u64,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    turn: u64,
}

impl Places {
    /// A place, for which another connection may have to go.
    fn take(self: &Arc<Self>, limit: usize) -> (Place, CancellationToken) {
        let cut = CancellationToken::new();
        let mut open = self.0.lock();
        while open.by_turn.len() >= limit {
            let Some((_, longest)) = open.by_turn.pop_first() else {
                break;
            };
            longest.cancel();
        }
        let turn = open.next_turn;
        open.next_turn += 1;
        open.by_turn.insert(turn, cut.clone());
        let place = Place {
            places: Arc::clone(self),
            turn,
        };
        (place, cut)
    }
}

impl Place {
    /// The connection was answered: it goes behind all others.
    fn answered(&mut self) {
        let mut open = self.places.0.lock();
        if let Some(cut) = open.by_turn.remove(&self.turn) {
            self.turn = open.next_turn;
            open.next_turn += 1;
            let turn = self.turn;
            open.by_turn.insert(turn, cut);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().by_turn.remove(&self.turn);
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
        let (place, cut) = self.places.take(self.limits.connections);
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
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
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
