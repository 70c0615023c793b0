//! Conformance suites that others wrote: each runs against Apache Kafka first and then against Watertable, with the same
//! settings, and its results are kept as data in `clients/suites`. What passes against Kafka must pass against us.

pub(crate) mod exactly_once;
pub(crate) mod java;
pub(crate) mod kafka_home;
pub(crate) mod kcat;
pub(crate) mod librdkafka;
mod results;

/// Without the escape sequences of terminals.
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            for letter in letters.by_ref() {
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            text.push(letter);
        }
    }
    text
}
