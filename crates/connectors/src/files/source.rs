//! [`Source`]: the files of one input.
//!
//! Files are read by threads that may block, one call at a time; what a thread had open stays open for the next call that goes on where
//! it ended, so that a compressed file is not decompressed again for each chunk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use contract::{Column, Contract};
use spec::{AfterReading, Columns, FileFormat, Files};

use super::chunk::{Chunk, Limits, Open, Reader, Rows, read_records, read_table, take};
use super::error::FilesError;
use super::finish::{self, Finished};
use super::found::{Found, Position};
use super::local::Local;
use super::parquet::Table;
use super::records::Records;
use super::s3::{Bucket, S3Access};
use super::settle::{Ahead, Settle};
use super::store::Store;

/// What a worker gives all inputs.
#[derive(Clone, Debug)]
pub struct Options {
    /// What relative paths are relative to.
    pub folder: PathBuf,
    /// How S3 is reached.
    pub s3: S3Access,
    /// The longest record, in bytes. A longer one is a bad record.
    pub record_bytes_max: usize,
    /// How many files may match.
    pub files_max: usize,
}

impl Options {
    /// For files of a folder, with records of 16 MiB and a million files at most.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            s3: S3Access::default(),
            record_bytes_max: 16 << 20,
            files_max: 1_000_000,
        }
    }
}

/// The files that are there.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that match, the one that changed longest ago first, then by path.
    pub files: Vec<Found>,
    /// Files and folders that cannot be looked at; they keep no others from being read.
    pub failures: Vec<FilesError>,
}

/// What the first file looks like.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file.
    pub file: Found,
    /// Its columns: of CSV those of its header, as text unless they are declared; of Parquet those of the file; of JSON those that are
    /// declared.
    pub columns: Option<Vec<Column>>,
    /// What its records are, if they are not Parquet and their columns are known.
    pub contract: Option<Arc<Contract>>,
    /// Its first records; none of Parquet.
    pub records: Vec<Bytes>,
}

/// The files of one input.
#[derive(Clone)]
pub struct Source {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    declared: Option<Columns>,
    options: Options,
    store: Store,
    /// What is open: at most one file.
    open: Mutex<Option<Open>>,
    /// Files that change in the future.
    ahead: Mutex<Ahead>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Source")
            .field("files", &self.inner.files)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// The files that a pipeline reads, with the columns that it declares. Nothing is looked at yet.
    ///
    /// # Errors
    /// The path or the store is none that can be looked for.
    pub fn open(
        files: &Files,
        declared: Option<&Columns>,
        options: Options,
    ) -> Result<Self, FilesError> {
        let store = match files.store() {
            spec::Store::Local => {
                Store::Local(Arc::new(Local::open(&options.folder, &files.path)?))
            }
            spec::Store::S3 => {
                let bucket = Bucket::open(&files.path, &options.s3)?;
                Store::S3(Arc::new(bucket))
            }
        };
        if let AfterReading::Archive(folder) = &files.after {
            finish::check_folder(&store, &files.path, folder)?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                files: files.clone(),
                declared: declared.cloned(),
                options,
                store,
                open: Mutex::new(None),
                ahead: Mutex::default(),
            }),
        })
    }

    /// The files that are there now.
    ///
    /// # Errors
    /// The folder or the store cannot be looked into, or has too many.
    pub async fn list(&self, now_ms: i64) -> Result<Listing, FilesError> {
        self.blocking(&self.inner.files.path, move |inner| inner.list(now_ms))
            .await
    }

    /// The next records of a file, from a position on. What changed while it was read gives none.
    ///
    /// # Errors
    /// The file cannot be read at this position. Records before one that cannot be read are given first, without an error.
    pub async fn read(
        &self,
        found: &Found,
        position: &Position,
        limits: Limits,
    ) -> Result<Chunk, FilesError> {
        let (found, position) = (found.clone(), position.clone());
        let limits = Limits {
            rows: limits.rows.max(1),
            bytes: limits.bytes.max(1),
        };
        let path = found.path.clone();
        self.blocking(&path, move |inner| inner.read(&found, &position, limits))
            .await
    }

    /// Puts a file away that was read to its end, as the pipeline wants it: once the position that says so was kept. It may be called
    /// again after a crash.
    ///
    /// # Errors
    /// The file cannot be put away, or is not the one that was read.
    pub async fn finish(&self, found: &Found) -> Result<Finished, FilesError> {
        let found = found.clone();
        let path = found.path.clone();
        self.blocking(&path, move |inner| {
            finish::finish(&inner.store, &inner.files.after, &found)
        })
        .await
    }

    /// What the first file looks like that has something in it; `None` if there is none.
    ///
    /// # Errors
    /// The files cannot be listed or the first one cannot be read.
    pub async fn sample(&self, limits: Limits) -> Result<Option<Sample>, FilesError> {
        self.blocking(&self.inner.files.path, move |inner| inner.sample(limits))
            .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Inner) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, FilesError> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            // A file decides what its reader does; none may end the worker.
            Err(error) if error.is_panic() => Err(FilesError::Broke {
                path: path.to_owned(),
            }),
            Err(_cancelled) => Err(FilesError::Stopped),
        }
    }
}

impl Inner {
    fn list(&self, now_ms: i64) -> Result<Listing, FilesError> {
        let settle = self.files.settle.duration().as_millis();
        let settle = i64::try_from(settle).unwrap_or(i64::MAX);
        let max = self.options.files_max;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settle = Settle::new(now_ms, settle, ahead.clone());
        let mut listing = match &self.store {
            Store::Local(local) => local.list(&mut settle, max)?,
            Store::S3(bucket) => bucket.list(&mut settle, max)?,
        };
        *ahead = settle.done();
        drop(ahead);
        listing.files.sort_by(|one, other| {
            let by_time = one.modified_ms.cmp(&other.modified_ms);
            by_time.then_with(|| one.path.cmp(&other.path))
        });
        Ok(listing)
    }

    fn reader(&self, found: &Found, position: &Position) -> Result<Reader, FilesError> {
        let declared = self.declared.as_ref();
        let store = &self.store;
        Ok(match self.files.format {
            FileFormat::Parquet => Reader::Table(Table::open(store, declared, found, position)?),
            _ => {
                let max = self.options.record_bytes_max;
                let records = Records::open(store, &self.files, declared, found, position, max)?;
                Reader::Records(records)
            }
        })
    }

    fn read(
        &self,
        found: &Found,
        position: &Position,
        limits: Limits,
    ) -> Result<Chunk, FilesError> {
        if !position.is_of(found) {
            let path = found.path.clone();
            return Err(FilesError::Changed { path });
        }
        if position.done {
            return Ok(Chunk {
                rows: Rows::None,
                position_after: position.clone(),
            });
        }
        let taken = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let open = taken.filter(|open| open.is_at(found, position));
        self.store.check(found)?;
        let mut reader = match open {
            Some(open) => open.reader,
            None => self.reader(found, position)?,
        };
        let read = match &mut reader {
            Reader::Records(records) => {
                read_records(records, limits, format_name(&self.files.format))
            }
            Reader::Table(table) => read_table(table, limits),
        };
        // What changed meanwhile may have been read in part, and may be why reading failed.
        self.store.check(found)?;
        let (mut chunk, goes_on) = read?;
        chunk.position_after.etag.clone_from(&found.etag);
        if goes_on && !chunk.position_after.done {
            let etag = found.etag.clone();
            let open = Open { etag, reader };
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        }
        Ok(chunk)
    }

    fn sample(&self, limits: Limits) -> Result<Option<Sample>, FilesError> {
        let listing = self.list(i64::MAX)?;
        let Some(file) = listing.files.into_iter().find(|file| file.size > 0) else {
            return match listing.failures.into_iter().next() {
                Some(failure) => Err(failure),
                None => Ok(None),
            };
        };
        let position = Position::start(&file);
        let mut sample = Sample {
            columns: None,
            contract: None,
            records: Vec::new(),
            file,
        };
        match self.reader(&sample.file, &position)? {
            Reader::Table(table) => sample.columns = Some(table.columns()),
            Reader::Records(mut records) => {
                let (taken, _goes_on) = take(&mut records, limits)?;
                let values = taken.records.into_iter().map(|record| record.value);
                sample.records = values.collect();
                sample.contract = records
                    .columns
                    .as_ref()
                    .map(|columns| Arc::clone(&columns.contract));
                let columns = sample.contract.as_ref();
                sample.columns = columns.map(|contract| contract.columns().to_vec());
            }
        }
        Ok(Some(sample))
    }
}

const fn format_name(format: &FileFormat) -> &'static str {
    match format {
        FileFormat::Csv { .. } => "csv",
        FileFormat::Json { .. } => "json",
        FileFormat::NdJson => "ndjson",
        FileFormat::Parquet => "parquet",
    }
}
