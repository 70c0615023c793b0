//! [`SystemScan`]: the plan of reading a table of `sys`, and the stream of its rows.

use std::collections::VecDeque;
use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};

use super::cells::{Column, Rows};
use super::table::SystemTable;
use super::wish::Wish;
use super::{SYS, Source};

/// Reading a table.
pub(super) struct SystemScan<T: SystemTable> {
    source: Arc<Source>,
    columns: Vec<&'static Column<T::Row>>,
    schema: SchemaRef,
    wish: Wish,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<T: SystemTable> SystemScan<T> {
    pub(super) fn new(
        source: Arc<Source>,
        columns: Vec<&'static Column<T::Row>>,
        schema: SchemaRef,
        wish: Wish,
        limit: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        // Every part is waited for.
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            source,
            columns,
            schema,
            wish,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl<T: SystemTable> fmt::Debug for SystemScan<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SystemScan").field(&T::NAME).finish()
    }
}

impl<T: SystemTable> DisplayAs for SystemScan<T> {
    fn fmt_as(&self, _format: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        let (name, wish) = (T::NAME, &self.wish);
        write!(out, "SystemScan: table={SYS}.{name}{wish}")?;
        write!(out, ", columns=[{}]", columns.join(", "))?;
        if let Some(limit) = self.limit {
            write!(out, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl<T: SystemTable> ExecutionPlan for SystemScan<T> {
    fn name(&self) -> &'static str {
        "SystemScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("a scan has no children")
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new(format!("SystemScan[{SYS}.{}]", T::NAME));
        let running = Running::<T> {
            source: Arc::clone(&self.source),
            wish: self.wish.clone(),
            parts: None,
            waiting: Vec::new().into_iter(),
            waiting_bytes: 0,
            rows: Rows::new(self.columns.clone()),
            schema: Arc::clone(&self.schema),
            batch_rows: context.session_config().batch_size(),
            left: self.limit.unwrap_or(usize::MAX),
            memory: consumer.register(context.memory_pool()),
            baseline: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = futures_util::stream::try_unfold(running, Running::next);
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A scan that runs.
struct Running<T: SystemTable> {
    source: Arc<Source>,
    wish: Wish,
    /// Not yet asked for; `None` before the first.
    parts: Option<VecDeque<T::Part>>,
    /// Rows that are in no batch yet.
    waiting: std::vec::IntoIter<T::Row>,
    waiting_bytes: usize,
    rows: Rows<T::Row>,
    schema: SchemaRef,
    batch_rows: usize,
    /// So many rows may still be given.
    left: usize,
    memory: MemoryReservation,
    baseline: BaselineMetrics,
}

impl<T: SystemTable> Running<T> {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let most = self.batch_rows.min(self.left);
        while self.rows.count() < most && self.fetch(most).await? {
            let missing = most - self.rows.count();
            for row in self.waiting.by_ref().take(missing) {
                self.rows.push(&row);
            }
            self.reserve()?;
        }
        let count = self.rows.count();
        if count == 0 {
            self.baseline.done();
            return Ok(None);
        }
        let batch = self.rows.finish(&self.schema)?;
        // Who has the batch counts it.
        self.reserve()?;
        self.left -= count;
        self.baseline.record_output(count);
        Ok(Some((batch, self)))
    }

    /// Makes sure that rows wait; false if there are no more.
    async fn fetch(&mut self, most: usize) -> Result<bool> {
        if self.parts.is_none() {
            let parts = T::parts(&self.source, &self.wish).await?;
            self.parts = Some(parts.into());
            self.reserve()?;
        }
        let parts = self.parts.get_or_insert_default();
        while self.waiting.as_slice().is_empty() && !parts.is_empty() {
            let enough = most - self.rows.count();
            let rows = T::rows(&self.source, parts, &self.wish, enough).await?;
            self.waiting_bytes = rows.iter().map(T::bytes).sum();
            self.waiting = rows.into_iter();
        }
        self.reserve()?;
        Ok(!self.waiting.as_slice().is_empty())
    }

    /// Counts what is held: the rows of a part beside the batch that is made of them.
    fn reserve(&self) -> Result<()> {
        let parts = self.parts.as_ref().map_or(0, VecDeque::capacity);
        let waiting = match self.waiting.as_slice() {
            [] => 0,
            _ => self.waiting_bytes,
        };
        let bytes = parts * size_of::<T::Part>() + waiting + self.rows.bytes();
        self.memory.try_resize(bytes)
    }
}
