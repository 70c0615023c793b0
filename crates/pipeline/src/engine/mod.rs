//! The query of a pipeline with its checks, compiled once and run over batches.
use datafusion::arrow::array::RecordBatch;
#[derive(Debug)]
pub struct Query;
#[derive(Debug)]
pub struct Outcome { pub rows: RecordBatch, pub rows_of: Vec<u32>, pub dead: Vec<Dead>, pub dropped: u64, pub warned: u64, pub failed: std::collections::BTreeMap<usize,u64> }
#[derive(Debug)]
pub struct Dead { pub row: u32, pub reason: String, pub check: Option<String>, pub message: String }
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct QueryError;
impl Query { pub async fn run(&mut self, _input: usize, _rows: RecordBatch) -> Result<Outcome, QueryError> { Err(QueryError) } }
