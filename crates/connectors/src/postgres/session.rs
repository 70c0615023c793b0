//! [`Session`]: one connection with the settings that everything here relies on.
//!
//! Invariant: a session that is dropped ends its transaction without a commit, so whoever is in doubt drops it. It is taken out of where
//! it is kept while it is used and put back when all went well; so also a future that is dropped half way leaves none behind.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::connection::Address;
use super::failure::Failure;
use super::tls;

/// How long it takes at most until a server answers that it is there and who we are.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// What a session relies on, whatever the database, the role or the address say. Texts of dates and numbers are read by us, a name without
/// a schema means what it means to the role, and no transaction holds locks for ever.
const SETTINGS: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; \
    SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    SET lock_timeout = '30s'; SET statement_timeout = '10min'; SET idle_in_transaction_session_timeout = '2min'";

/// A value that is bound.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// A connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// What ended it; said on the connection and not to those who wait for an answer.
    ended: Arc<OnceLock<Failure>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Session")
    }
}

impl Session {
    /// Connects.
    pub(crate) async fn open(address: &Address) -> Result<Self, Failure> {
        let doing = format!("connecting to PostgreSQL at {address}");
        let opened = tokio::time::timeout(OPEN_TIMEOUT, Self::connect(address, &doing));
        let Ok(session) = opened.await else {
            let waited = format!("no answer within {} s", OPEN_TIMEOUT.as_secs());
            return Err(Failure::io(&doing, waited));
        };
        session
    }

    async fn connect(address: &Address, doing: &str) -> Result<Self, Failure> {
        let connector = tls::connector(&address.trust, doing)?;
        let connected = address.config.connect(connector).await;
        let (client, connection) = connected.map_err(|error| Failure::new(doing, &error))?;
        let ended = Arc::new(OnceLock::new());
        let tell = Arc::clone(&ended);
        run(async move {
            if let Err(error) = connection.await {
                drop(tell.set(Failure::new("", &error)));
            }
        });
        let session = Self { client, ended };
        session.execute(doing, SETTINGS).await?;
        Ok(session)
    }

    /// An error of this session: what ended it, if that is what it is.
    pub(crate) fn failure(&self, doing: &str, error: &tokio_postgres::Error) -> Failure {
        let failure = Failure::new(doing, error);
        match self.ended.get() {
            Some(ended) if failure.sqlstate.is_none() => ended.ending(doing),
            _ => failure,
        }
    }

    /// Statements without values.
    pub(crate) async fn execute(&self, doing: &str, sql: &str) -> Result<(), Failure> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| self.failure(doing, &error))
    }

    pub(crate) async fn prepare(&self, doing: &str, sql: &str) -> Result<Statement, Failure> {
        let prepared = self.client.prepare(sql).await;
        prepared.map_err(|error| self.failure(doing, &error))
    }

    /// How many rows a prepared statement concerned.
    pub(crate) async fn run(
        &self,
        doing: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let done = self.client.execute(statement, values).await;
        done.map_err(|error| self.failure(doing, &error))
    }

    /// The rows of a query; for few rows.
    pub(crate) async fn query(
        &self,
        doing: &str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let rows = self.client.query(sql, values).await;
        rows.map_err(|error| self.failure(doing, &error))
    }
}

/// A value of a row.
pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    doing: &str,
    row: &'a Row,
    index: usize,
) -> Result<T, Failure> {
    row.try_get(index)
        .map_err(|error| Failure::new(doing, &error))
}

/// Runs a connection. It ends when its client is dropped.
#[allow(
    clippy::disallowed_methods,
    reason = "connections to other machines are no part of what is simulated"
)]
fn run(connection: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(connection));
}
