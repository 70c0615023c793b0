//! Names of columns as PostgreSQL gives them (`FigureColname`): a function's name, the column under a cast, `?column?`.
//!
//! DataFusion wants the names of a projection to differ, PostgreSQL does not: names that come again get a mark and a number,
//! which the row description leaves out.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Ident, ObjectName, Select, SelectItem, SetExpr, VisitorMut,
};

use super::super::encode::NAME_MARK;
use super::casts;

pub(super) struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_columns(&mut select.projection);
        ControlFlow::Continue(())
    }
}

fn name_columns(items: &mut [SelectItem]) {
    let has_wildcard = items.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let mut taken = HashSet::new();
    for (index, item) in items.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = figure(expr).unwrap_or_else(|| "?column?".to_owned());
                let is_new = taken.insert(name.clone());
                let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                // A wildcard may have any name.
                let is_unique = is_new && !has_wildcard;
                if !is_column || !is_unique {
                    let name = if is_unique {
                        name
                    } else {
                        format!("{name}{NAME_MARK}{index}")
                    };
                    let expr = super::take(expr);
                    *item = SelectItem::ExprWithAlias {
                        expr,
                        alias: Ident::with_quote('"', name),
                    };
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !taken.insert(name.clone()) {
                    *alias = Ident::with_quote('"', format!("{name}{NAME_MARK}{index}"));
                }
            }
            _ => {}
        }
    }
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last()?.as_ident().map(folded)
}

fn fixed(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// The name that PostgreSQL gives the column of this expression, if it has a better one than `?column?`.
fn figure(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Function(function) => last(&function.name),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::CompoundFieldAccess { root, .. } => figure(root),
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } => figure(inner).or_else(|| type_name(data_type)),
        Expr::TypedString(typed) => type_name(&typed.data_type),
        Expr::Interval(_) => fixed("interval"),
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(figure)
            .or_else(|| fixed("case")),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Extract { .. } => fixed("extract"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Position { .. } => fixed("position"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Trim { .. } => fixed("btrim"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Array(_) => fixed("array"),
        Expr::Tuple(_) => fixed("row"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => figure(expr),
                SelectItem::ExprWithAlias { alias, .. } => {
                    Some(alias.value.split(NAME_MARK).next()?.to_owned())
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let kind = casts::to_pg(data_type)?;
    let name = match data_type {
        DataType::Varchar(_) | DataType::CharacterVarying(_) => "varchar",
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        _ => kind.row().name,
    };
    fixed(name)
}
