//! Inflating the records of batches, so that bombs do not add up.
//!
//! A batch of a megabyte may inflate to many thousand times its size, and nobody knows before. So there is a limit on what
//! one inflates to, and what inflates far does so alone: the threads of all connections, and that of the cleaner, wait for
//! each other. Batches of honest producers, who count records before compression, hardly ever come so far.
//!
//! Invariant: beside what is at most [`SMALL_BYTES`] for each thread, one batch at a time is inflated, in the whole process.

use std::borrow::Cow;
use std::ops::Deref;

use parking_lot::{Mutex, MutexGuard};
use protocol::records::{BatchView, CompressionError};

/// No batch is inflated beyond this, unless it is itself not much smaller.
pub(crate) const INFLATED_BYTES_MAX: usize = 64 << 20;
/// No batch at all.
const LARGE_BYTES_MAX: usize = 256 << 20;
/// What a stored batch may inflate to in any case, as many times its own size.
const HONEST_RATIO: usize = 8;
/// What each thread may inflate beside others.
const SMALL_BYTES: usize = 8 << 20;

/// Held by who has inflated a large batch, until it is done with the records.
static LARGE: Mutex<()> = Mutex::new(());

/// Records of a batch that are not compressed, or no longer.
pub(crate) struct Inflated<'a> {
    payload: Cow<'a, [u8]>,
    large: Option<MutexGuard<'static, ()>>,
}

impl Inflated<'_> {
    fn is_large(&self) -> bool {
        self.large.is_some()
    }
}

impl Deref for Inflated<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

impl std::fmt::Debug for Inflated<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("Inflated");
        fields.field("bytes", &self.payload.len());
        fields.field("is_large", &self.is_large());
        fields.finish()
    }
}

/// The records of a batch, at most `limit` bytes if they are compressed. Waits while another thread has records that
/// inflated far, if these do so too; so nobody may hold two.
pub(crate) fn inflate<'a>(
    view: &BatchView<'a>,
    limit: usize,
) -> Result<Inflated<'a>, CompressionError> {
    match view.payload(limit.min(SMALL_BYTES)) {
        Err(CompressionError::OutputTooLarge { .. }) if limit > SMALL_BYTES => {
            let large = Some(LARGE.lock());
            let payload = view.payload(limit)?;
            Ok(Inflated { payload, large })
        }
        payload => Ok(Inflated {
            payload: payload?,
            large: None,
        }),
    }
}

/// The records of a batch that is in a log.
pub(crate) fn inflate_stored<'a>(view: &BatchView<'a>) -> Result<Inflated<'a>, CompressionError> {
    let ratio = view.bytes().len().saturating_mul(HONEST_RATIO);
    inflate(view, ratio.clamp(INFLATED_BYTES_MAX, LARGE_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use protocol::records::{BatchBuilder, BatchOptions, Compression};

    use super::*;

    fn bomb(bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: Compression::Zstd,
            ..BatchOptions::default()
        });
        builder.push(0, None, Some(&vec![0; bytes]), &[]).unwrap();
        let batch = builder.build().unwrap().to_vec();
        assert!(batch.len() < bytes / 1000, "{}", batch.len());
        batch
    }

    #[test]
    fn batches_that_inflate_far_do_so_one_at_a_time() {
        let large = Arc::new(bomb(2 * SMALL_BYTES));
        let inflated = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (large, inflated) = (Arc::clone(&large), Arc::clone(&inflated));
                std::thread::Builder::new()
                    .spawn(move || {
                        let view = BatchView::parse(&large).unwrap();
                        let payload = inflate(&view, INFLATED_BYTES_MAX).unwrap();
                        let others = inflated.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(others, 0, "another one is there");
                        assert!(payload.len() > 2 * SMALL_BYTES && payload.is_large());
                        assert!(LARGE.is_locked());
                        inflated.fetch_sub(1, Ordering::SeqCst);
                    })
                    .unwrap()
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn small_batches_wait_for_nobody() {
        let (large, small) = (bomb(2 * SMALL_BYTES), bomb(SMALL_BYTES / 2));
        let view = BatchView::parse(&large).unwrap();
        let held = inflate(&view, INFLATED_BYTES_MAX).unwrap();
        let view = BatchView::parse(&small).unwrap();
        let payload = inflate(&view, INFLATED_BYTES_MAX).unwrap();
        assert!(payload.len() > SMALL_BYTES / 2 && !payload.is_large());
        assert!(held.is_large());
    }

    #[test]
    fn nothing_inflates_beyond_its_limit() {
        let large = bomb(INFLATED_BYTES_MAX);
        let view = BatchView::parse(&large).unwrap();
        for limit in [SMALL_BYTES / 2, 2 * SMALL_BYTES, INFLATED_BYTES_MAX] {
            let outcome = inflate(&view, limit);
            assert!(
                matches!(outcome, Err(CompressionError::OutputTooLarge { limit: told, .. }) if told == limit),
                "{outcome:?}"
            );
        }
        assert!(inflate_stored(&view).is_err());
    }
}
