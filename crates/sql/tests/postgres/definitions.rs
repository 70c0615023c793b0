//! CREATE TABLE and DROP TABLE.

use crate::client::kinds;
use crate::writable::Writable;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_and_dropped() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    assert_eq!(
        client
            .tag("CREATE TABLE \"page-views\" WITH (partitions = 3)")
            .await,
        "CREATE TABLE"
    );
    let replies = client
        .query("CREATE TABLE IF NOT EXISTS \"page-views\" (a int)")
        .await;
    assert_eq!(kinds(&replies), "NCZ");
    assert_eq!(replies[0].field('S').as_deref(), Some("NOTICE"));
    assert_eq!(
        replies[0].field('M').as_deref(),
        Some("relation \"page-views\" already exists, skipping")
    );
    let error = client.error("CREATE TABLE \"page-views\"").await;
    assert_eq!(error.field('C').as_deref(), Some("42P07"));
    let sql = "INSERT INTO \"page-views\" (_partition, _value) VALUES (2, 'x')";
    assert_eq!(client.tag(sql).await, "INSERT 0 1");
    client.tag("CREATE TABLE b").await;
    assert_eq!(client.state("DROP TABLE b, nothing").await, "42P01");
    assert_eq!(client.value("SELECT count(*) FROM b").await, "0");
    let replies = client
        .query("DROP TABLE IF EXISTS b, nothing, \"page-views\"")
        .await;
    assert_eq!(kinds(&replies), "NCZ");
    assert_eq!(
        replies[0].field('M').as_deref(),
        Some("table \"nothing\" does not exist, skipping")
    );
    assert_eq!(client.state("SELECT * FROM b").await, "42P01");
    assert_eq!(client.state("SELECT * FROM \"page-views\"").await, "42P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_topic_cannot_be_is_refused() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    for (sql, state) in [
        ("CREATE TABLE t (a integr)", "42704"),
        ("CREATE TABLE t (a int PRIMARY KEY)", "0A000"),
        ("CREATE TABLE t (_offset int)", "42P16"),
        ("CREATE TABLE t WITH (partitions = 0)", "22023"),
        ("CREATE TABLE t WITH (no_such_setting = 1)", "42P16"),
        ("CREATE TABLE t AS SELECT 1 AS a", "0A000"),
        ("CREATE VIEW t AS SELECT 1 AS a", "0A000"),
        ("CREATE TABLE __t", "42501"),
        ("DROP TABLE __consumer_offsets", "42501"),
        ("DROP TABLE pg_class", "42P01"),
        ("DROP TABLE pg_catalog.pg_class", "42809"),
        ("DROP VIEW t", "0A000"),
        ("ALTER TABLE t ADD COLUMN a int", "0A000"),
    ] {
        let error = client.error(sql).await;
        assert_eq!(
            error.field('C').as_deref(),
            Some(state),
            "{sql}: {:?}",
            error.field('M')
        );
    }
    assert_eq!(client.state("SELECT * FROM t").await, "42P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_block_what_cannot_be_rolled_back_is_said_or_refused() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("BEGIN").await;
    let replies = client.query("CREATE TABLE t").await;
    assert_eq!(kinds(&replies), "NCZ");
    assert_eq!(replies[0].field('S').as_deref(), Some("WARNING"));
    let error = client.error("DROP TABLE t").await;
    assert_eq!(error.field('C').as_deref(), Some("25001"));
    client.tag("ROLLBACK").await;
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
    assert_eq!(client.tag("DROP TABLE t").await, "DROP TABLE");
}
