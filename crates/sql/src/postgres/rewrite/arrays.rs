//! Arrays that are written as strings: `'{a,NULL,"b c"}'`.

use datafusion::sql::sqlparser::ast::{Array, Expr};

use super::super::decode::split_array;
use super::{call_with, null, string};

/// A string in place of an array is one.
pub(super) fn of_literal(expr: &mut Expr) {
    let Expr::Value(value) = expr else {
        return;
    };
    let Some(text) = value.value.clone().into_string() else {
        return;
    };
    *expr = match split_array(&text) {
        Ok(items) => of_items(items),
        // Says what is wrong with it when it is evaluated.
        Err(_) => call_with("pg_malformed_array", vec![string(&text)]),
    };
}

fn of_items(items: Vec<Option<String>>) -> Expr {
    let items = items
        .into_iter()
        .map(|item| item.map_or_else(null, |item| string(&item)));
    Expr::Array(Array {
        elem: items.collect(),
        named: true,
    })
}
