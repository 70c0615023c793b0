//! Statements with parameters, planned and started.
//!
//! Invariant: a parameter has one type from the moment the client may ask for it: what the client declared, else what its use
//! says, else text. A plan is made anew each time a statement is bound, so that it sees the topics and contracts of then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use contract::nearest;
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, LimitClause, Query, Statement, Value, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::error::{PgError, state};
use super::rewrite::casts;
use super::types::PgType;
use crate::bounds;
use crate::write::insert::{self, PlannedInsert};

/// The number of parameters is a 16-bit field of the protocol.
const PARAMETERS_MAX: usize = u16::MAX as usize;

/// Plans a statement; its parameters are of these types.
pub(super) async fn plan(
    context: &SessionContext,
    statement: &Statement,
    types: &[PgType],
    sql: &str,
) -> Result<LogicalPlan, PgError> {
    let plan = typed_plan(context, statement.clone(), types, sql).await?;
    // Whatever the parser let through: only what reads is run.
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(&plan)?;
    Ok(plan)
}

/// Plans an INSERT, with values for its parameters.
pub(super) async fn insert(
    context: &SessionContext,
    statement: &Statement,
    types: &[PgType],
    values: Vec<ScalarValue>,
    sql: &str,
) -> Result<PlannedInsert, PgError> {
    let (statement, columns) = full_insert(context, statement, sql).await?;
    let plan = typed_plan(context, statement, types, sql).await?;
    let plan = bind(plan, values)?;
    insert::admit(plan, &columns).map_err(|error| PgError::of_engine(&error, sql))
}

/// The types of the parameters of an INSERT.
pub(super) async fn insert_parameters(
    context: &SessionContext,
    statement: &Statement,
    declared: &[Option<PgType>],
    sql: &str,
) -> Result<Vec<PgType>, PgError> {
    let (statement, _columns) = full_insert(context, statement, sql).await?;
    let types = parameter_types(context, &statement, declared, sql).await?;
    // What is wrong with it shows now, not when it is run.
    typed_plan(context, statement, &types, sql).await?;
    Ok(types)
}

/// The statement with its target and its columns in full, and the columns.
async fn full_insert(
    context: &SessionContext,
    statement: &Statement,
    sql: &str,
) -> Result<(Statement, Vec<String>), PgError> {
    let Statement::Insert(statement) = statement else {
        return Err(PgError::unsupported(
            "only INSERT writes",
            "INSERT INTO topic ...",
        ));
    };
    let mut statement = statement.clone();
    let prepared = insert::prepare(context, &mut statement).await;
    let columns = prepared.map_err(|error| explained(context, &error, sql))?;
    Ok((Statement::Insert(statement), columns))
}

/// Plans a statement whose parameters are of these types, whatever it does.
async fn typed_plan(
    context: &SessionContext,
    mut statement: Statement,
    types: &[PgType],
    sql: &str,
) -> Result<LogicalPlan, PgError> {
    if !types.is_empty() {
        statement = Statement::Prepare {
            name: Ident::new("statement"),
            data_types: types.iter().map(|kind| casts::of_pg(*kind)).collect(),
            statement: Box::new(statement),
        };
    }
    let plan = engine_plan(context, statement, sql).await?;
    Ok(match plan {
        LogicalPlan::Statement(PlanStatement::Prepare(prepared)) => {
            Arc::unwrap_or_clone(prepared.input)
        }
        plan => plan,
    })
}

async fn engine_plan(
    context: &SessionContext,
    mut statement: Statement,
    sql: &str,
) -> Result<LogicalPlan, PgError> {
    let too_much = |error| PgError::of_too_much(&error, sql);
    bounds::admit_statement(&statement).map_err(too_much)?;
    let _never_breaks = VisitMut::visit(&mut statement, &mut casts::Parameters);
    let statement = EngineStatement::Statement(Box::new(statement));
    // The engine's futures are large; most sessions are idle.
    let state = context.state();
    let planned = Box::pin(state.statement_to_plan(statement)).await;
    let plan = planned.map_err(|error| explained(context, &error, sql))?;
    bounds::admit_conditions(&plan)?;
    Ok(plan)
}

/// The error, with the name of a table that was probably meant.
fn explained(context: &SessionContext, error: &DataFusionError, sql: &str) -> PgError {
    let mut error = PgError::of_engine(error, sql);
    if error.state == state::UNDEFINED_TABLE {
        let tables = table_names(context);
        let missing = error.message.split('"').nth(1).unwrap_or_default();
        error.position = error.position.or_else(|| place_of(missing, sql));
        if error.hint.is_some() {
            return error;
        }
        let hint = match nearest(missing, tables.iter().map(String::as_str)) {
            Some(near) => format!("Perhaps you meant \"{near}\"."),
            None => "Every topic is a table; \\dt lists them. Names with capitals, dots or dashes are written in double quotes.".to_owned(),
        };
        error.hint = Some(hint);
    }
    error
}

fn table_names(context: &SessionContext) -> Vec<String> {
    let state = context.state();
    let options = &state.config_options().catalog;
    let catalog = state.catalog_list().catalog(&options.default_catalog);
    let schema = catalog.and_then(|catalog| catalog.schema(&options.default_schema));
    schema
        .map(|schema| schema.table_names())
        .unwrap_or_default()
}

/// Where the name is in the text, in characters from 1: the engine does not say it of tables.
fn place_of(name: &str, sql: &str) -> Option<usize> {
    let part = name.rsplit('.').next().filter(|part| !part.is_empty())?;
    let mut places = sql.match_indices(part).map(|(place, _)| place);
    let is_word = |place: &usize| {
        let before = sql[..*place].chars().next_back();
        let behind = sql[place + part.len()..].chars().next();
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        !before.is_some_and(in_word) && !behind.is_some_and(in_word)
    };
    let place = places.find(is_word)?;
    Some(sql[..place].chars().count() + 1)
}

/// The types of a statement's parameters; `declared` has those that the client knows.
pub(super) async fn parameter_types(
    context: &SessionContext,
    statement: &Statement,
    declared: &[Option<PgType>],
    sql: &str,
) -> Result<Vec<PgType>, PgError> {
    let used = UsedParameters::of(statement)?;
    let count = used.count.max(declared.len());
    if count > PARAMETERS_MAX {
        let message = format!("there is no parameter ${count}");
        return Err(PgError::new("42P02", message));
    }
    let known = |index: usize| {
        let declared = declared.get(index).copied().flatten();
        declared.or_else(|| used.cast.get(&(index + 1)).copied())
    };
    let mut types: Vec<Option<PgType>> = (0..count).map(known).collect();
    if types.iter().any(Option::is_none) {
        // What is wrong with the statement shows when it is planned with types.
        let mut single = statement.clone();
        let mut arrays = Arrays::default();
        let _never_breaks = VisitMut::visit(&mut single, &mut arrays);
        let is_array = |index: &usize| arrays.parameters.contains(&(index + 1));
        let unknown: Vec<usize> = (0..count).filter(|index| types[*index].is_none()).collect();
        if let Ok(plan) = engine_plan(context, single, sql).await {
            infer(&plan, &mut types);
        }
        for index in unknown.into_iter().filter(is_array) {
            let item = types[index].unwrap_or(PgType::TEXT);
            types[index] = Some(PgType {
                is_array: true,
                ..item
            });
        }
    }
    Ok(types
        .into_iter()
        .map(|kind| kind.unwrap_or(PgType::TEXT))
        .collect())
}

/// Puts `x = $1` in place of `x = ANY ($1)`: what `x` is says what the items are.
#[derive(Default)]
struct Arrays {
    /// Those that are arrays.
    parameters: BTreeSet<usize>,
}

impl VisitorMut for Arrays {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let (Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        }
        | Expr::AllOp {
            left,
            compare_op,
            right,
        }) = expr
        else {
            return ControlFlow::Continue(());
        };
        if let Some(number) = parameter(right) {
            self.parameters.insert(number);
            *expr = Expr::BinaryOp {
                left: left.clone(),
                op: compare_op.clone(),
                right: right.clone(),
            };
        }
        ControlFlow::Continue(())
    }
}

/// The number of a parameter that stands by itself.
fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => number(value),
        Expr::Nested(inner) => parameter(inner),
        _ => None,
    }
}

fn infer(plan: &LogicalPlan, types: &mut [Option<PgType>]) {
    let Ok(fields) = plan.get_parameter_fields() else {
        return;
    };
    for (index, kind) in types.iter_mut().enumerate() {
        if let Some(Some(field)) = fields.get(&format!("${}", index + 1)) {
            kind.get_or_insert_with(|| PgType::of_field(field));
        }
    }
}

/// Puts values in place of the parameters.
pub(super) fn bind(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, PgError> {
    if values.is_empty() {
        return Ok(plan);
    }
    let fields = plan.get_parameter_fields()?;
    let mut cast = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let field = fields
            .get(&format!("${}", index + 1))
            .and_then(Option::as_ref);
        cast.push(match field {
            Some(field) if field.data_type() != &value.data_type() => {
                value.cast_to(field.data_type())?
            }
            _ => value,
        });
    }
    Ok(plan.replace_params_with_values(&ParamValues::from(cast))?)
}

/// The parameters that a statement has, and what they are cast to where they stand.
#[derive(Default)]
struct UsedParameters {
    count: usize,
    cast: BTreeMap<usize, PgType>,
}

impl UsedParameters {
    fn of(statement: &Statement) -> Result<Self, PgError> {
        let mut used = Self::default();
        match statement.visit(&mut used) {
            ControlFlow::Continue(()) => Ok(used),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn cast_to(&mut self, expr: &Expr, kind: PgType) {
        if let Some(number) = parameter(expr) {
            self.cast.entry(number).or_insert(kind);
        }
    }
}

fn number(value: &ValueWithSpan) -> Option<usize> {
    match &value.value {
        Value::Placeholder(text) => text.strip_prefix('$')?.parse().ok(),
        _ => None,
    }
}

impl Visitor for UsedParameters {
    type Break = PgError;

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<PgError> {
        if let Value::Placeholder(text) = &value.value {
            match number(value) {
                Some(number @ 1..=PARAMETERS_MAX) => self.count = self.count.max(number),
                _ => {
                    return ControlFlow::Break(PgError::new(
                        "42P02",
                        format!("there is no parameter {text}"),
                    ));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<PgError> {
        if let Expr::Cast {
            expr, data_type, ..
        } = expr
            && let Some(kind) = casts::to_pg(data_type)
        {
            self.cast_to(expr, kind);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<PgError> {
        let count = PgType::scalar(super::types::Kind::Int8);
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            if let Some(limit) = limit {
                self.cast_to(limit, count);
            }
            if let Some(offset) = offset {
                self.cast_to(&offset.value, count);
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_whole_words() {
        assert_eq!(place_of("t", "select t2.t from t"), Some(11));
        assert_eq!(
            place_of("public.flights", "select größe from flights"),
            Some(19)
        );
        assert_eq!(place_of("x", "select y"), None);
    }
}
