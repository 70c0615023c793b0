//! `x SIMILAR TO p` is `x ~ similar_to_escape(p, escape)`.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Value, ValueWithSpan,
};

use super::take;
use crate::similar::SIMILAR_TO_ESCAPE;

pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::SimilarTo {
        negated,
        expr: text,
        pattern,
        escape_char,
    } = expr
    else {
        return;
    };
    let escape = escape_char.take().map_or_else(
        || Value::SingleQuotedString("\\".to_owned()),
        |escape: ValueWithSpan| escape.value,
    );
    let arguments = [take(pattern), Expr::Value(escape.into())];
    let arguments = arguments.map(|of| FunctionArg::Unnamed(FunctionArgExpr::Expr(of)));
    let pattern = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(SIMILAR_TO_ESCAPE)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.to_vec(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    let op = if *negated {
        BinaryOperator::PGRegexNotMatch
    } else {
        BinaryOperator::PGRegexMatch
    };
    *expr = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(take(text)))),
        op,
        right: Box::new(pattern),
    }));
}
