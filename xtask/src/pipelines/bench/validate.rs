//! How long `watertable pipeline validate` takes over many files of which each reads what another writes.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::BenchArguments;
use super::page::{Section, spread};
use super::stage;
use crate::{process, server};

const ROUNDS: usize = 10;
/// Files in a chain: each reads the topic of the one before.
const CHAIN: usize = 10;

pub(super) fn measure(arguments: &BenchArguments) -> Result<Section> {
    let mut section = Section::new(
        "pipelines validate",
        "Validation of many files",
        &["files", "wall time, s", "CPU, s"],
    )?;
    let folder = super::super::folder("bench-validate");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let files: Vec<_> = (0..arguments.files).map(file).collect();
    stage::write_files(&folder, &files)?;
    let mut seconds = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..ROUNDS {
        let before = children_cpu_s()?;
        let began = Instant::now();
        process::output(
            Command::new(server::watertable_binary()?)
                .args(["pipeline", "validate"])
                .arg(&folder),
        )?;
        seconds.push(began.elapsed().as_secs_f64());
        cpu.push(children_cpu_s()? - before);
    }
    section.row(vec![
        arguments.files.to_string(),
        spread(&seconds, 3),
        spread(&cpu, 2),
    ]);
    section.text(format!(
        "`cargo xtask pipelines bench --only validate`: files with five columns, a query, three checks and a test each, in chains of {CHAIN} of which each reads what the one before writes; start of the process included; medians of {ROUNDS} (least–greatest)."
    ));
    fs::remove_dir_all(&folder)?;
    Ok(section)
}

/// CPU of all processes that this one started and that ended.
fn children_cpu_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat
        .rsplit_once(") ")
        .context("/proc/self/stat has no name")?
        .1;
    // proc(5) counts fields from 1, and the first after the name is 3: cutime and cstime.
    let ticks = after_name
        .split(' ')
        .skip(16 - 3)
        .take(2)
        .map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

fn file(number: usize) -> (String, String) {
    let name = format!("step_{number:03}");
    let from = match number % CHAIN {
        0 => format!("raw.{number:03}"),
        _ => format!("clean.{:03}", number - 1),
    };
    // What another file writes has its columns.
    let columns = match number % CHAIN {
        0 => {
            "\n    columns: { id: bigint not null, device: text not null, kmh: double, battery: int, note: text }"
        }
        _ => "",
    };
    let text = format!(
        "format: 1
pipeline: {name}
description: Step {number}.
run: continuous
params: {{ slowest: {number} }}
from:
  moves:
    topic: {{ name: {from} }}{columns}
sql: |
  SELECT id, device, CASE WHEN kmh < 0 THEN NULL ELSE kmh * 1.01 END AS kmh, battery, upper(note) AS note
  FROM moves
  WHERE kmh >= $slowest OR kmh IS NULL
checks:
  - not_null: [id]
  - accepted_range: {{ column: battery, min: 0, max: 100 }}
  - accepted_range: {{ column: kmh, min: 0, severity: warn }}
to:
  topic: {{ name: clean.{number:03}, key: device, partitions: 1 }}
tests:
  - name: a battery beyond its range is a dead letter
    given:
      moves:
        - {{ id: 1, device: a, kmh: 1000.0, battery: 50, note: x }}
        - {{ id: 2, device: a, kmh: 1000.0, battery: 101 }}
    expect:
      - {{ id: 1, device: a, kmh: 1010.0, battery: 50, note: X }}
    expect_dead:
      - {{ id: 2, reason: accepted_range(battery) }}
"
    );
    (name, text)
}
