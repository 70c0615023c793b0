//! The receiving side shared by the spikes: frames out of a socket into a buffer, with as few calls as possible.
//!
//! A frame is a 32-bit big-endian length and that many bytes, at most [`MAX_FRAME_BYTES`].

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::client::ACK_BYTES;
use crate::cost::count_syscalls;

/// Largest frame a spike sends.
pub(crate) const MAX_FRAME_BYTES: usize = 16 << 20;
/// Bytes of a frame's length prefix.
pub(crate) const PREFIX_BYTES: usize = 4;
/// A pooled buffer holds many small frames or one large one.
const POOLED_BYTES: usize = 256 * 1024;

/// A listener on a free loopback port.
pub(crate) fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A non-blocking connection and the epoll instance that waits for it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    epoll: std::os::fd::OwnedFd,
}

impl Connection {
    pub(crate) fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, _) = listener.accept().context("accepting")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &stream,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
        )?;
        Ok(Self { stream, epoll })
    }

    /// Waits until the socket is readable.
    pub(crate) fn wait_readable(&self) -> Result<()> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        loop {
            count_syscalls(1);
            match epoll::wait(&self.epoll, &mut events, None) {
                Err(Errno::INTR) => {}
                other => {
                    other.context("epoll_wait")?;
                    return Ok(());
                }
            }
        }
    }

    /// Sends all of `bytes`; the answers of a spike fit the socket's buffer, so waiting is rare.
    pub(crate) fn send_all(&self, mut bytes: &[u8], flags: SendFlags) -> Result<()> {
        while !bytes.is_empty() {
            count_syscalls(1);
            match send(&self.stream, bytes, flags) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN) => self.wait_writable()?,
                Err(error) => return Err(error).context("send"),
            }
        }
        Ok(())
    }

    /// Waits until the socket is writable.
    pub(crate) fn wait_writable(&self) -> Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        count_syscalls(1);
        poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], None).context("poll")?;
        Ok(())
    }

    /// Sends `acks` answers at once.
    pub(crate) fn send_acks(&self, acks: usize) -> Result<()> {
        self.send_all(&vec![0; acks * ACK_BYTES], SendFlags::NOSIGNAL)
    }
}

/// Where received bytes land.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BufferPolicy {
    /// One reused buffer, as many frames per recv as have arrived.
    Batched,
    /// One reused buffer, one frame at a time.
    Pooled,
    /// A new buffer from the allocator for every frame.
    Fresh,
    /// A new zeroed buffer for every frame.
    Zeroed,
}

/// Splits a stream of bytes into frames. Pure: bytes are put in by whoever receives them.
#[derive(Debug)]
pub(crate) struct Frames {
    policy: BufferPolicy,
    buffer: Vec<u8>,
    filled: usize,
    frame_bytes: usize,
}

impl Frames {
    /// For frames whose payload has `payload_bytes`; the spikes send one size, so buffers fit exactly.
    pub(crate) fn new(policy: BufferPolicy, payload_bytes: usize) -> Result<Self> {
        ensure!(
            payload_bytes <= MAX_FRAME_BYTES,
            "a request may have at most {MAX_FRAME_BYTES} bytes"
        );
        let frame_bytes = payload_bytes + PREFIX_BYTES;
        let capacity = if policy == BufferPolicy::Batched {
            frame_bytes.max(POOLED_BYTES)
        } else {
            frame_bytes
        };
        Ok(Self {
            policy,
            buffer: vec![0; capacity],
            filled: 0,
            frame_bytes,
        })
    }

    /// The room to receive into; never empty after [`Frames::consume`].
    pub(crate) fn room(&mut self) -> &mut [u8] {
        // A large frame is received to its end and no further: the rest of the next would have to be moved.
        let batched =
            self.policy == BufferPolicy::Batched && self.frame_bytes * 2 <= self.buffer.len();
        let end = if batched {
            self.buffer.len()
        } else {
            self.frame_bytes
        };
        &mut self.buffer[self.filled..end]
    }

    /// Notes that `count` bytes were put into [`Frames::room`].
    pub(crate) fn received(&mut self, count: usize) {
        self.filled += count;
    }

    /// The payloads of all complete frames.
    pub(crate) fn complete(&self) -> Result<Vec<&[u8]>> {
        let mut payloads = Vec::with_capacity(self.filled / self.frame_bytes);
        for frame in self.buffer[..self.filled].chunks_exact(self.frame_bytes) {
            let (prefix, payload) = frame.split_at(PREFIX_BYTES);
            ensure!(
                prefix == (payload.len() as u32).to_be_bytes(),
                "a frame has an unexpected length"
            );
            payloads.push(payload);
        }
        Ok(payloads)
    }

    /// Drops the complete frames and makes room by the policy.
    pub(crate) fn consume(&mut self) {
        let consumed = self.filled - self.filled % self.frame_bytes;
        if consumed == 0 {
            return;
        }
        match self.policy {
            BufferPolicy::Batched | BufferPolicy::Pooled => {
                self.buffer.copy_within(consumed..self.filled, 0)
            }
            BufferPolicy::Fresh => self.buffer = fresh(self.frame_bytes),
            BufferPolicy::Zeroed => {
                // Freed before the next is taken, as a handler would between two requests.
                self.buffer = Vec::new();
                self.buffer = vec![0; self.frame_bytes];
            }
        }
        self.filled -= consumed;
    }

    /// Takes the buffer away with the one frame it holds; `with` is used from now on.
    pub(crate) fn replace(&mut self, with: Vec<u8>) -> Vec<u8> {
        self.filled = 0;
        std::mem::replace(&mut self.buffer, with)
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }
}

/// A buffer of `bytes` whose pages have been touched only as far as the allocator had done so before.
#[allow(
    unsafe_code,
    reason = "safe code can only make a Vec<u8> of a length by writing it, which is what is measured against"
)]
#[allow(
    clippy::uninit_vec,
    reason = "bytes are only read after recv has written them"
)]
fn fresh(bytes: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(bytes);
    // SAFETY: u8 has no invalid bit patterns, and Frames only reads the first `filled` bytes, which recv has written.
    unsafe { buffer.set_len(bytes) };
    buffer
}

/// Receives once. Returns the bytes received, 0 at the end of the stream.
pub(crate) fn receive(connection: &Connection, frames: &mut Frames) -> Result<usize> {
    loop {
        connection.wait_readable()?;
        count_syscalls(1);
        match recv(&connection.stream, frames.room(), RecvFlags::empty()) {
            Ok((_, count)) => {
                frames.received(count);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error).context("recv"),
        }
    }
}

/// The payloads as one vector of slices for pwritev.
pub(crate) fn io_slices<'a>(payloads: &[&'a [u8]]) -> Vec<IoSlice<'a>> {
    payloads
        .iter()
        .map(|payload| IoSlice::new(payload))
        .collect()
}
