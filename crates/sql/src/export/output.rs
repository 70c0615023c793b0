//! Where an encoder writes to: a file, or parts that an upload takes away.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What goes to the system at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// A part of an object. Stores take 10,000 of them, so the 64 GiB of an export are few enough; all but the last have to be of
/// 5 MiB at least, and for some stores of the same size.
pub(super) const PART_BYTES: usize = 8 << 20;

/// Where the bytes of an export go.
pub(crate) type Output = BufWriter<Counted>;

/// An output that counts what was written to it.
#[derive(Debug)]
pub(crate) struct Counted {
    sink: Sink,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Sink {
    File(File),
    Parts(Parts),
}

impl Counted {
    pub(super) fn file(file: File, bytes: Arc<AtomicU64>) -> Output {
        Self::buffered(Sink::File(file), bytes)
    }

    pub(super) fn parts(parts: Parts, bytes: Arc<AtomicU64>) -> Output {
        Self::buffered(Sink::Parts(parts), bytes)
    }

    fn buffered(sink: Sink, bytes: Arc<AtomicU64>) -> Output {
        BufWriter::with_capacity(BUFFER_BYTES, Self { sink, bytes })
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.sink {
            Sink::File(file) => file.write(bytes)?,
            Sink::Parts(parts) => {
                parts.append(bytes);
                bytes.len()
            }
        };
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file) => file.flush(),
            Sink::Parts(_) => Ok(()),
        }
    }
}

/// Hands on what is still buffered, and syncs it if it is in a file.
pub(super) fn close(output: Output) -> io::Result<()> {
    let counted = output
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    match counted.sink {
        Sink::File(file) => file.sync_all(),
        Sink::Parts(_) => Ok(()),
    }
}

/// Bytes in the order they were written, cut into parts. Invariant: all parts but the last are whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Parts {
    fn append(&self, mut bytes: &[u8]) {
        let mut parts = self.0.lock();
        while !bytes.is_empty() {
            let room = match parts.back() {
                Some(last) if last.len() < PART_BYTES => PART_BYTES - last.len(),
                _ => {
                    parts.push_back(Vec::new());
                    PART_BYTES
                }
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = parts.back_mut() {
                let length = last.len() + now.len();
                if length > last.capacity() {
                    // Never more than a part: what it holds is what the pool is told.
                    let capacity = length.next_power_of_two().min(PART_BYTES);
                    last.reserve_exact(capacity - last.len());
                }
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// The first part, if it is whole.
    pub(super) fn take_whole(&self) -> Option<Vec<u8>> {
        self.0.lock().pop_front_if(|part| part.len() == PART_BYTES)
    }

    /// The part that is not whole; it is empty if all of them are.
    pub(super) fn take_last(&self) -> Vec<u8> {
        self.0.lock().pop_back().unwrap_or_default()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.lock().iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_but_for_the_last_and_have_all_bytes_in_order() {
        let parts = Parts::default();
        let bytes: Vec<u8> = (0..2 * PART_BYTES + 3)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let mut output = Counted::parts(parts.clone(), Arc::default());
        for piece in bytes.chunks(300_001) {
            output.write_all(piece).unwrap();
        }
        close(output).unwrap();
        let mut found = Vec::new();
        while let Some(part) = parts.take_whole() {
            found.push(part);
        }
        assert_eq!(found.len(), 2);
        found.push(parts.take_last());
        assert_eq!(found.concat(), bytes);
        assert_eq!(parts.held_bytes(), 0);
        assert_eq!(parts.take_last(), Vec::<u8>::new());
    }
}
