//! Which queries can be followed, and the query for a range of offsets.
//!
//! Invariant: a query that is followed gives its rows record by record: what it says of a record depends on no other record,
//! so that asking range by range gives what one query over all of them would.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Visit as _, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// Why a query cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfollowable {
    /// It is not one statement of SQL.
    #[error("cannot follow this: {0}")]
    Syntax(String),
    /// It is another statement.
    #[error("only one SELECT from one topic can be followed")]
    NotASelect,
    /// It has a part whose answer a later record could change.
    #[error(
        "a query with {0} cannot be followed: later records would change rows that were printed"
    )]
    Part(&'static str),
    /// It has more than one table, or another thing than a topic.
    #[error("a query over {0} cannot be followed")]
    Source(&'static str),
}

impl Unfollowable {
    /// What to do instead.
    pub const fn next_step(&self) -> &'static str {
        "follow SELECT … FROM topic WHERE …, which gives each record by itself; \\watch runs any query again and again"
    }
}

/// A query that can be followed.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    select: Box<Select>,
}

impl Followed {
    pub(super) fn of(sql: &str) -> Result<Self, Unfollowable> {
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql);
        let mut statements = parsed.map_err(|error| Unfollowable::Syntax(error.to_string()))?;
        let (Some(Statement::Query(query)), true) = (statements.pop(), statements.is_empty())
        else {
            return Err(Unfollowable::NotASelect);
        };
        let select = plain_select(*query)?;
        check_source(&select)?;
        if let ControlFlow::Break(part) = select.visit(&mut Aggregates) {
            return Err(part);
        }
        Ok(Self { select })
    }

    /// The table as it was written.
    pub(super) fn table(&self) -> String {
        let tables = self.select.from.iter().map(|from| match &from.relation {
            TableFactor::Table { name, .. } => name.to_string(),
            other => other.to_string(),
        });
        tables.collect()
    }

    /// The query over these offsets of a partition, in their order.
    pub(super) fn within(&self, partition: i32, offsets: &Range<i64>) -> String {
        let range = format!(
            "_partition = {partition} AND _offset >= {} AND _offset < {}",
            offsets.start, offsets.end
        );
        let mut select = self.select.clone();
        let condition = select.selection.take();
        let condition = condition.map_or(range.clone(), |condition| {
            format!("({condition}) AND {range}")
        });
        format!("{select} WHERE {condition} ORDER BY _offset")
    }
}

fn plain_select(query: Query) -> Result<Box<Select>, Unfollowable> {
    let part = |part| Err(Unfollowable::Part(part));
    if query.with.is_some() {
        return part("WITH");
    }
    if query.order_by.is_some() {
        return part("ORDER BY");
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return part("LIMIT");
    }
    let SetExpr::Select(select) = *query.body else {
        return part("UNION, VALUES or the like");
    };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    if is_grouped {
        return part("GROUP BY");
    }
    if select.having.is_some() {
        return part("HAVING");
    }
    match &select.distinct {
        None | Some(Distinct::All) => {}
        Some(_) => return part("DISTINCT"),
    }
    if select.into.is_some() {
        return Err(Unfollowable::NotASelect);
    }
    // What is left is written by few, and none of it belongs to a row alone.
    let is_plain = select.qualify.is_none()
        && select.top.is_none()
        && select.named_window.is_empty()
        && select.lateral_views.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.connect_by.is_empty();
    if is_plain {
        Ok(select)
    } else {
        part("clauses beside FROM and WHERE")
    }
}

fn check_source(select: &Select) -> Result<(), Unfollowable> {
    let source = |what| Err(Unfollowable::Source(what));
    let [from] = select.from.as_slice() else {
        return source(if select.from.is_empty() {
            "no table"
        } else {
            "several tables"
        });
    };
    if !from.joins.is_empty() {
        return source("several tables");
    }
    match &from.relation {
        TableFactor::Table {
            args: None,
            alias,
            sample: None,
            ..
        } => match alias {
            // The added condition says _partition and _offset.
            Some(alias) if !alias.columns.is_empty() => {
                source("a table with other names of its columns")
            }
            _ => Ok(()),
        },
        _ => source("something else than a topic"),
    }
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

/// Looks for what needs more than one record.
struct Aggregates;

/// Those that people use. Others are found by the server, see `follow`.
const AGGREGATES: [&str; 26] = [
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "median",
    "first_value",
    "last_value",
    "nth_value",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var",
    "var_pop",
    "var_samp",
    "approx_distinct",
    "corr",
    "approx_percentile_cont",
];

impl Visitor for Aggregates {
    type Break = Unfollowable;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Unfollowable> {
        // The one that is followed is not visited itself.
        ControlFlow::Break(Unfollowable::Part("a subquery"))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Unfollowable> {
        let Expr::Function(Function {
            name,
            over,
            filter,
            within_group,
            ..
        }) = expr
        else {
            return ControlFlow::Continue(());
        };
        if over.is_some() {
            return ControlFlow::Break(Unfollowable::Part("a window function"));
        }
        let name = name.0.last().and_then(|part| part.as_ident()).map(folded);
        let is_known = name.is_some_and(|name| AGGREGATES.contains(&name.as_str()));
        if is_known || filter.is_some() || !within_group.is_empty() {
            return ControlFlow::Break(Unfollowable::Part("an aggregate"));
        }
        ControlFlow::Continue(())
    }
}

impl Followed {
    /// A query that fails if the followed one needs more than one record at a time: aggregates allow no columns beside them.
    pub(super) fn probe(&self) -> String {
        let mut select = self.select.clone();
        for name in ["_partition", "_offset"] {
            select
                .projection
                .push(SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(name))));
        }
        format!("{select} LIMIT 0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(sql: &str) -> String {
        Followed::of(sql).unwrap().within(2, &(5..9))
    }

    #[test]
    fn a_range_is_added_to_the_condition() {
        assert_eq!(
            within("select * from trips"),
            "SELECT * FROM trips WHERE _partition = 2 AND _offset >= 5 AND _offset < 9 ORDER BY _offset"
        );
        assert_eq!(
            within(
                "SELECT _value->>'km' AS km FROM public.\"Page-Views\" v WHERE v._key = 'a' OR v._key LIKE 'b''%'"
            ),
            "SELECT _value ->> 'km' AS km FROM public.\"Page-Views\" v WHERE (v._key = 'a' OR v._key LIKE 'b''%') AND \
             _partition = 2 AND _offset >= 5 AND _offset < 9 ORDER BY _offset"
        );
    }

    #[test]
    fn the_table_is_asked_for_as_it_was_written() {
        for table in ["trips", "public.trips", "\"trips@bytes\""] {
            let followed = Followed::of(&format!("SELECT 1 FROM {table} AS t")).unwrap();
            assert_eq!(followed.table(), table);
        }
    }

    #[test]
    fn what_depends_on_more_than_one_record_is_refused_by_name() {
        for (sql, expected) in [
            ("SELECT count(*) FROM t", "an aggregate"),
            ("SELECT 1 + max(_offset) FROM t", "an aggregate"),
            ("SELECT row_number() OVER () FROM t", "a window function"),
            ("SELECT _key FROM t GROUP BY _key", "GROUP BY"),
            ("SELECT DISTINCT _key FROM t", "DISTINCT"),
            ("SELECT _key FROM t ORDER BY 1", "ORDER BY"),
            ("SELECT _key FROM t LIMIT 3", "LIMIT"),
            ("SELECT _key FROM t UNION ALL SELECT _key FROM u", "UNION"),
            ("WITH w AS (SELECT 1) SELECT * FROM t", "WITH"),
            (
                "SELECT * FROM t WHERE _key IN (SELECT _key FROM u)",
                "a subquery",
            ),
            ("SELECT * FROM t WHERE EXISTS (SELECT 1)", "a subquery"),
            ("SELECT * FROM t, u", "several tables"),
            ("SELECT * FROM t JOIN u ON true", "several tables"),
            ("SELECT * FROM (SELECT 1) t", "something else"),
            ("SELECT * FROM generate_series(1, 3)", "something else"),
            ("SELECT 1", "no table"),
            ("INSERT INTO t VALUES (1)", "only one SELECT"),
            ("SELECT * FROM t; SELECT * FROM t", "only one SELECT"),
            ("SELEC 1", "cannot follow this"),
        ] {
            let refused = Followed::of(sql).unwrap_err().to_string();
            assert!(refused.contains(expected), "{sql}: {refused}");
        }
    }

    #[test]
    fn the_server_is_asked_whether_rows_stand_for_records() {
        let followed = Followed::of("SELECT _value FROM t WHERE _key = 'a'").unwrap();
        assert_eq!(
            followed.probe(),
            "SELECT _value, _partition, _offset FROM t WHERE _key = 'a' LIMIT 0"
        );
    }
}
