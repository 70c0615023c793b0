//! Reading a history. Invariant: what is read takes a small multiple of the size of the input, which is limited.

use std::io::{BufRead, Read as _};

use crate::event::Event;

/// The longest line.
pub const LINE_BYTES_MAX: u64 = 16 << 20;
/// The most events of one history: some gigabytes of memory.
pub const EVENTS_MAX: usize = 20_000_000;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("could not read the history")]
    Io(#[from] std::io::Error),
    /// A line is no event.
    #[error("line {line} is no event")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than [`LINE_BYTES_MAX`].
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes")]
    LongLine {
        /// Which line, from 1.
        line: usize,
    },
    /// There are more than [`EVENTS_MAX`] events.
    #[error("there are more than {EVENTS_MAX} events")]
    TooLong,
}

/// Reads JSON lines; empty ones are skipped.
///
/// # Errors
/// See [`ReadError`].
pub fn read(mut input: impl BufRead) -> Result<Vec<Event>, ReadError> {
    let mut events = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let length = (&mut input)
            .take(LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        if length as u64 > LINE_BYTES_MAX {
            return Err(ReadError::LongLine { line });
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if events.len() == EVENTS_MAX {
            return Err(ReadError::TooLong);
        }
        let event =
            serde_json::from_slice(&text).map_err(|source| ReadError::Line { line, source })?;
        events.push(event);
    }
    Ok(events)
}
