//! [`CheckedOperators`]: operators of the engine's that give something wrong or without a bound, replaced by functions that do not.
//!
//! | Operator | The engine's | Here |
//! |---|---|---|
//! | `+`, `-` and `*` of whole numbers, `-` before one | begins again at the other end | an error, as PostgreSQL's: out of range |
//! | `\|\|` of texts | writes a constant out for each row, whatever that takes | is refused if that is too much |

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::kernels::numeric::{add, mul, neg, sub};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr as _;
use datafusion::physical_expr::expressions::{BinaryExpr as PhysicalBinaryExpr, Column};
use datafusion::physical_expr_common::datum::apply;

use crate::bounded::bounded_by_sum;

/// Puts the functions in the places of the operators.
///
/// What follows each other becomes one call, with as many arguments as there are: calls that stand in each other would go as deep as
/// a statement has operators, in whatever goes through them.
#[derive(Debug)]
pub(crate) struct CheckedOperators;

impl FunctionRewrite for CheckedOperators {
    fn name(&self) -> &str {
        "checked_operators"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _config: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_ours(op) => {
                let replaces = match (left.get_type(schema), right.get_type(schema)) {
                    (Ok(left), Ok(right)) => is_replaced(&left, op, &right),
                    // What has no type is told by the planner.
                    _ => false,
                };
                Ok(if replaces {
                    Transformed::yes(call(*left, Step::Binary(op), Some(*right)))
                } else {
                    Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
                })
            }
            Expr::Negative(of) if of.get_type(schema).is_ok_and(|of| of.is_integer()) => {
                Ok(Transformed::yes(call(*of, Step::Negative, None)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

const fn is_ours(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::StringConcat
    )
}

fn is_replaced(left: &DataType, operator: Operator, right: &DataType) -> bool {
    let found = BinaryTypeCoercer::new(left, &operator, right).get_result_type();
    found.is_ok_and(|found| match operator {
        Operator::StringConcat => found.is_string(),
        _ => found.is_integer(),
    })
}

/// The call that does this to what is on the left: a longer one if that is such a call.
fn call(left: Expr, step: Step, right: Option<Expr>) -> Expr {
    let name = step.name();
    let (mut steps, mut arguments) = match left {
        Expr::ScalarFunction(function) if function.name() == name => {
            let steps = match function.func.inner().downcast_ref::<Function>() {
                Some(checked) => checked.steps.clone(),
                // Those with a bound are all of one kind.
                None => vec![step; function.args.len().saturating_sub(1)],
            };
            (steps, function.args)
        }
        other => (Vec::new(), vec![other]),
    };
    steps.push(step);
    arguments.extend(right);
    let signature = Signature::user_defined(Volatility::Immutable);
    let function = ScalarUDF::from(Function {
        name,
        steps,
        signature,
    });
    let function = match step {
        Step::Binary(Operator::StringConcat) => bounded_by_sum(function),
        _ => function,
    };
    function.call(arguments)
}

/// What is done to what there is so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// With the next argument on the right.
    Binary(Operator),
    Negative,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Binary(Operator::StringConcat) => "text_concat",
            _ => "checked_arithmetic",
        }
    }
}

/// What operators do that follow each other, as a function: from the first argument on, each with the next.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    steps: Vec<Step>,
    signature: Signature,
}

impl Function {
    /// Folds the arguments.
    fn fold<T>(&self, arguments: &[T], with: impl Fn(T, Step, Option<&T>) -> Result<T>) -> Result<T>
    where
        T: Clone,
    {
        let missing = || exec_datafusion_err!("{} has other arguments", self.name);
        let mut arguments = arguments.iter();
        let mut value = arguments.next().cloned().ok_or_else(missing)?;
        for step in &self.steps {
            let right = match step {
                Step::Binary(_) => Some(arguments.next().ok_or_else(missing)?),
                Step::Negative => None,
            };
            value = with(value, *step, right)?;
        }
        Ok(value)
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Each step has types of its own, as each operator has.
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.fold(types, |left, step, right| match (step, right) {
            (Step::Binary(operator), Some(right)) => {
                BinaryTypeCoercer::new(&left, &operator, right).get_result_type()
            }
            _ => Ok(left),
        })
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let fields = arguments.arg_fields.iter();
        let types: Vec<_> = fields.map(|field| field.data_type().clone()).collect();
        let mut fields = arguments.arg_fields.iter();
        let is_nullable = fields.any(|field| field.is_nullable());
        let found = self.return_type(&types)?;
        Ok(Arc::new(Field::new(self.name, found, is_nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        self.fold(&arguments.args, |left, step, right| match (step, right) {
            (Step::Binary(operator), Some(right)) => evaluate(operator, &left, right, rows),
            _ => negated(&left),
        })
    }
}

fn negated(of: &ColumnarValue) -> Result<ColumnarValue> {
    Ok(match of {
        ColumnarValue::Array(of) => ColumnarValue::Array(neg(of.as_ref())?),
        ColumnarValue::Scalar(of) => {
            let negated = neg(of.to_array_of_size(1)?.as_ref())?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&negated, 0)?)
        }
    })
}

fn evaluate(
    operator: Operator,
    left: &ColumnarValue,
    right: &ColumnarValue,
    rows: usize,
) -> Result<ColumnarValue> {
    let (left_type, right_type) = (left.data_type(), right.data_type());
    let coercer = BinaryTypeCoercer::new(&left_type, &operator, &right_type);
    let (left_type, right_type) = coercer.get_input_types()?;
    let (left, right) = (
        left.cast_to(&left_type, None)?,
        right.cast_to(&right_type, None)?,
    );
    match operator {
        Operator::Plus => apply(&left, &right, add),
        Operator::Minus => apply(&left, &right, sub),
        Operator::Multiply => apply(&left, &right, mul),
        _ => by_the_engine(operator, [left, right], rows),
    }
}

/// The engine's own operator.
fn by_the_engine(
    operator: Operator,
    arguments: [ColumnarValue; 2],
    rows: usize,
) -> Result<ColumnarValue> {
    let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
    let is_constant = arguments.iter().all(is_constant);
    let rows = if is_constant { 1 } else { rows };
    let [left, right] = arguments.map(|argument| argument.into_array(rows));
    let columns = vec![left?, right?];
    let fields = columns.iter().zip(["left", "right"]);
    let fields: Vec<_> = fields
        .map(|(column, name)| Field::new(name, column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
    let column = |name, index| Arc::new(Column::new(name, index));
    let operation = PhysicalBinaryExpr::new(column("left", 0), operator, column("right", 1));
    let value = operation.evaluate(&batch)?.into_array(rows)?;
    if is_constant {
        let value = ScalarValue::try_from_array(&value, 0)?;
        return Ok(ColumnarValue::Scalar(value));
    }
    Ok(ColumnarValue::Array(value))
}
