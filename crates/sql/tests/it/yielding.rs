//! Whoever multiplies rows lets others have their turn: cancel requests and time-outs come through.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures_util::StreamExt as _;

use crate::world::*;

/// What a task may do between two yields: tokio's budget.
const BUDGET: usize = 128;
/// Of a record of one side as many rows, which is more.
const RECORDS: usize = 150;

/// Rows that the operator of this name has given so far.
fn rows_of(plan: &Arc<dyn ExecutionPlan>, name: &str) -> Option<usize> {
    if plan.name() == name {
        return Some(plan.metrics()?.output_rows().unwrap_or_default());
    }
    let mut children = plan.children().into_iter();
    children.find_map(|child| rows_of(child, name))
}

#[test]
fn what_multiplies_rows_yields_before_an_aggregate_has_taken_all_of_them() {
    let world = World::new();
    world.simple_topic("t", 1);
    let records: Vec<_> = (0..RECORDS).map(|_| written(NOW_MS, "k", "v")).collect();
    world.append("t", 0, batch(&records));
    // A row is a batch, so that rows count batches; on one thread nobody else has the operator run.
    let engine = world.engine_with(|options| {
        options.threads = 1.try_into().unwrap();
        options.batch_rows = 1.try_into().unwrap();
    });
    let session = Session::of(engine);
    for (operator, join) in [
        ("CrossJoinExec", "t a CROSS JOIN t b"),
        (
            "NestedLoopJoinExec",
            "t a JOIN t b ON a._offset + b._offset >= 0",
        ),
        ("HashJoinExec", "t a JOIN t b ON a._key = b._key"),
    ] {
        let sql = format!("SELECT sum(a._offset - b._offset) FROM {join}");
        let plan = session.plan(&sql).unwrap();
        let context = session.context.task_ctx();
        let (most, all) = session.block_on(async move {
            let mut rows = execute_stream(Arc::clone(&plan), context).unwrap();
            let given = || rows_of(&plan, operator).expect("the plan joins so");
            let mut most = 0;
            poll_fn(|task| {
                loop {
                    let before = given();
                    let polled = rows.poll_next_unpin(task);
                    most = most.max(given() - before);
                    match polled {
                        Poll::Ready(Some(batch)) => drop(batch.unwrap()),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
            .await;
            (most, given())
        });
        assert_eq!(all, RECORDS * RECORDS, "{operator}");
        assert!(most <= BUDGET, "{operator}: {most} batches without a yield");
    }
}
