//! Fetches: sessions that remember what a consumer reads, and waiting until there is something to read.

mod session;
mod sessions;
mod wait;

use std::sync::Arc;

pub(crate) use self::session::{Answer, PartitionState, SessionTopic};
pub(crate) use self::sessions::{FetchScope, SessionError, Sessions};
pub(crate) use self::wait::Waiter;
use crate::topics::Topics;

/// What a fetch needs beside its request.
#[derive(Debug)]
pub(crate) struct Fetches {
    pub(crate) topics: Arc<Topics>,
    pub(crate) sessions: Sessions,
}

impl Fetches {
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        let slots = topics
            .config
            .settings
            .max_incremental_fetch_session_cache_slots;
        Self {
            topics,
            sessions: Sessions::new(usize::try_from(slots).unwrap_or(0)),
        }
    }
}
