//! What pipelines cost that have nothing to do: memory and CPU of the broker with them and before they were there.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::BenchArguments;
use super::moves::{self, Moves};
use super::page::{Section, say};
use super::stage::Stage;
use crate::bench::counters::{Counters, Memory};

/// How long CPU is counted.
const WATCHED: Duration = Duration::from_secs(20);
/// How long after the last work memory counts as that of somebody who is idle.
const SETTLED: Duration = Duration::from_secs(10);
/// Records that all of them have worked on before they are idle.
const RECORDS: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Idle {
    resident_mib: f64,
    anonymous_mib: f64,
    cpu_ms_per_s: f64,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Section> {
    let mut section = Section::new(
        "pipelines idle",
        "Pipelines that have nothing to do",
        &[
            "broker",
            "resident, MiB",
            "of it anonymous, MiB",
            "CPU ms per second",
        ],
    )?;
    let stage = Stage::start("idle", &[])?;
    stage.create(moves::TOPIC, moves::PARTITIONS)?;
    let mut input = Moves::new(RECORDS);
    stage.produce(moves::TOPIC, input.by_ref())?;
    say("the broker alone");
    let alone = watch(&stage)?;
    row(&mut section, "no pipelines", alone);
    let files: Vec<_> = (0..arguments.idle)
        .map(|number| moves::pipeline(&format!("idle_{number:02}"), &format!("idle.{number:02}")))
        .collect();
    say(&format!("{} pipelines are applied", files.len()));
    stage.apply(&files)?;
    for number in 0..arguments.idle {
        stage.wait_for_count(&format!("idle.{number:02}"), input.expected.passed)?;
    }
    stage.wait_until_running(&files)?;
    let with = watch(&stage)?;
    ensure!(with.resident_mib > 0.0, "no memory is told");
    row(&mut section, &format!("{} pipelines", arguments.idle), with);
    row(
        &mut section,
        "more",
        Idle {
            resident_mib: with.resident_mib - alone.resident_mib,
            anonymous_mib: with.anonymous_mib - alone.anonymous_mib,
            cpu_ms_per_s: with.cpu_ms_per_s - alone.cpu_ms_per_s,
        },
    );
    section.text(format!(
        "`cargo xtask pipelines bench --only idle`: one broker before and after {} continuous pipelines, topic → topic, that run in its process; each has read {RECORDS} records of four partitions, and {} s later nothing comes for {} s.",
        arguments.idle,
        SETTLED.as_secs(),
        WATCHED.as_secs()
    ));
    stage.stop()?;
    Ok(section)
}

fn watch(stage: &Stage) -> Result<Idle> {
    sleep(SETTLED);
    let before = Counters::read(stage.broker())?;
    sleep(WATCHED);
    let spent = Counters::read(stage.broker())?.since(&before);
    let memory = Memory::read(stage.broker())?;
    Ok(Idle {
        resident_mib: memory.resident_kib / 1024.0,
        anonymous_mib: memory.anonymous_kib / 1024.0,
        cpu_ms_per_s: spent.cpu_s() * 1000.0 / WATCHED.as_secs_f64(),
    })
}

fn row(section: &mut Section, name: &str, idle: Idle) {
    section.row(vec![
        name.to_owned(),
        format!("{:.1}", idle.resident_mib),
        format!("{:.1}", idle.anonymous_mib),
        format!("{:.1}", idle.cpu_ms_per_s),
    ]);
}
