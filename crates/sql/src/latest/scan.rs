//! [`LatestScan`]: the plan of both passes: its child finds the newest offsets, once for all streams; then every stream reads
//! those of its own.
//!
//! Invariant: batches of the log without any newest record are neither decompressed nor decoded.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::Statistics;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    StatisticsArgs,
};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;

use super::newest::{Finding, Newest};
use crate::pieces::Piece;
use crate::scan::TopicScan;

/// So many ranges of offsets a stream looks up at once. Reading begins anew behind them, and the last MiB may be read twice:
/// little beside what so many records take.
const RANGES_MAX: usize = 1 << 16;
const RANGE_BYTES: usize = size_of::<std::ops::Range<i64>>();

/// The first pass, which all streams wait for.
type Found = Shared<BoxFuture<'static, Result<Arc<Newest>, Arc<DataFusionError>>>>;

/// A scan of the newest records of a topic.
#[derive(Debug)]
pub(super) struct LatestScan {
    scan: Arc<TopicScan>,
    newest: Arc<dyn ExecutionPlan>,
    /// Begins with the first stream of a run.
    found: Mutex<Option<Found>>,
}

impl LatestScan {
    /// `newest` gives the partitions and offsets of the newest records.
    pub(super) fn new(scan: TopicScan, newest: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            scan: Arc::new(scan),
            newest,
            found: Mutex::default(),
        }
    }

    fn found(&self, context: &Arc<TaskContext>) -> Found {
        let mut found = self.found.lock();
        let found = found.get_or_insert_with(|| {
            let (newest, context) = (Arc::clone(&self.newest), Arc::clone(context));
            let scan = Arc::clone(&self.scan);
            let found = async move { find(&*newest, &context, &scan).await.map_err(Arc::new) };
            found.boxed().shared()
        });
        found.clone()
    }
}

/// Runs the first pass.
async fn find(
    newest: &dyn ExecutionPlan,
    context: &Arc<TaskContext>,
    scan: &TopicScan,
) -> Result<Arc<Newest>> {
    let memory = MemoryConsumer::new("LatestScan").register(context.memory_pool());
    let mut finding = Finding::new(memory);
    let mut batches = newest.execute(0, Arc::clone(context))?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
            finding.add(*partition, *offset)?;
        }
    }
    drop(batches);
    let workers = scan.workers();
    Ok(Arc::new(workers.run(move || finding.done()).await?))
}

impl DisplayAs for LatestScan {
    fn fmt_as(&self, format: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scan.describe(self.name(), format, out)
    }
}

impl ExecutionPlan for LatestScan {
    fn name(&self) -> &'static str {
        "LatestScan"
    }

    /// Which are those of the scan: leaving out records changes nothing of their order.
    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.newest]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// A plan that has found nothing yet.
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([newest]) => Ok(Arc::new(Self {
                scan: Arc::clone(&self.scan),
                newest,
                found: Mutex::default(),
            })),
            Err(_) => internal_err!("the newest records are found by one plan"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new(format!("LatestScan[{partition}]"));
        let state = Running {
            found: self.found(&context),
            pieces: self.scan.of_stream(partition).into(),
            memory: consumer.register(context.memory_pool()),
            reading: None,
            scan: Arc::clone(&self.scan),
            stream: partition,
            context,
        };
        let batches = futures_util::stream::try_unfold(state, Running::next);
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.scan.statistics_from_inputs(&[], args)
    }
}

/// A stream that runs.
struct Running {
    found: Found,
    /// What was not looked up yet.
    pieces: VecDeque<Piece>,
    /// For the ranges that were.
    memory: MemoryReservation,
    /// The records in these.
    reading: Option<SendableRecordBatchStream>,
    scan: Arc<TopicScan>,
    stream: usize,
    context: Arc<TaskContext>,
}

impl Running {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let newest = self.found.clone().await.map_err(DataFusionError::Shared)?;
        loop {
            if let Some(reading) = &mut self.reading {
                if let Some(batch) = reading.next().await {
                    return Ok(Some((batch?, self)));
                }
                self.reading = None;
            }
            let Some(piece) = self.look_up(&newest)? else {
                return Ok(None);
            };
            self.reading = Some(self.scan.read(self.stream, vec![piece], &self.context));
        }
    }

    /// What to read next.
    fn look_up(&mut self, newest: &Newest) -> Result<Option<Piece>> {
        self.memory.try_resize(RANGES_MAX * RANGE_BYTES)?;
        while let Some(piece) = self.pieces.front_mut() {
            let partition = self.scan.partition(piece.partition).unwrap_or(-1);
            if let Some(found) = newest.take(partition, piece, RANGES_MAX) {
                self.memory.resize(found.ranges.capacity() * RANGE_BYTES);
                return Ok(Some(found));
            }
            self.pieces.pop_front();
        }
        self.memory.free();
        Ok(None)
    }
}
