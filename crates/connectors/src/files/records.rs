//! [`Records`]: the records of a file of text, one after the other, each with its place.
//!
//! Invariant: reading on from [`Records::position`] gives what would have come next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use contract::Format;
use serde::de::IgnoredAny;
use spec::{Columns, FileFormat, Files, OnNewColumn};

use super::columns::FileColumns;
use super::content::{failure, open, skip_mark};
use super::error::{FilesError, HeaderFault};
use super::found::{Found, Position};
use super::json::{Document, Fault};
use super::lines::{KEPT_BYTES, Lines, Record, Taken};
use super::store::Store;

/// The longest header.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// A record as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Its bytes: a line without its end, or an element of JSON. They are UTF-8.
    pub value: Bytes,
    /// Its number in the file; the first has 1, a header has none.
    pub row: u64,
    /// Where it begins, in bytes of the file when it is not compressed.
    pub byte: u64,
}

/// A record that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its number in the file; the first has 1, a header has none.
    pub row: u64,
    /// Where it begins, in bytes of the file when it is not compressed; 0 for Parquet.
    pub byte: u64,
    /// Its first 64 KiB; for a row of Parquet its values as an object of JSON.
    pub bytes: Bytes,
    /// Whether these are only the first of its bytes.
    pub is_cut: bool,
    /// Why not.
    pub message: String,
}

/// The records of a file that is being read.
pub(super) struct Records {
    splitter: Splitter,
    pub(super) columns: Option<Arc<FileColumns>>,
    /// Of records of JSON whose names are looked at.
    watch: Option<Watch>,
    /// The longest record, and whether line ends within quotes are none.
    bytes_max: usize,
    has_quotes: bool,
    found: Found,
    pub(super) position: Position,
}

/// What happens with a name in a record that nobody declared.
struct Watch {
    known: HashSet<String>,
    fails: bool,
    format: Format,
}

enum Splitter {
    Lines { lines: Lines, skips: Skips },
    Document(Document),
}

/// Lines that are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skips {
    /// None is.
    Nothing,
    /// Those with nothing in them.
    Empty,
    /// Those with nothing but spaces in them.
    Blank,
}

impl Records {
    /// Opens a file at a position.
    pub(super) fn open(
        store: &Store,
        files: &Files,
        declared: Option<&Columns>,
        found: &Found,
        position: &Position,
        bytes_max: usize,
    ) -> Result<Self, FilesError> {
        let resumes = position.next_byte > 0;
        let (content, mark) = match resumes {
            true => (open(store, found, position.next_byte)?, 0),
            false => skip_mark(open(store, found, 0)?, found)?,
        };
        let next_byte = position.next_byte.max(mark);
        let path = found.path.as_str();
        let columns_of = |format: Format| {
            let columns = declared.map(|declared| FileColumns::declared(path, format, declared));
            columns.transpose()
        };
        let (splitter, columns) = match &files.format {
            FileFormat::Csv {
                header,
                delimiter,
                null,
            } => {
                let mut lines = Lines::new(content, next_byte, Some(*delimiter), bytes_max);
                let columns = match header {
                    true if resumes => {
                        let (content, mark) = skip_mark(open(store, found, 0)?, found)?;
                        let mut first =
                            Lines::new(content, mark, Some(*delimiter), HEADER_BYTES_MAX);
                        header_of(&mut first, found, *delimiter, null, declared)?
                    }
                    true => {
                        lines.set_bytes_max(HEADER_BYTES_MAX);
                        let columns = header_of(&mut lines, found, *delimiter, null, declared)?;
                        lines.set_bytes_max(bytes_max);
                        columns
                    }
                    false => columns_of(Format::Csv {
                        delimiter: *delimiter,
                        null: null.clone(),
                    })?,
                };
                let count = columns
                    .as_ref()
                    .map(|columns| columns.contract.columns().len());
                // A line of one column may be empty: it is NULL.
                let skips = match count {
                    Some(1) => Skips::Nothing,
                    _ => Skips::Empty,
                };
                (Splitter::Lines { lines, skips }, columns)
            }
            FileFormat::Json { records } => {
                let resumes = position.next_row > 1;
                let path = records.as_deref();
                let document = Document::new(content, next_byte, resumes, path, bytes_max);
                (Splitter::Document(document), columns_of(Format::Json)?)
            }
            FileFormat::NdJson | FileFormat::Parquet => {
                let lines = Lines::new(content, next_byte, None, bytes_max);
                let skips = Skips::Blank;
                (Splitter::Lines { lines, skips }, columns_of(Format::Json)?)
            }
        };
        Ok(Self {
            splitter,
            columns: columns.map(Arc::new),
            watch: match &files.format {
                FileFormat::Json { .. } | FileFormat::NdJson => watch(declared),
                FileFormat::Csv { .. } | FileFormat::Parquet => None,
            },
            bytes_max,
            has_quotes: matches!(files.format, FileFormat::Csv { .. }),
            found: found.clone(),
            position: position.clone(),
        })
    }

    /// The next record; `None` when the file is done.
    pub(super) fn take(&mut self) -> Result<Option<Result<RawRecord, BadRecord>>, FilesError> {
        let taken = match &mut self.splitter {
            Splitter::Lines { lines, skips } => loop {
                let byte = lines.next_byte;
                let taken = lines.take();
                let row = self.position.next_row;
                let taken = taken.map_err(|error| failure(error, &self.found, row, byte))?;
                if taken.as_ref().is_some_and(|taken| taken.is_open) {
                    let path = self.found.path.clone();
                    return Err(FilesError::OpenQuote { path, row, byte });
                }
                if !taken.as_ref().is_some_and(|taken| skips.skips(taken)) {
                    break taken;
                }
            },
            Splitter::Document(document) => {
                let from = document.next_byte;
                match document.take() {
                    Ok(taken) => taken,
                    Err(Fault::Io(error)) => {
                        let row = self.position.next_row;
                        return Err(failure(error, &self.found, row, from));
                    }
                    Err(Fault::Json(why)) => {
                        return Err(FilesError::Json {
                            path: self.found.path.clone(),
                            byte: document.next_byte,
                            why,
                        });
                    }
                }
            }
        };
        let (next_byte, is_ended) = match &self.splitter {
            Splitter::Lines { lines, .. } => (lines.next_byte, false),
            Splitter::Document(document) => (document.next_byte, document.is_ended()),
        };
        let row = self.position.next_row;
        let record = taken.map(|taken| judge(taken, row, self.bytes_max, self.has_quotes));
        if let Some(Ok(record)) = &record {
            self.look_at(record)?;
        }
        self.position.next_byte = next_byte;
        self.position.done = record.is_none() || is_ended;
        self.position.next_row += u64::from(record.is_some());
        Ok(record)
    }

    /// Looks for names that nobody declared.
    fn look_at(&mut self, record: &RawRecord) -> Result<(), FilesError> {
        let (Some(watch), Some(columns)) = (&mut self.watch, &self.columns) else {
            return Ok(());
        };
        // What is no object is for who decodes it.
        let Ok(names) = serde_json::from_slice::<Names>(&record.value) else {
            return Ok(());
        };
        let new = names
            .0
            .into_iter()
            .filter(|name| !watch.known.contains(name));
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let path = self.found.path.as_str();
        if watch.fails {
            return Err(FilesError::NewColumns {
                path: path.to_owned(),
                columns: new,
            });
        }
        let columns = FileColumns::adding(path, watch.format.clone(), columns, &new)?;
        watch.known.extend(new);
        self.columns = Some(Arc::new(columns));
        Ok(())
    }
}

impl Skips {
    fn skips(self, taken: &Taken) -> bool {
        let Record::Whole(line) = &taken.record else {
            return false;
        };
        match self {
            Self::Nothing => false,
            Self::Empty => line.is_empty(),
            Self::Blank => line.iter().all(u8::is_ascii_whitespace),
        }
    }
}

fn header_of(
    lines: &mut Lines,
    found: &Found,
    delimiter: u8,
    null: &str,
    declared: Option<&Columns>,
) -> Result<Option<FileColumns>, FilesError> {
    let wrong = |why| FilesError::Header {
        path: found.path.clone(),
        why,
    };
    let Some(taken) = lines.take().map_err(|error| failure(error, found, 1, 0))? else {
        // What is compressed has nothing in it: no header, and no records.
        return Ok(None);
    };
    match taken.record {
        Record::Long { .. } => Err(wrong(HeaderFault::TooLong(HEADER_BYTES_MAX))),
        Record::Whole(_) if taken.is_open => Err(wrong(HeaderFault::OpenQuote)),
        Record::Whole(header) => {
            FileColumns::of_header(&found.path, &header, delimiter, null, declared).map(Some)
        }
    }
}

fn watch(declared: Option<&Columns>) -> Option<Watch> {
    let declared = declared.filter(|declared| declared.on_new != OnNewColumn::Ignore)?;
    let names = declared.columns.iter().map(|column| column.name.clone());
    Some(Watch {
        known: names.collect(),
        fails: declared.on_new == OnNewColumn::Fail,
        format: Format::Json,
    })
}

/// The names of an object, each once.
struct Names(BTreeSet<String>);

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, IgnoredAny>::deserialize(deserializer)?;
        Ok(Self(fields.into_keys().collect()))
    }
}

/// Whether a record can be taken.
fn judge(
    taken: Taken,
    row: u64,
    bytes_max: usize,
    has_quotes: bool,
) -> Result<RawRecord, BadRecord> {
    let byte = taken.byte;
    let bad = |bytes: Vec<u8>, is_cut, message: String| BadRecord {
        row,
        byte,
        bytes: bytes.into(),
        is_cut,
        message,
    };
    match taken.record {
        Record::Long { first, bytes } => {
            let why = match has_quotes {
                true => "; a quote that is not closed makes one record of many",
                false => "",
            };
            let message = format!(
                "the record has {bytes} bytes, more than may be ({bytes_max}); its first {} are kept{why}",
                first.len()
            );
            Err(bad(first, true, message))
        }
        Record::Whole(mut value) => match std::str::from_utf8(&value) {
            Ok(_) => Ok(RawRecord {
                value: value.into(),
                row,
                byte,
            }),
            Err(invalid) => {
                let at = invalid.valid_up_to();
                let is_cut = value.len() > KEPT_BYTES;
                value.truncate(KEPT_BYTES);
                let message =
                    format!("byte {at} of the record is not UTF-8; write the file as UTF-8");
                Err(bad(value, is_cut, message))
            }
        },
    }
}
