//! [`Session`]: one connection with the settings that everything here relies on.
//!
//! Invariant: a session that is dropped ends its transaction without a commit, so whoever is in doubt drops it. It is taken out of where
//! it is kept while it is used and put back when all went well; so also a future that is dropped half way leaves none behind. No answer is
//! waited for without end, since the server's own limits are of no use when it is the server that stands still.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::connection::Address;
use super::failure::Failure;
use super::tls;

/// How long it takes at most until a server answers that it is there and who we are.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it takes at most until a statement is answered that has little to do, as BEGIN; the server waits 30 s for a lock.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server works on a statement with rows (its `statement_timeout`), and how much later it has said so.
const WORK_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const WORK_MARGIN: Duration = Duration::from_secs(30);
/// What a session relies on, whatever the database, the role or the address say. Texts of dates and numbers are read by us, a name without
/// a schema means what it means to the role, and no transaction holds locks for ever.
const SETTINGS: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; \
    SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    SET lock_timeout = '30s'; SET statement_timeout = '10min'; SET idle_in_transaction_session_timeout = '2min'";

/// A value that is bound.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// A connection.
pub(crate) struct Session {
    client: Client,
    /// What ended it; said on the connection and not to those who wait for an answer.
    ended: Arc<OnceLock<Failure>>,
    connection: AbortHandle,
    /// An answer has not come, so the connection would wait for it.
    is_waiting: AtomicBool,
    answer_timeout: Duration,
    work_timeout: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_waiting.load(Ordering::Relaxed) {
            self.connection.abort();
        }
    }
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
        let connection = run(async move {
            if let Err(error) = connection.await {
                drop(tell.set(Failure::new("", &error)));
            }
        });
        let session = Self {
            client,
            ended,
            connection,
            is_waiting: AtomicBool::new(false),
            answer_timeout: ANSWER_TIMEOUT,
            work_timeout: WORK_TIMEOUT + WORK_MARGIN,
        };
        session.execute(doing, SETTINGS).await?;
        Ok(session)
    }

    /// An error of this session: what ended it, if that is what it is.
    fn failure(&self, doing: &str, error: &tokio_postgres::Error) -> Failure {
        let failure = Failure::new(doing, error);
        match self.ended.get() {
            Some(ended) if failure.sqlstate.is_none() => ended.ending(doing),
            _ => failure,
        }
    }

    /// Whether it has ended, so that another one is needed.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The server works so long on a statement with rows.
    pub(crate) async fn work_at_most(
        &mut self,
        doing: &str,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let seconds = timeout.as_secs();
        self.execute(doing, &format!("SET statement_timeout = '{seconds}s'"))
            .await?;
        self.work_timeout = timeout + WORK_MARGIN;
        Ok(())
    }

    /// An answer, if it comes. Without one the session is of no use any more.
    async fn answer<T>(
        &self,
        doing: &str,
        timeout: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        self.is_waiting.store(true, Ordering::Relaxed);
        let Ok(answer) = tokio::time::timeout(timeout, answer).await else {
            let waited = format!(
                "PostgreSQL gave no answer within {} s",
                timeout.as_secs_f32()
            );
            return Err(Failure::io(doing, waited));
        };
        self.is_waiting.store(false, Ordering::Relaxed);
        answer.map_err(|error| self.failure(doing, &error))
    }

    /// Statements without values that have little to do.
    pub(crate) async fn execute(&self, doing: &str, sql: &str) -> Result<(), Failure> {
        let done = self.client.batch_execute(sql);
        self.answer(doing, self.answer_timeout, done).await
    }

    /// The same, where rows are worked on.
    pub(crate) async fn work(&self, doing: &str, sql: &str) -> Result<(), Failure> {
        let done = self.client.batch_execute(sql);
        self.answer(doing, self.work_timeout, done).await
    }

    pub(crate) async fn prepare(&self, doing: &str, sql: &str) -> Result<Statement, Failure> {
        let prepared = self.client.prepare(sql);
        self.answer(doing, self.answer_timeout, prepared).await
    }

    /// Sends the pieces of a COPY.
    pub(crate) async fn copy(
        &self,
        doing: &str,
        statement: &Statement,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), Failure> {
        let copied = async {
            let mut sink = pin!(self.client.copy_in(statement).await?);
            for piece in pieces {
                // Where the server refuses what was sent, its reason comes at the end.
                if sink.feed(piece).await.is_err() {
                    break;
                }
            }
            sink.finish().await
        };
        self.answer(doing, self.work_timeout, copied)
            .await
            .map(drop)
    }

    /// How many rows a prepared statement concerned.
    pub(crate) async fn run(
        &self,
        doing: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let done = self.client.execute(statement, values);
        self.answer(doing, self.work_timeout, done).await
    }

    /// The rows of a query that has little to do; for few rows.
    pub(crate) async fn query(
        &self,
        doing: &str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let rows = self.client.query(sql, values);
        self.answer(doing, self.answer_timeout, rows).await
    }

    /// The same, where it is rows of a table that are read.
    pub(crate) async fn read(
        &self,
        doing: &str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let rows = self.client.query(sql, values);
        self.answer(doing, self.work_timeout, rows).await
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
fn run(connection: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::task::spawn(connection).abort_handle()
}

#[cfg(test)]
mod tests {
    use testkit::postgres::Database;

    use super::*;
    use crate::postgres::failure::Kind;

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for_without_end() {
        let database = Database::new().await;
        database.run("CREATE TABLE slow (id int)").await;
        let address = Address::parse(&database.address()).unwrap();
        let lock = database.admin().await;
        let open = async || Session::open(&address).await.unwrap();
        let lock_it = "BEGIN; LOCK TABLE slow IN ACCESS EXCLUSIVE MODE";
        let (insert, copy) = ("INSERT INTO slow VALUES (1)", "COPY slow FROM STDIN");
        let mut sessions = Vec::new();
        for _ in 0..7 {
            sessions.push(open().await);
        }
        let statements = [
            sessions[5].prepare("preparing", insert).await.unwrap(),
            sessions[6].prepare("preparing", copy).await.unwrap(),
        ];
        lock.batch_execute(lock_it).await.unwrap();
        let (count, work) = ("SELECT count(*) FROM slow", Duration::from_millis(20));
        for (at, mut session) in sessions.into_iter().enumerate() {
            session.answer_timeout = Duration::from_millis(10);
            session.work_timeout = work;
            let doing = "counting";
            let (failure, waited) = match at {
                0 => (session.execute(doing, insert).await.unwrap_err(), 0.01),
                1 => (session.query(doing, count, &[]).await.unwrap_err(), 0.01),
                2 => (session.prepare(doing, insert).await.unwrap_err(), 0.01),
                3 => (session.work(doing, insert).await.unwrap_err(), 0.02),
                4 => (session.read(doing, count, &[]).await.unwrap_err(), 0.02),
                5 => {
                    let run = session.run(doing, &statements[0], &[]);
                    (run.await.unwrap_err(), 0.02)
                }
                _ => {
                    let copied = session.copy(doing, &statements[1], []);
                    (copied.await.unwrap_err(), 0.02)
                }
            };
            assert_eq!(failure.kind(), Kind::Retry, "{failure}");
            // What was done may have been done.
            assert!(failure.ended_session, "{failure}");
            let said = format!("counting: PostgreSQL gave no answer within {waited} s");
            assert_eq!(failure.to_string(), said);
            let connection = session.connection.clone();
            drop(session);
            testkit::eventually("the line is given up", async || connection.is_finished()).await;
        }
    }
}
