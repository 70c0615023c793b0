//! The files of the format's own tests, with their tests.

use pipeline::directory;
use pipeline::engine::Options;
use pipeline::fixtures;
use spec::{File, Surroundings};

fn read(name: &str, text: &str) -> File {
    let surroundings = Surroundings {
        variable: &|name| (name == "LANDING").then(|| "/landing".to_owned()),
        file: &|_of, _path| Ok(include_str!("../../../../spec/tests/files/issues.sql").to_owned()),
    };
    File::read(name, text.as_bytes(), &surroundings).unwrap()
}

#[test]
fn the_examples_pass_their_own_tests() {
    let files = [
        (
            "1.yaml",
            include_str!("../../../../spec/tests/files/1_trips_clean.yaml"),
        ),
        (
            "2.yaml",
            include_str!("../../../../spec/tests/files/2_users_from_postgres.yaml"),
        ),
        (
            "3.yaml",
            include_str!("../../../../spec/tests/files/3_page_views.yaml"),
        ),
        (
            "4.yaml",
            include_str!("../../../../spec/tests/files/4_people_to_warehouse.yaml"),
        ),
        (
            "5.yaml",
            include_str!("../../../../spec/tests/files/5_issues.yaml"),
        ),
    ];
    let files = files.map(|(name, text)| read(name, text)).to_vec();
    passes(files);
}

/// No file has a mistake, and each passes its tests.
#[track_caller]
fn passes(files: Vec<File>) {
    let directory = directory::compile(files, &|_topic| None, Options::default());
    let told: Vec<_> = directory.problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
    for resolved in &directory.files {
        let tested = fixtures::run(
            &resolved.file,
            &resolved.inputs,
            resolved.compiled.as_ref(),
            Options::default(),
        );
        let tested = tested.unwrap();
        assert!(!tested.is_empty());
        for test in tested {
            let failures: Vec<_> = test.failures.iter().map(ToString::to_string).collect();
            assert!(
                failures.is_empty(),
                "{}: {}",
                resolved.file.name,
                failures.join("\n")
            );
        }
    }
}

/// The whole query of the trips, with durations, which some records have not.
#[test]
fn a_trip_without_a_duration_is_a_dead_letter_of_its_own() {
    let text = r#"format: 1
pipeline: trips
run: { every: 5m }
from:
  raw:
    files: { path: "${LANDING}/*.csv", format: csv }
    columns:
      trip_id: bigint not null
      month: text
      started_at: text
      ended_at: text
      DURATION: text
      start_location_name: text
      end_location_name: text
sql: |
  SELECT trip_id, lower(month) AS month,
         to_timestamp(started_at, '%m/%d/%Y %H:%M') AS started_at,
         to_timestamp(ended_at,   '%m/%d/%Y %H:%M') AS ended_at,
         CAST(split_part("DURATION", ':', 1) AS INT) * 3600
           + CAST(split_part("DURATION", ':', 2) AS INT) * 60
           + CAST(split_part("DURATION", ':', 3) AS INT) AS duration_s,
         replace(split_part(start_location_name, ',', 1), '@', 'and') AS street,
         nullif(trim(end_location_name), '') AS end_location
  FROM raw
checks:
  - not_null: [trip_id, started_at]
  - accepted_range: { column: duration_s, min: 0, max: 86400 }
  - expression: { name: ends_after_start, is_true: "ended_at >= started_at" }
to:
  topic: { name: trips.clean, key: trip_id, timestamp: started_at, partitions: 6, cleanup: compact }
tests:
  - name: durations
    given:
      raw:
        - { trip_id: 1, month: May, started_at: "5/21/2019 18:33", ended_at: "5/21/2019 18:36", DURATION: "0:03:06", start_location_name: "Central @ Tingley, Albuquerque, NM 87104, USA", end_location_name: "" }
        - { trip_id: 2, month: May, started_at: "5/21/2019 18:33", ended_at: "5/21/2019 18:30", DURATION: "0:00:10" }
        - { trip_id: 3, month: May, started_at: "5/21/2019 18:33", DURATION: "" }
        - { trip_id: 4, month: May, DURATION: "0:00:10" }
        - { trip_id: 5, month: May, started_at: "21.5.2019 18:33", DURATION: "0:00:10" }
        - { trip_id: 6, month: June, started_at: "6/1/2019 00:00", ended_at: "6/2/2019 00:00", DURATION: "24:00:01" }
    expect:
      - { trip_id: 1, month: may, started_at: "2019-05-21T18:33:00", duration_s: 186, street: "Central and Tingley", end_location: null }
    expect_dead:
      - { trip_id: 2, reason: ends_after_start }
      - { trip_id: 3, reason: error }
      - { trip_id: 4, reason: not_null(started_at) }
      - { trip_id: 5, reason: error }
      - { trip_id: 6, reason: accepted_range(duration_s), duration_s: 86401 }
"#;
    passes(vec![read("trips.yaml", text)]);
}

/// The page of the format begins with a file.
#[test]
fn the_file_on_the_page_of_the_format_passes_its_test() {
    let page = include_str!("../../../../../docs/pipelines/format.md");
    let (_, behind) = page.split_once("```yaml\n").unwrap();
    let (text, _) = behind.split_once("```").unwrap();
    passes(vec![read("page.yaml", text)]);
}
