//! [`FilesError`]: why files could not be listed, read or put away, one variant for each cause.
//!
//! Invariant: each names the file, and says what to do. [`FilesError::trouble`] tells what comes by itself from what somebody has to see to.

use std::io;

use spec::Compression;

use super::s3::StoreFailure;

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may be over later: trying again is right.
    Later,
    /// It stays until somebody does something.
    Act,
}

/// Why files could not be listed, read or put away.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The path is none that can be looked for.
    #[error("the path {pattern:?} cannot be looked for ({why}); mend path: in the pipeline")]
    Pattern {
        /// The path.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to look into.
    #[error("there is no folder {folder:?}; create it, or mount what it is on")]
    NoFolder {
        /// The folder.
        folder: String,
    },
    /// More files match than are looked at.
    #[error(
        "more than {max} files match {pattern:?}; archive those that were read (after: {{ archive: FOLDER }}), or name fewer"
    )]
    TooMany {
        /// The path.
        pattern: String,
        /// How many may be there.
        max: usize,
    },
    /// A name that is no text.
    #[error("the name of the file {path:?} is not UTF-8, so no position can tell of it; rename it")]
    Name {
        /// The name as far as it can be shown.
        path: String,
    },
    /// A link that leads nowhere.
    #[error(
        "{path:?} is a link to a file that is not there; put the file there, or remove the link"
    )]
    DeadLink {
        /// The link.
        path: String,
    },
    /// Something that has no end, or none of its own.
    #[error(
        "{path:?} is no file but a pipe, a socket or a device, and is not read; write what it gives into a file"
    )]
    NoFile {
        /// Its name.
        path: String,
    },
    /// What was read stays where it is.
    #[error(
        "{path:?} was read to its end and cannot be put away: {source}; give the user that the worker runs as leave to write to its folder. It is tried again, and the file is not read again"
    )]
    NotPutAway {
        /// The file.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The file system refuses.
    #[error(
        "{path:?} cannot be read: {source}; give the user that the worker runs as leave to read it"
    )]
    Denied {
        /// The file or folder.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// The file system fails.
    #[error("{path:?}: {source}; it is tried again")]
    Io {
        /// The file or folder.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// The store refuses or fails.
    #[error("{path:?}: {source}")]
    Store {
        /// The object or bucket.
        path: String,
        /// What it said.
        source: StoreFailure,
    },
    /// The file is another one than when it was listed.
    #[error(
        "{path:?} changed while it was being read, and what was read of it is thrown away; write files under another name and rename them when they are whole, or raise settle:"
    )]
    Changed {
        /// The file.
        path: String,
    },
    /// The file has gone since it was listed.
    #[error("{path:?} vanished while it was being read; it is looked for again")]
    Vanished {
        /// The file.
        path: String,
    },
    /// A position is not within the file.
    #[error(
        "the position of {path:?}, byte {byte}, is not in what the file has; put the file back as it was"
    )]
    Beyond {
        /// The file.
        path: String,
        /// Where reading should go on.
        byte: u64,
    },
    /// What is compressed is not whole.
    #[error(
        "{path:?} is damaged or cut off behind byte {byte} of what is in it (row {row}): {source}; the rows before count: put those from row {row} on into a file of another name, and move this one away"
    )]
    Damaged {
        /// The file.
        path: String,
        /// How it is compressed.
        compression: Compression,
        /// The first row that could not be read.
        row: u64,
        /// Where it begins.
        byte: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// The encoding is another one.
    #[error("{path:?} is UTF-16; write it as UTF-8, under another name")]
    Utf16 {
        /// The file.
        path: String,
    },
    /// The first line is none of names.
    #[error(
        "the header of {path:?} cannot be read: {why}; write the file again with a header, under another name"
    )]
    Header {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: HeaderFault,
    },
    /// The header has a column twice.
    #[error(
        "the header of {path:?} has the column {column:?} twice; give one of the two another name, in a file of another name"
    )]
    DuplicateColumn {
        /// The file.
        path: String,
        /// The name.
        column: String,
    },
    /// The header is of another delimiter.
    #[error(
        "the header of {path:?} is one column with delimiter: {delimiter:?}, and several with {other:?}; write delimiter: {other:?} in the pipeline"
    )]
    OtherDelimiter {
        /// The file.
        path: String,
        /// What the pipeline says.
        delimiter: char,
        /// What is more likely.
        other: char,
    },
    /// A declared column is not in the file.
    #[error(
        "{path:?} has no column {}; it has {}; write on_missing_column: \"null\" to read it as NULL, or mend columns:",
        quoted(columns),
        quoted(found)
    )]
    MissingColumns {
        /// The file.
        path: String,
        /// What is missing.
        columns: Vec<String>,
        /// What is there, the first few.
        found: Vec<String>,
    },
    /// A column that may not be NULL is not in the file.
    #[error(
        "{path:?} has no column {column:?}, which columns: says is not null; leave not null out to read it as NULL"
    )]
    MissingNotNull {
        /// The file.
        path: String,
        /// The column.
        column: String,
    },
    /// The file has a column that is not declared.
    #[error(
        "{path:?} has the column {}, which columns: does not have; add it there, or write on_new_column: ignore",
        quoted(columns)
    )]
    NewColumns {
        /// The file.
        path: String,
        /// What is new.
        columns: Vec<String>,
    },
    /// The columns of the file make no contract.
    #[error(
        "the columns of {path:?} cannot be those of a table: {source}; declare those that are wanted under columns:"
    )]
    Contract {
        /// The file.
        path: String,
        /// What is wrong with them.
        source: contract::ContractError,
    },
    /// The format says nothing about columns.
    #[error(
        "files of {format} need columns: beside files, as {{ id: bigint not null, name: text }}"
    )]
    NoColumns {
        /// `json` or `ndjson`.
        format: &'static str,
    },
    /// A quote is open at the end.
    #[error(
        "{path:?} ends within a quote that row {row} opens (byte {byte}); the rows before it count: put those from row {row} on into a file of another name, with the quote closed, and move this one away"
    )]
    OpenQuote {
        /// The file.
        path: String,
        /// The row.
        row: u64,
        /// Where it begins.
        byte: u64,
    },
    /// The document is not what was said.
    #[error("{path:?} cannot be read as JSON at byte {byte}: {why}")]
    Json {
        /// The file.
        path: String,
        /// Where.
        byte: u64,
        /// What is wrong.
        why: JsonFault,
    },
    /// The file is not Parquet, or damaged.
    #[error(
        "{path:?} cannot be read as Parquet at row {row}: {source}; write it again, under another name"
    )]
    Parquet {
        /// The file.
        path: String,
        /// The first row that could not be read.
        row: u64,
        /// What its reader said.
        source: parquet::errors::ParquetError,
    },
    /// A column of Parquet has a type that becomes no declared one.
    #[error(
        "the column {column:?} of {path:?} is {found}, which cannot become {wanted}; declare another type under columns:"
    )]
    Uncastable {
        /// The file.
        path: String,
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
        /// Its declared type.
        wanted: contract::DataType,
    },
    /// What was read would be read again.
    #[error(
        "{path:?} would be archived as {target:?}, which path: matches too, so that it would be read again; archive to a folder elsewhere"
    )]
    ArchiveIsRead {
        /// The file.
        path: String,
        /// Where it would be.
        target: String,
    },
    /// The folder is in another kind of store.
    #[error(
        "files of {path:?} cannot be archived to {folder:?}; archive to a folder of the same store"
    )]
    ArchiveElsewhere {
        /// The path.
        path: String,
        /// The folder.
        folder: String,
    },
    /// A reader met what it should have told.
    #[error(
        "{path:?} has something that its reader does not know; it is damaged: write it again, under another name"
    )]
    Broke {
        /// The file, or the path.
        path: String,
    },
    /// The thread that read has ended.
    #[error("reading was cut off as the process ends; it is tried again")]
    Stopped,
}

/// Why a first line is no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It does not end.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It is no text.
    #[error("it is not UTF-8")]
    Encoding,
    /// Its line ends are those of old Macs.
    #[error("lines end with CR alone")]
    LineEnds,
    /// A quote is open.
    #[error("a quote is not closed")]
    OpenQuote,
}

/// Why a document has no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// It ends too soon.
    #[error("it is cut off; put the rest into a file of another name, and move this one away")]
    CutOff,
    /// Something else should stand there.
    #[error("{expected} should stand there; write the file again, under another name")]
    Expected {
        /// What.
        expected: &'static str,
    },
    /// There is no such name on the way.
    #[error(
        "there is no {step:?} on the way of records: {path}; it has {}; mend records: in the pipeline",
        quoted(found)
    )]
    NoStep {
        /// The whole way.
        path: String,
        /// What is missing.
        step: String,
        /// What is there, the first few.
        found: Vec<String>,
    },
    /// The name on the way is there twice.
    #[error(
        "{step:?} is there twice; which of the two has the records cannot be told: write the file again, under another name"
    )]
    Twice {
        /// The name.
        step: String,
    },
    /// What the path leads to is neither.
    #[error(
        "records: leads to something that is neither a list nor an object; mend records: in the pipeline"
    )]
    NoList,
    /// The document has ended.
    #[error(
        "more follows the end of the document; for one object on each line write format: ndjson"
    )]
    More,
    /// A name is too long.
    #[error("a name is longer than {0} bytes")]
    LongName(usize),
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

impl FilesError {
    /// What it asks for.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::NoFolder { .. }
            | Self::DeadLink { .. }
            | Self::NotPutAway { .. }
            | Self::Denied { .. }
            | Self::Io { .. }
            | Self::Changed { .. }
            | Self::Vanished { .. }
            | Self::Stopped => Trouble::Later,
            Self::Store { source, .. } => source.trouble(),
            Self::Pattern { .. }
            | Self::TooMany { .. }
            | Self::Name { .. }
            | Self::NoFile { .. }
            | Self::Beyond { .. }
            | Self::Damaged { .. }
            | Self::Utf16 { .. }
            | Self::Header { .. }
            | Self::DuplicateColumn { .. }
            | Self::OtherDelimiter { .. }
            | Self::MissingColumns { .. }
            | Self::MissingNotNull { .. }
            | Self::NewColumns { .. }
            | Self::Contract { .. }
            | Self::NoColumns { .. }
            | Self::OpenQuote { .. }
            | Self::Json { .. }
            | Self::Parquet { .. }
            | Self::Uncastable { .. }
            | Self::Broke { .. }
            | Self::ArchiveIsRead { .. }
            | Self::ArchiveElsewhere { .. } => Trouble::Act,
        }
    }

    /// What the file system said of a path.
    pub(super) fn of_io(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path, source },
            io::ErrorKind::NotFound => Self::Vanished { path },
            _ => Self::Io { path, source },
        }
    }
}
