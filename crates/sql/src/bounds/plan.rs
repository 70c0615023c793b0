//! A plan: how large conditions become. The optimiser moves them towards the tables, and on the way it writes out what a column is as
//! often as it is named.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::TooMuch;

/// The most operators of a condition over tables.
const CONDITION_MAX: usize = 20_000;

/// Refuses conditions that are far larger when the columns that they name are written out.
///
/// # Errors
/// [`TooMuch`].
pub(crate) fn admit_conditions(plan: &LogicalPlan) -> Result<()> {
    columns(plan).map(|_sizes| ())
}

/// How large each column is, written out over tables.
fn columns(plan: &LogicalPlan) -> Result<Vec<usize>> {
    let inputs = plan.inputs().into_iter();
    let inputs = inputs
        .map(|input| Ok((input.schema().as_ref(), columns(input)?)))
        .collect::<Result<Vec<_>>>()?;
    plan.apply_subqueries(|subquery| {
        columns(subquery)?;
        Ok(TreeNodeRecursion::Jump)
    })?;
    let below = Below(&inputs);
    let count = plan.schema().fields().len();
    let mut sizes = match plan {
        LogicalPlan::Projection(projection) => below.sizes(&projection.expr)?,
        LogicalPlan::Aggregate(aggregate) => below.sizes(&aggregate.group_expr)?,
        LogicalPlan::Union(_) => below.largest(),
        _ => below.all(),
    };
    if let LogicalPlan::Filter(filter) = plan {
        below.admit(&filter.predicate)?;
    }
    if let LogicalPlan::Join(join) = plan {
        let on = join.on.iter().flat_map(|(left, right)| [left, right]);
        for expr in on.chain(&join.filter) {
            below.admit(expr)?;
        }
    }
    // What comes of an operator of its own is a column by itself.
    sizes.resize(count, 1);
    Ok(sizes)
}

/// The columns of what is below an operator, and how large they are.
struct Below<'a>(&'a [(&'a DFSchema, Vec<usize>)]);

impl Below<'_> {
    fn all(&self) -> Vec<usize> {
        self.0
            .iter()
            .flat_map(|(_, sizes)| sizes.iter().copied())
            .collect()
    }

    fn largest(&self) -> Vec<usize> {
        let mut largest = Vec::new();
        for (_, sizes) in self.0 {
            largest.resize(sizes.len().max(largest.len()), 1);
            for (largest, size) in largest.iter_mut().zip(sizes) {
                *largest = (*largest).max(*size);
            }
        }
        largest
    }

    fn sizes(&self, exprs: &[Expr]) -> Result<Vec<usize>> {
        exprs.iter().map(|expr| self.size(expr)).collect()
    }

    fn size(&self, expr: &Expr) -> Result<usize> {
        let mut size: usize = 0;
        expr.apply(|expr| {
            let own = match expr {
                Expr::Column(column) => self.column(column),
                _ => 1,
            };
            size = size.saturating_add(own);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(size)
    }

    fn column(&self, column: &Column) -> usize {
        let mut found = self.0.iter().filter_map(|(schema, sizes)| {
            let index = schema.maybe_index_of_column(column)?;
            sizes.get(index).copied()
        });
        found.next().unwrap_or(1)
    }

    fn admit(&self, condition: &Expr) -> Result<()> {
        if self.size(condition)? <= CONDITION_MAX {
            return Ok(());
        }
        Err(TooMuch {
            message: format!(
                "a condition has more than {CONDITION_MAX} operators when the columns that it names are written out"
            ),
            hint: "name columns that are made of others once in each step, or ask in two statements",
            at: None,
        }
        .into())
    }
}
