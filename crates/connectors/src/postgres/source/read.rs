//! The rows of pages, and those of the one query of a table that nothing tells apart.
//!
//! Invariant: rows are fetched few at a time from a query that stays open, so that neither what the database sends nor what a chunk
//! has is more than was said, whatever the rows are.

use crate::postgres::failure::Failure;
use crate::postgres::session::{Session, get};

use super::line;
use super::page::{self, Page};
use super::shape::{self, KeyColumn};
use super::{BEGIN, Chunk, Position, Record, Source, SourceError, bound};

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

impl Source {
    /// A page in the order of its key. One that is too large is read again with as many rows as are not, in the same snapshot.
    pub(super) async fn page(
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
    pub(super) async fn in_one_go(
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
        let declared = session.read(&self.doing, &sql, &bound(page)).await;
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
        let found = session.read(&self.doing, &sql, &[]).await?;
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
