//! [`choose`]: what to read next, of the files that are there and how far each was read.
//!
//! Invariants: it is a function of its arguments. A file that is not any more what its position tells of is never read; what keeps one
//! file from being read keeps no other.

use std::collections::{HashMap, HashSet};

use super::error::{FilesError, Trouble};
use super::found::{Found, Position, identity, same_content};

/// The first pause before a file that could not be read is tried again, and the longest.
const PAUSE_MS: i64 = 1_000;
const PAUSE_MS_MAX: i64 = 300_000;

/// What to do next.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// The file to read, and from where: one that was half read first, then the oldest.
    pub next: Option<(&'a Found, Position)>,
    /// Files that were read to their end and are still there and the same, for [`finish`](super::Source::finish).
    pub done: Vec<&'a Found>,
    /// Files to read behind the next, in this order. With many files it is well to read some of them before files are listed again.
    pub behind: Vec<&'a Found>,
    /// Files with something in them that are not read yet: they have not been the same for `settle`.
    pub waiting: Vec<&'a Found>,
    /// What keeps files from being read.
    pub problems: Vec<Problem>,
}

/// What keeps a file from being read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It was read, and is another one now.
    #[error("{path:?} was read{} and has changed since; nothing more of it is read: put back what was there, with its time, and give new data a new name", reached(*row))]
    Rewritten {
        /// The file.
        path: String,
        /// The next row, if it was not read to its end.
        row: Option<u64>,
    },
    /// It was half read, and is not there.
    #[error(
        "{path:?} was read up to row {row} and is not there any more; put it back as it was, with its time"
    )]
    Vanished {
        /// The file.
        path: String,
        /// The next row.
        row: u64,
    },
    /// It was half read, and has another name.
    #[error("{path:?} was read up to row {row} and is named {now:?} now; give it its name back")]
    Renamed {
        /// As it was named.
        path: String,
        /// As it is named.
        now: String,
        /// The next row.
        row: u64,
    },
    /// It was read under another name.
    #[error(
        "{path:?} is the file that was read as {read_as:?}, and is not read again; to have it read again, copy it to a new name"
    )]
    Known {
        /// The file.
        path: String,
        /// Its name when it was read.
        read_as: String,
    },
    /// It changes in the future.
    #[error(
        "{path:?} changes in the future: is a clock wrong? It is read when it has been the same for as long as settle: says"
    )]
    Ahead {
        /// The file.
        path: String,
    },
    /// It was there when a run began that ends, and is still not settled.
    #[error(
        "{path:?} is still being written; the next run reads it. Rename files when they are whole, or raise settle:"
    )]
    Unsettled {
        /// The file.
        path: String,
    },
    /// It could not be read.
    #[error("{message}")]
    Failed {
        /// The file.
        path: String,
        /// Why not, with what to do.
        message: String,
        /// When it is tried again, in milliseconds since 1970; `None`: when the file has changed.
        again_ms: Option<i64>,
    },
}

fn reached(row: Option<u64>) -> String {
    row.map(|row| format!(" up to row {row}"))
        .unwrap_or_default()
}

impl Problem {
    /// The file.
    pub fn path(&self) -> &str {
        match self {
            Self::Rewritten { path, .. }
            | Self::Vanished { path, .. }
            | Self::Renamed { path, .. }
            | Self::Known { path, .. }
            | Self::Ahead { path }
            | Self::Unsettled { path }
            | Self::Failed { path, .. } => path,
        }
    }
}

/// Files that could not be read, so that others are read until they can. It lives as long as the process: one that starts tries all of
/// them again.
#[derive(Clone, Debug, Default)]
pub struct SetAside {
    files: HashMap<String, Failure>,
}

#[derive(Clone, Debug)]
struct Failure {
    etag: String,
    message: String,
    attempts: u32,
    again_ms: Option<i64>,
}

impl SetAside {
    /// A file could not be read. It is tried again after a pause that grows, or when it has changed if somebody has to see to it.
    pub fn put(&mut self, found: &Found, error: &FilesError, now_ms: i64) {
        let attempts = match self.files.get(&found.path) {
            Some(failure) if failure.etag == found.etag => failure.attempts.saturating_add(1),
            _ => 1,
        };
        let pause = PAUSE_MS << (attempts - 1).min(20);
        let again_ms = match error.trouble() {
            Trouble::Later => Some(now_ms.saturating_add(pause.min(PAUSE_MS_MAX))),
            Trouble::Act => None,
        };
        let failure = Failure {
            etag: found.etag.clone(),
            message: error.to_string(),
            attempts,
            again_ms,
        };
        self.files.insert(found.path.clone(), failure);
    }

    /// A file could be read.
    pub fn clear(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Whether a file could not be read, and is not tried again before somebody has seen to it.
    pub fn is_for_somebody(&self, path: &str) -> bool {
        let failure = self.files.get(path);
        failure.is_some_and(|failure| failure.again_ms.is_none())
    }

    /// When the first of them is tried again, in milliseconds since 1970.
    pub fn again_ms(&self) -> Option<i64> {
        self.files
            .values()
            .filter_map(|failure| failure.again_ms)
            .min()
    }

    /// Why a file is not to be read now.
    fn keeps(&self, found: &Found, now_ms: i64) -> Option<Problem> {
        let failure = self.files.get(&found.path)?;
        let is_over = failure.again_ms.is_some_and(|again| again <= now_ms);
        if is_over || failure.etag != found.etag {
            return None;
        }
        Some(Problem::Failed {
            path: found.path.clone(),
            message: failure.message.clone(),
            again_ms: failure.again_ms,
        })
    }
}

/// What to read next: `found` as [`list`](super::Source::list) orders it, `positions` by path.
pub fn choose<'a>(
    found: &'a [Found],
    positions: &HashMap<String, Position>,
    aside: &SetAside,
    now_ms: i64,
) -> Choice<'a> {
    let mut choice = Choice::default();
    let by_path: HashMap<&str, &Found> = found
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    let by_identity: HashMap<&str, &Position> = positions
        .values()
        .filter_map(|position| Some((identity(&position.etag)?, position)))
        .collect();
    // New names of files that were half read.
    let mut renamed = HashSet::new();
    let mut gone: Vec<_> = positions
        .values()
        .filter(|position| !position.done && !by_path.contains_key(position.path.as_str()))
        .collect();
    gone.sort_by(|one, other| one.path.cmp(&other.path));
    for position in gone {
        let path = position.path.clone();
        let row = position.next_row;
        let is_it = |file: &&Found| {
            identity(&position.etag) == Some(file.etag.as_str())
                && !positions.contains_key(&file.path)
        };
        choice.problems.push(match found.iter().find(is_it) {
            Some(now) => {
                renamed.insert(now.path.as_str());
                let now = now.path.clone();
                Problem::Renamed { path, now, row }
            }
            None => Problem::Vanished { path, row },
        });
    }
    let mut half_read = Vec::new();
    // Of names of one file that are all new, only the first is read.
    let mut new = HashMap::new();
    for file in found {
        if renamed.contains(file.path.as_str()) {
            continue;
        }
        let position = positions.get(&file.path);
        let is_new = |position: &&Position| !position.is_of(file) && position.makes_room_for(file);
        let position = position.filter(|position| !is_new(position));
        match judge(file, position, &by_identity) {
            Verdict::Done => choice.done.push(file),
            Verdict::Nothing => {}
            Verdict::Wait => {
                let path = || file.path.clone();
                let ahead = file.is_ahead.then(|| Problem::Ahead { path: path() });
                choice.problems.extend(ahead);
                choice.waiting.push(file);
            }
            Verdict::Trouble(problem) => choice.problems.push(problem),
            Verdict::Read if position.is_none() && !is_first(&mut new, file) => {
                let first: Option<&&str> = identity(&file.etag).and_then(|it| new.get(it));
                choice.problems.extend(first.map(|first| Problem::Known {
                    path: file.path.clone(),
                    read_as: (*first).to_owned(),
                }));
            }
            Verdict::Read => match (aside.keeps(file, now_ms), position) {
                (Some(problem), _) => choice.problems.push(problem),
                (None, Some(_)) => half_read.push(file),
                (None, None) => choice.behind.push(file),
            },
        }
    }
    half_read.append(&mut choice.behind);
    let mut queue = half_read.into_iter();
    let next = queue.next();
    choice.next = next.map(|file| (file, Position::of(file, positions)));
    choice.behind = queue.collect();
    choice
}

/// Whether no file before was the same under another name.
fn is_first<'a>(new: &mut HashMap<&'a str, &'a str>, file: &'a Found) -> bool {
    let path = file.path.as_str();
    identity(&file.etag).is_none_or(|it| *new.entry(it).or_insert(path) == path)
}

enum Verdict {
    Read,
    /// It has nothing in it.
    Nothing,
    Done,
    Wait,
    Trouble(Problem),
}

fn judge(
    file: &Found,
    position: Option<&Position>,
    by_identity: &HashMap<&str, &Position>,
) -> Verdict {
    let path = || file.path.clone();
    match position {
        Some(position) if !position.is_of(file) => Verdict::Trouble(Problem::Rewritten {
            path: path(),
            row: (!position.done).then_some(position.next_row),
        }),
        Some(position) if position.done => Verdict::Done,
        Some(_) => Verdict::Read,
        None => match identity(&file.etag).and_then(|identity| by_identity.get(identity)) {
            Some(known) if same_content(&known.etag, &file.etag) => {
                let read_as = known.path.clone();
                Verdict::Trouble(Problem::Known {
                    path: path(),
                    read_as,
                })
            }
            _ if file.size == 0 => Verdict::Nothing,
            _ if !file.settled => Verdict::Wait,
            _ => Verdict::Read,
        },
    }
}
