//! The simple protocol: a text of any number of statements, answered in text.

use std::sync::Arc;

use super::super::backend;
use super::super::control::Stop;
use super::super::statement;
use super::Session;
use super::execute::{Binding, Outcome};

impl Session {
    pub(super) async fn query(&mut self, sql: &str) -> Result<(), Stop> {
        // The portal and the statement without a name do not outlive a simple query.
        self.portals.remove("");
        self.statements.remove("");
        let commands = statement::parse(sql)?;
        if commands.is_empty() {
            backend::empty_query(&mut self.wire.output);
        }
        let sql: Arc<str> = Arc::from(sql);
        let last = commands.len().saturating_sub(1);
        for (index, command) in commands.into_iter().enumerate() {
            let control = self.control(&sql);
            let outcome = self
                .start(&control, &Binding::of_text(command, &sql))
                .await?;
            if index == last {
                // All of a text is one transaction.
                self.commit_unless_in_block().await?;
            }
            self.describe_outcome(&outcome)?;
            self.finish(&control, outcome, &[]).await?;
        }
        self.ready();
        Ok(())
    }

    fn describe_outcome(&mut self, outcome: &Outcome) -> Result<(), Stop> {
        let (columns, format) = match outcome {
            Outcome::Rows(running) => (Arc::clone(&running.source.columns), running.default_format),
            Outcome::Fetch { cursor, .. } => self.cursor_columns(cursor)?,
            _ => return Ok(()),
        };
        backend::row_description(&mut self.wire.output, &columns, |_| format);
        Ok(())
    }
}
