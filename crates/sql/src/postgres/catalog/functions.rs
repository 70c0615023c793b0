//! PostgreSQL's functions about the session, relations, types and privileges.
//!
//! Invariant: each answers for this server. What does not exist here (comments of topics, defaults, sizes of tables) is NULL.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::prelude::{Expr, SessionContext};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use super::super::error::{PgError, state};
use super::super::settings::{self, ENGINE_PREFIX, SERVER_VERSION};
use super::super::types::TYPE_KEY;
use super::lookups::Relations;
use super::privileges::{may, may_in_schema, may_with_table};
use super::{Identity, NAME, Source, format, lists, lookups};
use crate::sys;

/// What a call is answered from.
pub(super) struct Call<'a> {
    pub(super) args: &'a [ScalarValue],
    source: &'a Source,
    pub(super) relations: &'a Relations<'a>,
    pub(super) identity: &'a Identity,
    /// Where unqualified names are looked for.
    pub(super) schema: &'a str,
}

impl Call<'_> {
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.args
            .get(index)
            .and_then(|arg| arg.try_as_str().flatten())
    }

    pub(super) fn number(&self, index: usize) -> Option<i64> {
        let arg = self.args.get(index)?.cast_to(&DataType::Int64).ok()?;
        match arg {
            ScalarValue::Int64(number) => number,
            _ => None,
        }
    }
}

pub(super) type Answer = Result<ScalarValue, PgError>;
type Body = fn(&Call<'_>) -> Answer;

fn some(text: impl Into<String>) -> Answer {
    Ok(ScalarValue::Utf8(Some(text.into())))
}

pub(super) fn maybe(text: Option<String>) -> Answer {
    Ok(ScalarValue::Utf8(text))
}

fn no_text(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::Utf8(None))
}

fn no_number(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int64(None))
}

fn zero(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int64(Some(0)))
}

fn yes(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::Boolean(Some(true)))
}

fn no(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::Boolean(Some(false)))
}

fn user(call: &Call<'_>) -> Answer {
    some(call.identity.settings.lock().user())
}

fn database(call: &Call<'_>) -> Answer {
    some(call.source.name.as_str())
}

fn current_schema(call: &Call<'_>) -> Answer {
    some(call.schema)
}

fn current_schemas(call: &Call<'_>) -> Answer {
    let with_implicit = matches!(call.args.first(), Some(ScalarValue::Boolean(Some(true))));
    let schemas = with_implicit
        .then_some(NAME)
        .into_iter()
        .chain([call.schema]);
    let schemas: Vec<ScalarValue> = schemas.map(ScalarValue::from).collect();
    Ok(ScalarValue::List(ScalarValue::new_list(
        &schemas,
        &DataType::Utf8,
        true,
    )))
}

fn version(_: &Call<'_>) -> Answer {
    some(format!("PostgreSQL {SERVER_VERSION}"))
}

fn backend_pid(call: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int32(Some(call.identity.process)))
}

/// Ends what another session runs. There is one role, and it may.
fn cancel_backend(call: &Call<'_>) -> Answer {
    let process = call.number(0).and_then(|number| i32::try_from(number).ok());
    let is_there = process.is_some_and(|process| call.identity.activity.cancel_backend(process));
    Ok(ScalarValue::Boolean(Some(is_there)))
}

fn terminate_backend(call: &Call<'_>) -> Answer {
    let process = call.number(0).and_then(|number| i32::try_from(number).ok());
    let is_there = process.is_some_and(|process| call.identity.activity.terminate_backend(process));
    Ok(ScalarValue::Boolean(Some(is_there)))
}

/// The tables of `sys` have comments.
fn comment(call: &Call<'_>, column: Option<usize>) -> Answer {
    let relation = call.number(0).and_then(|oid| call.relations.by_oid(oid));
    let relation = relation.filter(|relation| relation.schema == sys::SYS);
    let comment = relation.and_then(|relation| sys::comment(&relation.name, column));
    maybe(comment.map(str::to_owned))
}

fn col_description(call: &Call<'_>) -> Answer {
    let column = call
        .number(1)
        .and_then(|number| usize::try_from(number).ok());
    match column {
        Some(column) => comment(call, Some(column)),
        None => no_text(call),
    }
}

/// Of relations; of nothing else are there any.
fn obj_description(call: &Call<'_>) -> Answer {
    match call.text(1) {
        None | Some("pg_class") => comment(call, None),
        Some(_) => no_text(call),
    }
}

fn current_setting(call: &Call<'_>) -> Answer {
    let Some(name) = call.text(0) else {
        return Ok(ScalarValue::Utf8(None));
    };
    let value = call.identity.settings.lock().get(name).map(str::to_owned);
    let is_optional = matches!(call.args.get(1), Some(ScalarValue::Boolean(Some(true))));
    match value {
        None if !is_optional => Err(settings::unknown(name)),
        value => maybe(value),
    }
}

/// What a setting does to the engine is done before the next statement.
fn set_config(call: &Call<'_>) -> Answer {
    let (Some(name), Some(value)) = (call.text(0), call.text(1)) else {
        return Ok(ScalarValue::Utf8(None));
    };
    if matches!(call.args.get(2), Some(ScalarValue::Boolean(Some(true))))
        || name.to_ascii_lowercase().starts_with(ENGINE_PREFIX)
    {
        return Err(PgError::unsupported(
            "set_config cannot set this, or not for a transaction",
            "SET, or SET LOCAL",
        ));
    }
    let mut settings = call.identity.settings.lock();
    settings.set(name, Some(value))?;
    maybe(settings.get(name).map(str::to_owned))
}

fn format_type(call: &Call<'_>) -> Answer {
    maybe(
        call.number(0)
            .map(|oid| lookups::format_type(oid, call.number(1))),
    )
}

fn user_by_id(call: &Call<'_>) -> Answer {
    let user = call.identity.settings.lock().user().to_owned();
    maybe(call.number(0).map(|oid| lookups::role_name(&user, oid)))
}

fn is_visible(call: &Call<'_>) -> Answer {
    let relation = call.number(0).and_then(|oid| call.relations.by_oid(oid));
    let is_visible =
        relation.map(|relation| relation.schema == call.schema || relation.schema == NAME);
    Ok(ScalarValue::Boolean(is_visible))
}

fn to_regclass(call: &Call<'_>) -> Answer {
    let Some(text) = call.text(0) else {
        return Ok(ScalarValue::Int64(call.number(0)));
    };
    // A number in quotes is one.
    let number = text.parse().ok();
    let relation = || {
        call.relations
            .named(call.schema, text)
            .map(|relation| i64::from(relation.oid))
    };
    Ok(ScalarValue::Int64(number.or_else(relation)))
}

fn regclass_name(call: &Call<'_>) -> Answer {
    let Some(oid) = call.number(0) else {
        return maybe(call.text(0).map(str::to_owned));
    };
    let name = call.relations.written(call.schema, oid);
    some(name.unwrap_or_else(|| {
        if oid == 0 {
            "-".to_owned()
        } else {
            oid.to_string()
        }
    }))
}

fn namespace_name(call: &Call<'_>) -> Answer {
    maybe(
        call.number(0)
            .and_then(|oid| lookups::namespace_name(call.source, oid)),
    )
}

fn to_regtype(call: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int64(call.text(0).and_then(lookups::type_oid)))
}

/// The name of a function that a literal of type `regproc` has.
fn regproc_name(call: &Call<'_>) -> Answer {
    let name = call.text(0);
    maybe(name.map(|name| name.strip_prefix("pg_catalog.").unwrap_or(name).to_owned()))
}

/// Functions have no numbers, unless what is written is one.
fn regproc_oid(call: &Call<'_>) -> Answer {
    let Some(name) = call.text(0) else {
        return Ok(ScalarValue::Int64(None));
    };
    match name.parse() {
        Ok(oid) => Ok(ScalarValue::Int64(Some(oid))),
        Err(_) => Err(PgError::new(
            state::UNDEFINED_FUNCTION,
            format!("function \"{name}\" does not exist"),
        )),
    }
}

fn malformed_array(call: &Call<'_>) -> Answer {
    let text = call.text(0).unwrap_or_default();
    Err(PgError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("malformed array literal: \"{text}\""),
    )
    .with_hint("An array is written {item,item}, items with commas or braces in double quotes."))
}

fn encoding(call: &Call<'_>) -> Answer {
    some(if call.number(0) == Some(6) {
        "UTF8"
    } else {
        ""
    })
}

fn blank(_: &Call<'_>) -> Answer {
    some("")
}

fn client_encoding(_: &Call<'_>) -> Answer {
    some("UTF8")
}

fn quote_ident(call: &Call<'_>) -> Answer {
    maybe(call.text(0).map(lookups::quote_identifier))
}

fn quote_literal(call: &Call<'_>) -> Answer {
    maybe(call.text(0).map(lookups::quote_literal))
}

fn size_pretty(call: &Call<'_>) -> Answer {
    let Some(bytes) = call.number(0) else {
        return Ok(ScalarValue::Utf8(None));
    };
    let mut value = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if value.abs() < 10 * 1024 {
            return some(format!("{value} {unit}"));
        }
        value = (value + 512) / 1024;
    }
    some(format!("{value} PB"))
}

const TEXT: DataType = DataType::Utf8;
const NUMBER: DataType = DataType::Int64;
const FLAG: DataType = DataType::Boolean;

/// Names, types of the answers, and who answers.
const FUNCTIONS: &[(&str, DataType, Body)] = &[
    ("array_lower", NUMBER, lists::lower),
    ("array_upper", NUMBER, lists::upper),
    ("col_description", TEXT, col_description),
    ("current_catalog", TEXT, database),
    ("current_database", TEXT, database),
    ("current_role", TEXT, user),
    ("current_schema", TEXT, current_schema),
    ("current_setting", TEXT, current_setting),
    ("current_user", TEXT, user),
    ("format", TEXT, format::format),
    ("format_type", TEXT, format_type),
    ("getdatabaseencoding", TEXT, client_encoding),
    ("has_any_column_privilege", FLAG, may_with_table),
    ("has_column_privilege", FLAG, may_with_table),
    ("has_database_privilege", FLAG, may),
    ("has_foreign_data_wrapper_privilege", FLAG, may),
    ("has_function_privilege", FLAG, may),
    ("has_language_privilege", FLAG, may),
    ("has_parameter_privilege", FLAG, may),
    ("has_schema_privilege", FLAG, may_in_schema),
    ("has_sequence_privilege", FLAG, may),
    ("has_server_privilege", FLAG, may),
    ("has_table_privilege", FLAG, may_with_table),
    ("has_tablespace_privilege", FLAG, may),
    ("has_type_privilege", FLAG, may),
    ("inet_client_addr", TEXT, no_text),
    ("inet_server_addr", TEXT, no_text),
    ("obj_description", TEXT, obj_description),
    ("pg_advisory_unlock_all", TEXT, blank),
    ("pg_backend_pid", DataType::Int32, backend_pid),
    ("pg_cancel_backend", FLAG, cancel_backend),
    ("pg_client_encoding", TEXT, client_encoding),
    ("pg_collation_is_visible", FLAG, yes),
    ("pg_conversion_is_visible", FLAG, yes),
    ("pg_database_size", NUMBER, no_number),
    ("pg_encoding_to_char", TEXT, encoding),
    ("pg_function_is_visible", FLAG, yes),
    ("pg_get_constraintdef", TEXT, no_text),
    ("pg_get_expr", TEXT, no_text),
    ("pg_get_function_arguments", TEXT, no_text),
    ("pg_get_function_identity_arguments", TEXT, no_text),
    ("pg_get_function_result", TEXT, no_text),
    ("pg_get_function_sqlbody", TEXT, no_text),
    ("pg_get_functiondef", TEXT, no_text),
    ("pg_get_indexdef", TEXT, no_text),
    ("pg_get_partkeydef", TEXT, no_text),
    ("pg_get_ruledef", TEXT, no_text),
    ("pg_get_serial_sequence", TEXT, no_text),
    ("pg_get_statisticsobjdef_columns", TEXT, no_text),
    ("pg_get_triggerdef", TEXT, no_text),
    ("pg_get_userbyid", TEXT, user_by_id),
    ("pg_get_viewdef", TEXT, no_text),
    ("pg_has_role", FLAG, may),
    ("pg_indexes_size", NUMBER, no_number),
    ("pg_is_in_recovery", FLAG, no),
    ("pg_is_other_temp_schema", FLAG, no),
    ("pg_malformed_array", TEXT, malformed_array),
    ("pg_my_temp_schema", NUMBER, zero),
    ("pg_namespace_name", TEXT, namespace_name),
    ("pg_opclass_is_visible", FLAG, yes),
    ("pg_operator_is_visible", FLAG, yes),
    ("pg_opfamily_is_visible", FLAG, yes),
    ("pg_regclass_name", TEXT, regclass_name),
    ("pg_regproc_name", TEXT, regproc_name),
    ("pg_regproc_oid", NUMBER, regproc_oid),
    ("pg_relation_is_publishable", FLAG, no),
    ("pg_relation_size", NUMBER, no_number),
    ("pg_size_pretty", TEXT, size_pretty),
    ("pg_stat_get_numscans", NUMBER, zero),
    ("pg_statistics_obj_is_visible", FLAG, yes),
    ("pg_table_is_visible", FLAG, is_visible),
    ("pg_table_size", NUMBER, no_number),
    ("pg_tablespace_location", TEXT, blank),
    ("pg_tablespace_size", NUMBER, no_number),
    ("pg_terminate_backend", FLAG, terminate_backend),
    ("pg_total_relation_size", NUMBER, no_number),
    ("pg_ts_config_is_visible", FLAG, yes),
    ("pg_ts_dict_is_visible", FLAG, yes),
    ("pg_ts_parser_is_visible", FLAG, yes),
    ("pg_ts_template_is_visible", FLAG, yes),
    ("pg_type_is_visible", FLAG, yes),
    ("quote_ident", TEXT, quote_ident),
    ("quote_literal", TEXT, quote_literal),
    ("session_user", TEXT, user),
    ("set_config", TEXT, set_config),
    ("shobj_description", TEXT, no_text),
    ("to_regclass", NUMBER, to_regclass),
    ("to_regtype", NUMBER, to_regtype),
    ("user", TEXT, user),
    ("version", TEXT, version),
];

/// What does something is not done while a statement is only planned.
fn volatility(name: &str) -> Volatility {
    if ["pg_cancel_backend", "pg_terminate_backend"].contains(&name) {
        Volatility::Volatile
    } else {
        Volatility::Stable
    }
}

/// Gives no array of numbers of the type `oid`.
const NO_OIDS: &str = "pg_no_oids";

fn no_oids(_: &Call<'_>) -> Answer {
    Ok(ScalarValue::try_from(DataType::new_list(NUMBER, true))?)
}

/// The function that gives rows.
const KEYWORDS: &str = "pg_get_keywords";

/// Whether it is a function that gives rows, of those that are added here.
pub(crate) fn is_table_function(name: &str) -> bool {
    name == KEYWORDS
}

/// Adds the functions to a session's context.
pub(super) fn register(context: &SessionContext, source: &Source, identity: &Identity) {
    context.register_udtf(KEYWORDS, Arc::new(Keywords));
    let texts = || DataType::new_list(TEXT, true);
    let lists = [
        ("current_schemas", texts(), current_schemas as Body),
        ("parse_ident", texts(), lists::parse_ident),
        (NO_OIDS, DataType::new_list(NUMBER, true), no_oids as Body),
    ];
    for (name, returns, body) in FUNCTIONS.iter().cloned().chain(lists) {
        context.register_udf(ScalarUDF::from(Function {
            name,
            returns,
            body,
            signature: Signature::one_of(
                vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
                volatility(name),
            ),
            source: source.clone(),
            identity: identity.clone(),
        }));
    }
}

/// The words of the dialect, each as if it were not reserved.
#[derive(Debug)]
struct Keywords;

impl TableFunctionImpl for Keywords {
    fn call(&self, _args: &[Expr]) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let words = ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase());
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
        let codes: ArrayRef = Arc::new(StringArray::from_iter_values(
            ALL_KEYWORDS.iter().map(|_| "U"),
        ));
        let batch = RecordBatch::try_from_iter([("word", words), ("catcode", codes)])?;
        Ok(Arc::new(MemTable::try_new(
            batch.schema(),
            vec![vec![batch]],
        )?))
    }
}

#[derive(Debug)]
struct Function {
    name: &'static str,
    returns: DataType,
    body: Body,
    signature: Signature,
    source: Source,
    identity: Identity,
}

/// Within a session the name says all.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.identity.process == other.identity.process
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.name.hash(hasher);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.returns.clone())
    }

    fn return_field_from_args(
        &self,
        _args: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        let mut field = Field::new(self.name, self.returns.clone(), true);
        if self.name == NO_OIDS {
            field.set_metadata(HashMap::from([(TYPE_KEY.to_owned(), "oid".to_owned())]));
        }
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let schema = args.config_options.catalog.default_schema.clone();
        let relations = Relations::new(&self.source);
        let answer = |args: &[ScalarValue]| {
            let call = Call {
                args,
                source: &self.source,
                relations: &relations,
                identity: &self.identity,
                schema: &schema,
            };
            (self.body)(&call).map_err(|error| DataFusionError::External(Box::new(error)))
        };
        let scalars: Option<Vec<ScalarValue>> = args.args.iter().map(as_scalar).collect();
        if let Some(scalars) = scalars {
            return Ok(ColumnarValue::Scalar(answer(&scalars)?));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut answers = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let scalars = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row));
            answers.push(answer(&scalars.collect::<Result<Vec<_>, _>>()?)?);
        }
        if answers.is_empty() {
            return Ok(ColumnarValue::Array(
                datafusion::arrow::array::new_empty_array(&self.returns),
            ));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(answers)?))
    }
}

fn as_scalar(value: &ColumnarValue) -> Option<ScalarValue> {
    match value {
        ColumnarValue::Scalar(scalar) => Some(scalar.clone()),
        ColumnarValue::Array(_) => None,
    }
}
