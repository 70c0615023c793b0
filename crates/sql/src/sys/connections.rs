//! `sys.connections`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;

use super::cells::{Cell, Column, Kind, count, text};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::{Connection, System};

/// The table.
pub(super) struct Connections;

#[async_trait]
impl SystemTable for Connections {
    const NAME: &'static str = "connections";
    const ABOUT: &'static str =
        "The open connections of Kafka clients; sessions of SQL are in `sys.queries`.";
    const NAMING: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<Connection>] = &[
        Column::new(
            "connection_id",
            Kind::Bigint,
            "Counts connections since the broker was started; its log names them by it.",
            |row| count(row.id),
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
        Column::new("connected_at", Kind::Time, "When it was accepted.", |row| {
            Cell::Time(row.accepted)
        }),
        Column::nullable(
            "client_id",
            Kind::Text,
            "`client.id` of its first request that had one, its first 256 bytes.",
            |row| text(row.client_id.as_deref()),
        ),
        Column::nullable(
            "client_software_name",
            Kind::Text,
            "The client's library, if it has told: `apache-kafka-java`, `librdkafka`, ...",
            |row| text(row.software.as_ref().map(|(name, _)| &**name)),
        ),
        Column::nullable(
            "client_software_version",
            Kind::Text,
            "The library's version, if it has told.",
            |row| text(row.software.as_ref().map(|(_, version)| &**version)),
        ),
        Column::new("requests", Kind::Bigint, "Requests so far.", |row| {
            count(row.requests)
        }),
        Column::new(
            "received_bytes",
            Kind::Bigint,
            "Bytes that the broker has read.",
            |row| count(row.received_bytes),
        ),
        Column::new(
            "sent_bytes",
            Kind::Bigint,
            "Bytes that the broker has sent.",
            |row| count(row.sent_bytes),
        ),
    ];
    type Row = Connection;
    type Part = ();

    async fn parts(_source: &Arc<Source>, _wish: &Wish) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<()>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Connection>> {
        parts::ask(source, parts, enough, rows).await
    }
}

fn rows(system: &dyn System, (): ()) -> Vec<Connection> {
    system.connections()
}
