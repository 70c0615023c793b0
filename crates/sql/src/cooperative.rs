//! [`CooperativeFanOut`]: whoever makes many rows of few lets others have their turn, too.
//!
//! DataFusion yields by counting what leaves of a plan give. An operator that multiplies makes millions of batches out of one
//! of them, such as a cartesian product, and whoever takes all of these at once (an aggregate, a sort) then comes back late to
//! those who wait: to a cancel request and to `statement_timeout`, and to the other queries of the thread.
//!
//! What an operator does without giving anything is not counted: a join whose condition nearly no pair meets yields once for each
//! batch of its input.
//!
//! Invariant: between two yields every operator that may give more than it takes gives no more batches than a task has budget.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
    SymmetricHashJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;

/// Puts a counter above what multiplies.
#[derive(Debug)]
pub(crate) struct CooperativeFanOut;

impl PhysicalOptimizerRule for CooperativeFanOut {
    fn name(&self) -> &'static str {
        "CooperativeFanOut"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let below = plan.transform_up(|plan| {
            // A part of a plan may have been through here before.
            if plan.is::<CooperativeExec>() || !plan.children().into_iter().any(multiplies) {
                return Ok(Transformed::no(plan));
            }
            let children = plan.children().into_iter().map(counted).collect();
            replace_children_if_necessary(plan, children).map(Transformed::yes)
        })?;
        Ok(counted(&below.data))
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn counted(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if multiplies(plan) {
        Arc::new(CooperativeExec::new(Arc::clone(plan)))
    } else {
        Arc::clone(plan)
    }
}

/// Whether an operator may give more than it takes, without counting it.
fn multiplies(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<CrossJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<PiecewiseMergeJoinExec>()
        || plan.is::<SymmetricHashJoinExec>()
        || plan.is::<UnnestExec>()
}
