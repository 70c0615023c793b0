//! Topic → topic: records a second and CPU of a pipeline, beside a job in Python with the same broker and the same input. The worker
//! has a process of its own, so that its CPU and the broker's can be told apart. Sides take turns.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::BenchArguments;
use super::moves::{self, Expected, Moves};
use super::page::{Section, say, spread};
use super::stage::Stage;
use crate::bench::counters::Counters;
use crate::bench::report::median;
use crate::{install, process};

/// Who cleans the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Pipeline,
    Python,
    PythonAtLeastOnce,
    Benthos,
}

impl Side {
    const ALL: [Self; 4] = [
        Self::Pipeline,
        Self::Python,
        Self::PythonAtLeastOnce,
        Self::Benthos,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline, exactly once",
            Self::Python => "Python, exactly once",
            Self::PythonAtLeastOnce => "Python, at least once",
            Self::Benthos => "Benthos, at least once",
        }
    }
}

/// What a slice took.
#[derive(Clone, Copy, Debug)]
struct Slice {
    seconds: f64,
    /// Of who cleans them.
    cpu_s: f64,
    broker_cpu_s: f64,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Section> {
    let mut section = Section::new(
        "pipelines speed",
        "Pipelines: topic → topic",
        &[
            "who",
            "records/s",
            "CPU s per million",
            "records per CPU second",
            "the pipeline's times theirs",
            "broker's CPU s per million",
        ],
    )?;
    let stage = Stage::start("speed", &[("pipeline.workers", "0")])?;
    stage.create(moves::TOPIC, moves::PARTITIONS)?;
    say(&format!("{} records are written", arguments.records));
    let mut input = Moves::new(arguments.records);
    stage.produce(moves::TOPIC, input.by_ref())?;
    let bench = Bench {
        stage: &stage,
        records: arguments.records,
        expected: input.expected,
    };
    let mut slices: Vec<Vec<Slice>> = vec![Vec::new(); Side::ALL.len()];
    for round in 0..arguments.slices {
        for (side, slices) in Side::ALL.into_iter().zip(&mut slices) {
            let slice = bench.slice(side, round)?;
            say(&format!("{}: {slice:?}", side.name()));
            slices.push(slice);
        }
    }
    let millions = to_float(arguments.records) / 1e6;
    let cpu = |slices: &[Slice]| -> Vec<f64> {
        slices.iter().map(|slice| slice.cpu_s / millions).collect()
    };
    let ours = slices.first().map(|slices| cpu(slices)).unwrap_or_default();
    for (side, slices) in Side::ALL.into_iter().zip(&slices) {
        let rates: Vec<f64> = slices
            .iter()
            .map(|slice| to_float(arguments.records) / slice.seconds)
            .collect();
        let broker: Vec<f64> = slices
            .iter()
            .map(|slice| slice.broker_cpu_s / millions)
            .collect();
        let theirs = cpu(slices);
        let ratios: Vec<f64> = theirs
            .iter()
            .zip(&ours)
            .map(|(theirs, ours)| theirs / ours)
            .collect();
        section.row(vec![
            side.name().to_owned(),
            spread(&rates, 0),
            spread(&theirs, 2),
            format!("{:.0}", 1e6 / median(theirs.clone())),
            spread(&ratios, 2),
            spread(&broker, 2),
        ]);
    }
    section.text(format!(
        "`cargo xtask pipelines bench --only speed`: {} records of 200 bytes of JSON in {} partitions, already in the topic; decode, filter, six columns and a computed one, a check of a range with dead letters, written with a key; class D. Medians of {} slices in turn (least–greatest). The worker is a process of its own with two threads; from `apply` to the last record, start of the pipeline included. The jobs: confluent-kafka and `json`, 10,000 records a batch, with a transaction for each batch or a commit of offsets after it; and Benthos 4.60, the engine of Redpanda Connect, with Kafka through franz-go and a mapping in Bloblang; timed from their first record.",
        arguments.records,
        moves::PARTITIONS,
        arguments.slices
    ));
    stage.stop()?;
    Ok(section)
}

struct Bench<'a> {
    stage: &'a Stage,
    records: u64,
    expected: Expected,
}

impl Bench<'_> {
    fn slice(&self, side: Side, round: usize) -> Result<Slice> {
        let name = format!("{}_{round}", format!("{side:?}").to_lowercase());
        let out = format!("out.{name}");
        let dead = format!("{name}.dead");
        let broker = Counters::read(self.stage.broker())?;
        let mut slice = match side {
            Side::Pipeline => self.pipeline(&name, &out)?,
            _ => self.job(side, &out, &dead)?,
        };
        slice.broker_cpu_s = Counters::read(self.stage.broker())?.since(&broker).cpu_s();
        let (passed, letters) = (self.stage.count(&out)?, self.stage.count(&dead)?);
        ensure!(
            Expected {
                passed,
                dead: letters
            } == self.expected,
            "{}: {passed} records and {letters} dead letters, not {:?}",
            side.name(),
            self.expected
        );
        Ok(slice)
    }

    fn pipeline(&self, name: &str, out: &str) -> Result<Slice> {
        let mut worker = self.stage.start_worker()?;
        let plan = self.stage.plan(&[moves::pipeline(name, out)])?;
        let before = Counters::read(worker.id())?;
        let began = Instant::now();
        self.stage.apply_plan(&plan)?;
        self.stage.wait_for_count(out, self.expected.passed)?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu_s = Counters::read(worker.id())?.since(&before).cpu_s();
        self.stage.remove(name)?;
        let status = worker.terminate(super::super::START_LIMIT)?;
        ensure!(status.success(), "the worker ended with {status}");
        Ok(Slice {
            seconds,
            cpu_s,
            broker_cpu_s: 0.0,
        })
    }

    fn job(&self, side: Side, out: &str, dead: &str) -> Result<Slice> {
        self.stage.create(out, moves::PARTITIONS)?;
        self.stage.create(dead, 1)?;
        let mut job = self.command(side)?;
        job.args(["--bootstrap", &self.stage.bootstrap()])
            .args(["--from", moves::TOPIC, "--to", out, "--dead", dead])
            .args(["--count", &self.records.to_string()]);
        let said = process::output(&mut job)?;
        let last = said.lines().last().context("the job says nothing")?;
        let told: serde_json::Value = serde_json::from_str(last)?;
        let number = |name: &str| {
            told[name]
                .as_f64()
                .with_context(|| format!("no {name} in {told}"))
        };
        Ok(Slice {
            seconds: number("seconds")?,
            cpu_s: number("cpu_seconds")?,
            broker_cpu_s: 0.0,
        })
    }

    fn command(&self, side: Side) -> Result<Command> {
        if side == Side::Benthos {
            return Ok(Command::new(install::go_module_program("benthos")?));
        }
        let mut job = Command::new(install::python()?);
        job.arg(install::clients().join("pipelines/job.py"));
        if side == Side::Python {
            job.arg("--transactions");
        }
        Ok(job)
    }
}

/// Exact up to 2^53, which no count here comes near.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of records are far below 2^53"
)]
fn to_float(count: u64) -> f64 {
    count as f64
}
