//! Whether a run was clean: the histories, and the data directory after a clean stop.
//!
//! Each verdict also shows that it could have been another: the same history with one acknowledged record taken out of what was
//! read has to be refused.

use super::flip::Damage;
use crate::random::Random;
use crate::server;
use anyhow::{Context, Result, bail, ensure};
use history::{Action, Event, Kind, Options, Step};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checks one view, which is also written to `NAME.jsonl`, for `cargo xtask history`.
pub(crate) fn history(name: &str, events: &[Event], folder: &Path, seed: u64) -> Result<()> {
    write(&folder.join(format!("{name}.jsonl")), events)?;
    let options = Options { is_complete: true };
    let report = history::check(events, options)?;
    println!("{name}: {report}");
    ensure!(report.is_clean(), "the {name} history is not clean");
    let Some(planted) = without_an_acked_record(events, seed) else {
        println!("{name}: nothing was acknowledged");
        return Ok(());
    };
    ensure!(
        !history::check(&planted, options)?.is_clean(),
        "the checker does not miss an acknowledged record that is gone from the {name} history"
    );
    Ok(())
}

/// The history of a broker that has lost one acknowledged record.
pub(crate) fn without_an_acked_record(events: &[Event], seed: u64) -> Option<Vec<Event>> {
    let acked: Vec<_> = events
        .iter()
        .filter(|event| event.kind == Kind::Ok)
        .filter_map(|event| match &event.action {
            Action::Run { steps, .. } => Some(steps),
            _ => None,
        })
        .flatten()
        .filter_map(|step| match step {
            Step::Send { key, value, .. } => Some((key, *value)),
            Step::Poll(_) => None,
        })
        .collect();
    let (lost_key, lost) = *Random::new(seed).pick(&acked)?;
    let mut events = events.to_vec();
    let steps = events
        .iter_mut()
        .filter_map(|event| match &mut event.action {
            Action::Run { steps, .. } => Some(steps),
            _ => None,
        });
    for step in steps.flatten() {
        if let Step::Poll(polled) = step
            && let Some(records) = polled.get_mut(lost_key)
        {
            records.retain(|(_, value)| *value != lost);
        }
    }
    Some(events)
}

fn write(path: &Path, events: &[Event]) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for event in events {
        writeln!(file, "{}", event.to_line())?;
    }
    Ok(file.flush()?)
}

/// `watertable check`: finds each damage of the log, and nothing but what was damaged.
pub(crate) fn data_directory(
    data_dir: &Path,
    derived: &BTreeSet<PathBuf>,
    damages: &[Damage],
) -> Result<()> {
    let output = Command::new(server::watertable_binary()?)
        .args(["check", "--json", "--data-dir"])
        .arg(data_dir)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    if output.status.code() == Some(2) || text.is_empty() {
        bail!(
            "watertable check: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let report: serde_json::Value = serde_json::from_str(&text)?;
    let all = report["findings"].as_array().context("findings")?;
    let (mut damaged, mut notes) = (Vec::new(), 0);
    for finding in all {
        if finding["severity"] != "damage" {
            notes += 1;
            continue;
        }
        let path = Path::new(finding["path"].as_str().context("the path of a finding")?);
        let path = path.strip_prefix(data_dir).unwrap_or(path).to_path_buf();
        let is_known = derived.contains(&path) || damages.iter().any(|one| one.path == path);
        ensure!(
            is_known,
            "watertable check finds what nobody damaged: {finding}"
        );
        damaged.push((path, finding["first_offset"].as_i64()));
    }
    for damage in damages {
        let is_found = damaged.iter().any(|(path, first)| {
            *path == damage.path && first.is_none_or(|first| first <= damage.end_offset)
        });
        ensure!(is_found, "watertable check does not find {damage:?}");
    }
    println!(
        "watertable check: {} findings, all in files that were damaged on purpose ({} batches of the log, {} derived files), {notes} notes",
        damaged.len(),
        damages.len(),
        derived.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{history, without_an_acked_record};
    use crate::chaos::flip::Damage;
    use crate::chaos::histories;
    use std::fs;
    use std::path::PathBuf;

    /// What the clients of a short run wrote: a producer, a transaction that was aborted, and readers of either kind.
    const FILES: [(&str, &str); 5] = [
        (
            "history-all-idempotent-0.jsonl",
            r#"{"time":1,"process":0,"type":"invoke","action":"run","steps":[{"send":{"key":"in-0","value":1}},{"send":{"key":"in-0","value":2}}]}
{"time":3,"process":0,"type":"ok","action":"run","steps":[{"send":{"key":"in-0","value":1,"offset":0}}]}
{"time":3,"process":1,"type":"invoke","action":"run","steps":[{"send":{"key":"in-0","value":2}}]}
{"time":3,"process":1,"type":"info","action":"run","steps":[{"send":{"key":"in-0","value":2}}]}
"#,
        ),
        (
            "history-all-transaction-2.jsonl",
            r#"{"time":4,"process":2,"type":"invoke","action":"run","steps":[{"send":{"key":"in-0","value":5}}],"transaction":true}
{"time":6,"process":2,"type":"fail","action":"run","steps":[{"send":{"key":"in-0","value":5,"offset":2}}],"transaction":true}
"#,
        ),
        (
            "history-all-assigned-4.jsonl",
            r#"{"time":2,"process":4,"type":"invoke","action":"run","steps":[]}
{"time":9,"process":4,"type":"ok","action":"run","steps":[{"poll":{"in-0":[[0,1],[1,2]]}}]}
"#,
        ),
        (
            "history-uncommitted-uncommitted-6.jsonl",
            r#"{"time":2,"process":6,"type":"invoke","action":"run","steps":[]}
{"time":8,"process":6,"type":"ok","action":"run","steps":[{"poll":{"in-0":[[0,1],[1,2],[2,5]]}}]}
"#,
        ),
        (
            "history-victim-victim-8.jsonl",
            r#"{"time":2,"process":8,"type":"invoke","action":"run","steps":[]}
{"time":3,"process":8,"type":"ok","action":"run","steps":[{"send":{"key":"victim-0","value":1,"offset":0}},{"send":{"key":"victim-0","value":2,"offset":1}}]}
{"time":4,"process":8,"type":"invoke","action":"run","steps":[]}
{"time":5,"process":8,"type":"ok","action":"run","steps":[{"poll":{"victim-0":[[0,1]]}}]}
"#,
        ),
    ];

    fn recorded() -> (tempfile::TempDir, histories::Histories) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in FILES {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let recorded = histories::read(folder.path()).unwrap();
        (folder, recorded)
    }

    #[test]
    fn each_reader_is_asked_for_what_its_isolation_level_shows() {
        let (folder, recorded) = recorded();
        history("committed", &recorded.committed(), folder.path(), 1).unwrap();
        history("uncommitted", &recorded.uncommitted(), folder.path(), 1).unwrap();
        // An aborted record is one that `read_committed` must not show.
        let mut mixed = recorded.committed();
        mixed.extend(
            recorded
                .uncommitted()
                .into_iter()
                .filter(|event| event.process == 6),
        );
        mixed.sort_by_key(|event| event.time);
        history("mixed", &mixed, folder.path(), 1).unwrap_err();
    }

    #[test]
    fn a_lost_acked_record_is_not_clean() {
        let (folder, recorded) = recorded();
        let planted = without_an_acked_record(&recorded.committed(), 1).unwrap();
        let error = history("planted", &planted, folder.path(), 1).unwrap_err();
        assert_eq!(error.to_string(), "the planted history is not clean");
    }

    #[test]
    fn only_damaged_offsets_may_be_missing() {
        let (folder, recorded) = recorded();
        let damage = |first_offset, end_offset| Damage {
            path: PathBuf::from("logs/victim-0/00000000000000000000.log"),
            key: "victim-0".to_owned(),
            first_offset,
            end_offset,
        };
        let check =
            |damages: &[Damage]| history("victim", &recorded.victim(damages), folder.path(), 1);
        check(&[damage(1, 2)]).unwrap();
        check(&[damage(0, 1)]).unwrap_err();
        check(&[]).unwrap_err();
    }

    #[test]
    fn figures_count_by_kind_of_client() {
        let (_folder, recorded) = recorded();
        let figures = recorded.figures();
        let idempotent = figures["idempotent"];
        assert_eq!((idempotent.acked, idempotent.unknown), (1, 1));
        assert_eq!(figures["transaction"].failed, 1);
        assert_eq!(figures["uncommitted"].polled, 3);
    }
}
