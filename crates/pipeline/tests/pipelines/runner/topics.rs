//! From topic to topic.

use super::desk::Desk;
use super::{apply, consume, create, produce, record, wait_for, worker, world};

const TRIPS: &str = "\
format: 1
pipeline: trips
run: continuous
from:
  raw:
    topic: { name: trips.raw }
    columns: { id: bigint not null, km: double, name: text }
sql: |
  SELECT id, upper(name) AS name, km * 1000 AS m, CAST(name AS BIGINT) AS never
  FROM raw WHERE km > 0
checks:
  - accepted_range: { column: m, max: 100000 }
to:
  topic: { name: trips.clean, key: id }
";

const ORDERS: &str = "\
format: 1
pipeline: orders
run: continuous
from:
  raw:
    topic: { name: orders }
    columns: { id: bigint not null }
sql: SELECT id FROM raw
to:
  topic: { name: orders.out, key: id, cleanup: compact }
";

fn trips() -> String {
    TRIPS.replace(", CAST(name AS BIGINT) AS never", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_through_and_bad_ones_are_dead_letters_with_their_place() {
    let world = world().await;
    let cluster = &world.cluster;
    for topic in ["trips.raw", "trips.clean", "trips.dead"] {
        create(cluster, topic, 1, false).await;
    }
    let good = r#"{"id":1,"km":4.5,"name":"ann"}"#;
    let filtered = r#"{"id":2,"km":-1,"name":"bob"}"#;
    let too_far = r#"{"id":3,"km":1000,"name":"cy"}"#;
    let no_id = r#"{"km":1,"name":"di"}"#;
    let values = [good, filtered, too_far, no_id, "no json"];
    produce(
        cluster,
        "trips.raw",
        &values.map(|value| (Some("k"), Some(value))),
    )
    .await;
    apply(cluster, record(&trips(), 1)).await;
    let worker = worker(world.client());
    let dead = wait_for(cluster, "trips.dead", 3).await;
    let clean = consume(cluster, "trips.clean").await;
    let expected = r#"{"id":1,"name":"ANN","m":4500}"#;
    assert_eq!(clean, [(Some("1".to_owned()), Some(expected.to_owned()))]);
    let reasons: Vec<_> = dead
        .iter()
        .map(|(key, value)| {
            let value: serde_json::Value = serde_json::from_str(value.as_deref().unwrap()).unwrap();
            (
                key.clone().unwrap(),
                value["reason"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        (r#"["trips","trips.raw",0,2]"#, "accepted_range(m)"),
        (r#"["trips","trips.raw",0,3]"#, "decode"),
        (r#"["trips","trips.raw",0,4]"#, "decode"),
    ];
    let expected = expected.map(|(key, reason)| (key.to_owned(), reason.to_owned()));
    assert_eq!(reasons, expected);
    // What comes later goes on where it was.
    produce(
        cluster,
        "trips.raw",
        &[(None, Some(&good.replace('1', "7")))],
    )
    .await;
    let clean = wait_for(cluster, "trips.clean", 2).await;
    assert_eq!(clean[1].0.as_deref(), Some("7"));
    worker.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_begins_again_goes_on_and_repeats_nothing() {
    let world = world().await;
    let cluster = &world.cluster;
    create(cluster, "trips.raw", 3, false).await;
    for topic in ["trips.clean", "trips.dead"] {
        create(cluster, topic, 2, false).await;
    }
    apply(cluster, record(&trips(), 1)).await;
    let mut sent = 0;
    for _ in 0..3 {
        let worker = worker(world.client());
        let values: Vec<_> = (sent..sent + 50)
            .map(|id| {
                (
                    id.to_string(),
                    format!(r#"{{"id":{id},"km":1,"name":"n"}}"#),
                )
            })
            .collect();
        sent += 50;
        let records: Vec<_> = values
            .iter()
            .map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))
            .collect();
        produce(cluster, "trips.raw", &records).await;
        wait_for(cluster, "trips.clean", sent).await;
        worker.stop().await;
    }
    let mut ids: Vec<u64> = consume(cluster, "trips.clean")
        .await
        .into_iter()
        .map(|(key, _)| key.unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..150).collect::<Vec<u64>>());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_the_younger_one_runs_and_the_older_one_is_fenced() {
    let world = world().await;
    let cluster = &world.cluster;
    for topic in ["trips.raw", "trips.clean", "trips.dead"] {
        create(cluster, topic, 1, false).await;
    }
    apply(cluster, record(&trips(), 1)).await;
    let older = worker(world.client());
    let value = |id: u32| format!(r#"{{"id":{id},"km":1,"name":"n"}}"#);
    produce(cluster, "trips.raw", &[(None, Some(&value(1)))]).await;
    wait_for(cluster, "trips.clean", 1).await;
    let younger = worker(world.client());
    testkit::eventually("the older one is fenced", async || {
        // It notices with the next thing that it writes.
        produce(cluster, "trips.raw", &[(None, Some(&value(2)))]).await;
        let statuses = older.statuses().all();
        let error = statuses.first().and_then(|status| status.error.clone());
        error.is_some_and(|error| error.contains("another worker"))
    })
    .await;
    let raw = consume(cluster, "trips.raw").await;
    let clean = wait_for(cluster, "trips.clean", raw.len()).await;
    assert_eq!(clean.len(), raw.len());
    older.stop().await;
    younger.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_hands_over_where_the_last_one_ended() {
    let world = world().await;
    let cluster = &world.cluster;
    for topic in ["trips.raw", "trips.clean", "trips.dead"] {
        create(cluster, topic, 1, false).await;
    }
    let worker = worker(world.client());
    apply(cluster, record(&trips(), 1)).await;
    let value = |id: u32| format!(r#"{{"id":{id},"km":1,"name":"n"}}"#);
    produce(cluster, "trips.raw", &[(None, Some(&value(1)))]).await;
    wait_for(cluster, "trips.clean", 1).await;
    apply(cluster, record(&trips().replace("upper", "lower"), 2)).await;
    testkit::eventually("the new version runs", async || {
        let statuses = worker.statuses().all();
        statuses.first().is_some_and(|status| status.version == 2)
    })
    .await;
    produce(cluster, "trips.raw", &[(None, Some(&value(2)))]).await;
    let clean = wait_for(cluster, "trips.clean", 2).await;
    let names: Vec<_> = clean
        .iter()
        .map(|(_, value)| value.clone().unwrap())
        .collect();
    assert!(
        names[0].contains("\"N\"") && names[1].contains("\"n\""),
        "{names:?}"
    );
    assert_eq!(clean.len(), 2);
    worker.stop().await;
    world.stop().await;
}

/// What deletes a customer does not delete the order whose number is the same.
#[tokio::test(flavor = "multi_thread")]
async fn deletions_of_other_keys_are_dead_letters() {
    let desk = Desk::start().await;
    create(desk.cluster(), "orders", 1, true).await;
    desk.deploy(ORDERS).await;
    let order = |id: u32| format!(r#"{{"id":{id}}}"#);
    let (one, two) = (order(100), order(5));
    let records = [
        (Some("5"), Some(one.as_str())),
        (Some("7"), Some(&two)),
        (Some("5"), None),
    ];
    produce(desk.cluster(), "orders", &records).await;
    let worker = desk.worker();
    testkit::eventually("the deletion is a dead letter", async || {
        desk.dead("orders", "message").await.len() == 1
    })
    .await;
    let told = desk.dead("orders", "message").await.remove(0);
    assert!(
        told.contains("rows are written with keys of their own"),
        "{told}"
    );
    assert_eq!(desk.values("orders.out").await, [one, two]);
    // Where the records have the keys of the rows by now, it still is not known whose the deletion is.
    produce(
        desk.cluster(),
        "orders",
        &[(Some("8"), Some(r#"{"id":8}"#)), (Some("8"), None)],
    )
    .await;
    testkit::eventually("so is this one", async || {
        desk.dead("orders", "message").await.len() == 2
    })
    .await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_pass_with_their_keys_and_in_their_order() {
    let world = world().await;
    let cluster = &world.cluster;
    create(cluster, "trips.raw", 1, true).await;
    create(cluster, "trips.clean", 1, true).await;
    create(cluster, "trips.dead", 1, false).await;
    let value = |id: u32| format!(r#"{{"id":{id},"km":1,"name":"n"}}"#);
    let (one, two) = (value(1), value(2));
    let records = [
        (Some("1"), Some(one.as_str())),
        (Some("2"), Some(two.as_str())),
        (Some("1"), None),
        (Some("2"), None),
        (Some("2"), Some(two.as_str())),
    ];
    produce(cluster, "trips.raw", &records).await;
    apply(cluster, record(&trips(), 1)).await;
    let worker = worker(world.client());
    let clean = wait_for(cluster, "trips.clean", 5).await;
    let seen: Vec<_> = clean
        .iter()
        .map(|(key, value)| (key.as_deref().unwrap(), value.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            ("1", true),
            ("2", true),
            ("1", false),
            ("2", false),
            ("2", true)
        ]
    );
    worker.stop().await;
    world.stop().await;
}
