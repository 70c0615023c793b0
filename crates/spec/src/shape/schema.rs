//! The JSON Schema of the format, which editors complete and check files with.
//!
//! It is of draft 2020-12, and names what does not run yet with `false` behind it, so that an editor marks it. It never refuses what
//! the reader takes; the reader knows more.

use serde_json::{Map, Value, json};

use super::{Key, Need, Object, Rule, Shape, Word};
use crate::pipeline::PIPELINE;

/// The schema of a pipeline file.
pub fn json_schema() -> Value {
    let mut schema = object(&PIPELINE);
    let head = [
        (
            "$schema",
            json!("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("title", json!("A pipeline of Watertable")),
    ];
    if let Value::Object(members) = &mut schema {
        members.extend(head.map(|(name, value)| (name.to_owned(), value)));
    }
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text(rule) => text(rule),
        Shape::Sql => {
            json!({"type": "string", "description": "SQL, or !file and the name of a file that has it"})
        }
        Shape::Words(words) => choice(words),
        Shape::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Literal => json!({"type": ["string", "number", "boolean"]}),
        Shape::Any => json!(true),
        Shape::List(item) => json!({"type": "array", "items": of(item), "minItems": 1}),
        Shape::Rows(item) => json!({"type": "array", "items": of(item)}),
        Shape::OneOrMany(item) => json!({"anyOf": [of(item), of(&Shape::List(item))]}),
        Shape::Object(keys) => object(keys),
        Shape::Named(rule, value) => named(rule, value, 1),
        Shape::Row(rule, value) => named(rule, value, 0),
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(of).collect::<Vec<_>>()}),
    }
}

fn named(rule: &Rule, value: &Shape, least: u64) -> Value {
    let names = text(rule);
    json!({
        "type": "object", "propertyNames": names, "additionalProperties": of(value), "minProperties": least
    })
}

/// Where variables are replaced, only the reader sees the text that has to fit.
fn text(rule: &Rule) -> Value {
    let mut schema = json!({"type": "string", "description": rule.what});
    if !rule.pattern.is_empty() && !rule.replaced {
        schema["pattern"] = json!(rule.pattern);
    }
    schema
}

fn choice(words: &[Word]) -> Value {
    let run = words.iter().filter(|word| word.later.is_none());
    let each = run.map(|word| json!({"const": word.name, "description": word.doc}));
    json!({"oneOf": each.collect::<Vec<_>>()})
}

fn object(object: &Object) -> Value {
    let mut properties = Map::new();
    for key in object.keys {
        for name in [&key.name].into_iter().chain(key.aliases) {
            properties.insert((*name).to_owned(), property(key));
        }
    }
    let mut schema = json!({
        "type": "object",
        "description": object.what,
        "properties": properties,
        "additionalProperties": false,
    });
    let mut rules: Vec<Value> = object.keys.iter().filter_map(required).collect();
    let choices = object.choices();
    if !choices.is_empty() {
        let keys = choices.iter().filter_map(|name| object.key(name));
        let each: Vec<_> = keys.map(is_there).collect();
        rules.push(json!({ "oneOf": each }));
    }
    if !rules.is_empty() {
        schema["allOf"] = json!(rules);
    }
    schema
}

fn required(key: &Key) -> Option<Value> {
    matches!(key.need, Need::Required(_)).then(|| is_there(key))
}

/// That a key is there, by one of its names.
fn is_there(key: &Key) -> Value {
    if key.aliases.is_empty() {
        return json!({"required": [key.name]});
    }
    let names = [&key.name].into_iter().chain(key.aliases);
    let each: Vec<_> = names.map(|name| json!({"required": [name]})).collect();
    json!({ "oneOf": each })
}

fn property(key: &Key) -> Value {
    if let Some(instead) = key.later {
        let doc = format!("Not there yet: {}; {instead}", key.doc);
        return json!({"not": {}, "description": doc});
    }
    let mut schema = of(&key.shape);
    if let Value::Object(members) = &mut schema {
        members.insert("description".to_owned(), json!(key.doc));
        if let Need::Optional(default) = key.need
            && !default.is_empty()
        {
            let doc = format!("{} Default: {default}.", key.doc);
            members.insert("description".to_owned(), json!(doc));
        }
    }
    schema
}
