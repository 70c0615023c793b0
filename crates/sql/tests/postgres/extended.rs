//! The extended protocol: parameters, formats, portals.

use crate::client::{Client, Reply, bind, close, describe, execute, kinds, message, parse, sync};
use crate::fixture::Fixture;

/// Sends the messages and a `Sync`, and receives what comes up to `ReadyForQuery`.
async fn run(client: &mut Client, messages: &[Vec<u8>]) -> Vec<Reply> {
    client.send_raw(&[messages.concat(), sync()].concat()).await;
    client.until_ready().await
}

/// A statement with one parameter, its value and the result's both in the format.
async fn one(
    client: &mut Client,
    sql: &str,
    oid: u32,
    format: i16,
    value: &[u8],
) -> Result<Option<Vec<u8>>, String> {
    let messages = [
        parse("", sql, &[oid]),
        bind("", "", format, &[Some(value)], format),
        execute("", 0),
    ];
    let replies = run(client, &messages).await;
    match replies.iter().find(|reply| reply.kind == 'E') {
        Some(error) => Err(error.field('C').unwrap()),
        None => Ok(replies
            .iter()
            .find(|reply| reply.kind == 'D')
            .unwrap()
            .values()
            .remove(0)),
    }
}

#[tokio::test]
async fn parameters_of_every_type_come_back_as_they_went_in_both_formats() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let int4_array = [
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7,
    ];
    let numeric = [0, 2, 0, 0, 0, 0, 0, 10, 0, 12, 0x0d, 0x48];
    let cases: &[(u32, &str, &[u8])] = &[
        (16, "t", &[1]),
        (21, "-7", &[0xff, 0xf9]),
        (23, "7", &[0, 0, 0, 7]),
        (
            20,
            "9223372036854775807",
            &[0x7f, 255, 255, 255, 255, 255, 255, 255],
        ),
        (700, "1.5", &1.5_f32.to_be_bytes()),
        (701, "-2.25", &(-2.25_f64).to_be_bytes()),
        (1700, "12.3400000000", &numeric),
        (25, "größe", "größe".as_bytes()),
        (17, "\\x00ff", &[0, 255]),
        (1082, "2000-01-02", &[0, 0, 0, 1]),
        (1083, "01:02:03.5", &3_723_500_000_i64.to_be_bytes()),
        (1114, "2000-01-01 00:00:01.5", &1_500_000_i64.to_be_bytes()),
        (1184, "2000-01-01 00:00:01+00", &1_000_000_i64.to_be_bytes()),
        (
            1186,
            "1 mon 2 days 00:00:03",
            &[0, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0, 0, 0, 0, 2, 0, 0, 0, 1],
        ),
        (1007, "{7}", &int4_array),
    ];
    for (oid, text, binary) in cases {
        let textual = one(&mut client, "SELECT $1", *oid, 0, text.as_bytes())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(String::from_utf8(textual).unwrap(), *text, "oid {oid}");
        let replied = one(&mut client, "SELECT $1", *oid, 1, binary)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(replied, *binary, "oid {oid}");
    }
    let messages = [
        parse("", "SELECT $1 IS NULL", &[23]),
        bind("", "", 0, &[None], 0),
        execute("", 0),
    ];
    assert_eq!(run(&mut client, &messages).await[2].row(), ["t"]);
}

#[tokio::test]
async fn the_types_of_parameters_come_from_their_use() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for (sql, oids) in [
        (
            "SELECT id FROM flights WHERE id = $1 AND carrier LIKE $2 AND delay BETWEEN $3 AND $4",
            vec![20, 25, 701, 701],
        ),
        ("SELECT $1::int + 1", vec![23]),
        ("SELECT CAST($1 AS timestamptz), $2", vec![1184, 25]),
        ("SELECT n FROM numbers LIMIT $1 OFFSET $2", vec![20, 20]),
        ("SELECT n FROM numbers WHERE n IN ($1, $2)", vec![23, 23]),
        ("SELECT 1", vec![]),
    ] {
        let replies = run(
            &mut client,
            &[parse("s", sql, &[]), describe('S', "s"), close('S', "s")],
        )
        .await;
        assert_eq!(kinds(&replies), "1tT3Z", "{sql}");
        assert_eq!(replies[1].parameters(), oids, "{sql}");
    }
    // A declared type goes before the one of its use.
    let replies = run(
        &mut client,
        &[
            parse("", "SELECT id FROM flights WHERE id = $1", &[21]),
            describe('S', ""),
        ],
    )
    .await;
    assert_eq!(replies[1].parameters(), [21]);
    let messages = [
        parse(
            "",
            "SELECT n FROM numbers WHERE n > $1 ORDER BY n LIMIT $2",
            &[],
        ),
        bind("", "", 0, &[Some(b"7"), Some(b"2")], 0),
        execute("", 0),
    ];
    let replies = run(&mut client, &messages).await;
    assert_eq!(kinds(&replies), "12DDCZ");
    assert_eq!(
        (replies[2].row(), replies[3].row()),
        (vec!["8".to_owned()], vec!["9".to_owned()])
    );
}

#[tokio::test]
async fn descriptions_fit_what_is_sent() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let messages = [
        parse(
            "s",
            "SELECT id, carrier FROM flights ORDER BY id LIMIT 1",
            &[],
        ),
        describe('S', "s"),
        bind("p", "s", 0, &[], 1),
        describe('P', "p"),
        execute("p", 0),
        close('P', "p"),
    ];
    let replies = run(&mut client, &messages).await;
    assert_eq!(kinds(&replies), "1tT2TDC3Z");
    let columns = replies[4].columns();
    assert_eq!(
        columns,
        [("id".to_owned(), 20, 1), ("carrier".to_owned(), 25, 1)]
    );
    assert_eq!(
        replies[5].values(),
        [Some(1_i64.to_be_bytes().to_vec()), Some(b"UA".to_vec())]
    );
    // What has no rows has no description; an empty statement is one.
    let messages = [
        parse("", "SET application_name = 'x'", &[]),
        describe('S', ""),
        bind("", "", 0, &[], 0),
        describe('P', ""),
        execute("", 0),
    ];
    assert_eq!(kinds(&run(&mut client, &messages).await), "1tn2nSCZ");
    let messages = [
        parse("", "", &[]),
        describe('S', ""),
        bind("", "", 0, &[], 0),
        execute("", 0),
    ];
    assert_eq!(kinds(&run(&mut client, &messages).await), "1tn2IZ");
}

#[tokio::test]
async fn a_portal_is_suspended_and_goes_on_where_it_was() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.rows("BEGIN").await;
    let sql = "SELECT n FROM numbers ORDER BY n LIMIT 5";
    let replies = run(
        &mut client,
        &[
            parse("s", sql, &[]),
            bind("p", "s", 0, &[], 0),
            execute("p", 2),
        ],
    )
    .await;
    assert_eq!(kinds(&replies), "12DDsZ");
    // In a block it outlives the Sync.
    let replies = run(
        &mut client,
        &[execute("p", 2), execute("p", 2), execute("p", 2)],
    )
    .await;
    assert_eq!(kinds(&replies), "DDsDCCZ");
    assert_eq!(replies[3].row(), ["5"]);
    assert_eq!(replies[4].text(), "SELECT 1");
    client.rows("COMMIT").await;
    let replies = run(&mut client, &[execute("p", 2)]).await;
    assert_eq!(replies[0].field('C').as_deref(), Some("34000"));
    // Outside of a block it does not.
    let replies = run(&mut client, &[bind("p", "s", 0, &[], 0), execute("p", 1)]).await;
    assert_eq!(kinds(&replies), "2DsZ");
    let replies = run(&mut client, &[execute("p", 1)]).await;
    assert_eq!(replies[0].field('C').as_deref(), Some("34000"));
}

#[tokio::test]
async fn a_claimed_number_of_rows_is_not_believed() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for rows_max in [i32::MAX, i32::MIN, -1] {
        let replies = run(
            &mut client,
            &[
                parse("", "SELECT n FROM numbers LIMIT 2", &[]),
                bind("", "", 0, &[], 0),
                execute("", rows_max),
            ],
        )
        .await;
        assert_eq!(kinds(&replies), "12DDCZ", "{rows_max}");
    }
}

#[tokio::test]
async fn after_an_error_nothing_is_done_until_sync() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let messages = [
        parse("", "SELECT * FROM nowhere", &[]),
        bind("", "", 0, &[], 0),
        execute("", 0),
        message('Q', b"SELECT 1\0"),
        parse("kept", "SELECT 1", &[]),
    ];
    let replies = run(&mut client, &messages).await;
    assert_eq!(kinds(&replies), "EZ");
    let replies = run(&mut client, &[bind("", "kept", 0, &[], 0)]).await;
    assert_eq!(replies[0].field('C').as_deref(), Some("26000"));
}

#[tokio::test]
async fn messages_in_a_wrong_order_or_number_are_errors() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let cases: &[(&[Vec<u8>], &str)] = &[
        (&[execute("", 0)], "34000"),
        (&[describe('P', "x")], "34000"),
        (&[describe('S', "x")], "26000"),
        (&[bind("", "x", 0, &[], 0)], "26000"),
        (
            &[parse("", "SELECT $1::int", &[]), bind("", "", 0, &[], 0)],
            "08P01",
        ),
        (&[parse("", "SELECT 1; SELECT 2", &[])], "42601"),
        (&[parse("", "SELECT $0", &[])], "42P02"),
        (&[parse("", "SELECT $99999", &[])], "42P02"),
        (&[parse("", "SELECT $1", &[12_345])], "42704"),
        (
            &[
                parse("", "SELECT $1::int", &[]),
                bind("", "", 1, &[Some(b"abc")], 0),
            ],
            "22P03",
        ),
        (
            &[
                parse("", "SELECT $1::int", &[]),
                bind("", "", 0, &[Some(b"abc")], 0),
            ],
            "22P02",
        ),
        (
            &[
                parse("twice", "SELECT 1", &[]),
                parse("twice", "SELECT 1", &[]),
            ],
            "42P05",
        ),
    ];
    for (messages, state) in cases {
        let replies = run(&mut client, messages).await;
        let error = replies
            .iter()
            .find(|reply| reply.kind == 'E')
            .unwrap_or_else(|| panic!("no {state}: {replies:?}"));
        assert_eq!(
            error.field('C').as_deref(),
            Some(*state),
            "{:?}",
            error.field('M')
        );
    }
    // Closing what is not there is no error.
    assert_eq!(
        kinds(&run(&mut client, &[close('S', "x"), close('P', "x")]).await),
        "33Z"
    );
}

#[tokio::test]
async fn statements_are_bounded_in_number() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let many: Vec<Vec<u8>> = (0..1001)
        .map(|number| parse(&format!("s{number}"), "SET jit = off", &[]))
        .collect();
    let replies = run(&mut client, &many).await;
    let error = replies.iter().find(|reply| reply.kind == 'E').unwrap();
    assert_eq!(error.field('C').as_deref(), Some("53400"));
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn what_portals_hold_is_bounded_in_bytes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let value = vec![b'x'; 15 * 1024 * 1024];
    client.rows("BEGIN").await;
    assert_eq!(
        kinds(&run(&mut client, &[parse("s", "SELECT $1", &[25])]).await),
        "1Z"
    );
    for number in 0..4 {
        let portal = format!("p{number}");
        assert_eq!(
            kinds(&run(&mut client, &[bind(&portal, "s", 0, &[Some(&value)], 0)]).await),
            "2Z"
        );
    }
    let replies = run(&mut client, &[bind("more", "s", 0, &[Some(&value)], 0)]).await;
    assert_eq!(replies[0].field('C').as_deref(), Some("53400"));
    client.rows("ROLLBACK").await;
    assert_eq!(
        kinds(&run(&mut client, &[bind("more", "s", 0, &[Some(&value)], 0)]).await),
        "2Z"
    );
}

/// The types that a statement's parameters are said to have.
async fn parameter_types(client: &mut Client, sql: &str) -> Vec<i32> {
    let replies = run(client, &[parse("", sql, &[]), describe('S', "")]).await;
    let described = replies.iter().find(|reply| reply.kind == 't');
    described
        .unwrap_or_else(|| panic!("{sql}: {replies:?}"))
        .parameters()
}

#[tokio::test]
async fn a_parameter_that_any_takes_items_from_is_an_array_of_what_they_are_compared_with() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for (sql, types) in [
        ("SELECT id FROM flights WHERE id = ANY($1)", [1016]),
        ("SELECT id FROM flights WHERE carrier = ANY ($1)", [1009]),
        ("SELECT id FROM flights WHERE id <> ALL(($1))", [1016]),
    ] {
        assert_eq!(parameter_types(&mut client, sql).await, types, "{sql}");
    }
    let messages = [
        parse(
            "",
            "SELECT carrier FROM flights WHERE id = ANY($1) ORDER BY id",
            &[],
        ),
        bind("", "", 0, &[Some(b"{1,3,99}")], 0),
        execute("", 0),
    ];
    let replies = run(&mut client, &messages).await;
    assert_eq!(kinds(&replies), "12DDCZ", "{replies:?}");
}

#[tokio::test]
async fn a_parameter_has_the_type_of_the_catalogue_that_it_is_cast_to() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for (sql, types) in [
        ("SELECT 1 WHERE 1 = ANY($1::oid[])", [1028]),
        ("SELECT $1::uuid", [2950]),
        ("SELECT $1::name", [19]),
        ("SELECT $1::text[]", [1009]),
    ] {
        assert_eq!(parameter_types(&mut client, sql).await, types, "{sql}");
    }
    let messages = [
        parse(
            "",
            "SELECT typname FROM pg_type WHERE oid = ANY($1::oid[])",
            &[],
        ),
        bind("", "", 0, &[Some(b"{23}")], 0),
        execute("", 0),
    ];
    let replies = run(&mut client, &messages).await;
    let row = replies.iter().find(|reply| reply.kind == 'D').unwrap();
    assert_eq!(row.row(), ["int4"]);
}
