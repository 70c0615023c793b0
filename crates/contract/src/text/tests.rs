use proptest::prelude::*;

use super::*;
use crate::DataType;

fn said(text: &str) -> String {
    Contract::parse(text).unwrap_err().to_string()
}

#[test]
fn a_contract_is_read_and_written() {
    for text in [
        r#"{"format":"json","columns":[{"name":"carrier","type":"text"},{"name":"delay","type":"int","nullable":false}]}"#,
        r#"{"format":"ndjson","columns":[{"name":"größe \"x\"","type":"decimal(10,2)"}]}"#,
        r#"{"format":"csv","columns":[{"name":"a","type":"timestamptz"}]}"#,
        r#"{"format":"csv","delimiter":"\t","null":"NA","columns":[{"name":"a","type":"json"}]}"#,
        r#"{"format":"protobuf","descriptors":"CgA=","message":"a.B","columns":[{"name":"a","type":"bytea"}]}"#,
    ] {
        assert_eq!(Contract::parse(text).unwrap().to_string(), text);
    }
    let spread = "{ \"columns\": [\n {\"type\": \"INTEGER\", \"name\": \"a\", \"nullable\": true}],\n \"format\": \"json\" }";
    assert_eq!(
        Contract::parse(spread).unwrap().to_string(),
        r#"{"format":"json","columns":[{"name":"a","type":"int"}]}"#
    );
    let two =
        r#"{"format":"json","columns":[{"name":"a","type":"int"},{"name":"b","type":"text"}]}"#;
    let lines = format!("{:#}", Contract::parse(two).unwrap());
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert_eq!(Contract::parse(&lines).unwrap().to_string(), two);
}

#[test]
fn the_columns_of_avro_are_by_default_those_of_its_schema() {
    let text = r#"{"format":"avro","schema":{"type":"record","name":"t","fields":[
        {"name":"b","type":["null","long"]},{"name":"a","type":"string"}]}}"#;
    assert_eq!(
        Contract::parse(text).unwrap().to_string(),
        concat!(
            r#"{"format":"avro","schema":{"type":"record","name":"t","fields":["#,
            r#"{"name":"b","type":["null","long"]},{"name":"a","type":"string"}]},"#,
            r#""columns":[{"name":"b","type":"bigint"},{"name":"a","type":"text","nullable":false}]}"#
        )
    );
    let text = text.replace("}]}}", r#"}]},"columns":[{"name":"bb","type":"int"}]}"#);
    assert_eq!(
        said(&text),
        "columns[0].name: the schema has no field \"bb\"; did you mean \"b\"?"
    );
}

#[test]
fn an_error_says_where_it_is_and_what_was_meant() {
    for (text, expected) in [
        ("", "no JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "expected an object, found a list"),
        ("{}", "\"format\" is missing: how values are written"),
        (r#"{"format":1}"#, "format: expected text, found a number"),
        (
            r#"{"format":"jsn"}"#,
            "format: unknown format \"jsn\"; did you mean json?",
        ),
        (
            r#"{"format":"xml"}"#,
            "format: unknown format \"xml\"; the formats are json, ndjson, csv, avro, protobuf",
        ),
        (
            r#"{"format":"json"}"#,
            "\"columns\" is missing: each has a name and a type",
        ),
        (
            r#"{"format":"json","colums":[]}"#,
            "unknown key \"colums\"; did you mean columns?",
        ),
        (
            r#"{"format":"json","delimiter":";","columns":[]}"#,
            "unknown key \"delimiter\"; the keys are format, columns",
        ),
        (
            r#"{"format":"json","columns":{}}"#,
            "columns: expected a list of columns, found an object",
        ),
        (
            r#"{"format":"json","columns":[]}"#,
            "columns: there are 0 columns; a contract has 1 to 1000",
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","type":"int"},{"name":"b"}]}"#,
            "columns[1]: \"type\" is missing",
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","tpye":"int"}]}"#,
            "columns[0]: unknown key \"tpye\"; did you mean type?",
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","type":"integr"}]}"#,
            "columns[0].type: unknown type \"integr\"; did you mean integer?",
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","type":"int","nullable":1}]}"#,
            "columns[0].nullable: expected true or false, found a number",
        ),
        (
            r#"{"format":"json","columns":[{"name":"_a","type":"int"}]}"#,
            "columns[0].name: \"_a\" begins with an underscore, as only the columns that every topic has do",
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "columns[1].name: there are two columns \"a\"",
        ),
        (
            r#"{"format":"csv","delimiter":"ab","columns":[]}"#,
            "delimiter: a delimiter is one ASCII character that is no quote, letter, digit, point, sign or line end",
        ),
        (
            r#"{"format":"protobuf","descriptors":"?","message":"a","columns":[]}"#,
            "descriptors: no base64 (`base64 -w0 FILE` writes it)",
        ),
        (
            r#"{"format":"avro","schema":"string"}"#,
            "schema: the schema is no record",
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
    assert_eq!(
        said(r#"{"format":"json","format":"csv"}"#),
        "no JSON: the key \"format\" twice at line 1 column 32"
    );
    assert!(said(&"[".repeat(100_000)).starts_with("a contract of 100000 bytes"));
    assert!(said(&"[".repeat(10_000)).starts_with("no JSON: recursion limit"));
}

#[test]
fn as_many_columns_as_fit_are_taken_and_no_more() {
    let columns = |count: usize| {
        let columns = (0..count).map(|number| Column::new(format!("c{number}"), DataType::Int));
        Contract::new(Format::Json, columns.collect())
    };
    let most = columns(crate::COLUMNS_MAX).unwrap();
    assert_eq!(Contract::parse(&most.to_string()), Ok(most));
    assert!(columns(crate::COLUMNS_MAX + 1).is_err());
    let long = |number: usize| Column::new(format!("{number}{}", "n".repeat(250)), DataType::Int);
    let error = Contract::new(Format::Json, (0..900).map(long).collect()).unwrap_err();
    assert!(matches!(error.cause, Cause::TooLong { .. }), "{error}");
}

fn data_type() -> impl Strategy<Value = DataType> {
    prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::SmallInt),
        Just(DataType::Int),
        Just(DataType::BigInt),
        Just(DataType::Real),
        Just(DataType::Double),
        (1_u8..=38).prop_flat_map(|precision| {
            (0..=precision).prop_map(move |scale| DataType::Decimal { precision, scale })
        }),
        Just(DataType::Text),
        Just(DataType::Bytea),
        Just(DataType::Date),
        Just(DataType::Timestamp),
        Just(DataType::TimestampTz),
        Just(DataType::Json),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        columns in proptest::collection::btree_map("[a-zö\"\\\\ ][a-z_\"]{0,5}", (data_type(), any::<bool>()), 1..10),
        csv in proptest::option::of(("[;|\t,:]", "[a-z ]{0,4}")),
    ) {
        let format = match csv {
            None => Format::Json,
            Some((delimiter, null)) => Format::Csv { delimiter: delimiter.as_bytes()[0], null },
        };
        let columns = columns.into_iter().map(|(name, (data_type, nullable))| Column { name, data_type, nullable });
        let contract = Contract::new(format, columns.collect()).unwrap();
        prop_assert_eq!(Contract::parse(&contract.to_string()), Ok(contract));
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,60}") {
        let _read = Contract::parse(&text);
    }
}
