//! What of a statement is settled before it is planned: values of parameters, and which columns `*` stands for.
//!
//! Invariant: a parameter becomes a literal in the tree of the statement, never a part of its text: no value ends a quote.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableFactor, Value as Literal, Visit, VisitMut,
    Visitor, VisitorMut, WildcardAdditionalOptions,
};
use spec::Value;

use super::InputTable;

/// Puts the values of parameters in their places.
pub(super) fn bind<T: VisitMut>(tree: &mut T, params: &[(String, Value)]) {
    let params = params
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let _never_breaks: ControlFlow<()> = tree.visit(&mut Binding { params });
}

struct Binding<'a> {
    params: HashMap<&'a str, &'a Value>,
}

impl VisitorMut for Binding<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Literal::Placeholder(name) = &value.value
            && let Some(bound) = name
                .strip_prefix('$')
                .and_then(|name| self.params.get(name))
        {
            *expr = Expr::Value(literal(bound).into());
        }
        ControlFlow::Continue(())
    }
}

/// Parameters are numbers, texts, true and false: the format has no others.
fn literal(value: &Value) -> Literal {
    match value {
        Value::Boolean(value) => Literal::Boolean(*value),
        Value::Integer(value) => Literal::Number(value.to_string(), false),
        Value::Number(value) => Literal::Number(format!("{value:?}"), false),
        Value::Text(text) => Literal::SingleQuotedString(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => Literal::Null,
    }
}

/// Leaves the columns that say where a row comes from out of `*`: whoever wants one names it.
pub(super) fn leave_out(statement: &mut Statement, inputs: &[InputTable]) {
    let mut named = Named::default();
    let _never_breaks: ControlFlow<()> = Visit::visit(&*statement, &mut named);
    let hidden = inputs
        .iter()
        .filter(|input| !named.queries.contains(&input.name))
        .map(|input| {
            let fields = input.metadata.fields();
            let names = fields.iter().map(|field| field.name().clone());
            (input.name.as_str(), names.collect())
        });
    let hidden = hidden.collect();
    let _never_breaks: ControlFlow<()> = statement.visit(&mut Hiding { hidden });
}

/// The names of WITH.
#[derive(Default)]
struct Named {
    queries: Vec<String>,
}

impl Visitor for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.queries
            .extend(tables.map(|table| folded(&table.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Hiding<'a> {
    hidden: HashMap<&'a str, Vec<String>>,
}

impl VisitorMut for Hiding<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let [from] = select.from.as_slice() else {
            return ControlFlow::Continue(());
        };
        let TableFactor::Table { name, .. } = &from.relation else {
            return ControlFlow::Continue(());
        };
        let name = name.0.last().and_then(|part| part.as_ident()).map(folded);
        let hidden = name.and_then(|name| self.hidden.get(name.as_str()));
        let Some(hidden) = hidden.filter(|hidden| !hidden.is_empty()) else {
            return ControlFlow::Continue(());
        };
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options)
                | SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(_),
                    options,
                ) => exclude(options, hidden),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn exclude(options: &mut WildcardAdditionalOptions, hidden: &[String]) {
    let mut names = match options.opt_exclude.take() {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    for name in hidden {
        let name = ObjectName::from(vec![Ident::with_quote('"', name)]);
        if !names.iter().any(|known| last(known) == last(&name)) {
            names.push(name);
        }
    }
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

/// A name as SQL reads it.
pub(super) fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
