//! Logs and data directories as their users see them, on a disk that can fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod basics;
mod check;
mod commits;
mod compaction;
mod compaction_crashes;
mod compaction_lacks;
mod compaction_model;
mod compaction_rare;
mod crash_disk;
mod damage;
mod directories;
mod faults;
mod losses;
mod missing;
mod missing_model;
mod model;
mod newer_versions;
mod producer_model;
mod producers;
mod recovery;
mod retention;
mod support;
mod timestamps;
mod validation;
