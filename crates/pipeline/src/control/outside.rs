//! What a pipeline needs outside of the cluster: a table of PostgreSQL, and the table of offsets beside it.
//!
//! Invariant: what is created is what a plan has printed; if the database wants something else by then, nothing is done.

use connectors::postgres::{Change, Sink, SinkError, TaskName};
use spec::names::{self, Environment};

use super::record::PipelineRecord;
use crate::secrets::{SecretError, Secrets};

/// Why what is outside cannot be looked at or created.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// Nobody knows how to reach it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database says no.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// It wants more than was planned.
    #[error(
        "the database is not as it was when the plan was made: it needs {ddl} now; run plan again"
    )]
    Moved {
        /// What is not in the plan.
        ddl: String,
    },
    /// This version of Watertable cannot read the record.
    #[error("the version cannot be read by this version of Watertable; make a new plan")]
    Record,
}

/// What has to be created for a version, as the statements that do it. Nothing is changed.
///
/// # Errors
/// The database cannot be reached, or what is there does not fit.
pub async fn describe(
    record: &PipelineRecord,
    secrets: &Secrets,
) -> Result<Vec<String>, OutsideError> {
    match open(record, secrets).await? {
        None => Ok(Vec::new()),
        Some(sink) => Ok(statements(sink.describe().await?.changes)),
    }
}

/// Creates it, if it is what was planned or a part of it: whoever was interrupted does the same again.
///
/// # Errors
/// As [`describe`], or something else would be created.
pub async fn create(
    record: &PipelineRecord,
    planned: &[String],
    secrets: &Secrets,
) -> Result<(), OutsideError> {
    let Some(mut sink) = open(record, secrets).await? else {
        return Ok(());
    };
    let missing = statements(sink.describe().await?.changes);
    if let Some(ddl) = missing.iter().find(|ddl| !planned.contains(ddl)) {
        let ddl = ddl.clone();
        return Err(OutsideError::Moved { ddl });
    }
    if !missing.is_empty() {
        sink.prepare(true).await?;
    }
    Ok(())
}

fn statements(changes: Vec<Change>) -> Vec<String> {
    changes.into_iter().map(|change| change.ddl).collect()
}

/// The table that a version writes, if it writes one.
async fn open(record: &PipelineRecord, secrets: &Secrets) -> Result<Option<Sink>, OutsideError> {
    let pipeline = record
        .pipeline()
        .map_err(|_unreadable| OutsideError::Record)?;
    let spec::Sink::Postgres(spec) = &pipeline.sink else {
        return Ok(None);
    };
    let environment: Environment = record
        .env
        .parse()
        .map_err(|_unreadable| OutsideError::Record)?;
    let columns = record.output_columns().ok_or(OutsideError::Record)?;
    let connection = secrets.connection(&spec.connection)?;
    let task = TaskName {
        // Nothing is claimed, so no cluster has to be told from another.
        cluster_id: String::new(),
        task: environment.name(&names::group(&record.pipeline, None)),
    };
    Ok(Some(
        Sink::connect(&connection, spec, &columns, task).await?,
    ))
}
