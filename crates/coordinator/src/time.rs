//! The time of a call, on both clocks.

use types::{Instant, Timestamp};

/// What both clocks showed when a request was taken up or a timer ran.
///
/// Sessions, rebalances and open transactions are measured on the monotonic clock, so setting the wall clock expires nobody
/// and has nobody wait. Offsets outlive the process, so their age is measured on the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock; never goes back.
    pub instant: Instant,
    /// The wall clock; may jump.
    pub wall: Timestamp,
}
