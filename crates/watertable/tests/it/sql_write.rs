//! Writing through SQL into a running broker: what psql inserts, other clients read, and the other way round.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::Signal;

use crate::server::{Server, short_command};
use crate::sql::{answer, error, psql};

/// A command of psql that says nothing.
const NOTHING: &str = "\\set nothing said";

/// All records of a topic as `watertable consume` prints them, key first, in their order; of committed transactions only.
fn consumed(server: &Server, topic: &str) -> Vec<String> {
    let brokers = server.kafka.to_string();
    let output = short_command()
        .args(["consume", topic, "--from-beginning", "--until-end"])
        .args(["--isolation", "read_committed"])
        .args(["--key-separator", ":", "--brokers", &brokers])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What psql says to a text that it reads from its input, which may have data of COPY in it.
fn fed(address: SocketAddr, text: &str) -> String {
    let mut psql = psql(address, NOTHING)
        .args(["--file", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    psql.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = psql.wait_with_output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn what_is_inserted_is_consumed_and_what_is_produced_is_selected() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    answer(server.sql, "create table trips with (partitions = 3)");
    assert_eq!(
        answer(
            server.sql,
            "insert into trips (_key, _value) values ('a', '1')"
        ),
        "INSERT 0 1"
    );
    let two = "insert into trips (_key, _value) values ('b', '2'), ('c', '3')";
    assert_eq!(answer(server.sql, two), "INSERT 0 2");
    // A commit is over when readers see it.
    let all = "select string_agg(_key || _value, ' ' order by _key) from trips";
    assert_eq!(answer(server.sql, all), "a1 b2 c3");
    assert_eq!(consumed(&server, "trips"), ["a:1", "b:2", "c:3"]);

    let mut produce = short_command()
        .args(["produce", "trips", "--key-separator", ":"])
        .args(["--brokers", &server.kafka.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    produce.stdin.take().unwrap().write_all(b"d:4\n").unwrap();
    assert!(produce.wait().unwrap().success());
    assert_eq!(answer(server.sql, all), "a1 b2 c3 d4");

    let twice = "insert into trips (_key, _value) select _key, _value || _value from trips";
    assert_eq!(answer(server.sql, twice), "INSERT 0 4");
    assert_eq!(answer(server.sql, "select count(*) from trips"), "8");
    assert_eq!(answer(server.sql, "drop table trips"), "DROP TABLE");
    assert!(error(server.sql, "select * from trips").contains("does not exist"));
}

#[test]
fn a_table_is_a_topic_with_a_contract() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let said = fed(
        server.sql,
        "create table flights (id bigint not null, carrier text, at timestamptz, fare numeric(8, 2), raw bytea);\n\
         copy flights (_key, id, carrier, at, fare, raw) from stdin with (format csv, null 'NA');\n\
         k1,1,UA,2013-01-01 05:00:00-05,12.5,\\x00ff\n\
         k2,2,NA,NA,NA,NA\n\
         \\.\n\
         select id, carrier, at, fare, raw, _error from flights order by id;\n\
         insert into flights values (3, 'x');\n\
         insert into flights (carrier) values ('y');\n",
    );
    assert_eq!(
        said,
        "1|UA|2013-01-01 10:00:00+00|12.50|\\x00ff|\n2|||||\n\
         psql:<stdin>:8: ERROR:  null value in column \"id\" of relation \"flights\" violates not-null constraint\n"
    );
    assert_eq!(
        consumed(&server, "flights"),
        [
            ":{\"id\":3,\"carrier\":\"x\",\"at\":null,\"fare\":null,\"raw\":null}",
            "k1:{\"id\":1,\"carrier\":\"UA\",\"at\":\"2013-01-01T10:00:00Z\",\"fare\":12.50,\"raw\":\"\\\\x00ff\"}",
            "k2:{\"id\":2,\"carrier\":null,\"at\":null,\"fare\":null,\"raw\":null}",
        ]
    );
    for (sql, said) in [
        (
            "create table flights",
            "relation \"flights\" already exists",
        ),
        ("create table t (a integr)", "did you mean integer?"),
        (
            "create table t with (\"cleanup.policy\" = 'no')",
            "invalid value \"no\" for cleanup.policy",
        ),
        ("create table \"a b\"", "topic name is invalid"),
        ("drop table nothing", "relation \"nothing\" does not exist"),
    ] {
        let error = error(server.sql, sql);
        assert!(error.contains(said), "{sql}: {error}");
    }
}

#[test]
fn a_block_counts_as_a_whole_even_if_the_broker_is_killed_in_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let said = fed(
        server.sql,
        "create table t;\n\
         begin; insert into t (_value) values ('1'), ('2'); commit;\n\
         begin; insert into t (_value) values ('3'), ('4'); rollback;\n\
         select count(*) from t;\n",
    );
    assert_eq!(said, "2\n");
    assert_eq!(consumed(&server, "t"), [":1", ":2"]);

    let mut open = psql(server.sql, NOTHING)
        .args(["--file", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = open.stdin.take().unwrap();
    input
        .write_all(b"begin;\ninsert into t (_value) values ('5'), ('6');\nselect 'written';\n")
        .unwrap();
    let mut written = [0; 8];
    std::io::Read::read_exact(open.stdout.as_mut().unwrap(), &mut written).unwrap();
    assert_eq!(&written, b"written\n");
    server.signal(Signal::KILL);
    server.end();
    input.write_all(b"commit;\n").unwrap();
    drop(input);
    let said = String::from_utf8(open.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("server closed the connection"), "{said}");

    // The next transaction takes over what the kill left open.
    let server = Server::start(data.path(), &[]);
    assert_eq!(
        answer(server.sql, "insert into t (_value) values ('7'), ('8')"),
        "INSERT 0 2"
    );
    assert_eq!(
        answer(
            server.sql,
            "select string_agg(_value, ' ' order by _offset) from t"
        ),
        "1 2 7 8"
    );
    assert_eq!(consumed(&server, "t"), [":1", ":2", ":7", ":8"]);
}

#[test]
fn it_writes_whatever_name_others_are_told_to_connect_to() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--advertise", "nowhere.invalid:9092"]);
    answer(server.sql, "create table t");
    assert_eq!(
        answer(server.sql, "insert into t (_value) values ('1')"),
        "INSERT 0 1"
    );
    assert_eq!(
        answer(server.sql, "insert into t (_value) values ('2'), ('3')"),
        "INSERT 0 2"
    );
    assert_eq!(answer(server.sql, "select count(*) from t"), "3");
}
