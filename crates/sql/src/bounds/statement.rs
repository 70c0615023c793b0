//! A statement that was read: how many tables it names, how often they are read when names of WITH are written out, and how deep
//! subqueries stand in each other.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Statement, TableFactor, Visit,
    Visitor,
};

use super::{QUERIES_MAX, TELL_APART, TooMuch};
use crate::postgres::folded;

/// The most times that tables are read, when names of WITH are replaced by what they stand for.
const READS_MAX: usize = 1000;
/// How deep subqueries of expressions may stand in each other: each level doubles what planning costs.
const SUBQUERIES_MAX: usize = 8;
/// How deep expressions may stand in each other that a plan has twice: each level doubles what planning costs.
const TWICE_MAX: usize = 8;
/// Functions that a plan has some arguments of twice: `coalesce(a, b)` is `CASE WHEN a IS NOT NULL THEN a ELSE b END`.
const TWICE: [&str; 5] = ["coalesce", "nvl", "ifnull", "map", "make_map"];

/// Refuses a statement that is about to be planned with more tables behind FROM than may be joined, for a plan of them is as deep, and
/// each level has the columns of all below; or with names of WITH that stand for too much, for a plan has it as often as they are named.
///
/// # Errors
/// [`TooMuch`].
pub(crate) fn admit_statement(statement: &Statement) -> Result<(), TooMuch> {
    let mut size = Size::default();
    match statement.visit(&mut size) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(too_much) => Err(too_much),
    }
}

/// How large a statement is.
#[derive(Default)]
struct Size {
    /// Subqueries in expressions, around what is visited.
    subqueries: usize,
    /// Expressions that a plan has twice, around what is visited; and which those in them are, by where they are.
    twice: usize,
    doubled: HashSet<usize>,
    tables: usize,
    /// Those around what is visited, the outermost first.
    queries: Vec<QuerySize>,
    /// The queries behind names of WITH that are still to be visited, by where they are.
    named: HashMap<usize, String>,
}

/// How often a query reads something, and how often those do that its names of WITH stand for.
#[derive(Default)]
struct QuerySize {
    reads: usize,
    names: HashMap<String, usize>,
}

impl Size {
    /// Adds to the innermost query.
    fn add(&mut self, reads: usize) -> ControlFlow<TooMuch> {
        let Some(query) = self.queries.last_mut() else {
            return ControlFlow::Continue(());
        };
        query.reads = query.reads.saturating_add(reads);
        if query.reads <= READS_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(TooMuch {
            message: format!(
                "the query reads tables more than {READS_MAX} times when names of WITH are written out"
            ),
            hint: "names of WITH are read as often as they are written; write each part once",
            at: None,
        })
    }

    /// How often a table reads something.
    fn reads(&self, table: &TableFactor) -> usize {
        let TableFactor::Table { name, .. } = table else {
            // What a subquery reads is counted there.
            return usize::from(!matches!(
                table,
                TableFactor::Derived { .. } | TableFactor::NestedJoin { .. }
            ));
        };
        let [part] = name.0.as_slice() else { return 1 };
        let Some(name) = part.as_ident().map(folded) else {
            return 1;
        };
        let mut known = self
            .queries
            .iter()
            .rev()
            .filter_map(|query| query.names.get(&name));
        known.next().copied().unwrap_or(1)
    }
}

impl Visitor for Size {
    type Break = TooMuch;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooMuch> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named
                .insert(place(table.query.as_ref()), folded(&table.alias.name));
        }
        self.queries.push(QuerySize::default());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooMuch> {
        let reads = self.queries.pop().map_or(0, |query| query.reads);
        match (self.named.remove(&place(query)), self.queries.last_mut()) {
            (Some(name), Some(around)) => {
                around.names.insert(name, reads);
                ControlFlow::Continue(())
            }
            _ => self.add(reads),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<TooMuch> {
        self.subqueries += usize::from(has_query(expr));
        self.doubled.extend(twice(expr).map(place));
        self.twice += usize::from(self.doubled.contains(&place(expr)));
        if self.twice > TWICE_MAX {
            return ControlFlow::Break(TooMuch {
                message: format!(
                    "more than {TWICE_MAX} of coalesce, map, BETWEEN and their like stand in each other"
                ),
                hint: "give coalesce all its values at once, and write parts as columns of a subquery",
                at: None,
            });
        }
        if self.subqueries <= SUBQUERIES_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(TooMuch {
            message: format!("more than {SUBQUERIES_MAX} subqueries stand in each other"),
            hint: "give subqueries names with WITH, and join them",
            at: None,
        })
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<TooMuch> {
        self.subqueries -= usize::from(has_query(expr));
        self.twice -= usize::from(self.doubled.remove(&place(expr)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<TooMuch> {
        self.tables += 1;
        if self.tables > QUERIES_MAX {
            return ControlFlow::Break(TooMuch {
                message: format!("more than {QUERIES_MAX} tables are in one statement"),
                hint: TELL_APART,
                at: None,
            });
        }
        self.add(self.reads(table))
    }
}

fn has_query(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. }
    )
}

/// The expressions in one that a plan has twice.
fn twice(expr: &Expr) -> Box<dyn Iterator<Item = &Expr> + '_> {
    match expr {
        Expr::Between { expr, .. } => Box::new(std::iter::once(expr.as_ref())),
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            let name = name.map(folded).unwrap_or_default();
            let arguments = match &function.args {
                FunctionArguments::List(list) if TWICE.contains(&name.as_str()) => {
                    list.args.as_slice()
                }
                _ => &[],
            };
            // The last one of these stands for itself.
            let is_last_once = !name.contains("map");
            let count = arguments.len().saturating_sub(usize::from(is_last_once));
            let each = arguments.iter().take(count);
            Box::new(each.filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
                | FunctionArg::Named {
                    arg: FunctionArgExpr::Expr(expr),
                    ..
                } => Some(expr),
                _ => None,
            }))
        }
        _ => Box::new(std::iter::empty()),
    }
}

fn place<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}
