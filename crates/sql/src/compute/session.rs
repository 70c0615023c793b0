//! What SQL is read, planned and evaluated with.

use std::sync::Arc;

use datafusion::common::config::Dialect;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Expr, Statement};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use crate::bounds;
use crate::dialect::Postgres;
use crate::engine::with_expressions;
use crate::no_files::NoFiles;
use crate::postgres;

/// A state with the functions, the operators and the dialect of sessions of psql, that knows no tables, no files and no disk.
/// What its operators hold in memory stays below `memory_bytes_max`.
///
/// # Errors
/// A function is missing that should be there.
pub fn session(memory_bytes_max: usize) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(1);
    let parser = &mut config.options_mut().sql_parser;
    parser.dialect = Dialect::PostgreSQL;
    parser.collect_spans = true;
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes_max)))
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(NoFiles))
        .build()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::new(runtime))
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions());
    let mut state = with_expressions(state)?;
    // As sessions begin: behind the functions, so that those which make times make them without a zone.
    state.config_mut().options_mut().execution.time_zone = Some("UTC".to_owned());
    Ok(state)
}

/// How deep operators may stand in each other.
const DEPTH_MAX: usize = 250;

/// Refuses what is too much to be read ([`crate::TooMuch`]).
fn admit(sql: &str) -> Result<()> {
    let mut tokens = Vec::new();
    // What is no SQL has no tokens; the parser tells it.
    let _read = Tokenizer::new(&Postgres, sql).tokenize_with_location_into_buf(&mut tokens);
    Ok(bounds::admit_text(&tokens, DEPTH_MAX)?)
}

fn parser<'a>(state: &SessionState, sql: &'a str) -> Result<DFParser<'a>> {
    let depth_max = state.config_options().sql_parser.recursion_limit.get();
    DFParserBuilder::new(sql)
        .with_dialect(&Postgres)
        .with_recursion_limit(depth_max)
        .build()
}

/// Reads one statement, and makes of PostgreSQL's SQL what the planner knows.
///
/// # Errors
/// It is none, or too much ([`crate::TooMuch`]).
pub fn parse(state: &SessionState, sql: &str) -> Result<Statement> {
    admit(sql)?;
    let mut statements = parser(state, sql)?.parse_statements()?;
    match (statements.pop_front(), statements.is_empty()) {
        (_, false) => Err(DataFusionError::Plan(
            "there is more than one statement".to_owned(),
        )),
        (Some(Parsed::Statement(mut statement)), true) => {
            bounds::admit_statement(&statement)?;
            postgres::rewrite_statement(&mut statement);
            Ok(*statement)
        }
        _ => Err(DataFusionError::Plan("this is no query".to_owned())),
    }
}

/// Reads one expression, likewise.
///
/// # Errors
/// As [`parse`].
pub fn parse_expression(state: &SessionState, sql: &str) -> Result<Expr> {
    admit(sql)?;
    let mut expr = parser(state, sql)?.parse_into_expr()?.expr;
    postgres::rewrite_expression(&mut expr);
    Ok(expr)
}

/// The name as it was written, if a column of a result has it for the second time: [`parse`] tells them apart.
pub fn is_repeated_name(name: &str) -> Option<&str> {
    name.split_once(postgres::NAME_MARK).map(|(name, _)| name)
}
