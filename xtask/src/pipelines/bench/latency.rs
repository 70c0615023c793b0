//! What producers notice: the p99 of the time to the acknowledgement of durable records, alone and while a pipeline in the same process reads
//! all that is in a topic.

use anyhow::{Context, Result, ensure};

use super::BenchArguments;
use super::moves::{self, Moves};
use super::page::{Section, say, spread};
use super::stage::Stage;
use crate::process;
use crate::server::Setting;

const RATE: &str = "1000";
const SLICE: &str = "8s";
/// What pipelines may take of processors, as settings.
const PRIORITIES: [(&str, Setting); 2] = [
    ("low (default)", ("pipeline.priority", "low")),
    ("idle", ("pipeline.priority", "idle")),
];

pub(super) fn measure(arguments: &BenchArguments) -> Result<Section> {
    let mut section = Section::new(
        "pipelines p99",
        "Producers beside a pipeline that catches up",
        &[
            "`pipeline.priority`",
            "p99 alone, ms",
            "p99 beside it, ms",
            "times as long",
            "p50 alone, ms",
            "p50 beside it, ms",
            "records/s of the pipeline",
        ],
    )?;
    for (name, setting) in PRIORITIES {
        let stage = Stage::start("p99", &[setting])?;
        stage.create(moves::TOPIC, moves::PARTITIONS)?;
        say(&format!("{} records are written", arguments.records));
        let mut input = Moves::new(arguments.records);
        stage.produce(moves::TOPIC, input.by_ref())?;
        let mut alone = Vec::new();
        let mut beside = Vec::new();
        let mut rates = Vec::new();
        for round in 0..arguments.slices.max(5) {
            alone.push(slice(&stage)?);
            let (pipeline, out) = (format!("backfill_{round}"), format!("backfill.{round}"));
            stage.apply(&[moves::pipeline(&pipeline, &out)])?;
            process::wait_until("output of the pipeline", super::super::START_LIMIT, || {
                Ok(stage.count(&out)? > 0)
            })?;
            let (began, before) = (std::time::Instant::now(), stage.count(&out)?);
            beside.push(slice(&stage)?);
            let there = stage.count(&out)?;
            ensure!(
                there < input.expected.passed,
                "the pipeline caught up within the slice; give it more --records"
            );
            rates.push(f64::from(u32::try_from(there - before)?) / began.elapsed().as_secs_f64());
            stage.remove(&pipeline)?;
            say(&format!(
                "{name}: alone {:?}, beside {:?}",
                alone.last(),
                beside.last()
            ));
        }
        let of = |slices: &[Latency], value: fn(&Latency) -> f64| -> Vec<f64> {
            slices.iter().map(value).collect()
        };
        let ratios: Vec<f64> = alone
            .iter()
            .zip(&beside)
            .map(|(alone, beside)| beside.p99_ms / alone.p99_ms)
            .collect();
        section.row(vec![
            name.to_owned(),
            spread(&of(&alone, |slice| slice.p99_ms), 2),
            spread(&of(&beside, |slice| slice.p99_ms), 2),
            spread(&ratios, 2),
            spread(&of(&alone, |slice| slice.p50_ms), 2),
            spread(&of(&beside, |slice| slice.p50_ms), 2),
            spread(&rates, 0),
        ]);
        stage.stop()?;
    }
    section.text(format!(
        "`cargo xtask pipelines bench --only p99`: {RATE} records of 1 KiB a second with `acks=all`, class D, one partition, for {SLICE}; alone, and while a pipeline in the broker's process, with its two threads, reads {} records that were there before (`filter` and `check` as above). Medians of pairs in turn (least–greatest).",
        arguments.records
    ));
    Ok(section)
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
}

fn slice(stage: &Stage) -> Result<Latency> {
    let mut bench = stage.watertable(&["bench", "latency", "--acks", "all", "--json"])?;
    bench.args(["--rate", RATE, "--duration", SLICE]);
    let told: serde_json::Value = serde_json::from_str(&process::output(&mut bench)?)?;
    let number = |place: &str| {
        let number = told.pointer(place).and_then(serde_json::Value::as_f64);
        number.with_context(|| format!("no {place} in {told}"))
    };
    Ok(Latency {
        p50_ms: number("/ack/p50_ms")?,
        p99_ms: number("/ack/p99_ms")?,
    })
}
