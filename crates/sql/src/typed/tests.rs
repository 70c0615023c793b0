//! Values, and the rows they are.

use std::sync::Arc;

use contract::{Contract, infer};
use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::*;

mod avro;
mod protobuf;

/// A contract in short: `name type, …`, `!` behind the type for what is not nullable.
fn contract(format: &str, columns: &str) -> Contract {
    let column = |column: &str| {
        let (name, data_type) = column.trim().split_once(' ').unwrap();
        let nullable = !data_type.ends_with('!');
        let data_type = data_type.trim_end_matches('!');
        format!(r#"{{"name":"{name}","type":"{data_type}","nullable":{nullable}}}"#)
    };
    let columns: Vec<_> = columns.split(';').map(column).collect();
    let text = format!(r#"{{{format},"columns":[{}]}}"#, columns.join(","));
    Contract::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn json(columns: &str) -> Contract {
    contract(r#""format":"json""#, columns)
}

fn selected(contract: Contract, columns: Vec<usize>, errors: bool) -> Selection {
    Selection {
        contract: Arc::new(Compiled::new(contract).unwrap()),
        columns,
        errors,
        is_strict: false,
    }
}

/// The rows of values, cells between `|`, with what is wrong with them at the end.
fn rows(contract: &Contract, values: &[&[u8]]) -> Vec<String> {
    let all = (0..contract.columns().len()).collect();
    rows_of(&selected(contract.clone(), all, true), values)
}

fn rows_of(selected: &Selection, values: &[&[u8]]) -> Vec<String> {
    let mut typed = TypedRows::new(selected);
    for value in values {
        typed.push(Some(value)).unwrap();
    }
    let mut columns: Vec<_> = (0..selected.columns.len())
        .map(|place| typed.finish(place).unwrap())
        .collect();
    columns.extend(typed.finish_errors());
    for (place, column) in columns.iter().take(selected.columns.len()).enumerate() {
        let of = selected.contract.contract().columns()[selected.columns[place]].data_type;
        assert_eq!(*column.data_type(), arrow_type(of));
    }
    let row = |row: usize| {
        let cell = |column: &Arc<dyn Array>| match column.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(column, row).unwrap(),
        };
        columns.iter().map(cell).collect::<Vec<_>>().join("|")
    };
    (0..values.len()).map(row).collect()
}

#[track_caller]
fn check(contract: &Contract, value: &str, expected: &str) {
    assert_eq!(rows(contract, &[value.as_bytes()]), [expected], "{value}");
}

#[test]
fn json_is_read_as_its_columns_say() {
    let of = |data_type: &str| json(&format!("a {data_type}"));
    for (data_type, value, expected) in [
        ("boolean", "true", "true|NULL"),
        ("boolean", "\"F\"", "false|NULL"),
        ("boolean", "1", "NULL|a: a number is no boolean"),
        ("smallint", "-32768", "-32768|NULL"),
        (
            "smallint",
            "32768",
            "NULL|a: \"32768\" is out of range for smallint",
        ),
        ("int", "7", "7|NULL"),
        ("int", "\"7\"", "7|NULL"),
        ("int", "7.0", "NULL|a: \"7.0\" is no int"),
        ("int", "\"x\"", "NULL|a: \"x\" is no int"),
        ("int", "[1]", "NULL|a: a list is no int"),
        ("bigint", "9223372036854775807", "9223372036854775807|NULL"),
        (
            "bigint",
            "9223372036854775808",
            "NULL|a: \"9223372036854775808\" is out of range for bigint",
        ),
        ("real", "1.1", "1.1|NULL"),
        ("real", "1e39", "NULL|a: \"1e39\" is out of range for real"),
        ("double", "1.1", "1.1|NULL"),
        ("double", "\"NaN\"", "NaN|NULL"),
        (
            "double",
            "1e999",
            "NULL|a: \"1e999\" is out of range for double",
        ),
        ("decimal(5,2)", "1.005", "1.01|NULL"),
        (
            "decimal(5,2)",
            "1000",
            "NULL|a: \"1000\" is out of range for decimal(5,2)",
        ),
        ("decimal(5,2)", "{}", "NULL|a: an object is no decimal(5,2)"),
        ("text", "\"größe \\n \\u00e9\"", "größe \n é|NULL"),
        ("text", "\"\"", "|NULL"),
        ("text", "1.50", "1.50|NULL"),
        ("text", "{\"b\": [1]}", "{\"b\": [1]}|NULL"),
        ("text", "\"a\\u0000\"", "NULL|a: text with a zero byte"),
        ("bytea", "\"\\\\x00fF\"", "00ff|NULL"),
        ("bytea", "\"\\\\x0\"", "NULL|a: \"\\\\x0\" is no bytea"),
        ("date", "\"2013-01-31\"", "2013-01-31|NULL"),
        (
            "date",
            "\"2013-02-31\"",
            "NULL|a: \"2013-02-31\" is no date",
        ),
        (
            "timestamp",
            "\"2013-01-31 10:00:00.5\"",
            "2013-01-31T10:00:00.500|NULL",
        ),
        (
            "timestamp",
            "\"2013-01-31T10:00:00Z\"",
            "NULL|a: \"2013-01-31T10:00:00Z\" has a time zone, which timestamptz takes and timestamp does not",
        ),
        (
            "timestamptz",
            "\"2013-01-31T10:00:00+02:00\"",
            "2013-01-31T08:00:00Z|NULL",
        ),
        (
            "timestamptz",
            "\"2013-01-31T10:00:00\"",
            "2013-01-31T10:00:00Z|NULL",
        ),
        (
            "timestamptz",
            "1700000000000",
            "NULL|a: a number is no timestamptz; declare bigint and ask for to_timestamp_millis(column), or _seconds or _micros",
        ),
        (
            "timestamp",
            "\"-1.5\"",
            "NULL|a: \"-1.5\" is no timestamp; declare bigint and ask for to_timestamp_millis(column), or _seconds or _micros",
        ),
        (
            "timestamp",
            "\"yesterday\"",
            "NULL|a: \"yesterday\" is no timestamp",
        ),
        ("date", "1", "NULL|a: a number is no date"),
        ("json", "{\"b\" : [1]}", "{\"b\" : [1]}|NULL"),
        ("json", "\"x\"", "\"x\"|NULL"),
        ("json", "null", "NULL|NULL"),
    ] {
        check(&of(data_type), &format!("{{\"a\": {value}}}"), expected);
    }
}

#[test]
fn a_value_that_is_no_object_is_null_in_every_column() {
    let contract = json("a int; b text!");
    for (value, expected) in [
        ("", "no JSON at byte 0: EOF while parsing a value"),
        (
            "{\"a\": 1, \"b\": \"x\"",
            "no JSON at byte 17: EOF while parsing an object",
        ),
        (
            "{\"a\": 1, \"b\": \"x\"} x",
            "no JSON at byte 19: trailing characters",
        ),
        (
            "{\"a\": 1, \"c\": tru}",
            "no JSON at byte 17: expected ident",
        ),
        ("[1]", "a list instead of an object"),
        ("null", "null instead of an object"),
        ("12", "a number instead of an object"),
    ] {
        check(&contract, value, &format!("NULL|NULL|{expected}"));
    }
    assert_eq!(
        rows(&contract, &[b"{\"a\": \"\xff\"}"]),
        ["NULL|NULL|no UTF-8 at byte 7"]
    );
    let deep = format!(
        "{{\"a\": 1, \"b\": \"x\", \"c\": {}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let row = rows(&contract, &[deep.as_bytes()]).remove(0);
    assert!(row.starts_with("NULL|NULL|no JSON at byte"), "{row}");
}

#[test]
fn what_is_missing_is_null_and_what_may_not_be_is_told() {
    let contract = json("a int; b int!");
    check(&contract, "{}", "NULL|NULL|b: missing, but not nullable");
    check(
        &contract,
        "{\"b\": null}",
        "NULL|NULL|b: null, but not nullable",
    );
    check(
        &contract,
        "{\"b\": \"x\", \"a\": []}",
        "NULL|NULL|b: \"x\" is no int; a: a list is no int",
    );
    check(&contract, "{\"c\": {\"a\": 5}, \"b\": 1}", "NULL|1|NULL");
    // The first of equal keys counts, even if it does not fit.
    check(&contract, "{\"b\": 1, \"b\": 2, \"a\": 1}", "1|1|NULL");
    check(
        &contract,
        "{\"a\": \"x\", \"a\": 2, \"b\": 1}",
        "NULL|1|a: \"x\" is no int",
    );
}

#[test]
fn a_record_does_not_change_how_the_next_is_read() {
    let contract = json("a int; b text");
    let values = [
        &b"{\"a\": 1, \"b\": \"x\"}"[..],
        b"{\"b\": \"y\", \"a\": 2}",
        b"{\"x\": 0, \"b\": \"\\u0041\"}",
        b"{\"a\": 3, \"b\": ",
        b"{\"\\u0061\": 4}",
    ];
    assert_eq!(
        rows(&contract, &values),
        [
            "1|x|NULL",
            "2|y|NULL",
            "NULL|A|NULL",
            "NULL|NULL|no JSON at byte 14: EOF while parsing a value",
            "4|NULL|NULL"
        ]
    );
}

#[test]
fn columns_are_the_same_whichever_are_asked_for() {
    let contract = json("a int; b int; c text");
    let value = b"{\"a\": \"x\", \"b\": 2, \"c\": \"z\"}";
    assert_eq!(
        rows_of(&selected(contract.clone(), vec![2, 1], false), &[value]),
        ["z|2"]
    );
    assert_eq!(
        rows_of(&selected(contract.clone(), vec![1], true), &[value]),
        ["2|a: \"x\" is no int"]
    );
    assert_eq!(
        rows_of(&selected(contract.clone(), vec![], true), &[value]),
        ["a: \"x\" is no int"]
    );
    assert_eq!(
        rows_of(&selected(contract, vec![0], false), &[value]),
        ["NULL"]
    );
}

#[test]
fn strict_readers_are_told_of_the_columns_they_read() {
    let strict = |columns: Vec<usize>| Selection {
        is_strict: true,
        ..selected(json("a int; b int"), columns, false)
    };
    let value = Some(&b"{\"a\": \"x\", \"b\": 2}"[..]);
    assert!(TypedRows::new(&strict(vec![1])).push(value).is_ok());
    let fault = TypedRows::new(&strict(vec![0, 1])).push(value).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the record does not fit the contract of its topic: a: \"x\" is no int"
    );
    assert!(TypedRows::new(&strict(vec![0])).push(None).is_ok());
}

#[test]
fn many_faults_are_told_of_in_few_words() {
    let columns: Vec<_> = (0..1000).map(|number| format!("c{number} int!")).collect();
    let row = rows(&json(&columns.join(";")), &[b"{}"]).remove(0);
    let told = row.trim_start_matches("NULL|");
    assert!(told.starts_with("c0: missing"), "{told}");
    assert!(told.ends_with("; and 992 more"), "{told}");
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    let row = rows(&json("a int"), &[long.as_bytes()]).remove(0);
    assert!(row.len() < 200, "{row}");
}

#[test]
fn lines_of_csv_are_read_by_the_order_of_columns() {
    let csv = |more: &str, columns: &str| contract(&format!("\"format\":\"csv\"{more}"), columns);
    let plain = csv("", "a int; b text; c date");
    check(&plain, "1,x,2013-01-31\r\n", "1|x|2013-01-31|NULL");
    check(&plain, ",\"\",", "NULL||NULL|NULL");
    check(
        &plain,
        "x,\"a,\"\"b\",",
        "NULL|a,\"b|NULL|a: \"x\" is no int",
    );
    check(&plain, "1,x", "NULL|NULL|NULL|2 fields, but 3 columns");
    check(&plain, "1,x,,,", "NULL|NULL|NULL|5 fields, but 3 columns");
    check(
        &plain,
        "1,\"x,",
        "NULL|NULL|NULL|no CSV: a quote that is not closed",
    );
    check(
        &plain,
        "1,x,\n2,y,",
        "NULL|NULL|NULL|no CSV: more than one line",
    );
    let other = csv(",\"delimiter\":\";\",\"null\":\"NA\"", "a int!; b json");
    check(
        &other,
        "NA;\"NA\"",
        "NULL|NULL|b: \"NA\" is no json; a: null, but not nullable",
    );
    check(&other, "1;[1,2]", "1|[1,2]|NULL");
}

/// A value of JSON, and now and then one that is none.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-40_000_i64..40_000).prop_map(|number| number.to_string()),
        any::<f64>().prop_filter_map("JSON has none", |number| serde_json::to_string(&number)
            .ok()),
        "[ -~é]{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[0-9]{1,3}".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        Just("{\"a\":[1,{\"b\":null}]}".to_owned()),
        Just("\"2013-01-31T10:00:00Z\"".to_owned()),
    ];
    scalar
}

fn object() -> impl Strategy<Value = String> {
    let member = ("[abcd]", value()).prop_map(|(key, value)| format!("\"{key}\" : {value}"));
    proptest::collection::vec(member, 0..6)
        .prop_map(|members| format!("{{{}}}", members.join(" , ")))
}

/// What serde_json reads for a column, as it is shown.
fn modelled(object: &serde_json::Map<String, serde_json::Value>, key: &str, of: &str) -> String {
    use serde_json::Value;
    let null = || "NULL".to_owned();
    let or_null = |read: Option<String>| read.unwrap_or_else(null);
    match (of, object.get(key)) {
        (_, None | Some(Value::Null)) => null(),
        ("int", Some(Value::Number(number))) => or_null(
            number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .map(|number| number.to_string()),
        ),
        ("int", Some(Value::String(text))) => or_null(
            text.trim()
                .parse::<i32>()
                .ok()
                .map(|number| number.to_string()),
        ),
        ("boolean", Some(Value::Bool(value))) => value.to_string(),
        ("text", Some(Value::String(text))) => text.clone(),
        (_, Some(_)) => null(),
    }
}

proptest! {
    /// Of equal keys the last counts for serde_json and the first for us, so objects with such are left out.
    #[test]
    fn columns_are_what_another_reader_finds(object in object()) {
        let keys: Vec<_> = object.matches("\" : ").collect();
        let Ok(serde_json::Value::Object(members)) = serde_json::from_str(&object) else {
            return Err(TestCaseError::fail(object));
        };
        prop_assume!(keys.len() == members.len());
        let is_of = |key: &str, wanted: fn(&serde_json::Value) -> bool| members.get(key).is_none_or(wanted);
        // What is text for a column of text is compared where the other reader has the same notion of it.
        prop_assume!(is_of("c", |value| value.is_string() || value.is_null()));
        prop_assume!(is_of("b", |value| !value.is_string()));
        let row = rows_of(&selected(json("a int; b boolean; c text"), vec![0, 1, 2], false), &[object.as_bytes()]);
        let expected = [("a", "int"), ("b", "boolean"), ("c", "text")].map(|(key, of)| modelled(&members, key, of));
        prop_assert_eq!(&row[0], &expected.join("|"));
    }

    #[test]
    fn what_is_inferred_fits(objects in proptest::collection::vec(object(), 1..8)) {
        let values: Vec<&[u8]> = objects.iter().map(|object| object.as_bytes()).collect();
        let Ok(proposal) = infer(&values) else { return Ok(()) };
        for (row, object) in rows(&proposal.contract, &values).iter().zip(&objects) {
            prop_assert!(row.ends_with("|NULL"), "{} {object} {row}", proposal.contract);
        }
    }

    #[test]
    fn no_bytes_are_a_panic(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]{}\",:0-9eE+.\\-a\\\\u ]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        for contract in [
            json("a int; b text; c json; d decimal(5,2); e timestamptz; f date; g bytea"),
            contract(r#""format":"csv""#, "a int; b text; c json; d decimal(5,2); e timestamptz; f date; g bytea"),
        ] {
            rows(&contract, &[&value]);
        }
    }

    #[test]
    fn no_text_of_a_time_is_a_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]?[0-9:.+\\-Zé]{0,24}") {
        let contract = json("a date; b timestamp; c timestamptz");
        rows(&contract, &[format!("{{\"a\":\"{text}\",\"b\":\"{text}\",\"c\":\"{text}\"}}").as_bytes()]);
    }
}
