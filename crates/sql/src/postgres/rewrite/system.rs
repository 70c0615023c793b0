//! The system column `tableoid` of the catalogue's tables: the number of the table that a row is of, which the FROM clause tells.
//!
//! Invariant: a subquery's own relations count before those around it, so it goes from the inside out.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Select, SelectItem, TableFactor, VisitMut, VisitorMut,
};

use super::super::catalog;
use super::{call_with, string};

const COLUMN: &str = "tableoid";

pub(super) struct Columns;

impl VisitorMut for Columns {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let relations: Vec<Relation> = select
            .from
            .iter()
            .flat_map(|from| {
                let joined = from.joins.iter().map(|join| &join.relation);
                std::iter::once(&from.relation).chain(joined)
            })
            .filter_map(Relation::of)
            .collect();
        if relations.is_empty() {
            return ControlFlow::Continue(());
        }
        let is_only = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
        let mut numbers = Numbers { relations, is_only };
        for item in &mut select.projection {
            keep_name(item, &numbers);
        }
        VisitMut::visit(select, &mut numbers)
    }
}

/// A column that is named is called as before.
fn keep_name(item: &mut SelectItem, numbers: &Numbers) {
    if let SelectItem::UnnamedExpr(expr) = item
        && numbers.table_of(expr).is_some()
    {
        *item = SelectItem::ExprWithAlias {
            expr: super::take(expr),
            alias: Ident::new(COLUMN),
        };
    }
}

/// A table of the catalogue, and what it is called in its query.
struct Relation {
    alias: String,
    table: String,
}

impl Relation {
    fn of(factor: &TableFactor) -> Option<Self> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return None;
        };
        let parts: Vec<&str> = name
            .0
            .iter()
            .filter_map(ObjectNamePart::as_ident)
            .map(|part| part.value.as_str())
            .collect();
        let table = match parts.as_slice() {
            [table] | ["pg_catalog", table] if catalog::has_table(table) => (*table).to_owned(),
            _ => return None,
        };
        let alias = alias.as_ref().map_or(&table, |alias| &alias.name.value);
        Some(Self {
            alias: alias.clone(),
            table,
        })
    }
}

struct Numbers {
    relations: Vec<Relation>,
    /// A column without a relation is of this one.
    is_only: bool,
}

impl Numbers {
    fn table_of(&self, expr: &Expr) -> Option<&str> {
        let relation = match expr {
            Expr::Identifier(column) if column.value == COLUMN && self.is_only => {
                self.relations.first()?
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [alias, column] if column.value == COLUMN => {
                    let mut relations = self.relations.iter();
                    relations.find(|relation| relation.alias == alias.value)?
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(&relation.table)
    }
}

impl VisitorMut for Numbers {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(table) = self.table_of(expr) {
            let name = string(&format!("pg_catalog.{table}"));
            *expr = call_with("to_regclass", vec![name]);
        }
        ControlFlow::Continue(())
    }
}
