//! DECLARE, FETCH, CLOSE, in both protocols.

use crate::client::{bind, describe, execute, kinds, parse, sync};
use crate::fixture::Fixture;

#[tokio::test]
async fn a_cursor_gives_its_rows_a_few_at_a_time() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.state("DECLARE c CURSOR FOR SELECT 1").await, "25P01");
    client
        .rows("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n FROM numbers ORDER BY n LIMIT 6")
        .await;
    assert_eq!(client.rows("FETCH c").await, [["1"]]);
    assert_eq!(client.rows("FETCH FORWARD 2 FROM c").await, [["2"], ["3"]]);
    assert_eq!(client.rows("FETCH NEXT FROM c").await, [["4"]]);
    let replies = client.query("FETCH ALL FROM c").await;
    assert_eq!(kinds(&replies), "TDDCZ");
    assert_eq!(replies[3].text(), "FETCH 2");
    assert!(client.rows("FETCH 5 FROM c").await.is_empty());
    assert_eq!(client.state("DECLARE c CURSOR FOR SELECT 1").await, "42P03");
    client
        .rows("ROLLBACK; BEGIN; DECLARE c CURSOR FOR SELECT 1; CLOSE c")
        .await;
    assert_eq!(client.state("FETCH c").await, "34000");
    client.rows("ROLLBACK").await;
    assert_eq!(client.state("FETCH c").await, "34000");
}

#[tokio::test]
async fn a_held_cursor_outlives_its_transaction() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.rows("BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT n FROM numbers ORDER BY n; DECLARE gone CURSOR FOR SELECT 1; COMMIT").await;
    assert_eq!(client.rows("FETCH 2 FROM kept").await, [["1"], ["2"]]);
    assert_eq!(client.state("FETCH gone").await, "34000");
    client.rows("CLOSE ALL").await;
    assert_eq!(client.state("FETCH kept").await, "34000");
}

/// What psycopg's server-side cursors do: declare with parameters, describe the cursor as a portal, fetch in its own format.
#[tokio::test]
async fn a_fetch_of_the_extended_protocol_fits_its_description_in_the_format_it_was_bound_with() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.rows("BEGIN").await;
    let declare =
        "DECLARE \"cur\" CURSOR FOR SELECT id, carrier FROM flights WHERE id > $1 ORDER BY id";
    let messages = [
        parse("", declare, &[20]),
        bind("", "", 0, &[Some(b"0")], 0),
        execute("", 0),
        sync(),
    ];
    client.send_raw(&messages.concat()).await;
    assert_eq!(kinds(&client.until_ready().await), "12CZ");
    client
        .send_raw(&[describe('P', "cur"), sync()].concat())
        .await;
    let replies = client.until_ready().await;
    let described: Vec<_> = replies[0]
        .columns()
        .into_iter()
        .map(|(name, oid, _)| (name, oid))
        .collect();
    assert_eq!(
        described,
        [("id".to_owned(), 20), ("carrier".to_owned(), 25)]
    );
    let messages = [
        parse("", "FETCH FORWARD 2 FROM \"cur\"", &[]),
        bind("", "", 0, &[], 1),
        describe('P', ""),
        execute("", 0),
        sync(),
    ];
    client.send_raw(&messages.concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "12TDDCZ");
    let fetched = replies[2].columns();
    assert!(fetched.iter().all(|(_, _, format)| *format == 1));
    assert_eq!(
        fetched
            .into_iter()
            .map(|(name, oid, _)| (name, oid))
            .collect::<Vec<_>>(),
        described
    );
    assert_eq!(
        replies[4].values(),
        [Some(2_i64.to_be_bytes().to_vec()), Some(b"AA".to_vec())]
    );
    assert_eq!(replies[5].text(), "FETCH 2");
}

#[tokio::test]
async fn cursors_are_bounded_in_number() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.rows("BEGIN").await;
    for number in 0..200 {
        client
            .rows(&format!("DECLARE c{number} CURSOR FOR SELECT 1"))
            .await;
    }
    assert_eq!(
        client.state("DECLARE more CURSOR FOR SELECT 1").await,
        "53400"
    );
}
