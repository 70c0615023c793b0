//! COPY TO STDOUT.

use crate::client::{Client, kinds};
use crate::fixture::Fixture;

/// What a COPY wrote.
async fn copied(client: &mut Client, sql: &str) -> String {
    let replies = client.query(sql).await;
    assert!(kinds(&replies).starts_with('H'), "{sql}: {replies:?}");
    let data = replies
        .iter()
        .filter(|reply| reply.kind == 'd')
        .flat_map(|reply| reply.body.clone());
    String::from_utf8(data.collect()).unwrap()
}

#[tokio::test]
async fn text_and_csv() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let sql = "COPY (SELECT id, carrier, delay FROM flights ORDER BY id) TO STDOUT";
    let replies = client.query(sql).await;
    assert_eq!(kinds(&replies), "HdddcCZ");
    assert_eq!(replies[5].text(), "COPY 3");
    assert_eq!(
        copied(&mut client, sql).await,
        "1\tUA\t2.5\n2\tAA\t-4\n3\t\\N\t\\N\n"
    );
    for options in [
        "WITH (FORMAT csv, HEADER)",
        "WITH (FORMAT csv, HEADER true)",
        "CSV HEADER",
        "WITH CSV HEADER",
    ] {
        let text = copied(&mut client, &format!("{sql} {options}")).await;
        assert_eq!(
            text, "id,carrier,delay\n1,UA,2.5\n2,AA,-4\n3,,\n",
            "{options}"
        );
    }
    let text = copied(
        &mut client,
        &format!("{sql} (FORMAT csv, DELIMITER ';', NULL 'none')"),
    )
    .await;
    assert_eq!(text, "1;UA;2.5\n2;AA;-4\n3;none;none\n");
    assert_eq!(
        copied(&mut client, "COPY flights (id) TO STDOUT").await,
        "1\n2\n3\n"
    );
}

#[tokio::test]
async fn what_separates_is_escaped_or_quoted() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let table = "\"Odd-Topic.1\"";
    assert_eq!(
        copied(&mut client, &format!("COPY {table} TO STDOUT")).await,
        "a\\tb\nc\"d,e\n\\\\N\n"
    );
    let csv = copied(
        &mut client,
        &format!("COPY {table} TO STDOUT (FORMAT csv, HEADER)"),
    )
    .await;
    assert_eq!(csv, "Weird Column\na\tb\n\"c\"\"d,e\"\n\\N\n");
}

#[tokio::test]
async fn a_copy_that_fails_on_its_way_ends_with_its_error() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let replies = client
        .query("COPY (SELECT 1 / (n - 10000) FROM numbers) TO STDOUT")
        .await;
    let kinds = kinds(&replies);
    assert!(kinds.ends_with("EZ") && !kinds.contains('c'), "{kinds}");
    assert_eq!(client.value("SELECT 1").await, "1");
    assert_eq!(
        client.state("COPY flights TO STDOUT (FORMAT binary)").await,
        "0A000"
    );
}
