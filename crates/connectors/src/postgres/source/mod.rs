//! [`Source`]: the rows of a table or a query as records, chunk by chunk.
//!
//! Each record is a line of CSV and fits [`Source::contract`]. A chunk comes with the position behind it; read from that position the next
//! one follows, whether in this process or, after a crash, in another one. So who keeps the position in the transaction that keeps the
//! records has each row that it read once. A row that changes while it is read, or within the lookback, is read again: by their key the
//! versions are one row.
//!
//! Invariants: rows come in the order of a key, and a page ends between two keys, so that no row falls between pages. What is read is
//! committed. Values are bound, in every query.

mod error;
mod line;
mod page;
mod position;
mod shape;

use contract::{Column, Contract, Format};
use spec::{Columns, Postgres};

pub use error::SourceError;
pub use position::{Phase, Position};

use self::page::Page;
use self::shape::{KeyColumn, Shape};
use super::connection::Address;
use super::failure::Failure;
use super::session::{Session, Value, get};

/// How many rows are fetched first, and at most, at once; in between as many as fetch about so many bytes.
const FETCH_FIRST: usize = 16;
const FETCH_ROWS: usize = 1000;
const FETCH_BYTES: usize = 2 << 20;
/// A chunk ends early when it is as large as that.
const CHUNK_BYTES: usize = 32 << 20;
/// How many bytes rows with the same key may have, since they are of one chunk.
const TIES_BYTES: usize = 8 * CHUNK_BYTES;
/// What a record costs beside its bytes.
const RECORD_BYTES: usize = 80;
/// How many rows more than a page may have the key of its last one.
const TIES_MAX: u64 = 100_000;
/// What a source relies on beyond the settings of every session: it reads all rows of its queries, and the reader of its chunks may take its
/// time.
const SETTINGS: &str = "SET cursor_tuple_fraction = 1; SET statement_timeout = '60min'; SET idle_in_transaction_session_timeout = '60min'";
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// A line of CSV without a line end, its fields in the order of the contract's columns.
    pub value: Vec<u8>,
    /// Where it was, for dead letters: the key, as `updated_at=2026-08-01 00:00:00+00, id=7`, or the number of the row.
    pub place: String,
}

/// Rows and the position behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The rows; none where only the position moves.
    pub records: Vec<Record>,
    /// Behind them.
    pub position: Position,
}

/// A table or a query that is read.
#[derive(Debug)]
pub struct Source {
    address: Address,
    spec: Postgres,
    declared: Option<Columns>,
    shape: Shape,
    doing: String,
    session: Option<Session>,
    /// How many rows were not too many for a chunk.
    rows: u64,
    /// Of a read in one go: the position behind what was read of the open query.
    open: Option<Position>,
}

impl Source {
    /// Connects and looks up what is read. `name` is what the database sees as the name of the session.
    ///
    /// # Errors
    /// The address is none, nobody answers, or what is read is not there or does not fit.
    pub async fn connect(
        connection: &str,
        spec: &Postgres,
        declared: Option<&Columns>,
        name: &str,
    ) -> Result<Self, SourceError> {
        let doing = format!("reading {}", shape::what(spec));
        let address = Address::parse(connection)
            .map_err(|error| Failure::trust(&doing, error.to_string()))?;
        let address = address.of(&format!("watertable: {name}"));
        let (session, shape) = Self::look(&address, &doing, spec, declared).await?;
        Ok(Self {
            address,
            spec: spec.clone(),
            declared: declared.cloned(),
            shape,
            doing,
            session: Some(session),
            rows: spec.chunk_rows,
            open: None,
        })
    }

    async fn look(
        address: &Address,
        doing: &str,
        spec: &Postgres,
        declared: Option<&Columns>,
    ) -> Result<(Session, Shape), SourceError> {
        let session = Session::open(address).await?;
        session.execute(doing, SETTINGS).await?;
        super::catalog::check_version(&session, doing).await?;
        let shape = shape::shape(&session, doing, spec, declared).await?;
        Ok((session, shape))
    }

    /// The columns of the records: those that are declared, or what the catalogue says.
    pub fn columns(&self) -> Vec<Column> {
        self.shape
            .columns
            .iter()
            .map(|(column, _)| column.clone())
            .collect()
    }

    /// What the records are.
    ///
    /// # Errors
    /// The columns are not those of a contract.
    pub fn contract(&self) -> Result<Contract, SourceError> {
        let contract = Contract::new(Format::csv(), self.columns());
        contract.map_err(|error| self.unfit(error.to_string()))
    }

    /// Whether it can be read: the columns can be ordered, and the role may read them. Gives what somebody should know.
    ///
    /// # Errors
    /// It cannot; the error says why.
    pub async fn check(&mut self) -> Result<Vec<String>, SourceError> {
        self.contract()?;
        let session = self.take_session().await?;
        let after = |key: &[KeyColumn]| (!key.is_empty()).then(|| vec![None; key.len()]);
        for phase in [Phase::Snapshot, Phase::Incremental] {
            if phase == Phase::Incremental && self.shape.cursor.is_none() {
                continue;
            }
            let key = page::key(&self.shape, phase);
            let position = Position {
                phase,
                after: after(&key),
                ..Position::default()
            };
            let page = page::page(&self.shape, &position, 1);
            let statement = format!("EXPLAIN {}", page.sql);
            // It is planned, which looks at types and rights, and not run.
            session
                .query(&self.doing, &statement, &bound(&page))
                .await
                .map_err(|failure| self.explained(failure))?;
        }
        self.session = Some(session);
        Ok(self.shape.warnings.clone())
    }

    /// What an error of a query means that is not the database's fault.
    fn explained(&self, failure: Failure) -> SourceError {
        // Undefined function: there is no order.
        if failure.sqlstate.as_deref() == Some("42883") {
            return self.unfit(format!(
                "its cursor or tie_breaker is of a type that has no order: {}",
                failure.message
            ));
        }
        failure.into()
    }

    fn unfit(&self, problem: String) -> SourceError {
        SourceError::Unfit {
            what: shape::what(&self.spec),
            problems: vec![problem],
        }
    }

    /// The chunk at a position; `None` at the end of the run, which [`Position::next_run`] begins anew.
    ///
    /// # Errors
    /// See [`SourceError`]; the position stays.
    pub async fn next(&mut self, position: &Position) -> Result<Option<Chunk>, SourceError> {
        if position.finished {
            return Ok(None);
        }
        let open = self.open.take();
        let session = self.take_session().await?;
        let mut position = self.fitting(position)?;
        let key = page::key(&self.shape, position.phase);
        let chunk = if key.is_empty() {
            let is_open = open.as_ref() == Some(&position);
            self.in_one_go(&session, position, is_open).await?
        } else {
            session.execute(&self.doing, BEGIN).await?;
            let chunk = match self.bounds(&session, &mut position).await? {
                true => self.page(&session, position, &key).await?,
                false => Chunk {
                    records: Vec::new(),
                    position: position.end_of_phase(),
                },
            };
            session.execute(&self.doing, "COMMIT").await?;
            chunk
        };
        self.session = Some(session);
        Ok(Some(chunk))
    }

    /// The position with the columns that it is about, if it is about these.
    fn fitting(&self, position: &Position) -> Result<Position, SourceError> {
        let misfit = |why: String| SourceError::Position {
            what: shape::what(&self.spec),
            why,
        };
        let cursor = self
            .shape
            .cursor
            .as_ref()
            .map(|cursor| cursor.column.name.clone());
        let is_new = position.rows == 0 && position.run == 0 && position.cursor_column.is_none();
        if position.cursor_column != cursor && !is_new {
            let said =
                |cursor: &Option<String>| cursor.clone().unwrap_or_else(|| "none".to_owned());
            return Err(misfit(format!(
                "its cursor was {}, and is {} now",
                said(&position.cursor_column),
                said(&cursor)
            )));
        }
        let key: Vec<_> = page::key(&self.shape, position.phase)
            .into_iter()
            .map(|key| key.name)
            .collect();
        if position.after.is_some() && position.key != key {
            return Err(misfit(format!(
                "it was read in the order of ({}), which is ({}) now",
                position.key.join(", "),
                key.join(", ")
            )));
        }
        if position
            .after
            .as_ref()
            .is_some_and(|after| after.len() != key.len())
        {
            return Err(misfit(
                "it has not one value for each column of its key".to_owned(),
            ));
        }
        Ok(Position {
            key,
            cursor_column: cursor,
            ..position.clone()
        })
    }

    /// Notes up to which cursor is read; whether there is anything.
    async fn bounds(
        &self,
        session: &Session,
        position: &mut Position,
    ) -> Result<bool, SourceError> {
        let Some(cursor) = &self.shape.cursor else {
            return Ok(true);
        };
        if position.after.is_none() && position.until.is_none() {
            let rows = session
                .query(&self.doing, &page::largest(&self.shape, cursor), &[])
                .await;
            let rows = rows.map_err(|failure| self.explained(failure))?;
            position.until = rows
                .first()
                .map_or(Ok(None), |row| get(&self.doing, row, 0))?;
        }
        Ok(position.phase == Phase::Snapshot || position.until.is_some())
    }

    /// A page in the order of its key. One that is too large is read again with as many rows as are not, in the same snapshot.
    async fn page(
        &mut self,
        session: &Session,
        position: Position,
        key: &[KeyColumn],
    ) -> Result<Chunk, SourceError> {
        let mut rows = self.rows.min(self.spec.chunk_rows);
        let mut read = self
            .read_page(session, &position, key, rows, CHUNK_BYTES)
            .await?;
        if read.is_large {
            rows = u64::try_from(read.records.len()).unwrap_or(u64::MAX).max(1);
            read = self
                .read_page(session, &position, key, rows, TIES_BYTES)
                .await?;
            if read.is_large {
                return Err(self.ties(key, read.records.len()));
            }
        }
        // Rows may become smaller again.
        let is_small = read.bytes < CHUNK_BYTES / 4;
        self.rows = if is_small {
            rows.saturating_mul(2)
        } else {
            rows
        };
        let count = u64::try_from(read.records.len()).unwrap_or(u64::MAX);
        let mut position = position;
        position.rows += count;
        position = if count >= rows {
            Position {
                after: read.last,
                ..position
            }
        } else {
            position.end_of_phase()
        };
        Ok(Chunk {
            records: read.records,
            position,
        })
    }

    /// The rows of a page, up to the first behind so many bytes.
    async fn read_page(
        &self,
        session: &Session,
        position: &Position,
        key: &[KeyColumn],
        rows: u64,
        bytes_max: usize,
    ) -> Result<Read, SourceError> {
        self.declare(session, &page::page(&self.shape, position, rows))
            .await?;
        let mut read = Read::default();
        let mut fetch = Fetch::default();
        while let Some(found) = self.fetch(session, &mut fetch).await? {
            for row in &found {
                if read.bytes >= bytes_max {
                    read.is_large = true;
                    break;
                }
                let of_key = (0..key.len()).map(|at| get(&self.doing, row, at));
                let of_key: Vec<Option<String>> = of_key.collect::<Result<_, _>>()?;
                let count = u64::try_from(read.records.len()).unwrap_or(u64::MAX);
                if count >= rows.saturating_add(TIES_MAX) {
                    return Err(self.ties(key, read.records.len()));
                }
                let record = self.record(row, key, &of_key, position.rows + count)?;
                read.bytes += record.bytes();
                read.records.push(record);
                read.last = Some(of_key);
            }
            fetch.took(read.bytes, read.records.len());
            if read.is_large {
                break;
            }
        }
        session
            .execute(&self.doing, "CLOSE watertable_rows")
            .await?;
        Ok(read)
    }

    fn ties(&self, key: &[KeyColumn], rows: usize) -> SourceError {
        let key: Vec<_> = key.iter().map(|key| key.name.as_str()).collect();
        SourceError::Ties {
            what: shape::what(&self.spec),
            key: key.join(", "),
            rows: u64::try_from(rows).unwrap_or(u64::MAX),
        }
    }

    /// Rows that nothing tells apart: a chunk of the one query, which is begun if it is not open.
    async fn in_one_go(
        &mut self,
        session: &Session,
        mut position: Position,
        is_open: bool,
    ) -> Result<Chunk, SourceError> {
        if !is_open {
            session.execute(&self.doing, "ROLLBACK").await?;
            session.execute(&self.doing, BEGIN).await?;
            position.rows = 0;
            self.declare(session, &page::page(&self.shape, &position, 0))
                .await?;
        }
        let mut chunk = Chunk {
            records: Vec::new(),
            position,
        };
        let (mut bytes, mut fetch) = (0, Fetch::default());
        while let Some(found) = self.fetch(session, &mut fetch).await? {
            for row in &found {
                let record = self.record(row, &[], &[], chunk.position.rows)?;
                bytes += record.bytes();
                chunk.records.push(record);
                chunk.position.rows += 1;
            }
            let count = u64::try_from(chunk.records.len()).unwrap_or(u64::MAX);
            if bytes >= CHUNK_BYTES || count >= self.spec.chunk_rows {
                self.open = Some(chunk.position.clone());
                return Ok(chunk);
            }
            fetch.took(bytes, chunk.records.len());
            fetch.at_most(self.spec.chunk_rows - count);
        }
        session.execute(&self.doing, "COMMIT").await?;
        chunk.position = chunk.position.end_of_phase();
        Ok(chunk)
    }

    async fn declare(&self, session: &Session, page: &Page) -> Result<(), SourceError> {
        let sql = format!("DECLARE watertable_rows NO SCROLL CURSOR FOR {}", page.sql);
        let declared = session.query(&self.doing, &sql, &bound(page)).await;
        declared
            .map(drop)
            .map_err(|failure| self.explained(failure))
    }

    /// The next rows of the open query; `None` at its end.
    async fn fetch(
        &self,
        session: &Session,
        fetch: &mut Fetch,
    ) -> Result<Option<Vec<tokio_postgres::Row>>, SourceError> {
        if fetch.is_end {
            return Ok(None);
        }
        let rows = fetch.rows;
        let sql = format!("FETCH FORWARD {rows} FROM watertable_rows");
        let found = session.query(&self.doing, &sql, &[]).await?;
        fetch.is_end = found.len() < rows;
        Ok((!found.is_empty()).then_some(found))
    }

    fn record(
        &self,
        row: &tokio_postgres::Row,
        key: &[KeyColumn],
        of_key: &[Option<String>],
        number: u64,
    ) -> Result<Record, Failure> {
        let mut value = Vec::new();
        for at in 0..self.shape.columns.len() {
            let field: Option<&str> = get(&self.doing, row, key.len() + at)?;
            line::push(&mut value, at == 0, field);
        }
        let named = key
            .iter()
            .zip(of_key)
            .map(|(key, value)| format!("{}={}", key.name, value.as_deref().unwrap_or("NULL")));
        let named: Vec<_> = named.collect();
        let place = if named.is_empty() {
            format!("row {}", number + 1)
        } else {
            named.join(", ")
        };
        Ok(Record { value, place })
    }

    /// The session, or a new one, for which everything is looked up again. It is put back when all went well.
    async fn take_session(&mut self) -> Result<Session, SourceError> {
        match self
            .session
            .take()
            .filter(|session| !session.client.is_closed())
        {
            Some(session) => Ok(session),
            None => {
                self.open = None;
                let (session, shape) = Self::look(
                    &self.address,
                    &self.doing,
                    &self.spec,
                    self.declared.as_ref(),
                )
                .await?;
                self.shape = shape;
                Ok(session)
            }
        }
    }
}

/// What was read of a page.
#[derive(Default)]
struct Read {
    records: Vec<Record>,
    /// The key of the last one.
    last: Option<Vec<Option<String>>>,
    bytes: usize,
    /// Whether there is more behind the bytes that it may have.
    is_large: bool,
}

/// How many rows are fetched at once: few of large ones.
struct Fetch {
    rows: usize,
    is_end: bool,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            rows: FETCH_FIRST,
            is_end: false,
        }
    }
}

impl Fetch {
    /// So many bytes came in so many rows.
    fn took(&mut self, bytes: usize, rows: usize) {
        let of_row = (bytes / rows.max(1)).max(1);
        self.rows = (FETCH_BYTES / of_row).clamp(1, FETCH_ROWS);
    }

    fn at_most(&mut self, rows: u64) {
        self.rows = self
            .rows
            .min(usize::try_from(rows).unwrap_or(usize::MAX))
            .max(1);
    }
}

impl Record {
    /// What it costs.
    fn bytes(&self) -> usize {
        self.value.len() + self.place.len() + RECORD_BYTES
    }
}

fn bound(page: &Page) -> Vec<Value<'_>> {
    page.values.iter().map(|value| value as Value<'_>).collect()
}
