//! What a query of a pipeline cannot have, by its name, with what to do instead.
//!
//! Invariant: what passes gives of each row what it gives of that row alone, whenever it is asked. So batches can be cut anywhere,
//! and a record that is read again gives the same rows.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, ObjectName,
    Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned as _, Statement, TableFactor,
    Visit as _, Visitor,
};

use super::fault::{Fault, Place};
use super::words::Words;

const ELSEWHERE: &str =
    "ask for it in psql over the topic that the pipeline writes, or do it in what reads that topic";
const JOIN: (&str, &str) = (
    "a pipeline joins no tables yet",
    "join in psql over the topics, or let each input have a pipeline of its own and join where they are read",
);
const GROUP: (&str, &str) = (
    "a pipeline has no aggregates yet: batches end anywhere, and so would groups",
    "aggregate in psql over the topic that the pipeline writes",
);
const WINDOW: (&str, &str) = (
    "a pipeline has no window functions yet: batches end anywhere, and so would windows",
    ELSEWHERE,
);
const DISTINCT: (&str, &str) = (
    "a pipeline cannot drop rows for being like others: it does not remember them",
    "write a compacted topic with a key, which keeps the last row of each",
);
const ORDER: (&str, &str) = (
    "a pipeline cannot sort: its input has no end",
    "leave ORDER BY out; rows keep the order of their records",
);
const LIMIT: (&str, &str) = (
    "a pipeline cannot count to a limit: its input has no end",
    "leave it out, or filter with WHERE",
);
const SUBQUERY: (&str, &str) = (
    "a pipeline has no subqueries in expressions",
    "write it as a subquery of FROM or with WITH, or look it up in psql",
);
const VALUES: (&str, &str) = (
    "a pipeline has no rows of its own",
    "select from one of the inputs; lists of values stand in CASE or IN",
);
const RECURSIVE: (&str, &str) = ("a pipeline has no recursive queries", ELSEWHERE);
const UNION: (&str, &str) = (
    "only UNION ALL puts queries together: the others would have to remember rows",
    "write UNION ALL",
);
const TABLE_FUNCTION: (&str, &str) = (
    "a pipeline selects from its inputs, not from functions",
    "select from one of the inputs; unnest(list) stands in the SELECT list",
);
const OTHER_RELATION: (&str, &str) = (
    "a pipeline selects from its inputs, and from subqueries over them",
    "select from one of the names under from",
);
const LOCK: (&str, &str) = (
    "a pipeline locks nothing",
    "leave FOR UPDATE and what is like it out",
);

const COLLATE: (&str, &str) = (
    "a pipeline compares texts by their bytes, and knows no other collation",
    "leave COLLATE out, or write COLLATE \"C\"",
);
const TABLE_OPTION: (&str, &str) = (
    "a pipeline reads each record of its inputs, and what stands behind a table would change nothing",
    "leave what stands behind the name of the input out; filter with WHERE",
);
const QUERY_OPTION: (&str, &str) = (
    "the rows of a pipeline are written as its sink says, and what stands behind the query would change nothing",
    "leave FOR, FORMAT, SETTINGS and their like out",
);
const SELECT_OPTION: (&str, &str) = (
    "a pipeline has SELECT, FROM and WHERE alone, and the rest of this SELECT would change nothing",
    "leave TOP, INTO, PREWHERE, WINDOW and their like out",
);

/// All that a statement has and cannot have.
pub(super) fn refusals(statement: &Statement, sql: &str, state: &SessionState) -> Vec<Fault> {
    let mut refusing = Refusing {
        words: Words::of(sql),
        state,
        faults: Vec::new(),
    };
    if !matches!(statement, Statement::Query(_)) {
        refusing.at(0, ("this is no query", "write one SELECT"));
    }
    let _never_breaks: ControlFlow<()> = statement.visit(&mut refusing);
    // One cause is told once.
    let mut faults: Vec<Fault> = Vec::new();
    for fault in refusing.faults {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// What an expression of a check has and cannot have.
pub(super) fn refusals_in_check(expr: &Expr, check: usize, state: &SessionState) -> Vec<Fault> {
    let mut refusing = Refusing {
        words: Words::of(""),
        state,
        faults: Vec::new(),
    };
    let _never_breaks: ControlFlow<()> = expr.visit(&mut refusing);
    let mut faults = refusing.faults;
    for fault in &mut faults {
        fault.place = Place::Check(check);
    }
    faults
}

struct Refusing<'a> {
    words: Words<'a>,
    state: &'a SessionState,
    faults: Vec<Fault>,
}

impl Refusing<'_> {
    fn at(&mut self, offset: usize, (message, hint): (&str, &str)) {
        self.faults
            .push(Fault::new(Place::Sql(offset), message).hint(hint));
    }

    fn word(&mut self, keywords: &[&str], what: (&str, &str)) {
        let offset = self.words.find(keywords);
        self.at(offset, what);
    }

    fn function(&mut self, function: &Function) {
        let offset = self.words.offset(function.name.span().start);
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() || self.state.window_functions().contains_key(&name) {
            self.at(offset, WINDOW);
        } else if self.state.aggregate_functions().contains_key(&name) {
            self.at(offset, GROUP);
        } else if let Some(known) = self.state.scalar_functions().get(&name)
            && known.signature().volatility != Volatility::Immutable
        {
            let message = format!(
                "{name} gives something else each time it is asked, so a record that is read again would give another row"
            );
            let hint = if known.signature().volatility == Volatility::Stable {
                "use _timestamp, the time of the record"
            } else {
                "make it of the record, as md5(_key)"
            };
            self.at(offset, (&message, hint));
        }
        if matches!(function.args, FunctionArguments::Subquery(_)) {
            self.at(offset, SUBQUERY);
        }
        let is_refused = function.over.is_some()
            || self.state.window_functions().contains_key(&name)
            || self.state.aggregate_functions().contains_key(&name);
        if !is_refused && let Some(words) = of_aggregates(function) {
            let message = format!("{name} has one row at a time, and {words} is for aggregates");
            self.at(
                offset,
                (
                    &message,
                    "leave it out; rows are filtered with WHERE and CASE",
                ),
            );
        }
    }

    fn set_expr(&mut self, body: &SetExpr) {
        match body {
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                if *op != SetOperator::Union || *set_quantifier != SetQuantifier::All {
                    let keyword = op.to_string();
                    self.word(&[&keyword], UNION);
                }
                self.set_expr(left);
                self.set_expr(right);
            }
            SetExpr::Values(_) => self.word(&["VALUES"], VALUES),
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            _ => self.at(0, ("this is no query", "write one SELECT")),
        }
    }

    fn relation(&mut self, relation: &TableFactor) {
        match relation {
            TableFactor::Table {
                args: None,
                sample,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                index_hints,
                ..
            } => {
                let has_option = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty();
                if sample.is_some() {
                    self.word(&["TABLESAMPLE"], LIMIT);
                } else if has_option {
                    let offset = self.words.offset(relation.span().start);
                    self.at(offset, TABLE_OPTION);
                }
            }
            TableFactor::Derived {
                lateral: false,
                sample,
                ..
            } => {
                if sample.is_some() {
                    self.word(&["TABLESAMPLE"], LIMIT);
                }
            }
            TableFactor::Table { .. }
            | TableFactor::Function { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. } => {
                let offset = self.words.offset(relation.span().start);
                self.at(offset, TABLE_FUNCTION);
            }
            TableFactor::NestedJoin { .. } => self.word(&["JOIN"], JOIN),
            _ => {
                let offset = self.words.offset(relation.span().start);
                self.at(offset, OTHER_RELATION);
            }
        }
    }
}

impl Visitor for Refusing<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            self.word(&["RECURSIVE"], RECURSIVE);
        }
        self.set_expr(&query.body);
        if query.order_by.is_some() {
            self.word(&["ORDER", "BY"], ORDER);
        }
        if query.limit_clause.is_some() {
            let keyword = ["LIMIT", "OFFSET"].map(|keyword| self.words.find(&[keyword]));
            self.at(keyword.into_iter().max().unwrap_or_default(), LIMIT);
        }
        if query.fetch.is_some() {
            self.word(&["FETCH"], LIMIT);
        }
        if !query.locks.is_empty() {
            self.word(&["FOR"], LOCK);
        } else if query.for_clause.is_some() {
            self.word(&["FOR"], QUERY_OPTION);
        } else if query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            self.at(0, QUERY_OPTION);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if let Some(distinct) = &select.distinct
            && !matches!(distinct, Distinct::All)
        {
            self.word(&["DISTINCT"], DISTINCT);
        }
        let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
        if is_grouped {
            self.word(&["GROUP", "BY"], GROUP);
        } else if select.having.is_some() {
            self.word(&["HAVING"], GROUP);
        }
        if select.qualify.is_some() {
            self.word(&["QUALIFY"], WINDOW);
        }
        let has_option = select.top.is_some()
            || select.into.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || select.value_table_mode.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || !select.named_window.is_empty();
        if has_option {
            let offset = self.words.offset(select.select_token.0.span.start);
            self.at(offset, SELECT_OPTION);
        }
        let joins = select.from.iter().any(|from| !from.joins.is_empty());
        if joins {
            self.word(&["JOIN"], JOIN);
        } else if let [_, second, ..] = select.from.as_slice() {
            let offset = self.words.offset(second.relation.span().start);
            self.at(offset, JOIN);
        }
        if select.from.is_empty() {
            let offset = self.words.offset(select.select_token.0.span.start);
            self.at(offset, VALUES);
        }
        for from in &select.from {
            self.relation(&from.relation);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Exists { .. } => self.word(&["EXISTS"], SUBQUERY),
            Expr::Subquery(_) | Expr::InSubquery { .. } => {
                let offset = self.words.offset(expr.span().start);
                self.at(offset, SUBQUERY);
            }
            Expr::Function(function) => self.function(function),
            Expr::Collate { .. } => self.word(&["COLLATE"], COLLATE),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, _relation: &ObjectName) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What of a call only aggregates have.
fn of_aggregates(function: &Function) -> Option<&'static str> {
    if function.filter.is_some() {
        return Some("FILTER");
    }
    if !function.within_group.is_empty() {
        return Some("WITHIN GROUP");
    }
    if function.null_treatment.is_some() {
        return Some("IGNORE NULLS");
    }
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if list.duplicate_treatment.is_some() {
        return Some("DISTINCT");
    }
    let of_clause = |clause: &FunctionArgumentClause| match clause {
        FunctionArgumentClause::OrderBy(_) => "ORDER BY",
        FunctionArgumentClause::IgnoreOrRespectNulls(_) => "IGNORE NULLS",
        FunctionArgumentClause::Limit(_) => "LIMIT",
        _ => "what stands behind its arguments",
    };
    list.clauses.first().map(of_clause)
}
