//! `sys.queries`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;

use super::Source;
use super::cells::{Cell, Column, Kind, count, text, time};
use super::table::SystemTable;
use super::wish::Wish;
use crate::postgres::SessionView;

/// The table.
pub(super) struct Queries;

#[async_trait]
impl SystemTable for Queries {
    const NAME: &'static str = "queries";
    const ABOUT: &'static str =
        "The sessions of SQL and what they run, this one too; the same is in `pg_stat_activity`.";
    const NAMING: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<SessionView>] = &[
        Column::new(
            "process_id",
            Kind::Int,
            "The session's number, for `pg_cancel_backend` and `pg_terminate_backend`.",
            |row| Cell::Int(row.process),
        ),
        Column::new(
            "client_address",
            Kind::Text,
            "The client's address.",
            |row| Cell::Made(row.peer.ip().to_string()),
        ),
        Column::new("client_port", Kind::Int, "The client's port.", |row| {
            Cell::Int(row.peer.port().into())
        }),
        Column::new(
            "user_name",
            Kind::Text,
            "The user that the client named.",
            |row| Cell::Text(&row.user),
        ),
        Column::new(
            "application_name",
            Kind::Text,
            "What the client calls itself; may be empty.",
            |row| Cell::Text(&row.application),
        ),
        Column::new(
            "connected_at",
            Kind::Time,
            "When the session began.",
            |row| Cell::Time(row.began),
        ),
        Column::new(
            "state",
            Kind::Text,
            "`active`, `idle`, `idle in transaction` or `idle in transaction (aborted)`.",
            |row| Cell::Text(row.state.name()),
        ),
        Column::new(
            "state_changed_at",
            Kind::Time,
            "Since when it is in this state.",
            |row| Cell::Time(row.state_changed),
        ),
        Column::nullable(
            "query",
            Kind::Text,
            "The statement that runs, or ran last; its first 1024 bytes. NULL before the first.",
            |row| text(row.query.as_deref()),
        ),
        Column::nullable("query_started_at", Kind::Time, "When it began.", |row| {
            time(row.query_began)
        }),
        Column::new(
            "rows_sent",
            Kind::Bigint,
            "Rows of it that were sent so far.",
            |row| count(row.rows_sent),
        ),
    ];
    type Row = SessionView;
    type Part = ();

    async fn parts(_source: &Arc<Source>, _wish: &Wish) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<()>,
        _wish: &Wish,
        _enough: usize,
    ) -> Result<Vec<SessionView>> {
        parts.clear();
        Ok(source.activity.sessions())
    }
}
