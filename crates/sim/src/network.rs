//! Connections in memory: bytes arrive late and in pieces, connections break, and each side may close its own half.
//!
//! Invariant: what arrives of a stream is a prefix of what was sent, in order; a process that is dead sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use env::BoxFuture;
use env::disk::DiskFile;
use env::net::{Listener, Network, Stream};
use parking_lot::Mutex;

use crate::process::Life;
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::trace::digest;

/// What lies between two sides at most: sent and not read.
const WINDOW_BYTES_MAX: u64 = 256 * 1024;
/// What is read of a file for one call.
const FILE_PIECE: usize = 64 * 1024;

/// When arrives what goes nowhere: after every run.
const STALL: Duration = Duration::from_secs(100 * 3600);

/// How the network treats bytes now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The longest that a piece is on its way.
    pub(crate) latency: Duration,
    /// Of a thousand writes so many are cut into pieces.
    pub(crate) cut: u64,
    /// Of a thousand writes so many break the connection.
    pub(crate) reset: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(2),
            cut: 100,
            reset: 0,
        }
    }
}

/// The wires of the world.
#[derive(Debug)]
pub(crate) struct Wires {
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listeners: BTreeMap<SocketAddr, Arc<Backlog>>,
    /// Connections that may still be open.
    connections: Vec<Arc<Connection>>,
    random: Random,
    weather: Weather,
    next_port: u16,
}

/// Connections that wait to be accepted.
#[derive(Debug)]
struct Backlog {
    life: Arc<Life>,
    state: Mutex<(VecDeque<Arc<SimStream>>, Option<Waker>)>,
}

/// One connection: two pipes.
#[derive(Debug)]
struct Connection {
    server: Arc<Life>,
    pipes: [Mutex<Pipe>; 2],
}

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    /// What is on its way, with when it arrives.
    pieces: VecDeque<(Duration, Bytes)>,
    /// Sent and not read.
    unread: usize,
    window: usize,
    /// Nothing is sent any more.
    is_closed: bool,
    is_reset: bool,
    last_arrival: Duration,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(window: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            unread: 0,
            window,
            is_closed: false,
            is_reset: false,
            last_arrival: Duration::ZERO,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake_all(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl Wires {
    pub(crate) fn new(scheduler: Arc<Scheduler>, random: Random) -> Arc<Self> {
        Arc::new(Self {
            scheduler,
            state: Mutex::new(State {
                listeners: BTreeMap::new(),
                connections: Vec::new(),
                random,
                weather: Weather::default(),
                next_port: 30_000,
            }),
        })
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// A client's connection to whoever listens there.
    pub(crate) fn connect(self: &Arc<Self>, address: SocketAddr) -> io::Result<Arc<dyn Stream>> {
        let mut state = self.state.lock();
        let backlog = state.listeners.get(&address).cloned();
        let Some(backlog) = backlog.filter(|backlog| backlog.life.is_alive()) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        state.next_port = state.next_port.checked_add(1).unwrap_or(30_000);
        let peer = SocketAddr::from(([127, 0, 0, 1], state.next_port));
        let mut window = || {
            let bytes = state.random.between(512, WINDOW_BYTES_MAX);
            Mutex::new(Pipe::new(usize::try_from(bytes).unwrap_or(usize::MAX)))
        };
        let connection = Arc::new(Connection {
            server: Arc::clone(&backlog.life),
            pipes: [window(), window()],
        });
        state
            .connections
            .retain(|connection| Arc::strong_count(connection) > 1);
        state.connections.push(Arc::clone(&connection));
        drop(state);
        let side = |is_server| {
            Arc::new(SimStream {
                wires: Arc::clone(self),
                connection: Arc::clone(&connection),
                is_server,
                peer,
            })
        };
        let waker = {
            let mut waiting = backlog.state.lock();
            waiting.0.push_back(side(true));
            waiting.1.take()
        };
        wake_all([waker, None]);
        Ok(side(false))
    }

    /// Breaks all connections of a process; what was on its way may still arrive if `delivers`.
    pub(crate) fn cut_all(&self, life: &Arc<Life>, delivers: bool) {
        let mut state = self.state.lock();
        state
            .listeners
            .retain(|_, backlog| !Arc::ptr_eq(&backlog.life, life));
        let connections: Vec<_> = state
            .connections
            .extract_if(.., |connection| Arc::ptr_eq(&connection.server, life))
            .collect();
        drop(state);
        for connection in connections {
            connection.reset(delivers);
        }
    }

    /// One direction of a connection at random goes nowhere from now on; the other goes on, and nobody is told.
    pub(crate) fn stall_one(&self) {
        let now = self.scheduler.now();
        let mut state = self.state.lock();
        if state.connections.is_empty() {
            return;
        }
        let count = state.connections.len();
        let place = state.random.index(count);
        let direction = state.random.index(2);
        let mut pipe = state.connections[place].pipes[direction].lock();
        pipe.last_arrival = pipe.last_arrival.max(now + STALL);
    }

    /// Breaks one connection at random.
    pub(crate) fn cut_one(&self) {
        let mut state = self.state.lock();
        if state.connections.is_empty() {
            return;
        }
        let count = state.connections.len();
        let place = state.random.index(count);
        let connection = state.connections.swap_remove(place);
        drop(state);
        connection.reset(false);
    }
}

impl Connection {
    fn reset(&self, delivers: bool) {
        for pipe in &self.pipes {
            let wakers = {
                let mut pipe = pipe.lock();
                if !delivers {
                    pipe.pieces.clear();
                }
                pipe.is_reset = true;
                pipe.wake()
            };
            wake_all(wakers);
        }
    }
}

/// The network as one process sees it.
#[derive(Debug)]
pub(crate) struct SimNetwork {
    pub(crate) wires: Arc<Wires>,
    pub(crate) life: Arc<Life>,
}

impl Network for SimNetwork {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let backlog = Arc::new(Backlog {
            life: Arc::clone(&self.life),
            state: Mutex::default(),
        });
        let mut state = self.wires.state.lock();
        let is_taken = state
            .listeners
            .get(&address)
            .is_some_and(|backlog| backlog.life.is_alive());
        let outcome: io::Result<Box<dyn Listener>> = if is_taken {
            Err(io::ErrorKind::AddrInUse.into())
        } else {
            state.listeners.insert(address, Arc::clone(&backlog));
            Ok(Box::new(SimListener { address, backlog }))
        };
        Box::pin(std::future::ready(outcome))
    }
}

#[derive(Debug)]
struct SimListener {
    address: SocketAddr,
    backlog: Arc<Backlog>,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.backlog.state.lock().0);
        waiting
            .iter()
            .for_each(|stream| stream.connection.reset(false));
    }
}

impl Listener for SimListener {
    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(Arc<dyn Stream>, SocketAddr)>> {
        Box::pin(std::future::poll_fn(|context| {
            let mut waiting = self.backlog.state.lock();
            match waiting.0.pop_front() {
                Some(stream) => {
                    let peer = stream.peer;
                    Poll::Ready(Ok((stream as Arc<dyn Stream>, peer)))
                }
                None => {
                    waiting.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

/// One side of a connection.
#[derive(Debug)]
struct SimStream {
    wires: Arc<Wires>,
    connection: Arc<Connection>,
    is_server: bool,
    peer: SocketAddr,
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl SimStream {
    fn incoming(&self) -> &Mutex<Pipe> {
        &self.connection.pipes[usize::from(self.is_server)]
    }

    fn outgoing(&self) -> &Mutex<Pipe> {
        &self.connection.pipes[usize::from(!self.is_server)]
    }

    fn is_dead(&self) -> bool {
        self.is_server && !self.connection.server.is_alive()
    }

    fn send(&self, mut bytes: Bytes) -> io::Result<usize> {
        if self.is_dead() {
            return Err(broken());
        }
        let now = self.wires.scheduler.now();
        let mut state = self.wires.state.lock();
        let weather = state.weather;
        if state.random.chance(weather.reset) {
            drop(state);
            // What was sent before may still arrive, or a part of it.
            self.connection.reset(true);
            return Err(broken());
        }
        let mut pipe = self.outgoing().lock();
        if pipe.is_reset || pipe.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.window.saturating_sub(pipe.unread);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        bytes.truncate(room);
        let count = bytes.len();
        self.wires.scheduler.note(format_args!(
            "send {} {count} {}",
            self.peer.port(),
            digest(&bytes)
        ));
        let is_cut = state.random.chance(weather.cut);
        while !bytes.is_empty() {
            let length = if is_cut {
                1 + state.random.index(bytes.len())
            } else {
                bytes.len()
            };
            let arrival = now + state.random.span(weather.latency);
            pipe.last_arrival = pipe.last_arrival.max(arrival);
            let arrival = pipe.last_arrival;
            pipe.pieces.push_back((arrival, bytes.split_to(length)));
        }
        pipe.unread += count;
        let wakers = [pipe.reader.take(), None];
        drop(pipe);
        drop(state);
        wake_all(wakers);
        Ok(count)
    }
}

impl Stream for SimStream {
    fn try_read(&self, buffer: &mut BytesMut, limit: usize) -> io::Result<usize> {
        let now = self.wires.scheduler.now();
        let mut pipe = self.incoming().lock();
        let mut spare = limit.min(buffer.capacity() - buffer.len());
        let mut count = 0;
        while spare > 0
            && let Some((arrival, piece)) = pipe.pieces.front_mut()
            && *arrival <= now
        {
            let length = piece.len().min(spare);
            buffer.extend_from_slice(&piece[..length]);
            piece.advance(length);
            let is_empty = piece.is_empty();
            if is_empty {
                pipe.pieces.pop_front();
            }
            spare -= length;
            count += length;
        }
        if count > 0 {
            pipe.unread -= count;
            let waker = pipe.writer.take();
            drop(pipe);
            wake_all([waker, None]);
            return Ok(count);
        }
        if !pipe.pieces.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if pipe.is_closed {
            return Ok(0);
        }
        if pipe.is_reset {
            return Err(broken());
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&self, parts: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.send(bytes.into())
    }

    fn try_send_file(&self, file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<usize> {
        let mut piece = vec![0; length.min(FILE_PIECE)];
        let count = file.read_at(&mut piece, offset)?;
        if count == 0 {
            return Ok(0);
        }
        piece.truncate(count);
        self.send(piece.into())
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.wires.scheduler.now();
        let mut pipe = self.incoming().lock();
        let first = pipe.pieces.front().map(|(arrival, _)| *arrival);
        match first {
            Some(arrival) if arrival <= now => return Poll::Ready(Ok(())),
            None if pipe.is_reset || pipe.is_closed => return Poll::Ready(Ok(())),
            _ => {}
        }
        pipe.reader = Some(context.waker().clone());
        drop(pipe);
        if let Some(arrival) = first {
            self.wires
                .scheduler
                .wake_at(arrival, context.waker().clone());
        }
        Poll::Pending
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.outgoing().lock();
        if pipe.unread < pipe.window || pipe.is_reset || pipe.is_closed {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn shut_down(&self) {
        if self.is_dead() {
            return;
        }
        let wakers = {
            let mut pipe = self.outgoing().lock();
            pipe.is_closed = true;
            pipe.wake()
        };
        wake_all(wakers);
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // A socket that goes away tells its peer, unless its process died: then the world tells.
        if !self.is_dead() {
            self.connection.reset(true);
        }
    }
}
