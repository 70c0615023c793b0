//! When the disk fails, and how long it takes.

use std::io;
use std::time::Duration;

use crate::random::Random;

/// EIO.
const BROKEN: i32 = 5;
/// ENOSPC.
const FULL: i32 = 28;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Length,
    Sync,
    Names,
    SyncNames,
}

/// How the disk fails now: so many calls of a thousand, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) open: u64,
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) sync: u64,
    pub(crate) names: u64,
    /// No room: what needs some fails.
    pub(crate) is_full: bool,
    /// The longest that a call takes.
    pub(crate) latency: Duration,
}

impl Faults {
    /// Whether a call fails, and with what.
    pub(crate) fn draw(&self, call: Call, random: &mut Random) -> Option<io::Error> {
        let needs_room = matches!(call, Call::Write | Call::Length);
        if self.is_full && needs_room && random.chance(900) {
            return Some(io::Error::from_raw_os_error(FULL));
        }
        let rate = match call {
            Call::Open => self.open,
            Call::Read => self.read,
            Call::Write | Call::Length => self.write,
            Call::Sync | Call::SyncNames => self.sync,
            Call::Names => self.names,
        };
        (rate > 0 && random.chance(rate)).then(|| io::Error::from_raw_os_error(BROKEN))
    }
}
