//! Rows that the table does not take.

use connectors::postgres::{Kind, Place, Refusal};

use super::*;

/// Writes what is taken, and gives what is refused: dead letters come in between.
async fn write_rest(
    sink: &mut Sink,
    from: i64,
    to: i64,
    rows: &RecordBatch,
    deletes: &[Delete],
) -> Vec<Refusal> {
    let mut all = Vec::new();
    let mut left_out = BTreeSet::new();
    loop {
        let batch = Batch {
            rows,
            deletes,
            left_out: &left_out,
        };
        match sink.write(partition(0), from, to, &batch).await {
            Ok(_written) => return all,
            Err(SinkError::Refused { refused }) => {
                assert!(!refused.is_empty());
                left_out.extend(refused.iter().map(|refusal| refusal.place));
                all.extend(refused);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn said(refused: &[Refusal]) -> Vec<String> {
    refused
        .iter()
        .map(|refusal| {
            format!(
                "{:?} {} {}",
                refusal.place,
                refusal.sqlstate,
                refusal.constraint.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

#[tokio::test]
async fn every_row_that_is_refused_is_named_with_its_reason_and_the_others_are_written() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE cities (name text PRIMARY KEY); INSERT INTO cities VALUES ('Rome'), ('Paris');
             CREATE TABLE people (id bigint PRIMARY KEY, name varchar(5) NOT NULL, age smallint CONSTRAINT grown CHECK (age >= 18), \
               city text CONSTRAINT lives REFERENCES cities, mail text CONSTRAINT one_mail UNIQUE);
             CREATE FUNCTION no_bob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF NEW.name = 'Bob' THEN RAISE EXCEPTION 'no Bob here'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER no_bob BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION no_bob()",
        )
        .await;
    let columns = vec![
        Column::new("id", DataType::BigInt),
        Column::new("name", DataType::Text),
        Column::new("age", DataType::BigInt),
        Column::new("city", DataType::Text),
        Column::new("mail", DataType::Text),
    ];
    let rows: Vec<(i64, Option<&str>, i64, &str, &str)> = vec![
        (1, Some("Ada"), 40, "Rome", "a"),
        (2, None, 40, "Rome", "b"),
        (3, Some("Cyd"), 17, "Rome", "c"),
        (4, Some("Dan"), 40, "Atlantis", "d"),
        (5, Some("Eve"), 70_000, "Rome", "e"),
        (6, Some("Fay"), 40, "Rome", "a"),
        (7, Some("Bob"), 40, "Paris", "g"),
        (8, Some("Horatio"), 40, "Paris", "h"),
        (9, Some("Ida"), 40, "Paris", "i"),
    ];
    let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let batch = batch_of(vec![
        (
            "id",
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        ),
        ("name", text(rows.iter().map(|row| row.1).collect())),
        (
            "age",
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
        ),
        ("city", text(rows.iter().map(|row| Some(row.3)).collect())),
        ("mail", text(rows.iter().map(|row| Some(row.4)).collect())),
    ]);
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &columns).await;
    let refused = write_rest(&mut sink, 0, 9, &batch, &[]).await;
    assert_eq!(
        said(&refused),
        [
            "Row(1) 23502 -",
            "Row(2) 23514 grown",
            "Row(3) 23503 lives",
            "Row(4) 22003 -",
            "Row(5) 23505 one_mail",
            "Row(6) P0001 -",
            "Row(7) 22001 -"
        ]
    );
    assert_eq!(refused[0].column.as_deref(), Some("name"));
    assert_eq!(
        refused[2].detail.as_deref(),
        Some("Key (city)=(Atlantis) is not present in table \"cities\".")
    );
    assert!(
        refused[5].to_string().contains("no Bob here"),
        "{}",
        refused[5]
    );
    assert_eq!(
        database.rows("SELECT id FROM people ORDER BY id").await,
        ["1", "9"]
    );
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        ["9"]
    );
}

/// Rows of `id` and a text that goes into a column of another type.
fn texts(rows: &[&str]) -> RecordBatch {
    let rows: Vec<_> = (1..).zip(rows.iter().copied()).collect();
    people_rows(&rows)
}

#[tokio::test]
async fn a_text_that_is_none_of_its_type_is_refused_by_row_whatever_the_code() {
    for (type_name, good, bad, code) in [
        ("tsquery", "a & b", "a &", "42601"),
        ("jsonpath", "$.a", "$.", "42601"),
        ("regclass", "pg_class", "nowhere", "42P01"),
        ("regtype", "int", "nothing", "42704"),
        ("regproc", "now", "never", "42883"),
    ] {
        let database = Database::new().await;
        database
            .run(&format!(
                "CREATE TABLE people (id bigint PRIMARY KEY, name {type_name})"
            ))
            .await;
        let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
        let rows = texts(&[good, bad, good]);
        let refused = write_rest(&mut sink, 0, 3, &rows, &[]).await;
        assert_eq!(said(&refused), [format!("Row(1) {code} -")], "{type_name}");
        let found = database.rows("SELECT id FROM people ORDER BY id").await;
        assert_eq!(found, ["1", "3"], "{type_name}");
    }
}

#[tokio::test]
async fn what_a_trigger_raises_is_of_its_row_whatever_the_code() {
    for code in ["AB123", "40001", "57014", "XX000", "42501"] {
        let database = Database::new().await;
        database
            .run(&format!(
                "CREATE TABLE people (id bigint, name text);
                 CREATE FUNCTION no_bob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   IF NEW.name = 'Bob' THEN RAISE EXCEPTION 'no Bob here' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER no_bob BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION no_bob()"
            ))
            .await;
        let (mut sink, _) = ready(&database.address(), &append("people"), &people()).await;
        // Without another row nobody knows whether it is the row or the trigger.
        let error = write(&mut sink, 0, 1, &texts(&["Bob"])).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Hold | Kind::Retry), "{error}");
        let said_of_it = error.to_string();
        assert!(said_of_it.contains("no Bob here"), "{said_of_it}");
        let rows = texts(&["Bob", "Ann", "Bob"]);
        let refused = write_rest(&mut sink, 0, 3, &rows, &[]).await;
        assert_eq!(
            said(&refused),
            [format!("Row(0) {code} -"), format!("Row(2) {code} -")]
        );
        assert_eq!(database.rows("SELECT name FROM people").await, ["Ann"]);
        assert_eq!(
            database.rows("SELECT next FROM watertable.offsets").await,
            ["3"]
        );
    }
}

#[tokio::test]
async fn a_policy_refuses_rows_and_a_right_that_is_missing_refuses_none() {
    let database = Database::new().await;
    let role = role(&database).await;
    let grants = format!(
        "GRANT ALL ON people TO {role}; GRANT ALL ON SCHEMA watertable TO {role}; GRANT ALL ON watertable.offsets TO {role}"
    );
    let (admin, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    drop(admin);
    database
        .run(&format!(
            "{grants}; ALTER TABLE people ENABLE ROW LEVEL SECURITY;
             CREATE POLICY short ON people USING (true) WITH CHECK (length(name) < 5)"
        ))
        .await;
    let address = database.address_of(&role);
    let (mut sink, _) = ready(&address, &upsert("people", &["id"]), &people()).await;
    let rows = texts(&["Ann", "Annabelle", "Bob"]);
    let refused = write_rest(&mut sink, 0, 3, &rows, &[]).await;
    assert_eq!(said(&refused), ["Row(1) 42501 -"]);
    database
        .run(&format!("REVOKE UPDATE ON people FROM {role}"))
        .await;
    let error = write(&mut sink, 3, 6, &rows).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Hold, "{error}");
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[tokio::test]
async fn a_row_that_is_larger_than_a_page_is_refused_by_row() {
    const COLUMNS: i64 = 1100;
    let database = Database::new().await;
    let names: Vec<_> = (0..COLUMNS).map(|at| format!("c{at}")).collect();
    let columns: Vec<_> = names
        .iter()
        .map(|name| Column::new(&**name, DataType::BigInt))
        .collect();
    let (mut sink, _) = ready(&database.address(), &append("people"), &columns).await;
    // Every third has a value in each column.
    let cells = (0..COLUMNS).map(|at| -> ArrayRef {
        let of_row = |row: i64| (at == 0 || row % 3 == 1).then_some(row);
        Arc::new((0..6).map(of_row).collect::<Int64Array>())
    });
    let rows = batch_of(names.iter().map(|name| &**name).zip(cells).collect());
    let refused = write_rest(&mut sink, 0, 6, &rows, &[]).await;
    assert_eq!(said(&refused), ["Row(1) 54000 -", "Row(4) 54000 -"]);
    assert_eq!(
        database.rows("SELECT c0 FROM people ORDER BY c0").await,
        ["0", "2", "3", "5"]
    );
}

#[tokio::test]
async fn nothing_is_written_before_the_refused_rows_are_kept() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")
        .await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let rows = people_rows(&[(1, "good"), (2, "bad")]);
    let error = write(&mut sink, 0, 2, &rows).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rows);
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["0"]);
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        ["0"]
    );
}

#[tokio::test]
async fn a_batch_of_nothing_but_refused_rows_ends() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")
        .await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let rows: Vec<_> = (0..500).map(|id| (id, "bad")).collect();
    let refused = write_rest(&mut sink, 0, 500, &people_rows(&rows), &[]).await;
    assert_eq!(refused.len(), 500);
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        ["500"]
    );
}

#[tokio::test]
async fn a_refused_row_leaves_the_one_before_it_of_the_same_key() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")
        .await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let refused = write_rest(
        &mut sink,
        0,
        2,
        &people_rows(&[(1, "good"), (1, "bad")]),
        &[],
    )
    .await;
    assert_eq!(refused.len(), 1);
    assert_eq!(database.rows("SELECT * FROM people").await, ["1|good"]);
}

#[tokio::test]
async fn what_is_checked_at_the_end_of_a_transaction_is_found_by_its_row() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE people (id bigint PRIMARY KEY, name text, boss bigint REFERENCES people DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let columns = vec![people()[0].clone(), Column::new("boss", DataType::BigInt)];
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &columns).await;
    let ids: Int64Array = [1, 2, 3, 4, 5, 6].into_iter().map(Some).collect();
    // 1 refers to a row behind it, 4 to one that is nowhere.
    let bosses: Int64Array = [Some(6), None, Some(2), Some(99), Some(1), Some(2)]
        .into_iter()
        .collect();
    let rows = batch_of(vec![("id", Arc::new(ids)), ("boss", Arc::new(bosses))]);
    let refused = write_rest(&mut sink, 0, 6, &rows, &[]).await;
    assert_eq!(said(&refused), ["Row(3) 23503 people_boss_fkey"]);
    assert_eq!(
        database.rows("SELECT id FROM people ORDER BY id").await,
        ["1", "2", "3", "5", "6"]
    );
}

#[tokio::test]
async fn deletes_are_refused_as_rows_are() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'a'), (2, 'b'); \
              CREATE TABLE pets (owner bigint REFERENCES people); INSERT INTO pets VALUES (1)")
        .await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let deletes = [
        delete(0, &["2"]),
        delete(0, &["1"]),
        delete(1, &["no number"]),
        delete(1, &["1", "2"]),
        delete(1, &["a\0"]),
    ];
    let mut refused = write_rest(&mut sink, 0, 5, &people_rows(&[(3, "c")]), &deletes).await;
    refused.sort_by_key(|refusal| refusal.place);
    assert_eq!(
        said(&refused),
        [
            "Delete(1) 23503 pets_owner_fkey",
            "Delete(2) 22P02 -",
            "Delete(3) 22023 -",
            "Delete(4) 22021 -"
        ]
    );
    assert_eq!(
        database.rows("SELECT id FROM people ORDER BY id").await,
        ["1", "3"]
    );
}

#[tokio::test]
async fn values_that_postgresql_cannot_hold_are_refused_by_row() {
    let database = Database::new().await;
    let columns = vec![
        people()[0].clone(),
        Column::new("name", DataType::Text),
        Column::new("day", DataType::Date),
        Column::new("at", DataType::Timestamp),
    ];
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &columns).await;
    let ids: Int64Array = [Some(1), Some(2), Some(3), Some(4), None]
        .into_iter()
        .collect();
    let names: StringArray = ["ok", "a\0b", "ok", "ok", "ok"]
        .into_iter()
        .map(Some)
        .collect();
    let days: arrow::array::Date32Array = [0, 0, i32::MAX, 0, 0].into_iter().map(Some).collect();
    let times: arrow::array::TimestampMicrosecondArray =
        [0, 0, 0, i64::MIN, 0].into_iter().map(Some).collect();
    let rows = batch_of(vec![
        ("id", Arc::new(ids)),
        ("name", Arc::new(names)),
        ("day", Arc::new(days)),
        ("at", Arc::new(times)),
    ]);
    let refused = write_rest(&mut sink, 0, 5, &rows, &[]).await;
    assert_eq!(
        said(&refused),
        [
            "Row(1) 22021 -",
            "Row(2) 22008 -",
            "Row(3) 22008 -",
            "Row(4) 23502 -"
        ]
    );
    assert_eq!(
        refused[0].message,
        "column name has a zero byte, which text of PostgreSQL cannot hold"
    );
    assert_eq!(
        database.rows("SELECT * FROM people").await,
        ["1|ok|1970-01-01|1970-01-01 00:00:00"]
    );
}

#[tokio::test]
async fn text_that_the_database_has_no_letters_for_is_refused_by_row() {
    let server = Server::shared().await;
    let database = Database::with(server, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    let columns = vec![
        Column::new("name", DataType::Text),
        Column::new("more", DataType::Json),
    ];
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["name"]), &columns).await;
    let names: StringArray = ["née", "雪", "ok"].into_iter().map(Some).collect();
    let more: StringArray = ["{}", "{}", "\"é\""].into_iter().map(Some).collect();
    let rows = batch_of(vec![("name", Arc::new(names)), ("more", Arc::new(more))]);
    let refused = write_rest(&mut sink, 0, 3, &rows, &[delete(1, &["née"])]).await;
    assert_eq!(said(&refused), ["Row(1) 22P05 -"]);
    assert_eq!(
        database.rows("SELECT name, more FROM people").await,
        ["ok|\"é\""]
    );
}

#[tokio::test]
async fn a_key_too_long_for_its_index_is_refused_by_row() {
    let database = Database::new().await;
    let columns = vec![Column::new("name", DataType::Text)];
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["name"]), &columns).await;
    // Random enough not to be compressed below what an index holds.
    let long: String = (0..40_000_u32)
        .map(|at| char::from(b'!' + u8::try_from(at.wrapping_mul(2_654_435_761) >> 26).unwrap()))
        .collect();
    let names: StringArray = ["ok", long.as_str()].into_iter().map(Some).collect();
    let refused = write_rest(
        &mut sink,
        0,
        2,
        &batch_of(vec![("name", Arc::new(names))]),
        &[],
    )
    .await;
    assert_eq!(said(&refused)[0].split_once(' ').unwrap().0, "Row(1)");
    assert_eq!(refused[0].sqlstate, "54000");
    assert_eq!(database.rows("SELECT name FROM people").await, ["ok"]);
    assert_eq!(refused[0].place, Place::Row(1));
}

/// Random rows and deletes of few keys, cut into random batches, some of them refused: in the end the table is what it is when they come
/// one by one.
#[tokio::test]
async fn however_operations_are_cut_into_batches_the_table_is_that_of_their_order() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'), visits int DEFAULT 0)")
        .await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let admin = database.admin().await;
    let mut model: BTreeMap<i64, (String, i64)> = BTreeMap::new();
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for at in 0..60_i64 {
        let (mut rows, mut deletes) = (Vec::new(), Vec::new());
        for number in 0..random(9) {
            let id = i64::try_from(random(5)).unwrap();
            match random(6) {
                0 | 1 => {
                    deletes.push(delete(rows.len(), &[&id.to_string()]));
                    model.remove(&id);
                }
                2 => rows.push((id, "bad".to_owned())),
                _ => {
                    let name = format!("{at}.{number}");
                    // A row that is there keeps what the sink does not write.
                    model
                        .entry(id)
                        .or_insert((String::new(), 0))
                        .0
                        .clone_from(&name);
                    rows.push((id, name));
                }
            }
        }
        let borrowed: Vec<_> = rows.iter().map(|(id, name)| (*id, name.as_str())).collect();
        let refused = write_rest(&mut sink, at, at + 1, &people_rows(&borrowed), &deletes).await;
        // One that is replaced or deleted behind it in its batch may be refused, and need not be.
        let is_last = |at: usize, id: i64| {
            let replaced = rows
                .iter()
                .skip(at + 1)
                .any(|row| row.0 == id && row.1 != "bad");
            let deleted = deletes
                .iter()
                .any(|delete| delete.after_rows > at && delete.key[0] == id.to_string());
            !replaced && !deleted
        };
        let places: BTreeSet<_> = refused.iter().map(|refusal| refusal.place).collect();
        for (at, (id, name)) in rows.iter().enumerate() {
            let is_refused = places.contains(&Place::Row(at));
            assert!(name == "bad" || !is_refused, "{refused:?} of {rows:?}");
            assert!(
                name != "bad" || is_refused || !is_last(at, *id),
                "{refused:?} of {rows:?} {deletes:?}"
            );
        }
        let expected: Vec<_> = model
            .iter()
            .map(|(id, (name, visits))| format!("{id}|{name}|{visits}"))
            .collect();
        let found = crate::support::server::texts(
            &admin,
            "SELECT id, name, visits FROM people ORDER BY id",
        )
        .await;
        assert_eq!(found, expected, "after {rows:?} {deletes:?}");
        admin
            .batch_execute("UPDATE people SET visits = visits + 1")
            .await
            .unwrap();
        model.values_mut().for_each(|(_, visits)| *visits += 1);
    }
}
