//! [`FileReader`]: the records of files, each file once, in the order in which they changed.
//!
//! Invariants: how far files were read is known here before it is committed, and forgotten with this reader if it is not; what keeps one
//! file from being read keeps no other, and is told; a file is put away only after its end was committed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectors::files::{
    self, BadRecord, FileColumns, FilesError, Found, Limits as FileLimits, Position, Problem,
    RawRecord, Rows, SetAside, choose,
};
use contract::{Column, Contract, DataType};
use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, new_null_array,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use spec::AfterReading;
use sql::ContractFault;
use sql::compute::{Decoded, Decoder, Encoder, Metadata, Raw, Values, arrow_type};
use tokio::time::Instant;

use super::chunk::{Chunk, DecodeError, Originals};
use super::dead_letter::{Original, Place};
use super::positions::Source;
use super::put_away::PuttingAway;
use super::topic_reader::Limits;
use super::topic_writer::Kept;

/// How often it is looked for files, by a pipeline that goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Problems that are told.
const TOLD: usize = 20;
/// So many files are read at once, for so long at most: small ones are committed together, and none waits long for the others.
const TOGETHER_MAX: usize = 1_000;
const TOGETHER_FOR: Duration = Duration::from_millis(500);

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

impl FileReadError {
    /// What these problems are together, if there are any.
    pub(crate) fn of(problems: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut told = Told::default();
        told.add(problems);
        told.error()
    }
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!("; and {others} more"),
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
    /// What is to be read of the files that were there when it was last looked, in its order.
    queue: VecDeque<Found>,
    /// Files that were not settled then, and those of them that were there from the first.
    waiting: Vec<String>,
    waiting_first: HashSet<String>,
    /// When it was last looked for files, and how long that took.
    looked: Option<(Instant, Duration)>,
    /// Reading ends with the files that are there now: those that are still being written are waited for until then, for as long as a
    /// file has to be as it is before it is read.
    is_bounded: bool,
    patience: Duration,
    begun: Instant,
    putting_away: PuttingAway,
    /// What makes rows of the file that was read last.
    decoder: Option<(Arc<FileColumns>, Decoder)>,
    problems: Told,
    forgotten: Vec<Kept>,
}

/// What keeps files from being read.
#[derive(Debug, Default)]
struct Told {
    /// The first of it, for people.
    told: Vec<String>,
    others: usize,
}

impl Told {
    fn add<T: ToString>(&mut self, problems: impl IntoIterator<Item = T>) {
        for problem in problems {
            match self.told.len() < TOLD {
                true => self.told.push(problem.to_string()),
                false => self.others += 1,
            }
        }
    }

    fn error(self) -> Option<FileReadError> {
        let Self { told, others } = self;
        (!told.is_empty()).then_some(FileReadError::Problems {
            problems: told,
            others,
        })
    }
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
    /// Records of some files.
    Chunks(Vec<Chunk>),
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
        let goes = input.files.after != AfterReading::Keep;
        let putting_away = PuttingAway::new(input.name, source.clone(), goes);
        Ok(Self {
            input: input.input,
            name: input.name.to_owned(),
            source,
            wanted: input.wanted,
            columns: input.columns.to_vec(),
            positions,
            aside: SetAside::default(),
            queue: VecDeque::new(),
            waiting: Vec::new(),
            waiting_first: HashSet::new(),
            looked: None,
            is_bounded: input.is_bounded,
            patience: input.files.settle.duration() + LOOK_EVERY,
            begun: Instant::now(),
            putting_away,
            decoder: None,
            problems: Told::default(),
            forgotten: Vec::new(),
        })
    }

    /// What keeps files from being read, for people.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems.told
    }

    /// What puts files away that are read to their end.
    pub(crate) fn putting_away(&self) -> &PuttingAway {
        &self.putting_away
    }

    /// The next records.
    pub(crate) async fn next(
        &mut self,
        limits: Limits,
        now_ms: i64,
    ) -> Result<FileStep, FileReadError> {
        self.look(now_ms).await?;
        let begun = Instant::now();
        let mut left = FileLimits {
            rows: limits.rows,
            bytes: limits.bytes,
        };
        let mut chunks = Vec::new();
        while let Some(found) = self.queue.pop_front() {
            let position = Position::of(&found, &self.positions);
            let read = match self.source.read(&found, &position, left).await {
                Ok(read) => read,
                Err(error) => {
                    // It is listed again, and is another one then.
                    self.aside.put(&found, &error, now_ms);
                    self.problems.add([error]);
                    continue;
                }
            };
            self.aside.clear(&found.path);
            let (is_done, bytes) = (read.position_after.done, read.rows.bytes());
            let chunk = match self.decode(&found, read, now_ms) {
                Ok(chunk) => chunk,
                Err(error) if chunks.is_empty() => return Err(error),
                // What was read before counts; it comes again.
                Err(_again) => {
                    self.queue.push_front(found);
                    break;
                }
            };
            left.rows = left.rows.saturating_sub(chunk.count);
            left.bytes = left.bytes.saturating_sub(bytes);
            chunks.push(chunk);
            if !is_done {
                self.queue.push_front(found);
            }
            let is_full = left.rows == 0 || left.bytes == 0 || chunks.len() >= TOGETHER_MAX;
            if is_full || begun.elapsed() >= TOGETHER_FOR {
                break;
            }
        }
        match chunks.is_empty() {
            true => self.end(),
            false => Ok(FileStep::Chunks(chunks)),
        }
    }

    /// Whether what is there is known well enough. A run that ends looks a last time when its patience is over.
    fn has_looked(&self) -> bool {
        let Some((looked, took)) = self.looked else {
            return false;
        };
        // With many files, most of the time is for reading them.
        let pause = match self.queue.is_empty() {
            true => LOOK_EVERY.max(took),
            false => LOOK_EVERY.max(took * 10),
        };
        self.has_looked_last() || looked.elapsed() < pause
    }

    fn has_looked_last(&self) -> bool {
        let looked = self.looked.map(|(looked, _)| looked);
        self.is_bounded && looked.is_some_and(|looked| looked - self.begun >= self.patience)
    }

    /// Looks which files are there, now and then, and what is to be read of them.
    async fn look(&mut self, now_ms: i64) -> Result<(), FileReadError> {
        if self.has_looked() {
            return Ok(());
        }
        let begun = Instant::now();
        for path in self.putting_away.take_gone() {
            self.positions.remove(&path);
        }
        let is_first = self.looked.is_none();
        let mut listing = self.source.list(now_ms).await?;
        // What cannot be looked at now may be there.
        if listing.failures.is_empty() {
            self.give_up_what_left(&listing.files);
        }
        let choice = choose(&listing.files, &self.positions, &self.aside, now_ms);
        // A crash came between their last record and putting them away.
        let done = choice.done.iter().filter(|_| is_first);
        let done: Vec<Found> = done.map(|&found| found.clone()).collect();
        let next = choice.next.map(|(found, _)| found);
        self.queue = next.into_iter().chain(choice.behind).cloned().collect();
        let waiting = choice.waiting.iter().map(|found| found.path.clone());
        self.waiting = waiting.collect();
        if is_first {
            self.waiting_first.extend(self.waiting.iter().cloned());
        }
        let mut problems = Told::default();
        problems.add(choice.problems);
        problems.add(listing.failures.drain(..));
        for found in done {
            let forgotten = self.putting_away.put(&found).await;
            self.forgotten
                .extend(forgotten.map(|source| (source, None)));
        }
        let forgotten = self.putting_away.try_again().await;
        let forgotten = forgotten.into_iter().map(|source| (source, None));
        self.forgotten.extend(forgotten);
        problems.add(self.putting_away.problems());
        self.problems = problems;
        self.looked = Some((Instant::now(), begun.elapsed()));
        Ok(())
    }

    /// Files that could not be read further until somebody saw to them, and that somebody took away: what was read of them counts, and
    /// the rest comes under another name.
    fn give_up_what_left(&mut self, files: &[Found]) {
        let there: HashSet<&str> = files.iter().map(|found| found.path.as_str()).collect();
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
    fn end(&mut self) -> Result<FileStep, FileReadError> {
        let is_patient = !self.waiting.is_empty() && !self.has_looked_last();
        if !self.is_bounded || is_patient {
            return Ok(FileStep::Nothing);
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let waiting = waiting.filter(|path| self.waiting_first.contains(path));
        let unsettled = waiting.map(|path| Problem::Unsettled { path });
        self.problems.add(unsettled);
        match std::mem::take(&mut self.problems).error() {
            None => Ok(FileStep::Done),
            Some(error) => Err(error),
        }
    }

    fn decode(
        &mut self,
        found: &Found,
        chunk: files::Chunk,
        now_ms: i64,
    ) -> Result<Chunk, FileReadError> {
        let files::Chunk {
            rows,
            mut position_after,
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
                bytes: _,
            } => self
                .of_columns(&path, &batch, rows, bad, &missing)
                .map_err(DecodeError::from)?,
            Rows::None => self.nothing(&path),
        };
        if position_after.done {
            position_after.leaves_ms = self.putting_away.goes().then_some(now_ms);
            decoded.finish = Some((self.putting_away.clone(), found.clone()));
        }
        decoded.position = serde_json::json!(position_after);
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
             all: &mut Vec<Stood>,
             misfits: &mut Vec<(u32, String)>,
             bad: &mut std::iter::Peekable<std::vec::IntoIter<BadRecord>>| {
                while let Some(record) = bad.next_if(|record| record.row < before) {
                    misfits.push((number(all.len()), record.message.clone()));
                    all.push(Stood::of_bad(record));
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
            all.push(Stood {
                row: record.row,
                bytes: record.value,
                is_cut: false,
            });
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
            bad: bad.into_iter().map(Stood::of_bad).collect(),
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

/// Records of a file as they stood in it.
#[derive(Debug)]
pub(crate) enum FileRecords {
    /// Each as it stood.
    Raw(Vec<Stood>),
    /// Rows of a file of columns, and behind them those that are none.
    Rows {
        batch: RecordBatch,
        rows: Vec<u64>,
        bad: Vec<Stood>,
    },
}

/// A record as it stood in its file.
#[derive(Debug)]
pub(crate) struct Stood {
    /// Its number there.
    row: u64,
    bytes: Bytes,
    /// Whether there is more of it.
    is_cut: bool,
}

impl Stood {
    fn of_bad(bad: BadRecord) -> Self {
        Self {
            row: bad.row,
            bytes: bad.bytes,
            is_cut: bad.is_cut,
        }
    }
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
        let of = |stood: &Stood| (stood.row, stood.bytes.to_vec(), stood.is_cut);
        let (row, value, is_cut) = match self {
            Self::Raw(records) => of(records.get(place)?),
            Self::Rows { batch, rows, bad } => match rows.get(place) {
                Some(row) => (*row, object_of(batch, place), false),
                None => of(bad.get(place - rows.len())?),
            },
        };
        let place = Place::File {
            path: path.to_owned(),
            row: i64::try_from(row).unwrap_or(i64::MAX),
        };
        let original = Original {
            value: Some(value),
            is_cut,
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
    let row = batch.slice(row, 1);
    let cells = known.into_iter().filter_map(|(place, column)| {
        let value = row.column(place);
        let written = encoded(std::slice::from_ref(&column), &[Arc::clone(value)]);
        // A number that JSON does not have is a text.
        let value = match written {
            Some(_) => return Some((column, Arc::clone(value))),
            None => shown(value)?,
        };
        Some((Column::new(&column.name, DataType::Text), value))
    });
    let (columns, values): (Vec<Column>, Vec<ArrayRef>) = cells.unzip();
    encoded(&columns, &values).unwrap_or_default()
}

/// A row of columns as an object of JSON; `None` if a value cannot be one.
fn encoded(columns: &[Column], row: &[ArrayRef]) -> Option<Vec<u8>> {
    let fields = columns.iter().zip(row);
    let fields =
        fields.map(|(column, value)| Field::new(&column.name, value.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, row.to_vec()).ok()?;
    let mut values = Values::default();
    let encoder = Encoder::new(columns).ok()?;
    encoder.encode(&batch, &mut values).ok()?;
    values.get(0).map(<[u8]>::to_vec)
}

/// The first value as a text.
fn shown(value: &ArrayRef) -> Option<ArrayRef> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(value, &options).ok()?;
    let text = formatter.value(0).try_to_string().ok()?;
    Some(Arc::new(StringViewArray::from(vec![text.as_str()])))
}
