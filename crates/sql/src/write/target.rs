//! [`InsertTarget`]: a topic as INSERT and COPY FROM see it: the columns that can be written.
//!
//! It is found beside the topic's tables under a name of its own, which no statement of a user means, and nothing can be read
//! from it. NULL in a column means what leaving it out means.

use std::sync::Arc;

use async_trait::async_trait;
use contract::Contract;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use types::TopicName;

use super::typed::arrow_type;
use crate::columns::{Column, Form, UTC, header_fields};
use crate::topics::Topic;

/// Behind the name of a table it names where to write; legal in no topic name.
pub(crate) const INSERT_VIEW: &str = "@insert";

/// The columns of every topic that can be written, in their order.
pub(crate) const WRITABLE: [Column; 5] = [
    Column::Partition,
    Column::Timestamp,
    Column::Key,
    Column::Value,
    Column::Headers,
];

/// A topic that is written to.
#[derive(Clone, Debug)]
pub(crate) struct InsertTarget {
    pub(crate) topic: TopicName,
    pub(crate) partitions: usize,
    /// Whether records without a key have no place in it.
    pub(crate) needs_keys: bool,
    pub(crate) form: Form,
    /// What its values are declared to be.
    pub(crate) contract: Option<Arc<Contract>>,
    /// The columns of every topic, then those of the contract.
    schema: SchemaRef,
}

impl InsertTarget {
    pub(crate) fn new(topic: &Topic, form: Form) -> Self {
        let cleanup = topic.settings.get("cleanup.policy");
        let is_compacted =
            |policies: &String| policies.split(',').any(|policy| policy.trim() == "compact");
        let contract = topic.settings.get(contract::SETTING);
        let contract = contract
            .and_then(|text| Contract::parse(text).ok())
            .map(Arc::new);
        let fields =
            WRITABLE.map(|column| Field::new(column.name(), data_type(column, form), true));
        let declared = contract.iter().flat_map(|contract| contract.columns());
        let declared =
            declared.map(|column| Field::new(&column.name, arrow_type(column.data_type), true));
        let fields: Vec<Field> = fields.into_iter().chain(declared).collect();
        Self {
            topic: topic.name.clone(),
            partitions: topic.partitions.len(),
            needs_keys: cleanup.is_some_and(is_compacted),
            form,
            contract,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    pub(crate) fn columns(&self) -> &Schema {
        &self.schema
    }

    /// What a statement that names no columns writes; `None` if it has to name them.
    pub(crate) fn default_columns(&self) -> Option<Vec<String>> {
        let declared = self.contract.as_ref()?.columns();
        Some(declared.iter().map(|column| column.name.clone()).collect())
    }

    /// Whether it is a column of the contract.
    pub(crate) fn is_declared(&self, column: &str) -> bool {
        self.contract
            .iter()
            .flat_map(|contract| contract.columns())
            .any(|declared| declared.name == column)
    }
}

fn data_type(column: Column, form: Form) -> DataType {
    match column {
        Column::Partition => DataType::Int32,
        Column::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        Column::Headers => {
            let header = DataType::Struct(header_fields(form));
            DataType::List(Arc::new(Field::new_list_field(header, false)))
        }
        Column::Key | Column::Value if form == Form::Bytes => DataType::BinaryView,
        Column::Key | Column::Value | Column::Topic => DataType::Utf8View,
        Column::Offset => DataType::Int64,
    }
}

#[async_trait]
impl TableProvider for InsertTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan_err!("\"{}{INSERT_VIEW}\" can only be written to", self.topic)
    }
}
