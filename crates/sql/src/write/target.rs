//! [`InsertTarget`]: a topic as INSERT and COPY FROM see it: the columns that can be written.
//!
//! It is found beside the topic's tables under a name of its own, which no statement of a user means, and nothing can be read
//! from it. NULL in a column means what leaving it out means.

use std::sync::Arc;

use async_trait::async_trait;
use contract::Contract;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use types::TopicName;

use crate::columns::{Column, Form};
use crate::table::contract_of;
use crate::topics::Topic;
use crate::typed::arrow_type;

/// Behind the name of a table it names where to write; legal in no topic name.
pub(crate) const INSERT_VIEW: &str = "@insert";

/// What columns that can be written are called.
pub(crate) const PARTITION: &str = named(Column::Partition);
pub(crate) const TIMESTAMP: &str = named(Column::Timestamp);
pub(crate) const KEY: &str = named(Column::Key);
pub(crate) const VALUE: &str = named(Column::Value);
pub(crate) const HEADERS: &str = named(Column::Headers);

const fn named(column: Column) -> &'static str {
    match column.name() {
        Some(name) => name,
        None => "",
    }
}

/// The columns of every topic that can be written, in their order.
const WRITABLE: [Column; 5] = [
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
        let contract = contract_of(topic).map(Arc::new);
        let fields = WRITABLE.iter().filter_map(|column| column.field(form));
        // What is NULL is left out.
        let fields = fields.map(|field| field.with_nullable(true));
        let declared = contract.iter().flat_map(|contract| contract.columns());
        let declared =
            declared.map(|column| Field::new(&column.name, arrow_type(column.data_type), true));
        let fields: Vec<Field> = fields.chain(declared).collect();
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

    /// Whether a column holds bytes.
    pub(crate) fn is_bytes(&self, column: &str) -> bool {
        let field = self.schema.field_with_name(column);
        field.is_ok_and(|field| field.data_type().is_binary())
    }

    /// Whether it is a column of the contract.
    pub(crate) fn is_declared(&self, column: &str) -> bool {
        self.contract
            .iter()
            .flat_map(|contract| contract.columns())
            .any(|declared| declared.name == column)
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
