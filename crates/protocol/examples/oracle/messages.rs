//! Compares our bytes with those Kafka's own classes wrote.
//!
//! Each line of the text is `name mode filled written hex`, see `xtask/oracle/MessageOracle.java`. Both sides fill a
//! message by the same rules (`protocol::samples`) and write it; where Kafka refuses (`-`), so must we. What Kafka wrote
//! must decode to the message we filled.
use std::collections::BTreeMap;
use std::process::ExitCode;

use bytes::Bytes;
use protocol::samples::{Sample, Samples};
use protocol::{Reader, Writer};

/// Complaints shown; more say nothing new.
const SHOWN_MAX: usize = 20;

struct Line<'a> {
    mode: &'a str,
    filled: i16,
    written: i16,
    /// `None` where Kafka refuses.
    kafka: Option<Bytes>,
}

fn compare<M: Sample + PartialEq + std::fmt::Debug>(line: &Line<'_>) -> Result<(), String> {
    let message = match line.mode {
        "set" => M::sample(&mut Samples::named(), line.filled),
        "null" => M::sample(&mut Samples::named_with_nulls(), line.filled),
        "default" => M::default(),
        other => return Err(format!("unknown mode {other}")),
    };
    let mut writer = Writer::new();
    let ours = message
        .encode(&mut writer, line.written)
        .map(|()| writer.finish().into_bytes().unwrap_or_default());
    let kafka = match (&ours, &line.kafka) {
        (Err(_), None) => return Ok(()),
        (Err(error), Some(_)) => return Err(format!("Kafka writes it, we refuse: {error}")),
        (Ok(_), None) => return Err("Kafka refuses to write it, we do not".to_owned()),
        (Ok(ours), Some(kafka)) if ours != kafka => {
            return Err(format!("ours {ours:02x?}\nKafka's {kafka:02x?}"));
        }
        (Ok(_), Some(kafka)) => kafka.clone(),
    };
    let mut reader = Reader::new(kafka);
    let decoded = M::decode(&mut reader, line.written).map_err(|error| error.to_string())?;
    if reader.remaining() != 0 {
        return Err(format!(
            "{} bytes of Kafka's are left over",
            reader.remaining()
        ));
    }
    if line.filled == line.written && line.mode != "default" && decoded != message {
        return Err(format!(
            "Kafka's bytes decode to {decoded:?}\nfilled was {message:?}"
        ));
    }
    Ok(())
}

type Compare = fn(&Line<'_>) -> Result<(), String>;

pub(crate) fn compare_all(text: &str) -> ExitCode {
    let mut compares: BTreeMap<&str, Compare> = BTreeMap::new();
    macro_rules! add {
        ($($name:ident),* $(,)?) => { $(compares.insert(stringify!($name), compare::<protocol::messages::$name>);)* };
    }
    protocol::for_each_request!(add);
    protocol::for_each_other_message!(add);

    let (mut lines, mut refused, mut wrong) = (0, 0, 0);
    let mut unseen: Vec<&str> = compares.keys().copied().collect();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let [name, mode, filled, written, hex] = parts[..] else {
            panic!("malformed line: {line}")
        };
        let kafka = (hex != "-").then(|| Bytes::from(super::parse_hex(hex).expect("hexadecimal")));
        let line = Line {
            mode,
            filled: filled.parse().expect("a version"),
            written: written.parse().expect("a version"),
            kafka,
        };
        lines += 1;
        refused += usize::from(line.kafka.is_none());
        unseen.retain(|unseen| *unseen != name);
        if let Err(complaint) = compares[name](&line) {
            wrong += 1;
            if wrong <= SHOWN_MAX {
                println!("{name}, {mode} in {filled}, written in {written}: {complaint}");
            }
        }
    }
    println!(
        "{} messages, {lines} comparisons ({refused} refused by both), {wrong} differ, {} never seen",
        compares.len(),
        unseen.len()
    );
    if wrong == 0 && unseen.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
