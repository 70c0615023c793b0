//! [`Postgres`]: PostgreSQL's dialect, as statements are read here.
//!
//! It is the parser's own but for one thing: there the name of an argument (`f(name => value)`) may be any expression, for which the
//! parser reads each argument twice, so calls that stand in each other cost twice as much with each level. Here it is a name.

use std::any::TypeId;

use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// PostgreSQL's dialect.
#[derive(Debug)]
pub(crate) struct Postgres;

const ITS_OWN: PostgreSqlDialect = PostgreSqlDialect {};

/// Says what PostgreSQL's dialect of the parser says.
macro_rules! as_its_own {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            ITS_OWN.$name()
        })*
    };
}

impl Dialect for Postgres {
    // The parser asks here and there whether it is PostgreSQL's.
    fn dialect(&self) -> TypeId {
        ITS_OWN.dialect()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        ITS_OWN.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        ITS_OWN.is_delimited_identifier_start(character)
    }

    fn is_identifier_start(&self, character: char) -> bool {
        ITS_OWN.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        ITS_OWN.is_identifier_part(character)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        ITS_OWN.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        ITS_OWN.is_custom_operator_part(character)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        ITS_OWN.get_next_precedence(parser)
    }

    fn prec_value(&self, of: Precedence) -> u8 {
        ITS_OWN.prec_value(of)
    }

    as_its_own! {
        supports_unicode_string_literal
        supports_filter_during_aggregation
        supports_group_by_expr
        allow_extract_custom
        allow_extract_single_quotes
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_listen_notify
        supports_factorial_operator
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_colon_operator
        supports_empty_projections
        supports_nested_comments
        supports_string_escape_constant
        supports_numeric_literal_underscores
        supports_array_typedef_with_brackets
        supports_geometric_types
        supports_set_names
        supports_alter_column_type_using
        supports_notnull_operator
        supports_interval_options
        supports_insert_table_alias
        supports_create_table_like_parenthesized
        supports_select_wildcard_with_alias
        supports_comma_separated_trim
        supports_xml_expressions
        supports_comment_optimizer_hint
    }
}
