//! What a check can find, and what each finding means: one table.
//!
//! Invariant: everything that differs from what the broker writes has a kind here, and each kind says what it means for
//! readers and for the next start, and what a person can do. [`Severity::Note`] is for what crashes and the broker itself
//! leave behind in the course of things.

use std::path::PathBuf;

use types::Offset;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The file or folder, below the data directory.
    pub path: PathBuf,
    /// Where in the file, in bytes: from, and up to where.
    pub bytes: Option<(u64, u64)>,
    /// Which offsets are concerned: the first, and the one behind the last if that is known.
    pub offsets: Option<(Offset, Option<Offset>)>,
    /// What exactly was seen there.
    pub detail: String,
}

/// Whether a finding is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something is not as it was written, or is lost.
    Damage,
    /// Nothing is wrong, but it is worth knowing.
    Note,
}

/// What a repair does about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The log is cut there; what is cut off is kept.
    Cut,
    /// The file is moved away; the broker makes it anew.
    SetAside,
    /// Nothing: the broker copes with it by itself.
    Broker,
    /// Nothing: it cannot be repaired safely.
    Unsafe,
}

/// What is known of a kind.
struct Meaning {
    name: &'static str,
    severity: Severity,
    remedy: Remedy,
    meaning: &'static str,
    advice: &'static str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $name:literal, $severity:ident, $remedy:ident, $meaning:literal, $advice:literal;)*) => {
        /// The kinds of findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FindingKind {
            $($(#[$doc])* $kind,)*
        }

        impl FindingKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            const fn facts(self) -> Meaning {
                match self {
                    $(Self::$kind => Meaning {
                        name: $name,
                        severity: Severity::$severity,
                        remedy: Remedy::$remedy,
                        meaning: $meaning,
                        advice: $advice,
                    },)*
                }
            }
        }
    };
}

kinds! {
    /// A batch of a closed segment is not whole.
    DamagedBatch, "damaged-batch", Damage, Unsafe,
        "readers of these offsets get CORRUPT_MESSAGE; all other records are served",
        "restore the segment from a backup, or let consumers go on behind it (`watertable group reset-offsets`), or give up all before it (`watertable topic delete-records`)";
    /// A whole batch of a closed segment has a base offset that does not follow.
    MisplacedBatch, "misplaced-batch", Damage, Unsafe,
        "its base offset is wrong, which no checksum covers; the batch is not served, all others are",
        "restore the segment from a backup, or let consumers go on behind it";
    /// Offsets are missing between batches or segments.
    MissingOffsets, "missing-offsets", Damage, Unsafe,
        "these records are gone: readers of them get CORRUPT_MESSAGE, or OFFSET_OUT_OF_RANGE where nothing is left before them; the next start says so",
        "restore the files from a backup if there is one; nothing that is here can bring them back";
    /// A damaged batch in the part of the last segment that counts.
    DamagedTail, "damaged-tail", Damage, Cut,
        "readers of these offsets get CORRUPT_MESSAGE; the broker starts, serves what follows and appends behind it",
        "restore the segment from a backup, or leave it and let consumers go on behind it; --repair cuts the log here, with all that follows";
    /// Behind the last checkpoint, with whole batches behind it.
    DamagedEnd, "damaged-end", Damage, Cut,
        "the next start cuts the log here: no checkpoint vouches for what follows, and offsets must be dense. What is cut off is kept in a .cut file",
        "copy the data directory before the next start; restore from a backup if the records that follow matter";
    /// Behind the last checkpoint, with nothing whole behind it.
    TornEnd, "torn-end", Damage, Cut,
        "a write that did not come to its end, as a crash leaves it; the next start cuts it off and keeps it in a .cut file",
        "nothing need be done; an acknowledged record can be in it only if the disk lost what it had said was durable";
    /// As [`FindingKind::DamagedEnd`], in a segment that others follow.
    CutAhead, "cut-ahead", Damage, Unsafe,
        "the next start cuts the log here and sets the segments that follow aside; all of it is kept as .cut files",
        "copy the data directory before the next start; restore from a backup if the records that follow matter";
    /// A segment behind a place where the next start cuts.
    BehindCut, "behind-cut", Damage, Unsafe,
        "the log is cut before this segment at the next start, which sets the segment aside as .log.cut",
        "copy the data directory before the next start; restore from a backup if its records matter";
    /// A segment begins below the end of the one before.
    OverlappingSegment, "overlapping-segment", Damage, Unsafe,
        "its offsets are those of the segment before it; a recovery sets it aside as .log.cut, a reader never gets to it",
        "move it out of the folder if it was put there by hand; otherwise keep it and look into where it comes from";
    /// The last segment ends before the checkpoint says.
    ShortLog, "short-log", Damage, Unsafe,
        "records that were durable when the checkpoint was written are gone; the broker goes on in a new segment or re-uses their offsets in a new leader epoch",
        "restore the segment from a backup before the next start";
    /// A folder that a checkpoint knows is not there.
    LostFolder, "lost-folder", Damage, Unsafe,
        "a partition that had records has no folder; the broker starts it empty",
        "restore the folder from a backup before the next start, unless the topic was deleted";
    /// The disk does not read it.
    Unreadable, "unreadable", Damage, Unsafe,
        "the disk or the file system failed to read it",
        "look into the kernel's log; copy what can be read to another disk and check there";
    /// An index points to a wrong place.
    WrongIndex, "wrong-index", Damage, SetAside,
        "lookups that go by it fail or take long; the records themselves are whole",
        "--repair sets it aside; the broker builds it again from the log";
    /// An index whose entries do not rise.
    DamagedIndex, "damaged-index", Note, SetAside,
        "the broker does not use it and builds it again when it is needed",
        "nothing need be done";
    /// A producer snapshot is damaged.
    DamagedSnapshot, "damaged-snapshot", Damage, SetAside,
        "it is used only when there is no checkpoint: producers whose batches retention removed would then be unknown",
        "nothing need be done; --repair sets it aside";
    /// The checkpoint is damaged.
    DamagedCheckpoint, "damaged-checkpoint", Damage, SetAside,
        "the next start ignores it and reads all logs by their headers, and the last segment of each in full",
        "nothing need be done, the start takes longer; --repair sets it aside";
    /// `cleaner-offset` is damaged.
    DamagedCleanerState, "damaged-cleaner-state", Damage, SetAside,
        "how far the log was cleaned is not known; it is cleaned from its beginning again",
        "nothing need be done; --repair sets it aside";
    /// `log-start-offset` is damaged.
    DamagedLogStart, "damaged-log-start", Damage, SetAside,
        "records that were deleted by request may be readable again, if the checkpoint does not know better",
        "delete the records again (`watertable topic delete-records`); --repair sets it aside";
    /// `watertable.format` is damaged or missing.
    DamagedFormat, "damaged-format", Damage, Unsafe,
        "a broker refuses a damaged format file; a missing one counts as that of a new directory",
        "write one line into it: format 1";
    /// `boot-count` is damaged or missing.
    DamagedBootCount, "damaged-boot-count", Damage, Unsafe,
        "a broker refuses to start: leader epochs would go back",
        "restore it, or write two lines into it: 0, and a number that is not below the number of starts so far";
    /// `boot-count` is below what the checkpoint says.
    BootCountBehind, "boot-count-behind", Damage, Unsafe,
        "a broker refuses to start: leader epochs would go back, and a clean stop long ago could be taken for the last one",
        "restore it, or write two lines into it: 0, and a number that is not below that of the start that wrote the checkpoint";
    /// The metadata store is damaged or missing.
    DamagedMetadata, "damaged-metadata", Damage, Unsafe,
        "a broker refuses to start: it would take every log for that of a deleted topic",
        "restore metadata.redb from a backup; the logs are not affected";
    /// A partition's folder does not name its topic.
    NamelessFolder, "nameless-folder", Damage, Unsafe,
        "nobody can tell which topic it belongs to; the next start moves it to stray/, where it is kept",
        "write its partition.metadata by hand: version: 0, line feed, topic_id: and the id of the topic";
    /// A partition's folder names another topic than the metadata and the checkpoint do.
    MisnamedFolder, "misnamed-folder", Damage, Unsafe,
        "its partition.metadata is damaged: a start after a clean stop does not read it; any other takes the partition offline and keeps the folder",
        "write its partition.metadata by hand: version: 0, line feed, topic_id: and the id of the topic";
    /// A folder belongs to no topic of the metadata.
    UnclaimedFolder, "unclaimed-folder", Note, Broker,
        "no topic of the metadata has this id: the topic was deleted. The next start moves the folder to stray/, or removes it if a new topic has the name",
        "copy it before the next start if the metadata is older than the logs";
    /// The last broker did not stop in order, or a log was cut since.
    UncleanStop, "unclean-stop", Note, Broker,
        "the last broker was killed or crashed, or a repair has cut a log since: the next start reads what lies behind the checkpoint",
        "nothing need be done";
    /// A cleaning did not come to its end.
    UnfinishedCleaning, "unfinished-cleaning", Note, Broker,
        "a cleaning did not come to its end; the next start finishes it or removes what it left",
        "nothing need be done";
    /// What an earlier recovery cut off.
    EarlierCut, "earlier-cut", Note, Broker,
        "an earlier start took these bytes out of the log and kept them",
        "look at them with kafka-dump-log if records are missing; remove the file by hand when it is of no use any more";
    /// Bytes behind the end of a log that was closed in order.
    BytesBehindEnd, "bytes-behind-end", Note, Broker,
        "the bytes behind the end never became part of the log; they are kept in a .cut file before the next append",
        "nothing need be done";
    /// A file that the broker does not know.
    UnknownFile, "unknown-file", Note, Broker,
        "the broker did not write it and leaves it alone",
        "remove it if you know what it is";
}

impl FindingKind {
    /// A short name that does not change.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether it is damage.
    pub const fn severity(self) -> Severity {
        self.facts().severity
    }

    /// What a repair does about it.
    pub const fn remedy(self) -> Remedy {
        self.facts().remedy
    }

    /// What it means for readers and the next start.
    pub const fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    /// What a person can do.
    pub const fn advice(self) -> &'static str {
        self.facts().advice
    }
}
