//! What a session may do: ask, and add to topics. [`Refused`] says what it may not, and what to do instead.
//!
//! What adds to topics never gets into the engine: it is a query whose rows somebody else writes, which `write::insert::admit`
//! takes out of the plan of an INSERT. So here everything that writes is refused, and a plan that got by would find nothing
//! to write with.
//!
//! A server's session must not reach the machine it runs on, so there are three lines, each of which would do: statements
//! are looked at before they are planned and as plans ([`admit_statement`], [`admit`]); whatever is executed goes through
//! [`ReadOnlyPlanner`]; and there is nothing behind them: no object store, no file format, no table factory, no function
//! factory, and a catalogue that takes nothing (`no_files`, `catalogue`).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlannedStatement, WriteOp};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Sql;

/// What a session may not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Appending, where there is nothing to do it with.
    #[error("{0} is not possible here: this only reads")]
    Insert(String),
    /// Changing records.
    #[error("{0} cannot change a topic: records are only appended to a log")]
    Change(String),
    /// Making, changing or dropping things.
    #[error("{0} is not possible here")]
    Definition(String),
    /// Reading or writing files of the server.
    #[error("{0} would use files of the server, which sessions cannot")]
    Files(String),
    /// A setting of the server rather than the session.
    #[error("\"{0}\" is no setting of a session")]
    Setting(String),
}

impl Refused {
    /// What to do instead.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Insert(_) => {
                "Produce records with `watertable produce TOPIC` or any Kafka client."
            }
            Self::Change(_) => {
                "Append a record with the same key and the new value, or with no value to delete the key from a compacted \
                 topic. `watertable topic delete-records` removes the oldest records."
            }
            Self::Definition(_) => {
                "Topics are made and dropped with `watertable topic create` and `watertable topic delete`; a query can \
                 have names for its parts with WITH."
            }
            Self::Files(_) => {
                "Topics are the tables; save what psql receives with \\copy or \\g FILE."
            }
            Self::Setting(_) => {
                "Sessions can set watertable.isolation, datafusion.execution.time_zone and datafusion.explain.*."
            }
        }
    }
}

impl From<Refused> for DataFusionError {
    fn from(refused: Refused) -> Self {
        Self::External(Box::new(refused))
    }
}

/// Settings whose names begin so belong to sessions.
const SESSION_SETTINGS: [&str; 3] = [
    "watertable.",
    "datafusion.execution.time_zone",
    "datafusion.explain.",
];

fn admit_setting(name: &str) -> Result<(), Refused> {
    let lower = name.to_ascii_lowercase();
    let is_known = SESSION_SETTINGS
        .iter()
        .any(|prefix| lower.starts_with(prefix));
    if is_known {
        Ok(())
    } else {
        Err(Refused::Setting(name.to_owned()))
    }
}

/// Refuses what can be told from the text: planning it would look for tables that are only about to be made, and for files.
pub(crate) fn admit_statement(statement: &Statement) -> Result<(), Refused> {
    match statement {
        Statement::CreateExternalTable(_) => {
            Err(Refused::Files("CREATE EXTERNAL TABLE".to_owned()))
        }
        Statement::CopyTo(_) => Err(Refused::Files("COPY".to_owned())),
        Statement::Explain(explain) => admit_statement(&explain.statement),
        Statement::Statement(statement) => admit_sql(statement),
        Statement::Reset(_) => Ok(()),
    }
}

fn admit_sql(statement: &Sql) -> Result<(), Refused> {
    let change = |verb: &str| Err(Refused::Change(verb.to_owned()));
    let definition = |words: &str| Err(Refused::Definition(words.to_owned()));
    match statement {
        Sql::Insert(_) => Err(Refused::Insert("INSERT".to_owned())),
        Sql::Update(_) => change("UPDATE"),
        Sql::Delete(_) => change("DELETE"),
        Sql::Truncate(_) => change("TRUNCATE"),
        Sql::Merge(_) => change("MERGE"),
        Sql::CreateTable(_) => definition("CREATE TABLE"),
        Sql::CreateView(_) => definition("CREATE VIEW"),
        Sql::CreateSchema { .. } => definition("CREATE SCHEMA"),
        Sql::CreateDatabase { .. } => definition("CREATE DATABASE"),
        Sql::AlterTable(_) => definition("ALTER TABLE"),
        Sql::Drop { object_type, .. } => definition(&format!("DROP {object_type}")),
        Sql::Copy { .. } => Err(Refused::Files("COPY".to_owned())),
        // The rest is known by its plan, or has none.
        _ => Ok(()),
    }
}

/// Refuses plans that do more than ask.
pub(crate) fn admit(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        admit_node(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn admit_node(node: &LogicalPlan) -> Result<(), Refused> {
    match node {
        LogicalPlan::Dml(write) => Err(match write.op {
            WriteOp::Insert(_) => Refused::Insert("INSERT".to_owned()),
            WriteOp::Ctas => Refused::Definition("CREATE TABLE".to_owned()),
            // DELETE, UPDATE, TRUNCATE, MERGE, and whatever is like them.
            _ => Refused::Change(write.op.name().to_uppercase()),
        }),
        LogicalPlan::Ddl(definition) => Err(Refused::Definition(words(definition).to_owned())),
        LogicalPlan::Copy(_) => Err(Refused::Files("COPY".to_owned())),
        LogicalPlan::Statement(PlannedStatement::SetVariable(set)) => admit_setting(&set.variable),
        LogicalPlan::Statement(PlannedStatement::ResetVariable(reset)) => {
            admit_setting(&reset.variable)
        }
        _ => Ok(()),
    }
}

/// A definition as SQL calls it.
const fn words(definition: &DdlStatement) -> &'static str {
    match definition {
        DdlStatement::CreateExternalTable(_) => "CREATE EXTERNAL TABLE",
        DdlStatement::CreateMemoryTable(_) => "CREATE TABLE",
        DdlStatement::CreateView(_) => "CREATE VIEW",
        DdlStatement::CreateCatalogSchema(_) => "CREATE SCHEMA",
        DdlStatement::CreateCatalog(_) => "CREATE DATABASE",
        DdlStatement::CreateIndex(_) => "CREATE INDEX",
        DdlStatement::DropTable(_) => "DROP TABLE",
        DdlStatement::DropView(_) => "DROP VIEW",
        DdlStatement::DropCatalogSchema(_) => "DROP SCHEMA",
        DdlStatement::CreateFunction(_) => "CREATE FUNCTION",
        DdlStatement::DropFunction(_) => "DROP FUNCTION",
    }
}

/// Makes physical plans of what only asks.
#[derive(Debug)]
pub(crate) struct ReadOnlyPlanner;

#[async_trait]
impl QueryPlanner for ReadOnlyPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        admit(plan)?;
        DefaultPhysicalPlanner::default()
            .create_physical_plan(plan, session)
            .await
    }
}
