//! INSERT: rows become records, and what cannot be a record is an error before anything is written.

use crate::client::{bind, describe, execute, kinds, parse, sync};
use crate::writable::{Fault, Writable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_become_records() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    assert_eq!(
        client.tag("CREATE TABLE t WITH (partitions = 2)").await,
        "CREATE TABLE"
    );
    let sql = "INSERT INTO t (_key, _value, _partition, _timestamp, _headers) VALUES \
        ('a', 'one', 0, '2024-01-02 03:04:05.678+01', '[{\"key\":\"h\",\"value\":\"x\"},{\"key\":\"h\",\"value\":null}]'), \
        (NULL, 'größe', 1, DEFAULT, DEFAULT), ('c', NULL, 1, NULL, NULL)";
    assert_eq!(client.tag(sql).await, "INSERT 0 3");
    let rows = client
        .rows("SELECT _partition, _key, _value, _timestamp, _headers FROM t ORDER BY _partition, _offset")
        .await;
    let now = "2023-11-14 22:13:20+00";
    assert_eq!(
        rows,
        [
            [
                "0",
                "a",
                "one",
                "2024-01-02 02:04:05.678+00",
                "[{\"key\":\"h\",\"value\":\"x\"},{\"key\":\"h\",\"value\":null}]"
            ],
            ["1", "NULL", "größe", now, "[]"],
            ["1", "c", "NULL", now, "[]"],
        ]
    );
    assert_eq!(server.counts(), (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_costs_no_transaction() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    assert_eq!(
        client.tag("INSERT INTO t (_value) VALUES ('one')").await,
        "INSERT 0 1"
    );
    assert_eq!(server.counts(), (1, 0, 0));
    assert_eq!(client.rows("SELECT _value FROM t").await, [["one"]]);
    server.plant(Fault::Single);
    let error = client.error("INSERT INTO t (_value) VALUES ('two')").await;
    assert_eq!(error.field('C').as_deref(), Some("58000"));
    assert_eq!(
        error.field('M').as_deref(),
        Some("could not write to the topic: connection refused")
    );
    assert_eq!(client.rows("SELECT _value FROM t").await, [["one"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_written_as_they_are() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    client
        .tag("INSERT INTO \"t@bytes\" (_key, _value) VALUES ('\\x00ff', '\\x616200'::bytea)")
        .await;
    assert_eq!(
        client.rows("SELECT _key, _value FROM t").await,
        [["\\x00ff", "\\x616200"]]
    );
    assert_eq!(
        client
            .rows("SELECT encode(_key, 'hex') FROM \"t@bytes\"")
            .await,
        [["00ff"]]
    );
    client
        .tag("INSERT INTO \"t@bytes\" (_key, _value) SELECT _key, _value FROM \"t@bytes\"")
        .await;
    assert_eq!(
        client.rows("SELECT DISTINCT _key, _value FROM t").await,
        [["\\x00ff", "\\x616200"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_written_and_one_of_its_own_topic_ends() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t WITH (partitions = 3)").await;
    client.tag("CREATE TABLE u").await;
    let sql = "INSERT INTO t (_key, _value) SELECT 'k' || value, value::text FROM generate_series(1, 3000)";
    assert_eq!(client.tag(sql).await, "INSERT 0 3000");
    let sql = "INSERT INTO t (_key, _value, _headers) SELECT _key, _value, _headers FROM t";
    assert_eq!(client.tag(sql).await, "INSERT 0 3000");
    assert_eq!(client.tag(sql).await, "INSERT 0 6000");
    let sql = "WITH big AS (SELECT _value FROM t WHERE _value::int > 2990) INSERT INTO u (_value) SELECT * FROM big";
    assert_eq!(client.tag(sql).await, "INSERT 0 40");
    let rows = client
        .rows("SELECT count(*), count(DISTINCT _value), min(_value), max(_value) FROM u")
        .await;
    assert_eq!(rows, [["40", "10", "2991", "3000"]]);
    assert_eq!(
        client
            .rows("SELECT count(*), count(DISTINCT _key) FROM t")
            .await,
        [["12000", "3000"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_columns_make_the_value() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client
        .tag("CREATE TABLE t (id bigint NOT NULL, name text, price decimal(10, 2), at timestamptz, day date, ok boolean, more json, x double precision)")
        .await;
    let sql = "INSERT INTO t VALUES (1, 'a \"b\"', 1.5, '2024-01-02 03:04:05.5+00', '2024-01-02', true, '{\"a\": [1]}', 0.25), \
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    assert_eq!(client.tag(sql).await, "INSERT 0 2");
    assert_eq!(
        client
            .tag("INSERT INTO t (_key, name, id) VALUES ('k', 'c', '3')")
            .await,
        "INSERT 0 1"
    );
    assert_eq!(
        client
            .tag("INSERT INTO t (_key, _value) VALUES ('k', NULL)")
            .await,
        "INSERT 0 1"
    );
    let rows = client
        .rows("SELECT _key, _value FROM t ORDER BY _offset")
        .await;
    let nulls = |id, name| {
        format!(
            r#"{{"id":{id},"name":{name},"price":null,"at":null,"day":null,"ok":null,"more":null,"x":null}}"#
        )
    };
    assert_eq!(
        rows,
        [
            [
                "NULL",
                r#"{"id":1,"name":"a \"b\"","price":1.50,"at":"2024-01-02T03:04:05.500Z","day":"2024-01-02","ok":true,"more":{"a": [1]},"x":0.25}"#
            ],
            ["NULL", &nulls(2, "null")],
            ["k", &nulls(3, "\"c\"")],
            ["k", "NULL"],
        ]
    );
    for (sql, state, message) in [
        (
            "INSERT INTO t (name) VALUES ('a')",
            "23502",
            "null value in column \"id\" of relation \"t\" violates not-null constraint",
        ),
        (
            "INSERT INTO t (id, _value) VALUES (1, '{}')",
            "42601",
            "the value of a record of \"t\" is either _value or the columns of its contract",
        ),
        (
            "INSERT INTO t (id, more) VALUES (1, '{')",
            "22P02",
            "invalid input syntax for type json in column \"more\"",
        ),
        (
            "INSERT INTO t (id, x) VALUES (1, 'NaN')",
            "22P02",
            "column \"x\" cannot be NaN, which JSON has no number for",
        ),
        ("INSERT INTO t (id) VALUES ('one')", "22P02", ""),
        (
            "INSERT INTO t VALUES (1, '', 1, NULL, NULL, NULL, NULL, NULL, 9)",
            "42601",
            "INSERT has 9 expressions and 8 target columns",
        ),
    ] {
        let error = client.error(sql).await;
        assert_eq!(
            error.field('C').as_deref(),
            Some(state),
            "{sql} {:?}",
            error.field('M')
        );
        assert!(
            error.field('M').unwrap().contains(message),
            "{sql}: {:?}",
            error.field('M')
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_written_as_csv_and_other_formats_are_refused_by_name() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client
        .tag("CREATE TABLE t (a int, b text) WITH (format = csv, delimiter = ';', null = 'NA')")
        .await;
    client
        .tag("INSERT INTO t VALUES (1, 'x'), (NULL, 'NA'), (2, 'a;\"b\"')")
        .await;
    let rows = client.rows("SELECT _value FROM t ORDER BY _offset").await;
    assert_eq!(rows, [["1;x"], ["NA;\"NA\""], ["2;\"a;\"\"b\"\"\""]]);
    let contract = "{\"format\":\"avro\",\"schema\":{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}}";
    client
        .tag(&format!(
            "CREATE TABLE u WITH (\"watertable.contract\" = '{contract}')"
        ))
        .await;
    let error = client.error("INSERT INTO u (a) VALUES (1)").await;
    assert_eq!(error.field('C').as_deref(), Some("0A000"));
    assert_eq!(
        error.field('M').as_deref(),
        Some("topic \"u\" has values of format avro, which cannot be written by columns")
    );
    assert_eq!(
        client.tag("INSERT INTO u (_value) VALUES ('raw')").await,
        "INSERT 0 1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_record_is_refused_before_anything_is_written() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE trips WITH (partitions = 2)").await;
    client
        .tag("CREATE TABLE latest WITH (\"cleanup.policy\" = 'compact')")
        .await;
    for (sql, state, hint) in [
        (
            "INSERT INTO trip (_value) VALUES ('a')",
            "42P01",
            "Perhaps you meant trips.",
        ),
        (
            "INSERT INTO trips VALUES ('a')",
            "42601",
            "For example trips (_key, _value)",
        ),
        (
            "INSERT INTO trips (_topic) VALUES ('a')",
            "428C9",
            "leave the column out",
        ),
        (
            "INSERT INTO trips (_key, _offset) VALUES ('a', 1)",
            "428C9",
            "A log numbers its records itself",
        ),
        (
            "INSERT INTO trips (_vlue) VALUES ('a')",
            "42703",
            "Perhaps you meant \"_value\".",
        ),
        (
            "INSERT INTO trips (_value, _value) VALUES ('a', 'b')",
            "42701",
            "",
        ),
        ("INSERT INTO trips (_key, _value) VALUES ('a')", "42601", ""),
        ("INSERT INTO trips (_key, _value) SELECT 'a'", "42601", ""),
        (
            "INSERT INTO trips (_partition, _value) VALUES (0, 'a'), (2, 'b')",
            "22003",
            "They are numbered from 0 to 1",
        ),
        (
            "INSERT INTO trips (_partition, _value) VALUES (-1, 'b')",
            "22003",
            "They are numbered",
        ),
        (
            "INSERT INTO trips (_partition, _value) VALUES ('x', 'b')",
            "22P02",
            "",
        ),
        (
            "INSERT INTO trips (_timestamp, _value) VALUES ('1969-12-31 00:00:00Z', 'b')",
            "22008",
            "Leave _timestamp out",
        ),
        (
            "INSERT INTO trips (_headers, _value) VALUES ('nothing', 'b')",
            "22P02",
            "Write [{\"key\"",
        ),
        (
            "INSERT INTO latest (_value) VALUES ('b')",
            "23502",
            "The topic is compacted",
        ),
        (
            "INSERT INTO \"latest@latest\" (_key, _value) VALUES ('a', 'b')",
            "42809",
            "What is inserted into latest is the newest record of its key",
        ),
        (
            "INSERT INTO \"latest@bytes@latest\" (_key, _value) VALUES ('a', 'b')",
            "42809",
            "What is inserted into latest is the newest record of its key",
        ),
        (
            "INSERT INTO __consumer_offsets (_value) VALUES ('b')",
            "42501",
            "",
        ),
        (
            "INSERT INTO pg_class (_value) VALUES ('b')",
            "42809",
            "\\dt lists",
        ),
        (
            "INSERT INTO information_schema.tables (_value) VALUES ('b')",
            "42809",
            "\\dt lists",
        ),
        (
            "INSERT INTO trips (_value) VALUES ('a') RETURNING _offset",
            "0A000",
            "SELECT shows",
        ),
        (
            "INSERT INTO trips (_value) VALUES ('a') ON CONFLICT DO NOTHING",
            "0A000",
            "a newer one with the same _key",
        ),
        (
            "INSERT INTO trips DEFAULT VALUES",
            "0A000",
            "VALUES ('key', 'value')",
        ),
        (
            "INSERT OVERWRITE trips (_value) VALUES ('a')",
            "0A000",
            "VALUES ('key', 'value')",
        ),
        (
            "EXPLAIN INSERT INTO trips (_value) VALUES ('a')",
            "0A000",
            "",
        ),
        ("SELECT * FROM \"trips@insert\"", "42000", ""),
        (
            "UPDATE trips SET _value = 'a'",
            "0A000",
            "Append a record with the same key",
        ),
        (
            "DELETE FROM trips",
            "0A000",
            "Append a record with the same key",
        ),
        ("TRUNCATE trips", "0A000", "Append a record"),
    ] {
        let error = client.error(sql).await;
        assert_eq!(
            error.field('C').as_deref(),
            Some(state),
            "{sql}: {:?}",
            error.field('M')
        );
        assert!(
            error.field('H').unwrap_or_default().contains(hint),
            "{sql}: {:?}",
            error.field('H')
        );
    }
    assert_eq!(
        client
            .value("SELECT (SELECT count(*) FROM trips) + (SELECT count(*) FROM latest)")
            .await,
        "0"
    );
    assert_eq!(server.counts(), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_have_the_types_of_the_columns() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client
        .tag("CREATE TABLE t (id bigint, name text, at timestamptz)")
        .await;
    let sql = "INSERT INTO t (_key, id, name, at, _headers) VALUES ($1, $2, $3, $4, $5)";
    client
        .send_raw(&[parse("i", sql, &[]), describe('S', "i"), sync()].concat())
        .await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "1tnZ");
    assert_eq!(replies[1].parameters(), [25, 20, 25, 1184, 25]);
    let run = |id: &'static [u8]| {
        let values = [
            Some(&b"k"[..]),
            Some(id),
            None,
            Some(&b"2024-01-02 03:04:05Z"[..]),
            Some(&b"{\"a\":\"b\"}"[..]),
        ];
        [bind("", "i", 0, &values, 0), execute("", 0)].concat()
    };
    client
        .send_raw(&[run(b"1"), run(b"2"), sync()].concat())
        .await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "2C2CZ");
    assert_eq!(replies[3].text(), "INSERT 0 1");
    // What came before one Sync is one transaction.
    assert_eq!(server.counts(), (0, 1, 0));
    client
        .send_raw(&[run(b"3"), run(b"no number"), run(b"4"), sync()].concat())
        .await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "2CEZ");
    assert_eq!(replies[2].field('C').as_deref(), Some("22P02"));
    let rows = client
        .rows("SELECT _key, _value, _headers FROM t ORDER BY _offset")
        .await;
    let value = |id| format!(r#"{{"id":{id},"name":null,"at":"2024-01-02T03:04:05Z"}}"#);
    let headers = r#"[{"key":"a","value":"b"}]"#;
    assert_eq!(rows, [["k", &value(1), headers], ["k", &value(2), headers]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_stand_in_expressions_and_queries_too() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    for (sql, oids) in [
        ("INSERT INTO t (_key, _value) SELECT $1, $2", &[][..]),
        (
            "INSERT INTO t (_key, _value) VALUES ($1 || '', upper($2))",
            &[],
        ),
        (
            "INSERT INTO t (_key, _value) VALUES ($1, $2::text)",
            &[1043, 25],
        ),
    ] {
        let values = [Some(&b"7"[..]), Some(&b"V"[..])];
        let messages = [
            parse("", sql, oids),
            bind("", "", 0, &values, 0),
            execute("", 0),
            sync(),
        ];
        client.send_raw(&messages.concat()).await;
        let replies = client.until_ready().await;
        assert_eq!(
            kinds(&replies),
            "12CZ",
            "{sql}: {:?}",
            replies
                .iter()
                .find(|reply| reply.kind == 'E')
                .map(|error| error.field('M'))
        );
    }
    client
        .tag("PREPARE p AS INSERT INTO t (_key, _value) VALUES ($1, $2)")
        .await;
    assert_eq!(client.tag("EXECUTE p('7', 'V')").await, "INSERT 0 1");
    assert_eq!(
        client
            .rows("SELECT _key, _value, count(*) FROM t GROUP BY 1, 2")
            .await,
        [["7", "V", "4"]]
    );
}
