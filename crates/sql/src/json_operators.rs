//! [`JsonOperators`]: the operators of JSON as calls of functions, without names of their own.
//!
//! The functions bring a planner that gives each of them a name, to head a column with. The planner asks a name twice for the type of
//! what it names, so operators that follow each other would cost twice as much with each of them.

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use datafusion_functions_json::udfs::{json_as_text_udf, json_contains_udf, json_get_udf};

/// Plans `->`, `->>`, `#>`, `#>>` and `?`.
#[derive(Debug)]
pub(crate) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow | BinaryOperator::HashArrow => json_get_udf(),
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow => json_as_text_udf(),
            BinaryOperator::Question => json_contains_udf(),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(
            function.call(vec![expr.left, expr.right]),
        ))
    }
}
