//! [`FileReader`]: the records of files, each file once, in the order in which they changed.
//!
//! Invariants: how far files were read is known here before it is committed, and forgotten with this reader if it is not; what keeps one
//! file from being read keeps no other, and is told; a file is put away only after its end was committed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectors::files::{
    self, BadRecord, Choice, FileColumns, FilesError, Found, Limits as FileLimits, Listing,
    Position, RawRecord, Rows, SetAside, choose,
};
use contract::{Column, Contract};
use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, new_null_array,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use parking_lot::Mutex;
use spec::AfterReading;
use sql::ContractFault;
use sql::compute::{Decoded, Decoder, Encoder, Metadata, Raw, Values, arrow_type};
use tokio::time::Instant;

use super::chunk::{Chunk, DecodeError, Originals};
use super::dead_letter::{Original, Place};
use super::positions::Source;
use super::topic_reader::Limits;
use super::topic_writer::Kept;

/// How often it is looked for files, by a pipeline that goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Problems that are told.
const TOLD: usize = 20;

/// Why files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileReadError {
    /// They cannot be listed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Records cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The columns of a file cannot be read.
    #[error("the columns of {path}")]
    Columns {
        /// The file.
        path: String,
        /// What is wrong with them.
        #[source]
        source: ContractFault,
    },
    /// All was read but for some files.
    #[error("{}{}", problems.join("; "), more(*others))]
    Problems {
        /// What keeps files from being read.
        problems: Vec<String>,
        /// How many more are not told.
        others: usize,
    },
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!("; and {others} more"),
    }
}

/// Files that are read to their end and put away by whoever commits; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PuttingAway {
    input: String,
    source: files::Source,
    /// Whether nothing of a file is left where it was, so that another one may have its name.
    goes: bool,
    /// Those that are gone, to be forgotten.
    gone: Arc<Mutex<HashSet<String>>>,
}

impl PuttingAway {
    /// Puts a file away whose end was committed; returns the source to be forgotten. What cannot be put away now is tried again when
    /// the file is seen again.
    pub(crate) async fn put(&self, found: &Found) -> Option<Source> {
        if !self.goes {
            return None;
        }
        match self.source.finish(found).await {
            Ok(_finished) => {
                self.gone.lock().insert(found.path.clone());
                Some(Source::file(&self.input, &found.path))
            }
            Err(error) => {
                tracing::warn!(path = found.path, %error, "a file that was read is not put away yet");
                None
            }
        }
    }
}

/// Reads files.
pub(crate) struct FileReader {
    input: usize,
    name: String,
    source: files::Source,
    /// The columns that the query wants; all declared ones without a query.
    wanted: Option<HashSet<String>>,
    /// The columns of the input.
    columns: Vec<Column>,
    positions: HashMap<String, Position>,
    aside: SetAside,
    listing: Listing,
    listed: Option<Instant>,
    /// Reading ends with the files that are there now: those that are still being written are waited for until then, for as long as a
    /// file has to be as it is before it is read.
    is_bounded: bool,
    patience: Duration,
    begun: Instant,
    putting_away: PuttingAway,
    /// What makes rows of the file that was read last.
    decoder: Option<(Arc<FileColumns>, Decoder)>,
    problems: Vec<String>,
    forgotten: Vec<Kept>,
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FileReader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What reading files gave.
#[derive(Debug)]
pub(crate) enum FileStep {
    /// Records of a file.
    Chunk(Box<Chunk>),
    /// Nothing is there now.
    Nothing,
    /// All was read that was there when the run began.
    Done,
}

/// What a reader of files is opened with.
pub(crate) struct FileInput<'a> {
    pub(crate) input: usize,
    pub(crate) name: &'a str,
    pub(crate) files: &'a spec::Files,
    pub(crate) declared: Option<&'a spec::Columns>,
    pub(crate) columns: &'a [Column],
    pub(crate) wanted: Option<HashSet<String>>,
    pub(crate) is_bounded: bool,
}

impl FileReader {
    pub(crate) fn open(
        input: FileInput<'_>,
        positions: HashMap<String, Position>,
        options: files::Options,
    ) -> Result<Self, FileReadError> {
        let source = files::Source::open(input.files, input.declared, options)?;
        let putting_away = PuttingAway {
            input: input.name.to_owned(),
            source: source.clone(),
            goes: input.files.after != AfterReading::Keep,
            gone: Arc::default(),
        };
        Ok(Self {
            input: input.input,
            name: input.name.to_owned(),
            source,
            wanted: input.wanted,
            columns: input.columns.to_vec(),
            positions,
            aside: SetAside::default(),
            listing: Listing::default(),
            listed: None,
            is_bounded: input.is_bounded,
            patience: input.files.settle.duration() + LOOK_EVERY,
            begun: Instant::now(),
            putting_away,
            decoder: None,
            problems: Vec::new(),
            forgotten: Vec::new(),
        })
    }

    /// What keeps files from being read, for people.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The next records.
    pub(crate) async fn next(
        &mut self,
        limits: Limits,
        now_ms: i64,
    ) -> Result<FileStep, FileReadError> {
        self.look(now_ms).await?;
        loop {
            let choice = choose(&self.listing.files, &self.positions, &self.aside, now_ms);
            self.problems = told(&choice, &self.listing);
            let Some((found, position)) = choice.next else {
                let waiting = choice.waiting;
                return self.end(waiting);
            };
            let found = found.clone();
            let limits = FileLimits {
                rows: limits.rows,
                bytes: limits.bytes,
            };
            match self.source.read(&found, &position, limits).await {
                Ok(chunk) => {
                    self.aside.clear(&found.path);
                    return self
                        .decode(found, chunk)
                        .map(|chunk| FileStep::Chunk(Box::new(chunk)));
                }
                // It is listed again, and is another one then.
                Err(error) => self.aside.put(&found, &error, now_ms),
            }
        }
    }

    /// Looks which files are there, now and then.
    async fn look(&mut self, now_ms: i64) -> Result<(), FileReadError> {
        let is_fresh = match self.listed {
            Some(_) if self.is_bounded && self.begun.elapsed() >= self.patience => true,
            Some(listed) => listed.elapsed() < LOOK_EVERY,
            None => false,
        };
        if is_fresh {
            return Ok(());
        }
        for path in self.putting_away.gone.lock().drain() {
            self.positions.remove(&path);
        }
        let is_first = self.listed.is_none();
        self.listing = self.source.list(now_ms).await?;
        self.listed = Some(Instant::now());
        self.give_up_what_left();
        if is_first && self.putting_away.goes {
            self.put_away_again(now_ms).await;
        }
        Ok(())
    }

    /// Files that were read before: those that are still there are put away, since a crash came between, and those that are not are
    /// forgotten.
    async fn put_away_again(&mut self, now_ms: i64) {
        let there: HashSet<&str> = self
            .listing
            .files
            .iter()
            .map(|found| found.path.as_str())
            .collect();
        let gone = self.positions.values();
        let gone = gone.filter(|position| position.done && !there.contains(position.path.as_str()));
        let gone: Vec<String> = gone.map(|position| position.path.clone()).collect();
        for path in gone {
            self.positions.remove(&path);
            self.forgotten.push((Source::file(&self.name, &path), None));
        }
        let choice = choose(&self.listing.files, &self.positions, &self.aside, now_ms);
        let done: Vec<Found> = choice.done.iter().map(|&found| found.clone()).collect();
        for found in done {
            let forgotten = self.putting_away.put(&found).await;
            self.forgotten
                .extend(forgotten.map(|source| (source, None)));
        }
    }

    /// Files that could not be read further until somebody saw to them, and that somebody took away: what was read of them counts, and
    /// the rest comes under another name.
    fn give_up_what_left(&mut self) {
        // What cannot be looked at now may be there.
        if !self.listing.failures.is_empty() {
            return;
        }
        let there: HashSet<&str> = self
            .listing
            .files
            .iter()
            .map(|found| found.path.as_str())
            .collect();
        let left = self.positions.values_mut();
        let left =
            left.filter(|position| !position.done && !there.contains(position.path.as_str()));
        for position in left.filter(|position| self.aside.is_for_somebody(&position.path)) {
            *position = position.clone().given_up();
            let source = Source::file(&self.name, &position.path);
            self.forgotten
                .push((source, Some(serde_json::json!(position))));
        }
    }

    /// Files whose positions are of no use any more, and those that are given up.
    pub(crate) fn take_forgotten(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.forgotten)
    }

    /// No file can be read now: a run that ends has failed if one of them should have been.
    fn end(&self, waiting: usize) -> Result<FileStep, FileReadError> {
        let is_patient = waiting > 0 && self.begun.elapsed() < self.patience;
        if !self.is_bounded || is_patient {
            return Ok(FileStep::Nothing);
        }
        if self.problems.is_empty() {
            return Ok(FileStep::Done);
        }
        let others = self.problems.len().saturating_sub(TOLD);
        let problems = self.problems.iter().take(TOLD).cloned().collect();
        Err(FileReadError::Problems { problems, others })
    }

    fn decode(&mut self, found: Found, chunk: files::Chunk) -> Result<Chunk, FileReadError> {
        let files::Chunk {
            rows,
            position_after,
        } = chunk;
        let path = found.path.clone();
        let mut decoded = match rows {
            Rows::Raw {
                columns,
                records,
                bad,
            } => self.decode_raw(&path, columns, records, bad)?,
            Rows::Columns {
                batch,
                rows,
                bad,
                missing,
            } => self
                .of_columns(&path, &batch, rows, bad, &missing)
                .map_err(DecodeError::from)?,
            Rows::None => self.nothing(&path),
        };
        decoded.position = serde_json::json!(position_after);
        if position_after.done {
            decoded.finish = Some((self.putting_away.clone(), found));
        }
        self.positions.insert(path, position_after);
        Ok(decoded)
    }

    fn nothing(&self, path: &str) -> Chunk {
        let schema = Arc::new(Schema::empty());
        self.chunk(
            path,
            RecordBatch::new_empty(schema),
            Vec::new(),
            Vec::new(),
            FileRecords::Raw(Vec::new()),
        )
    }

    fn chunk(
        &self,
        path: &str,
        rows: RecordBatch,
        records: Vec<u32>,
        misfits: Vec<(u32, String)>,
        originals: FileRecords,
    ) -> Chunk {
        Chunk {
            input: self.input,
            count: originals.len(),
            rows,
            records,
            misfits,
            tombstones: Vec::new(),
            source: Source::file(&self.name, path),
            position: serde_json::Value::Null,
            originals: Originals::File {
                path: path.to_owned(),
                records: originals,
            },
            newest_ms: None,
            finish: None,
        }
    }

    fn decode_raw(
        &mut self,
        path: &str,
        columns: Arc<FileColumns>,
        records: Vec<RawRecord>,
        bad: Vec<BadRecord>,
    ) -> Result<Chunk, FileReadError> {
        let mut decoder = match self.decoder.take() {
            Some((known, decoder)) if known == columns => decoder,
            _ => self.decoder_of(path, &columns.contract)?,
        };
        let mut misfits = Vec::new();
        let mut pushed = Vec::with_capacity(records.len());
        let mut all = Vec::with_capacity(records.len() + bad.len());
        let mut bad = bad.into_iter().peekable();
        let take_bad =
            |before: u64,
             all: &mut Vec<(u64, Bytes)>,
             misfits: &mut Vec<(u32, String)>,
             bad: &mut std::iter::Peekable<std::vec::IntoIter<BadRecord>>| {
                while let Some(record) = bad.next_if(|record| record.row < before) {
                    misfits.push((number(all.len()), record.message));
                    all.push((record.row, record.bytes));
                }
            };
        for record in records {
            take_bad(record.row, &mut all, &mut misfits, &mut bad);
            pushed.push(number(all.len()));
            decoder.push(&Raw {
                source: path,
                offset: i64::try_from(record.row).unwrap_or(i64::MAX),
                ..Raw::of_value(&record.value)
            });
            all.push((record.row, record.value));
        }
        take_bad(u64::MAX, &mut all, &mut misfits, &mut bad);
        let Decoded {
            rows,
            records,
            misfits: faults,
        } = decoder.finish().map_err(DecodeError::from)?;
        let of = |place: u32| {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            pushed.get(place).copied().unwrap_or_default()
        };
        misfits.extend(
            faults
                .into_iter()
                .map(|(place, message)| (of(place), message)),
        );
        misfits.sort_by_key(|(number, _)| *number);
        let rows = with_missing(&rows, &columns.missing, self.wanted.as_ref())
            .map_err(DecodeError::from)?;
        let records = records.into_iter().map(of).collect();
        self.decoder = Some((columns, decoder));
        Ok(self.chunk(path, rows, records, misfits, FileRecords::Raw(all)))
    }

    fn decoder_of(&self, path: &str, contract: &Contract) -> Result<Decoder, FileReadError> {
        let wanted = |name: &str| match &self.wanted {
            Some(wanted) => wanted.contains(name),
            None => self.columns.iter().any(|column| column.name == name),
        };
        let decoder = Decoder::new(Metadata::File, Some(contract), wanted);
        decoder.map_err(|source| FileReadError::Columns {
            path: path.to_owned(),
            source,
        })
    }

    fn of_columns(
        &self,
        path: &str,
        batch: &RecordBatch,
        rows: Vec<u64>,
        bad: Vec<BadRecord>,
        missing: &[Column],
    ) -> Result<Chunk, ArrowError> {
        let files = StringViewArray::from_iter_values(std::iter::repeat_n(path, batch.num_rows()));
        let numbers = rows
            .iter()
            .map(|row| i64::try_from(*row).unwrap_or(i64::MAX));
        let places: Vec<(Field, ArrayRef)> = Metadata::File
            .fields()
            .into_iter()
            .zip([
                Arc::new(files) as ArrayRef,
                Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef,
            ])
            .collect();
        let columns = batch.schema();
        let columns = columns.fields().iter().map(|field| field.as_ref().clone());
        let columns = places
            .into_iter()
            .chain(columns.zip(batch.columns().iter().cloned()));
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.unzip();
        let with_places = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        let with_places = with_missing(&with_places, missing, self.wanted.as_ref())?;
        let good = number(rows.len());
        let misfits = (good..)
            .zip(&bad)
            .map(|(number, bad)| (number, bad.message.clone()));
        let misfits = misfits.collect();
        let originals = FileRecords::Rows {
            batch: batch.clone(),
            rows,
            bad: bad.into_iter().map(|bad| (bad.row, bad.bytes)).collect(),
        };
        Ok(self.chunk(path, with_places, (0..good).collect(), misfits, originals))
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Columns that a file does not have are NULL.
fn with_missing(
    rows: &RecordBatch,
    missing: &[Column],
    wanted: Option<&HashSet<String>>,
) -> Result<RecordBatch, ArrowError> {
    let missing = missing
        .iter()
        .filter(|column| wanted.is_none_or(|wanted| wanted.contains(&column.name)));
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(rows.clone());
    }
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    let mut arrays = rows.columns().to_vec();
    for column in missing {
        let data_type = arrow_type(column.data_type);
        arrays.push(new_null_array(&data_type, rows.num_rows()));
        fields.push(Arc::new(Field::new(&column.name, data_type, true)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn told(choice: &Choice<'_>, listing: &Listing) -> Vec<String> {
    let of_files = choice.problems.iter().map(ToString::to_string);
    of_files
        .chain(listing.failures.iter().map(ToString::to_string))
        .collect()
}

/// Records of a file as they stood in it.
#[derive(Debug)]
pub(crate) enum FileRecords {
    /// Each with its number in the file.
    Raw(Vec<(u64, Bytes)>),
    /// Rows of a file of columns, and behind them those that are none.
    Rows {
        batch: RecordBatch,
        rows: Vec<u64>,
        bad: Vec<(u64, Bytes)>,
    },
}

impl FileRecords {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Raw(records) => records.len(),
            Self::Rows { rows, bad, .. } => rows.len() + bad.len(),
        }
    }

    /// The record of a number.
    pub(crate) fn get(&self, path: &str, number: u32) -> Option<(Place, Original)> {
        let place = usize::try_from(number).ok()?;
        let (row, value) = match self {
            Self::Raw(records) => {
                let (row, value) = records.get(place)?;
                (*row, value.to_vec())
            }
            Self::Rows { batch, rows, bad } => match rows.get(place) {
                Some(row) => (*row, object_of(batch, place)),
                None => {
                    let (row, value) = bad.get(place - rows.len())?;
                    (*row, value.to_vec())
                }
            },
        };
        let place = Place::File {
            path: path.to_owned(),
            row: i64::try_from(row).unwrap_or(i64::MAX),
        };
        let original = Original {
            value: Some(value),
            ..Original::default()
        };
        Some((place, original))
    }
}

/// A row of columns as an object of JSON, as far as its columns can be.
fn object_of(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let schema = batch.schema();
    let columns = schema.fields().iter().enumerate();
    let known: Vec<(usize, Column)> = columns
        .filter_map(|(place, field)| {
            let data_type = sql::compute::declared_type(field)?;
            Some((place, Column::new(field.name(), data_type)))
        })
        .collect();
    let places: Vec<usize> = known.iter().map(|(place, _)| *place).collect();
    let columns: Vec<Column> = known.into_iter().map(|(_, column)| column).collect();
    let mut values = Values::default();
    let written = batch.project(&places).ok().and_then(|batch| {
        Encoder::new(&columns)
            .ok()?
            .encode(&batch.slice(row, 1), &mut values)
            .ok()
    });
    written
        .and_then(|()| values.get(0))
        .unwrap_or_default()
        .to_vec()
}
