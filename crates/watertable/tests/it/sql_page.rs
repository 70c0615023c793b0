//! docs/sql.md says what happens: its commands run as they are printed there, and print what is printed there.

use std::path::Path;
use std::process::Command;

use crate::server::Server;

/// A block of commands of the page and the block behind it, which is what they print.
struct Example {
    commands: String,
    printed: String,
}

/// The blocks of the page, each with its language.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of the page does not end");
    blocks
}

fn examples(page: &str) -> Vec<Example> {
    let blocks = blocks(page);
    let commands = blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.0 == "sh");
    commands
        .map(|(place, (_, commands))| match blocks.get(place + 1) {
            Some(("text", printed)) => Example {
                commands: commands.clone(),
                printed: printed.clone(),
            },
            _ => panic!("what do these print?\n{commands}"),
        })
        .collect()
}

#[test]
fn the_commands_of_the_page_print_what_the_page_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let page = std::fs::read_to_string(path).unwrap();
    let examples = examples(&page);
    assert!(examples.len() >= 2, "the page has no examples");
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    // The port is the only thing that is another one here.
    let port = format!("-p {}", server.sql.port());
    for Example { commands, printed } in examples {
        assert!(commands.contains("-p 9432"), "{commands}");
        let output = Command::new("timeout")
            .args(["60", "sh", "-c", &commands.replace("-p 9432", &port)])
            // What the one who runs it has set up for psql.
            .envs([("PSQLRC", "/dev/null"), ("PGTZ", "UTC"), ("PAGER", "")])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, "", "{commands}");
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            printed,
            "{commands}"
        );
    }
}
