//! Prepared statements: parsed once, their parameters and columns known before they run.

use std::sync::Arc;

use super::super::backend::Column;
use super::super::control::Stop;
use super::super::encode;
use super::super::error::{PgError, state};
use super::super::plan;
use super::super::statement::Command;
use super::super::types::PgType;
use super::{HELD_BYTES_MAX, STATEMENTS_MAX, Session};

/// A statement that is ready to be bound.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// None is an empty statement.
    pub(super) command: Option<Command>,
    pub(super) sql: Arc<str>,
    pub(super) parameters: Vec<PgType>,
    /// None if it has no rows, or its rows are those of a cursor.
    pub(super) columns: Option<Arc<[Column]>>,
}

/// Columns are counted by 16 bits, and PostgreSQL has fewer still.
const COLUMNS_MAX: usize = i16::MAX as usize;

impl Session {
    /// Finds out what a statement needs and gives.
    pub(super) async fn prepare(
        &mut self,
        command: Option<Command>,
        sql: &Arc<str>,
        declared: &[Option<PgType>],
    ) -> Result<Prepared, Stop> {
        let mut prepared = Prepared {
            command,
            sql: Arc::clone(sql),
            parameters: Vec::new(),
            columns: None,
        };
        match &prepared.command {
            Some(Command::Query(statement)) => {
                let control = self.control(sql);
                let context = self.context.clone();
                let planning = async {
                    let types = plan::parameter_types(&context, statement, declared, sql).await?;
                    let plan = plan::plan(&context, statement, &types, sql).await?;
                    Ok::<_, PgError>((types, plan))
                };
                let (types, plan) = control.run(&mut self.wire, Box::pin(planning)).await??;
                let columns = encode::columns(plan.schema().as_arrow());
                prepared.parameters = types;
                prepared.columns = Some(checked(columns)?);
            }
            Some(Command::Insert(statement)) => {
                let control = self.control(sql);
                let context = self.context.clone();
                let planning = plan::insert_parameters(&context, statement, declared, sql);
                prepared.parameters = control.run(&mut self.wire, Box::pin(planning)).await??;
            }
            Some(
                Command::Declare { query, .. }
                | Command::Copy { query, .. }
                | Command::Export { query, .. },
            ) => {
                let control = self.control(sql);
                let context = self.context.clone();
                let planning = plan::parameter_types(&context, query, declared, sql);
                prepared.parameters = control.run(&mut self.wire, Box::pin(planning)).await??;
            }
            Some(Command::Show(name)) => prepared.columns = Some(self.show(name)?.columns),
            Some(Command::ShowAll) => prepared.columns = Some(self.show_all()?.columns),
            Some(Command::Execute { name, .. }) => {
                prepared.columns = self.statement(name)?.columns.clone()
            }
            Some(Command::Refused(error)) => return Err(error.clone().into()),
            _ => {}
        }
        Ok(prepared)
    }

    pub(super) fn statement(&self, name: &str) -> Result<Arc<Prepared>, PgError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            PgError::new(state::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Keeps a statement under its name; only the one without a name can be replaced.
    pub(super) fn keep(&mut self, name: String, prepared: Prepared) -> Result<(), PgError> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(PgError::new(state::DUPLICATE_PSTATEMENT, message));
        }
        if self.statements.len() >= STATEMENTS_MAX && !self.statements.contains_key(&name) {
            let message = format!("a session can have {STATEMENTS_MAX} prepared statements");
            let error = PgError::new(state::CONFIGURATION_LIMIT_EXCEEDED, message);
            return Err(error.with_hint("DEALLOCATE those that are not needed."));
        }
        let held: usize = self
            .statements
            .values()
            .map(|statement| statement.sql.len())
            .sum();
        if held + prepared.sql.len() > HELD_BYTES_MAX {
            let message = format!(
                "the prepared statements of a session can have {HELD_BYTES_MAX} bytes of text"
            );
            let error = PgError::new(state::CONFIGURATION_LIMIT_EXCEEDED, message);
            return Err(error.with_hint("DEALLOCATE those that are not needed."));
        }
        self.statements.insert(name, Arc::new(prepared));
        Ok(())
    }

    pub(super) fn deallocate(&mut self, name: Option<&str>) -> Result<&'static str, PgError> {
        match name {
            None => {
                self.statements.clear();
                Ok("DEALLOCATE ALL")
            }
            Some(name) => {
                self.statement(name)?;
                self.statements.remove(name);
                Ok("DEALLOCATE")
            }
        }
    }
}

pub(super) fn checked(columns: Vec<Column>) -> Result<Arc<[Column]>, PgError> {
    if columns.len() > COLUMNS_MAX {
        let message = format!("a result can have {COLUMNS_MAX} columns");
        return Err(PgError::new("54011", message));
    }
    Ok(columns.into())
}
