//! What filters say of which keys and partitions a query is about, for a pass that reads keys as bytes.
//!
//! Keys are told apart by their bytes, as in Kafka: the key of the two bytes `00 01` and that of the six characters `\x0001`
//! are shown alike in text, and are two. So a filter on keys as text is said again of bytes, where that is the same.

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::{KEY, PARTITION};
use crate::columns::Form;

/// Nested deeper than this, a filter is left to the plan above.
const DEPTH_MAX: usize = 64;

/// What a filter over keys in `form` says of keys as bytes, if it is about keys and partitions alone and that can be said.
pub(super) fn of_bytes(filter: &Expr, form: Form) -> Option<Expr> {
    let columns = filter.column_refs();
    let is_ours = |name: &str| name == PARTITION || name == KEY;
    if columns.is_empty()
        || !columns.iter().all(|column| is_ours(&column.name))
        || filter.is_volatile()
    {
        return None;
    }
    let has_text = form == Form::Text && columns.iter().any(|column| column.name == KEY);
    if has_text {
        said_of_bytes(filter, DEPTH_MAX)
    } else {
        Some(filter.clone())
    }
}

fn said_of_bytes(filter: &Expr, depth: usize) -> Option<Expr> {
    let depth = depth.checked_sub(1)?;
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let side = |side| match op {
                Operator::And | Operator::Or => said_of_bytes(side, depth),
                Operator::Eq | Operator::NotEq => operand(side),
                _ => None,
            };
            let (left, right) = (Box::new(side(left)?), Box::new(side(right)?));
            let op = *op;
            Some(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let list: Option<Vec<_>> = list.iter().map(operand).collect();
            Some(operand(expr)?.in_list(list?, *negated))
        }
        Expr::Not(inner) => Some(Expr::Not(Box::new(said_of_bytes(inner, depth)?))),
        Expr::IsNotNull(inner) => Some(operand(inner)?.is_not_null()),
        _ => None,
    }
}

/// The column of keys, or text that no bytes are shown as.
fn operand(operand: &Expr) -> Option<Expr> {
    match operand {
        Expr::Column(column) if column.name == KEY => Some(operand.clone()),
        Expr::Literal(value, metadata) => {
            let text = value.try_as_str()??;
            if text.starts_with("\\x") {
                return None;
            }
            let bytes = ScalarValue::BinaryView(Some(text.into()));
            Some(Expr::Literal(bytes, metadata.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn bytes(text: &str) -> Expr {
        lit(ScalarValue::BinaryView(Some(text.into())))
    }

    #[test]
    fn text_is_said_of_bytes_where_that_is_the_same() {
        let of = |filter: Expr| of_bytes(&filter, Form::Text);
        assert_eq!(of(col(KEY).eq(lit("a"))), Some(col(KEY).eq(bytes("a"))));
        let list = |a: Expr, b: Expr| col(KEY).in_list(vec![a, b], true);
        assert_eq!(
            of(list(lit("a"), lit("b"))),
            Some(list(bytes("a"), bytes("b")))
        );
        let either = |a: Expr, b: Expr| col(KEY).eq(a).or(Expr::Not(Box::new(col(KEY).eq(b))));
        assert_eq!(
            of(either(lit("a"), lit(""))),
            Some(either(bytes("a"), bytes("")))
        );
        let partition = col(PARTITION).gt(lit(1));
        assert_eq!(of(partition.clone()), Some(partition));
        for other in [
            col(KEY).eq(lit("\\x00")),
            col(KEY).gt(lit("a")),
            col(KEY).like(lit("a%")),
            col(KEY).eq(lit("a")).and(col("_offset").gt(lit(1_i64))),
            col("_offset").gt(lit(1_i64)),
            col("_value").is_not_null(),
        ] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn bytes_are_said_as_they_are() {
        let after = col(KEY).gt(bytes("a"));
        assert_eq!(of_bytes(&after, Form::Bytes), Some(after));
    }
}
