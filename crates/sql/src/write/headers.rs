//! Headers written as JSON, the form in which COPY TO and results show them: `[{"key":"k","value":"v"}]`, or shorter `{"k":"v"}`
//! where no key comes twice.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringViewBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use serde_json::Value;

use super::records::RowError;
use crate::columns::{Form, HEADER_KEY, HEADER_VALUE, header_fields};

/// The function that text in place of headers is given to.
pub(crate) const HEADERS_FUNCTION: &str = "headers_of_json";

/// Headers as they are read in JSON.
type Headers = Vec<(String, Option<String>)>;

fn list_type() -> DataType {
    let header = DataType::Struct(header_fields(Form::Text));
    DataType::List(Arc::new(Field::new_list_field(header, false)))
}

/// The function of this name.
pub(crate) fn headers_function() -> ScalarUDF {
    let implementation = |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let Some(texts) = arrays.first() else {
            return Err(DataFusionError::Internal("no argument".to_owned()));
        };
        Ok(ColumnarValue::Array(array_of_json(texts)?))
    };
    create_udf(
        HEADERS_FUNCTION,
        vec![DataType::Utf8],
        list_type(),
        Volatility::Immutable,
        Arc::new(implementation),
    )
}

/// Lists of headers, of texts that are JSON.
pub(crate) fn array_of_json(texts: &ArrayRef) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8View)?;
    let texts = texts.as_string_view();
    let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
    let mut lengths = Vec::with_capacity(texts.len());
    for text in texts {
        let headers = text.map_or_else(|| Ok(Vec::new()), headers_of)?;
        lengths.push(headers.len());
        for (key, value) in headers {
            keys.append_value(key);
            values.append_option(value);
        }
    }
    let headers = StructArray::try_new(
        header_fields(Form::Text),
        vec![Arc::new(keys.finish()), Arc::new(values.finish())],
        None,
    )?;
    let DataType::List(item) = list_type() else {
        return Err(DataFusionError::Internal("headers are a list".to_owned()));
    };
    let nulls = texts.nulls().cloned();
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item, offsets, Arc::new(headers), nulls)?;
    Ok(Arc::new(list))
}

fn headers_of(text: &str) -> Result<Headers, RowError> {
    let invalid = || RowError::Headers {
        text: text.chars().take(100).collect(),
    };
    let value = |value: &Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(invalid()),
    };
    match serde_json::from_str(text).map_err(|_no_json| invalid())? {
        Value::Object(headers) => headers
            .iter()
            .map(|(key, header)| Ok((key.clone(), value(header)?)))
            .collect(),
        Value::Array(headers) => headers
            .iter()
            .map(|header| {
                let fields = header.as_object().ok_or_else(invalid)?;
                let is_known = |name: &String| name == HEADER_KEY || name == HEADER_VALUE;
                let key = fields.get(HEADER_KEY).and_then(Value::as_str);
                let key = key.filter(|_| fields.keys().all(is_known));
                let header = fields.get(HEADER_VALUE).unwrap_or(&Value::Null);
                Ok((key.ok_or_else(invalid)?.to_owned(), value(header)?))
            })
            .collect(),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_both_forms_and_nothing_else_is() {
        let headers = |text| headers_of(text).ok();
        let ab = Some(vec![
            ("a".to_owned(), Some("1".to_owned())),
            ("b".to_owned(), None),
        ]);
        assert_eq!(
            headers(r#"[{"key":"a","value":"1"},{"key":"b","value":null}]"#),
            ab
        );
        assert_eq!(headers(r#"[{"key":"a","value":"1"},{"key":"b"}]"#), ab);
        assert_eq!(headers(r#"{"a":"1","b":null}"#), ab);
        assert_eq!(headers("[]"), Some(Vec::new()));
        for wrong in [
            "",
            "a",
            "1",
            r#"[1]"#,
            r#"[{"value":"1"}]"#,
            r#"{"a":1}"#,
            r#"[{"key":"a","v":"1"}]"#,
        ] {
            assert_eq!(headers(wrong), None, "{wrong}");
        }
    }
}
