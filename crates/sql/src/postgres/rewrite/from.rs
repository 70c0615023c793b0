//! Functions in FROM. One that gives a value is a relation of one row; its column is called like the relation, as is the column of
//! `generate_series`. The planner knows neither.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
    TableFunctionArgs, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::catalog;
use super::{call_with, only_item, plain_select, take};

/// Gives one column.
const SERIES: &str = "generate_series";

pub(super) fn rewrite(factor: &mut TableFactor) {
    let TableFactor::Table {
        name,
        alias,
        args: Some(args),
        with_ordinality: false,
        ..
    } = factor
    else {
        return;
    };
    let [ObjectNamePart::Identifier(function)] = name.0.as_slice() else {
        return;
    };
    let function = function.value.to_ascii_lowercase();
    if function == SERIES {
        if let Some(alias) = alias {
            name_column(alias);
        }
    } else if function != "range" && !catalog::is_table_function(&function) {
        let alias = alias.take();
        if let Some(derived) = row_of(name, args, alias, &function) {
            *factor = derived;
        }
    }
}

fn name_column(alias: &mut TableAlias) {
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef {
            name: alias.name.clone(),
            data_type: None,
        });
    }
}

/// `f(x) AS a` as `(SELECT f(x)) AS a (a)`.
fn row_of(
    name: &ObjectName,
    args: &TableFunctionArgs,
    alias: Option<TableAlias>,
    function: &str,
) -> Option<TableFactor> {
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(function),
        columns: Vec::new(),
        at: None,
    });
    name_column(&mut alias);
    let call = Expr::Function(Function {
        name: name.clone(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.args.clone(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    Some(TableFactor::Derived {
        lateral: false,
        subquery: Box::new(select(call)?),
        alias: Some(alias),
        sample: None,
    })
}

/// `SELECT expr`.
fn select(expr: Expr) -> Option<Query> {
    let dialect = PostgreSqlDialect {};
    let mut query = *Parser::new(&dialect)
        .try_with_sql("SELECT 1")
        .and_then(|mut parser| parser.parse_query())
        .ok()?;
    *only_item(plain_select(&mut query)?)? = expr;
    Some(query)
}

/// `x IN (SELECT y FROM ...)` over functions alone may stand where the planner takes no such subquery, as in CASE: it asks
/// whether an array has the value. What is unknown is not in it.
pub(super) fn rewrite_in(expr: &mut Expr) {
    let Expr::InSubquery {
        expr: wanted,
        subquery,
        negated: false,
    } = expr
    else {
        return;
    };
    if !is_over_functions(subquery) {
        return;
    }
    let mut query = subquery.as_ref().clone();
    let Some(item) = plain_select(&mut query).and_then(only_item) else {
        return;
    };
    *item = call_with("array_agg", vec![take(item)]);
    let has = call_with(
        "array_has",
        vec![Expr::Subquery(Box::new(query)), take(wanted)],
    );
    *expr = call_with(
        "coalesce",
        vec![has, Expr::Value(Value::Boolean(false).into())],
    );
}

fn is_over_functions(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let is_plain = |select: &Select| {
        select.distinct.is_none()
            && matches!(
                select.projection.as_slice(),
                [SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }]
            )
    };
    !select.from.is_empty()
        && is_plain(select)
        && select
            .from
            .iter()
            .all(|from| from.joins.is_empty() && is_function(&from.relation))
}

fn is_function(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { args, .. } => args.is_some(),
        TableFactor::Derived { subquery, .. } => {
            matches!(subquery.body.as_ref(), SetExpr::Select(select) if select.from.is_empty())
        }
        _ => false,
    }
}
