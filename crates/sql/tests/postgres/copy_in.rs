//! COPY FROM STDIN.

use std::sync::atomic::Ordering;

use crate::client::{Client, Reply, bind, execute, kinds, message, parse, sync};
use crate::writable::Writable;

/// The answers to a COPY that sends this data in pieces of so many bytes.
async fn copied(client: &mut Client, sql: &str, data: &[u8], piece: usize) -> Vec<Reply> {
    client.send_query(sql).await;
    let first = client.receive().await.unwrap();
    assert_eq!(first.kind, 'G', "{sql}: {first:?}");
    for piece in data.chunks(piece) {
        client.send('d', piece).await;
    }
    client.send('c', b"").await;
    client.until_ready().await
}

async fn copy(client: &mut Client, sql: &str, data: &str) -> String {
    let replies = copied(client, sql, data.as_bytes(), 7).await;
    assert_eq!(kinds(&replies), "CZ", "{sql}: {replies:?}");
    replies[0].text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_become_records() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t WITH (partitions = 2)").await;
    let text = "a\tone\\ttwo\\\\\n\\N\tgröße\n\\.\n";
    assert_eq!(
        copy(&mut client, "COPY t (_key, _value) FROM STDIN", text).await,
        "COPY 2"
    );
    let csv = "_partition;_key;_headers;_value\n1;\"k\";\"[{\"\"key\"\":\"\"h\"\",\"\"value\"\":\"\"x\"\"}]\";\"a\nb\"\n0;NA;[];\n";
    let sql = "COPY t (_partition, _key, _headers, _value) FROM STDIN (FORMAT csv, HEADER, DELIMITER ';', NULL 'NA')";
    assert_eq!(copy(&mut client, sql, csv).await, "COPY 2");
    let rows = client
        .rows("SELECT _key, _value, _headers FROM t ORDER BY _value")
        .await;
    assert_eq!(
        rows,
        [
            ["NULL", "", "[]"],
            ["k", "a\nb", "[{\"key\":\"h\",\"value\":\"x\"}]"],
            ["NULL", "größe", "[]"],
            ["a", "one\ttwo\\", "[]"],
        ]
    );
    assert_eq!(server.counts(), (0, 2, 0));
    assert_eq!(
        copy(&mut client, "COPY t (_value) FROM STDIN", "").await,
        "COPY 0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_copy_to_writes_copy_from_reads() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    client.tag("CREATE TABLE u").await;
    let sql = "INSERT INTO t (_key, _value, _headers, _timestamp) VALUES ('a\tb', 'c\nd\\e', '{\"h\":\"x\"}', '2024-01-02T03:04:05.678Z'), (NULL, '\"', NULL, NULL), ('\\N', NULL, '[]', NULL)";
    client.tag(sql).await;
    let columns = "(_key, _value, _headers, _timestamp)";
    for format in ["", "(FORMAT csv)", "(FORMAT csv, QUOTE '''', ESCAPE '\\')"] {
        let written = client
            .query(&format!("COPY t {columns} TO STDOUT {format}"))
            .await;
        let data: Vec<u8> = written
            .iter()
            .filter(|reply| reply.kind == 'd')
            .flat_map(|reply| reply.body.clone())
            .collect();
        let replies = copied(
            &mut client,
            &format!("COPY u {columns} FROM STDIN {format}"),
            &data,
            5,
        )
        .await;
        assert_eq!(
            kinds(&replies),
            "CZ",
            "{format}: {:?} {}",
            replies,
            String::from_utf8_lossy(&data)
        );
    }
    let ask =
        |name| format!("SELECT _key, _value, _headers, _timestamp FROM {name} ORDER BY _value");
    let rows = client.rows(&ask("t")).await;
    let thrice: Vec<_> = rows
        .iter()
        .flat_map(|row| [row.clone(), row.clone(), row.clone()])
        .collect();
    assert_eq!(client.rows(&ask("u")).await, thrice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lines_are_one_transaction() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t (n int, name text)").await;
    let lines: String = (1..=2000).map(|n| format!("{n},name {n}\n")).collect();
    let replies = copied(
        &mut client,
        "COPY t FROM STDIN WITH CSV",
        lines.as_bytes(),
        1000,
    )
    .await;
    assert_eq!(replies[0].text(), "COPY 2000");
    assert_eq!(server.counts(), (0, 1, 0));
    let rows = client
        .rows("SELECT count(*), sum((_value->>'n')::int), max(_value) FROM t")
        .await;
    assert_eq!(
        rows,
        [["2000", "2001000", "{\"n\":999,\"name\":\"name 999\"}"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_its_line_and_nothing_counts() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t WITH (partitions = 2)").await;
    client.tag("CREATE TABLE u (a int NOT NULL, b text)").await;
    for (sql, data, state, context) in [
        (
            "COPY t (_key, _value) FROM STDIN",
            &b"a\tb\nc\td\n\ne\tf\n"[..],
            "22P04",
            "COPY t, line 3",
        ),
        (
            "COPY t (_key, _value) FROM STDIN",
            b"a\tb\tc\n",
            "22P04",
            "COPY t, line 1",
        ),
        (
            "COPY t (_partition) FROM STDIN",
            b"0\n1\nx\n",
            "22P02",
            "COPY t, line 3, column _partition: \"x\"",
        ),
        (
            "COPY t (_partition) FROM STDIN",
            b"0\n2\n1\n",
            "22003",
            "COPY t, line 2",
        ),
        (
            "COPY t (_value) FROM STDIN CSV HEADER",
            b"_value\n\"a\nb\"\n\xff\n",
            "22021",
            "COPY t, line 4, column _value: \"\u{fffd}\"",
        ),
        (
            "COPY t (_value) FROM STDIN CSV",
            b"a\n\"b",
            "22P04",
            "COPY t, line 2",
        ),
        (
            "COPY t (_value) FROM STDIN",
            b"a\n\\x00\n",
            "22021",
            "COPY t, line 2, column _value: \"\0\"",
        ),
        (
            "COPY u FROM STDIN",
            b"1\ta\n\\N\tb\n",
            "23502",
            "COPY u, line 2",
        ),
        (
            "COPY u FROM STDIN",
            b"1\ta\n99999999999\tb\n",
            "22P02",
            "COPY u, line 2, column a: \"99999999999\"",
        ),
    ] {
        let replies = copied(&mut client, sql, data, 100).await;
        assert_eq!(kinds(&replies), "EZ", "{sql}");
        assert_eq!(
            replies[0].field('C').as_deref(),
            Some(state),
            "{sql}: {:?}",
            replies[0].field('M')
        );
        // A zero byte cannot be sent in an error.
        let context = context.replace('\0', "");
        assert_eq!(replies[0].field('W'), Some(context), "{sql}");
    }
    assert_eq!(
        client
            .value("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u)")
            .await,
        "0"
    );
    // An error far behind what was sent already.
    let lines: String = (1..=2000)
        .map(|n| format!("{}\n", if n == 1900 { 7 } else { n % 2 }))
        .collect();
    let replies = copied(
        &mut client,
        "COPY t (_partition) FROM STDIN",
        lines.as_bytes(),
        500,
    )
    .await;
    assert_eq!(replies[0].field('W').as_deref(), Some("COPY t, line 1900"));
    assert_eq!(
        replies[0].field('D').as_deref(),
        Some("None of the 1536 records of the transaction counts.")
    );
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_copy_is_refused_before_it_begins() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    for (sql, state) in [
        ("COPY t FROM STDIN", "42601"),
        ("COPY t (_offset) FROM STDIN", "428C9"),
        ("COPY nowhere (_value) FROM STDIN", "42P01"),
        ("COPY t (_value) FROM '/etc/passwd'", "0A000"),
        ("COPY t (_value) FROM PROGRAM 'id'", "0A000"),
        ("COPY t (_value) FROM STDIN (FORMAT parquet)", "0A000"),
        (
            "COPY t (_value) FROM STDIN (FORMAT binary, DELIMITER ',')",
            "42601",
        ),
        (
            "COPY t (_value) FROM STDIN (FORMAT binary, HEADER)",
            "42601",
        ),
        (
            "COPY t (_value) FROM STDIN (FORMAT csv, FORCE_NULL (_value))",
            "0A000",
        ),
    ] {
        assert_eq!(client.state(sql).await, state, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gives_up_or_vanishes_and_nothing_counts() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    let lines = "x\n".repeat(1500);
    client.send_query("COPY t (_value) FROM STDIN").await;
    client.send('d', lines.as_bytes()).await;
    client.send('f', b"I do not want to\0").await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "GEZ");
    assert_eq!(replies[1].field('C').as_deref(), Some("57014"));
    assert_eq!(
        replies[1].field('M').as_deref(),
        Some("COPY from stdin failed: I do not want to")
    );
    assert_eq!(server.counts(), (0, 0, 1));
    // What is no part of a COPY ends it.
    client.send_query("COPY t (_value) FROM STDIN").await;
    let replies = client.query("SELECT 1").await;
    assert_eq!(kinds(&replies), "GEZ");
    assert_eq!(replies[1].field('C').as_deref(), Some("08P01"));
    // Outside of one its messages are passed over.
    client
        .send_raw(&[message('d', b"x"), message('c', b"")].concat())
        .await;
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
    client.send_query("COPY t (_value) FROM STDIN").await;
    client.send('d', lines.as_bytes()).await;
    assert_eq!(client.receive().await.unwrap().kind, 'G');
    let writer = &server.writer;
    server
        .until("the transaction has begun", |_| {
            writer.begun.load(Ordering::SeqCst) == 2
        })
        .await;
    drop(client);
    server
        .until("the transaction is aborted", |(_, _, aborted)| aborted == 2)
        .await;
    assert_eq!(
        server.client().await.value("SELECT count(*) FROM t").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_extended_protocol_copies_too() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    let start = [
        parse("", "COPY t (_value) FROM STDIN", &[]),
        bind("", "", 0, &[], 0),
        execute("", 0),
        sync(),
    ];
    client.send_raw(&start.concat()).await;
    // libpq sends the end of the run again behind the data.
    let data = [
        message('d', b"a\nb"),
        message('d', b"\nc\n"),
        message('c', b""),
        sync(),
    ];
    client.send_raw(&data.concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "12GCZ");
    assert_eq!(replies[3].text(), "COPY 3");
    assert_eq!(
        client.rows("SELECT _value FROM t ORDER BY 1").await,
        [["a"], ["b"], ["c"]]
    );
}

/// A row in the format `binary`.
fn binary_row(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        let length = field.map_or(-1, |field| i32::try_from(field.len()).unwrap());
        row.extend(length.to_be_bytes());
        row.extend(field.unwrap_or_default());
    }
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_rows_become_records() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client
        .tag("CREATE TABLE t (id bigint, fare numeric(10,2), at timestamptz, raw bytea)")
        .await;
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    // 123.45 in digits of base 10,000.
    let fare = [0, 2, 0, 0, 0, 0, 0, 2, 0, 123, 0x11, 0x94];
    let id = 7_i64.to_be_bytes();
    let data = [
        head.to_vec(),
        binary_row(&[Some(&id), Some(&fare), Some(&[0; 8]), Some(&[0, 255])]),
        binary_row(&[Some(&id), None, None, None]),
        (-1_i16).to_be_bytes().to_vec(),
    ];
    for sql in [
        "COPY t (id, fare, at, raw) FROM STDIN (FORMAT binary)",
        "COPY t (id, fare, at, raw) FROM STDIN BINARY",
    ] {
        let replies = copied(&mut client, sql, &data.concat(), 5).await;
        assert_eq!(kinds(&replies), "CZ", "{sql}: {replies:?}");
        assert_eq!(replies[0].text(), "COPY 2");
    }
    let rows = client
        .rows("SELECT DISTINCT id, fare, at, raw FROM t ORDER BY fare")
        .await;
    assert_eq!(
        rows,
        [
            ["7", "123.45", "2000-01-01 00:00:00+00", "\\x00ff"],
            ["7", "NULL", "NULL", "NULL"],
        ]
    );
    let short = [head.to_vec(), binary_row(&[Some(&[0; 3])])].concat();
    let sql = "COPY t (id) FROM STDIN (FORMAT binary)";
    let replies = copied(&mut client, sql, &short, 100).await;
    assert_eq!(kinds(&replies), "EZ");
    assert_eq!(replies[0].field('C').as_deref(), Some("22P03"));
    assert_eq!(
        replies[0].field('W').as_deref(),
        Some("COPY t, line 1, column id")
    );
    assert_eq!(
        client.state("COPY t TO STDOUT (FORMAT binary)").await,
        "0A000"
    );
}
