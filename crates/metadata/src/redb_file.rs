//! The metadata's file: its tables, and the file as redb sees it. That is through `env`, remembering why it failed; or read
//! only, with what redb writes kept in memory.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use env::disk::DiskFile;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::store::{KeyValue, Revision};

/// Key → (revision that put it, value).
pub(crate) const ENTRIES: TableDefinition<'_, &[u8], (u64, &[u8])> =
    TableDefinition::new("entries");
/// Figures about the file itself.
pub(crate) const FIGURES: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");
const FORMAT: &str = "format";
pub(crate) const REVISION: &str = "revision";
/// What this code writes, and the newest format it reads.
pub(crate) const FORMAT_VERSION: u64 = 1;
/// redb's page cache; the copy in memory answers all reads, so it serves writes only.
pub(crate) const CACHE_BYTES: usize = 1024 * 1024;

pub(crate) fn open_database(
    file: &Arc<dyn DiskFile>,
    trouble: &Arc<Trouble>,
) -> Result<Database, redb::Error> {
    let backend = FileBackend::new(Arc::clone(file), Arc::clone(trouble));
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)?;
    Ok(database)
}

/// Gives a new file our format.
pub(crate) fn initialise(database: &Database) -> Result<(), redb::Error> {
    if format(database)?.is_some() {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    {
        let mut figures = transaction.open_table(FIGURES)?;
        figures.insert(FORMAT, FORMAT_VERSION)?;
        figures.insert(REVISION, Revision::ZERO.value())?;
        transaction.open_table(ENTRIES)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The format that the file names; `None` if nothing was written to it yet.
pub(crate) fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(FIGURES) {
        Ok(figures) => Ok(figures.get(FORMAT)?.map(|format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn stored_revision(database: &Database) -> Result<Revision, redb::Error> {
    let figures = database.begin_read()?.open_table(FIGURES)?;
    let revision = figures.get(REVISION)?.map_or(0, |value| value.value());
    Ok(Revision::new(revision))
}

/// Everything that the file holds.
pub(crate) fn stored(database: &Database) -> Result<(Revision, Vec<KeyValue>), redb::Error> {
    let revision = stored_revision(database)?;
    let mut entries = Vec::new();
    for entry in database.begin_read()?.open_table(ENTRIES)?.iter()? {
        let (key, value) = entry?;
        let (mod_revision, value) = value.value();
        entries.push(KeyValue {
            key: Bytes::copy_from_slice(key.value()),
            value: Bytes::copy_from_slice(value),
            mod_revision: Revision::new(mod_revision),
        });
    }
    Ok((revision, entries))
}

/// What went wrong with a file since redb opened it.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    no_room: AtomicBool,
    other: AtomicBool,
}

impl Trouble {
    /// Whether writes found no room and nothing else failed. What was there before is whole then: redb writes beside it, and
    /// no sync was refused that would have to be repeated.
    pub(crate) fn is_only_lack_of_room(&self) -> bool {
        self.no_room.load(Ordering::Relaxed) && !self.other.load(Ordering::Relaxed)
    }

    fn note<T>(&self, outcome: io::Result<T>, may_lack_room: bool) -> io::Result<T> {
        if let Err(error) = &outcome {
            let no_room = matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            let which = if no_room && may_lack_room {
                &self.no_room
            } else {
                &self.other
            };
            which.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

/// Lets redb write through `env`.
#[derive(Debug)]
pub(crate) struct FileBackend {
    file: Arc<dyn DiskFile>,
    trouble: Arc<Trouble>,
}

impl FileBackend {
    pub(crate) fn new(file: Arc<dyn DiskFile>, trouble: Arc<Trouble>) -> Self {
        Self { file, trouble }
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        self.trouble.note(self.file.length(), false)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.trouble
            .note(read_whole(&*self.file, offset, out), false)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.trouble.note(self.file.set_length(length), true)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Also for lack of room: the kernel may have dropped what it could not write.
        self.trouble.note(self.file.sync_data(), false)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let outcome = self.file.write_at(&[IoSlice::new(data)], offset);
        self.trouble.note(outcome, true)
    }
}

fn read_whole(file: &dyn DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
    if file.read_at(out, offset)? == out.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What redb writes is remembered in pieces of this size.
const PIECE_BYTES: u64 = 4096;

/// A file that is only read. Invariant: what redb writes stays in memory, no more than it writes when it opens a file that
/// was not closed, which is bounded by the file's own size.
#[derive(Debug)]
pub(crate) struct ReadOnlyBackend {
    file: Arc<dyn DiskFile>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    length: u64,
    /// By number.
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl ReadOnlyBackend {
    pub(crate) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let length = file.length()?;
        Ok(Self {
            file,
            written: Mutex::new(Written {
                length,
                pieces: BTreeMap::new(),
            }),
        })
    }

    /// The piece as it is in the file; zeros behind its end.
    fn piece(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; PIECE_BYTES as usize];
        self.file.read_at(&mut piece, number * PIECE_BYTES)?;
        Ok(piece)
    }
}

/// The parts of `offset..offset + length` by pieces: number, where in the piece, where in the range, length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PIECE_BYTES) as usize;
        let count = (PIECE_BYTES as usize - within).min(length - done);
        let part = (at / PIECE_BYTES, within, done, count);
        done += count;
        (count > 0).then_some(part)
    })
}

impl StorageBackend for ReadOnlyBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > written.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if written.pieces.is_empty() {
            return read_whole(&*self.file, offset, out);
        }
        for (number, within, at, count) in parts(offset, out.len()) {
            let from_file;
            let piece = match written.pieces.get(&number) {
                Some(piece) => piece,
                None => {
                    from_file = self.piece(number)?;
                    &from_file
                }
            };
            let from = piece.get(within..within + count).unwrap_or_default();
            if let Some(to) = out.get_mut(at..at + count) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if length < written.length {
            // What is beyond must read as zeros if the file grows again.
            written.pieces.split_off(&length.div_ceil(PIECE_BYTES));
        }
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        for (number, within, at, count) in parts(offset, data.len()) {
            let piece = match written.pieces.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.piece(number)?)
                }
            };
            if let (Some(to), Some(from)) = (
                piece.get_mut(within..within + count),
                data.get(at..at + count),
            ) {
                to.copy_from_slice(from);
            }
        }
        let end = offset + data.len() as u64;
        written.length = written.length.max(end);
        Ok(())
    }
}
