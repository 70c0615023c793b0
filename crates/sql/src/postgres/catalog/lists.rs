//! Functions about arrays, whose items are numbered from 1.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::super::error::{PgError, state};
use super::functions::{Answer, Call};
use super::lookups;

/// The number of items; none if it is NULL, empty, or asked for another dimension than the first.
fn length(call: &Call<'_>) -> Option<i64> {
    let list = match call.args.first()? {
        ScalarValue::List(list) if !list.is_empty() && !list.is_null(0) => list.value(0),
        _ => return None,
    };
    let length = i64::try_from(list.len()).ok()?;
    (length > 0 && call.number(1) == Some(1)).then_some(length)
}

pub(super) fn upper(call: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int64(length(call)))
}

pub(super) fn lower(call: &Call<'_>) -> Answer {
    Ok(ScalarValue::Int64(length(call).map(|_length| 1)))
}

/// Whether what is not in quotes is words, with dots between them.
fn is_strict(text: &str) -> bool {
    let is_word = |word: &str| {
        let word = word.trim();
        !word.starts_with(|first: char| first.is_ascii_digit())
            && word
                .chars()
                .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '$'))
    };
    let mut outside = text.split('"').step_by(2);
    outside.all(|piece| piece.split('.').all(is_word))
}

/// The parts of a name as SQL reads them.
pub(super) fn parse_ident(call: &Call<'_>) -> Answer {
    let Some(text) = call.text(0) else {
        return Ok(ScalarValue::try_from(DataType::new_list(
            DataType::Utf8,
            true,
        ))?);
    };
    let parts = lookups::identifier_parts(text);
    let parts = parts.filter(|parts| is_strict(text) && parts.iter().all(|part| !part.is_empty()));
    let Some(parts) = parts else {
        return Err(PgError::new(
            state::INVALID_PARAMETER_VALUE,
            format!("string is not a valid identifier: \"{text}\""),
        ));
    };
    let parts: Vec<ScalarValue> = parts.into_iter().map(ScalarValue::from).collect();
    Ok(ScalarValue::List(ScalarValue::new_list(
        &parts,
        &DataType::Utf8,
        true,
    )))
}
