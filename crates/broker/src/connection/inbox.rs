//! What a client has sent and nobody has looked at yet: bytes in, frames out.
//!
//! Invariant: memory follows the bytes that have arrived, never the length a frame claims. A frame that claims 100 MB and
//! sends nothing costs one small buffer. Frames are cut out of the receive buffer without copying; once a request has
//! dropped its frame, the buffer's memory is used again.

use std::io;

use bytes::{Bytes, BytesMut};
use env::net::Stream;

/// The least room offered to one read. A produce request at the clients' default `batch.size` fits four times.
const READ_ROOM_MIN: usize = 64 * 1024;
/// The most room offered ahead of the bytes, however large the frames were before: one default `max.message.bytes`.
const READ_ROOM_MAX: usize = 1024 * 1024 + 64 * 1024;
/// The length prefix of a frame.
const PREFIX: usize = 4;

/// Why a connection's bytes make no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The length prefix is negative.
    #[error("a frame of negative length {0}")]
    Negative(i32),
    /// The length prefix is above `socket.request.max.bytes`.
    #[error("a frame of {length} bytes, above socket.request.max.bytes={limit}")]
    TooLarge {
        /// What the prefix says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// The receive side of a connection.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// `socket.request.max.bytes`.
    frame_limit: usize,
    /// The largest frame that this connection has sent whole; the next may be as large.
    largest_frame: usize,
}

impl Inbox {
    pub(super) fn new(frame_limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            frame_limit,
            largest_frame: 0,
        }
    }

    /// Reads once. 0 is the end of the stream.
    pub(super) fn read_from(&mut self, stream: &dyn Stream) -> io::Result<usize> {
        self.make_room();
        stream.try_read(&mut self.buffer)
    }

    /// The next whole frame without its length prefix, if it has arrived.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced_length()? else {
            return Ok(None);
        };
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(PREFIX + length);
        self.largest_frame = self.largest_frame.max(PREFIX + length);
        drop(frame.split_to(PREFIX));
        Ok(Some(frame.freeze()))
    }

    /// Whether a frame has begun to arrive.
    pub(super) fn has_partial_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether no memory is held: a quiet connection.
    pub(super) fn is_unallocated(&self) -> bool {
        self.buffer.capacity() == 0
    }

    /// Gives the buffer's memory back; called when the connection has been quiet for a while.
    pub(super) fn release_memory(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.largest_frame = 0;
        }
    }

    fn announced_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let prefix = i32::from_be_bytes(*prefix);
        let length = usize::try_from(prefix).map_err(|_negative| FrameError::Negative(prefix))?;
        if length > self.frame_limit {
            return Err(FrameError::TooLarge {
                length,
                limit: self.frame_limit,
            });
        }
        Ok(Some(length))
    }

    /// Room for the rest of the current frame, as far as the bytes that have come vouch for it.
    fn make_room(&mut self) {
        let arrived = self.buffer.len();
        let missing = match self.announced_length() {
            Ok(Some(length)) => (PREFIX + length).saturating_sub(arrived),
            _ => self.largest_frame,
        };
        let vouched = arrived.max(self.largest_frame.min(READ_ROOM_MAX));
        let room = missing.min(vouched).max(READ_ROOM_MIN);
        if self.buffer.capacity() - arrived < room.min(READ_ROOM_MIN).max(missing.min(vouched)) {
            self.buffer.reserve(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox_with(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::new(1000);
        inbox.buffer.extend_from_slice(bytes);
        inbox
    }

    #[test]
    fn frames_are_cut_one_after_the_other() {
        let mut inbox = inbox_with(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x03c");
        assert_eq!(inbox.next_frame(), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(inbox.next_frame(), Ok(Some(Bytes::new())));
        assert_eq!(inbox.next_frame(), Ok(None));
        inbox.buffer.extend_from_slice(b"de");
        assert_eq!(inbox.next_frame(), Ok(Some(Bytes::from_static(b"cde"))));
        assert!(!inbox.has_partial_frame());
    }

    #[test]
    fn lengths_outside_of_the_limits_are_errors() {
        assert_eq!(
            inbox_with(b"\xff\xff\xff\xff").next_frame(),
            Err(FrameError::Negative(-1))
        );
        let too_large = FrameError::TooLarge {
            length: 1001,
            limit: 1000,
        };
        assert_eq!(inbox_with(b"\0\0\x03\xe9").next_frame(), Err(too_large));
    }

    #[test]
    fn a_claimed_length_does_not_allocate() {
        let mut inbox = Inbox::new(usize::MAX);
        inbox.buffer.extend_from_slice(&i32::MAX.to_be_bytes());
        inbox.make_room();
        assert!(inbox.buffer.capacity() <= 2 * READ_ROOM_MIN);
    }

    #[test]
    fn room_grows_with_what_has_arrived() {
        let mut inbox = Inbox::new(usize::MAX);
        inbox
            .buffer
            .extend_from_slice(&(10 * 1024 * 1024_i32).to_be_bytes());
        inbox.buffer.extend_from_slice(&vec![0; 300 * 1024]);
        inbox.make_room();
        assert!(inbox.buffer.capacity() >= 600 * 1024);
        assert!(inbox.buffer.capacity() <= 1300 * 1024);
    }
}
