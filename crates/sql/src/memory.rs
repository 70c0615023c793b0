//! [`Memory`]: what a stream holds, counted against the bound of all queries before it is allocated.

use datafusion::execution::memory_pool::MemoryReservation;

use crate::errors::ScanCause;

/// Rows are reserved in steps of this.
const RESERVE_STEP: usize = 256 << 10;

/// What a stream holds in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    reservation: MemoryReservation,
    chunk: usize,
    payload: usize,
    rows: usize,
}

impl Memory {
    pub(crate) fn new(reservation: MemoryReservation) -> Self {
        Self {
            reservation,
            chunk: 0,
            payload: 0,
            rows: 0,
        }
    }

    fn reserve(&mut self) -> Result<(), ScanCause> {
        let total = self.chunk + self.payload + self.rows;
        let reserved = self.reservation.try_resize(total);
        reserved.map_err(|cause| ScanCause::Memory(Box::new(cause)))
    }

    /// For a part of the log.
    pub(crate) fn reserve_chunk(&mut self, bytes: usize) -> Result<(), ScanCause> {
        self.chunk = bytes;
        self.reserve()
    }

    /// For the records of a batch, decompressed.
    pub(crate) fn reserve_payload(&mut self, bytes: usize) -> Result<(), ScanCause> {
        self.payload = bytes;
        self.reserve()
    }

    /// For rows that are not given out yet.
    pub(crate) fn reserve_rows(&mut self, bytes: usize) -> Result<(), ScanCause> {
        if bytes > self.rows {
            self.rows = bytes.next_multiple_of(RESERVE_STEP);
            self.reserve()?;
        }
        Ok(())
    }

    /// They were given out: who has them counts them.
    pub(crate) fn release_rows(&mut self) {
        self.rows = 0;
        self.reservation.resize(self.chunk + self.payload);
    }
}
