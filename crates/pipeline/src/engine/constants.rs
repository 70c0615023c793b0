//! What constants of a query cannot be: regular expressions that are none, and texts so long that a batch with one in each row would
//! take more memory than there is.
//!
//! Invariant: what passes here does not fail because of a constant over every record that there ever is.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::functions::regex::regexpcount::regexp_count_func;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// The longest constant, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// A message has so much of a regular expression.
const CHARS_MAX: usize = 60;

/// A constant that cannot be one.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: &'static str,
    /// The constant.
    pub(super) text: String,
}

/// The first constant of a plan that cannot be one.
pub(super) fn of_plan(plan: &LogicalPlan) -> Result<Option<Wrong>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found = of_expression(expr)?;
            Ok(until(&found))
        })
    })?;
    Ok(found)
}

/// The first constant of an expression that cannot be one.
pub(super) fn of_expression(expr: &Expr) -> Result<Option<Wrong>> {
    let mut found = None;
    expr.apply(|expr| {
        found = too_long(expr).or_else(|| no_pattern(expr));
        Ok(until(&found))
    })?;
    Ok(found)
}

/// Goes on until one is found.
const fn until(found: &Option<Wrong>) -> TreeNodeRecursion {
    match found {
        Some(_) => TreeNodeRecursion::Stop,
        None => TreeNodeRecursion::Continue,
    }
}

fn too_long(expr: &Expr) -> Option<Wrong> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let bytes = match value {
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => bytes.len(),
        ScalarValue::List(list) => list.get_array_memory_size(),
        _ => value.try_as_str()??.len(),
    };
    (bytes > BYTES_MAX).then(|| Wrong {
        message: format!("a constant of {bytes} bytes; at most {BYTES_MAX} are allowed"),
        hint: "each row of a batch may have it; make it of the record, or shorter",
        text: value.try_as_str().flatten().unwrap_or_default().to_owned(),
    })
}

fn no_pattern(expr: &Expr) -> Option<Wrong> {
    let (pattern, flags) = match expr {
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) => {
            let is_insensitive = match op {
                Operator::RegexMatch | Operator::RegexNotMatch => false,
                Operator::RegexIMatch | Operator::RegexNotIMatch => true,
                _ => return None,
            };
            (right.as_ref(), if is_insensitive { "i" } else { "" })
        }
        Expr::ScalarFunction(function) => {
            let place = match function.name() {
                "regexp_count" | "regexp_instr" | "regexp_replace" => 3,
                "regexp_like" | "regexp_match" => 2,
                _ => return None,
            };
            let flags = function.args.get(place).and_then(text);
            (function.args.get(1)?, flags.unwrap_or_default())
        }
        _ => return None,
    };
    let pattern = text(pattern)?;
    if compiles(pattern, &flags.replace('g', "")) {
        return None;
    }
    let begin: String = pattern.chars().take(CHARS_MAX).collect();
    let more = if begin.len() < pattern.len() {
        "…"
    } else {
        ""
    };
    Some(Wrong {
        message: format!("'{begin}{more}' does not compile as a regular expression"),
        hint: "write one without look-around and back references, with a backslash before what means itself",
        text: pattern.to_owned(),
    })
}

/// The text of a constant, as it is or cast to another type of text.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str()?,
        Expr::Cast(cast) => text(&cast.expr),
        Expr::Alias(alias) => text(&alias.expr),
        _ => None,
    }
}

/// Whether the engine can compile it, and finds it small enough.
fn compiles(pattern: &str, flags: &str) -> bool {
    let text = |of: &str| -> ArrayRef { Arc::new(StringArray::from(vec![of])) };
    let start: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    regexp_count_func(&[text("a"), text(pattern), start, text(flags)]).is_ok()
}
