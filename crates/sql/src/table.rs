//! [`TopicTable`]: a topic as a table of the engine; decides what of a query the scan does itself.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{Contract, Format};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use storage::{Isolation, PartitionLog, TimestampQuery};
use types::Timestamp;

use crate::columns::{Column, Columns, Form};
use crate::filters::{Constraint, constraint};
use crate::intervals::Intervals;
use crate::options::SessionOptions;
use crate::pieces::{Piece, Wish, prune, streams};

use crate::scan::{Shared, TopicScan};
use crate::snapshot::{Run, Snapshots};
use crate::spec::{ScanSpec, Tombstones};
use crate::topics::{Topic, TopicError};
use crate::typed::{Compiled, ContractFault, Selection};
use crate::wanted::Wanted;

/// At most so many streams for each thread: a stream holds a batch in memory.
const STREAMS_PER_THREAD: usize = 8;

/// A topic, as it was when a statement named it.
#[derive(Debug)]
pub(crate) struct TopicTable {
    /// A topic whose logs cannot be had is listed and described as any other; reading it is what fails.
    topic: Result<Arc<Topic>, Arc<TopicError>>,
    form: Form,
    columns: Columns,
    /// How the typed columns are read, if there are any.
    contract: Option<Result<Arc<Compiled>, ContractFault>>,
    /// Whether every line of a value is a row.
    has_lines: bool,
    /// Whether the engine is told in which order rows come.
    is_ordered: bool,
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
}

impl TopicTable {
    pub(crate) fn new(topic: Result<Topic, TopicError>, form: Form, shared: Arc<Shared>) -> Self {
        let contract = topic.as_ref().ok().and_then(contract_of);
        Self {
            columns: Columns::new(form, contract.as_ref()),
            has_lines: contract
                .as_ref()
                .is_some_and(|contract| *contract.format() == Format::NdJson),
            contract: contract.map(|contract| Compiled::new(contract).map(Arc::new)),
            topic: topic.map(Arc::new).map_err(Arc::new),
            form,
            is_ordered: true,
            shared,
            snapshots: Arc::default(),
        }
    }

    /// The same topic as of the same snapshot, as bytes and without its contract: every record is a row. What groups them by key
    /// would only take pains to keep their order.
    pub(crate) fn records(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            form: Form::Bytes,
            columns: Columns::new(Form::Bytes, None),
            contract: None,
            has_lines: false,
            is_ordered: false,
            shared: Arc::clone(&self.shared),
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// What of the typed columns is asked for.
    fn typed(&self, columns: &[Column], is_strict: bool) -> Result<Option<Selection>> {
        let typed = columns.iter().filter_map(|column| match column {
            Column::Typed(index) => Some(*index),
            _ => None,
        });
        let typed: Vec<_> = typed.collect();
        let errors = columns.contains(&Column::Error);
        let Some(contract) = self
            .contract
            .as_ref()
            .filter(|_| errors || !typed.is_empty())
        else {
            return Ok(None);
        };
        let contract = contract.as_ref();
        let contract =
            contract.map_err(|fault| DataFusionError::External(Box::new(fault.clone())))?;
        Ok(Some(Selection {
            contract: Arc::clone(contract),
            columns: typed,
            errors,
            is_strict,
        }))
    }

    /// What the snapshot has of each partition.
    async fn bounds(
        &self,
        topic: &Arc<Topic>,
        state: &dyn Session,
        isolation: Isolation,
    ) -> Result<Vec<(i32, Range<i64>)>> {
        let run = Run::new(state.execution_props(), isolation);
        let (topic, snapshots) = (Arc::clone(topic), Arc::clone(&self.snapshots));
        let asked = self.shared.asking.run(move || {
            let bounds = snapshots.bounds(&topic, run);
            let partitions = topic.partitions.iter();
            let numbers = partitions.map(|partition| partition.index.value());
            numbers.zip(bounds).collect()
        });
        asked.await
    }
}

#[async_trait]
impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| match constraint(filter) {
            Some(Constraint { is_exact: true, .. }) => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = self.topic_scan(state, projection, filters, limit, Tombstones::Shown);
        Ok(Arc::new(scan.await?))
    }
}

impl TopicTable {
    /// A scan of the topic for these columns, as far as filters on partition, offset and time let it.
    pub(crate) async fn topic_scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        tombstones: Tombstones,
    ) -> Result<TopicScan> {
        let topic = self
            .topic
            .as_ref()
            .map_err(|error| DataFusionError::External(Box::new(Arc::clone(error))))?;
        let Columns { schema, columns } = match projection {
            None => self.columns.clone(),
            Some(places) => self.columns.project(places)?,
        };
        let options = state.config_options().extensions.get::<SessionOptions>();
        let options = options.cloned().unwrap_or_default();
        let isolation = options.isolation.0;
        let typed = self.typed(&columns, options.strict.0)?;
        let Asked { wish, times } = asked(filters);
        let bounds = self.bounds(topic, state, isolation).await?;
        let pieces = prune(&bounds, &wish);
        let pieces = match &times {
            None => pieces,
            Some(times) => {
                let pieces = self.skip_older(topic, pieces, times, isolation).await?;
                self.skip_later(topic, pieces, times)
            }
        };
        let threads = state.config().target_partitions();
        let streams = streams(pieces, threads, threads.saturating_mul(STREAMS_PER_THREAD));
        let spec = ScanSpec {
            topic: Arc::clone(topic),
            schema,
            columns,
            typed,
            has_lines: self.has_lines,
            form: self.form,
            isolation,
            times,
            limit,
            tombstones,
        };
        let streams = if spec.is_in_headers() {
            let topic = Arc::clone(topic);
            let apart = move || {
                let streams = streams.into_iter();
                streams.map(|pieces| apart(&topic, pieces)).collect()
            };
            self.shared.asking.run(apart).await?
        } else {
            streams
        };
        let scan = TopicScan::new(spec, streams, Arc::clone(&self.shared));
        Ok(if self.is_ordered {
            scan
        } else {
            scan.without_order()
        })
    }

    /// Begins every partition at its first record that is late enough, which the time index knows. Records behind it may be
    /// older again, so it says nothing about where to end.
    async fn skip_older(
        &self,
        topic: &Arc<Topic>,
        pieces: Vec<Piece>,
        times: &Intervals,
        isolation: Isolation,
    ) -> Result<Vec<Piece>> {
        let Some(earliest) = times.first() else {
            return Ok(Vec::new());
        };
        if earliest == i64::MIN {
            return Ok(pieces);
        }
        let topic = Arc::clone(topic);
        let looked_up = self.shared.asking.run(move || {
            let late = pieces
                .into_iter()
                .filter_map(|piece| late_enough(&topic, piece, earliest, isolation));
            late.collect::<Vec<_>>()
        });
        looked_up.await
    }
}

impl TopicTable {
    /// Leaves out what earlier queries saw to be later than all that is asked for.
    fn skip_later(&self, topic: &Topic, pieces: Vec<Piece>, times: &Intervals) -> Vec<Piece> {
        let Some(latest) = times.last().filter(|latest| *latest < i64::MAX) else {
            return pieces;
        };
        let early = pieces.into_iter().filter_map(|piece| {
            let partition = topic.partitions.get(piece.partition)?;
            let log = (topic.id, partition.index);
            let later = self.shared.earliest.later_than(log, latest);
            let rest = later.complement();
            let ranges: Vec<_> = piece
                .ranges
                .into_iter()
                .flat_map(|range| rest.within(range))
                .collect();
            (!ranges.is_empty()).then_some(Piece { ranges, ..piece })
        });
        early.collect()
    }
}

/// What is left of a piece from its first record on that is not older than `earliest`.
fn late_enough(topic: &Topic, piece: Piece, earliest: i64, isolation: Isolation) -> Option<Piece> {
    let partition = topic.partitions.get(piece.partition)?;
    let query = TimestampQuery::AtLeast(Timestamp::from_ms(earliest));
    let first = match partition.log.offset_for_timestamp(query, isolation) {
        Ok(Some(found)) => found.offset.value(),
        // The snapshot ends where readers could see or before.
        Ok(None) => return None,
        Err(error) => {
            // If this part of the log is asked for, the scan says what is wrong with it; if not, nothing is.
            tracing::debug!(topic = %topic.name, partition = %partition.index, %error, "no look-up by time");
            return Some(piece);
        }
    };
    let mut wanted = Wanted::new(piece.ranges);
    wanted.pass(first);
    let ranges = wanted.into_ranges();
    (!ranges.is_empty()).then_some(Piece { ranges, ..piece })
}

/// The pieces with what segments know to be nothing but records apart.
fn apart(topic: &Topic, pieces: Vec<Piece>) -> Vec<Piece> {
    let apart = pieces.into_iter().flat_map(|piece| {
        let complete = match topic.partitions.get(piece.partition) {
            Some(partition) => complete(&*partition.log),
            None => Intervals::none(),
        };
        piece.apart(&complete)
    });
    apart.collect()
}

/// Offsets of which each is a record that every reader sees.
fn complete(log: &dyn PartitionLog) -> Intervals {
    let segments = log.segments().into_iter();
    let complete = segments.filter(|segment| segment.has_only_records);
    Intervals::of_ranges(complete.map(|segment| segment.base.value()..segment.end.value()))
}

/// The contract in a topic's settings. One that cannot be read was written by another version; it does not count, and the log
/// says so.
pub(crate) fn contract_of(topic: &Topic) -> Option<Contract> {
    let text = topic.settings.get(contract::SETTING)?;
    match Contract::parse(text) {
        Ok(contract) => Some(contract),
        Err(error) => {
            tracing::warn!(topic = %topic.name, %error, "the contract of a topic is not valid here and does not count");
            None
        }
    }
}

/// What filters ask of partition, offset and time.
#[derive(Debug)]
struct Asked {
    wish: Wish,
    times: Option<Intervals>,
}

fn asked(filters: &[Expr]) -> Asked {
    let (mut partitions, mut offsets) = (Intervals::all(), Intervals::all());
    // That a record has a time is a condition too, even if every time will do.
    let mut times = None;
    for found in filters.iter().filter_map(constraint) {
        let known = match found.column {
            Column::Partition => &mut partitions,
            Column::Offset => &mut offsets,
            Column::Timestamp => times.get_or_insert_with(Intervals::all),
            Column::Topic
            | Column::Key
            | Column::Value
            | Column::Headers
            | Column::Typed(_)
            | Column::Error => continue,
        };
        *known = known.intersect(&found.values);
    }
    let wish = Wish {
        partitions,
        offsets,
    };
    Asked { wish, times }
}
