//! [`TopicScan`]: the plan of a scan, as the engine runs and EXPLAIN shows it.
//!
//! Invariant: no thread waits for another. A stream asks for one step at a time; a step is a bounded piece of work on a
//! thread that may block, and so many of them run at once as queries have threads. A stream that is dropped asks for no
//! more steps.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, StatisticsArgs,
};
use storage::Isolation;

use crate::columns::Column;
use crate::earliest_times::EarliestTimes;
use crate::pieces::Piece;
use crate::reader::{Step, StreamReader};
use crate::spec::{ScanMetrics, ScanSpec, Tombstones};
use crate::threads::{Asking, Workers};
use crate::views::View;

/// What all scans share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where records become columns.
    pub(crate) workers: Workers,
    /// Where logs are asked.
    pub(crate) asking: Asking,
    pub(crate) earliest: EarliestTimes,
}

/// A scan of a topic.
#[derive(Debug)]
pub(crate) struct TopicScan {
    spec: Arc<ScanSpec>,
    streams: Vec<Vec<Piece>>,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TopicScan {
    pub(crate) fn new(spec: ScanSpec, streams: Vec<Vec<Piece>>, shared: Arc<Shared>) -> Self {
        // A plan has one stream at least.
        let count = streams.len().max(1);
        let properties = PlanProperties::new(
            ordered(&spec.schema, &streams),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        // Every batch is waited for.
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            spec: Arc::new(spec),
            streams,
            shared,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same, and nobody is told in which order its rows are.
    pub(crate) fn without_order(self) -> Self {
        let schema = Arc::clone(&self.spec.schema);
        let properties = PlanProperties::clone(&self.properties);
        Self {
            properties: Arc::new(properties.with_eq_properties(EquivalenceProperties::new(schema))),
            ..self
        }
    }

    /// The pieces of one stream or of all.
    fn pieces(&self, stream: Option<usize>) -> impl Iterator<Item = &Piece> + Clone {
        let streams = match stream {
            None => self.streams.get(..),
            Some(stream) => self.streams.get(stream..=stream),
        };
        streams.unwrap_or_default().iter().flatten()
    }

    /// Whether it is known without reading which records there are.
    fn is_known(&self, stream: Option<usize>) -> bool {
        self.pieces(stream).all(|piece| piece.is_complete)
    }

    /// The smallest and the largest value of a column, if that is known of every piece.
    fn extremes(
        &self,
        column: Column,
        stream: Option<usize>,
    ) -> Option<(ScalarValue, ScalarValue)> {
        match column {
            Column::Offset => {
                let ranges = self.pieces(stream).flat_map(|piece| &piece.ranges);
                let first = ranges.clone().map(|range| range.start).min()?;
                let last = ranges.map(|range| range.end - 1).max()?;
                Some((first.into(), last.into()))
            }
            Column::Partition => {
                let numbers = self.pieces(stream).filter_map(|piece| {
                    let partition = self.spec.topic.partitions.get(piece.partition)?;
                    Some(partition.index.value())
                });
                let (first, last) = (numbers.clone().min()?, numbers.max()?);
                Some((first.into(), last.into()))
            }
            _ => None,
        }
    }
}

/// In which order the rows of every stream are: of offsets within a partition, and of partitions where they share one.
fn ordered(schema: &SchemaRef, streams: &[Vec<Piece>]) -> EquivalenceProperties {
    let ascending = |column: Column| {
        let name = column.name()?;
        let at = schema.index_of(name).ok()?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(name, at));
        Some(PhysicalSortExpr::new_default(column).asc())
    };
    let offset = ascending(Column::Offset);
    let both = ascending(Column::Partition).zip(offset.clone());
    let mut orderings: Vec<Vec<PhysicalSortExpr>> = Vec::new();
    orderings.extend(both.map(|(partition, offset)| vec![partition, offset]));
    let is_of_one = |stream: &Vec<Piece>| {
        let mut partitions = stream.iter().map(|piece| piece.partition);
        partitions
            .next()
            .is_none_or(|first| partitions.all(|next| next == first))
    };
    if streams.iter().all(is_of_one) {
        orderings.extend(offset.map(|offset| vec![offset]));
    }
    EquivalenceProperties::new_with_orderings(Arc::clone(schema), orderings)
}

impl DisplayAs for TopicScan {
    fn fmt_as(&self, format: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(self.name(), format, out)
    }
}

impl TopicScan {
    /// What EXPLAIN shows of a plan of this name that reads so.
    pub(crate) fn describe(
        &self,
        plan: &str,
        format: DisplayFormatType,
        out: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let fields = self.spec.schema.fields().iter();
        let columns: Vec<_> = fields.map(|field| field.name().as_str()).collect();
        let (name, columns) = (&self.spec.topic.name, columns.join(", "));
        let view = View {
            form: self.spec.form,
            is_latest: self.spec.tombstones == Tombstones::LeftOut,
        };
        if format == DisplayFormatType::TreeRender {
            writeln!(out, "topic={name}{view}")?;
            writeln!(out, "partitions=[{}]", self.ranges())?;
            return writeln!(out, "columns=[{columns}]");
        }
        write!(
            out,
            "{plan}: topic={name}{view}, partitions=[{}], columns=[{columns}]",
            self.ranges()
        )?;
        if let Some(times) = &self.spec.times {
            write!(out, ", timestamps=[{times}]")?;
        }
        if let Some(limit) = self.spec.limit {
            write!(out, ", limit={limit}")?;
        }
        if self.is_known(None) {
            write!(out, ", nothing to read")?;
        } else if self.spec.is_in_headers() {
            write!(out, ", batch headers only")?;
        }
        if self.spec.isolation == Isolation::ReadUncommitted {
            write!(out, ", read_uncommitted")?;
        }
        Ok(())
    }

    /// As `0: 5..20, 1: 0..3 7..9`; streams that share are in brackets.
    fn ranges(&self) -> String {
        let piece = |piece: &Piece| {
            let partition = self.spec.topic.partitions.get(piece.partition);
            let partition = partition.map_or(-1, |partition| partition.index.value());
            let show = |Range { start, end }: &Range<i64>| format!("{start}..{end}");
            let ranges: Vec<_> = piece.ranges.iter().map(show).collect();
            format!("{partition}: {}", ranges.join(" "))
        };
        let stream = |stream: &Vec<Piece>| {
            let pieces: Vec<_> = stream.iter().map(piece).collect();
            match pieces.len() {
                1 => pieces.join(""),
                _ => format!("({})", pieces.join(", ")),
            }
        };
        let streams: Vec<_> = self.streams.iter().map(stream).collect();
        streams.join(", ")
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.shared.workers
    }

    /// What a stream reads.
    pub(crate) fn of_stream(&self, stream: usize) -> Vec<Piece> {
        self.streams.get(stream).cloned().unwrap_or_default()
    }

    /// The number of the partition in this place of the topic.
    pub(crate) fn partition(&self, place: usize) -> Option<i32> {
        let partition = self.spec.topic.partitions.get(place)?;
        Some(partition.index.value())
    }

    /// The rows of pieces of a stream.
    pub(crate) fn read(
        &self,
        stream: usize,
        pieces: Vec<Piece>,
        context: &TaskContext,
    ) -> SendableRecordBatchStream {
        let consumer = format!("TopicScan[{} {stream}]", self.spec.topic.name);
        let counter = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, stream);
        let metrics = ScanMetrics {
            bytes_read: counter("bytes_read"),
            batches_read: counter("batches_read"),
            batches_by_header: counter("batches_by_header"),
            offsets_removed: counter("offsets_removed"),
        };
        let reader = StreamReader::new(
            Arc::clone(&self.spec),
            pieces,
            Arc::clone(&self.shared),
            context.session_config().batch_size(),
            MemoryConsumer::new(consumer).register(context.memory_pool()),
            metrics,
        );
        let state = Running {
            reader,
            shared: Arc::clone(&self.shared),
            baseline: BaselineMetrics::new(&self.metrics, stream),
        };
        let batches = futures_util::stream::try_unfold(state, Running::next);
        let schema = Arc::clone(&self.spec.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

impl ExecutionPlan for TopicScan {
    fn name(&self) -> &'static str {
        "TopicScan"
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
        Ok(self.read(partition, self.of_stream(partition), &context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Offsets are at least as many as records. How many records there are exactly only complete segments know: cleaning
    /// leaves gaps, and markers and aborted records have offsets too. Where there is no offset there is no record.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let stream = args.partition();
        let offsets = self.pieces(stream).map(Piece::offsets).sum::<u64>();
        let offsets = usize::try_from(offsets).unwrap_or(usize::MAX);
        let is_known = self.is_known(stream) && self.spec.limit.is_none();
        let mut statistics = Statistics::new_unknown(&self.spec.schema);
        statistics.num_rows = if is_known || offsets == 0 {
            Precision::Exact(offsets)
        } else {
            Precision::Inexact(offsets.min(self.spec.limit.unwrap_or(usize::MAX)))
        };
        let columns = self.spec.columns.iter();
        for (column, known) in columns.zip(&mut statistics.column_statistics) {
            let extremes = self.extremes(*column, stream).filter(|_| is_known);
            if let Some((least, largest)) = extremes {
                known.min_value = Precision::Exact(least);
                known.max_value = Precision::Exact(largest);
            }
            known.null_count = match column {
                Column::Topic | Column::Partition | Column::Offset | Column::Headers => {
                    Precision::Exact(0)
                }
                Column::Timestamp
                | Column::Key
                | Column::Value
                | Column::Typed(_)
                | Column::Error => Precision::Absent,
            };
        }
        Ok(Arc::new(statistics))
    }
}

/// A stream that runs.
#[derive(Debug)]
struct Running {
    reader: StreamReader,
    shared: Arc<Shared>,
    baseline: BaselineMetrics,
}

impl Running {
    async fn next(self) -> Result<Option<(datafusion::arrow::array::RecordBatch, Self)>> {
        let Self {
            mut reader,
            shared,
            baseline,
        } = self;
        loop {
            let elapsed = baseline.elapsed_compute().clone();
            let step = shared.workers.run(move || {
                let _timer = elapsed.timer();
                let step = reader.step();
                (reader, step)
            });
            let (after, step) = step.await?;
            reader = after;
            match step? {
                Step::Working => {}
                Step::Ask => {
                    let asked = shared.asking.run(move || {
                        let asked = reader.ask();
                        (reader, asked)
                    });
                    let (after, asked) = asked.await?;
                    reader = after;
                    asked?;
                }
                Step::Done => {
                    baseline.done();
                    return Ok(None);
                }
                Step::Batch(batch) => {
                    baseline.record_output(batch.num_rows());
                    let state = Self {
                        reader,
                        shared,
                        baseline,
                    };
                    return Ok(Some((batch, state)));
                }
            }
        }
    }
}
