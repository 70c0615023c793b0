//! From a topic into a table of PostgreSQL.

use pipeline::control::{Follower, Request};
use pipeline::runner::Worker;
use testkit::postgres::Database;

use super::desk::Desk;
use super::{consume, create, produce};

const PEOPLE: &str = "\
format: 1
pipeline: people
run: continuous
from:
  people:
    topic: { name: people }
    columns: { id: bigint not null, name: text, age: text }
sql: SELECT id, name, CAST(age AS BIGINT) AS age FROM people
checks: [{ match_regex: { column: name, pattern: \"^[^#]*$\" } }]
to:
  postgres: { connection: \"secret:pg\", table: people, mode: upsert, key: id, batch: { every: 10ms } }
";
const ROWS: &str = "SELECT id, name, age FROM people ORDER BY id";

async fn desk() -> (Desk, Database) {
    let desk = Desk::start().await;
    create(desk.cluster(), "people", 2, true).await;
    let database = Database::new().await;
    desk.database(&database);
    (desk, database)
}

fn person(id: u32, name: &str) -> String {
    format!(r#"{{"id":{id},"name":"{name}","age":"{}"}}"#, id + 10)
}

async fn rows(database: &Database, expected: &[&str]) {
    let mut rows = Vec::new();
    let waited = tokio::time::timeout(testkit::DEADLINE, async {
        while rows != expected {
            rows = database.rows(ROWS).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{rows:?} are not {expected:?}");
}

async fn version(worker: &Worker, version: u32) {
    testkit::eventually("the version runs", async || {
        let statuses = worker.statuses().all();
        statuses
            .first()
            .is_some_and(|status| status.version == version)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_take_the_place_of_those_with_their_key_and_tombstones_delete_them() {
    let (desk, database) = desk().await;
    let (ann, bob, other) = (person(1, "ann"), person(2, "O'Brien"), person(1, "anna"));
    let records = [
        (Some("1"), Some(ann.as_str())),
        (Some("2"), Some(&bob)),
        (Some("1"), Some(&other)),
    ];
    produce(desk.cluster(), "people", &records).await;
    desk.deploy(PEOPLE).await;
    let worker = desk.worker();
    rows(&database, &["1|anna|11", "2|O'Brien|12"]).await;
    let ann = person(1, "again");
    produce(
        desk.cluster(),
        "people",
        &[
            (Some("1"), None),
            (Some("2"), None),
            (Some("1"), Some(&ann)),
        ],
    )
    .await;
    rows(&database, &["1|again|11"]).await;
    // The database keeps how far it is, and still everybody sees that nothing is left.
    testkit::eventually("no lag is told", async || {
        let follower = Follower::open(desk.cluster()).await.expect("it follows");
        let lag = follower.lag().await.expect("lag");
        let records: Vec<_> = lag.iter().map(|lag| lag.records).collect();
        records == [0, 0] && lag.iter().map(|lag| lag.next).sum::<i64>() == 6
    })
    .await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_refuses_is_a_dead_letter_before_the_rest_is_committed() {
    let (desk, database) = desk().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name varchar(5), age bigint CHECK (age < 100))")
        .await;
    desk.deploy(PEOPLE).await;
    let good = person(1, "ann");
    let (long, old, hash, cast) = (
        person(2, "annabelle"),
        person(90, "old"),
        person(4, "#"),
        r#"{"id":5,"name":"x","age":"x"}"#,
    );
    let values = [good.as_str(), &long, &old, &hash, cast, "no json"];
    produce(
        desk.cluster(),
        "people",
        &values.map(|value| (Some("k"), Some(value))),
    )
    .await;
    let worker = desk.worker();
    rows(&database, &["1|ann|11"]).await;
    // They were there before the row was.
    let letters = consume(desk.cluster(), "people.dead").await;
    assert_eq!(letters.len(), 5, "{letters:#?}");
    let mut messages = desk.dead("people", "message").await;
    messages.sort_unstable();
    assert!(
        messages
            .iter()
            .any(|message| message.contains("too long for type character varying(5)")),
        "{messages:#?}"
    );
    assert!(
        messages
            .iter()
            .any(|message| message.contains("violates check constraint")),
        "{messages:#?}"
    );
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_hands_over_and_one_goes_back_and_writes_again() {
    let (desk, database) = desk().await;
    let plan = desk.deploy(PEOPLE).await;
    assert_eq!(plan.pipelines[0].record.version, 1);
    let worker = desk.worker();
    let (one, two) = (person(1, "Ann"), person(2, "Bob"));
    produce(desk.cluster(), "people", &[(Some("1"), Some(&one))]).await;
    rows(&database, &["1|Ann|11"]).await;
    // Nobody reads what was read before.
    desk.deploy(&PEOPLE.replace("id, name,", "id, upper(name) AS name,"))
        .await;
    version(&worker, 2).await;
    produce(desk.cluster(), "people", &[(Some("2"), Some(&two))]).await;
    rows(&database, &["1|Ann|11", "2|BOB|12"]).await;
    let request = Request::Rollback {
        to: None,
        rewind: true,
        duplicates_ok: true,
    };
    desk.ask("people", request).await;
    version(&worker, 1).await;
    // What the second version wrote is written again by the first.
    rows(&database, &["1|Ann|11", "2|Bob|12"]).await;
    let next = database
        .rows("SELECT sum(next) FROM watertable.offsets")
        .await;
    assert_eq!(next, ["2"]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_claimed_and_read() {
    let (desk, database) = desk().await;
    desk.deploy(PEOPLE).await;
    let worker = desk.worker();
    let one = person(1, "ann");
    produce(desk.cluster(), "people", &[(Some("1"), Some(&one))]).await;
    rows(&database, &["1|ann|11"]).await;
    super::add_partitions(desk.cluster(), "people", 8).await;
    let people: Vec<_> = (2..40)
        .map(|id| (id.to_string(), person(id, "x")))
        .collect();
    let records: Vec<_> = people
        .iter()
        .map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))
        .collect();
    produce(&desk.world.client(), "people", &records).await;
    testkit::eventually("all are there", async || {
        database.rows("SELECT count(*) FROM people").await == ["39"]
    })
    .await;
    desk.stop(worker).await;
}
