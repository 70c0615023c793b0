//! Statements that are larger than what is made of them may be: each shape at the bound is answered, and far above it refused at once.

use crate::client::Client;
use crate::fixture::Fixture;
use crate::world::World;

/// Sessions on the threads that they have in a broker, whose stacks these statements are bounded for.
fn on_engine_threads(test: impl AsyncFnOnce(Client)) {
    let engine = World::new().engine();
    engine.handle().block_on(async {
        let fixture = Fixture::start().await;
        test(fixture.client().await).await;
    });
}

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

/// What has so many parts; how many are answered, and how many too much.
type Shape = (&'static str, fn(usize) -> String, usize, usize);

const SHAPES: [Shape; 18] = [
    (
        "UNION ALL",
        |parts| vec!["SELECT 1"; parts].join(" UNION ALL "),
        100,
        201,
    ),
    (
        "VALUES",
        |parts| vec!["VALUES (1)"; parts].join(" EXCEPT "),
        100,
        201,
    ),
    (
        "JOIN",
        |parts| format!("SELECT count(*) FROM flights f0{}", joins(parts)),
        30,
        201,
    ),
    (
        "FROM",
        |parts| format!("SELECT 1 FROM {}", vec!["flights"; parts].join(", ")),
        1,
        201,
    ),
    (
        "subqueries",
        |parts| nested("SELECT * FROM (", "SELECT 1 AS a", ") AS t", parts),
        20,
        61,
    ),
    (
        "scalars",
        |parts| nested("SELECT (", "SELECT 1", ")", parts),
        8,
        9,
    ),
    (
        "plus",
        |parts| format!("SELECT {}", vec!["1"; parts].join("+")),
        950,
        1002,
    ),
    (
        "AND",
        |parts| format!("SELECT {}", vec!["true"; parts].join(" AND ")),
        950,
        1002,
    ),
    (
        "OR",
        |parts| {
            format!(
                "SELECT count(*) FROM flights WHERE {}",
                vec!["id = 7"; parts].join(" OR ")
            )
        },
        950,
        1002,
    ),
    (
        "casts",
        |parts| format!("SELECT 1{}", "::int".repeat(parts)),
        950,
        1001,
    ),
    (
        "texts",
        |parts| format!("SELECT {}", vec!["'a'"; parts].join("||")),
        950,
        1002,
    ),
    (
        "brackets",
        |parts| format!("SELECT {}", nested("(", "1", ")", parts)),
        40,
        61,
    ),
    (
        "NOT",
        |parts| format!("SELECT {}", nested("NOT (", "true", ")", parts)),
        14,
        15,
    ),
    (
        "CAST",
        |parts| format!("SELECT {}", nested("CAST(", "1", " AS int)", parts)),
        14,
        15,
    ),
    (
        "calls",
        |parts| {
            let calls = nested(
                "array_to_string(make_array(",
                "carrier",
                ",'b'),'z')",
                parts,
            );
            format!("SELECT {calls} FROM flights")
        },
        25,
        61,
    ),
    (
        "coalesce",
        |parts| format!("SELECT {}", nested("coalesce(", "1", ", 2)", parts)),
        8,
        9,
    ),
    (
        "BETWEEN",
        |parts| {
            format!(
                "SELECT {}",
                nested("(", "1", " BETWEEN 1 AND 2)::int", parts)
            )
        },
        8,
        9,
    ),
    (
        "CASE",
        |parts| {
            format!(
                "SELECT {}",
                nested("CASE WHEN ", "true", " THEN true END", parts)
            )
        },
        14,
        15,
    ),
];

fn joins(parts: usize) -> String {
    (1..parts)
        .map(|part| format!(" JOIN flights f{part} ON f{part}.id = f0.id"))
        .collect()
}

#[test]
fn every_shape_is_answered_at_the_bound_and_refused_above_it() {
    on_engine_threads(shapes);
}

async fn shapes(mut client: Client) {
    for (name, shape, answered, refused) in SHAPES {
        client.rows(&shape(answered)).await;
        for parts in [refused, 50_000] {
            let error = client.error(&shape(parts)).await;
            assert_eq!(error.field('C').unwrap(), "54001", "{name}: {error:?}");
        }
    }
    for (name, open) in [
        ("NOT", "NOT ("),
        ("CAST", "CAST("),
        ("CASE", "CASE WHEN true THEN ("),
    ] {
        // Never closed, so that the parser would try each of them in another way as well.
        let error = client.error(&format!("SELECT {}", open.repeat(40))).await;
        assert_eq!(error.field('C').unwrap(), "54001", "{name}");
        assert!(error.field('H').is_some(), "{name}");
        assert!(error.field('P').is_some(), "{name}");
    }
}

#[test]
fn names_of_with_that_stand_for_more_and_more_are_refused() {
    on_engine_threads(doubled);
}

async fn doubled(mut client: Client) {
    let doubled: String = (1..90)
        .map(|level| {
            format!(
                ", w{level} AS (SELECT id FROM w{0} UNION ALL SELECT id FROM w{0})",
                level - 1
            )
        })
        .collect();
    let sql = |levels: usize| {
        format!(
            "WITH w0 AS (SELECT id FROM flights){} SELECT count(*) FROM w{levels}",
            doubled
                .split_inclusive("),")
                .take(levels)
                .collect::<String>()
                .trim_end_matches(',')
        )
    };
    assert_eq!(client.value(&sql(5)).await, (32 * 3).to_string());
    for levels in [20, 60] {
        let error = client.error(&sql(levels)).await;
        assert_eq!(error.field('C').unwrap(), "54001", "{error:?}");
        assert!(
            error
                .field('M')
                .unwrap()
                .contains("when names of WITH are written out"),
            "{error:?}"
        );
    }
}

#[test]
fn conditions_over_columns_that_grow_and_grow_are_refused() {
    on_engine_threads(longer);
}

async fn longer(mut client: Client) {
    let sql = |levels: usize, condition: &str| {
        let longer: String = (1..=levels)
            .map(|level| {
                format!(
                    ", w{level} AS (SELECT name || name AS name, id FROM w{})",
                    level - 1
                )
            })
            .collect();
        format!(
            "WITH w0 AS (SELECT carrier AS name, id FROM flights){longer} SELECT count(*) FROM w{levels} {condition}"
        )
    };
    assert_eq!(client.value(&sql(8, "WHERE length(name) > 5")).await, "2");
    // What does not name them is no matter of theirs.
    assert_eq!(client.value(&sql(60, "WHERE id > 1")).await, "2");
    for condition in [
        "WHERE length(name) > 5",
        "JOIN flights f ON f.carrier = w60.name",
        "GROUP BY name HAVING name > 'a'",
    ] {
        let error = client.error(&sql(60, condition)).await;
        assert_eq!(error.field('C').unwrap(), "54001", "{condition}: {error:?}");
    }
}
