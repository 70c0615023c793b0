//! Our side of `cargo xtask oracle`, which compares us with Kafka's own classes.
//!
//! * `messages FILE`: compares the messages Kafka wrote, see [`messages`].
//! * `write`: writes batches of every kind and what is in them; `dump FILE`: what is in the batches of such a text. Kafka
//!   must find the same in ours and we in Kafka's.
//! * `tables`: error codes and APIs.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool talks on standard output"
)]

mod batches;
mod messages;
mod tables;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let read = |path: &str| std::fs::read_to_string(path).expect("the file can be read");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["messages", path] => return messages::compare_all(&read(path)),
        ["write"] => batches::write(),
        ["dump", path] => batches::dump(&read(path)),
        ["tables"] => tables::print(),
        _ => panic!("usage: oracle messages FILE | write | dump FILE | tables"),
    }
    ExitCode::SUCCESS
}

/// Lower-case hexadecimal digits as bytes.
fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes = digits?
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]))
        .collect::<Result<Vec<_>, _>>();
    bytes.ok()
}
