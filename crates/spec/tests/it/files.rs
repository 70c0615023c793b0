//! Files that are right: what is read of them, and that writing and reading them again changes nothing.

use spec::{Condition, Pipeline, Sink, Source, Surroundings, Trigger, Value};

use super::{File, folder, lines, read, yaml_of};

pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    yaml_of(&folder("files"))
}

fn pipeline(name: &str) -> Pipeline {
    let bytes = std::fs::read(folder("files").join(name)).unwrap();
    match read(name, &bytes) {
        Ok(file) => file.pipeline,
        Err(problems) => panic!("{}", lines(&problems)),
    }
}

/// Reads what was written, where nothing is to be replaced any more.
fn again(text: &str) -> Pipeline {
    match File::read("again", text.as_bytes(), &Surroundings::NONE) {
        Ok(file) => file.pipeline,
        Err(problems) => panic!("{}{text}", lines(&problems)),
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for (name, _) in all() {
        let pipeline = pipeline(&name);
        let (json, yaml) = (pipeline.to_json(), pipeline.to_yaml());
        assert_eq!(again(&json), pipeline, "{json}");
        assert_eq!(again(&yaml), pipeline, "{yaml}");
        assert_eq!(again(&yaml).to_json(), json);
        assert_eq!(json.lines().count(), 1);
    }
}

/// So that a new key cannot be read and then forgotten.
#[test]
fn every_key_that_runs_is_carried_into_what_is_written() {
    let written: String = all()
        .iter()
        .map(|(name, _)| pipeline(name).to_json())
        .collect();
    let mut objects = Vec::new();
    spec::shape::objects(&mut |object| objects.push(object));
    assert!(objects.len() > 20, "{}", objects.len());
    for object in objects {
        for key in object.keys.iter().filter(|key| key.later.is_none()) {
            // Keys with one meaning only, which is what holds without them.
            let says_nothing = ["concurrency", "to", "format", "continuous"].contains(&key.name);
            assert!(
                says_nothing || written.contains(&format!("\"{}\":", key.name)),
                "{} has {}, which no file has or which is not written",
                object.what,
                key.name
            );
        }
    }
}

#[test]
fn the_same_in_other_words_is_one_pipeline() {
    let one = "format: 1\npipeline: a\nrun: { every: 60s }\nfrom: { a: { topic: { name: a } } }\nsql: SELECT 1\nchecks: [{ not_null: [x, y] }]\nto: { topic: { name: b, key: id } }\n";
    let other = "to:\n  topic: { key: [id], partitions: 1, format: json, name: \"b\" }\nchecks:\n- expect_column_values_to_not_be_null: { columns: [x, y], severity: error }\nsql: |\n  SELECT 1\nfrom:\n  a:\n    topic:\n      start: earliest\n      name: a\nrun: { every: 1m, catchup: latest, retry: { times: 3, backoff: 1s..5m } }\npipeline: a\nformat: 1\nbad_records: { to: dead_letter }\nresources: {}\n";
    let (one, other) = (again(one), again(other));
    assert_eq!(one, other);
    assert_eq!(one.to_json(), other.to_json());
}

#[test]
fn what_is_compared_leaves_out_what_changes_nothing_of_what_runs() {
    let mut one = pipeline("1_trips_clean.yaml");
    let compared = one.to_compared_json();
    one.description = Some("other words".to_owned());
    one.owner = Some("somebody else".to_owned());
    one.tests.clear();
    one.sql = one.sql.replace('\n', " ");
    assert_eq!(one.to_compared_json(), compared);
    one.checks.pop();
    assert_ne!(one.to_compared_json(), compared);
}

#[test]
fn variables_are_replaced_in_settings_and_nowhere_else() {
    let trips = pipeline("1_trips_clean.yaml");
    let Source::Files(files) = &trips.inputs[0].source else {
        panic!()
    };
    assert_eq!(files.path, "/landing/scooter/*.csv");
    let everything = pipeline("everything_files.yaml");
    let Source::Files(files) = &everything.inputs[0].source else {
        panic!()
    };
    assert_eq!(files.path, "${odd}//landing/[0-9]*.csv");
    assert_eq!(
        everything.description.unwrap(),
        "All there is: $ and ${HOME} stay as they are."
    );
    let Sink::Topic(topic) = &everything.sink else {
        panic!()
    };
    assert_eq!(topic.name, "eu.all");
}

#[test]
fn the_parts_of_a_file_are_where_its_keys_say() {
    let people = pipeline("4_people_to_warehouse.yaml");
    assert_eq!(people.run.trigger, Trigger::Continuous);
    assert_eq!(people.params, [("adult".to_owned(), Value::Integer(18))]);
    let reasons: Vec<_> = people
        .checks
        .iter()
        .map(|check| check.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "not_null(userid)",
            "not_null(name)",
            "not_empty_string(name)",
            "accepted_range(age)",
            "match_regex(zip)"
        ]
    );
    assert!(
        matches!(&people.checks[0].condition, Condition::Column { column, .. } if column == "userid")
    );
    assert_eq!(people.dead_letters(), "people.dead");
    assert_eq!(
        people.bad_records.halt_above.unwrap().to_string(),
        "2% over 5m"
    );
    assert_eq!(
        pipeline("2_users_from_postgres.yaml").dead_letters(),
        "users_from_pg.dead"
    );
    assert!(
        pipeline("5_issues.yaml").sql.ends_with("FROM pages"),
        "the query of its file"
    );
}

#[test]
fn the_column_of_reasons_has_all_checks_of_the_rows_in_the_order_of_the_file() {
    let people = pipeline("4_people_to_warehouse.yaml");
    assert_eq!(
        spec::reasons(&people.checks).unwrap(),
        "CASE WHEN NOT (\"userid\" IS NOT NULL) THEN 'not_null(userid)' \
         WHEN NOT (\"name\" IS NOT NULL) THEN 'not_null(name)' \
         WHEN NOT (\"name\" IS NOT NULL AND \"name\" <> '') THEN 'not_empty_string(name)' \
         WHEN NOT (\"age\" >= 18 AND \"age\" <= 101) THEN 'accepted_range(age)' \
         WHEN NOT (regexp_like(\"zip\", '^[0-9]{5}$')) THEN 'match_regex(zip)' END"
    );
}

#[test]
fn a_part_is_found_again_in_its_file() {
    let bytes = std::fs::read(folder("files").join("1_trips_clean.yaml")).unwrap();
    let file = read("a.yaml", &bytes).unwrap();
    let at = |path: &[&str]| (file.place(path).line, file.place(path).column);
    assert_eq!(at(&["from", "raw", "columns", "trip_id"]), (18, 16));
    assert_eq!(at(&["checks", "1"]), (41, 5));
    assert_eq!(
        at(&["bad_records", "topic"]),
        (47, 14),
        "what it would be in"
    );
}

/// Wherever the query is written, a word of it is found again in the line and column of the file.
#[test]
fn a_word_of_the_query_is_found_again_in_its_file() {
    for sql in [
        "sql: SELECT 1 AS here\n",
        "sql:   \"SELECT 1 AS here\"\n",
        "sql: 'SELECT 1 AS here'\n",
        "sql: |\n  SELECT 1,\n    2 AS here\n",
        "sql: |-\n\n  SELECT 1,\n\n     \"é\" AS here\n",
        "sql: |2\n     SELECT 1,\n   2 AS here\n",
    ] {
        let text = format!(
            "format: 1\npipeline: a\nrun: once\nfrom: {{ a: {{ topic: {{ name: a }} }} }}\n{sql}to: {{ topic: {{ name: b }} }}\n"
        );
        let file = read("a.yaml", text.as_bytes())
            .unwrap_or_else(|problems| panic!("{}", lines(&problems)));
        let at = file.place_in_sql(file.pipeline.sql.find("here").unwrap());
        let line = text.lines().nth(at.line - 1).unwrap();
        let found: String = line.chars().skip(at.column - 1).take(4).collect();
        assert_eq!(found, "here", "{sql}: {at:?}");
    }
}

#[test]
fn of_a_query_whose_lines_are_joined_the_beginning_is_found() {
    for sql in [
        "sql: SELECT 1,\n  2 AS here\n",
        "sql: \"SELECT 1,\n  2 AS here\"\n",
        "sql: >\n  SELECT 1,\n  2 AS here\n",
    ] {
        let text = format!(
            "format: 1\npipeline: a\nrun: once\nfrom: {{ a: {{ topic: {{ name: a }} }} }}\n{sql}to: {{ topic: {{ name: b }} }}\n"
        );
        let file = read("a.yaml", text.as_bytes()).unwrap();
        let at = file.place_in_sql(file.pipeline.sql.find("here").unwrap());
        assert_eq!(at, file.place(&["sql"]), "{sql}");
    }
}

#[test]
fn what_is_written_is_told_from_what_stands_in_for_it() {
    let text = "format: 1\npipeline: a\nrun: once\nfrom: { a: { topic: { name: a, start: earliest } }, b: { topic: { name: b } } }\nsql: SELECT 1\nto: { topic: { name: c } }\n";
    let file = File::read("a.yaml", text.as_bytes(), &Surroundings::NONE).unwrap();
    assert!(file.says(&["from", "a", "topic", "start"]));
    assert!(!file.says(&["from", "b", "topic", "start"]));
    assert!(!file.says(&["from", "c"]));
    assert!(file.says(&[]));
}
