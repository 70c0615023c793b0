//! What a client has sent and nobody has looked at yet: bytes in, frames out.
//!
//! Invariant: memory follows the bytes that have arrived, never the length a frame claims. A frame that claims 100 MB and
//! sends nothing costs one small buffer. Once a MiB of it is there, addresses are reserved for all of it, which the system
//! backs with memory as bytes arrive: large frames are never moved. Frames are cut out of the receive buffer without copying, unless they are so small
//! that a copy costs less than the buffer they would keep alive; once a request has dropped its frame, the buffer's memory is
//! used again.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use env::net::Stream;

/// The least room offered to one read. A produce request at the clients' default `batch.size` fits four times.
const READ_ROOM_MIN: usize = 64 * 1024;
/// The most room offered ahead of the bytes, however large the frames were before: one default `max.message.bytes`.
const READ_ROOM_MAX: usize = 1024 * 1024 + 64 * 1024;
/// Frames up to this length are copied: a long poll of a few bytes must not hold a whole buffer for as long as it waits.
const COPIED_MAX: usize = 16 * 1024;
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
    /// Memory of the buffer, without the frames that were cut out of it; of a reserved one, what was touched.
    allocated: usize,
    /// The buffer has addresses for all of one large frame, and for nothing else.
    is_reserved: bool,
    /// `socket.request.max.bytes`.
    frame_limit: usize,
    /// The largest frame that this connection has sent whole; the next may be as large.
    largest_frame: usize,
}

impl Inbox {
    pub(super) fn new(frame_limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            allocated: 0,
            is_reserved: false,
            frame_limit,
            largest_frame: 0,
        }
    }

    /// Reads once, into the room that there is. 0 is the end of the stream.
    pub(super) fn read_from(&mut self, stream: &dyn Stream) -> io::Result<usize> {
        let limit = if self.is_reserved {
            READ_ROOM_MAX
        } else {
            usize::MAX
        };
        stream.try_read(&mut self.buffer, limit)
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.allocated
    }

    /// The next whole frame without its length prefix, if it has arrived.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced_length()? else {
            return Ok(None);
        };
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.largest_frame = self.largest_frame.max(PREFIX + length);
        Ok(Some(self.cut(PREFIX + length)))
    }

    /// The first `length` bytes of the buffer, without the prefix.
    fn cut(&mut self, length: usize) -> Bytes {
        if length <= COPIED_MAX {
            let frame = self.buffer.get(PREFIX..length).map(Bytes::copy_from_slice);
            self.buffer.advance(length);
            return frame.expect("the frame has arrived");
        }
        let mut frame = self.buffer.split_to(length);
        self.allocated = self.allocated.saturating_sub(length);
        if length > READ_ROOM_MAX && self.buffer.is_empty() {
            // Otherwise the memory of the one large frame would be kept for the small ones behind it.
            self.free();
        }
        frame.advance(PREFIX);
        frame.freeze()
    }

    /// Whether a frame has begun to arrive.
    pub(super) fn has_partial_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether no memory is held: a quiet connection.
    pub(super) fn is_unallocated(&self) -> bool {
        self.allocated == 0
    }

    /// Gives the buffer's memory back; called when the connection has been quiet for a while.
    pub(super) fn release_memory(&mut self) {
        if self.buffer.is_empty() {
            self.free();
            self.largest_frame = 0;
        }
    }

    fn free(&mut self) {
        self.buffer = BytesMut::new();
        self.allocated = 0;
        self.is_reserved = false;
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

    /// Memory that the buffer takes with room for the next read.
    pub(super) fn memory_wanted(&self) -> usize {
        match self.room_wanted() {
            None if self.is_reserved => self.touched_by_next_read(),
            None => self.allocated,
            Some(room) if room.is_reserved() => self.buffer.len() + READ_ROOM_MAX,
            Some(room) => self.allocated.max(self.buffer.len() + room.most),
        }
    }

    fn touched_by_next_read(&self) -> usize {
        let touched = self.buffer.len() + READ_ROOM_MAX;
        self.allocated.max(touched.min(self.buffer.capacity()))
    }

    /// Makes room for the next read.
    pub(super) fn make_room(&mut self) {
        if let Some(room) = self.room_wanted() {
            self.is_reserved = room.is_reserved() && self.reserve(room.whole);
            if !self.is_reserved {
                self.enlarge(&room);
            }
        }
        if self.is_reserved {
            self.allocated = self.touched_by_next_read();
        }
    }

    /// Moves what has arrived to where there are addresses for the whole frame. False if the system has none.
    fn reserve(&mut self, whole: usize) -> bool {
        let mut room = Vec::new();
        if room.try_reserve_exact(whole).is_err() {
            return false;
        }
        room.extend_from_slice(&self.buffer);
        self.allocated = room.len();
        self.buffer = BytesMut::from(Bytes::from(room));
        true
    }

    fn enlarge(&mut self, room: &Room) {
        // A buffer that no request holds any more is used again. Another one is as large as it has to be: `BytesMut` by itself
        // would double what it once had.
        if !self.buffer.try_reclaim(room.least) {
            let mut larger = BytesMut::with_capacity(self.buffer.len() + room.most);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.allocated = self.allocated.max(self.buffer.capacity());
    }

    /// Room for the rest of the current frame, as far as the bytes that have come vouch for it; `None` if there is enough.
    fn room_wanted(&self) -> Option<Room> {
        let arrived = self.buffer.len();
        let whole = match self.announced_length() {
            Ok(Some(length)) => PREFIX + length,
            _ => arrived + self.largest_frame,
        };
        let missing = whole.saturating_sub(arrived);
        let vouched = missing.min(arrived.max(self.largest_frame.min(READ_ROOM_MAX)));
        let least = if arrived < READ_ROOM_MIN {
            vouched.max(READ_ROOM_MIN / 2)
        } else {
            // A large frame uses all of its room before it gets as much again.
            1
        };
        (self.buffer.capacity() - arrived < least).then_some(Room {
            least,
            most: vouched.max(READ_ROOM_MIN),
            arrived,
            whole,
        })
    }
}

/// Room that a read should find.
struct Room {
    /// With less the buffer has to change.
    least: usize,
    /// What a new buffer has.
    most: usize,
    /// Bytes of the frame that are there.
    arrived: usize,
    /// The length of the frame.
    whole: usize,
}

impl Room {
    /// Whether so much of a large frame is there that its length is believed.
    fn is_reserved(&self) -> bool {
        self.arrived >= READ_ROOM_MAX && self.whole > self.arrived + READ_ROOM_MAX
    }
}

/// The frames in bytes that arrive in pieces; an error ends the connection. For fuzzing.
#[cfg(feature = "fuzzing")]
pub fn frames_of(pieces: &[&[u8]], frame_limit: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let mut inbox = Inbox::new(frame_limit);
    let mut frames = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            inbox.make_room();
            let room = inbox.buffer.capacity() - inbox.buffer.len();
            let (taken, left) = rest.split_at(room.min(rest.len()));
            assert!(!taken.is_empty(), "there is room for a read");
            inbox.buffer.extend_from_slice(taken);
            rest = left;
            loop {
                match inbox.next_frame() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.to_string())),
                }
            }
        }
    }
    (frames, None)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn inbox_with(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::new(1000);
        inbox.make_room();
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
        for arrived in 1..=300 {
            inbox.make_room();
            inbox
                .buffer
                .put_bytes(0, 1024.min(inbox.buffer.capacity() - inbox.buffer.len()));
            assert!(inbox.buffer.capacity() <= READ_ROOM_MIN + 2 * (PREFIX + arrived * 1024));
            assert_eq!(inbox.memory_bytes(), inbox.buffer.capacity());
        }
        let missing = PREFIX + 10 * 1024 * 1024 - inbox.buffer.len();
        inbox.buffer.put_bytes(0, missing);
        assert!(inbox.next_frame().unwrap().is_some());
        assert!(
            inbox.is_unallocated(),
            "a large frame takes its buffer along"
        );
    }

    #[test]
    fn a_large_frame_is_not_moved_and_takes_memory_as_it_arrives() {
        let length = 100 * 1024 * 1024;
        let mut inbox = Inbox::new(length);
        inbox.make_room();
        let claim = i32::try_from(length).unwrap().to_be_bytes();
        inbox.buffer.extend_from_slice(&claim);
        let mut place = None;
        for count in 0.. {
            let arrived = inbox.buffer.len();
            let wanted = inbox.memory_wanted();
            inbox.make_room();
            assert!(inbox.memory_bytes() <= wanted);
            assert!(inbox.memory_bytes() <= arrived.max(READ_ROOM_MIN) * 2 + READ_ROOM_MAX);
            if inbox.is_reserved {
                assert!(inbox.memory_bytes() <= arrived + READ_ROOM_MAX);
                assert_eq!(inbox.buffer.capacity(), PREFIX + length);
                let at = inbox.buffer.as_ptr();
                assert_eq!(*place.get_or_insert(at), at, "it stays where it is");
            }
            let room = inbox.buffer.capacity() - arrived;
            let piece = room.min(700_000).min(PREFIX + length - arrived);
            inbox
                .buffer
                .put_bytes(u8::try_from(count % 251).unwrap(), piece);
            if let Some(frame) = inbox.next_frame().unwrap() {
                assert_eq!(frame.len(), length);
                assert_eq!(frame.last(), Some(&u8::try_from(count % 251).unwrap()));
                break;
            }
        }
        assert!(place.is_some());
        assert_eq!((inbox.memory_bytes(), inbox.is_reserved), (0, false));
    }

    #[test]
    fn a_small_frame_does_not_keep_the_buffer_it_came_in() {
        let mut inbox = Inbox::new(1000);
        let mut frames = Vec::new();
        for _ in 0..1000 {
            inbox.make_room();
            inbox.buffer.extend_from_slice(b"\0\0\0\x02ab\0\0");
            frames.push(inbox.next_frame().unwrap().unwrap());
            inbox.buffer.extend_from_slice(b"\0\x02ab");
            frames.push(inbox.next_frame().unwrap().unwrap());
        }
        assert!(frames.iter().all(|frame| *frame == "ab"));
        assert_eq!(inbox.memory_bytes(), READ_ROOM_MIN);
        assert_eq!(inbox.memory_wanted(), READ_ROOM_MIN);
        inbox.release_memory();
        assert_eq!(inbox.memory_bytes(), 0);
    }
}
