//! The extended protocol: parse, bind, describe, execute, close, sync.

use std::sync::Arc;

use bytes::Bytes;

use super::super::backend;
use super::super::control::Stop;
use super::super::decode;
use super::super::error::{PgError, state};
use super::super::frontend::{Format, Target};
use super::super::statement::{self, Command};
use super::super::types::PgType;
use super::execute::{Binding, Outcome, Portal, Stage, format_of, row_tag};
use super::{HELD_BYTES_MAX, PORTALS_MAX, Session};

impl Session {
    pub(super) async fn parse(
        &mut self,
        name: String,
        sql: &str,
        oids: &[u32],
    ) -> Result<(), Stop> {
        let mut commands = statement::parse(sql)?;
        if commands.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::new(state::SYNTAX_ERROR, message).into());
        }
        let command = commands.pop();
        if command.as_ref().is_some_and(|command| {
            !matches!(
                command,
                Command::Commit | Command::Rollback | Command::RollbackTo(_)
            )
        }) {
            self.transaction.check()?;
        }
        let declared = oids
            .iter()
            .map(|oid| declared_type(*oid))
            .collect::<Result<Vec<_>, _>>()?;
        let prepared = self.prepare(command, &Arc::from(sql), &declared).await?;
        self.keep(name, prepared)?;
        backend::parse_complete(&mut self.wire.output);
        Ok(())
    }

    pub(super) fn bind(
        &mut self,
        name: String,
        statement: &str,
        formats: &[Format],
        values: &[Option<Bytes>],
        results: Vec<Format>,
    ) -> Result<(), Stop> {
        let prepared = self.statement(statement)?;
        if prepared.parameters.len() != values.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                values.len(),
                prepared.parameters.len()
            );
            return Err(PgError::new(state::PROTOCOL_VIOLATION, message).into());
        }
        if formats.len() > 1 && formats.len() != values.len() {
            let message = format!(
                "bind message has {} parameter formats but {} parameters",
                formats.len(),
                values.len()
            );
            return Err(PgError::new(state::PROTOCOL_VIOLATION, message).into());
        }
        let bytes = values.iter().flatten().map(Bytes::len).sum();
        let values = prepared.parameters.iter().zip(values).enumerate();
        let values = values.map(|(index, (kind, value))| {
            decode::parameter(
                index + 1,
                *kind,
                format_of(formats, index, Format::Text),
                value.as_ref(),
            )
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let columns = match &prepared.command {
            Some(Command::Fetch { name, .. }) => Some(self.cursor_columns(name)?.0),
            _ => prepared.columns.clone(),
        };
        if results.len() > 1
            && columns
                .as_ref()
                .is_none_or(|columns| columns.len() != results.len())
        {
            let count = columns.map_or(0, |columns| columns.len());
            let message = format!(
                "bind message has {} result formats but query has {count} columns",
                results.len()
            );
            return Err(PgError::new(state::PROTOCOL_VIOLATION, message).into());
        }
        let portal = Portal {
            stage: Stage::Ready(Binding { prepared, values }),
            columns,
            formats: results,
            bytes,
            is_held: false,
        };
        self.put_portal(name, portal)?;
        backend::bind_complete(&mut self.wire.output);
        Ok(())
    }

    /// Keeps a portal under its name; only the one without a name can be replaced.
    pub(super) fn put_portal(&mut self, name: String, portal: Portal) -> Result<(), PgError> {
        if !name.is_empty() && self.portals.contains_key(&name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(PgError::new(state::DUPLICATE_CURSOR, message));
        }
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(&name) {
            let message = format!("a session can have {PORTALS_MAX} open cursors and portals");
            return Err(PgError::new(state::CONFIGURATION_LIMIT_EXCEEDED, message)
                .with_hint("CLOSE those that are not needed."));
        }
        let held: usize = self.portals.values().map(|portal| portal.bytes).sum();
        if held + portal.bytes > HELD_BYTES_MAX {
            let message =
                format!("the portals of a session can have {HELD_BYTES_MAX} bytes of parameters");
            let error = PgError::new(state::CONFIGURATION_LIMIT_EXCEEDED, message);
            return Err(error.with_hint("CLOSE those that are not needed."));
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    pub(super) fn describe(&mut self, target: Target, name: &str) -> Result<(), Stop> {
        let (columns, formats, default) = match target {
            Target::Statement => {
                let prepared = self.statement(name)?;
                let columns = match &prepared.command {
                    Some(Command::Fetch { name, .. }) => Some(self.cursor_columns(name)?.0),
                    _ => prepared.columns.clone(),
                };
                backend::parameter_description(&mut self.wire.output, &prepared.parameters);
                (columns, Vec::new(), Format::Text)
            }
            Target::Portal => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                let default = match &portal.stage {
                    Stage::Rows(running) => running.default_format,
                    _ => Format::Text,
                };
                (portal.columns.clone(), portal.formats.clone(), default)
            }
        };
        match columns {
            Some(columns) => backend::row_description(&mut self.wire.output, &columns, |column| {
                format_of(&formats, column, default)
            }),
            None => backend::no_data(&mut self.wire.output),
        }
        Ok(())
    }

    /// Runs a portal, or goes on with it; 0 rows is all of them.
    pub(super) async fn execute(&mut self, name: String, rows_max: i32) -> Result<(), Stop> {
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let control = self.control(portal.sql());
        let ready = match &portal.stage {
            Stage::Ready(binding) => Some(binding.clone()),
            _ => None,
        };
        if let Some(binding) = ready {
            match self.start(&control, &binding).await? {
                Outcome::Rows(running) => portal.stage = Stage::Rows(running),
                outcome => {
                    let tag = if matches!(outcome, Outcome::Fetch { .. }) {
                        "FETCH 0"
                    } else {
                        ""
                    };
                    self.finish(&control, outcome, &portal.formats).await?;
                    portal.stage = Stage::Finished(tag);
                    return self.put_back_portal(name, portal);
                }
            }
        } else {
            self.transaction.check()?;
        }
        match &mut portal.stage {
            Stage::Rows(running) => {
                let most = u64::try_from(rows_max)
                    .ok()
                    .filter(|most| *most > 0)
                    .unwrap_or(u64::MAX);
                let sent = self
                    .send_data(
                        &control,
                        &mut running.source,
                        most,
                        &portal.formats,
                        running.default_format,
                    )
                    .await?;
                if sent == most {
                    backend::portal_suspended(&mut self.wire.output);
                } else {
                    backend::command_complete(&mut self.wire.output, &row_tag(running.tag, sent));
                }
            }
            Stage::Finished(tag) if !tag.is_empty() => {
                backend::command_complete(&mut self.wire.output, tag)
            }
            _ => {
                let message = format!("portal \"{name}\" cannot be run anymore");
                return Err(PgError::new("55000", message).into());
            }
        }
        self.put_back_portal(name, portal)
    }

    /// A statement may have ended the transaction that the portal was of.
    fn put_back_portal(&mut self, name: String, portal: Portal) -> Result<(), Stop> {
        self.portals.entry(name).or_insert(portal);
        Ok(())
    }

    pub(super) fn close(&mut self, target: Target, name: &str) {
        // What is not there is closed already.
        match target {
            Target::Statement => drop(self.statements.remove(name)),
            Target::Portal => drop(self.portals.remove(name)),
        }
        backend::close_complete(&mut self.wire.output);
    }

    /// The end of a run of messages: outside of a block it is the end of the transaction, too.
    pub(super) async fn sync(&mut self) {
        self.is_skipping = false;
        if let Err(error) = self.commit_unless_in_block().await {
            backend::error(&mut self.wire.output, &error);
        }
        if !self.transaction.is_open() {
            self.portals.retain(|_, portal| portal.is_held);
        }
        self.ready();
    }
}

/// Zero and `unknown` leave the type to its use.
fn declared_type(oid: u32) -> Result<Option<PgType>, PgError> {
    const UNKNOWN: u32 = 705;
    if oid == 0 || oid == UNKNOWN {
        return Ok(None);
    }
    PgType::from_oid(oid).map(Some).ok_or_else(|| {
        let error = PgError::new(
            state::UNDEFINED_OBJECT,
            format!("parameters of the type with oid {oid} are not supported"),
        );
        error.with_hint("Leave the type out, or cast the value to text.")
    })
}

fn no_portal(name: &str) -> PgError {
    PgError::new(
        state::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}
