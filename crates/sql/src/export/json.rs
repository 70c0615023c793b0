//! The unions in which the JSON functions answer, as JSON text.

use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder};
use datafusion::arrow::array::{Array, AsArray, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion_functions_json::{JsonUnionEncoder, JsonUnionValue};

/// The values of a JSON union as text; `None` if it is another union.
pub(crate) fn texts_of_union(array: &dyn Array) -> Option<StringArray> {
    let union = JsonUnionEncoder::from_union(array.as_union().clone())?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..union.len() {
        match union.get_value(row) {
            JsonUnionValue::JsonNull => texts.append_null(),
            value => {
                text.clear();
                put(value, &mut text);
                texts.append_value(String::from_utf8_lossy(&text));
            }
        }
    }
    Some(texts.finish())
}

fn put(value: JsonUnionValue<'_>, output: &mut Vec<u8>) {
    match value {
        JsonUnionValue::JsonNull => output.extend_from_slice(b"null"),
        JsonUnionValue::Bool(value) => put_display(&value, output),
        JsonUnionValue::Int(value) => put_display(&value, output),
        JsonUnionValue::Float(value) => put_display(&serde_json::Value::from(value), output),
        JsonUnionValue::Str(value) => put_display(&serde_json::Value::from(value), output),
        JsonUnionValue::Array(value) | JsonUnionValue::Object(value) => {
            output.extend_from_slice(value.as_bytes())
        }
    }
}

fn put_display(value: &dyn std::fmt::Display, output: &mut Vec<u8>) {
    use std::io::Write as _;
    write!(output, "{value}").expect("writing to memory does not fail");
}

/// Writes JSON unions as what they are.
#[derive(Debug)]
pub(super) struct Unions;

impl EncoderFactory for Unions {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if !matches!(array.data_type(), DataType::Union(..)) {
            return Ok(None);
        }
        let union = JsonUnionEncoder::from_union(array.as_union().clone());
        Ok(union.map(|union| NullableEncoder::new(Box::new(Union(union)), None)))
    }
}

struct Union(JsonUnionEncoder);

impl Encoder for Union {
    fn encode(&mut self, row: usize, output: &mut Vec<u8>) {
        let start = output.len();
        put(self.0.get_value(row), output);
        // A line of the file is one object; in JSON line ends stand between parts only.
        for byte in &mut output[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}
