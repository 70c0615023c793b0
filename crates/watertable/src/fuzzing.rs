//! What this crate reads of people and files, for the targets of the `fuzzing` crate: arguments, settings, records as lines.
//! Nothing is run and nothing is looked up.

use std::net::IpAddr;
use std::path::Path;

use clap::Parser;
use client::RecordRef;

use crate::arguments;
use crate::commands::Cli;
use crate::format::Format;
use crate::moment::{self, Position};
use crate::record_json;
use crate::settings::{self, HostPort};

/// Reads a whole command line, the name of the program first; whether it is one. What is wrong is said, not shown.
pub fn command_line(words: &[&str]) -> bool {
    match Cli::try_parse_from(words) {
        Ok(cli) => {
            let _ = (cli.command.wants_json(), cli.command.failure_status());
            true
        }
        Err(error) => {
            error.to_string();
            false
        }
    }
}

/// Reads a text as every kind of value that arguments have. Panics if one that can be written again is read differently.
pub fn value(text: &str) {
    if let Ok(duration) = arguments::duration(text) {
        let written = humantime::format_duration(duration).to_string();
        assert_eq!(arguments::duration(&written), Ok(duration), "{written}");
    }
    if let Ok(size) = arguments::size(text) {
        assert_eq!(arguments::size(&size.to_string()), Ok(size));
    }
    if let Ok((name, value)) = arguments::setting(text) {
        let written = format!("{name}={value}");
        assert_eq!(arguments::setting(&written), Ok((name, value)));
    }
    if let Ok(bytes) = arguments::unescaped(text) {
        let written: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        assert_eq!(arguments::unescaped(&written), Ok(bytes));
    }
    arguments::separator(text).ok();
    if let Ok(address) = HostPort::parse(text)
        && let Ok(again) = HostPort::parse(&address.to_string())
    {
        assert_eq!(again, address);
    }
    time(text);
}

fn time(text: &str) {
    let ago = text.starts_with('-') || text.starts_with("@-");
    if let Ok(ms) = moment::time_ms(text)
        && !ago
    {
        let shown = moment::display_time(ms);
        assert_eq!(moment::time_ms(&shown), Ok(ms), "{shown}");
    }
    if let Ok(position) = text.parse::<Position>() {
        position.lookup();
        let written = match position {
            Position::Start => "start".to_owned(),
            Position::End => "end".to_owned(),
            Position::MaxTimestamp => "max-timestamp".to_owned(),
            Position::Offset(offset) => offset.to_string(),
            Position::BeforeEnd(count) => format!("-{count}"),
            Position::Time(ms) => format!("@{}", moment::display_time(ms)),
        };
        if !ago {
            assert_eq!(written.parse(), Ok(position), "{written}");
        }
    }
}

/// Reads a format for records and prints a record with it.
pub fn format(text: &str, record: &RecordRef<'_>) {
    if let Ok(format) = text.parse::<Format>() {
        let mut out = Vec::new();
        format.print("topic", 3, record, &mut out);
    }
}

/// The fields of a record line: partition, timestamp, key, value, headers.
pub type RecordFields = (
    Option<i32>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

/// Reads a record from a line of JSON.
pub fn read_record(line: &[u8]) -> Option<RecordFields> {
    let line = record_json::read(line).ok()?;
    Some((
        line.partition,
        line.timestamp_ms,
        line.key,
        line.value,
        line.headers,
    ))
}

/// Writes a record as a line of JSON.
pub fn write_record(partition: i32, record: &RecordRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record_json::write("topic", partition, record, &mut out)
        .expect("records have nothing that is no JSON");
    out
}

/// Reads the settings of a broker from a file's text, environment variables and flags. Says what is wrong, if something is.
pub fn settings(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Option<String> {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    };
    settings::resolve_texts(
        Path::new("file.toml"),
        file,
        owned(environment),
        owned(flags),
        needs_no_look_up,
    )
    .err()
}

/// Whether an address, or a list of listeners, names hosts by their addresses alone.
fn needs_no_look_up(text: &str) -> bool {
    text.split(',').all(|item| {
        let address = item.split_once("://").map_or(item, |(_, address)| address);
        match HostPort::parse(address) {
            Ok(HostPort { host, .. }) => host.is_empty() || host.parse::<IpAddr>().is_ok(),
            Err(_no_address) => true,
        }
    })
}
