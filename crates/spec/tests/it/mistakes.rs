//! A file for each class of mistake, and what is said about it.

use super::{check_golden, folder, lines, no_faults, read, yaml_of};

#[test]
fn every_class_of_mistake_is_told_with_its_place_and_what_to_write_instead() {
    let folder = folder("mistakes");
    let mut faults = Vec::new();
    let files = yaml_of(&folder);
    assert!(files.len() >= 60, "{}", files.len());
    for (name, bytes) in files {
        let found = match read(&name, &bytes) {
            Ok(_) => "nothing is wrong\n".to_owned(),
            Err(problems) => lines(&problems),
        };
        assert_ne!(found, "nothing is wrong\n", "{name}");
        check_golden(
            &folder.join(name.replace(".yaml", ".txt")),
            &found,
            &mut faults,
        );
    }
    no_faults(&faults);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let large = vec![b'#'; spec::FILE_BYTES_MAX + 1];
    let problems = read("large.yaml", &large).unwrap_err();
    assert_eq!(
        lines(&problems),
        "large.yaml:1:1: a file of 1048577 bytes is longer than 1048576; put tests or SQL into files of their own\n"
    );
    let many = format!("a: [{}]", "1,".repeat(spec::NODES_MAX));
    let problems = read("many.yaml", many.as_bytes()).unwrap_err();
    assert!(
        lines(&problems).contains("more than 100000 values"),
        "{}",
        lines(&problems)
    );
}

#[test]
fn so_many_problems_are_told_and_no_more() {
    let keys: String = (0..5000).map(|index| format!("k{index}: 1\n")).collect();
    assert_eq!(read("a.yaml", keys.as_bytes()).unwrap_err().len(), 1000);
}

/// What a variable stands for may be a secret that came to the wrong place.
#[test]
fn messages_have_what_is_written_and_not_what_variables_stand_for() {
    let text = |from: &str, topic: &str| {
        format!(
            "format: 1\npipeline: a\nrun: once\nfrom: {{ a: {{ {from} }} }}\nsql: SELECT 1\nto: {{ topic: {{ name: \"{topic}\" }} }}\n"
        )
    };
    let surroundings = spec::Surroundings {
        variable: &|name| match name {
            "URL" => Some("mysql://me:hunter2@db".to_owned()),
            "TOPIC" => Some("__hunter2".to_owned()),
            _ => Some("hunter2\n".to_owned()),
        },
        ..spec::Surroundings::NONE
    };
    for (text, written) in [
        (
            text("files: { path: \"${X}/*.csv\", format: csv }", "b"),
            "${X}/*.csv",
        ),
        (text("topic: { name: \"a${X}\" }", "b"), "a${X}"),
        (text("topic: { name: a }", "${TOPIC}"), "${TOPIC}"),
        (
            text(
                "postgres: { connection: \"${URL}\", table: \"a.${X}\" }",
                "b",
            ),
            "a.${X}",
        ),
        (
            text("postgres: { connection: \"secret:${X}\", table: a }", "b"),
            "no name of a secret",
        ),
        (
            text("postgres: { connection: hunter2, table: a }", "b"),
            "no connection",
        ),
    ] {
        let problems = spec::File::read("a.yaml", text.as_bytes(), &surroundings).unwrap_err();
        let said = lines(&problems) + &format!("{problems:?}");
        assert!(said.contains(written), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Nothing in a message may be the value of a secret, and nothing of the sort is in a pipeline.
#[test]
fn a_password_is_in_no_message() {
    let bytes = std::fs::read(folder("mistakes").join("postgres_password.yaml")).unwrap();
    let problems = read("a.yaml", &bytes).unwrap_err();
    assert!(
        !lines(&problems).contains("hunter2"),
        "{}",
        lines(&problems)
    );
    assert!(!format!("{problems:?}").contains("hunter2"));
}
