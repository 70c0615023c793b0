//! Targets by hand: `fuzzing list` names them, `fuzzing replay TARGET FILE` runs one over an input.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool talks on standard output"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            for target in fuzzing::all() {
                println!("{:<20} {}", target.name, target.about);
            }
            ExitCode::SUCCESS
        }
        ["replay", name, path] => replay(name, path),
        _ => {
            eprintln!("usage: fuzzing list | fuzzing replay TARGET FILE");
            ExitCode::FAILURE
        }
    }
}

fn replay(name: &str, path: &str) -> ExitCode {
    let Some(target) = fuzzing::find(name) else {
        eprintln!("there is no target {name}");
        return ExitCode::FAILURE;
    };
    match std::fs::read(path) {
        Ok(input) => {
            (target.run)(&input);
            println!("{name} holds for the {} bytes of {path}", input.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
