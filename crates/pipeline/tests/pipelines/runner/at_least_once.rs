//! A table that is written at least once.

use testkit::postgres::Database;

use super::{apply, create, produce, record, worker, world};

#[tokio::test(flavor = "multi_thread")]
async fn with_at_least_once_a_worker_that_begins_again_goes_on_where_the_last_one_ended() {
    let (world, database) = (world().await, Database::new().await);
    let cluster = &world.cluster;
    for topic in ["trips.raw", "trips.dead"] {
        create(cluster, topic, 1, false).await;
    }
    database.run("CREATE TABLE trips (id bigint)").await;
    let file = format!(
        "\
format: 1
pipeline: trips
run: continuous
from:
  raw:
    topic: {{ name: trips.raw }}
    columns: {{ id: bigint not null }}
sql: SELECT id FROM raw
to:
  postgres:
    connection: postgres://postgres@127.0.0.1:{}/{}
    table: public.trips
    mode: append
    create: never
    delivery: at_least_once
    batch: {{ rows: 10, every: 10ms }}
",
        database.server.port(),
        database.name()
    );
    apply(cluster, record(&file, 1)).await;
    for round in 0..3 {
        let worker = worker(world.client());
        let values: Vec<_> = (0..20)
            .map(|id| format!(r#"{{"id":{}}}"#, 20 * round + id))
            .collect();
        let values: Vec<_> = values
            .iter()
            .map(|value| (None, Some(value.as_str())))
            .collect();
        produce(cluster, "trips.raw", &values).await;
        let last = format!("SELECT id FROM trips WHERE id = {}", 20 * round + 19);
        testkit::eventually("the rows come", async || {
            !database.rows(&last).await.is_empty()
        })
        .await;
        // At a commit: what was written before is not read again.
        worker.stop().await;
    }
    let counts = database
        .rows("SELECT count(*), count(DISTINCT id) FROM trips")
        .await;
    assert_eq!(counts, ["60|60"]);
    world.stop().await;
}
