//! INSERT, COPY FROM, CREATE TABLE and DROP TABLE, and the commit of what was written.
//!
//! Invariants: what is written between two `ReadyForQuery`, or in a block, counts as a whole or not at all, as PostgreSQL has
//! it; whatever ends a session before its commit leaves nothing that counts. The end of a transaction is not cancelled, since
//! nobody would know then how it ended.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{CreateTable, Ident, ObjectName, Statement};
use futures_util::StreamExt as _;
use types::TopicName;

use super::super::backend;
use super::super::control::{Control, Stop};
use super::super::copy::CopyFormat;
use super::super::copy_binary::BinaryReader;
use super::super::copy_in::{CopyReader, Fields};
use super::super::copy_rows::CopyRows;
use super::super::error::{PgError, state};
use super::super::frontend::Message;
use super::super::plan;
use super::Session;
use super::execute::{Binding, Outcome};
use crate::statements::Refused;
use crate::write::definition;
use crate::write::insert::{self, PlannedInsert};
use crate::write::{InsertTarget, Record, WriteError, Writer, Writes, records, writer};

/// So many rows are made records at a time.
const ROWS: usize = 512;

impl Session {
    fn writer(&self, what: &str) -> Result<Arc<dyn Writer>, PgError> {
        writer(&self.context).ok_or_else(|| {
            let refused = Refused::Insert(what.to_owned());
            PgError::unsupported(refused.to_string(), refused.hint())
        })
    }

    /// How many records wait for their commit.
    pub(super) fn written(&self) -> u64 {
        self.writes.as_ref().map_or(0, Writes::count)
    }

    pub(super) async fn insert(
        &mut self,
        control: &Control,
        statement: &Statement,
        binding: &Binding,
    ) -> Result<Outcome, Stop> {
        self.writer("INSERT")?;
        let (context, sql) = (self.context.clone(), Arc::clone(&binding.prepared.sql));
        let types = &binding.prepared.parameters;
        let planning = plan::insert(&context, statement, types, binding.values.clone(), &sql);
        let planned = control.run(&mut self.wire, Box::pin(planning)).await??;
        let before = self.written();
        let outcome = self.insert_rows(control, &context, planned, &sql).await;
        let rows = self.settle(before, outcome).await?;
        Ok(Outcome::Wrote {
            tag: "INSERT 0",
            rows,
        })
    }

    async fn insert_rows(
        &mut self,
        control: &Control,
        context: &SessionContext,
        planned: PlannedInsert,
        sql: &str,
    ) -> Result<u64, Stop> {
        let PlannedInsert {
            target,
            is_typed,
            query,
        } = planned;
        let failed = |error| PgError::of_engine(&error, sql);
        let starting = async {
            let frame = Box::pin(context.execute_logical_plan(query)).await?;
            Box::pin(frame.execute_stream()).await
        };
        let stream = control.run(&mut self.wire, starting).await?;
        let mut stream = stream.map_err(failed)?;
        let mut rows = 0;
        while let Some(batch) = control.run(&mut self.wire, stream.next()).await? {
            let batch = batch.map_err(failed)?;
            for first in (0..batch.num_rows()).step_by(ROWS) {
                let part = batch.slice(first, ROWS.min(batch.num_rows() - first));
                let records = records(&target, is_typed, &part).map_err(failed)?;
                rows += records.len() as u64;
                self.append(control, &target.topic, records).await?;
            }
        }
        Ok(rows)
    }

    async fn append(
        &mut self,
        control: &Control,
        topic: &TopicName,
        records: Vec<Record>,
    ) -> Result<(), Stop> {
        if self.writes.is_none() {
            self.writes = Some(Writes::new(self.writer("INSERT")?));
        }
        let Some(writes) = &mut self.writes else {
            return Ok(());
        };
        let appended = control.run(&mut self.wire, writes.append(topic, records));
        Ok(appended.await?.map_err(PgError::from)?)
    }

    /// The outcome of a statement before which so many records had been written. One that failed midway takes the whole
    /// transaction with it: Kafka's have no parts.
    async fn settle(&mut self, before: u64, outcome: Result<u64, Stop>) -> Result<u64, Stop> {
        let written = self.written();
        if outcome.is_ok() || written == before {
            return outcome;
        }
        self.abort_writes().await;
        self.transaction.lose_writes();
        outcome.map_err(|stop| match stop {
            Stop::Error(error) => Stop::Error(error.with_detail(nothing_counts(written))),
            Stop::Gone => Stop::Gone,
        })
    }

    /// Has what was written count.
    pub(super) async fn commit_writes(&mut self) -> Result<(), PgError> {
        let Some(writes) = self.writes.take() else {
            return Ok(());
        };
        let count = writes.count();
        writes.commit().await.map_err(|failed| {
            let is_known = !matches!(failed, WriteError::Unknown { .. });
            let error = PgError::from(failed);
            if is_known {
                error.with_detail(nothing_counts(count))
            } else {
                error
            }
        })
    }

    /// The end of what PostgreSQL calls an implicit transaction: a query's text, or the messages up to `Sync`.
    pub(super) async fn commit_unless_in_block(&mut self) -> Result<(), PgError> {
        if self.transaction.is_open() {
            return Ok(());
        }
        self.commit_writes().await
    }

    /// Has nothing of what was written count.
    pub(super) async fn abort_writes(&mut self) {
        if let Some(writes) = self.writes.take() {
            writes.abort().await;
        }
    }

    pub(super) async fn copy_in(
        &mut self,
        control: &Control,
        table: &ObjectName,
        columns: &[Ident],
        format: &CopyFormat,
    ) -> Result<Outcome, Stop> {
        self.writer("COPY FROM")?;
        let context = self.context.clone();
        let finding = async {
            let target = insert::find(&context, table).await?;
            let columns = insert::columns(&target, columns)?;
            let is_typed = insert::is_typed(&target, &columns)?;
            Ok::<_, datafusion::error::DataFusionError>((target, columns, is_typed))
        };
        let (target, columns, is_typed) = control
            .run(&mut self.wire, finding)
            .await?
            .map_err(PgError::from)?;
        backend::copy_in(&mut self.wire.output, columns.len(), format.is_binary);
        control.flush(&mut self.wire).await?;
        let before = self.written();
        let (mut rows, reader) = if format.is_binary {
            (
                CopyRows::binary(target, columns, is_typed),
                Reader::Binary(BinaryReader::default()),
            )
        } else {
            (
                CopyRows::new(target, columns, is_typed),
                Reader::Lines(CopyReader::new(format.clone())),
            )
        };
        let outcome = self.copy_lines(control, reader, &mut rows).await;
        let rows = self.settle(before, outcome).await?;
        Ok(Outcome::Wrote { tag: "COPY", rows })
    }

    async fn copy_lines(
        &mut self,
        control: &Control,
        mut reader: Reader,
        rows: &mut CopyRows,
    ) -> Result<u64, Stop> {
        loop {
            let is_end = match control.receive(&mut self.wire).await? {
                Message::CopyData(data) => {
                    reader.push(&data);
                    false
                }
                Message::CopyDone => true,
                Message::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(PgError::new(state::QUERY_CANCELED, message).into());
                }
                Message::Terminate => return Err(Stop::Gone),
                // As PostgreSQL: drivers send these before they know that a COPY begins.
                Message::Flush | Message::Sync => continue,
                _ => {
                    let message = "unexpected message during COPY from stdin";
                    return Err(PgError::new(state::PROTOCOL_VIOLATION, message).into());
                }
            };
            loop {
                let fields = reader
                    .next(is_end)
                    .map_err(|error| rows.at_line(reader.line(), error))?;
                let is_over = fields.is_none();
                if let Some(fields) = fields {
                    rows.push(reader.line(), fields)?;
                }
                if rows.is_full() || (is_over && is_end) {
                    let records = rows.take()?;
                    self.append(control, rows.topic(), records).await?;
                }
                if is_over {
                    break;
                }
            }
            if is_end {
                return Ok(rows.count());
            }
        }
    }

    pub(super) async fn create_table(&mut self, statement: &CreateTable) -> Result<Outcome, Stop> {
        let writer = self.writer("CREATE TABLE")?;
        let definition = definition::create(statement).map_err(PgError::from)?;
        match writer.create_topic(&definition.topic).await {
            Err(WriteError::TopicExists { topic }) if definition.if_not_exists => {
                let message = format!("relation \"{topic}\" already exists, skipping");
                let notice = PgError::notice(state::DUPLICATE_TABLE, message);
                backend::notice(&mut self.wire.output, &notice);
            }
            created => {
                created.map_err(PgError::from)?;
                if self.transaction.is_open() {
                    let warning = PgError::warning(
                        state::ACTIVE_SQL_TRANSACTION,
                        "the topic is there at once, and ROLLBACK does not take it away",
                    );
                    backend::notice(&mut self.wire.output, &warning);
                }
            }
        }
        Ok(Outcome::Done("CREATE TABLE"))
    }

    /// Either all of them are there, or none is dropped.
    pub(super) async fn drop_table(
        &mut self,
        control: &Control,
        names: &[ObjectName],
        if_exists: bool,
    ) -> Result<Outcome, Stop> {
        let writer = self.writer("DROP TABLE")?;
        if self.transaction.is_open() {
            let message = "DROP TABLE cannot run inside a transaction block";
            let error = PgError::new(state::ACTIVE_SQL_TRANSACTION, message);
            let hint =
                "ROLLBACK would not bring the records back; run it by itself, with autocommit on.";
            return Err(error.with_hint(hint).into());
        }
        let topics = definition::dropped(names).map_err(PgError::from)?;
        let mut there = Vec::with_capacity(topics.len());
        for (topic, name) in topics.into_iter().zip(names) {
            let context = self.context.clone();
            let found = control
                .run(&mut self.wire, insert::find(&context, name))
                .await?;
            match found.map_err(PgError::from) {
                Ok(InsertTarget { topic, .. }) => there.push(topic),
                Err(error) if error.state == state::UNDEFINED_TABLE && if_exists => {
                    self.skip(&topic)
                }
                Err(error) => return Err(error.into()),
            }
        }
        for topic in there {
            match writer.drop_topic(&topic).await {
                Err(WriteError::NoTopic { topic }) if if_exists => self.skip(&topic),
                dropped => dropped.map_err(PgError::from)?,
            }
        }
        Ok(Outcome::Done("DROP TABLE"))
    }

    fn skip(&mut self, topic: &TopicName) {
        let message = format!("table \"{topic}\" does not exist, skipping");
        let notice = PgError::notice("00000", message);
        backend::notice(&mut self.wire.output, &notice);
    }
}

/// What a COPY brings, cut into rows.
enum Reader {
    Lines(CopyReader),
    Binary(BinaryReader),
}

impl Reader {
    fn push(&mut self, data: &[u8]) {
        match self {
            Self::Lines(reader) => reader.push(data),
            Self::Binary(reader) => reader.push(data),
        }
    }

    fn next(&mut self, is_end: bool) -> Result<Option<Fields>, PgError> {
        match self {
            Self::Lines(reader) => reader.next(is_end),
            Self::Binary(reader) => reader.next(is_end),
        }
    }

    /// The line, or the row, that was read last.
    fn line(&self) -> u64 {
        match self {
            Self::Lines(reader) => reader.line(),
            Self::Binary(reader) => reader.row(),
        }
    }
}

fn nothing_counts(records: u64) -> String {
    match records {
        1 => "The record of the transaction does not count.".to_owned(),
        _ => format!("None of the {records} records of the transaction counts."),
    }
}
