//! COPY to a store that speaks S3's protocol.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sql::{S3Endpoint, S3Options, S3Prefix};
use testkit::s3::{ACCESS_KEY, Fault, Operation, S3};

use crate::client::{Client, PATIENCE};
use crate::fixture::Fixture;

const PLENTY: u64 = 1 << 30;
/// About 27 MB of CSV: three parts that are whole, and a rest.
const LARGE: &str = "SELECT n, text FROM endless LIMIT 250000";
const LARGE_ROWS: usize = 250_000;

fn options(endpoint: &str) -> S3Options {
    let variable = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    S3Options {
        allowed: ["s3://bucket/exports", "s3://no-bucket"]
            .map(|prefix| S3Prefix::parse(prefix).unwrap())
            .to_vec(),
        endpoint: Some(S3Endpoint::parse(endpoint).unwrap()),
        region: None,
        environment: vec![
            variable("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            variable("AWS_SECRET_ACCESS_KEY", "secret"),
            variable("AWS_ENDPOINT_URL", "https://nowhere.invalid"),
            variable("AWS_CA_BUNDLE", "of another program"),
        ],
    }
}

async fn start() -> (S3, Fixture, Client) {
    start_within(PLENTY).await
}

async fn start_within(bytes_max: u64) -> (S3, Fixture, Client) {
    let s3 = S3::start().await;
    let fixture = Fixture::start_exporting_to(options(&s3.endpoint()), bytes_max).await;
    let client = fixture.client().await;
    (s3, fixture, client)
}

/// The tag of a COPY.
async fn exported(client: &mut Client, sql: &str) -> String {
    let replies = client.query(sql).await;
    let error = replies.iter().find(|reply| reply.kind == 'E');
    let said = error.map(|error| (error.field('C'), error.field('M')));
    assert!(error.is_none(), "{sql}: {said:?}");
    let done = replies.iter().find(|reply| reply.kind == 'C').unwrap();
    done.text()
}

/// State, message and hint of a refusal.
async fn refused(client: &mut Client, sql: &str) -> (String, String, String) {
    let error = client.error(sql).await;
    let field = |field| error.field(field).unwrap_or_default();
    (field('C'), field('M'), field('H'))
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

async fn until_nothing_is_left(s3: &S3) {
    until("the upload is gone", || s3.open_uploads().is_empty()).await;
    assert_eq!(s3.names(), Vec::<String>::new());
}

fn text(s3: &S3, key: &str) -> String {
    let object = s3.object(key);
    let object = object.unwrap_or_else(|| panic!("{key} among {:?}", s3.names()));
    String::from_utf8(object).unwrap()
}

fn parquet(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[tokio::test]
async fn objects_have_what_files_have() {
    let (s3, _fixture, mut client) = start().await;
    let query = "(SELECT id, carrier, raw, at, fare FROM flights ORDER BY id)";
    for name in ["a.csv", "a.ndjson", "a.parquet"] {
        let sql = format!("COPY {query} TO 's3://bucket/exports/{name}'");
        assert_eq!(exported(&mut client, &sql).await, "COPY 3");
    }
    assert_eq!(
        text(&s3, "exports/a.csv"),
        "id,carrier,raw,at,fare\n1,UA,\\x00ff,2013-01-01 10:00:00+00,123.45\n2,AA,\\x,1970-01-01 00:00:00+00,-0.05\n3,,,,\n"
    );
    let lines = text(&s3, "exports/a.ndjson");
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(
        lines.lines().next(),
        Some(
            r#"{"id":1,"carrier":"UA","raw":"\\x00ff","at":"2013-01-01T10:00:00Z","fare":123.45}"#
        )
    );
    let batch = parquet(s3.object("exports/a.parquet").unwrap());
    let column = |name: &str| batch.column_by_name(name).unwrap();
    assert_eq!(
        column("id").as_primitive::<Int64Type>().values(),
        &[1, 2, 3]
    );
    assert_eq!(column("raw").as_binary::<i32>().value(0), b"\x00\xff");
    assert_eq!(column("fare").data_type(), &DataType::Decimal128(10, 2));
    // Small ones are a request each.
    assert_eq!(
        (s3.asked(Operation::Put), s3.asked(Operation::Begin)),
        (3, 0)
    );
    // Nothing is an object, too.
    let nothing = "COPY (SELECT id FROM flights WHERE id > 9) TO 's3://bucket/exports/b.ndjson'";
    assert_eq!(exported(&mut client, nothing).await, "COPY 0");
    assert_eq!(text(&s3, "exports/b.ndjson"), "");
    let (state, _, _) = refused(&mut client, nothing).await;
    assert_eq!(state, "58P02");
}

#[tokio::test]
async fn a_large_result_is_sent_in_parts_and_there_when_it_is_whole() {
    let (s3, _fixture, mut client) = start().await;
    let sql = format!("COPY ({LARGE}) TO 's3://bucket/exports/a.csv'");
    assert_eq!(exported(&mut client, &sql).await, "COPY 250000");
    let written = text(&s3, "exports/a.csv");
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("n,text"));
    let x = "x".repeat(100);
    let expected = (0..LARGE_ROWS).map(|n| format!("{n},{x}"));
    assert!(lines.eq(expected), "the rows in their order");
    assert_eq!(s3.asked(Operation::Begin), 1);
    assert_eq!(s3.asked(Operation::Part), written.len().div_ceil(8 << 20));
    assert!(s3.asked(Operation::Part) > 3, "{} bytes", written.len());
    assert_eq!(s3.open_uploads(), Vec::<usize>::new());

    // What does not compress: row groups go out as they are written.
    let digits = "SELECT n, md5(n::text) || md5((n + 1000000)::text) || md5((n + 2000000)::text) AS t FROM endless \
                  LIMIT 250000";
    let sql = format!("COPY ({digits}) TO 's3://bucket/exports/a.parquet'");
    assert_eq!(exported(&mut client, &sql).await, "COPY 250000");
    let batch = parquet(s3.object("exports/a.parquet").unwrap());
    let numbers = batch.column_by_name("n").unwrap();
    let numbers = numbers.as_primitive::<Int64Type>().values();
    assert_eq!(numbers.len(), LARGE_ROWS);
    assert!(numbers.iter().all(|number| *number >= 0));
    assert_eq!(s3.asked(Operation::Begin), 2, "it is larger than a part");
}

#[tokio::test]
async fn an_object_that_is_there_is_kept_unless_it_may_be_overwritten() {
    let (s3, _fixture, mut client) = start().await;
    s3.put("exports/a.csv", b"first");
    let sql = "COPY (SELECT id FROM flights) TO 's3://bucket/exports/a.csv'";
    let (state, _, hint) = refused(&mut client, sql).await;
    assert_eq!(state, "58P02");
    assert!(hint.contains("OVERWRITE"), "{hint}");
    assert_eq!(s3.asked(Operation::Put), 0);
    assert_eq!(text(&s3, "exports/a.csv"), "first");
    exported(&mut client, &format!("{sql} WITH (OVERWRITE true)")).await;
    assert_eq!(text(&s3, "exports/a.csv"), "id\n1\n2\n3\n");

    // Nor is one that comes while the other is written.
    s3.fail(|operation| {
        let is_last = matches!(operation, Operation::Put | Operation::Complete);
        is_last.then_some(Fault::Overtake)
    });
    for query in ["SELECT id FROM flights", LARGE] {
        let key = format!("exports/{}.csv", query.len());
        let sql = format!("COPY ({query}) TO 's3://bucket/{key}'");
        let (state, message, _) = refused(&mut client, &sql).await;
        assert_eq!(state, "58P02", "{message}");
        assert_eq!(text(&s3, &key), "another's");
    }
    until("the upload is gone", || s3.open_uploads().is_empty()).await;
}

#[tokio::test]
async fn a_cancelled_export_and_one_whose_client_is_gone_leave_no_object_and_no_upload() {
    let (s3, fixture, mut client) = start_within(u64::MAX).await;
    let sql = "COPY (SELECT n, text FROM endless) TO 's3://bucket/exports/a.csv'";
    let is_sending = || s3.open_uploads().iter().any(|parts| *parts > 0);
    client.send_query(sql).await;
    until("parts are there", is_sending).await;
    let mut canceller = Client::open(fixture.address).await;
    canceller
        .send_packet(&[&80_877_102_i32.to_be_bytes()[..], &client.key].concat())
        .await;
    let replies = client.until_ready().await;
    let error = replies.iter().find(|reply| reply.kind == 'E').unwrap();
    assert_eq!(error.field('C').as_deref(), Some("57014"));
    until_nothing_is_left(&s3).await;

    client.send_query(sql).await;
    until("parts are there", is_sending).await;
    drop(client);
    until_nothing_is_left(&s3).await;
    assert_eq!(s3.asked(Operation::Abort), 2);
    let ended = |endless: &crate::fixture::Endless| endless.readers.load(Ordering::SeqCst) == 0;
    fixture.until("the query ends", ended).await;
}

#[tokio::test]
async fn an_upload_that_begins_as_its_statement_is_cancelled_is_aborted() {
    let (s3, fixture, mut client) = start_within(u64::MAX).await;
    // The store has begun it and nobody has heard so.
    s3.fail(|operation| (operation == Operation::Part).then_some(Fault::Hang));
    client
        .send_query("COPY (SELECT n, text FROM endless) TO 's3://bucket/exports/a.csv'")
        .await;
    until("it has begun", || s3.open_uploads().len() == 1).await;
    let mut canceller = Client::open(fixture.address).await;
    canceller
        .send_packet(&[&80_877_102_i32.to_be_bytes()[..], &client.key].concat())
        .await;
    let replies = client.until_ready().await;
    let error = replies.iter().find(|reply| reply.kind == 'E').unwrap();
    assert_eq!(error.field('C').as_deref(), Some("57014"));
    until_nothing_is_left(&s3).await;
}

#[tokio::test]
async fn nothing_is_left_of_what_fails_or_is_too_large() {
    let (s3, _fixture, mut client) = start_within(20_000_000).await;
    let failing =
        "COPY (SELECT n, text, 1 / (n - 150000) AS f FROM endless) TO 's3://bucket/exports/a.csv'";
    let (state, _, _) = refused(&mut client, failing).await;
    assert_eq!(state, "22012");
    until_nothing_is_left(&s3).await;
    let endless = "COPY (SELECT n, text FROM endless) TO 's3://bucket/exports/a.csv'";
    let (state, _, _) = refused(&mut client, endless).await;
    assert_eq!(state, "54000");
    until_nothing_is_left(&s3).await;
    assert_eq!(
        (s3.asked(Operation::Begin), s3.asked(Operation::Abort)),
        (2, 2)
    );
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_store_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (s3, _fixture, mut client) = start().await;
    let sql = |key: &str| format!("COPY ({LARGE}) TO 's3://bucket/exports/{key}'");
    let mut asked = std::collections::BTreeMap::<Operation, usize>::new();
    s3.fail(move |operation| {
        let asked = asked.entry(operation).or_default();
        *asked += 1;
        (*asked <= 2).then_some(Fault::Refuse(503, "SlowDown"))
    });
    assert_eq!(exported(&mut client, &sql("a.csv")).await, "COPY 250000");
    assert!(text(&s3, "exports/a.csv").ends_with('\n'));

    for (operation, status, code, state, hint) in [
        (
            Operation::Begin,
            403,
            "AccessDenied",
            "42501",
            "s3:PutObject",
        ),
        (
            Operation::Part,
            400,
            "ExpiredToken",
            "42501",
            "AWS_SESSION_TOKEN",
        ),
        (
            Operation::Part,
            403,
            "RequestTimeTooSkewed",
            "58030",
            "clock",
        ),
        (Operation::Complete, 503, "SlowDown", "58030", "try again"),
        (
            Operation::Get,
            301,
            "PermanentRedirect",
            "58030",
            "sql.export.s3.region",
        ),
        (
            Operation::Get,
            400,
            "AuthorizationHeaderMalformed",
            "58030",
            "sql.export.s3.region",
        ),
        (
            Operation::Get,
            403,
            "AccessDenied",
            "42501",
            "s3:ListBucket",
        ),
        (
            Operation::Get,
            403,
            "SignatureDoesNotMatch",
            "42501",
            "AWS_SECRET_ACCESS_KEY",
        ),
    ] {
        s3.fail(move |asked| (asked == operation).then_some(Fault::Refuse(status, code)));
        let (found, message, found_hint) = refused(&mut client, &sql("b.csv")).await;
        assert_eq!(found, state, "{operation:?} {code}: {message}");
        assert!(
            found_hint.contains(hint),
            "{operation:?} {code}: {found_hint}"
        );
        assert!(!message.contains("not for clients"), "{message}");
        until("the upload is gone", || s3.open_uploads().is_empty()).await;
        assert_eq!(s3.names(), ["bucket/exports/a.csv"]);
    }
}

#[tokio::test]
async fn if_the_last_answer_is_lost_nobody_says_that_the_object_is_not_there() {
    let (s3, _fixture, mut client) = start().await;
    s3.fail(|operation| {
        let is_last = matches!(operation, Operation::Put | Operation::Complete);
        is_last.then_some(Fault::LoseAnswer)
    });
    for (number, query) in ["SELECT id FROM flights", LARGE].into_iter().enumerate() {
        let key = format!("exports/{number}.csv");
        let sql = format!("COPY ({query}) TO 's3://bucket/{key}'");
        let (state, message, hint) = refused(&mut client, &sql).await;
        assert_eq!(state, "58030", "{message}");
        assert!(message.contains("not known"), "{message}");
        assert!(hint.contains("Look whether"), "{hint}");
        assert!(text(&s3, &key).ends_with('\n'));
    }
    assert_eq!(s3.open_uploads(), Vec::<usize>::new());
}

#[tokio::test]
async fn a_store_that_is_not_there_or_takes_no_credentials_is_told_in_time() {
    let s3 = S3::start().await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let set = |options: &mut S3Options, name: &str, text: &str| {
        options.environment.retain(|(set, _)| set != name);
        options.environment.push((name.to_owned(), text.to_owned()));
    };
    let down = options(&format!("http://{nobody}"));
    let mut unknown = options(&s3.endpoint());
    set(&mut unknown, "AWS_ACCESS_KEY_ID", "nobody");
    let mut none = options(&s3.endpoint());
    none.environment = Vec::new();
    set(
        &mut none,
        "AWS_METADATA_ENDPOINT",
        &format!("http://{nobody}"),
    );
    let mut half = options(&s3.endpoint());
    half.environment
        .retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY");
    for (options, state, said, hint) in [
        (down, "58030", "cannot be reached", "sql.export.s3.endpoint"),
        (unknown, "42501", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (none, "42501", "no credentials", "AWS_ACCESS_KEY_ID"),
        (half, "58030", "cannot be used", "AWS_"),
    ] {
        let fixture = Fixture::start_exporting_to(options, PLENTY).await;
        let mut client = fixture.client().await;
        for options in ["", " WITH (OVERWRITE true)"] {
            let sql = format!("COPY flights TO 's3://bucket/exports/a.csv'{options}");
            let (found, message, found_hint) = refused(&mut client, &sql).await;
            assert_eq!(found, state, "{message}");
            assert!(message.contains(said), "{message}");
            assert!(found_hint.contains(hint), "{found_hint}");
        }
    }
    assert_eq!(s3.names(), Vec::<String>::new());
}

#[tokio::test]
async fn only_what_is_allowed_is_asked_for() {
    let (s3, _fixture, mut client) = start().await;
    let long = format!("s3://bucket/exports/{}.csv", "k".repeat(1100));
    let longest = format!("s3://bucket/exports/{}.csv", "k".repeat(100_000));
    for (name, state, hint) in [
        ("s3://bucket/a.csv", "42501", "sql.export.s3.prefixes"),
        ("s3://bucket/exports.csv", "42501", "sql.export.s3.prefixes"),
        (
            "s3://bucket/exports-secret/a.csv",
            "42501",
            "sql.export.s3.prefixes",
        ),
        (
            "s3://bucket/%65xports/a.csv",
            "42501",
            "sql.export.s3.prefixes",
        ),
        (
            "s3://other/exports/a.csv",
            "42501",
            "sql.export.s3.prefixes",
        ),
        ("s3://bucket/exports/../a.csv", "42602", "s3://bucket/key"),
        ("s3://bucket/exports//a.csv", "42602", "s3://bucket/key"),
        ("s3://bucket//exports/a.csv", "42602", "s3://bucket/key"),
        ("s3://bucket/exports/", "42602", "s3://bucket/key"),
        ("s3://bucket", "42602", "s3://bucket/key"),
        ("s3://", "42602", "s3://bucket/key"),
        (
            "s3://bucket@127.0.0.1:1/exports/a.csv",
            "42602",
            "s3://bucket/key",
        ),
        (&long, "42602", "s3://bucket/key"),
        (&longest, "42602", "s3://bucket/key"),
        ("S3://bucket/exports/a.csv", "0A000", "s3://bucket/key"),
        ("http://127.0.0.1/a.csv", "0A000", "s3://bucket/key"),
        ("s3://bucket/exports/a", "42601", ".parquet"),
        ("a.csv", "42501", "sql.export.dir"),
    ] {
        let (found, message, found_hint) =
            refused(&mut client, &format!("COPY flights TO '{name}'")).await;
        assert_eq!(found, state, "{name}: {message}");
        assert!(found_hint.contains(hint), "{name}: {found_hint}");
        assert!(message.len() < 10_000);
    }
    assert_eq!(s3.asked(Operation::Get), 0);
    let (state, message, hint) =
        refused(&mut client, "COPY flights TO 's3://no-bucket/a.csv'").await;
    assert_eq!(state, "58P01", "{message}");
    assert!(
        message.contains("NoSuchBucket") && hint.contains("make it"),
        "{message} {hint}"
    );
    // A key is what is written, to the letter.
    for key in [
        "exports/a%2Fb.csv",
        "exports/%2e%2e/a b+c?d#e&f.csv",
        "exports/ü…/a.csv",
    ] {
        let sql = format!("COPY (SELECT 1 AS n) TO 's3://bucket/{key}'");
        assert_eq!(exported(&mut client, &sql).await, "COPY 1");
        assert_eq!(text(&s3, key), "n\n1\n");
    }
    assert_eq!(s3.names().len(), 3);

    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let (state, _, _) = refused(&mut client, "COPY flights TO 's3://bucket/exports/a.csv'").await;
    assert_eq!(state, "42501");
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), PLENTY).await;
    let mut client = fixture.client().await;
    let (state, _, hint) =
        refused(&mut client, "COPY flights TO 's3://bucket/exports/a.csv'").await;
    assert_eq!(state, "42501");
    assert!(hint.contains("sql.export.s3.prefixes"), "{hint}");
}

#[tokio::test]
async fn a_store_is_no_table() {
    let (s3, _fixture, mut client) = start().await;
    s3.put("exports/a.csv", b"n\n1\n");
    for sql in [
        "SELECT * FROM 's3://bucket/exports/a.csv'",
        "SELECT * FROM \"s3://bucket/exports/a.csv\"",
        "COPY flights FROM 's3://bucket/exports/a.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://bucket/exports/a.csv'",
    ] {
        let (state, message, _) = refused(&mut client, sql).await;
        assert_ne!(state, "XX000", "{sql}: {message}");
    }
    assert_eq!(s3.asked(Operation::Get), 0);
}
