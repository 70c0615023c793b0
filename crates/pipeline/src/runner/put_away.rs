//! [`PuttingAway`]: files that were read to their end go, once that is committed.
//!
//! Invariant: what cannot go is tried again, and told until it has gone; a position is forgotten only if its file has certainly gone and
//! has no other name.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connectors::files::{self, FilesError, Finished, Found};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::positions::Source;

/// The first pause before a file is put away again, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Files of an input that are read to their end, put away by whoever commits; cheap to clone, and all clones know the same.
#[derive(Clone, Debug)]
pub(crate) struct PuttingAway {
    input: String,
    source: files::Source,
    /// Whether nothing of a file is left where it was, so that another one may have its name.
    goes: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Those that are gone, to be forgotten.
    gone: HashSet<String>,
    /// Those that could not go.
    stayed: BTreeMap<String, Stayed>,
}

#[derive(Debug)]
struct Stayed {
    found: Found,
    why: String,
    attempts: u32,
    again: Instant,
}

impl PuttingAway {
    pub(crate) fn new(input: &str, source: files::Source, goes: bool) -> Self {
        Self {
            input: input.to_owned(),
            source,
            goes,
            seen: Arc::default(),
        }
    }

    /// Whether files are put away at all.
    pub(crate) fn goes(&self) -> bool {
        self.goes
    }

    /// Puts a file away whose end was committed; returns the source to be forgotten.
    pub(crate) async fn put(&self, found: &Found) -> Option<Source> {
        if !self.goes {
            return None;
        }
        let finished = self.source.finish(found).await;
        let mut seen = self.seen.lock();
        let stayed = seen.stayed.remove(&found.path);
        match finished {
            // Under its other name it is still what was read.
            Ok(Finished::Elsewhere) => None,
            Ok(_gone) => {
                seen.gone.insert(found.path.clone());
                Some(Source::file(&self.input, &found.path))
            }
            // It is another one, which is seen when it is looked for files.
            Err(FilesError::Changed { .. }) => None,
            Err(error) => {
                tracing::warn!(path = found.path, %error, "a file that was read is not put away yet");
                let attempts = stayed.map_or(0, |stayed| stayed.attempts);
                let pause = PAUSE * 2_u32.saturating_pow(attempts.min(16));
                let stayed = Stayed {
                    found: found.clone(),
                    why: error.to_string(),
                    attempts: attempts + 1,
                    again: Instant::now() + pause.min(PAUSE_MAX),
                };
                seen.stayed.insert(found.path.clone(), stayed);
                None
            }
        }
    }

    /// Tries those again whose time has come; returns the sources to be forgotten.
    pub(crate) async fn try_again(&self) -> Vec<Source> {
        let now = Instant::now();
        let due: Vec<Found> = {
            let seen = self.seen.lock();
            let due = seen.stayed.values().filter(|stayed| stayed.again <= now);
            due.map(|stayed| stayed.found.clone()).collect()
        };
        let mut forgotten = Vec::new();
        for found in due {
            forgotten.extend(self.put(&found).await);
        }
        forgotten
    }

    /// Files that have gone since this was asked.
    pub(crate) fn take_gone(&self) -> HashSet<String> {
        std::mem::take(&mut self.seen.lock().gone)
    }

    /// Why files could not go, for people.
    pub(crate) fn problems(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let stayed = seen.stayed.values();
        stayed.map(|stayed| stayed.why.clone()).collect()
    }
}
