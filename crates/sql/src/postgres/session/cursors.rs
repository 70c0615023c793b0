//! DECLARE, FETCH and CLOSE. A cursor is a portal with a name, as in PostgreSQL: drivers describe and run it as one, too.
//!
//! Invariant: what FETCH sends fits what its description said, in the formats that the FETCH was bound with.

use std::sync::Arc;

use super::super::backend::Column;
use super::super::control::{Control, Stop};
use super::super::error::{PgError, state};
use super::super::frontend::Format;
use super::super::rows::Source;
use super::Session;
use super::execute::{Portal, Running, Stage};

impl Session {
    /// A cursor needs a block to live in, or to be held beyond it.
    pub(super) fn check_declare(&self, name: &str, is_held: bool) -> Result<(), PgError> {
        if !is_held && !self.transaction.is_open() {
            let error = PgError::new(
                state::NO_ACTIVE_SQL_TRANSACTION,
                "DECLARE CURSOR can only be used in transaction blocks",
            );
            return Err(error.with_hint("BEGIN first, or declare it WITH HOLD."));
        }
        if self.portals.contains_key(name) {
            return Err(PgError::new(
                state::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        Ok(())
    }

    pub(super) fn declare(
        &mut self,
        name: &str,
        source: Source,
        is_held: bool,
        is_binary: bool,
    ) -> Result<(), PgError> {
        let portal = Portal {
            columns: Some(Arc::clone(&source.columns)),
            formats: Vec::new(),
            bytes: 0,
            is_held,
            stage: Stage::Rows(Running {
                source,
                tag: "SELECT",
                default_format: if is_binary {
                    Format::Binary
                } else {
                    Format::Text
                },
            }),
        };
        self.put_portal(name.to_owned(), portal)
    }

    /// The columns of a cursor and the format it was declared with.
    pub(super) fn cursor_columns(&self, name: &str) -> Result<(Arc<[Column]>, Format), PgError> {
        match self.portals.get(name).map(|portal| &portal.stage) {
            Some(Stage::Rows(running)) => {
                Ok((Arc::clone(&running.source.columns), running.default_format))
            }
            _ => Err(no_cursor(name)),
        }
    }

    /// Sends the next rows of a cursor.
    pub(super) async fn fetch(
        &mut self,
        control: &Control,
        name: &str,
        count: Option<u64>,
        formats: &[Format],
    ) -> Result<u64, Stop> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_cursor(name))?;
        let Stage::Rows(running) = &mut portal.stage else {
            return Err(no_cursor(name).into());
        };
        let most = count.unwrap_or(u64::MAX);
        let default = running.default_format;
        let sent = self
            .send_data(control, &mut running.source, most, formats, default)
            .await?;
        self.portals.insert(name.to_owned(), portal);
        Ok(sent)
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<&'static str, PgError> {
        match name {
            None => {
                self.portals.retain(|name, _| name.is_empty());
                Ok("CLOSE CURSOR ALL")
            }
            Some(name) => match self.portals.remove(name) {
                Some(_) => Ok("CLOSE CURSOR"),
                None => Err(no_cursor(name)),
            },
        }
    }
}

fn no_cursor(name: &str) -> PgError {
    PgError::new(
        state::INVALID_CURSOR_NAME,
        format!("cursor \"{name}\" does not exist"),
    )
}
