//! Folders of files: what only all of them together can be wrong about.

use spec::directory::{Directory, unknown_contracts};

use super::{check_golden, files, folder, lines, no_faults, surroundings, yaml_of};

fn read(files: &[(String, Vec<u8>)]) -> Directory {
    let given = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    Directory::read(given, &surroundings())
}

#[test]
fn every_clash_of_files_is_told_at_the_later_one() {
    let mut folders: Vec<_> = std::fs::read_dir(folder("directories"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 10);
    let mut faults = Vec::new();
    for folder in folders {
        let found = match read(&yaml_of(&folder)).into_files() {
            Ok(_) => "nothing is wrong\n".to_owned(),
            Err(problems) => lines(&problems),
        };
        let is_fine = folder.to_string_lossy().ends_with("_are_fine");
        assert_eq!(
            found == "nothing is wrong\n",
            is_fine,
            "{}: {found}",
            folder.display()
        );
        check_golden(&folder.join("messages.txt"), &found, &mut faults);
    }
    no_faults(&faults);
}

#[test]
fn inputs_whose_contract_only_the_cluster_knows_are_listed() {
    let files = read(&files::all())
        .into_files()
        .unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    let unknown: Vec<_> = unknown_contracts(&files)
        .iter()
        .map(|(file, input)| (file.name.as_str(), input.name.as_str()))
        .collect();
    assert_eq!(
        unknown,
        [
            ("3_page_views.yaml", "clicks"),
            ("4_people_to_warehouse.yaml", "people"),
            ("everything_append.yaml", "a"),
            ("everything_files.yaml", "trips"),
        ]
    );
}

/// The size that `validate` is held to; how long it takes is seen with `--nocapture` of the test's own time.
#[test]
fn two_hundred_files_are_read_together() {
    let (_, trips) = files::all().swap_remove(0);
    let trips = String::from_utf8(trips).unwrap();
    let file = |index: usize| {
        let text = trips.replace("trips_clean", &format!("trips_{index}"));
        let text = text.replace("trips.clean", &format!("clean.{index}"));
        (format!("{index:03}.yaml"), text.into_bytes())
    };
    let given: Vec<_> = (0..200).map(file).collect();
    assert_eq!(
        read(&given)
            .into_files()
            .unwrap_or_else(|problems| panic!("{}", lines(&problems)))
            .len(),
        200
    );
    // Every error of all of them in one run.
    let bad = given.into_iter().map(|(name, bytes)| {
        let text = String::from_utf8(bytes)
            .unwrap()
            .replace("partitions: 6", "partition: 6");
        (name, text.into_bytes())
    });
    let problems = read(&bad.collect::<Vec<_>>()).into_files().unwrap_err();
    assert_eq!(problems.len(), 200);
}
