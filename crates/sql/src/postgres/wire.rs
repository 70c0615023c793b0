//! One socket: packets in, bytes out.
//!
//! Invariant: the input holds what has arrived and at most twice its memory, whatever lengths are claimed; the output is
//! flushed before it grows beyond [`OUTPUT_BYTES`] and one row. A future of this file may be dropped at any time: no byte is
//! lost and none is sent twice.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use env::Clock;
use env::net::Stream;

use super::frontend::DecodeError;

/// Output is sent once there is so much of it.
pub(super) const OUTPUT_BYTES: usize = 64 * 1024;
/// Buffers larger than this are given back when they are empty.
const KEPT_BYTES: usize = 4 * OUTPUT_BYTES;
/// The least room for a read.
const READ_ROOM: usize = 8 * 1024;
/// How much of what follows a running statement is read while one waits for its client to vanish. A client that sends more
/// ahead is noticed to be gone when its rows are sent.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Why no packet was received.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A connection's socket with its buffers.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Arc<dyn Stream>,
    input: BytesMut,
    /// What is to be sent; messages are written here whole.
    pub(super) output: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: Arc<dyn Stream>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// The next whole packet, whose length `length_of` tells from its beginning; none at the end of the stream.
    pub(super) async fn receive(
        &mut self,
        length_of: fn(&[u8]) -> Result<Option<usize>, DecodeError>,
    ) -> Result<Option<Bytes>, ReceiveError> {
        loop {
            if let Some(length) = length_of(&self.input)?
                && self.input.len() >= length
            {
                let packet = self.input.split_to(length).freeze();
                self.release_input();
                return Ok(Some(packet));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A large message must not keep its memory for the small ones behind it.
    fn release_input(&mut self) {
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = BytesMut::new();
        }
    }

    /// Whether a whole packet has arrived, or something that is none.
    pub(super) fn has_packet(
        &self,
        length_of: fn(&[u8]) -> Result<Option<usize>, DecodeError>,
    ) -> bool {
        match length_of(&self.input) {
            Ok(Some(length)) => self.input.len() >= length,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        loop {
            poll_fn(|context| self.stream.poll_readable(context)).await?;
            if self.input.capacity() - self.input.len() < READ_ROOM {
                self.input.reserve(READ_ROOM);
            }
            match self.stream.try_read(&mut self.input, usize::MAX) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    /// Completes when the client has closed the connection.
    pub(super) async fn gone(&mut self) {
        while self.input.len() < READ_AHEAD_BYTES {
            match self.read().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Sends the output.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&[IoSlice::new(&self.output)], false) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.output.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|context| self.stream.poll_writable(context)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if self.output.capacity() > KEPT_BYTES {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Sends the output, as long as the client takes some of it now and then.
    pub(super) async fn flush_within(
        &mut self,
        clock: &dyn Clock,
        stall: Duration,
    ) -> io::Result<()> {
        loop {
            let before = self.output.len();
            let stalled = clock.sleep_until(clock.now().plus(stall));
            tokio::select! {
                biased;
                outcome = self.flush() => return outcome,
                () = stalled => {}
            }
            if self.output.len() == before {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    pub(super) fn shut_down(&self) {
        self.stream.shut_down();
    }
}
