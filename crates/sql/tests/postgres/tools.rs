//! What tools and drivers need when they start and look around: `tools/*.sql`, each construct with what is expected of it.

use crate::client::{Client, describe, kinds, parse, sync};
use crate::writable::Writable;

/// A query, and what it must answer.
struct Question<'a> {
    about: &'a str,
    expected: &'a str,
    sql: &'a str,
}

fn questions(file: &str) -> Vec<Question<'_>> {
    let blocks = file.split("\n\n").skip(1);
    let questions = blocks.map(|block| {
        let (title, sql) = block.trim().split_once('\n').unwrap();
        let (about, expected) = title
            .strip_prefix("-- ")
            .unwrap()
            .split_once(" => ")
            .unwrap();
        Question {
            about,
            expected,
            sql,
        }
    });
    questions.collect()
}

/// A server with two topics, one of them with columns and two rows.
async fn filled() -> (Writable, Client) {
    let server = Writable::start().await;
    let mut client = server.client().await;
    let columns = "id bigint, carrier text, delay double precision, ok boolean, fare numeric(10,2), day date, at timestamptz, raw bytea";
    client
        .tag(&format!("CREATE TABLE flights ({columns})"))
        .await;
    client
        .tag("CREATE TABLE \"Odd-Topic.1\" (\"Weird Column\" int)")
        .await;
    let rows = "(1, 'UA', 2.5, '2013-01-01 10:00:00Z'), (2, 'B6', -30, '2013-02-01 10:00:00Z')";
    client
        .tag(&format!(
            "INSERT INTO flights (id, carrier, delay, at) VALUES {rows}"
        ))
        .await;
    (server, client)
}

/// What is wrong with the answer.
async fn wrong(client: &mut Client, question: &Question<'_>) -> Option<String> {
    let replies = client.query(question.sql).await;
    if let Some(error) = replies.iter().find(|reply| reply.kind == 'E') {
        let (state, message) = (error.field('C'), error.field('M'));
        return Some(format!("{}: {state:?} {message:?}\n", question.about));
    }
    let rows: Vec<String> = replies
        .iter()
        .filter(|reply| reply.kind == 'D')
        .map(|reply| reply.row().join("|"))
        .collect();
    let is_right = match question.expected {
        "+" => !rows.is_empty(),
        expected => match expected.parse::<usize>() {
            Ok(count) if !rows.is_empty() && rows[0] == expected => count > 0,
            Ok(count) => rows.len() == count,
            Err(_) => rows.first().is_some_and(|row| row == expected),
        },
    };
    if !is_right {
        let (about, expected) = (question.about, question.expected);
        return Some(format!(
            "{about}: {expected} is expected, and it is {rows:?}\n"
        ));
    }
    // Drivers prepare.
    let messages = [parse("", question.sql, &[]), describe('S', ""), sync()];
    client.send_raw(&messages.concat()).await;
    let replies = client.until_ready().await;
    let told = kinds(&replies);
    (told != "1tTZ").then(|| format!("{}: prepared, {told}\n", question.about))
}

async fn check(file: &str) {
    let (_server, mut client) = filled().await;
    let mut all = String::new();
    for question in questions(file) {
        all.extend(wrong(&mut client, &question).await);
    }
    assert!(all.is_empty(), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server() {
    check(include_str!("tools/server.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects() {
    check(include_str!("tools/objects.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables() {
    check(include_str!("tools/tables.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns() {
    check(include_str!("tools/columns.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys() {
    check(include_str!("tools/keys.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileges() {
    check(include_str!("tools/privileges.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types() {
    check(include_str!("tools/types.sql")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values() {
    check(include_str!("tools/values.sql")).await;
}

/// asyncpg reads the answer in binary, and knows few types then: arrays of `oid` and `text`, no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_knows_the_types_of_what_tells_it_types() {
    let (_server, mut client) = filled().await;
    let all = questions(include_str!("tools/types.sql"));
    let sql = all.last().unwrap().sql;
    client
        .send_raw(&[parse("", sql, &[]), describe('S', ""), sync()].concat())
        .await;
    let replies = client.until_ready().await;
    let columns = replies.iter().find(|reply| reply.kind == 'T').unwrap();
    let types: Vec<u32> = columns
        .columns()
        .into_iter()
        .map(|column| column.1)
        .collect();
    assert_eq!(types, [26, 19, 18, 25, 20, 1028, 1009]);
}
