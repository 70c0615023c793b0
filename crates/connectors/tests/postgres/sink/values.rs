//! Every type, to its own column and to others.

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, LargeStringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};

use super::*;

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let database = Database::new().await;
    let types = [
        ("b", DataType::Boolean),
        ("i2", DataType::SmallInt),
        ("i4", DataType::Int),
        ("i8", DataType::BigInt),
        ("f4", DataType::Real),
        ("f8", DataType::Double),
        (
            "n",
            DataType::Decimal {
                precision: 38,
                scale: 10,
            },
        ),
        ("t", DataType::Text),
        ("y", DataType::Bytea),
        ("d", DataType::Date),
        ("ts", DataType::Timestamp),
        ("tz", DataType::TimestampTz),
        ("j", DataType::Json),
    ];
    let columns: Vec<_> = types
        .iter()
        .map(|(name, data_type)| Column::new(*name, *data_type))
        .collect();
    let largest = 10_i128.pow(38) - 1;
    let rows = batch_of(vec![
        (
            "b",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "i2",
            Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None])),
        ),
        (
            "i4",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
        ),
        (
            "i8",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
        ),
        (
            "f4",
            Arc::new(Float32Array::from(vec![
                Some(f32::NAN),
                Some(f32::NEG_INFINITY),
                None,
            ])),
        ),
        (
            "f8",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::MAX), None])),
        ),
        (
            "n",
            Arc::new(
                Decimal128Array::from(vec![Some(-largest), Some(12_300_000_001), None])
                    .with_precision_and_scale(38, 10)
                    .unwrap(),
            ),
        ),
        ("t", text(&[Some("O'Brien \\ \"x\"\n\t,☃"), Some(""), None])),
        (
            "y",
            Arc::new(BinaryArray::from(vec![
                Some(&[0, 255, b'\\'][..]),
                Some(b""),
                None,
            ])),
        ),
        (
            "d",
            Arc::new(Date32Array::from(vec![Some(-1), Some(18_000), None])),
        ),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(-1),
                Some(18_000 * DAY + 123_456),
                None,
            ])),
        ),
        (
            "tz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(-1), Some(18_000 * DAY + 1), None])
                    .with_timezone("+00:00"),
            ),
        ),
        (
            "j",
            text(&[Some("{\"a\": [1, null]}"), Some("\"x\""), None]),
        ),
    ]);
    let (mut sink, _) = ready(&database.address(), &append("everything"), &columns).await;
    write(&mut sink, 0, 3, &rows).await.unwrap();
    let admin = database.admin().await;
    admin.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    let found = crate::support::server::texts(&admin, "SELECT * FROM everything").await;
    assert_eq!(
        found,
        [
            "t|-32768|-2147483648|-9223372036854775808|NaN|0.1|-9999999999999999999999999999.9999999999|O'Brien \\ \"x\"\n\t,☃|\\x00ff5c|1969-12-31|1969-12-31 23:59:59.999999|1969-12-31 23:59:59.999999+00|{\"a\": [1, null]}",
            "f|32767|2147483647|9223372036854775807|-Infinity|1.7976931348623157e+308|1.2300000001||\\x|2019-04-14|2019-04-14 00:00:00.123456|2019-04-14 00:00:00.000001+00|\"x\"",
            "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
        ]
    );
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0";
    assert_eq!(
        database.rows(types).await,
        [
            "boolean, smallint, integer, bigint, real, double precision, numeric(38,10), text, bytea, date, timestamp without time zone, timestamp with time zone, jsonb"
        ]
    );
}

#[tokio::test]
async fn text_becomes_whatever_the_column_is() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN grade AS numeric(4,1) CHECK (VALUE > 0);
             CREATE SCHEMA other; CREATE DOMAIN other.\"Fine grade\" AS grade;
             CREATE TABLE things (id uuid PRIMARY KEY, m mood, i inet, a int[], g other.\"Fine grade\", j json, x xml, v varchar(3), c char(4), b bit(3), r int4range, n numeric, w interval, k bool)",
        )
        .await;
    let names = [
        "id", "m", "i", "a", "g", "j", "x", "v", "c", "b", "r", "n", "w", "k",
    ];
    let columns: Vec<_> = names
        .iter()
        .map(|name| Column::new(*name, DataType::Text))
        .collect();
    let good = [
        "00000000-0000-0000-0000-00000000000A",
        "it's ok",
        "10.0.0.1/8",
        "{1,NULL,3}",
        "2.5",
        "{\"b\":1, \"a\":2}",
        "<a/>",
        "abc",
        "ab",
        "101",
        "[1,5)",
        "1.2300",
        "1 day 02:00",
        "yes",
    ];
    let (mut sink, _) = ready(&database.address(), &upsert("things", &["id"]), &columns).await;
    let rows = batch_of(
        names
            .iter()
            .zip(good)
            .map(|(name, value)| (*name, text(&[Some(value)])))
            .collect(),
    );
    write_all(
        &mut sink,
        0,
        2,
        &rows,
        &[delete(0, &["00000000-0000-0000-0000-00000000000b"])],
    )
    .await
    .unwrap();
    assert_eq!(
        database.rows("SELECT * FROM things").await,
        [
            "00000000-0000-0000-0000-00000000000a|it's ok|10.0.0.1/8|{1,NULL,3}|2.5|{\"b\":1, \"a\":2}|<a/>|abc|ab  |101|[1,5)|1.2300|1 day 02:00:00|t"
        ]
    );
    // What the type does not read, or the column is too short for, is refused and never cut.
    for (name, bad, sqlstate) in [
        ("m", "glad", "22P02"),
        ("i", "x", "22P02"),
        ("a", "1", "22P02"),
        ("g", "-1", "23514"),
        ("j", "{", "22P02"),
        ("v", "abcd", "22001"),
        ("c", "abcde", "22001"),
        ("b", "1", "22026"),
        ("r", "[5,1)", "22000"),
        ("k", "maybe", "22P02"),
    ] {
        let values = names.iter().zip(good).map(|(column, value)| {
            (
                *column,
                text(&[Some(if *column == name { bad } else { value })]),
            )
        });
        let error = write(&mut sink, 2, 3, &batch_of(values.collect()))
            .await
            .unwrap_err();
        let SinkError::Refused { refused } = error else {
            panic!("{name}: {error}")
        };
        assert_eq!(refused[0].sqlstate, sqlstate, "{name}: {}", refused[0]);
    }
}

#[tokio::test]
async fn numbers_and_times_go_to_columns_that_hold_them() {
    let database = Database::new().await;
    database.run("CREATE TABLE t (a smallint, b numeric(5,2), c text, d timestamptz, e timestamp, f text, g double precision, h varchar)").await;
    let columns = [
        ("a", DataType::BigInt),
        ("b", DataType::Int),
        (
            "c",
            DataType::Decimal {
                precision: 5,
                scale: 2,
            },
        ),
        ("d", DataType::Date),
        ("e", DataType::TimestampTz),
        ("f", DataType::Boolean),
        ("g", DataType::Real),
        ("h", DataType::Double),
    ];
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, data_type)| Column::new(*name, *data_type))
        .collect();
    let rows = |a: i64, b: i32, g: f32| {
        batch_of(vec![
            ("a", Arc::new(Int64Array::from(vec![a]))),
            ("b", Arc::new(Int32Array::from(vec![b]))),
            (
                "c",
                Arc::new(
                    Decimal128Array::from(vec![1250])
                        .with_precision_and_scale(5, 2)
                        .unwrap(),
                ),
            ),
            ("d", Arc::new(Date32Array::from(vec![1]))),
            (
                "e",
                Arc::new(TimestampMicrosecondArray::from(vec![DAY]).with_timezone("+00:00")),
            ),
            ("f", Arc::new(BooleanArray::from(vec![true]))),
            ("g", Arc::new(Float32Array::from(vec![g]))),
            ("h", Arc::new(Float64Array::from(vec![0.1]))),
        ])
    };
    let (mut sink, _) = ready(&database.address(), &append("t"), &columns).await;
    write(&mut sink, 0, 1, &rows(7, 999, 0.5)).await.unwrap();
    let admin = database.admin().await;
    admin.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    let found = crate::support::server::texts(&admin, "SELECT * FROM t").await;
    assert_eq!(
        found,
        ["7|999.00|12.50|1970-01-02 00:00:00+00|1970-01-02 00:00:00|true|0.5|0.1"]
    );
    for (rows, sqlstate) in [
        (rows(40_000, 1, 0.0), "22003"),
        (rows(1, 1000, 0.0), "22003"),
    ] {
        let error = write(&mut sink, 1, 2, &rows).await.unwrap_err();
        let SinkError::Refused { refused } = error else {
            panic!("{error}")
        };
        assert_eq!(refused[0].sqlstate, sqlstate);
    }
}

#[tokio::test]
async fn what_would_be_rounded_without_a_word_does_not_fit() {
    let decimal = DataType::Decimal {
        precision: 9,
        scale: 2,
    };
    let (whole, any) = (
        ["smallint", "bigint", "numeric"],
        ["real", "double precision"],
    );
    let database = Database::new().await;
    database
        .run("CREATE DOMAIN seconds AS timestamptz(0); CREATE DOMAIN points AS seconds")
        .await;
    for (data_type, fit, misfit) in [
        (
            DataType::SmallInt,
            [&whole[..], &any].concat(),
            &["numeric(5,-1)"][..],
        ),
        (
            DataType::Int,
            [&whole[..], &any[1..], &["numeric(5,0)"]].concat(),
            &["real", "numeric(5,-1)"],
        ),
        (
            DataType::BigInt,
            whole.to_vec(),
            &["real", "double precision", "numeric(5,-2)"],
        ),
        (DataType::Real, any.to_vec(), &[]),
        (DataType::Double, any[1..].to_vec(), &["real"]),
        (
            decimal,
            vec!["numeric", "numeric(9,2)", "numeric(9,3)"],
            &["numeric(9,1)", "numeric(9,-2)"],
        ),
        (
            DataType::Timestamp,
            vec!["timestamp", "timestamptz", "timestamp(6)", "text"],
            &["timestamp(5)", "timestamptz(0)", "points"],
        ),
        (
            DataType::TimestampTz,
            vec!["timestamptz", "timestamp"],
            &["timestamp(3)", "seconds"],
        ),
        (DataType::Date, vec!["timestamp(0)", "seconds"], &[]),
        (
            DataType::Text,
            vec![
                "timestamp(0)",
                "real",
                "numeric(5,1)",
                "varchar(3)",
                "char(3)",
            ],
            &[],
        ),
    ] {
        let columns = [Column::new("v", data_type)];
        let fit = fit.into_iter().map(|to| (to, true));
        for (to, fits) in fit.chain(misfit.iter().map(|to| (*to, false))) {
            database
                .run(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (v {to})"))
                .await;
            let sink = Sink::connect(&database.address(), &append("t"), &columns, task())
                .await
                .unwrap();
            match sink.describe().await {
                Ok(_changes) => assert!(fits, "{data_type} in {to}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!fits && said.contains("would be rounded"), "{said}");
                }
            }
        }
    }
}

#[tokio::test]
async fn arrays_of_other_widths_and_units_are_the_same_values() {
    let database = Database::new().await;
    let columns = [
        ("a", DataType::Text),
        ("b", DataType::Text),
        ("c", DataType::TimestampTz),
        ("d", DataType::BigInt),
        (
            "e",
            DataType::Decimal {
                precision: 9,
                scale: 4,
            },
        ),
    ];
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, data_type)| Column::new(*name, *data_type))
        .collect();
    let rows = batch_of(vec![
        ("a", Arc::new(StringViewArray::from(vec!["view"]))),
        ("b", Arc::new(LargeStringArray::from(vec!["large"]))),
        (
            "c",
            Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("+02:00")),
        ),
        ("d", Arc::new(Int32Array::from(vec![5]))),
        (
            "e",
            Arc::new(
                Decimal128Array::from(vec![15])
                    .with_precision_and_scale(4, 1)
                    .unwrap(),
            ),
        ),
    ]);
    let (mut sink, _) = ready(&database.address(), &append("t"), &columns).await;
    write(&mut sink, 0, 1, &rows).await.unwrap();
    let found = database
        .rows("SELECT a, b, c = 'epoch'::timestamptz + interval '1 ms', d, e FROM t")
        .await;
    assert_eq!(found, ["view|large|t|5|1.5000"]);
    let wrong = batch_of(vec![("a", text(&[Some("x")]))]);
    assert!(matches!(
        write(&mut sink, 1, 2, &wrong).await.unwrap_err(),
        SinkError::Batch(_)
    ));
}

#[tokio::test]
async fn keys_are_the_same_when_postgresql_says_so() {
    let database = Database::new().await;
    database
        .run(
            "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE folds (k text COLLATE folded PRIMARY KEY, v text);
             CREATE TABLE numbers (k numeric PRIMARY KEY, v text); CREATE TABLE padded (k char(5) PRIMARY KEY, v text);
             CREATE TABLE halves (k real PRIMARY KEY, v text); CREATE TABLE bytes (k bytea PRIMARY KEY, v text)",
        )
        .await;
    let columns = vec![
        Column::new("k", DataType::Text),
        Column::new("v", DataType::Text),
    ];
    for (number, (table, first, last, other)) in [
        ("folds", "Ada", "ADA", "Bob"),
        ("numbers", "1.0", "1.000", "2"),
        ("padded", "a", "a  ", "b"),
        ("halves", "0.1", "0.10000000149", "0.2"),
        ("bytes", "\\x0A", "\\x0a", "\\x0b"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sink = Sink::connect(
            &database.address(),
            &upsert(table, &["k"]),
            &columns,
            task(),
        )
        .await
        .unwrap();
        sink.prepare(false).await.unwrap();
        let partition = partition(i32::try_from(number).unwrap());
        sink.claim(&BTreeMap::from([(partition, 0)]), &BTreeSet::new())
            .await
            .unwrap();
        let rows = batch_of(vec![
            ("k", text(&[Some(first), Some(other), Some(last)])),
            ("v", text(&[Some("first"), Some("other"), Some("last")])),
        ]);
        let mut write = async |from: i64, deletes: &[Delete]| {
            let batch = Batch {
                rows: &rows,
                deletes,
                left_out: &BTreeSet::new(),
            };
            sink.write(partition, from, from + 1, &batch).await.unwrap()
        };
        write(0, &[]).await;
        let values = format!("SELECT v FROM {table} ORDER BY v");
        assert_eq!(database.rows(&values).await, ["last", "other"], "{table}");
        let written = write(1, &[delete(3, &[last])]).await;
        assert_eq!(
            written,
            Written {
                rows: 1,
                deleted: 1
            },
            "{table}"
        );
        assert_eq!(database.rows(&values).await, ["other"], "{table}");
    }
}
