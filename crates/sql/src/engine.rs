//! [`Engine`]: what all sessions share, and where sessions come from.
//!
//! Invariants: queries run on threads of the engine's own, never on those of the broker; all queries together stay within
//! one bound of memory and one of spilled bytes; a session reaches topics, and of the machine's files only
//! the folder of exports, of other machines only the stores of exports, if there are any.
//!
//! DataFusion starts its tasks on the tokio runtime that polls it and writes what it spills itself, and the client of S3 has
//! its own sockets, so this crate has a runtime of its own and does not go through `env` for any of them. The broker's simulation has no SQL.
//!
//! JSON: `->`, `->>`, `?`, `#>` and `json_get*` read `_value` (any text). They differ from PostgreSQL's: text that is no JSON
//! is NULL, never an error; `->` gives a value of its own union type, not `jsonb`, so compare with `->>` or a cast
//! (`(_value->'km')::float`); of equal keys in an object the first that the parser meets counts.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::common::DataFusionError;
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry as _, SessionState, SessionStateDefaults};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Handle;

use crate::bounded::bounded_functions;
use crate::catalogue::{CATALOGUE, Catalogue, Catalogues, PUBLIC};
use crate::checked::CheckedOperators;
use crate::cooperative::CooperativeFanOut;
use crate::earliest_times::EarliestTimes;
use crate::export::Exports;
use crate::json_operators::JsonOperators;
use crate::minutes::TimesWithoutSeconds;
use crate::no_files::NoFiles;
use crate::options::{EngineOptions, SessionOptions};
use crate::postgres::{Activity, Sessions};
use crate::scan::Shared;
use crate::similar::similar_to_escape;
use crate::statements::{ReadOnlyPlanner, admit, admit_statement};
use crate::sys::{SYS, Source, Sys};
use crate::system::System;
use crate::threads::{Asking, Threads};
use crate::topics::Topics;
use crate::width_bucket::width_bucket;
use crate::write::{headers_function, with_writer};

/// DataFusion's own measure of the same.
const MERGE_BYTES_MAX: usize = 10 << 20;
/// So many of those who hold most memory are named when there is none left.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not zero");

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system refuses threads.
    #[error("could not start the threads of queries")]
    Threads(#[source] io::Error),
    /// What queries need could not be set up.
    #[error("could not set up queries")]
    SetUp(#[from] DataFusionError),
}

/// What all sessions share.
#[derive(Debug)]
pub struct Engine {
    /// `None` once it is being dropped.
    threads: Option<Threads>,
    catalogue: Arc<Catalogue>,
    asking: Asking,
    /// What every session begins as.
    first: SessionState,
    exports: Arc<Exports>,
}

impl Engine {
    /// An engine over `topics`.
    ///
    /// # Errors
    /// The system refuses threads, or the spill directory cannot be used.
    pub fn new(topics: Arc<dyn Topics>, options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        let threads = Threads::start(options.threads.get(), options.priority);
        let threads = threads.map_err(EngineError::Threads)?;
        let is_writable = options.writer.is_some();
        let shared = Shared {
            workers: threads.workers(),
            asking: threads.asking(),
            earliest: EarliestTimes::default(),
        };
        let asking = shared.asking.clone();
        let catalogue = Arc::new(Catalogue::new(topics, is_writable, shared));
        let first = first_session(&catalogue, &options)?;
        let exports = Exports::new(
            options.export_directory,
            options.export_s3,
            options.export_bytes_max,
            threads.handle().clone(),
        );
        Ok(Arc::new(Self {
            threads: Some(threads),
            catalogue,
            asking,
            first,
            exports: Arc::new(exports),
        }))
    }

    /// A context for one connection: what it sets is seen by no other, memory and catalogue are shared by all.
    pub fn session(&self) -> SessionContext {
        let state = SessionStateBuilder::new_from_existing(self.first.clone());
        // Without an id of its own the state makes one.
        SessionContext::new_with_state(state.build())
    }

    /// The threads that queries run on. Whoever polls a plan does it there: what is polled elsewhere computes elsewhere,
    /// only the reading of topics finds its way here by itself.
    pub fn handle(&self) -> &Handle {
        let threads = self.threads.as_ref();
        threads.expect("they are there until the drop").handle()
    }

    /// The plan of a statement, or why it may not run.
    ///
    /// # Errors
    /// The statement is wrong, names what is not there, or does more than ask ([`crate::Refused`]).
    pub async fn plan(&self, session: &SessionContext, sql: &str) -> Result<LogicalPlan> {
        let state = session.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect)?;
        admit_statement(&statement)?;
        let plan = state.statement_to_plan(statement).await?;
        admit(&plan)?;
        Ok(plan)
    }

    /// Refuses a plan that was made elsewhere if it does more than ask.
    ///
    /// # Errors
    /// [`crate::Refused`].
    pub fn admit(&self, plan: &LogicalPlan) -> Result<()> {
        admit(plan)
    }

    /// Adds the schema `sys`, for all sessions: what `system` tells of itself, and what the server's sessions do.
    pub fn add_system(&self, system: Arc<dyn System>, activity: Arc<Activity>) {
        let source = Source {
            system,
            activity,
            topics: self.catalogue.topics(),
            asking: self.asking.clone(),
        };
        self.add_schema(SYS, Arc::new(Sys(Arc::new(source))));
    }

    /// Waits, not for long, until stores have forgotten exports that ended early. Sessions have ended before.
    pub async fn settle_exports(&self) {
        self.exports.settle().await;
    }

    /// Adds a schema beside `public`, for all sessions.
    pub fn add_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) {
        self.catalogue.add(name, schema);
    }
}

impl Sessions for Engine {
    fn session(&self) -> SessionContext {
        Self::session(self)
    }

    fn exports(&self) -> Option<Arc<Exports>> {
        Some(Arc::clone(&self.exports))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.stop();
        }
    }
}

fn first_session(
    catalogue: &Arc<Catalogue>,
    options: &EngineOptions,
) -> Result<SessionState, DataFusionError> {
    let config = match &options.writer {
        Some(writer) => with_writer(SessionConfig::new(), Arc::clone(writer)),
        None => SessionConfig::new(),
    };
    let mut config = config
        .with_default_catalog_and_schema(CATALOGUE, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(options.threads.get())
        .with_batch_size(options.batch_rows.get())
        .with_sort_spill_reservation_bytes(merge_bytes(options))
        .with_option_extension(SessionOptions::default());
    config.options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::new(runtime(options)?))
        .with_catalog_list(Arc::new(Catalogues(Arc::clone(catalogue))))
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_function_list(SessionStateDefaults::default_table_functions())
        .with_physical_optimizer_rule(Arc::new(CooperativeFanOut))
        .with_query_planner(Arc::new(ReadOnlyPlanner));
    with_expressions(state)
}

/// A state with what expressions are made of, the same wherever there are some: operators, and functions of values.
pub(crate) fn with_expressions(
    state: SessionStateBuilder,
) -> Result<SessionState, DataFusionError> {
    let mut state = state
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .build();
    // Before those that come with the functions of JSON: the first that knows an operator plans it.
    state.register_expr_planner(Arc::new(JsonOperators))?;
    datafusion_functions_json::register_all(&mut state)?;
    state.register_udf(Arc::new(headers_function()))?;
    state.register_udf(Arc::new(width_bucket()))?;
    state.register_udf(Arc::new(similar_to_escape()))?;
    for function in bounded_functions(&state)? {
        state.register_udf(function)?;
    }
    state.register_function_rewrite(Arc::new(TimesWithoutSeconds::new()))?;
    state.register_function_rewrite(Arc::new(CheckedOperators))?;
    Ok(state)
}

/// What each stream of a sort keeps back for merging what it spilled: with little memory less than usual, so that something
/// is left to sort with.
fn merge_bytes(options: &EngineOptions) -> usize {
    let share = options.memory_bytes_max / options.threads.get() / 8;
    share.min(MERGE_BYTES_MAX)
}

/// The bounds that all queries share.
fn runtime(options: &EngineOptions) -> Result<RuntimeEnv, DataFusionError> {
    let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
        FairSpillPool::new(options.memory_bytes_max),
        CONSUMERS_NAMED,
    ));
    let mode = match &options.spill_directory {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(options.spill_bytes_max);
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(NoFiles))
        .build()
}
