//! [`SystemTable`]: what makes a table; [`Provider`]: the table as the engine knows it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::Source;
use super::cells::{Column, schema};
use super::scan::SystemScan;
use super::wish::Wish;

/// What makes a table.
#[async_trait]
pub(super) trait SystemTable: 'static {
    /// Its name.
    const NAME: &'static str;
    /// What it has a row for.
    const ABOUT: &'static str;
    /// The columns that name what is asked for: a condition on them asks for less.
    const NAMING: &'static [&'static str];
    /// Its columns in their order.
    const COLUMNS: &'static [Column<Self::Row>];
    /// A row.
    type Row: Send + 'static;
    /// What is asked for at once, or with some of its like.
    type Part: Send + 'static;

    /// All parts that a query is about.
    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<Self::Part>>;

    /// Takes one of the parts, or a few until there are about `enough` rows, and gives their rows.
    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<Self::Part>,
        wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Self::Row>>;

    /// Bytes of memory that a row takes, about. What rows of a table have in common, names of topics and groups, is shared.
    fn bytes(_row: &Self::Row) -> usize {
        size_of::<Self::Row>()
    }
}

/// A table as the engine knows it.
pub(super) struct Provider<T> {
    source: Arc<Source>,
    schema: SchemaRef,
    table: PhantomData<fn() -> T>,
}

impl<T: SystemTable> Provider<T> {
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            schema: schema(T::COLUMNS),
            table: PhantomData,
        }
    }

    /// What the conditions come to, as the engine evaluates them.
    fn wish(
        &self,
        state: &dyn Session,
        columns: BTreeSet<&'static str>,
        filters: &[Expr],
    ) -> Result<Wish> {
        let Some(all) = conjunction(filters.iter().cloned()) else {
            return Ok(Wish::of_all(columns));
        };
        let names = DFSchema::try_from(Arc::clone(&self.schema))?;
        let all = state.create_physical_expr(all, &names)?;
        Ok(Wish::new(columns, T::NAMING, &all))
    }
}

impl<T: SystemTable> fmt::Debug for Provider<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::NAME)
    }
}

#[async_trait]
impl<T: SystemTable> TableProvider for Provider<T> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// They are used to ask for less; the engine looks at each row all the same.
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
        let columns: Vec<&'static Column<T::Row>> = match projection {
            None => T::COLUMNS.iter().collect(),
            Some(projection) => projection
                .iter()
                .filter_map(|at| T::COLUMNS.get(*at))
                .collect(),
        };
        let schema = match projection {
            None => Arc::clone(&self.schema),
            Some(projection) => Arc::new(self.schema.project(projection)?),
        };
        let names = columns.iter().map(|column| column.name).collect();
        let wish = self.wish(state, names, filters)?;
        Ok(Arc::new(SystemScan::<T>::new(
            Arc::clone(&self.source),
            columns,
            schema,
            wish,
            limit,
        )))
    }
}
