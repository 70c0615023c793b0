//! A proxy between clients and broker that does what networks do: it resets connections, closes one direction of them, holds
//! bytes back, delivers them late and in pieces, and loses answers.
//!
//! Two threads for each connection, one for each direction. Invariant: bytes are never changed or reordered; a connection of
//! which bytes were lost is reset.

use anyhow::Result;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How often a thread that waits looks whether something has changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How late bytes come in [`Mode::Late`].
const DELAY: Duration = Duration::from_millis(60);

/// What happens to all bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    Open,
    /// Each piece comes later.
    Late,
    /// Writes are of a few bytes.
    Pieces,
    /// Nothing gets through, and nobody is told.
    Held,
    /// Requests arrive, their answers do not.
    AnswersLost,
    /// New connections are closed at once.
    Refused,
}

const MODES: [Mode; 6] = [
    Mode::Open,
    Mode::Late,
    Mode::Pieces,
    Mode::Held,
    Mode::AnswersLost,
    Mode::Refused,
];

#[derive(Debug)]
struct Shared {
    target: u16,
    mode: AtomicU8,
    /// A connection ends with a reset when this is not what it was when it began; likewise a direction of it.
    resets: AtomicU64,
    half_closes: AtomicU64,
    is_closed: AtomicBool,
}

impl Shared {
    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::Relaxed))]
    }
}

#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of this port of loopback.
    pub(crate) fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            target,
            mode: AtomicU8::new(Mode::Open as u8),
            resets: AtomicU64::new(0),
            half_closes: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { port, shared })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// All connections that there are.
    pub(crate) fn reset(&self) {
        self.shared.resets.fetch_add(1, Ordering::Relaxed);
    }

    /// The way to the broker of one half of them, the way to the client of the others.
    pub(crate) fn half_close(&self) {
        self.shared.half_closes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    while !shared.is_closed.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, _)) if shared.mode() != Mode::Refused => {
                number += 1;
                // A broker that is down refuses, and so does the proxy by closing.
                drop(connect(&client, shared, number));
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

fn connect(client: &TcpStream, shared: &Arc<Shared>, number: u64) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, shared.target));
    let broker = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    client.set_nonblocking(false)?;
    for stream in [client, &broker] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_INTERVAL))?;
        stream.set_write_timeout(Some(LOOK_INTERVAL))?;
    }
    let closes_requests = number.is_multiple_of(2);
    for is_answers in [false, true] {
        let (from, to) = if is_answers {
            (&broker, client)
        } else {
            (client, &broker)
        };
        let pump = Pump {
            from: from.try_clone()?,
            to: to.try_clone()?,
            is_answers,
            is_half_closed: is_answers != closes_requests,
            resets: shared.resets.load(Ordering::Relaxed),
            half_closes: shared.half_closes.load(Ordering::Relaxed),
            shared: Arc::clone(shared),
        };
        std::thread::spawn(move || pump.run());
    }
    Ok(())
}

/// One direction of a connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    is_answers: bool,
    /// Whether this direction is the one that a half close ends.
    is_half_closed: bool,
    resets: u64,
    half_closes: u64,
    shared: Arc<Shared>,
}

/// Why a direction ends.
enum End {
    Reset,
    /// The other direction may go on.
    Closed,
}

impl Pump {
    fn run(mut self) {
        match self.forward() {
            End::Closed => {
                self.to.shutdown(Shutdown::Write).ok();
            }
            End::Reset => {
                for stream in [&self.from, &self.to] {
                    // What cannot be reset is closed.
                    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).ok();
                }
                // The other direction waits in a read and ends with it.
                self.from.shutdown(Shutdown::Read).ok();
                self.to.shutdown(Shutdown::Read).ok();
            }
        }
    }

    fn forward(&mut self) -> End {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(end) = self.wait_while_held() {
                return end;
            }
            match self.from.read(&mut buffer) {
                Ok(0) => return End::Closed,
                Ok(length) => {
                    if let Some(end) = self.deliver(&buffer[..length]) {
                        return end;
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => return End::Reset,
            }
        }
    }

    /// Whether the connection, or this direction of it, is to end.
    fn end(&self) -> Option<End> {
        let shared = &self.shared;
        if shared.is_closed.load(Ordering::Relaxed)
            || shared.resets.load(Ordering::Relaxed) != self.resets
        {
            return Some(End::Reset);
        }
        let is_half_closed =
            self.is_half_closed && shared.half_closes.load(Ordering::Relaxed) != self.half_closes;
        is_half_closed.then_some(End::Closed)
    }

    fn wait_while_held(&self) -> Option<End> {
        loop {
            if let Some(end) = self.end() {
                return Some(end);
            }
            if self.shared.mode() != Mode::Held {
                return None;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn deliver(&mut self, mut bytes: &[u8]) -> Option<End> {
        let mut piece = 1;
        while !bytes.is_empty() {
            if let Some(end) = self.wait_while_held() {
                return Some(end);
            }
            let length = match self.shared.mode() {
                Mode::AnswersLost if self.is_answers => return None,
                Mode::Pieces => {
                    // Lengths of 1 to 61 that repeat late.
                    piece = piece * 7 % 62;
                    bytes.len().min(piece)
                }
                Mode::Late => {
                    std::thread::sleep(DELAY);
                    bytes.len()
                }
                _ => bytes.len(),
            };
            match self.to.write(&bytes[..length]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_timeout(&error) => {}
                Err(_) => return Some(End::Reset),
            }
        }
        None
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::{Mode, Proxy};
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    /// A connection through a proxy: both ends.
    fn connection() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let (mut broker, _) = listener.accept().unwrap();
        for stream in [&client, &broker] {
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
        }
        // Only what forwards can be disturbed.
        let mut came = [0; 1];
        client.write_all(b"?").unwrap();
        broker.read_exact(&mut came).unwrap();
        broker.write_all(b"!").unwrap();
        client.read_exact(&mut came).unwrap();
        (proxy, client, broker)
    }

    #[test]
    fn bytes_come_whole_and_in_order_in_pieces() {
        let (proxy, mut client, mut broker) = connection();
        proxy.set(Mode::Pieces);
        let sent: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
        client.write_all(&sent).unwrap();
        let mut came = vec![0; sent.len()];
        broker.read_exact(&mut came).unwrap();
        assert_eq!(came, sent);
    }

    #[test]
    fn held_bytes_come_when_the_way_is_open_again() {
        let (proxy, mut client, mut broker) = connection();
        proxy.set(Mode::Held);
        client.write_all(b"late").unwrap();
        broker
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut came = [0; 4];
        broker.read_exact(&mut came).unwrap_err();
        proxy.set(Mode::Open);
        broker
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        broker.read_exact(&mut came).unwrap();
        assert_eq!(&came, b"late");
    }

    #[test]
    fn a_reset_ends_both_ends() {
        let (proxy, mut client, mut broker) = connection();
        proxy.reset();
        let mut came = [0; 1];
        assert!(matches!(client.read(&mut came), Err(_) | Ok(0)));
        assert!(matches!(broker.read(&mut came), Err(_) | Ok(0)));
    }

    #[test]
    fn a_half_close_leaves_one_way_open() {
        let (proxy, mut client, mut broker) = connection();
        proxy.half_close();
        let mut came = [0; 1];
        // The first connection is one whose answers end.
        assert_eq!(client.read(&mut came).unwrap(), 0);
        client.write_all(b"x").unwrap();
        broker.read_exact(&mut came).unwrap();
    }
}
