//! PostgreSQL's SQL as DataFusion reads it: operators and functions with their schema, casts to types of the catalogue,
//! names of columns.
//!
//! Invariant: a rewritten statement means what PostgreSQL means by the original; what DataFusion reads by itself stays as it is.

mod arrays;
pub(super) mod casts;
mod empty;
mod from;
mod names;
mod similar;
mod system;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    LimitClause, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::catalog;

/// Rewrites one statement.
pub(crate) fn rewrite(statement: &mut Statement) {
    // Subqueries over empty relations go first: what is in them need not be understood.
    let _never_breaks: ControlFlow<()> = statement.visit(&mut empty::Empty);
    let _never_breaks: ControlFlow<()> = statement.visit(&mut system::Columns);
    let _never_breaks: ControlFlow<()> = statement.visit(&mut Dialect);
    let _never_breaks: ControlFlow<()> = statement.visit(&mut names::Names);
}

/// Rewrites one expression that stands alone.
pub(crate) fn rewrite_expression(expr: &mut Expr) {
    let _never_breaks: ControlFlow<()> = expr.visit(&mut Dialect);
}

struct Dialect;

impl VisitorMut for Dialect {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            let offset = offset.as_mut().map(|offset| &mut offset.value);
            limit.iter_mut().chain(offset).for_each(number_of_literal);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        qualify(relation);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => unqualify(name),
            _ => {}
        }
        from::rewrite(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        rewrite_expr(expr);
        ControlFlow::Continue(())
    }
}

/// `pg_catalog` is searched before all others.
fn qualify(relation: &mut ObjectName) {
    if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice()
        && name.value.starts_with("pg_")
        && catalog::has_table(&name.value)
    {
        relation
            .0
            .insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
    }
}

/// Functions have one flat space of names here.
fn unqualify(name: &mut ObjectName) {
    let schema = name.0.first().and_then(ObjectNamePart::as_ident);
    let is_catalog = schema.is_some_and(|schema| {
        let name = match schema.quote_style {
            Some(_) => schema.value.clone(),
            None => schema.value.to_ascii_lowercase(),
        };
        matches!(name.as_str(), "pg_catalog" | "information_schema")
    });
    if name.0.len() == 2 && is_catalog {
        name.0.remove(0);
    }
}

/// Whether texts are in the order of their bytes in this collation, as they are here.
fn is_of_bytes(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(ObjectNamePart::as_ident);
    name.is_some_and(|name| {
        let known = ["C", "POSIX", "default", "ucs_basic"];
        let is_it = |known: &&str| match name.quote_style {
            Some(_) => name.value == *known,
            None => name.value.eq_ignore_ascii_case(known),
        };
        known.iter().any(is_it)
    })
}

fn rewrite_expr(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { op, .. } => rewrite_operator(op),
        Expr::AnyOp {
            compare_op, right, ..
        }
        | Expr::AllOp {
            compare_op, right, ..
        } => {
            rewrite_operator(compare_op);
            arrays::of_literal(right);
        }
        // The order of bytes, which there is alone.
        Expr::Collate {
            expr: inner,
            collation,
        } if is_of_bytes(collation) => *expr = take(inner),
        Expr::SimilarTo { .. } => similar::rewrite(expr),
        Expr::Function(function) => {
            unqualify(&mut function.name);
            if let Some(query) = array_of_rows(function) {
                *expr = Expr::Subquery(Box::new(query));
            }
        }
        Expr::Subquery(query) => aggregate_catalogue(query),
        Expr::InSubquery { .. } => from::rewrite_in(expr),
        Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } => {
            rewrite_escape(pattern, escape_char);
        }
        Expr::Identifier(name) if name.quote_style.is_none() && is_register(&name.value) => {
            *expr = call(&name.value.to_ascii_lowercase(), FunctionArguments::None);
        }
        Expr::Cast { .. } => casts::rewrite(expr),
        _ => {}
    }
}

/// `LIMIT '7'`, as drivers write parameters into the text.
fn number_of_literal(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::SingleQuotedString(text) = &value.value
        && let Ok(number) = text.trim().parse::<i64>()
    {
        *expr = Expr::Value(Value::Number(number.to_string(), false).into());
    }
}

/// Functions that are called without parentheses.
fn is_register(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "current_schema"
            | "current_user"
            | "current_role"
            | "session_user"
            | "current_catalog"
            | "user"
    )
}

/// An expression out of its place, which gets another one at once.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn call(name: &str, args: FunctionArguments) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn call_with(name: &str, args: Vec<Expr>) -> Expr {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    call(
        name,
        FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
    )
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn rewrite_operator(operator: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(parts) = operator else {
        return;
    };
    let known = match parts.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("~~*") => BinaryOperator::PGILikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("!~~*") => BinaryOperator::PGNotILikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>" | "!=") => BinaryOperator::NotEq,
        Some("<") => BinaryOperator::Lt,
        Some("<=") => BinaryOperator::LtEq,
        Some(">") => BinaryOperator::Gt,
        Some(">=") => BinaryOperator::GtEq,
        Some("+") => BinaryOperator::Plus,
        Some("-") => BinaryOperator::Minus,
        Some("*") => BinaryOperator::Multiply,
        Some("/") => BinaryOperator::Divide,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *operator = known;
}

/// `ARRAY(SELECT x ...)` is what `array_agg(x)` makes of it.
fn array_of_rows(function: &mut Function) -> Option<Query> {
    if !is_named(&function.name, "array") {
        return None;
    }
    let FunctionArguments::Subquery(query) = &mut function.args else {
        return None;
    };
    let mut query = query.as_ref().clone();
    let item = only_item(plain_select(&mut query)?)?;
    *item = call_with("array_agg", vec![take(item)]);
    Some(query)
}

/// A subquery that gives one value for each row of the outer query has to be an aggregate to be planned. In the catalogue it
/// looks something up by its number, of which there is one, so that `max` changes nothing.
fn aggregate_catalogue(query: &mut Query) {
    let Some(select) = plain_select(query) else {
        return;
    };
    let relations = select.from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let is_catalogue = relations.into_iter().all(|relation| match relation {
        TableFactor::Table {
            name, args: None, ..
        } => name
            .0
            .first()
            .and_then(ObjectNamePart::as_ident)
            .is_some_and(|schema| schema.value == "pg_catalog"),
        _ => false,
    });
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if !is_catalogue || is_grouped || select.from.is_empty() || empty::may_aggregate(select) {
        return;
    }
    if let Some(item) = only_item(select) {
        *item = call_with("max", vec![take(item)]);
    }
}

fn only_item(select: &mut Select) -> Option<&mut Expr> {
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] => {
            Some(item)
        }
        _ => None,
    }
}

/// Patterns are escaped by backslashes: `LIKE pattern ESCAPE '/'` has its own turned into them.
fn rewrite_escape(pattern: &mut Box<Expr>, escape: &mut Option<ValueWithSpan>) {
    let Some(escape_text) = escape
        .as_ref()
        .and_then(|value| value.value.clone().into_string())
    else {
        return;
    };
    if escape_text.chars().count() != 1 || escape_text == "\\" {
        return;
    }
    // An escape that is escaped stands for itself; it is kept apart by a character that no text has.
    let apart = "\u{f8ff}";
    let doubled = escape_text.repeat(2);
    let mut rewritten = take(pattern);
    for (from, to) in [
        ("\\", "\\\\"),
        (doubled.as_str(), apart),
        (escape_text.as_str(), "\\"),
        (apart, escape_text.as_str()),
    ] {
        rewritten = call_with("replace", vec![rewritten, string(from), string(to)]);
    }
    **pattern = rewritten;
    *escape = None;
}

fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

fn is_named(name: &ObjectName, wanted: &str) -> bool {
    let [part] = name.0.as_slice() else {
        return false;
    };
    part.as_ident()
        .is_some_and(|name| name.value.eq_ignore_ascii_case(wanted))
}

/// The one SELECT of a query without a limit or an order.
fn plain_select(query: &mut Query) -> Option<&mut Select> {
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return None;
    }
    query.order_by = None;
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        rewrite(&mut statements[0]);
        assert_eq!(statements[0].to_string().replace('\u{1}', "!"), expected);
    }

    #[test]
    fn operators_and_collations_of_the_catalogue() {
        check(
            "SELECT a FROM t WHERE b OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default",
            "SELECT a FROM t WHERE b ~ '^(x)$'",
        );
        check(
            "SELECT a FROM t WHERE b = ANY ('{r, v}')",
            "SELECT a FROM t WHERE b = ANY(ARRAY['r', 'v'])",
        );
    }

    #[test]
    fn relations_and_functions_of_the_catalogue() {
        check(
            "SELECT pg_catalog.version() AS v FROM pg_class, pg_mine, public.pg_class",
            "SELECT version() AS v FROM pg_catalog.pg_class, pg_mine, public.pg_class",
        );
        check(
            "SELECT current_schema AS a, user AS b",
            "SELECT current_schema AS a, user AS b",
        );
    }

    #[test]
    fn limits_that_are_written_as_texts_are_numbers() {
        check(
            "SELECT a FROM t LIMIT '7' OFFSET ' 2'",
            "SELECT a FROM t LIMIT 7 OFFSET 2",
        );
    }

    #[test]
    fn arrays_that_are_written_as_texts() {
        check(
            "SELECT '{a,NULL,\"b c\"}'::text[] AS a, '{}'::int[] AS b, '{'::text[] AS c",
            "SELECT ARRAY['a', NULL, 'b c']::TEXT[] AS a, ARRAY[]::INT[] AS b, pg_malformed_array('{')::TEXT[] AS c",
        );
    }

    #[test]
    fn functions_in_from() {
        check(
            "SELECT i, s[i] FROM generate_series(1, 2) AS i, string_to_array('a,b', ',') s",
            "SELECT i, s[i] AS \"s\" FROM generate_series(1, 2) AS i (i), (SELECT string_to_array('a,b', ',') AS \"string_to_array\") s (s)",
        );
        check(
            "SELECT CASE WHEN a IN (SELECT s[1] FROM string_to_array(b, ',') s) THEN 1 END AS c FROM t",
            "SELECT CASE WHEN coalesce(array_has((SELECT array_agg(s[1]) AS \"array_agg\" FROM (SELECT string_to_array(b, ',') AS \"string_to_array\") s (s)), a), false) THEN 1 END AS c FROM t",
        );
        check(
            "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
            "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
        );
    }

    #[test]
    fn the_table_of_a_row_of_the_catalogue() {
        check(
            "SELECT tableoid, oid FROM pg_catalog.pg_class",
            "SELECT to_regclass('pg_catalog.pg_class') AS tableoid, oid FROM pg_catalog.pg_class",
        );
        check(
            "SELECT c.oid AS oid FROM pg_class c JOIN pg_am a ON a.tableoid = c.oid, t WHERE t.tableoid = 1",
            "SELECT c.oid AS oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON to_regclass('pg_catalog.pg_am') = c.oid, t WHERE t.tableoid = 1",
        );
    }

    #[test]
    fn casts_to_types_of_the_catalogue() {
        check(
            "SELECT 'public.t'::regclass AS a",
            "SELECT to_regclass('public.t') AS a",
        );
        check(
            "SELECT 't'::pg_catalog.regclass::oid AS a",
            "SELECT to_regclass('t')::BIGINT AS a",
        );
        check(
            "SELECT c.oid::regclass::text AS a FROM c",
            "SELECT pg_regclass_name(c.oid)::TEXT AS a FROM c",
        );
        check(
            "SELECT a::regclass::oid AS a, 'pg_catalog.lower'::regproc AS b, 'lower'::regproc::oid AS c FROM t",
            "SELECT to_regclass(a) AS a, pg_regproc_name('pg_catalog.lower') AS b, pg_regproc_oid(pg_regproc_name('lower')) AS c FROM t",
        );
        check(
            "SELECT a::name AS a, b::\"char\" AS b FROM t",
            "SELECT a::TEXT AS a, b::TEXT AS b FROM t",
        );
        check(
            "SELECT a::float AS a, a::float(24) AS b, a::float(25)::float[] AS c FROM t",
            "SELECT a::DOUBLE PRECISION AS a, a::REAL AS b, a::DOUBLE PRECISION::DOUBLE PRECISION[] AS c FROM t",
        );
        check(
            "SELECT a::pg_catalog.int2[] AS a FROM t",
            "SELECT a::SMALLINT[] AS a FROM t",
        );
    }

    #[test]
    fn lookups_in_the_catalogue_and_arrays_of_rows_are_aggregates() {
        check(
            "SELECT (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = t.typrelid) AS a FROM pg_type t",
            "SELECT (SELECT max(c.relkind = 'c') AS \"max\" FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) AS a FROM pg_catalog.pg_type t",
        );
        check(
            "SELECT array(SELECT x FROM t ORDER BY 1) AS a",
            "SELECT (SELECT array_agg(x) AS \"array_agg\" FROM t) AS a",
        );
        check(
            "SELECT (SELECT a FROM t WHERE t.b = u.b) AS a FROM u",
            "SELECT (SELECT a FROM t WHERE t.b = u.b) AS a FROM u",
        );
    }

    #[test]
    fn columns_are_named_as_postgresql_names_them() {
        check(
            "SELECT 1, 2, count(*), count(a), a::text, a FROM t",
            "SELECT 1 AS \"?column?\", 2 AS \"?column?!1\", count(*) AS \"count\", count(a) AS \"count!3\", a::TEXT AS \"a\", a AS \"a!5\" FROM t",
        );
        check(
            "SELECT n.oid, n.* FROM n",
            "SELECT n.oid AS \"oid!0\", n.* FROM n",
        );
        check(
            "SELECT CASE WHEN a THEN 1 END, EXISTS (SELECT 1 FROM t), (SELECT max(b) FROM t) FROM t",
            "SELECT CASE WHEN a THEN 1 END AS \"case\", EXISTS (SELECT 1 AS \"?column?\" FROM t) AS \"exists\", (SELECT max(b) AS \"max\" FROM t) AS \"max\" FROM t",
        );
        check("SELECT a, t.b FROM t", "SELECT a, t.b FROM t");
    }

    #[test]
    fn subqueries_over_relations_without_rows_have_none() {
        check(
            "SELECT (SELECT d.adbin FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.x) AS d FROM a WHERE EXISTS (SELECT 1 FROM pg_inherits)",
            "SELECT NULL AS d FROM a WHERE false",
        );
        check(
            "SELECT p.polname, array(SELECT rolname FROM pg_roles WHERE oid = ANY(p.polroles)) AS r FROM pg_policy p",
            "SELECT p.polname, ARRAY[] AS r FROM pg_catalog.pg_policy p",
        );
        check(
            "SELECT array(SELECT x FROM pg_catalog.unnest(c.reloptions) x) AS a, (SELECT x FROM unnest(c.mine) x) AS b FROM c",
            "SELECT ARRAY[] AS a, (SELECT x FROM UNNEST(c.mine) x) AS b FROM c",
        );
        check(
            "SELECT CASE WHEN t.typtype = 'c' THEN (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid) END AS n FROM pg_type t",
            "SELECT CAST(NULL AS TEXT[]) AS n FROM pg_catalog.pg_type t",
        );
        check(
            "SELECT a.attname FROM pg_attribute a JOIN (SELECT information_schema._pg_expandarray(i.indkey) AS keys FROM pg_index i) i ON a.attnum = (i.keys).x",
            "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN (SELECT CAST(NULL AS BIGINT) AS keys FROM pg_catalog.pg_index i WHERE false) i ON a.attnum = CAST(NULL AS BIGINT)",
        );
        check(
            "SELECT r.a AS a FROM (SELECT (information_schema._pg_expandarray(i.indkey)).n AS a, information_schema._pg_expandarray(i.indkey) AS k FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid) r WHERE r.a = (r.k).x",
            "SELECT r.a AS a FROM (SELECT CAST(NULL AS BIGINT) AS a, CAST(NULL AS BIGINT) AS k FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid WHERE false) r WHERE false",
        );
        check(
            "SELECT (aclexplode(relacl)).grantee AS g FROM pg_class WHERE oid = 1",
            "SELECT CAST(NULL AS BIGINT) AS g FROM pg_catalog.pg_class WHERE false",
        );
        check(
            "SELECT (SELECT count(*) AS c FROM pg_attrdef) AS d",
            "SELECT (SELECT count(*) AS c FROM pg_catalog.pg_attrdef) AS d",
        );
    }
}
