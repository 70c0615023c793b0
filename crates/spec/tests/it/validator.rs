//! Whether a value fits a JSON Schema, as far as ours goes. It fails on words it does not know, so none is passed over.

use serde_json::Value;

pub(crate) fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let words = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(words) => words,
        other => return Err(format!("no schema: {other}")),
    };
    for (word, argument) in words {
        let holds = match word.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match argument {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "const" => argument == value,
            "pattern" => value.as_str().is_none_or(|text| {
                regex::Regex::new(argument.as_str().unwrap())
                    .unwrap()
                    .is_match(text)
            }),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= argument.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= argument.as_f64().unwrap()),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= argument.as_u64().unwrap()),
            "minProperties" => value
                .as_object()
                .is_none_or(|members| members.len() as u64 >= argument.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|members| {
                let mut names = argument.as_array().unwrap().iter();
                names.all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "not" => fits(argument, value).is_err(),
            "allOf" => {
                for each in argument.as_array().unwrap() {
                    fits(each, value)?;
                }
                true
            }
            "anyOf" => count(argument, value) > 0,
            "oneOf" => count(argument, value) == 1,
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    fits(argument, item)?;
                }
                true
            }
            "propertyNames" => {
                for name in value
                    .as_object()
                    .into_iter()
                    .flat_map(|members| members.keys())
                {
                    fits(argument, &Value::String(name.clone()))?;
                }
                true
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = argument.get(name) {
                        fits(schema, value).map_err(|error| format!("{name}: {error}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = words.get("properties");
                let is_known = |name: &str| known.is_some_and(|known| known.get(name).is_some());
                for (name, value) in value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !is_known(name))
                {
                    if *argument == Value::Bool(false) {
                        return Err(format!("{name} is not known"));
                    }
                    fits(argument, value).map_err(|error| format!("{name}: {error}"))?;
                }
                true
            }
            other => panic!("{other} is no word of the schema"),
        };
        if !holds {
            return Err(format!("{word}: {argument}, found {value}"));
        }
    }
    Ok(())
}

fn count(schemas: &Value, value: &Value) -> usize {
    let schemas = schemas.as_array().unwrap().iter();
    schemas.filter(|schema| fits(schema, value).is_ok()).count()
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of a schema"),
    }
}
