//! Finds the next whole batch behind a damaged place.
//!
//! Invariant: what is found is whole, its checksum matches and its offsets are possible there; the bytes that are looked at
//! are bounded by a small multiple of what lies behind the place, whatever they hold.

use std::io;

use crate::batch_header::{BatchHeader, HEADER_BYTES};
use crate::scan::{Check, Scanner, Step};

/// Checksums of bytes that only look like a batch may cost as many bytes as there are, so many times.
const SEARCH_SHARE: u64 = 4;
/// Where the magic lies in a batch; what has another there is none.
const MAGIC_FIELD: usize = 16;
const MAGIC: u8 = 2;

/// The first whole batch behind `position` that `fits`. The walk stands behind it then; otherwise anywhere.
pub(super) fn next_whole(
    walk: &mut Scanner<'_>,
    position: u32,
    end: u32,
    fits: impl Fn(&BatchHeader) -> bool,
) -> io::Result<Option<(u32, BatchHeader)>> {
    // A batch whose length is right tells where the next one begins, and no bytes within it are taken for one.
    if let Ok(header) = BatchHeader::parse(walk.window(position, HEADER_BYTES)?)
        && header.size < end.saturating_sub(position)
        && let Some(found) = whole_at(walk, position + header.size, &fits)?
    {
        return Ok(Some(found));
    }
    let mut budget = u64::from(end.saturating_sub(position)) * SEARCH_SHARE;
    let mut at = position.saturating_add(1);
    while at < end && end - at >= HEADER_BYTES as u32 {
        let window = walk.window(at, HEADER_BYTES)?;
        let Some(skip) = candidate(window) else {
            // The last bytes of the window may be the beginning of a header.
            let whole = window.len().saturating_sub(HEADER_BYTES - 1).max(1);
            at = at.saturating_add(u32::try_from(whole).unwrap_or(u32::MAX));
            continue;
        };
        at += skip;
        let window = walk.window(at, HEADER_BYTES)?;
        if let Ok(header) = BatchHeader::parse(window)
            && header.size <= end - at
            && fits(&header)
        {
            let Some(rest) = budget.checked_sub(u64::from(header.size)) else {
                return Ok(None);
            };
            budget = rest;
            if let Some(found) = whole_at(walk, at, &fits)? {
                return Ok(Some(found));
            }
        }
        at += 1;
    }
    Ok(None)
}

/// How far into the window the first place lies that could be a batch.
fn candidate(window: &[u8]) -> Option<u32> {
    let last = window.len().checked_sub(HEADER_BYTES)?;
    let magics = window.get(MAGIC_FIELD..=last + MAGIC_FIELD)?;
    let skip = magics.iter().position(|byte| *byte == MAGIC)?;
    u32::try_from(skip).ok()
}

fn whole_at(
    walk: &mut Scanner<'_>,
    position: u32,
    fits: impl Fn(&BatchHeader) -> bool,
) -> io::Result<Option<(u32, BatchHeader)>> {
    walk.seek(position);
    Ok(match walk.step(Check::Checksums)? {
        Step::Batch { position, header } if fits(&header) => Some((position, header)),
        _ => None,
    })
}
