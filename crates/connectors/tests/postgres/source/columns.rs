//! Columns, and how values of every type are written.

use contract::{Column, Contract, DataType};
use spec::{Columns, OnMissingColumn, OnNewColumn};

use super::*;

#[tokio::test]
async fn every_type_is_read_as_what_it_is() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TYPE mood AS ENUM ('it''s ok'); CREATE DOMAIN money2 AS numeric(9,2);
             CREATE TABLE everything (b bool NOT NULL, i2 smallint, i4 int, i8 bigint, f4 real, f8 float8, n numeric(10,3), free numeric, big numeric(60,2), neg numeric(5,-2), m money2, t text, v varchar(9), c char(3), y bytea,
               d date, ts timestamp, tz timestamptz, j json, jb jsonb, u uuid, e mood, a int[], ip inet, iv interval, ti time);
             INSERT INTO everything VALUES (true, -1, 2, 3, 0.1, 1e300, 1.5, 1.50, 7, 1234, 2.5, E'a,\"b\"\\nc', '', 'x', '\\x00ff', '2026-01-31', '2026-01-31 10:00:00.5', '2026-01-31 10:00:00+02', '{\"a\": 1}', '{\"a\":1}',
               '00000000-0000-0000-0000-00000000000A', 'it''s ok', '{1,NULL}', '10.0.0.1', '1 day', '10:00');
             INSERT INTO everything (b, f4, f8, d, t) VALUES (false, 'NaN', '-Infinity', 'infinity', '\\.')",
        )
        .await;
    // Whatever the role has for itself.
    let role = role(&database).await;
    let sql = format!(
        "GRANT SELECT ON everything TO {role}; ALTER ROLE {role} SET DateStyle = 'German'; ALTER ROLE {role} SET bytea_output = 'escape'; \
         ALTER ROLE {role} SET TimeZone = 'Asia/Tokyo'; ALTER ROLE {role} SET extra_float_digits = -5; ALTER ROLE {role} SET IntervalStyle = 'iso_8601'"
    );
    database.run(&sql).await;
    let mut source = Source::connect(
        &database.address_of(&role),
        &table("everything", 10),
        None,
        "x",
    )
    .await
    .unwrap();
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let expected = [
        ("b", DataType::Boolean),
        ("i2", DataType::SmallInt),
        ("i4", DataType::Int),
        ("i8", DataType::BigInt),
        ("f4", DataType::Real),
        ("f8", DataType::Double),
        ("n", decimal(10, 3)),
        ("free", DataType::Text),
        ("big", DataType::Text),
        ("neg", DataType::Text),
        ("m", decimal(9, 2)),
        ("t", DataType::Text),
        ("v", DataType::Text),
        ("c", DataType::Text),
        ("y", DataType::Bytea),
        ("d", DataType::Date),
        ("ts", DataType::Timestamp),
        ("tz", DataType::TimestampTz),
        ("j", DataType::Json),
        ("jb", DataType::Json),
        ("u", DataType::Text),
        ("e", DataType::Text),
        ("a", DataType::Text),
        ("ip", DataType::Text),
        ("iv", DataType::Text),
        ("ti", DataType::Text),
    ];
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(name, data_type)| Column::new(*name, *data_type))
        .collect();
    expected[0] = expected[0].clone().not_null();
    assert_eq!(source.columns(), expected);
    assert_eq!(
        source.contract().unwrap(),
        Contract::new(contract::Format::csv(), expected).unwrap()
    );
    let (lines, _) = rest(&mut source, &Position::default()).await;
    assert_eq!(
        lines,
        [
            "true,-1,2,3,0.1,1e+300,1.500,1.50,7.00,1200,2.50,\"a,\"\"b\"\"\nc\",\"\",x  ,\\x00ff,2026-01-31,2026-01-31 10:00:00.5,2026-01-31 08:00:00+00,\"{\"\"a\"\": 1}\",\"{\"\"a\"\": 1}\",00000000-0000-0000-0000-00000000000a,it's ok,\"{1,NULL}\",10.0.0.1,1 day,10:00:00",
            "false,,,,NaN,-Infinity,,,,,,\"\\.\",,,,infinity,,,,,,,,,,",
        ]
    );
    let warnings = source.check().await.unwrap();
    assert!(
        warnings
            .iter()
            .any(|said| said.contains("column free is numeric")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn declared_columns_are_those_that_are_read() {
    let database = Database::new().await;
    database.run("CREATE TABLE users (id int PRIMARY KEY, name text, zip int); INSERT INTO users VALUES (1, 'a', 87)").await;
    let declared = |on_new, on_missing| Columns {
        columns: vec![
            Column::new("zip", DataType::Text),
            Column::new("phone", DataType::Text),
            Column::new("id", DataType::BigInt).not_null(),
        ],
        on_new,
        on_missing,
    };
    let connect = async |columns: Columns| {
        Source::connect(
            &database.address(),
            &table("users", 10),
            Some(&columns),
            "x",
        )
        .await
    };
    let mut source = connect(declared(OnNewColumn::Ignore, OnMissingColumn::Null))
        .await
        .unwrap();
    assert_eq!(rest(&mut source, &Position::default()).await.0, ["87,,1"]);
    let mut source = connect(declared(OnNewColumn::Add, OnMissingColumn::Null))
        .await
        .unwrap();
    assert_eq!(source.columns()[3], Column::new("name", DataType::Text));
    assert_eq!(rest(&mut source, &Position::default()).await.0, ["87,,1,a"]);
    let error = connect(declared(OnNewColumn::Fail, OnMissingColumn::Fail))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no column phone") && error.contains("column name that is not declared"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_said_before_it_is_read() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY, doc json, n int, _hidden int)")
        .await;
    let connect =
        async |spec: Postgres| Source::connect(&database.address(), &spec, None, "x").await;
    let columns = "SELECT id, doc, n FROM users";
    for (spec, said) in [
        (table("nothing", 1), "there is no such table"),
        (table("users", 1), "_hidden"),
        (
            by("nope", Some("gone"), 0, query(columns, 1)),
            "no column nope, which cursor names; it has no column gone, which tie_breaker names",
        ),
        (
            by("n", None, 60_000, query(columns, 1)),
            "lookback needs a cursor that is a date or timestamp, and n is integer",
        ),
    ] {
        let error = connect(spec).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Hold);
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = connect(query("SELECT nope FROM users", 1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Hold);
    assert!(error.to_string().contains("42703"), "{error}");
    let mut source = connect(by("doc", None, 0, query(columns, 1)))
        .await
        .unwrap();
    let error = source.check().await.unwrap_err();
    assert!(error.to_string().contains("has no order"), "{error}");
}

#[tokio::test]
async fn names_and_values_are_what_they_are() {
    let database = Database::new().await;
    database
        .run(
            "CREATE SCHEMA \"O'Neill; DROP\"; CREATE TABLE \"O'Neill; DROP\".\"Tab 'le' ☃\" (\"a \"\"quoted\"\" näme; --\" text PRIMARY KEY, \"O'Brien\" text);
             INSERT INTO \"O'Neill; DROP\".\"Tab 'le' ☃\" VALUES ('''; DROP TABLE x; --', 'a'), (E'\\\\', 'b'), ('☃\"', NULL)",
        )
        .await;
    let name = "a \"quoted\" näme; --";
    let mut source = source(
        &database,
        &by(name, None, 0, table("O'Neill; DROP.Tab 'le' ☃", 1)),
    )
    .await;
    let (lines, _) = rest(&mut source, &Position::default()).await;
    assert_eq!(lines, ["'; DROP TABLE x; --,a", "\\,b", "\"☃\"\"\","]);
}
