//! Statements run: planned, started, their rows sent as the client takes them.
//!
//! Invariant: a result is never held: a batch at a time is encoded into the output, which is sent when it is full, and while the
//! client does not take it the query does not go on.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Expr, Statement, UnaryOperator, Value};

use super::super::backend::{self, Column};
use super::super::control::{Control, Stop};
use super::super::copy::CopyFormat;
use super::super::decode;
use super::super::encode::Rows;
use super::super::error::{PgError, state};
use super::super::export::Export;
use super::super::frontend::Format;
use super::super::plan;
use super::super::rows::Source;
use super::super::statement::Command;
use super::super::types::PgType;
use super::super::wire::OUTPUT_BYTES;
use super::Session;
use super::prepared::{Prepared, checked};
use crate::export::ExportError;

/// A statement with the values of its parameters.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
}

impl Binding {
    /// A statement of the simple protocol, which has no parameters.
    pub(super) fn of_text(command: Command, sql: &Arc<str>) -> Self {
        let prepared = Prepared {
            command: Some(command),
            sql: Arc::clone(sql),
            parameters: Vec::new(),
            columns: None,
        };
        Self {
            prepared: Arc::new(prepared),
            values: Vec::new(),
        }
    }
}

/// A statement that was bound, or a cursor that was declared.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) stage: Stage,
    pub(super) columns: Option<Arc<[Column]>>,
    /// As the client wants them; see [`format_of`].
    pub(super) formats: Vec<Format>,
    /// Of the values that it was bound with.
    pub(super) bytes: usize,
    /// It outlives its transaction.
    pub(super) is_held: bool,
}

impl Portal {
    /// The text of its statement, as long as it can go on.
    pub(super) fn sql(&self) -> &str {
        match &self.stage {
            Stage::Ready(binding) => &binding.prepared.sql,
            Stage::Rows(running) => &running.source.sql,
            Stage::Finished(_) => "",
        }
    }
}

/// How far a portal is.
#[derive(Debug)]
pub(super) enum Stage {
    Ready(Binding),
    Rows(Running),
    /// Of the last FETCH or of a command; it is not run again.
    Finished(&'static str),
}

/// A query whose rows are being taken.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) source: Source,
    pub(super) tag: &'static str,
    pub(super) default_format: Format,
}

/// What running a statement came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Empty,
    Done(&'static str),
    /// Records; they wait for their commit.
    Wrote {
        tag: &'static str,
        rows: u64,
    },
    Rows(Running),
    /// The next rows of a cursor.
    Fetch {
        cursor: String,
        count: Option<u64>,
    },
    Copy {
        source: Source,
        format: CopyFormat,
    },
    /// So many rows were written to a file of the server.
    Exported(u64),
}

/// The format of a column by its position: one for all, or one for each.
pub(super) fn format_of(formats: &[Format], column: usize, default: Format) -> Format {
    match formats {
        [] => default,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(default),
    }
}

impl Session {
    /// Does what the statement says, up to the rows that it has.
    pub(super) async fn start(
        &mut self,
        control: &Control,
        binding: &Binding,
    ) -> Result<Outcome, Stop> {
        let Some(command) = &binding.prepared.command else {
            return Ok(Outcome::Empty);
        };
        if !matches!(
            command,
            Command::Commit | Command::Rollback | Command::RollbackTo(_)
        ) {
            self.transaction.check()?;
        }
        self.apply_settings()?;
        let sql = &binding.prepared.sql;
        Ok(match command {
            Command::Query(statement) => {
                let source = self.open(control, statement, binding).await?;
                let tag = if matches!(statement.as_ref(), Statement::Explain { .. }) {
                    "EXPLAIN"
                } else {
                    "SELECT"
                };
                Outcome::Rows(running(source, tag))
            }
            Command::Begin => Outcome::Done(self.begin()),
            Command::Commit => Outcome::Done(self.commit().await?),
            Command::Rollback => Outcome::Done(self.rollback().await?),
            Command::Savepoint(name) => Outcome::Done(self.savepoint(name.clone())?),
            Command::RollbackTo(name) => Outcome::Done(self.rollback_to(name)?),
            Command::Release(name) => Outcome::Done(self.release(name)?),
            Command::Set {
                name,
                value,
                is_local,
            } => {
                self.set(name, value.as_deref())?;
                if *is_local {
                    self.transaction.set_local(name);
                }
                Outcome::Done(if value.is_some() { "SET" } else { "RESET" })
            }
            Command::SetTransaction => Outcome::Done("SET"),
            Command::ResetAll => {
                self.reset_all()?;
                Outcome::Done("RESET")
            }
            Command::Show(name) => Outcome::Rows(running(self.show(name)?, "SHOW")),
            Command::ShowAll => Outcome::Rows(running(self.show_all()?, "SHOW")),
            Command::Declare {
                name,
                is_held,
                is_binary,
                query,
            } => {
                self.check_declare(name, *is_held)?;
                let source = self.open(control, query, binding).await?;
                self.declare(name, source, *is_held, *is_binary)?;
                Outcome::Done("DECLARE CURSOR")
            }
            Command::Fetch { name, count } => {
                self.cursor_columns(name)?;
                Outcome::Fetch {
                    cursor: name.clone(),
                    count: *count,
                }
            }
            Command::CloseCursor(name) => Outcome::Done(self.close_cursor(name.as_deref())?),
            Command::Copy { query, format } => Outcome::Copy {
                source: self.open(control, query, binding).await?,
                format: format.clone(),
            },
            Command::Insert(statement) => self.insert(control, statement, binding).await?,
            Command::CopyIn {
                table,
                columns,
                format,
            } => self.copy_in(control, table, columns, format).await?,
            Command::CreateTable(statement) => self.create_table(statement).await?,
            Command::DropTable { names, if_exists } => {
                self.drop_table(control, names, *if_exists).await?
            }
            Command::Export { query, export } => {
                Outcome::Exported(self.export(control, query, export, binding).await?)
            }
            Command::Prepare {
                name,
                types,
                command,
            } => {
                let declared: Vec<_> = types
                    .iter()
                    .map(super::super::rewrite::casts::to_pg)
                    .collect();
                let command = command.as_ref().clone();
                let prepared = self.prepare(Some(command), sql, &declared).await?;
                self.keep(name.clone(), prepared)?;
                Outcome::Done("PREPARE")
            }
            Command::Execute { name, values } => {
                let prepared = self.statement(name)?;
                let values = argument_values(&prepared.parameters, values)?;
                let command = prepared.command.clone();
                let binding = Binding { prepared, values };
                match command {
                    Some(Command::Query(statement)) => {
                        let source = self.open(control, &statement, &binding).await?;
                        Outcome::Rows(running(source, "SELECT"))
                    }
                    Some(Command::Insert(statement)) => {
                        self.insert(control, &statement, &binding).await?
                    }
                    _ => {
                        return Err(PgError::unsupported(
                            "only queries and INSERT can be executed",
                            "Use the statement itself.",
                        )
                        .into());
                    }
                }
            }
            Command::Deallocate(name) => Outcome::Done(self.deallocate(name.as_deref())?),
            Command::DiscardAll => {
                self.portals.clear();
                self.statements.clear();
                self.reset_all()?;
                Outcome::Done("DISCARD ALL")
            }
            Command::Nothing(tag) => Outcome::Done(tag),
            Command::Refused(error) => return Err(error.clone().into()),
        })
    }

    /// Plans the query anew and starts it.
    async fn open(
        &mut self,
        control: &Control,
        statement: &Statement,
        binding: &Binding,
    ) -> Result<Source, Stop> {
        let context = self.context.clone();
        let sql = Arc::clone(&binding.prepared.sql);
        let opening = open_stream(
            &context,
            statement,
            &binding.prepared.parameters,
            binding.values.clone(),
            &sql,
        );
        let stream = control.run(&mut self.wire, opening).await??;
        let source = Source::new(stream, Arc::clone(&sql));
        checked(source.columns.to_vec())?;
        match &binding.prepared.columns {
            // What the client was told when it prepared the statement must hold.
            Some(told)
                if *told != source.columns
                    && matches!(binding.prepared.command, Some(Command::Query(_))) =>
            {
                let error = PgError::new(
                    state::FEATURE_NOT_SUPPORTED,
                    "cached plan must not change result type",
                );
                Err(error
                    .with_hint("The topic's contract has changed; prepare the statement again.")
                    .into())
            }
            _ => Ok(source),
        }
    }

    /// Writes the rows of a query to a file of the server or to a store, and how many there were.
    async fn export(
        &mut self,
        control: &Control,
        query: &Statement,
        export: &Arc<Export>,
        binding: &Binding,
    ) -> Result<u64, Stop> {
        let sql = Arc::clone(&binding.prepared.sql);
        let error = |error: ExportError| PgError::of_export(&error, &sql);
        let Some(exports) = self.shared.sessions.exports() else {
            return Err(error(ExportError::NotAllowed).into());
        };
        exports.check(&export.wanted).map_err(error)?;
        export.format().map_err(error)?;
        let context = self.context.clone();
        let zone = self.settings.lock().style().zone;
        let encoder = Arc::clone(export);
        let write = async {
            let types = &binding.prepared.parameters;
            let stream = open_stream(&context, query, types, binding.values.clone(), &sql).await?;
            let memory = Arc::clone(&context.runtime_env().memory_pool);
            let begin = move |schema: &_, output| encoder.begin(schema, zone, output);
            let written = exports.write(export.wanted.clone(), stream, &memory, begin);
            written.await.map_err(error)
        };
        Ok(control.run(&mut self.wire, write).await??)
    }

    /// Sends at most so many rows. Fewer means that there are no more.
    pub(super) async fn send_rows(
        &mut self,
        control: &Control,
        source: &mut Source,
        most: u64,
        mut write: impl FnMut(&Rows, usize, &mut BytesMut),
    ) -> Result<u64, Stop> {
        let mut sent = 0;
        while sent < most && control.run(&mut self.wire, source.fill()).await?? {
            let output = &mut self.wire.output;
            let taken = source.take(most - sent, |rows, row| {
                write(rows, row, output);
                output.len() < OUTPUT_BYTES
            });
            self.key.rows_sent(taken);
            sent += taken;
            if self.wire.output.len() >= OUTPUT_BYTES {
                control.flush(&mut self.wire).await?;
            }
        }
        Ok(sent)
    }

    /// Sends rows of a result in these formats.
    pub(super) async fn send_data(
        &mut self,
        control: &Control,
        source: &mut Source,
        most: u64,
        formats: &[Format],
        default: Format,
    ) -> Result<u64, Stop> {
        let style = self.settings.lock().style();
        let columns = source.columns.len();
        let formats: Vec<Format> = (0..columns)
            .map(|column| format_of(formats, column, default))
            .collect();
        let write = |rows: &Rows, row: usize, output: &mut BytesMut| {
            backend::data_row(output, columns, |column, body| {
                rows.put(row, column, formats[column], style, body);
            });
        };
        self.send_rows(control, source, most, write).await
    }

    /// Sends all that a statement gave. `formats` are those of the client, for a FETCH.
    pub(super) async fn finish(
        &mut self,
        control: &Control,
        outcome: Outcome,
        formats: &[Format],
    ) -> Result<(), Stop> {
        let tag = match outcome {
            Outcome::Empty => {
                backend::empty_query(&mut self.wire.output);
                return Ok(());
            }
            Outcome::Done(tag) => tag.to_owned(),
            Outcome::Wrote { tag, rows } => format!("{tag} {rows}"),
            Outcome::Rows(mut running) => {
                let sent = self
                    .send_data(
                        control,
                        &mut running.source,
                        u64::MAX,
                        formats,
                        running.default_format,
                    )
                    .await?;
                row_tag(running.tag, sent)
            }
            Outcome::Fetch { cursor, count } => {
                let sent = self.fetch(control, &cursor, count, formats).await?;
                row_tag("FETCH", sent)
            }
            Outcome::Exported(rows) => row_tag("COPY", rows),
            Outcome::Copy { source, format } => {
                let sent = self.copy_out(control, source, &format).await?;
                row_tag("COPY", sent)
            }
        };
        backend::command_complete(&mut self.wire.output, &tag);
        Ok(())
    }

    async fn copy_out(
        &mut self,
        control: &Control,
        mut source: Source,
        format: &CopyFormat,
    ) -> Result<u64, Stop> {
        let columns = Arc::clone(&source.columns);
        let style = self.settings.lock().style();
        backend::copy_out(&mut self.wire.output, columns.len());
        if format.header {
            backend::copy_data(&mut self.wire.output, |line| {
                format.put_header(&columns, line)
            });
        }
        let write = |rows: &Rows, row: usize, output: &mut BytesMut| {
            backend::copy_data(output, |line| {
                format.put_row(rows, row, columns.len(), style, line)
            });
        };
        let sent = self
            .send_rows(control, &mut source, u64::MAX, write)
            .await?;
        backend::copy_done(&mut self.wire.output);
        Ok(sent)
    }
}

pub(super) fn row_tag(tag: &str, rows: u64) -> String {
    match tag {
        "SELECT" | "FETCH" | "COPY" => format!("{tag} {rows}"),
        other => other.to_owned(),
    }
}

fn running(source: Source, tag: &'static str) -> Running {
    Running {
        source,
        tag,
        default_format: Format::Text,
    }
}

async fn open_stream(
    context: &SessionContext,
    statement: &Statement,
    types: &[PgType],
    values: Vec<ScalarValue>,
    sql: &str,
) -> Result<SendableRecordBatchStream, PgError> {
    let plan = Box::pin(plan::plan(context, statement, types, sql)).await?;
    let plan = plan::bind(plan, values)?;
    let stream = async {
        let frame = context.execute_logical_plan(plan).await?;
        frame.execute_stream().await
    };
    Box::pin(stream)
        .await
        .map_err(|error| PgError::of_engine(&error, sql))
}

/// The values of EXECUTE, which are literals.
fn argument_values(types: &[PgType], values: &[Expr]) -> Result<Vec<ScalarValue>, PgError> {
    if types.len() != values.len() {
        let message = format!(
            "wrong number of parameters: expected {} but got {}",
            types.len(),
            values.len()
        );
        return Err(PgError::new(state::SYNTAX_ERROR, message));
    }
    let literal = |value: &Expr| match value {
        Expr::Value(value) if value.value == Value::Null => Ok(None),
        Expr::Value(value) => Ok(Some(
            value
                .value
                .clone()
                .into_string()
                .unwrap_or_else(|| value.value.to_string()),
        )),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Ok(Some(format!("-{expr}"))),
        other => Err(PgError::unsupported(
            format!("EXECUTE with {other} is not supported"),
            "Give numbers and strings.",
        )),
    };
    let values = types.iter().zip(values).enumerate();
    let values = values.map(|(index, (kind, value))| {
        let text = literal(value)?.map(bytes::Bytes::from);
        decode::parameter(index + 1, *kind, Format::Text, text.as_ref())
    });
    values.collect()
}
