//! Sessions see each other, and end what others run.

use std::sync::atomic::Ordering;

use crate::client::{Client, bind, execute, parse, sync};
use crate::fixture::Fixture;

fn process(client: &Client) -> i32 {
    i32::from_be_bytes(client.key[..4].try_into().unwrap())
}

/// A session that runs a query which does not end by itself.
async fn busy(fixture: &Fixture) -> Client {
    let startup = [("user", "ann"), ("application_name", "report")];
    let mut client = Client::connect_with(fixture.address, &startup).await;
    client.send_query("SELECT count(*) FROM endless").await;
    fixture
        .until("the query runs", |endless| {
            endless.readers.load(Ordering::SeqCst) == 1
        })
        .await;
    client
}

#[tokio::test]
async fn sessions_show_what_they_run() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    other.rows("BEGIN; SELECT n FROM numbers LIMIT 7").await;
    let mut failed = fixture.client().await;
    failed.query("BEGIN; SELECT nothing").await;
    let busy = busy(&fixture).await;
    let sql = "SELECT pid, usename, application_name, state, query, client_addr, datname, query_start <= now(), \
               backend_start <= query_start FROM pg_stat_activity ORDER BY pid";
    let rows = client.rows(sql).await;
    let expected = |client: &Client, user: &str, application: &str, state: &str, query: &str| {
        let process = process(client).to_string();
        let shown = [&process, user, application, state, query];
        let mut row: Vec<_> = shown.map(str::to_owned).to_vec();
        row.extend(["127.0.0.1", "watertable", "t", "t"].map(str::to_owned));
        row
    };
    let text = "BEGIN; SELECT n FROM numbers LIMIT 7";
    assert_eq!(
        rows,
        [
            expected(&client, "tester", "", "active", sql),
            expected(&other, "tester", "", "idle in transaction", text),
            expected(
                &failed,
                "tester",
                "",
                "idle in transaction (aborted)",
                "BEGIN; SELECT nothing"
            ),
            expected(
                &busy,
                "ann",
                "report",
                "active",
                "SELECT count(*) FROM endless"
            ),
        ]
    );
    // A name may change while the session lives.
    other
        .rows("ROLLBACK; SET application_name = 'renamed'")
        .await;
    let other_process = process(&other);
    let sql =
        format!("SELECT application_name, state FROM pg_stat_activity WHERE pid = {other_process}");
    assert_eq!(client.rows(&sql).await, [["renamed", "idle"]]);
    drop(busy);
    fixture
        .until("the query ended", |endless| {
            endless.readers.load(Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn a_statement_is_canceled_by_the_number_of_its_session() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut busy = busy(&fixture).await;
    let cancel = format!("SELECT pg_cancel_backend({})", process(&busy));
    // Only what runs does something: neither a plan that is shown nor a statement that is prepared.
    client.rows(&format!("EXPLAIN {cancel}")).await;
    client.rows(&format!("PREPARE p AS {cancel}")).await;
    let sql = format!(
        "SELECT state FROM pg_stat_activity WHERE pid = {}",
        process(&busy)
    );
    assert_eq!(client.value(&sql).await, "active");
    assert_eq!(client.value(&cancel).await, "t");
    let replies = busy.until_ready().await;
    let error = replies.iter().find(|reply| reply.kind == 'E').unwrap();
    assert_eq!(error.field('C').as_deref(), Some("57014"));
    assert_eq!(busy.value("SELECT 1").await, "1");
    assert_eq!(client.value("SELECT pg_cancel_backend(1000000)").await, "f");
    assert_eq!(client.value("SELECT pg_cancel_backend(NULL)").await, "f");
}

#[tokio::test]
async fn a_session_is_ended_by_its_number() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut idle = fixture.client().await;
    let mut busy = busy(&fixture).await;
    let others =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
    assert_eq!(client.rows(others).await, [["t"], ["t"]]);
    for ended in [&mut idle, &mut busy] {
        let replies = ended.until_end().await;
        assert_eq!(replies.last().unwrap().field('C').as_deref(), Some("57P01"));
    }
    fixture
        .until("the query ended", |endless| {
            endless.readers.load(Ordering::SeqCst) == 0
        })
        .await;
    // It ends itself, too.
    client
        .send_query("SELECT pg_terminate_backend(pg_backend_pid())")
        .await;
    let replies = client.until_end().await;
    assert_eq!(replies.last().unwrap().field('C').as_deref(), Some("57P01"));
}

#[tokio::test]
async fn a_portal_that_goes_on_is_the_statement_that_runs() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let sql = "SELECT n FROM numbers";
    let mut messages = parse("", sql, &[]);
    messages.extend(bind("p", "", 0, &[], 0));
    messages.extend(execute("p", 3));
    messages.extend(execute("p", 4));
    messages.extend(sync());
    client.rows("BEGIN").await;
    client.send_raw(&messages).await;
    client.until_ready().await;
    let mut other = fixture.client().await;
    let asked = format!(
        "SELECT query, state FROM pg_stat_activity WHERE pid = {}",
        process(&client)
    );
    assert_eq!(other.rows(&asked).await, [[sql, "idle in transaction"]]);
}
