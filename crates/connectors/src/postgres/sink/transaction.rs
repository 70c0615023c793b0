//! The statements of a batch on a session: fill the stage, write a range of it.

use std::ops::Range;

use tokio_postgres::Statement;

use crate::postgres::failure::Failure;
use crate::postgres::session::Session;

use super::encode::Encoded;
use super::plan::Plan;

/// A session with a stage and its statements.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) session: Session,
    pub(super) key: Vec<usize>,
    copy: Statement,
    insert: Statement,
    /// With a key.
    delete: Option<Statement>,
    begin: String,
    begin_deleting: String,
    /// Moves a partition, unless offsets are kept elsewhere.
    pub(super) advance: Option<Statement>,
}

/// How many rows were concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Inserted or updated.
    pub rows: u64,
    /// Deleted; a key that was not there is none.
    pub deleted: u64,
}

impl Writer {
    pub(super) async fn new(
        session: Session,
        plan: Plan,
        advance: Option<Statement>,
        doing: &str,
    ) -> Result<Self, Failure> {
        session.execute(doing, &plan.stage).await?;
        let delete = if plan.key.is_empty() {
            None
        } else {
            Some(session.prepare(doing, &plan.delete).await?)
        };
        Ok(Self {
            copy: session.prepare(doing, &plan.copy).await?,
            insert: session.prepare(doing, &plan.insert).await?,
            delete,
            begin: plan.begin,
            begin_deleting: plan.begin_deleting,
            advance,
            key: plan.key,
            session,
        })
    }

    /// Begins the transaction of a batch.
    pub(super) async fn begin(&self, doing: &str, batch: &Encoded) -> Result<(), Failure> {
        let begin = if batch.has_deletes {
            &self.begin_deleting
        } else {
            &self.begin
        };
        self.session.execute(doing, begin).await
    }

    /// Puts rows with these numbers into the stage.
    pub(super) async fn copy(
        &self,
        doing: &str,
        batch: &Encoded,
        range: &Range<i32>,
    ) -> Result<(), Failure> {
        let pieces = batch.copy_of(range);
        self.session.copy(doing, &self.copy, pieces).await
    }

    /// Writes the rows of the stage with these numbers, as if they came one after the other.
    pub(super) async fn apply(
        &self,
        doing: &str,
        range: Range<i32>,
        has_deletes: bool,
    ) -> Result<Written, Failure> {
        let mut written = Written::default();
        if let Some(delete) = self.delete.as_ref().filter(|_| has_deletes) {
            written.deleted = self
                .session
                .run(doing, delete, &[&range.start, &range.end])
                .await?;
        }
        written.rows = self
            .session
            .run(doing, &self.insert, &[&range.start, &range.end])
            .await?;
        // What is checked at the end is checked now, where the rows that it is about can still be found.
        self.session
            .work(doing, "SET CONSTRAINTS ALL IMMEDIATE")
            .await?;
        Ok(written)
    }
}
