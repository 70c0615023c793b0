//! [`Wish`]: which things a query is about, as far as its conditions name them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_plan::PhysicalExpr;

/// Which columns are wanted, and which values of columns alone can be in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Names of the columns that are asked for.
    columns: BTreeSet<&'static str>,
    /// For a column the only values that count, in their order.
    only: Vec<(String, BTreeSet<String>)>,
}

impl Wish {
    /// Rows of any kind.
    pub(super) fn of_all(columns: BTreeSet<&'static str>) -> Self {
        Self {
            columns,
            only: Vec::new(),
        }
    }

    /// Rows that meet the conditions, as far as these say something of the columns in `naming`.
    pub(super) fn new(
        columns: BTreeSet<&'static str>,
        naming: &[&str],
        conditions: &Arc<dyn PhysicalExpr>,
    ) -> Self {
        let found = LiteralGuarantee::analyze(conditions).into_iter();
        let named = found.filter_map(|guarantee| {
            let column = guarantee.column.name;
            if guarantee.guarantee != Guarantee::In || !naming.contains(&column.as_str()) {
                return None;
            }
            let values = guarantee.literals.iter().map(written);
            Some((column, values.collect::<Option<_>>()?))
        });
        Self {
            columns,
            only: named.collect(),
        }
    }

    /// Whether a column is asked for.
    pub(super) fn wants(&self, column: &str) -> bool {
        self.columns.contains(column)
    }

    /// Whether rows with this value of a column may be in the answer.
    pub(super) fn allows(&self, column: &str, value: &str) -> bool {
        let mut of_column = self.only.iter().filter(|(name, _)| name == column);
        of_column.all(|(_, values)| values.contains(value))
    }

    /// The same for a column of numbers.
    pub(super) fn allows_number(&self, column: &str, value: i32) -> bool {
        let is_named = self.only.iter().any(|(name, _)| name == column);
        !is_named || self.allows(column, &value.to_string())
    }
}

/// Numbers and texts as one writes them; nothing else names a thing.
fn written(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        ScalarValue::Int32(number) => number.map(|number| number.to_string()),
        _ => None,
    }
}

/// As EXPLAIN shows it: `, topic=[a, b]`.
impl fmt::Display for Wish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, values) in &self.only {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            write!(formatter, ", {column}=[{}]", values.join(", "))?;
        }
        Ok(())
    }
}
