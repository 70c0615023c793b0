//! [`KeyMapper`]: puts the keys of the uncleaned part of a log into the map.
//!
//! Invariant: of a batch all keys are in the map or those from some record on are not, and then the map's end says so; a
//! batch whose records cannot be read hides no others. Source: Kafka's `Cleaner.buildOffsetMapForSegment`.

use protocol::records::{BatchView, PayloadError};
use types::Offset;

use super::errors::Corruption;
use super::filter::marker_kind;
use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;
use crate::batch_header::BatchHeader;
use crate::inflate::inflate_stored;

/// A walk over the uncleaned part.
#[derive(Debug)]
pub(crate) struct KeyMapper<'a> {
    /// Where it begins.
    pub(crate) start: Offset,
    pub(crate) map: &'a mut OffsetMap,
    pub(crate) transactions: &'a mut CleanedTransactions,
}

impl KeyMapper<'_> {
    /// Adds the keys of a batch, which are passed in the order of the log. False if they do not fit.
    pub(crate) fn add(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<bool, Corruption> {
        let fits = self.add_records(header, bytes)?;
        if fits && header.last() >= self.start {
            self.map.reach(header.last());
        }
        Ok(fits)
    }

    fn add_records(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<bool, Corruption> {
        let view = BatchView::parse(bytes)?;
        let producer = header.producer_id;
        if !header.is_control() {
            let transactional = header.is_transactional();
            let aborted = self
                .transactions
                .pass_batch(producer, transactional, header.last());
            // The records of an aborted transaction go: they hide no others.
            if aborted || header.last() < self.start {
                return Ok(true);
            }
        }
        let payload = inflate_stored(&view).map_err(PayloadError::from);
        if header.is_control() {
            let kind = marker_kind(&view, &payload?)?;
            self.transactions.pass_marker(producer, header.last(), kind);
            return Ok(true);
        }
        let Ok(payload) = payload else {
            return Ok(true);
        };
        if view.records(&payload).any(|record| record.is_err()) {
            return Ok(true);
        }
        for record in view.records(&payload).flatten() {
            let offset = Offset::new(view.offset_of(record.offset_delta));
            if let (Some(key), Some(offset)) = (record.key, offset)
                && offset >= self.start
                && !self.map.put(key, offset)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
