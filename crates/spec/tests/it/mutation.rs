//! Files that were changed at random: reading never panics, and what it tells is in the file.

use proptest::prelude::*;
use spec::{Position, directory::Directory};

use super::{files, read, surroundings};

/// What is put into files, beside their own pieces.
const PIECES: [&str; 30] = [
    ":",
    ": ",
    "-",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\n",
    "\n  ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "!file ",
    "!x ",
    "# ",
    "null",
    "0o7",
    "08",
    "1e99",
    "${",
    "$${",
    "secret:",
    "---\n",
    "\u{feff}",
    "é\u{2028}",
];

#[derive(Clone, Debug)]
enum Change {
    Cut(usize, usize),
    Put(usize, usize),
    Copy(usize, usize, usize),
    Byte(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1_usize..20).prop_map(|(at, length)| Change::Cut(at, length)),
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Put(at, piece)),
        (any::<usize>(), any::<usize>(), 1_usize..60)
            .prop_map(|(from, to, length)| Change::Copy(from, to, length)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let within = |at: usize, bytes: &[u8]| at % (bytes.len() + 1);
    match change {
        Change::Cut(at, length) => {
            let at = within(*at, bytes);
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Put(at, piece) => {
            let at = within(*at, bytes);
            bytes.splice(at..at, PIECES[*piece].bytes());
        }
        Change::Copy(from, to, length) => {
            let from = within(*from, bytes);
            let end = (from + length).min(bytes.len());
            let piece = bytes[from..end].to_vec();
            let to = within(*to, bytes);
            bytes.splice(to..to, piece);
        }
        Change::Byte(at, byte) => {
            let at = within(*at, bytes);
            if let Some(place) = bytes.get_mut(at) {
                *place = *byte;
            }
        }
    }
}

/// Lines as YAML counts them.
fn is_inside(at: Position, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let lines: Vec<_> = text.split('\n').collect();
    at.line >= 1
        && at.column >= 1
        && lines
            .get(at.line - 1)
            .is_some_and(|line| at.column <= line.chars().count() + 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_changed_file_is_read_or_told_about(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(change(), 1..6),
    ) {
        let files = files::all();
        let (name, mut bytes) = which.get(&files).clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        match read(&name, &bytes) {
            Ok(file) => {
                let yaml = file.pipeline.to_yaml();
                let again = spec::File::read("again", yaml.as_bytes(), &spec::Surroundings::NONE);
                prop_assert_eq!(again.unwrap().pipeline, file.pipeline, "{}", yaml);
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in &problems {
                    prop_assert!(is_inside(problem.at, &bytes), "{}\n{}", problem, String::from_utf8_lossy(&bytes));
                    prop_assert!(!matches!(problem.cause, spec::Cause::Unsaid), "{}", String::from_utf8_lossy(&bytes));
                }
            }
        }
        let given = [("one.yaml", bytes.as_slice()), ("two.yaml", bytes.as_slice())];
        drop(Directory::read(given, &surroundings()).into_files());
    }
}
