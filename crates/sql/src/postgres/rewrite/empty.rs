//! Subqueries over relations of the catalogue that have no rows: there are no defaults, no triggers, no inheritance.
//!
//! Such a subquery is NULL, and EXISTS over it is false. Clients correlate them with the outer query in ways that the planner
//! cannot take apart, so they are answered here, where it needs no plan.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Array, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinOperator, Query, Select,
    SetExpr, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::super::catalog;
use super::{is_named, null};

pub(super) struct Empty;

impl VisitorMut for Empty {
    type Break = ();

    /// Where there are no rows nothing is evaluated for one.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.from.iter().any(joins_nothing) {
            if !may_aggregate(select) {
                let _never_breaks = VisitMut::visit(&mut select.projection, &mut NoSubqueries);
            }
            if select.selection.is_some() {
                select.selection = Some(Expr::Value(Value::Boolean(false).into()));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) if is_empty(query) => *expr = null(),
            Expr::Exists { subquery, negated } if is_empty(subquery) => {
                *expr = Expr::Value(Value::Boolean(*negated).into());
            }
            Expr::Function(function) => {
                if let FunctionArguments::Subquery(query) = &function.args
                    && is_named(&function.name, "array")
                    && is_empty(query)
                {
                    *expr = no_items();
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What ARRAY makes of no rows.
fn no_items() -> Expr {
    Expr::Array(Array {
        elem: Vec::new(),
        named: true,
    })
}

/// Whether the query has no rows, because a relation that it joins has none.
fn is_empty(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    !may_aggregate(select) && select.from.iter().any(joins_nothing)
}

/// An aggregate has a row even of nothing.
pub(super) fn may_aggregate(select: &Select) -> bool {
    let mut aggregates = Aggregates { depth: 0 };
    select.projection.visit(&mut aggregates).is_break()
}

/// Looks for aggregates that are not those of a subquery.
struct Aggregates {
    depth: usize,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        const NAMES: [&str; 9] = [
            "count",
            "sum",
            "min",
            "max",
            "avg",
            "array_agg",
            "string_agg",
            "bool_and",
            "bool_or",
        ];
        if self.depth == 0
            && let Expr::Function(function) = expr
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
            && NAMES
                .iter()
                .any(|aggregate| name.value.eq_ignore_ascii_case(aggregate))
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Puts values in place of subqueries, and of functions with several rows that the planner does not know.
struct NoSubqueries;

impl VisitorMut for NoSubqueries {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(_) => *expr = null(),
            Expr::Function(function) if matches!(function.args, FunctionArguments::Subquery(_)) => {
                *expr = no_items();
            }

            Expr::Function(function) if is_named(&function.name, "generate_subscripts") => {
                *expr = Expr::Value(Value::Number("1".to_owned(), false).into());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn joins_nothing(from: &TableWithJoins) -> bool {
    let inner = from.joins.iter().filter(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        )
    });
    is_empty_relation(&from.relation)
        || inner
            .into_iter()
            .any(|join| is_empty_relation(&join.relation))
}

fn is_empty_relation(factor: &TableFactor) -> bool {
    let TableFactor::Table { name, args, .. } = factor else {
        return false;
    };
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|part| part.value.as_str())
        .collect();
    match (parts.as_slice(), args) {
        ([name] | ["pg_catalog", name], None) => catalog::is_empty_table(name),
        (["pg_catalog", "unnest"], Some(args)) => args.args.iter().all(is_empty_array),
        _ => false,
    }
}

/// Whether it is one of the arrays of the catalogue, which are all NULL: there are no options and no privileges.
fn is_empty_array(arg: &FunctionArg) -> bool {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg else {
        return false;
    };
    match arg {
        Expr::CompoundIdentifier(parts) => parts
            .last()
            .is_some_and(|column| catalog::is_array_column(&column.value)),
        _ => false,
    }
}
