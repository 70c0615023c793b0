//! Subqueries over relations of the catalogue that have no rows: there are no defaults, no triggers, no inheritance.
//!
//! Such a subquery is NULL, and EXISTS over it is false. Clients correlate them with the outer query in ways that the planner
//! cannot take apart, so they are answered here, where it needs no plan.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, JoinOperator, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::super::catalog;
use super::{call_with, casts, is_named, null};

pub(super) struct Empty;

impl VisitorMut for Empty {
    type Break = ();

    /// Where there are no rows nothing is evaluated for one.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let has_no_rows = select.projection.iter_mut().any(is_of_empty_array);
        if has_no_rows {
            select.selection = Some(Expr::Value(Value::Boolean(false).into()));
        }
        if has_no_rows || select.from.iter().any(joins_nothing) {
            if !may_aggregate(select) {
                let _never_breaks = VisitMut::visit(&mut select.projection, &mut NoSubqueries);
                for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
                    let _never_breaks = VisitMut::visit(&mut join.join_operator, &mut NoSubqueries);
                }
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
            Expr::Case {
                conditions,
                else_result,
                ..
            } => {
                if let ([when], None) = (conditions.as_slice(), not_null(else_result.as_deref()))
                    && let Some(nothing) = without_types(when)
                {
                    *expr = nothing;
                }
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

/// Kinds of types that there are none of: composite types, domains, enumerations, ranges, multiranges.
const NO_KINDS: [&str; 5] = ["c", "d", "e", "m", "r"];

fn not_null(expr: Option<&Expr>) -> Option<&Expr> {
    expr.filter(|expr| !matches!(expr, Expr::Value(value) if value.value == Value::Null))
}

/// `CASE WHEN typtype = 'c' THEN (SELECT ...) END`: the subquery is for types that there are none of.
fn without_types(when: &CaseWhen) -> Option<Expr> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = &when.condition
    else {
        return None;
    };
    let is_kind = match left.as_ref() {
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|last| last.value == "typtype"),
        _ => false,
    };
    let is_of_none = match right.as_ref() {
        Expr::Value(value) => {
            let text = value.value.clone().into_string();
            text.is_some_and(|text| NO_KINDS.contains(&text.as_str()))
        }
        _ => false,
    };
    match &when.result {
        Expr::Subquery(query) if is_kind && is_of_none => Some(no_value(query)),
        _ => None,
    }
}

/// NULL of the type that the query's value has, as far as that can be told.
fn no_value(query: &Query) -> Expr {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return null();
    };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_slice()
    else {
        return null();
    };
    let (item, is_array) = match aggregated(item) {
        Some(item) => (item, true),
        None => (item, false),
    };
    let Some(kind) = type_of(item) else {
        return null();
    };
    let kind = super::super::types::PgType { is_array, ..kind };
    // Arrow has no type of its own for these, so that a cast would lose what they are.
    if is_array && kind.kind == super::super::types::Kind::Oid {
        return call_with("pg_no_oids", Vec::new());
    }
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(null()),
        data_type: casts::of_pg(kind),
        array: false,
        format: None,
    }
}

/// `x` of `array_agg(x)`.
fn aggregated(item: &Expr) -> Option<&Expr> {
    match item {
        Expr::Function(function) if is_named(&function.name, "array_agg") => only_arg(function),
        _ => None,
    }
}

fn only_arg(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] => Some(arg),
        _ => None,
    }
}

fn type_of(item: &Expr) -> Option<super::super::types::PgType> {
    match item {
        Expr::Cast { data_type, .. } => casts::to_pg(data_type),
        Expr::Identifier(column) => catalog::column_type(&column.value),
        Expr::CompoundIdentifier(parts) => catalog::column_type(&parts.last()?.value),
        _ => None,
    }
}

/// Functions that give a row for each item of an array, or for each privilege in one.
fn gives_rows(function: &Function) -> bool {
    let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else {
        return false;
    };
    ["_pg_expandarray", "aclexplode", "generate_subscripts"]
        .iter()
        .any(|known| name.value.eq_ignore_ascii_case(known))
}

/// `(aclexplode(relacl)).grantee`, which has no rows because the array is NULL wherever it is looked for.
fn is_of_empty_array(item: &mut SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) = item
    else {
        return false;
    };
    let mut item = &*item;
    loop {
        item = match item {
            Expr::CompoundFieldAccess { root, .. } => root,
            Expr::Nested(inner) => inner,
            Expr::Function(function) => {
                return gives_rows(function) && only_arg(function).is_some_and(is_empty_array);
            }
            _ => return false,
        };
    }
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
            Expr::Function(function) if gives_rows(function) => *expr = number(),
            // A field of a composite value, which only such functions give here.
            Expr::CompoundFieldAccess { access_chain, .. }
                if matches!(access_chain.as_slice(), [AccessExpr::Dot(_)]) =>
            {
                *expr = number();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Never evaluated.
fn number() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(null()),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn joins_nothing(from: &TableWithJoins) -> bool {
    let mut is_nothing = is_empty_relation(&from.relation);
    for join in &from.joins {
        let right = is_empty_relation(&join.relation);
        is_nothing = match join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                is_nothing || right
            }
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            JoinOperator::FullOuter(_) => is_nothing && right,
            JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => false,
            _ => is_nothing,
        };
    }
    is_nothing
}

fn is_empty_relation(factor: &TableFactor) -> bool {
    if let TableFactor::Derived { subquery, .. } = factor {
        return is_empty(subquery);
    }
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
        (["pg_catalog", "unnest"], Some(args)) => args.args.iter().all(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => is_empty_array(arg),
            _ => false,
        }),
        _ => false,
    }
}

/// Whether it is one of the arrays of the catalogue, which are all NULL: there are no options and no privileges.
fn is_empty_array(arg: &Expr) -> bool {
    match arg {
        Expr::Identifier(column) => catalog::is_array_column(&column.value),
        Expr::CompoundIdentifier(parts) => parts
            .last()
            .is_some_and(|column| catalog::is_array_column(&column.value)),
        _ => false,
    }
}
