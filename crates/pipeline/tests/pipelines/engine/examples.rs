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
