//! The published schema and the reader: what the reader takes the schema takes, and what the reader does not know it refuses.

use serde_json::{Value, json};

use super::validator::fits;
use super::{files, folder, read, yaml_of};

fn written(name: &str, bytes: &[u8]) -> Value {
    let file = read(name, bytes).unwrap();
    serde_json::from_str(&file.pipeline.to_json()).unwrap()
}

#[test]
fn what_the_reader_takes_fits_the_schema() {
    let schema = spec::json_schema();
    for (name, bytes) in files::all() {
        assert_eq!(fits(&schema, &written(&name, &bytes)), Ok(()), "{name}");
    }
}

/// Each key of each map is misspelled in turn: the reader refuses what it does not know, and so does the schema. Where people
/// choose the names there is nothing to know.
#[test]
fn what_the_reader_does_not_know_the_schema_refuses() {
    let schema = spec::json_schema();
    let mut refused = 0;
    for (name, bytes) in files::all() {
        let value = written(&name, &bytes);
        let mut places = Vec::new();
        maps(&value, String::new(), &mut places);
        for place in places {
            let mut changed = value.clone();
            let map = changed
                .pointer_mut(&place)
                .unwrap()
                .as_object_mut()
                .unwrap();
            map.insert("not_a_key".to_owned(), json!("not_a_value"));
            let text = changed.to_string();
            let unknown = spec::File::read("a", text.as_bytes(), &spec::Surroundings::NONE)
                .is_err_and(|problems| {
                    problems
                        .iter()
                        .any(|problem| matches!(problem.cause, spec::Cause::UnknownKey { .. }))
                });
            if unknown {
                refused += 1;
                assert!(fits(&schema, &changed).is_err(), "{name}{place}");
            }
        }
    }
    assert!(refused > 60, "{refused}");
}

fn maps(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let step = key.replace('~', "~0").replace('/', "~1");
                maps(value, format!("{place}/{step}"), places);
            }
            places.push(place);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                maps(item, format!("{place}/{index}"), places);
            }
        }
        _ => {}
    }
}

/// Of the files with mistakes that are JSON in other words, those about keys, words and kinds are refused by the schema too.
#[test]
fn mistakes_of_shape_do_not_fit_the_schema() {
    let schema = spec::json_schema();
    for text in [
        json!({"run": {"evry": "5m"}}),
        json!({"run": "continous"}),
        json!({"run": {"every": "5m", "cron": "0 3 * * *"}}),
        json!({"run": {"every": "5 minutes"}}),
        json!({"format": 2}),
        json!({"pipeline": "Trips"}),
        json!({"owner": 5}),
        json!({"window": {}}),
        json!({"alerts": []}),
        json!({"sql": null}),
        json!({"checks": []}),
        json!({"checks": [{"not_nul": "a"}]}),
        json!({"checks": [{"mean": {"column": "a"}}]}),
        json!({"checks": [{"not_null": "a", "valid_email": "b"}]}),
        json!({"checks": [{"not_null": {"column": "a", "severity": "halt"}}]}),
        json!({"to": {}}),
        json!({"to": {"search": {"url": "a"}}}),
        json!({"to": {"topic": {"name": "a", "format": "avro"}}}),
        json!({"to": {"topic": {"name": "a", "partitions": 0}}}),
        json!({"from": {}}),
        json!({"from": {"A": {"topic": {"name": "a"}}}}),
        json!({"from": {"a": {"http": {}}}}),
        json!({"tests": [{"name": "a"}]}),
    ] {
        let mut whole = json!({
            "format": 1, "pipeline": "a", "run": "once", "from": {"a": {"topic": {"name": "a"}}}, "sql": "SELECT 1",
            "to": {"topic": {"name": "b"}}
        });
        assert_eq!(fits(&schema, &whole), Ok(()));
        for (key, value) in text.as_object().unwrap() {
            whole[key] = value.clone();
        }
        assert!(fits(&schema, &whole).is_err(), "{text}");
        assert!(read("a", whole.to_string().as_bytes()).is_err(), "{text}");
    }
}

/// `docs/pipelines/pipeline.schema.json` is what editors are told to read.
#[test]
fn the_published_schema_is_current() {
    let path = folder("../../../docs/pipelines/pipeline.schema.json");
    let schema = serde_json::to_string_pretty(&spec::json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == schema,
        "the schema is not current: run UPDATE_DOCS=1 cargo test -p spec"
    );
    let files = yaml_of(&folder("files"));
    assert!(files.len() >= 5);
}
