//! What is ready to be sent to a client and has not gone out yet.
//!
//! Memory goes out gathered, many responses in one call; ranges of files go out by sendfile. A range that is not in the
//! page cache is read ahead on the blocking pool first, so that no other connection of the thread waits for the disk.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use env::net::Stream;
use env::{BoxFuture, Env};
use protocol::{FileSlice, Slice};
use storage::SegmentFile;

/// Slices gathered into one call.
const GATHER_MAX: usize = 64;
/// The most that one sendfile call is asked for. A cached MiB on loopback holds the thread for more than a millisecond;
/// from 64 KiB up larger calls save nothing (docs/performance.md, S4).
const SEND_FILE_MAX: usize = 128 * 1024;

/// What one connection may send in one turn, before others of its thread get theirs.
const TURN_BYTES: usize = 512 * 1024;

/// The send side of a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Slice>,
    /// Bytes of the queue that lie in memory.
    memory_bytes: usize,
    /// Bytes sent in this turn.
    turn_bytes: usize,
    warming: Option<Warming>,
}

/// A read-ahead in progress.
struct Warming(BoxFuture<'static, ()>);

impl std::fmt::Debug for Warming {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Warming")
    }
}

impl Outbox {
    /// Queues a response.
    pub(super) fn push(&mut self, slices: Vec<Slice>) {
        for slice in slices {
            if let Slice::Memory(bytes) = &slice {
                self.memory_bytes += bytes.len();
            }
            if !slice.is_empty() {
                self.queue.push_back(slice);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes in memory that the client has not taken yet.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Bytes sent since the turn began.
    pub(super) fn sent_in_turn(&self) -> usize {
        self.turn_bytes
    }

    /// A new turn of the connection begins.
    pub(super) fn begin_turn(&mut self) {
        self.turn_bytes = 0;
    }

    /// Sends until everything is out (`Ready(Ok)`), or the client must read, the disk must answer, or others have their
    /// turn first (`Pending`).
    pub(super) fn poll_send(
        &mut self,
        stream: &dyn Stream,
        env: &Env,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(warming) = &mut self.warming {
                std::task::ready!(warming.0.as_mut().poll(context));
                self.warming = None;
                // What was just read ahead is sent without asking again: the answer would be stale as soon as given.
                std::task::ready!(self.poll_step(stream, None, context))?;
                continue;
            }
            if self.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.turn_bytes >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            std::task::ready!(self.poll_step(stream, Some(env), context))?;
        }
    }

    /// One call to the system. `probe` is the way to read ahead, if the range still has to be looked up.
    fn poll_step(
        &mut self,
        stream: &dyn Stream,
        probe: Option<&Env>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let sent = match self.queue.front() {
            None => return Poll::Ready(Ok(())),
            Some(Slice::Memory(_)) => self.send_memory(stream),
            Some(Slice::File(range)) => {
                let range = range.clone();
                if let Some(env) = probe
                    && !is_cached(&range)?
                {
                    self.warming = Some(read_ahead(env, range));
                    return Poll::Ready(Ok(()));
                }
                send_file(stream, &range)
            }
        };
        match sent {
            Ok(count) => {
                self.turn_bytes += count;
                self.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::task::ready!(stream.poll_writable(context))?;
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn send_memory(&self, stream: &dyn Stream) -> io::Result<usize> {
        let mut parts = [IoSlice::new(&[]); GATHER_MAX];
        let mut count = 0;
        let mut more = false;
        for slice in &self.queue {
            match slice {
                Slice::Memory(bytes) if count < GATHER_MAX => {
                    parts[count] = IoSlice::new(bytes);
                    count += 1;
                }
                _ => {
                    more = true;
                    break;
                }
            }
        }
        stream.try_write(&parts[..count], more)
    }

    /// Forgets the first `count` bytes of the queue.
    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.queue.front_mut() {
            let step = count.min(front.len());
            count -= step;
            match front {
                Slice::Memory(bytes) => {
                    Bytes::advance(bytes, step);
                    self.memory_bytes -= step;
                }
                Slice::File(range) => {
                    range.offset += step as u64;
                    range.length -= step;
                }
            }
            if !front.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
    }
}

/// The open file behind a range of the log.
fn segment_file(range: &FileSlice) -> io::Result<&SegmentFile> {
    let handle: &dyn Any = &*range.file;
    handle
        .downcast_ref()
        .ok_or_else(|| io::Error::other("a file range that is not of a segment"))
}

fn is_cached(range: &FileSlice) -> io::Result<bool> {
    let length = range.length.min(SEND_FILE_MAX);
    Ok(segment_file(range)?
        .disk_file()
        .is_cached(range.offset, length))
}

fn send_file(stream: &dyn Stream, range: &FileSlice) -> io::Result<usize> {
    let length = range.length.min(SEND_FILE_MAX);
    match stream.try_send_file(segment_file(range)?.disk_file(), range.offset, length)? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "a segment is shorter than its index says",
        )),
        count => Ok(count),
    }
}

/// Reads the start of the range once, so that the page cache has it.
fn read_ahead(env: &Env, range: FileSlice) -> Warming {
    const PIECE: usize = 128 * 1024;
    let range = Arc::new(range);
    Warming(env.spawner.run_blocking(Box::new(move || {
        let Ok(file) = segment_file(&range) else {
            return;
        };
        let mut piece = vec![0; PIECE];
        let end = range.offset + range.length.min(SEND_FILE_MAX) as u64;
        let mut position = range.offset;
        while position < end {
            // An error shows again, and is handled, when the range is sent.
            match file.disk_file().read_at(&mut piece, position) {
                Ok(count) if count > 0 => position += count as u64,
                _ => return,
            }
        }
    })))
}
