//! [`View`]: a table of `sys` that is made of topics: what pipelines write of themselves, and their dead letters.
//!
//! Invariants: the columns are the same whatever the topics are like, so that what asks for them never breaks: a topic that is not
//! there has no rows, and a column that its contract does not have is NULL. Nothing is read before a query reads the table.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, cast, ident, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::Source;
use super::cells::Kind;
use super::parts::unanswered;

/// A table that is made of topics.
pub(super) struct View {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) columns: &'static [ViewColumn],
    pub(super) of: Of,
}

/// What a view is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// A table of topics.
    Topic(&'static str),
    /// The same, where its records stand under the key of a pipeline: not those of kept versions.
    Current(&'static str),
    /// The dead letters of all pipelines.
    DeadLetters,
}

/// A column of a view.
pub(super) struct ViewColumn {
    name: &'static str,
    kind: Kind,
    about: &'static str,
    from: From,
}

/// Where a column comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    /// A column of the topic.
    Column(&'static str),
    /// The environment that the topic is of.
    Environment,
}

/// A column that the topic has under the same name.
pub(super) const fn same(name: &'static str, kind: Kind, about: &'static str) -> ViewColumn {
    of(name, kind, name, about)
}

/// A column that the topic has under another name.
pub(super) const fn of(
    name: &'static str,
    kind: Kind,
    column: &'static str,
    about: &'static str,
) -> ViewColumn {
    ViewColumn {
        name,
        kind,
        about,
        from: From::Column(column),
    }
}

/// A column with the environment that the topic is of.
pub(super) const fn environment(about: &'static str) -> ViewColumn {
    ViewColumn {
        name: "environment",
        kind: Kind::Text,
        about,
        from: From::Environment,
    }
}

impl View {
    /// The names, types and meanings of its columns.
    pub(super) fn described(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let columns = self.columns.iter();
        let columns = columns.map(|column| (column.name, column.kind.sql(), column.about));
        columns.collect()
    }
}

/// A view as the engine knows it.
pub(super) struct ViewTable {
    view: &'static View,
    source: Arc<Source>,
    schema: SchemaRef,
}

impl ViewTable {
    pub(super) fn new(view: &'static View, source: Arc<Source>) -> Self {
        let columns = view.columns.iter();
        let fields = columns.map(|column| Field::new(column.name, column.kind.arrow(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self {
            view,
            source,
            schema,
        }
    }

    /// The rows of each topic that is there, with the columns of the view.
    async fn topics(&self) -> Result<Vec<LogicalPlanBuilder>> {
        let found = match self.view.of {
            Of::Topic(table) => vec![self.topic(table, None).await?],
            Of::Current(table) => {
                let rows = self.topic(table, None).await?;
                let is_current = ident(KEY).like(lit(KEY_OF_VERSION)).is_not_true();
                vec![rows.map(|rows| rows.filter(is_current)).transpose()?]
            }
            Of::DeadLetters => {
                let topics = self.source.system.dead_letters().await;
                let mut found = Vec::new();
                for of in topics.map_err(unanswered)? {
                    let environment = Some(of.environment.as_str());
                    found.push(self.topic(&of.topic, environment).await?);
                }
                found
            }
        };
        let found = found.into_iter().flatten();
        let project = |rows: LogicalPlanBuilder| {
            let columns = self.view.columns.iter();
            let columns = columns.map(|column| column.of(&rows));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            rows.project(columns)
        };
        found.map(project).collect()
    }

    /// The rows of a topic, and the environment that it is of; nothing if it is not there.
    async fn topic(
        &self,
        table: &str,
        environment: Option<&str>,
    ) -> Result<Option<LogicalPlanBuilder>> {
        let topics = &self.source.topics;
        if !topics.table_exist(table) {
            return Ok(None);
        }
        let Some(found) = topics.table(table).await? else {
            return Ok(None);
        };
        let rows = LogicalPlanBuilder::scan("records", provider_as_source(found), None)?;
        let Some(environment) = environment else {
            return Ok(Some(rows));
        };
        let columns = rows.schema().columns().into_iter().map(Expr::Column);
        let of = lit(environment).alias(ENVIRONMENT);
        rows.project(columns.chain([of]).collect::<Vec<_>>())
            .map(Some)
    }
}

const KEY: &str = "_key";
/// Keys of versions that are kept have their number behind this, and no name has it.
const KEY_OF_VERSION: &str = "%@%";
/// No column of a contract begins so.
const ENVIRONMENT: &str = "_environment";

impl ViewColumn {
    /// Its value in the rows of a topic.
    fn of(&self, rows: &LogicalPlanBuilder) -> Result<Expr> {
        let name = match self.from {
            From::Column(name) => name,
            From::Environment => ENVIRONMENT,
        };
        let kind = self.kind.arrow();
        let is_there = rows.schema().has_column_with_unqualified_name(name);
        let value = if is_there {
            cast(ident(name), kind)
        } else {
            lit(ScalarValue::try_new_null(&kind)?)
        };
        Ok(value.alias(self.name))
    }
}

impl fmt::Debug for ViewTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.view.name)
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// They are pushed into the scans of the topics as far as they go; the engine looks at each row all the same.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            None => Arc::clone(&self.schema),
            Some(projection) => Arc::new(self.schema.project(projection)?),
        };
        let mut topics = self.topics().await?.into_iter();
        let Some(mut rows) = topics.next() else {
            return Ok(Arc::new(EmptyExec::new(schema)));
        };
        for more in topics {
            rows = rows.union(more.build()?)?;
        }
        for filter in filters {
            rows = rows.filter(filter.clone())?;
        }
        let fields = schema.fields().iter();
        rows = rows.project(fields.map(|field| ident(field.name().as_str())))?;
        if limit.is_some() {
            rows = rows.limit(0, limit)?;
        }
        let plan: LogicalPlan = rows.build()?;
        state.create_physical_plan(&plan).await
    }
}
