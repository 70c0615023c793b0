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
mod read;
mod shape;

use std::time::Duration;

use contract::{Column, Contract, Format};
use spec::{Columns, Postgres};

pub use error::SourceError;
pub use position::{Phase, Position};

use self::page::Page;
use self::shape::{KeyColumn, Shape};
use super::connection::Address;
use super::failure::Failure;
use super::session::{Session, Value, get};

/// What a source relies on beyond the settings of every session: it reads all rows of its queries, and the reader of its chunks may take its
/// time.
const SETTINGS: &str =
    "SET cursor_tuple_fraction = 1; SET idle_in_transaction_session_timeout = '60min'";
/// How long a page takes at most.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
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
        let mut session = Session::open(address).await?;
        session.execute(doing, SETTINGS).await?;
        session.work_at_most(doing, PAGE_TIMEOUT).await?;
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
        let column = self.shape.cursor.as_ref().map(|cursor| &cursor.column);
        let cursor = column.map(|column| column.name.clone());
        let cursor_order = column.map(|column| column.order.clone());
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
        let reordered = |name: &str, was: &str, is: &str| {
            misfit(format!(
                "its column {name} was ordered as {was}, and is as {is} now"
            ))
        };
        if let (Some(name), Some(was), Some(is)) = (&cursor, &position.cursor_order, &cursor_order)
            && was != is
        {
            return Err(reordered(name, was, is));
        }
        let (key, key_order): (Vec<_>, Vec<_>) = page::key(&self.shape, position.phase)
            .into_iter()
            .map(|key| (key.name, key.order))
            .unzip();
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
        let orders = position.key_order.iter().zip(&key_order);
        let mut changed = key.iter().zip(orders).filter(|(_, (was, is))| was != is);
        if let (Some(_), Some((name, (was, is)))) = (&position.after, changed.next()) {
            return Err(reordered(name, was, is));
        }
        Ok(Position {
            key,
            key_order,
            cursor_column: cursor,
            cursor_order,
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
                .read(&self.doing, &page::largest(&self.shape, cursor), &[])
                .await;
            let rows = rows.map_err(|failure| self.explained(failure))?;
            position.until = rows
                .first()
                .map_or(Ok(None), |row| get(&self.doing, row, 0))?;
        }
        Ok(position.phase == Phase::Snapshot || position.until.is_some())
    }

    /// The session, or a new one, for which everything is looked up again. It is put back when all went well.
    async fn take_session(&mut self) -> Result<Session, SourceError> {
        match self.session.take().filter(|session| !session.is_closed()) {
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

/// The values of a page.
fn bound(page: &Page) -> Vec<Value<'_>> {
    page.values.iter().map(|value| value as Value<'_>).collect()
}
