//! Writing again what may never have reached the disk.
//!
//! After a failed sync the page cache still has the bytes and calls them clean: a later sync, even of another process,
//! succeeds without writing them. So what a process finds on disk and cannot know to be durable is written once more
//! before it is synced. Invariant: what is written is what was read, so a crash in between changes nothing.

use std::io::{self, IoSlice};

use env::disk::DiskFile;

/// How much is copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// Writes the bytes `from..to` of a file over themselves.
pub(crate) fn rewrite(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        let count = file.read_at(buffer.get_mut(..want).unwrap_or_default(), at)?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        file.write_at(&[IoSlice::new(bytes)], at)?;
        at += count as u64;
    }
    Ok(())
}
