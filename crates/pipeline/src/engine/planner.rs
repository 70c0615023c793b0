//! A statement as a plan. The planner sees the inputs of one pipeline and nothing else.

use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, TableReference};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, Volatility, WindowUDF,
};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;

/// What operators of the planner's own may hold; what is evaluated here has none.
const POOL_BYTES_MAX: usize = 16 << 20;

/// What all pipelines are planned with.
///
/// # Errors
/// A function is missing that should be there.
pub(super) fn state() -> Result<&'static SessionState> {
    static STATE: OnceLock<Result<SessionState>> = OnceLock::new();
    let state = STATE.get_or_init(|| sql::compute::session(POOL_BYTES_MAX));
    state
        .as_ref()
        .map_err(|error| DataFusionError::Plan(error.to_string()))
}

/// The inputs of a pipeline as tables.
pub(super) struct Tables<'a> {
    pub(super) state: &'a SessionState,
    /// Each with its name.
    pub(super) inputs: Vec<(&'a str, SchemaRef)>,
}

/// No input has this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no input {name}; {}", Inputs(.known, .nearest.as_deref()))]
struct NoInput {
    name: String,
    nearest: Option<String>,
    known: Vec<String>,
}

/// What there is instead.
struct Inputs<'a>(&'a [String], Option<&'a str>);

impl fmt::Display for Inputs<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(nearest) => write!(formatter, "did you mean {nearest}?"),
            None => write!(formatter, "under from there are {}", self.0.join(", ")),
        }
    }
}

/// An input, to the planner.
struct Table(SchemaRef);

impl TableSource for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }
}

impl ContextProvider for Tables<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let is_ours = name.schema().is_none_or(|schema| schema == "public");
        let mut inputs = self.inputs.iter();
        let found = inputs.find(|(known, _)| is_ours && *known == name.table());
        if let Some((_, schema)) = found {
            return Ok(Arc::new(Table(Arc::clone(schema))));
        }
        let names = self.inputs.iter().map(|(known, _)| *known);
        let missing = NoInput {
            name: name.to_string(),
            nearest: contract::nearest(name.table(), names.clone()).map(str::to_owned),
            known: names.map(str::to_owned).collect(),
        };
        Err(DataFusionError::External(Box::new(missing)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        let functions = self.state.higher_order_functions();
        functions.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

impl Tables<'_> {
    /// The plan with types that fit, as it was written.
    pub(super) fn analysed(&self, statement: Statement) -> Result<LogicalPlan> {
        let planner = SqlToRel::new_with_options(self, self.parser_options());
        let plan = planner.sql_statement_to_plan(statement)?;
        let options = self.state.config_options();
        let analyzer = self.state.analyzer();
        analyzer.execute_and_check(plan, options, |_plan, _rule| {})
    }

    /// An expression over these columns.
    pub(super) fn expression(
        &self,
        expr: datafusion::sql::sqlparser::ast::Expr,
        columns: &DFSchema,
    ) -> Result<Expr> {
        let planner = SqlToRel::new_with_options(self, self.parser_options());
        let mut context = datafusion::sql::planner::PlannerContext::new();
        planner.sql_to_expr(expr, columns, &mut context)
    }

    fn parser_options(&self) -> ParserOptions {
        ParserOptions::from(&self.state.config_options().sql_parser)
    }

    /// A plan that gives the same with less work. Rules that need operators which no pipeline has are left out, and the one that
    /// moves conditions below the columns they are about: it writes out what a column is as often as it is named, at each level.
    pub(super) fn optimised(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(CommonSubexprEliminate::new()),
            Arc::new(OptimizeProjections::new()),
        ];
        Optimizer::with_rules(rules).optimize(plan, self.state, |_plan, _rule| {})
    }
}

/// A function of a plan that does not give the same each time.
pub(super) fn volatile(plan: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some(name) = volatile_function(expr) {
                    found = Some(name.to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn volatile_function(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::ScalarFunction(function)
            if function.func.signature().volatility != Volatility::Immutable =>
        {
            Some(function.name())
        }
        _ => None,
    }
}
