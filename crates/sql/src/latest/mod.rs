//! [`LatestTable`]: of each key of a topic the newest record; keys whose newest record is a tombstone have none, and records
//! without a key are not there. It is what compaction leaves, without waiting for it.
//!
//! Two passes over the topic as of one snapshot. The first reads keys alone and finds the newest offset of each in its
//! partition, by an aggregate of the engine, which spills what does not fit. The second is a scan that reads at these
//! offsets alone ([`scan::LatestScan`]). Between the two stand eight bytes a key ([`newest`]), however large the values are.
//!
//! Invariant: what decides which record is the newest is the partition and the key. Filters on these choose keys, so they
//! hold for both passes; all others choose among the newest records, so only the second may know of them.

mod keys;
mod newest;
mod scan;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident,
};
use datafusion::physical_plan::ExecutionPlan;

use crate::columns::Column;
use crate::spec::Tombstones;
use crate::table::TopicTable;
use scan::LatestScan;

const PARTITION: &str = named(Column::Partition);
const OFFSET: &str = named(Column::Offset);
const KEY: &str = named(Column::Key);

const fn named(column: Column) -> &'static str {
    match column.name() {
        Some(name) => name,
        None => "",
    }
}

/// The newest records of a topic, as it was when a statement named it.
#[derive(Debug)]
pub(crate) struct LatestTable {
    topic: TopicTable,
    /// What the first pass reads: of a record that is many rows one.
    records: Arc<TopicTable>,
}

impl LatestTable {
    pub(crate) fn new(topic: TopicTable) -> Self {
        Self {
            records: Arc::new(topic.records()),
            topic,
        }
    }

    fn of_bytes(&self, filter: &Expr) -> Option<Expr> {
        keys::of_bytes(filter, self.topic.form())
    }

    /// The plan of the first pass: partitions and offsets of the newest records.
    async fn newest(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let records = provider_as_source(Arc::clone(&self.records) as _);
        let mut plan =
            LogicalPlanBuilder::scan("records", records, None)?.filter(ident(KEY).is_not_null())?;
        for filter in filters.iter().filter_map(|filter| self.of_bytes(filter)) {
            plan = plan.filter(filter)?;
        }
        let plan = plan.aggregate(
            [ident(PARTITION), ident(KEY)],
            [max(ident(OFFSET)).alias(OFFSET)],
        )?;
        let plan = plan.project([ident(PARTITION), ident(OFFSET)])?.build()?;
        state.create_physical_plan(&plan).await
    }
}

#[async_trait]
impl TableProvider for LatestTable {
    fn schema(&self) -> SchemaRef {
        self.topic.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let mut support = self.topic.supports_filters_pushdown(filters)?;
        for (support, filter) in support.iter_mut().zip(filters) {
            if *support == TableProviderFilterPushDown::Unsupported
                && self.of_bytes(filter).is_some()
            {
                *support = TableProviderFilterPushDown::Inexact;
            }
        }
        Ok(support)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let newest = self.newest(state, filters).await?;
        let scan = self
            .topic
            .topic_scan(state, projection, filters, limit, Tombstones::LeftOut);
        Ok(Arc::new(LatestScan::new(scan.await?, newest)))
    }
}
