//! The two tasks of a connection: one writes frames, one reads them and hands each to the request that waits longest.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use protocol::{Segments, Slice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Outgoing, State, StreamError, Then, Waiting};

/// Memory taken for a frame before its bytes arrive; more is taken as they do, so that a length field alone costs no
/// more than this.
const FRAME_RESERVE: usize = 4 * 1024 * 1024;

/// Pieces handed to the system at once; Linux takes 1024, and a produce request has two per partition.
const SLICES_AT_ONCE: usize = 64;

/// Writes until the connection is dropped or fails.
pub(super) async fn write_all(
    mut socket: OwnedWriteHalf,
    mut outgoing: UnboundedReceiver<Outgoing>,
    waiting: UnboundedSender<Waiting>,
    state: Arc<State>,
) {
    loop {
        let next = tokio::select! {
            next = outgoing.recv() => next,
            () = state.closed() => None,
        };
        let Some(next) = next else { break };
        let mut written = None;
        match next.then {
            // Announced before it is written, so that its response cannot come before it is waited for.
            Then::Response(entry) => {
                if waiting.send(entry).is_err() {
                    break;
                }
            }
            Then::Nothing(told) => written = Some(told),
        }
        if let Err(error) = write_segments(&mut socket, next.frame).await {
            state.close(Some(error.into()));
            break;
        }
        if let Some(told) = written {
            // Who no longer listens does not mind.
            told.send(()).ok();
        }
    }
    state.close(None);
}

async fn write_segments(socket: &mut OwnedWriteHalf, frame: Segments) -> std::io::Result<()> {
    let mut pieces = VecDeque::with_capacity(frame.slices().len());
    for slice in frame {
        match slice {
            Slice::Memory(bytes) => pieces.push_back(bytes),
            // Requests of this client are built in memory.
            Slice::File(_) => return Err(std::io::ErrorKind::InvalidInput.into()),
        }
    }
    while !pieces.is_empty() {
        let slices: Vec<IoSlice<'_>> = pieces
            .iter()
            .take(SLICES_AT_ONCE)
            .map(|piece| IoSlice::new(piece))
            .collect();
        let written = socket.write_vectored(&slices).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        advance(&mut pieces, written);
    }
    Ok(())
}

/// Takes what was written off the front.
fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

/// Reads until the connection ends; then the waiting requests learn of it by losing their sender.
pub(super) async fn read_all(
    mut socket: OwnedReadHalf,
    mut waiting: UnboundedReceiver<Waiting>,
    limit: usize,
    state: Arc<State>,
) {
    let cause = tokio::select! {
        ended = read_frames(&mut socket, &mut waiting, limit) => ended.err(),
        () = state.closed() => None,
    };
    state.close(cause);
}

async fn read_frames(
    socket: &mut OwnedReadHalf,
    waiting: &mut UnboundedReceiver<Waiting>,
    limit: usize,
) -> Result<(), StreamError> {
    while let Some(mut frame) = read_frame(socket, limit).await? {
        let entry = waiting
            .try_recv()
            .map_err(|_none| StreamError::Unexpected)?;
        let found = frame.get_i32();
        if found != entry.correlation_id {
            return Err(StreamError::OutOfTurn {
                found,
                expected: entry.correlation_id,
            });
        }
        // Who no longer waits gave up on purpose.
        entry.reply.send(frame).ok();
    }
    Ok(())
}

/// A frame without its length; `None` when the peer closed between frames.
async fn read_frame(
    socket: &mut OwnedReadHalf,
    limit: usize,
) -> Result<Option<Bytes>, StreamError> {
    let mut prefix = [0_u8; 4];
    match socket.read_exact(&mut prefix).await {
        Ok(_read) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = i32::from_be_bytes(prefix);
    // At least the correlation id.
    let size = usize::try_from(length)
        .ok()
        .filter(|size| (4..=limit).contains(size))
        .ok_or(StreamError::FrameLength { length, limit })?;
    let mut frame = BytesMut::with_capacity(size.min(FRAME_RESERVE));
    let mut source = socket.take(size as u64);
    while frame.len() < size {
        if source.read_buf(&mut frame).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}
