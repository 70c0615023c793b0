//! From outside and to outside: what a plan finds out, creates and stores, and that it runs.

use testkit::postgres::Database;

use super::desk::Desk;

const PEOPLE: &str = "\
format: 1
pipeline: people
run: continuous
from:
  people:
    files: { path: data/*.csv, format: csv, settle: 0s }
sql: SELECT name, zip, CAST(age AS BIGINT) AS age FROM people
to:
  topic: { name: people, key: name }
";

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_nobody_declares_are_those_of_the_first_file_and_are_kept() {
    let desk = Desk::start().await;
    let refused = desk.refused(PEOPLE).await;
    let [refused] = refused.as_slice() else {
        panic!("{refused:#?}")
    };
    assert!(
        refused.contains("data") && refused.contains("there is no folder"),
        "{refused}"
    );
    std::fs::create_dir(desk.folder().join("data")).unwrap();
    let refused = desk.refused(PEOPLE).await;
    let [refused] = refused.as_slice() else {
        panic!("{refused:#?}")
    };
    let says = "data/*.csv yet with a line in it from which the columns of people could be taken; put one there, or declare columns:";
    assert!(refused.contains(says), "{refused}");
    desk.write("data/a.csv", "name,age,zip\nann,7,01234\n");
    let plan = desk.plan(PEOPLE).await.unwrap();
    let whole = desk.folder().canonicalize().unwrap().join("data/*.csv");
    let whole = whole.display().to_string();
    assert!(
        plan.to_string()
            .contains(&format!("reads   {whole} @ the first file")),
        "{plan}"
    );
    let record = &plan.pipelines[0].record;
    let input = record.pipeline().unwrap().inputs.remove(0);
    let declared: Vec<_> = input
        .columns
        .unwrap()
        .columns
        .into_iter()
        .map(|column| column.name)
        .collect();
    assert_eq!(declared, ["name", "age", "zip"]);
    assert!(record.spec.contains(&whole), "{}", record.spec);
    desk.apply(&plan).await;
    let worker = desk.worker();
    // Each file is read by its own first line.
    desk.write("data/b.csv", "zip,more,name,age\n00042,x,bob,8\n");
    desk.write("data/c.csv", "zip,name\n1,cy\n");
    let people = desk.all_values("people", 2).await;
    assert_eq!(
        people,
        [
            r#"{"name":"ann","zip":"01234","age":7}"#,
            r#"{"name":"bob","zip":"00042","age":8}"#
        ]
    );
    desk.told("people", "c.csv\" has no column \"age\"").await;
    assert_eq!(
        desk.setting("people.dead", "cleanup.policy").await,
        "compact,delete"
    );
    assert_eq!(
        desk.setting("people.dead", "retention.ms").await,
        (30 * 86_400_000_u64).to_string()
    );
    // Without its files it is the same.
    std::fs::remove_dir_all(desk.folder().join("data")).unwrap();
    std::fs::create_dir(desk.folder().join("data")).unwrap();
    let again = desk.plan(PEOPLE).await.unwrap();
    assert!(again.is_empty(), "{again}");
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_json_have_columns_that_somebody_declares() {
    let desk = Desk::start().await;
    for format in ["json", "ndjson"] {
        let refused = desk
            .refused(&PEOPLE.replace("format: csv", &format!("format: {format}")))
            .await;
        let [refused] = refused.as_slice() else {
            panic!("{refused:#?}")
        };
        let says = "the columns of people are not known: declare columns: under it; `watertable pipeline infer '/";
        assert!(refused.contains(says), "{refused}");
    }
    desk.world.stop().await;
}

const TO_TABLE: &str = "  postgres: { connection: \"secret:pg\", table: people, mode: upsert, key: name, create: if_missing }
";

#[tokio::test(flavor = "multi_thread")]
async fn files_land_in_a_topic_with_their_columns_and_go_on_into_a_table() {
    let desk = Desk::start().await;
    let database = Database::new().await;
    desk.database(&database);
    desk.write(
        "data/a.csv",
        "name,age,zip\nann,7,01234\nbob,x,2\nO'Brien,9,3\n",
    );
    let topic = "  topic: { name: people, key: name }\n";
    let yaml = PEOPLE.replace(topic, TO_TABLE);
    let plan = desk.deploy(&yaml).await;
    let shown = plan.to_string();
    assert!(
        shown.contains("topic   + people.raw (1 partition, lands here, 7 d)"),
        "{shown}"
    );
    assert_eq!(desk.partitions("people.raw").await, 1);
    assert_eq!(
        desk.setting("people.raw", "retention.ms").await,
        (7 * 86_400_000_u64).to_string()
    );
    let landed = desk.setting("people.raw", contract::SETTING).await;
    let landed = contract::Contract::parse(&landed).unwrap();
    let names: Vec<_> = landed
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["name", "age", "zip"]);
    let dead = desk.setting("people.dead", contract::SETTING).await;
    assert_eq!(
        contract::Contract::parse(&dead).unwrap(),
        pipeline::runner::dead_letter::contract()
    );
    let worker = desk.worker();
    let mut rows = Vec::new();
    testkit::eventually("the rows come", async || {
        rows = database
            .rows("SELECT name, zip, age FROM people ORDER BY name")
            .await;
        rows.len() >= 2
    })
    .await;
    assert_eq!(rows, ["O'Brien|3|9", "ann|01234|7"]);
    let dead = desk.dead("people", "reason").await;
    assert_eq!(dead, ["error"]);
    // Who it is that comes again is the same row.
    desk.write("data/b.csv", "name,age,zip\nann,8,01234\n");
    testkit::eventually("the row changes", async || {
        let rows = database
            .rows("SELECT age FROM people WHERE name = 'ann'")
            .await;
        rows == ["8"]
    })
    .await;
    assert!(desk.plan(&yaml).await.unwrap().is_empty());
    desk.stop(worker).await;
}

const TABLE_TO_TABLE: &str = "\
format: 1
pipeline: users
run: { every: 1s }
from:
  users:
    postgres: { connection: \"secret:pg\", table: users, incremental: { cursor: updated_at, tie_breaker: id } }
sql: SELECT id, upper(name) AS name, updated_at FROM users
to:
  postgres: { connection: \"secret:pg\", table: people, mode: upsert, key: id, create: if_missing }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_goes_into_another_one_with_the_columns_of_the_catalogue() {
    let desk = Desk::start().await;
    let database = Database::new().await;
    desk.database(&database);
    database
        .run("CREATE TABLE users (id bigint PRIMARY KEY, name text, tags text[], updated_at timestamptz NOT NULL DEFAULT now());
            INSERT INTO users SELECT i, 'name ' || i, ARRAY['a'] FROM generate_series(1, 1000) i")
        .await;
    let plan = desk.deploy(TABLE_TO_TABLE).await;
    let record = &plan.pipelines[0].record;
    let types: Vec<_> = record.resolved[0]
        .columns
        .iter()
        .map(|column| column.data_type.as_str())
        .collect();
    assert_eq!(types[..2], ["bigint", "text"]);
    let worker = desk.worker();
    let count = "SELECT count(*), count(DISTINCT name), min(name) FROM people";
    testkit::eventually("the rows come", async || {
        database.rows(count).await == ["1000|1000|NAME 1"]
    })
    .await;
    database
        .run("INSERT INTO users VALUES (1001, 'new'); UPDATE users SET name = 'other', updated_at = now() WHERE id = 7")
        .await;
    let changed = "SELECT id, name FROM people WHERE id IN (7, 1001) ORDER BY id";
    testkit::eventually("what changes comes", async || {
        database.rows(changed).await == ["7|OTHER", "1001|NEW"]
    })
    .await;
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["1001"]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_keeps_columns_from_being_looked_up() {
    let desk = Desk::start().await;
    let refused = desk.refused(TABLE_TO_TABLE).await;
    let says =
        "the columns of users cannot be looked up: there is no secret pg: set WATERTABLE_SECRET_PG";
    assert!(
        refused[0].contains(says) && refused.len() == 1,
        "{refused:#?}"
    );
    desk.world.stop().await;
}
