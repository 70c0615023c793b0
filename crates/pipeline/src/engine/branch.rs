//! [`Branch`]: the way of the rows of one input through the query.
//!
//! A query without joins and aggregates is nothing but ways: each begins at an input, and on it rows are projected, filtered and
//! unnested; UNION ALL puts ways side by side. So there is no tree of operators to run, only expressions to evaluate, and each row
//! knows on its way which row of the input it comes from.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Unnest as UnnestPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::step::{Step, Unnested};

/// The way of the rows of an input.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// Which input.
    pub(super) input: usize,
    /// The columns of the input that it begins with.
    pub(super) columns: Vec<usize>,
    pub(super) steps: Vec<Step>,
}

/// The ways of a plan, in the order of its UNION ALL.
pub(super) fn branches(
    plan: &LogicalPlan,
    inputs: &[&str],
    state: &SessionState,
) -> Result<Vec<Branch>> {
    let below = |plan: &Arc<LogicalPlan>| branches(plan, inputs, state);
    match plan {
        LogicalPlan::TableScan(scan) => Ok(vec![scanned(scan, inputs)?]),
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input),
        LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => Ok(Vec::new()),
        LogicalPlan::Union(union) => {
            let each = union.inputs.iter().map(below);
            Ok(each.collect::<Result<Vec<_>>>()?.concat())
        }
        LogicalPlan::Filter(filter) => {
            let condition = physical(&filter.predicate, filter.input.schema(), state)?;
            Ok(with(below(&filter.input)?, &Step::Filter(condition)))
        }
        LogicalPlan::Projection(projection) => {
            let input = projection.input.schema();
            let exprs = projection.expr.iter();
            let exprs: Vec<_> = exprs
                .map(|expr| physical(expr, input, state))
                .collect::<Result<_>>()?;
            let schema = projected(&exprs, &projection.schema, input.as_arrow())?;
            Ok(with(
                below(&projection.input)?,
                &Step::Project(exprs, schema),
            ))
        }
        LogicalPlan::Unnest(unnest) => Ok(with(below(&unnest.input)?, &unnested(unnest)?)),
        other => Err(DataFusionError::Plan(format!(
            "a pipeline cannot do this: {}",
            other.display()
        ))),
    }
}

/// Every way goes on with the step.
fn with(mut branches: Vec<Branch>, step: &Step) -> Vec<Branch> {
    for branch in &mut branches {
        branch.steps.push(step.clone());
    }
    branches
}

fn scanned(scan: &TableScan, inputs: &[&str]) -> Result<Branch> {
    let name = scan.table_name.table();
    let input = inputs.iter().position(|input| *input == name);
    let input = input
        .filter(|_| scan.filters.is_empty() && scan.fetch.is_none())
        .ok_or_else(|| DataFusionError::Internal(format!("no scan of an input: {name}")))?;
    let all = || (0..scan.source.schema().fields().len()).collect();
    Ok(Branch {
        input,
        columns: scan.projection.clone().unwrap_or_else(all),
        steps: Vec::new(),
    })
}

pub(super) fn physical(
    expr: &Expr,
    input: &DFSchema,
    state: &SessionState,
) -> Result<Arc<dyn PhysicalExpr>> {
    let context = PhysicalPlanningContext::default();
    create_physical_expr(expr, input, state.execution_props(), &context)
}

/// What expressions give. Any of it may be NULL: what the planner thinks of that is not relied on.
fn projected(
    exprs: &[Arc<dyn PhysicalExpr>],
    names: &DFSchema,
    input: &Schema,
) -> Result<SchemaRef> {
    let fields = exprs.iter().zip(names.fields());
    let fields =
        fields.map(|(expr, field)| Ok(Field::new(field.name(), expr.data_type(input)?, true)));
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

fn unnested(unnest: &UnnestPlan) -> Result<Step> {
    let input = unnest.input.schema();
    let list = |index: usize| unnest.list_type_columns.iter().find(|(of, _)| *of == index);
    if unnest.options.preserve_nulls() {
        // No SQL says so.
        return Err(DataFusionError::Internal(
            "rows without items are kept".to_owned(),
        ));
    }
    let mut columns = Vec::new();
    for index in 0..input.fields().len() {
        let mut lists = unnest
            .list_type_columns
            .iter()
            .filter(|(of, _)| *of == index);
        if list(index).is_none() {
            let is_struct = unnest.struct_type_columns.contains(&index);
            columns.push((
                index,
                if is_struct {
                    Unnested::Fields
                } else {
                    Unnested::Repeated
                },
            ));
            continue;
        }
        if lists.any(|(_, list)| list.depth != 1) || lists.next().is_some() {
            return Err(DataFusionError::Plan(
                "lists in lists are unnested one by one: write unnest in a subquery for each level"
                    .to_owned(),
            ));
        }
        columns.push((index, Unnested::Items));
    }
    let fields = unnest.schema.fields().iter();
    let fields: Vec<_> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Ok(Step::Unnest {
        columns,
        schema: Arc::new(Schema::new(fields)),
    })
}
