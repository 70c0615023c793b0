//! Times that are written without seconds, as `2019-05-21 18:33`: PostgreSQL reads them, Arrow's casts want seconds.
//!
//! Where text is cast to a timestamp it goes through a function that writes the seconds. All other text stays as it is, for the cast
//! to read or to refuse.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable as _, ScalarUDF, Volatility, create_udf,
};

const FUNCTION: &str = "text_with_seconds";

/// Puts the function between text and a cast of it to a timestamp.
#[derive(Debug)]
pub(crate) struct TimesWithoutSeconds(Arc<ScalarUDF>);

impl TimesWithoutSeconds {
    pub(crate) fn new() -> Self {
        let text = DataType::Utf8View;
        Self(Arc::new(create_udf(
            FUNCTION,
            vec![text.clone()],
            text,
            Volatility::Immutable,
            Arc::new(evaluate),
        )))
    }

    fn read(&self, text: Box<Expr>, schema: &DFSchema) -> Transformed<Box<Expr>> {
        let is_text = matches!(
            text.get_type(schema),
            Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        );
        let is_read =
            matches!(text.as_ref(), Expr::ScalarFunction(function) if function.name() == FUNCTION);
        if !is_text || is_read {
            return Transformed::no(text);
        }
        let text = Expr::Cast(Cast::new(text, DataType::Utf8View));
        Transformed::yes(Box::new(self.0.call(vec![text])))
    }
}

impl FunctionRewrite for TimesWithoutSeconds {
    fn name(&self) -> &str {
        "times_without_seconds"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _config: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let is_time = |of: &DataType| matches!(of, DataType::Timestamp(..));
        Ok(match expr {
            Expr::Cast(Cast { expr, field }) if is_time(field.data_type()) => self
                .read(expr, schema)
                .update_data(|expr| Expr::Cast(Cast { expr, field })),
            Expr::TryCast(TryCast { expr, field }) if is_time(field.data_type()) => self
                .read(expr, schema)
                .update_data(|expr| Expr::TryCast(TryCast { expr, field })),
            other => Transformed::no(other),
        })
    }
}

fn evaluate(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let Some(texts) = arrays.first() else {
        return Err(exec_datafusion_err!("{FUNCTION} takes one argument"));
    };
    let texts = cast(texts, &DataType::Utf8View)?;
    let each = || texts.as_string_view().iter();
    let are_all_as_they_are = each()
        .flatten()
        .all(|text| matches!(with_seconds(text), Cow::Borrowed(_)));
    if are_all_as_they_are {
        return Ok(ColumnarValue::Array(texts));
    }
    let written: StringViewArray = each().map(|text| text.map(with_seconds)).collect();
    let written: ArrayRef = Arc::new(written);
    debug_assert_eq!(written.len(), texts.len());
    Ok(ColumnarValue::Array(written))
}

/// `2019-05-21 18:33` with `:00` behind it, and what stands behind that, which is a time zone or nothing.
fn with_seconds(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_ascii();
    let Some((day, time)) = trimmed.split_once(['T', 't', ' ']) else {
        return Cow::Borrowed(text);
    };
    let minutes = time.as_bytes().get(..5);
    let are_minutes = minutes.is_some_and(|minutes| {
        let mut places = minutes.iter().enumerate();
        places.all(|(place, byte)| match place {
            2 => *byte == b':',
            _ => byte.is_ascii_digit(),
        })
    });
    let zone = time.get(5..).unwrap_or_default();
    let is_zone = zone.is_empty() || zone.trim_start().starts_with(['Z', 'z', '+', '-']);
    if !are_minutes || !is_zone {
        return Cow::Borrowed(text);
    }
    let minutes = time.get(..5).unwrap_or_default();
    Cow::Owned(format!("{day}T{minutes}:00{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_where_only_they_are_missing() {
        for (text, expected) in [
            ("2019-05-21 18:33", "2019-05-21T18:33:00"),
            (" 2019-05-21T18:33 ", "2019-05-21T18:33:00"),
            ("2019-05-21 18:33+02:00", "2019-05-21T18:33:00+02:00"),
            ("2019-05-21 18:33Z", "2019-05-21T18:33:00Z"),
            ("2019-05-21 18:33:05", "2019-05-21 18:33:05"),
            ("2019-05-21 18:33 o'clock", "2019-05-21 18:33 o'clock"),
            ("2019-05-21", "2019-05-21"),
            ("2019-05-21 1é:33", "2019-05-21 1é:33"),
            ("soon", "soon"),
            ("", ""),
        ] {
            assert_eq!(with_seconds(text), expected, "{text}");
        }
    }
}
