//! The simple protocol: statements, settings, transactions, errors.

use crate::client::{PATIENCE, kinds};
use crate::fixture::Fixture;

#[tokio::test]
async fn several_statements_in_one_text_are_answered_in_turn() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let replies = client
        .query("SELECT 1; SET application_name = 'a'; ; SELECT 2 AS two WHERE false;")
        .await;
    assert_eq!(kinds(&replies), "TDCSCTCZ");
    let tags: Vec<_> = replies
        .iter()
        .filter(|reply| reply.kind == 'C')
        .map(|reply| reply.text())
        .collect();
    assert_eq!(tags, ["SELECT 1", "SET", "SELECT 0"]);
    for empty in ["", " ", ";", " ; ; -- nothing"] {
        assert_eq!(kinds(&client.query(empty).await), "IZ", "{empty:?}");
    }
    // A syntax error anywhere and nothing was run; another error, and what is behind it was not.
    let replies = client.query("SET application_name = 'b'; SELEC").await;
    assert_eq!(kinds(&replies), "EZ");
    let replies = client
        .query("SELECT 1; SELECT * FROM nowhere; SELECT 2")
        .await;
    assert_eq!(kinds(&replies), "TDCEZ");
    assert_eq!(client.value("SHOW application_name").await, "a");
}

#[tokio::test]
async fn values_of_every_type_as_text() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let rows = client.rows("SELECT * FROM flights ORDER BY id").await;
    assert_eq!(
        rows[0],
        [
            "1",
            "UA",
            "2.5",
            "t",
            "123.45",
            "2013-01-01",
            "2013-01-01 10:00:00+00",
            "\\x00ff"
        ]
    );
    assert_eq!(
        rows[1],
        [
            "2",
            "AA",
            "-4",
            "f",
            "-0.05",
            "1970-01-01",
            "1970-01-01 00:00:00+00",
            "\\x"
        ]
    );
    assert_eq!(rows[2][1..], ["NULL"; 7]);
    let replies = client.query("SELECT * FROM flights").await;
    let oids: Vec<u32> = replies[0]
        .columns()
        .into_iter()
        .map(|(_, oid, _)| oid)
        .collect();
    assert_eq!(oids, [20, 25, 701, 16, 1700, 1082, 1184, 17]);
    let rows = client
        .rows("SELECT ARRAY[1, 2, NULL], INTERVAL '1 day 2 hours', true, NULL, 'a' || 'b', 1.5")
        .await;
    assert_eq!(
        rows[0],
        ["{1,2,NULL}", "1 day 02:00:00", "t", "NULL", "ab", "1.5"]
    );
}

#[tokio::test]
async fn columns_without_a_name_have_the_names_that_postgresql_gives() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let sql = "SELECT 1, 2, count(*), max(id), sum(id) + 1, carrier, carrier FROM flights GROUP BY carrier ORDER BY count(*) DESC, max(id)";
    let replies = client.query(sql).await;
    let names: Vec<String> = replies[0]
        .columns()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(
        names,
        [
            "?column?", "?column?", "count", "max", "?column?", "carrier", "carrier"
        ]
    );
    let rows = client
        .rows("SELECT id::text, id FROM flights ORDER BY id DESC LIMIT 1")
        .await;
    assert_eq!(rows, [["3", "3"]]);
}

#[tokio::test]
async fn settings_are_set_shown_and_taken_back() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.value("SHOW server_version_num").await, "160000");
    assert_eq!(
        client.value("SHOW TRANSACTION ISOLATION LEVEL").await,
        "read committed"
    );
    client.rows("SET extra_float_digits TO 3; SET SESSION statement_timeout = '5s'; SET TIME ZONE 'Asia/Tokyo'; SET NAMES 'UTF8'; SET search_path TO public, pg_catalog").await;
    assert_eq!(client.value("SHOW extra_float_digits").await, "3");
    assert_eq!(client.value("SHOW statement_timeout").await, "5s");
    assert_eq!(
        client.value("SELECT current_setting('TimeZone')").await,
        "Asia/Tokyo"
    );
    client.rows("RESET statement_timeout; RESET ALL").await;
    assert_eq!(client.value("SHOW TimeZone").await, "UTC");
    assert_eq!(client.value("SHOW extra_float_digits").await, "1");
    assert!(client.rows("SHOW ALL").await.len() > 20);
    for (sql, state) in [
        ("SET nothing = 1", "42704"),
        ("SHOW nothing", "42704"),
        ("SET client_encoding = 'LATIN1'", "22023"),
        ("SET TimeZone = 'Nowhere'", "22023"),
        ("SET watertable.nothing = 1", "42704"),
        (
            "SET datafusion.execution.target_partitions = 1000000",
            "42704",
        ),
        ("SET server_version = '17'", "55P02"),
    ] {
        assert_eq!(client.state(sql).await, state, "{sql}");
    }
}

#[tokio::test]
async fn transaction_blocks_have_the_status_that_postgresql_says() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for (sql, status) in [
        ("BEGIN", b'T'),
        ("SELECT 1", b'T'),
        ("SELECT * FROM nowhere", b'E'),
        ("SELECT 1", b'E'),
        ("ROLLBACK", b'I'),
        ("START TRANSACTION READ ONLY", b'T'),
        ("SAVEPOINT a", b'T'),
        ("SELECT 1/0", b'E'),
        ("ROLLBACK TO SAVEPOINT a", b'T'),
        ("RELEASE SAVEPOINT a", b'T'),
        ("RELEASE SAVEPOINT a", b'E'),
        ("COMMIT", b'I'),
        ("END", b'I'),
    ] {
        let replies = client.query(sql).await;
        assert_eq!(replies.last().unwrap().body, [status], "{sql}");
    }
    client.rows("BEGIN").await;
    client.error("SELEC").await;
    assert_eq!(client.state("SELECT 1").await, "25P02");
    let replies = client.query("COMMIT").await;
    assert_eq!(replies[0].text(), "ROLLBACK");
}

#[tokio::test]
async fn a_rollback_takes_settings_back_and_local_ones_end_with_their_block() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .rows("BEGIN; SET application_name = 'x'; SET LOCAL TimeZone = 'Asia/Tokyo'")
        .await;
    assert_eq!(client.value("SHOW TimeZone").await, "Asia/Tokyo");
    client.rows("COMMIT").await;
    assert_eq!(client.value("SHOW TimeZone").await, "UTC");
    assert_eq!(client.value("SHOW application_name").await, "x");
    client
        .rows("BEGIN; SET application_name = 'y'; ROLLBACK")
        .await;
    assert_eq!(client.value("SHOW application_name").await, "x");
}

#[tokio::test]
async fn errors_say_what_where_and_what_to_do() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for (sql, state) in [
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nothing FROM flights", "42703"),
        ("SELEC 1", "42601"),
        ("SELECT 'open", "42601"),
        ("SELECT 1/0", "22012"),
        ("SELECT id / (id - id) FROM flights", "22012"),
        ("SELECT nothing(1)", "42883"),
        ("SELECT 'x'::int", "22P02"),
        ("INSERT INTO flights VALUES (1)", "0A000"),
        ("UPDATE flights SET id = 1", "0A000"),
        ("DELETE FROM flights", "0A000"),
        ("CREATE TABLE t (a int)", "0A000"),
        ("DROP TABLE flights", "0A000"),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "42601",
        ),
        ("COPY flights TO '/tmp/file'", "42501"),
        ("COPY flights TO PROGRAM 'id'", "0A000"),
        ("COPY flights FROM STDIN", "0A000"),
        ("EXPLAIN INSERT INTO flights VALUES (1)", "0A000"),
        (
            "SELECT a.id FROM flights a JOIN flights b ON a.id = b.id WHERE id = 1",
            "42702",
        ),
        ("EXECUTE nothing", "26000"),
        ("SELECT * FROM \"/etc/passwd\"", "42P01"),
        ("SELECT * FROM '/etc/passwd'", "42P01"),
    ] {
        assert_eq!(client.state(sql).await, state, "{sql}");
    }
    let error = client.error("SELECT *\nFROM flihgts").await;
    assert_eq!(
        error.field('M').as_deref(),
        Some("relation \"flihgts\" does not exist")
    );
    assert_eq!(
        error.field('H').as_deref(),
        Some("Perhaps you meant \"flights\".")
    );
    assert_eq!(error.field('P').as_deref(), Some("15"));
    let error = client.error("SELECT carier FROM flights").await;
    assert_eq!(error.field('P').as_deref(), Some("8"));
    assert!(error.field('H').is_some());
    let error = client.error("SELECT 1 FRM flights WHERE").await;
    assert!(error.field('P').is_some());
    let hint = client.error("DELETE FROM flights").await.field('H');
    assert!(hint.unwrap().contains("same key"));
}

#[tokio::test]
async fn prepared_statements_of_sql() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .rows("PREPARE q (bigint, text) AS SELECT id FROM flights WHERE id > $1 AND carrier = $2")
        .await;
    assert_eq!(client.rows("EXECUTE q(1, 'AA')").await, [["2"]]);
    assert_eq!(client.state("PREPARE q AS SELECT 1").await, "42P05");
    client.rows("DEALLOCATE q").await;
    assert_eq!(client.state("EXECUTE q(1, 'AA')").await, "26000");
    client.rows("PREPARE p AS SELECT 1; DISCARD ALL").await;
    assert_eq!(client.state("EXECUTE p").await, "26000");
}

#[tokio::test]
async fn explain_shows_the_plan() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let rows = client
        .rows("EXPLAIN SELECT count(*) FROM numbers WHERE n > 5")
        .await;
    assert!(
        rows.iter().flatten().any(|text| text.contains("Filter")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn deep_and_long_statements_are_answered() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(client.state(&deep).await, "54001");
    let list = (0..5000)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let long = format!("SELECT count(*) FROM numbers WHERE n IN ({list})");
    assert_eq!(
        tokio::time::timeout(PATIENCE, client.value(&long))
            .await
            .unwrap(),
        "4999"
    );
}

#[tokio::test]
async fn json_is_sent_as_json() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let document = r#"'{"a": {"b": [1, "x"]}, "t": "q\"", "n": null}'"#;
    for (path, value) in [
        ("-> 'a'", r#"{"b": [1, "x"]}"#),
        ("->> 't'", "q\""),
        ("-> 't'", r#""q\"""#),
        ("-> 'n'", "NULL"),
        ("-> 'a' -> 'b' -> 0", "1"),
    ] {
        assert_eq!(
            client.value(&format!("SELECT {document} {path}")).await,
            value,
            "{path}"
        );
    }
    let replies = client.query(&format!("SELECT {document} -> 'a'")).await;
    assert_eq!(replies[0].columns()[0].1, 114);
    assert_eq!(
        client
            .value("SELECT named_struct('a', 1, 'b', ARRAY['x'])")
            .await,
        r#"{"a":1,"b":["x"]}"#
    );
}
