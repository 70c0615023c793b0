//! What a query cannot have, and what is told then.

use super::given::told;

#[track_caller]
fn check(sql: &str, rest: &str, expected: &[&str]) {
    assert_eq!(told(sql, rest), expected, "{sql}");
}

#[test]
fn what_needs_other_rows_is_refused_with_what_to_do() {
    for (sql, at, says, hint) in [
        (
            "SELECT t.id FROM t JOIN u ON t.id = u.id",
            20,
            "joins no tables yet",
            "join in psql",
        ),
        (
            "SELECT t.id FROM t, u",
            21,
            "joins no tables yet",
            "join in psql",
        ),
        (
            "SELECT count(*) AS n FROM t",
            8,
            "no aggregates yet",
            "aggregate in psql",
        ),
        (
            "SELECT name FROM t GROUP BY name",
            20,
            "no aggregates yet",
            "aggregate in psql",
        ),
        (
            "SELECT DISTINCT name FROM t",
            8,
            "drop rows for being like others",
            "compacted topic",
        ),
        (
            "SELECT id FROM t ORDER BY id",
            18,
            "cannot sort",
            "leave ORDER BY out",
        ),
        ("SELECT id FROM t LIMIT 3", 18, "count to a limit", "WHERE"),
        ("SELECT id FROM t OFFSET 3", 18, "count to a limit", "WHERE"),
        (
            "SELECT row_number() OVER (ORDER BY id) AS n FROM t",
            8,
            "no window functions yet",
            "psql",
        ),
        (
            "SELECT id FROM t WHERE id IN (SELECT id FROM u)",
            24,
            "no subqueries in expressions",
            "WITH",
        ),
        (
            "SELECT (SELECT 1) AS n FROM t",
            9,
            "no subqueries in expressions",
            "WITH",
        ),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u)",
            24,
            "no subqueries in expressions",
            "WITH",
        ),
        (
            "VALUES (1)",
            1,
            "no rows of its own",
            "select from one of the inputs",
        ),
        (
            "SELECT 1 AS n",
            1,
            "no rows of its own",
            "select from one of the inputs",
        ),
        (
            "SELECT id FROM t UNION SELECT id FROM u",
            18,
            "only UNION ALL",
            "UNION ALL",
        ),
        (
            "SELECT id FROM t EXCEPT SELECT id FROM u",
            18,
            "only UNION ALL",
            "UNION ALL",
        ),
        (
            "SELECT n FROM generate_series(1, 3) AS g(n)",
            15,
            "not from functions",
            "unnest(list)",
        ),
        (
            "WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT id FROM r) SELECT id FROM r",
            6,
            "no recursive queries",
            "psql",
        ),
        (
            "SELECT id, now() AS at FROM t",
            12,
            "now gives something else each time",
            "use _timestamp",
        ),
        (
            "SELECT current_date AS at FROM t",
            8,
            "current_date gives something else",
            "use _timestamp",
        ),
        (
            "SELECT current_timestamp AS at FROM t",
            8,
            "gives something else",
            "use _timestamp",
        ),
        (
            "SELECT random() AS r FROM t",
            8,
            "random gives something else",
            "md5(_key)",
        ),
        (
            "SELECT id FROM t FOR UPDATE",
            18,
            "locks nothing",
            "FOR UPDATE",
        ),
    ] {
        let told = told(sql, "");
        let place = format!("p.yaml:8:{}: sql: ", at + 2);
        assert!(
            told.iter()
                .any(|told| told.starts_with(&place) && told.contains(says) && told.contains(hint)),
            "{sql}: {told:?}"
        );
    }
}

#[test]
fn what_would_change_nothing_is_refused() {
    for (sql, at, says) in [
        (
            "SELECT id FROM t WHERE name COLLATE \"de\" > 'a'",
            29,
            "knows no other collation",
        ),
        (
            "SELECT upper(name) FILTER (WHERE id > 1) AS n FROM t",
            8,
            "FILTER is for aggregates",
        ),
        (
            "SELECT upper(DISTINCT name) AS n FROM t",
            8,
            "DISTINCT is for aggregates",
        ),
        (
            "SELECT upper(name ORDER BY id) AS n FROM t",
            8,
            "ORDER BY is for aggregates",
        ),
        (
            "SELECT upper(name) WITHIN GROUP (ORDER BY id) AS n FROM t",
            8,
            "WITHIN GROUP is for aggregates",
        ),
        (
            "SELECT upper(name) IGNORE NULLS AS n FROM t",
            8,
            "IGNORE NULLS is for aggregates",
        ),
        ("SELECT id FROM t WITH (NOLOCK)", 16, "would change nothing"),
        ("SELECT id FROM t FOR JSON AUTO", 18, "would change nothing"),
        (
            "SELECT id FROM t TABLESAMPLE SYSTEM (10)",
            18,
            "count to a limit",
        ),
        ("SELECT id INTO x FROM t", 1, "would change nothing"),
    ] {
        let told = told(sql, "");
        let place = format!("p.yaml:8:{}: sql: ", at + 2);
        let is_told = |told: &String| told.starts_with(&place) && told.contains(says);
        assert!(told.iter().any(is_told), "{sql}: {told:?}");
    }
    for sql in [
        "SELECT id FROM t WHERE name COLLATE \"C\" > 'a'",
        "SELECT id FROM t WHERE name COLLATE pg_catalog.\"default\" > 'a'",
    ] {
        assert!(super::given::compiled(sql, "").is_ok(), "{sql}");
    }
}

#[test]
fn constants_that_cannot_be_are_refused_at_their_place() {
    for (sql, at, says) in [
        (
            "SELECT id FROM t WHERE name ~ '(a'",
            31,
            "'(a' does not compile as a regular expression",
        ),
        (
            "SELECT id FROM t WHERE name !~* 'a{2000000000}'",
            33,
            "does not compile",
        ),
        (
            "SELECT regexp_replace(name, '[', 'x', 'g') AS n FROM t",
            29,
            "'[' does not compile",
        ),
        (
            "SELECT id FROM t WHERE regexp_like(name, '(?=a)')",
            42,
            "does not compile",
        ),
        (
            "SELECT id FROM t WHERE name ~ '((a{100}){100}){100}'",
            31,
            "does not compile",
        ),
        (
            "SELECT id, repeat('x', 100000) AS x FROM t",
            1,
            "a constant of 100000 bytes",
        ),
    ] {
        let told = told(sql, "");
        let place = format!("p.yaml:8:{}: sql: ", at + 2);
        let is_told = |told: &String| told.starts_with(&place) && told.contains(says);
        assert!(told.iter().all(is_told), "{sql}: {told:?}");
    }
    let told = told(
        "SELECT name FROM t",
        "checks:\n  - expression: { name: x, is_true: \"name ~ '(a'\" }\n",
    );
    assert!(
        told.len() == 1 && told[0].contains("does not compile"),
        "{told:?}"
    );
}

/// Texts that are short and mean far more, or that go deeper than a stack.
#[test]
fn queries_that_are_too_much_are_refused_at_once() {
    let doubled: Vec<_> = (1..60)
        .map(|level| {
            let below = level - 1;
            format!("w{level} AS (SELECT id FROM w{below} UNION ALL SELECT id FROM w{below})")
        })
        .collect();
    let longer: Vec<_> = (1..60)
        .map(|level| {
            let below = level - 1;
            format!("w{level} AS (SELECT name || name AS name FROM w{below})")
        })
        .collect();
    let chain = |operator: &str, count: usize| vec!["id"; count].join(operator);
    for (sql, says) in [
        (
            format!(
                "WITH w0 AS (SELECT id FROM t), {} SELECT id FROM w59",
                doubled.join(", ")
            ),
            "when names of WITH are written out",
        ),
        (
            format!(
                "SELECT id FROM t{}",
                " UNION ALL SELECT id FROM t".repeat(5000)
            ),
            "more than 200 queries and joins",
        ),
        (
            format!("SELECT {} AS n FROM t", chain("+", 50_000)),
            "operators stand in each other",
        ),
        (
            format!("SELECT id{} AS n FROM t", "::int".repeat(40_000)),
            "operators stand in each other",
        ),
        (
            format!("SELECT id FROM t WHERE id = {}", chain(" OR id = ", 10_000)),
            "operators stand in each other",
        ),
        (
            format!("SELECT id FROM t WHERE id{}", " IS NULL".repeat(20_000)),
            "operators stand in each other",
        ),
        (
            format!(
                "SELECT {}id{} AS n FROM t",
                "(".repeat(20_000),
                ")".repeat(20_000)
            ),
            "operators stand in each other",
        ),
        (
            format!(
                "SELECT {}1 AS n FROM t",
                "CASE WHEN true THEN ".repeat(5000)
            ),
            "CASE, CAST, NOT and their like",
        ),
        (
            format!("SELECT {}id FROM t", "CAST(".repeat(40)),
            "CASE, CAST, NOT and their like",
        ),
        (
            format!("SELECT id FROM t WHERE {}", "NOT ".repeat(40)),
            "CASE, CAST, NOT and their like",
        ),
    ] {
        let told = told(&sql, "");
        let begin: String = sql.chars().take(60).collect();
        assert!(
            told.len() == 1 && told[0].contains(says),
            "{begin}: {told:?}"
        );
    }
    // Each level has twice the text of the one below: that is a matter of running it.
    let sql = format!(
        "WITH w0 AS (SELECT name FROM t), {} SELECT name FROM w59 WHERE length(name) > 5",
        longer.join(", ")
    );
    assert!(super::given::compiled(&sql, "").is_ok());
    let case = "CASE WHEN id IS NOT NULL THEN trim(name) WHEN id NOT IN (1, 2) THEN CAST(id AS text) END AS c";
    let cases: Vec<_> = (0..40).map(|number| format!("{case}{number}")).collect();
    for sql in [
        format!("SELECT {} AS n FROM t", chain("+", 200)),
        format!("SELECT {} FROM t", cases.join(", ")),
        format!(
            "SELECT id FROM t WHERE id IS NOT NULL{}",
            " AND NOT (name IS NOT NULL AND trim(name) = CAST(id AS text))".repeat(50)
        ),
    ] {
        assert!(super::given::compiled(&sql, "").is_ok(), "{sql}");
    }
}

#[test]
fn all_that_is_refused_is_told_at_once() {
    let told = told(
        "SELECT DISTINCT random() AS r\nFROM t\nORDER BY 1 LIMIT 2",
        "",
    );
    let places: Vec<_> = told
        .iter()
        .map(|told| told.split(": sql").next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["p.yaml:10:3", "p.yaml:10:14", "p.yaml:8:10", "p.yaml:8:19"]
    );
}

#[test]
fn names_are_told_with_what_was_perhaps_meant() {
    check(
        "SELECT id,\n  nmae FROM t",
        "",
        &["p.yaml:9:5: sql: there is no column nmae; did you mean name?"],
    );
    check(
        "SELECT Big FROM t",
        "",
        &[
            "p.yaml:8:10: sql: there is no column big; write \"Big\" in quotes: names without them are in small letters",
        ],
    );
    check(
        "SELECT id FROM tt",
        "",
        &["p.yaml:8:18: sql: there is no input tt; did you mean t?"],
    );
    check(
        "SELECT uper(name) AS n FROM t",
        "",
        &["p.yaml:8:10: sql: there is no function uper; did you mean upper?"],
    );
    check(
        "SELECT id FROM t WHERE",
        "",
        &["p.yaml:8:25: sql: expected: an expression, found: EOF"],
    );
}

#[test]
fn columns_of_the_result_are_those_a_contract_can_have() {
    check(
        "SELECT id, name AS id FROM t",
        "",
        &[
            "p.yaml:8:22: sql: two columns are called id; write AS and another name behind one of them",
        ],
    );
    check(
        "SELECT _offset FROM t",
        "",
        &[
            "p.yaml:8:10: sql: a column of the result cannot be called _offset: what begins with _ is the system's; write AS and another name behind it, as _offset AS source_offset",
        ],
    );
    check(
        "SELECT id + 1 FROM t",
        "",
        &["p.yaml:8:3: sql: a column of the result has no name; write AS and a name behind it"],
    );
    check(
        "SELECT [id] AS list, tags->'a' AS part FROM t",
        "",
        &[
            "p.yaml:8:18: sql: the column list is a list, which no column of a contract is; write unnest(list) for a row of each item, or array_to_string(list, ',')",
            "p.yaml:8:37: sql: the column part is a value of JSON of any kind, which no column of a contract is; write ->> for its text, or cast it, as (_value->'km')::double precision",
        ],
    );
}

#[test]
fn what_sinks_and_checks_name_is_in_the_result() {
    check(
        "SELECT id, name FROM t",
        "to: { topic: { name: out, key: [id, nam], timestamp: name } }
checks:
  - not_null: [id, namee]
  - expression: { name: e, is_true: amount > 1 }
  - expression: { name: f, is_true: id + 1 }
  - expression: { name: g, is_true: id > 1 AND now() > '2020-01-01' }
",
        &[
            "p.yaml:9:32: to.topic.key: the result has no column nam; did you mean name?",
            "p.yaml:9:54: to.topic.timestamp: name is text, which is no time; name a column that is a timestamp, or make one with to_timestamp",
            "p.yaml:11:5: checks[0]: there is no column namee; did you mean name?",
            "p.yaml:12:5: checks[1]: there is no column amount; the columns are id, name",
            "p.yaml:13:5: checks[2]: this is no condition: it gives a number; write a comparison, as amount >= 0",
            "p.yaml:14:5: checks[3]: now gives something else each time it is asked, so a record that is read again would give another row; use _timestamp, the time of the record",
        ],
    );
}
