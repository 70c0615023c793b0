//! CREATE TABLE and DROP TABLE: topics with their settings, and columns as their contract.
//!
//! Invariant: whatever a statement says is either done or refused by its name; nothing of it is passed over.

use std::collections::BTreeMap;

use contract::{Column as Declared, Contract, ContractError, Format};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, Ident, ObjectName, SqlOption,
    TableConstraint, UnaryOperator, Value,
};
use types::TopicName;

use super::NewTopic;
use super::insert::{InsertError, topic_name};
use crate::topics::is_internal;

/// How many partitions.
const PARTITIONS: &str = "partitions";
/// How values are written, by the word of a contract.
const FORMAT: &str = "format";
/// Of values in CSV: between fields, and in place of NULL.
const DELIMITER: &str = "delimiter";
const NULL: &str = "null";

/// What is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Topics are defined under their own names.
    #[error(transparent)]
    Name(#[from] InsertError),
    /// Topics do not have it.
    #[error("{0} is not supported: a topic has none")]
    Unsupported(String),
    /// A topic has no keys of a table.
    #[error("PRIMARY KEY is not supported: a contract does not say what the key of a record is")]
    PrimaryKey,
    /// No contract has such a type.
    #[error("column \"{column}\": {cause}")]
    Type {
        /// The column.
        column: String,
        /// What is wrong with its type.
        cause: contract::Cause,
    },
    /// The columns make no contract.
    #[error("{0}")]
    Contract(ContractError),
    /// A setting has a value that it cannot have.
    #[error("invalid value for \"{name}\": {value}")]
    Setting {
        /// The setting.
        name: String,
        /// Its value, as it is written.
        value: String,
    },
    /// A setting without the columns that it is about.
    #[error("\"{0}\" is about the columns of a topic, and there are none")]
    NoColumns(&'static str),
    /// A format that says more than columns do.
    #[error("format {0} cannot be declared by columns")]
    Format(String),
}

impl DefinitionError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name(error) => error.hint(),
            Self::Unsupported(_) => Some(
                "A topic is CREATE TABLE name (column type [NOT NULL], ...) WITH (partitions = 3, format = 'json', \"cleanup.policy\" = 'delete').".to_owned(),
            ),
            Self::PrimaryKey => Some(
                "Write the key of each record into _key; WITH (\"cleanup.policy\" = 'compact') keeps the newest record of each.".to_owned(),
            ),
            Self::Type { .. } | Self::Contract(_) => None,
            Self::Setting { name, .. } if name == PARTITIONS => Some("It is a number from 1 on.".to_owned()),
            Self::Setting { .. } => Some("It is a number, a word or a string.".to_owned()),
            Self::NoColumns(_) => Some("Name the columns: CREATE TABLE name (column type, ...).".to_owned()),
            Self::Format(_) => Some(
                "Columns are for json, ndjson and csv; for others `watertable topic contract set` takes the schema.".to_owned(),
            ),
        }
    }
}

impl From<DefinitionError> for DataFusionError {
    fn from(error: DefinitionError) -> Self {
        Self::External(Box::new(error))
    }
}

/// What CREATE TABLE is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) topic: NewTopic,
    pub(crate) if_not_exists: bool,
}

/// What a statement defines.
pub(crate) fn create(statement: &CreateTable) -> Result<Definition, DefinitionError> {
    refuse_rest(statement)?;
    let (mut columns, mut settings) = (Vec::new(), settings(&statement.table_options)?);
    for column in &statement.columns {
        columns.push(declared(column)?);
    }
    let partitions = match settings.remove(PARTITIONS) {
        None => None,
        Some(text) => Some(positive(&text).ok_or(DefinitionError::Setting {
            name: PARTITIONS.to_owned(),
            value: text,
        })?),
    };
    if let Some(contract) = contract(columns, &mut settings)? {
        settings.insert(contract::SETTING.to_owned(), contract.to_string());
    }
    Ok(Definition {
        topic: NewTopic {
            name: own_name(&statement.name)?,
            partitions,
            settings,
        },
        if_not_exists: statement.if_not_exists,
    })
}

/// The topics that DROP TABLE names.
pub(crate) fn dropped(names: &[ObjectName]) -> Result<Vec<TopicName>, DefinitionError> {
    names.iter().map(own_name).collect()
}

/// A topic that is not the broker's own.
fn own_name(name: &ObjectName) -> Result<TopicName, DefinitionError> {
    let name = topic_name(name)?;
    if is_internal(&name) {
        return Err(InsertError::Internal(name).into());
    }
    Ok(TopicName::new(&name))
}

/// A statement of no more than what is read here.
fn refuse_rest(statement: &CreateTable) -> Result<(), DefinitionError> {
    let plain = CreateTableBuilder::new(statement.name.clone())
        .columns(statement.columns.clone())
        .table_options(statement.table_options.clone())
        .if_not_exists(statement.if_not_exists)
        // What the parser puts there by itself.
        .hive_distribution(statement.hive_distribution.clone())
        .hive_formats(statement.hive_formats.clone())
        .build();
    if statement.query.is_some() {
        return Err(DefinitionError::Unsupported("CREATE TABLE AS".to_owned()));
    }
    if statement.temporary {
        return Err(DefinitionError::Unsupported("TEMPORARY".to_owned()));
    }
    if let Some(constraint) = statement.constraints.first() {
        return Err(match constraint {
            TableConstraint::PrimaryKey(_) => DefinitionError::PrimaryKey,
            other => DefinitionError::Unsupported(other.to_string()),
        });
    }
    if plain.to_string() != statement.to_string() {
        return Err(DefinitionError::Unsupported(
            "this form of CREATE TABLE".to_owned(),
        ));
    }
    Ok(())
}

fn declared(column: &ColumnDef) -> Result<Declared, DefinitionError> {
    let name = folded(&column.name);
    let data_type = column.data_type.to_string().parse();
    let mut declared = Declared::new(
        name.clone(),
        data_type.map_err(|cause| DefinitionError::Type {
            column: name,
            cause,
        })?,
    );
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => declared = declared.not_null(),
            ColumnOption::PrimaryKey(_) => return Err(DefinitionError::PrimaryKey),
            other => return Err(DefinitionError::Unsupported(other.to_string())),
        }
    }
    Ok(declared)
}

/// The contract that columns make, and what `settings` say of it.
fn contract(
    columns: Vec<Declared>,
    settings: &mut BTreeMap<String, String>,
) -> Result<Option<Contract>, DefinitionError> {
    let mut take = |name| settings.remove(name);
    let (format, delimiter, null) = (take(FORMAT), take(DELIMITER), take(NULL));
    if columns.is_empty() {
        let about = [(FORMAT, &format), (DELIMITER, &delimiter), (NULL, &null)];
        return match about.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(DefinitionError::NoColumns(name)),
            None => Ok(None),
        };
    }
    if settings.contains_key(contract::SETTING) {
        return Err(DefinitionError::Unsupported(format!(
            "{} beside columns",
            contract::SETTING
        )));
    }
    let format = match format.as_deref().unwrap_or(Format::Json.name()) {
        "json" => Format::Json,
        "ndjson" => Format::NdJson,
        "csv" => return csv(columns, delimiter, null).map(Some),
        other => return Err(DefinitionError::Format(other.to_owned())),
    };
    for (name, value) in [(DELIMITER, delimiter), (NULL, null)] {
        if value.is_some() {
            return Err(DefinitionError::Unsupported(format!(
                "{name} without format = 'csv'"
            )));
        }
    }
    Contract::new(format, columns)
        .map(Some)
        .map_err(DefinitionError::Contract)
}

fn csv(
    columns: Vec<Declared>,
    delimiter: Option<String>,
    null: Option<String>,
) -> Result<Contract, DefinitionError> {
    let delimiter = match delimiter.as_deref().map(str::as_bytes) {
        None => b',',
        Some([byte]) => *byte,
        Some(_) => {
            return Err(DefinitionError::Setting {
                name: DELIMITER.to_owned(),
                value: delimiter.unwrap_or_default(),
            });
        }
    };
    let format = Format::Csv {
        delimiter,
        null: null.unwrap_or_default(),
    };
    Contract::new(format, columns).map_err(DefinitionError::Contract)
}

/// `WITH (name = value, ...)`. Kafka's names have dots and no underscores, so `cleanup_policy` is `"cleanup.policy"`.
fn settings(options: &CreateTableOptions) -> Result<BTreeMap<String, String>, DefinitionError> {
    let options = match options {
        CreateTableOptions::None => return Ok(BTreeMap::new()),
        CreateTableOptions::With(options) => options,
        other => return Err(DefinitionError::Unsupported(other.to_string())),
    };
    let mut settings = BTreeMap::new();
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(DefinitionError::Unsupported(option.to_string()));
        };
        let name = match key.quote_style {
            Some(_) => key.value.clone(),
            None => folded(key).replace('_', "."),
        };
        let text = text(value).ok_or_else(|| DefinitionError::Setting {
            name: name.clone(),
            value: value.to_string(),
        })?;
        if settings.insert(name.clone(), text).is_some() {
            return Err(DefinitionError::Unsupported(format!("\"{name}\" twice")));
        }
    }
    Ok(settings)
}

/// A number, a word or a string.
fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.clone()),
            Value::Boolean(is_so) => Some(is_so.to_string()),
            other => other.clone().into_string(),
        },
        Expr::Identifier(word) => Some(folded(word)),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => text(expr).map(|number| format!("-{number}")),
        _ => None,
    }
}

fn positive(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| *number > 0)
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn defined(sql: &str) -> Result<Definition, DefinitionError> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        match statements.pop() {
            Some(Statement::CreateTable(statement)) => create(&statement),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[track_caller]
    fn check(sql: &str, partitions: Option<i32>, settings: &[(&str, &str)]) {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let definition = defined(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(definition.topic.partitions, partitions, "{sql}");
        assert_eq!(definition.topic.settings, settings.collect(), "{sql}");
    }

    #[test]
    fn a_table_without_columns_is_a_topic_without_contract() {
        check("CREATE TABLE t ()", None, &[]);
        check("CREATE TABLE public.t", None, &[]);
        check(
            "CREATE TABLE IF NOT EXISTS t WITH (partitions = 3)",
            Some(3),
            &[],
        );
        check(
            "CREATE TABLE t WITH (\"cleanup.policy\" = 'compact', retention_ms = -1, preallocate = false)",
            None,
            &[
                ("cleanup.policy", "compact"),
                ("preallocate", "false"),
                ("retention.ms", "-1"),
            ],
        );
        assert_eq!(
            defined("CREATE TABLE \"Page-Views\"").unwrap().topic.name,
            TopicName::new("Page-Views")
        );
    }

    #[test]
    fn columns_are_a_contract() {
        check(
            "CREATE TABLE t (Id BIGINT NOT NULL, \"At\" timestamp with time zone, price numeric(10, 2), note varchar NULL)",
            None,
            &[(
                contract::SETTING,
                r#"{"format":"json","columns":[{"name":"id","type":"bigint","nullable":false},{"name":"At","type":"timestamptz"},{"name":"price","type":"decimal(10,2)"},{"name":"note","type":"text"}]}"#,
            )],
        );
        check(
            "CREATE TABLE t (a int, b double precision) WITH (format = csv, delimiter = ';', null = 'NA')",
            None,
            &[(
                contract::SETTING,
                r#"{"format":"csv","delimiter":";","null":"NA","columns":[{"name":"a","type":"int"},{"name":"b","type":"double"}]}"#,
            )],
        );
    }

    #[test]
    fn what_a_topic_does_not_have_is_refused_by_its_name() {
        for (sql, expected) in [
            (
                "CREATE TABLE t (a int PRIMARY KEY)",
                "PRIMARY KEY is not supported",
            ),
            (
                "CREATE TABLE t (a int, PRIMARY KEY (a))",
                "PRIMARY KEY is not supported",
            ),
            (
                "CREATE TABLE t (a int DEFAULT 1)",
                "DEFAULT 1 is not supported",
            ),
            ("CREATE TABLE t (a int UNIQUE)", "UNIQUE is not supported"),
            (
                "CREATE TABLE t (a int, CHECK (a > 1))",
                "CHECK (a > 1) is not supported",
            ),
            ("CREATE TABLE t (a int REFERENCES u (a))", "REFERENCES u"),
            (
                "CREATE TEMPORARY TABLE t (a int)",
                "TEMPORARY is not supported",
            ),
            ("CREATE TABLE t (LIKE u)", "is not supported"),
            ("CREATE TABLE t (a int) INHERITS (u)", "is not supported"),
            ("CREATE TABLE t PARTITION OF u DEFAULT", "is not supported"),
            (
                "CREATE TABLE t AS SELECT 1 AS a",
                "CREATE TABLE AS is not supported",
            ),
            (
                "CREATE TABLE t (a integr)",
                "column \"a\": unknown type \"integr\"; did you mean integer?",
            ),
            ("CREATE TABLE t (a uuid)", "column \"a\": unknown type"),
            ("CREATE TABLE t (_key text)", "_key"),
            ("CREATE TABLE t (a int, a int)", "a"),
            (
                "CREATE TABLE t WITH (format = 'json')",
                "\"format\" is about the columns",
            ),
            (
                "CREATE TABLE t (a int) WITH (format = 'avro')",
                "format avro cannot be declared",
            ),
            (
                "CREATE TABLE t (a int) WITH (delimiter = ';')",
                "delimiter without format",
            ),
            (
                "CREATE TABLE t WITH (partitions = 0)",
                "invalid value for \"partitions\": 0",
            ),
            (
                "CREATE TABLE t WITH (partitions = 'many')",
                "invalid value for \"partitions\": many",
            ),
            (
                "CREATE TABLE t WITH (retention_ms = 1 + 1)",
                "invalid value for \"retention.ms\": 1 + 1",
            ),
            ("CREATE TABLE t WITH (a = 1, \"a\" = 2)", "\"a\" twice"),
            ("CREATE TABLE pg_catalog.t (a int)", "it is no topic"),
            ("CREATE TABLE __t (a int)", "belongs to the broker"),
        ] {
            let refused = defined(sql).expect_err(sql).to_string();
            assert!(refused.contains(expected), "{sql}: {refused}");
        }
    }
}
