//! `similar_to_escape(pattern, escape)`: a pattern of SIMILAR TO as a regular expression, as PostgreSQL has it.
//!
//! `x SIMILAR TO p` is read as `x ~ similar_to_escape(p, '\')`: the engine's own takes the pattern for a regular expression as it is.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// Its name.
pub(crate) const SIMILAR_TO_ESCAPE: &str = "similar_to_escape";

/// The function of this name.
pub(crate) fn similar_to_escape() -> ScalarUDF {
    let text = DataType::Utf8View;
    create_udf(
        SIMILAR_TO_ESCAPE,
        vec![text.clone(), text.clone()],
        text,
        Volatility::Immutable,
        Arc::new(evaluate),
    )
}

fn evaluate(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
    let is_constant = arguments.iter().all(is_constant);
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [patterns, escapes] = arrays.as_slice() else {
        return Err(exec_datafusion_err!(
            "{SIMILAR_TO_ESCAPE} takes two arguments"
        ));
    };
    let pairs = patterns.as_string_view().iter();
    let pairs = pairs.zip(escapes.as_string_view());
    let expressions = pairs.map(|(pattern, escape)| {
        let (Some(pattern), Some(escape)) = (pattern, escape) else {
            return Ok(None);
        };
        let mut characters = escape.chars();
        match (characters.next(), characters.next()) {
            (escape, None) => Ok(Some(regular_expression(pattern, escape))),
            _ => Err(exec_datafusion_err!(
                "invalid escape string: it must be empty or one character"
            )),
        }
    });
    let expressions: ArrayRef = Arc::new(expressions.collect::<Result<StringViewArray>>()?);
    if is_constant {
        let value = ScalarValue::try_from_array(&expressions, 0)?;
        return Ok(ColumnarValue::Scalar(value));
    }
    Ok(ColumnarValue::Array(expressions))
}

/// What matches the same texts, from their begin to their end: `%` is any text and `_` any character, what regular expressions know
/// beside `|`, `*`, `+`, `?`, `{}`, `()` and `[]` is itself, and so is what stands behind the escape character.
fn regular_expression(pattern: &str, escape: Option<char>) -> String {
    let mut made = String::from("^(?s:");
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let itself = characters.next().unwrap_or(character);
            made.push_str(&escaped(itself));
            continue;
        }
        match character {
            ']' if in_class => {
                in_class = false;
                made.push(']');
            }
            // These mean something to the engine's regular expressions in a class, and nothing here.
            '[' | '&' | '~' | '\\' if in_class => made.push_str(&escaped(character)),
            _ if in_class => made.push(character),
            '[' => {
                in_class = true;
                made.push('[');
                let rest = characters.as_str();
                let negation = usize::from(rest.starts_with('^'));
                // At the begin of a class it is one of its characters.
                let is_bracket = rest.get(negation..).is_some_and(|of| of.starts_with(']'));
                if negation > 0 {
                    characters.next();
                    made.push('^');
                }
                if is_bracket {
                    characters.next();
                    made.push_str("\\]");
                }
            }
            '%' => made.push_str(".*"),
            '_' => made.push('.'),
            '(' => made.push_str("(?:"),
            '.' | '^' | '$' | '\\' => made.push_str(&escaped(character)),
            other => made.push(other),
        }
    }
    made.push_str(")$");
    made
}

fn escaped(character: char) -> String {
    if character.is_ascii_punctuation() {
        format!("\\{character}")
    } else {
        character.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_postgresql() {
        for (pattern, escape, expected) in [
            ("%(b|d)%", Some('\\'), r"^(?s:.*(?:b|d).*)$"),
            ("a_c+", Some('\\'), r"^(?s:a.c+)$"),
            (r"100\%", Some('\\'), r"^(?s:100\%)$"),
            ("1.5^$", Some('\\'), r"^(?s:1\.5\^\$)$"),
            ("[^%_a-z]{2}", Some('\\'), r"^(?s:[^%_a-z]{2})$"),
            ("[]a]", Some('\\'), r"^(?s:[\]a])$"),
            ("a#%b", Some('#'), r"^(?s:a\%b)$"),
            (r"a\d", None, r"^(?s:a\\d)$"),
            (r"a\d", Some('\\'), r"^(?s:ad)$"),
        ] {
            assert_eq!(regular_expression(pattern, escape), expected, "{pattern}");
        }
    }
}
