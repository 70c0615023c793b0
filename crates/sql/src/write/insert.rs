//! INSERT: what it names, what may be in it, and how it is planned.
//!
//! A statement is made to name its target and its columns in full ([`prepare`]), so that DataFusion plans, checks and casts its
//! rows to the types of the columns. [`admit`] is the gate for what writes: of the plan it takes a query and a target, and it
//! takes nothing but an append to a topic.

use std::any::Any;
use std::sync::Arc;

use contract::nearest;
use datafusion::catalog::TableProvider;
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{LogicalPlan, WriteOp};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    Insert, ObjectName, SetExpr, TableObject, Value,
};

use super::headers::HEADERS_FUNCTION;
use super::target::{HEADERS, INSERT_VIEW, InsertTarget, VALUE};
use super::typed::is_writable;
use crate::catalogue::{CATALOGUE, PUBLIC};
use crate::columns::{Column, hexadecimal};
use crate::statements::{Refused, admit as admit_query};
use crate::topics::is_internal;
use crate::views::View;

/// What is wrong with a statement that writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// Only topics are written to.
    #[error("cannot insert into \"{0}\": it is no topic")]
    NoTopic(String),
    /// What is the newest record of a key follows from the log.
    #[error("cannot insert into \"{0}\": it shows the newest record of each key")]
    Latest(String),
    /// The broker's own topics are not.
    #[error("topic \"{0}\" belongs to the broker")]
    Internal(String),
    /// The log gives a record these.
    #[error("column \"{0}\" cannot be written")]
    ReadOnly(&'static str),
    /// There is no such column.
    #[error("column \"{column}\" of relation \"{topic}\" does not exist")]
    NoColumn {
        /// The column.
        column: String,
        /// The topic.
        topic: String,
        /// The column that was perhaps meant.
        nearest: Option<String>,
    },
    /// A column comes twice.
    #[error("column \"{0}\" specified more than once")]
    Twice(String),
    /// A topic without a contract has no columns of its own.
    #[error("topic \"{0}\" has no contract, so the columns to write must be named")]
    NoColumns(String),
    /// A value is given as it is, and by its columns.
    #[error("the value of a record of \"{0}\" is either _value or the columns of its contract")]
    ValueTwice(String),
    /// Nothing here writes values of this format.
    #[error("topic \"{topic}\" has values of format {format}, which cannot be written by columns")]
    Format {
        /// The topic.
        topic: String,
        /// The format of its contract.
        format: &'static str,
    },
    /// Text that is no bytes.
    #[error("invalid input for the bytea column \"{column}\"")]
    Bytes {
        /// The column.
        column: String,
    },
    /// A row has more or fewer values than there are columns.
    #[error("INSERT has {values} expressions and {columns} target columns")]
    Width {
        /// Values of a row.
        values: usize,
        /// Columns that are named.
        columns: usize,
    },
}

impl InsertError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTopic(_) => Some("\\dt lists the topics; CREATE TABLE makes one.".to_owned()),
            Self::Latest(name) => {
                let topic = name.split('@').next().unwrap_or_default();
                Some(format!(
                    "What is inserted into {} is the newest record of its key, or none if its _value is NULL.",
                    crate::errors::quoted(topic)
                ))
            }
            Self::Internal(_) => None,
            Self::ReadOnly(column) if Some(*column) == Column::Topic.name() => {
                Some("The statement names the topic; leave the column out.".to_owned())
            }
            Self::ReadOnly(column) if *column != "_offset" => {
                Some("Reading tells it; leave the column out.".to_owned())
            }
            Self::ReadOnly(_) => {
                Some("A log numbers its records itself; leave the column out.".to_owned())
            }
            Self::NoColumn { nearest, .. } => nearest
                .as_ref()
                .map(|nearest| format!("Perhaps you meant \"{nearest}\".")),
            Self::Bytes { .. } => {
                Some("Bytes are \\x and two hexadecimal digits for each.".to_owned())
            }
            Self::Twice(_) | Self::Width { .. } => None,
            Self::ValueTwice(_) => Some("Leave _value out, or the other columns.".to_owned()),
            Self::Format { topic, .. } => Some(format!(
                "Formats that can be written are json, ndjson and csv; encoded values are written as they are into _value of {}.",
                crate::errors::quoted(&format!("{topic}@bytes"))
            )),
            Self::NoColumns(topic) => Some(format!(
                "For example {} (_key, _value); there are _partition, _timestamp and _headers, too.",
                crate::errors::quoted(topic)
            )),
        }
    }
}

impl From<InsertError> for DataFusionError {
    fn from(error: InsertError) -> Self {
        Self::External(Box::new(error))
    }
}

/// An INSERT that was planned: the rows of `query` have the columns of the target.
#[derive(Debug)]
pub(crate) struct PlannedInsert {
    pub(crate) target: InsertTarget,
    /// Whether values are made of the columns of the contract.
    pub(crate) is_typed: bool,
    pub(crate) query: LogicalPlan,
}

/// Takes a planned statement apart that was prepared to write these columns.
///
/// # Errors
/// It is no append to a topic, or its query does more than ask.
pub(crate) fn admit(plan: LogicalPlan, columns: &[String]) -> Result<PlannedInsert> {
    let LogicalPlan::Dml(write) = plan else {
        return Err(Refused::Insert("INSERT".to_owned()).into());
    };
    if write.op != WriteOp::Insert(InsertOp::Append) {
        return Err(Refused::Change(write.op.name().to_uppercase()).into());
    }
    let provider = source_as_provider(&write.target)?;
    let provider: &dyn Any = provider.as_ref();
    let Some(target) = provider.downcast_ref::<InsertTarget>() else {
        return Err(InsertError::NoTopic(write.table_name.to_string()).into());
    };
    admit_query(&write.input)?;
    Ok(PlannedInsert {
        is_typed: is_typed(target, columns)?,
        target: target.clone(),
        query: Arc::unwrap_or_clone(write.input),
    })
}

/// Whether the values of records are made of columns of the contract.
///
/// # Errors
/// They are given as they are, too; or nothing here writes values of this format.
pub(crate) fn is_typed(target: &InsertTarget, columns: &[String]) -> Result<bool, InsertError> {
    let Some(contract) = &target.contract else {
        return Ok(false);
    };
    if !columns.iter().any(|column| target.is_declared(column)) {
        return Ok(false);
    }
    if columns.iter().any(|column| column == VALUE) {
        return Err(InsertError::ValueTwice(target.topic.to_string()));
    }
    if !is_writable(contract.format()) {
        return Err(InsertError::Format {
            topic: target.topic.to_string(),
            format: contract.format().name(),
        });
    }
    Ok(true)
}

/// Makes a statement name where it writes to in full. Returns the columns that it writes.
///
/// # Errors
/// There is no such topic, or it does not have such columns.
pub(crate) async fn prepare(session: &SessionContext, insert: &mut Insert) -> Result<Vec<String>> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(InsertError::NoTopic(insert.table.to_string()).into());
    };
    let target = find(session, name).await?;
    let named: Vec<Ident> = insert
        .columns
        .iter()
        .filter_map(only_part)
        .cloned()
        .collect();
    if named.len() != insert.columns.len() {
        let long = insert.columns.iter().find(|column| column.0.len() != 1);
        return Err(unknown(&target, &long.map(ToString::to_string).unwrap_or_default()).into());
    }
    let mut columns = columns(&target, &named)?;
    if let Some(source) = &mut insert.source
        && let SetExpr::Values(values) = source.body.as_mut()
    {
        if named.is_empty() {
            // As PostgreSQL: what is named by nobody may end early.
            columns.truncate(values.rows.first().map_or(0, |row| row.content.len()));
        }
        for row in &mut values.rows {
            fit(&target, &mut row.content, &columns)?;
        }
    }
    insert.columns = columns
        .iter()
        .map(|column| ObjectName::from(vec![exactly(column)]))
        .collect();
    insert.table = TableObject::TableName(ObjectName::from(
        [CATALOGUE, PUBLIC, &written_name(&target)]
            .map(exactly)
            .to_vec(),
    ));
    Ok(columns)
}

fn written_name(target: &InsertTarget) -> String {
    let view = View {
        form: target.form,
        is_latest: false,
    };
    format!("{}{view}{INSERT_VIEW}", target.topic)
}

/// A name that is read as it is.
fn exactly(name: impl Into<String>) -> Ident {
    Ident::with_quote('"', name)
}

fn only_part(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

/// As SQL reads it: lower case unless quoted.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

/// The name of the topic that a statement means: topics are in the schema `public`, whatever else is searched for reading.
///
/// # Errors
/// It is in another schema.
pub(crate) fn topic_name(name: &ObjectName) -> Result<String, InsertError> {
    let parts: Option<Vec<String>> = name
        .0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect();
    let parts = parts.unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [name] | [PUBLIC, name] | [CATALOGUE, PUBLIC, name] => Ok((*name).to_owned()),
        _ => Err(InsertError::NoTopic(name.to_string())),
    }
}

/// Where a statement writes to.
///
/// # Errors
/// There is no such topic, or nobody may write to it.
pub(crate) async fn find(session: &SessionContext, name: &ObjectName) -> Result<InsertTarget> {
    let name = topic_name(name)?;
    if is_internal(&name) {
        return Err(InsertError::Internal(name).into());
    }
    let schema = session
        .catalog(CATALOGUE)
        .and_then(|catalogue| catalogue.schema(PUBLIC));
    let no_topic = || DataFusionError::from(InsertError::NoTopic(name.clone()));
    let table = schema
        .ok_or_else(no_topic)?
        .table(&format!("{name}{INSERT_VIEW}"))
        .await?;
    let table: Arc<dyn TableProvider> = table.ok_or_else(no_topic)?;
    let table: &dyn Any = table.as_ref();
    table
        .downcast_ref::<InsertTarget>()
        .cloned()
        .ok_or_else(no_topic)
}

/// The columns that are written, by their names in the target.
pub(crate) fn columns(target: &InsertTarget, named: &[Ident]) -> Result<Vec<String>, InsertError> {
    if named.is_empty() {
        return target
            .default_columns()
            .ok_or_else(|| InsertError::NoColumns(target.topic.to_string()));
    }
    let mut columns: Vec<String> = Vec::with_capacity(named.len());
    for name in named {
        let name = folded(name);
        if columns.contains(&name) {
            return Err(InsertError::Twice(name));
        }
        if target.columns().column_with_name(&name).is_none() {
            let ours = Column::from_name(&name).or((name == "_error").then_some(Column::Error));
            return Err(match ours.and_then(Column::name) {
                Some(column) => InsertError::ReadOnly(column),
                None => unknown(target, &name),
            });
        }
        columns.push(name);
    }
    Ok(columns)
}

fn unknown(target: &InsertTarget, column: &str) -> InsertError {
    let names = target
        .columns()
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    InsertError::NoColumn {
        column: column.to_owned(),
        topic: target.topic.to_string(),
        nearest: nearest(column, names).map(str::to_owned),
    }
}

/// Makes a row of VALUES fit: DEFAULT is what NULL is, and text in place of headers or bytes is read. (A cast of the engine
/// would take the characters of `\x00` for the bytes.)
fn fit(target: &InsertTarget, row: &mut [Expr], columns: &[String]) -> Result<(), InsertError> {
    if row.len() != columns.len() {
        return Err(InsertError::Width {
            values: row.len(),
            columns: columns.len(),
        });
    }
    for (value, column) in row.iter_mut().zip(columns) {
        match value {
            Expr::Identifier(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
            {
                *value = Expr::Value(Value::Null.into());
            }
            Expr::Value(literal)
                if *column == HEADERS
                    && matches!(
                        literal.value,
                        Value::SingleQuotedString(_) | Value::Placeholder(_)
                    ) =>
            {
                *value = headers_of(value.clone());
            }
            Expr::Value(literal) if target.is_bytes(column) => {
                if let Value::SingleQuotedString(text) = &literal.value {
                    let digits = hexadecimal_of(text).ok_or_else(|| InsertError::Bytes {
                        column: column.clone(),
                    })?;
                    literal.value = Value::HexStringLiteral(digits);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The digits of bytes that are written as PostgreSQL reads `bytea`.
fn hexadecimal_of(text: &str) -> Option<String> {
    let written = hexadecimal(&crate::postgres::bytea(text)?);
    written.strip_prefix("\\x").map(str::to_owned)
}

fn headers_of(text: Expr) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(HEADERS_FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(text))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
