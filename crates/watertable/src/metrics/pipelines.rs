//! Figures of the pipelines that this process runs, and of how far all that are applied are behind.
//!
//! Invariant: the page is bounded: of at most [`PIPELINES_MAX`] pipelines, which somebody has applied, so that no client makes it grow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use parking_lot::Mutex;
use pipeline::control::Lag;
use pipeline::runner::status::{Phase, Status, Statuses};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use types::Instant;

use super::writer::Writer;

/// Of more pipelines nothing is told; the first by environment and name are.
const PIPELINES_MAX: usize = 1000;
/// Lag that was looked at longer ago is not told any more.
const LAG_AGE_MAX: Duration = Duration::from_secs(60);

/// Lags, and when they were asked for.
type LagAt = (Instant, Vec<Lag>);

/// Where figures of pipelines come from; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PipelineFigures {
    clock: Arc<dyn Clock>,
    /// Nothing where this process runs none.
    statuses: Option<Statuses>,
    /// How far they were behind, and when.
    lag: Arc<Mutex<Option<LagAt>>>,
}

impl PipelineFigures {
    /// Of the pipelines that this process runs, if it runs any.
    pub(crate) fn new(clock: Arc<dyn Clock>, statuses: Option<Statuses>) -> Self {
        Self {
            clock,
            statuses,
            lag: Arc::default(),
        }
    }

    /// Takes in how far pipelines are behind.
    pub(crate) fn set_lag(&self, lag: Vec<Lag>) {
        *self.lag.lock() = Some((self.clock.now(), lag));
    }
}

impl Collector for PipelineFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        let statuses = self.statuses.as_ref().map(Statuses::all);
        let mut statuses = statuses.unwrap_or_default();
        statuses.truncate(PIPELINES_MAX);
        let seen: Vec<Seen> = statuses.into_iter().map(Seen::of).collect();
        standing(&seen, &mut writer)?;
        records(&seen, &mut writer)?;
        work(&seen, &mut writer)?;
        self.lag(&mut writer)
    }
}

/// A pipeline of this moment.
struct Seen {
    status: Status,
    tally: pipeline::runner::tally::Tally,
    version: String,
}

impl Seen {
    fn of(status: Status) -> Self {
        Self {
            tally: status.tally(),
            version: status.version.to_string(),
            status,
        }
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        labels(&self.status.env, &self.status.pipeline)
    }

    fn with<'a>(&'a self, name: &'static str, value: &'a str) -> [(&'static str, &'a str); 3] {
        let [environment, pipeline] = self.labels();
        [environment, pipeline, (name, value)]
    }
}

fn labels<'a>(environment: &'a str, pipeline: &'a str) -> [(&'static str, &'a str); 2] {
    [("environment", environment), ("pipeline", pipeline)]
}

fn standing(seen: &[Seen], writer: &mut Writer<'_>) -> fmt::Result {
    let versions = seen.iter();
    let versions = versions.map(|seen| (seen.with("version", &seen.version), 1));
    let help = "1; its label is the version of the pipeline that this process runs";
    writer.counts("pipeline_version_info", help, versions)?;
    let phases = seen.iter().flat_map(|seen| {
        let phases = Phase::ALL.into_iter();
        phases.map(|phase| {
            let is_in = u64::from(seen.status.phase == phase);
            (seen.with("phase", phase.name()), is_in)
        })
    });
    let help = "1 for what the pipeline does now, of running, waiting, retrying, held (until somebody does something), done; else 0";
    writer.counts("pipeline_phase", help, phases)?;
    let times = seen.iter().filter_map(|seen| {
        let ms = seen.status.last_success_ms()?;
        let seconds = u64::try_from(ms.div_euclid(1000)).ok()?;
        Some((seen.labels(), seconds))
    });
    let help = "When a run ended well last, or something was committed, in seconds since 1970";
    writer.counts("pipeline_last_success_timestamp", help, times)
}

fn records(seen: &[Seen], writer: &mut Writer<'_>) -> fmt::Result {
    let records = seen.iter().flat_map(|seen| {
        [("in", seen.tally.rows_in), ("out", seen.tally.rows_out)]
            .map(|(direction, count)| (seen.with("direction", direction), count))
    });
    let help = "Records that were read, and rows that were written, with the version that runs";
    writer.counters("pipeline_records", help, records)?;
    let dead = seen.iter().flat_map(|seen| {
        let reasons = seen.tally.reasons.iter();
        reasons.map(|(reason, count)| (seen.with("reason", reason), *count))
    });
    let help = "Dead letters by their reason: a check, decode, error, or what the sink refused; beyond 64 reasons, other";
    writer.counters("pipeline_dead_letters", help, dead)?;
    let failed = seen.iter().flat_map(|seen| {
        let checks = seen.status.checks.iter().enumerate();
        checks.map(|(place, (check, severity))| {
            let [environment, pipeline] = seen.labels();
            let labels = [
                environment,
                pipeline,
                ("check", check),
                ("severity", severity),
            ];
            let failed = seen.tally.failed.get(&place);
            (labels, failed.copied().unwrap_or_default())
        })
    });
    let help = "Rows that failed a check";
    writer.counters("pipeline_check_failures", help, failed)
}

fn work(seen: &[Seen], writer: &mut Writer<'_>) -> fmt::Result {
    let failures = seen.iter();
    let failures = failures.map(|seen| (seen.labels(), seen.status.failures));
    let help = "Attempts that ended with an error, of the source, the query or the sink";
    writer.counters("pipeline_sink_errors", help, failures)?;
    let batches = seen.iter();
    let batches = batches.map(|seen| (seen.labels(), seen.status.batches()));
    writer.counters("pipeline_batches", "Commits", batches)?;
    let stages = seen.iter().flat_map(|seen| {
        let stages = seen.status.stages().into_iter();
        stages.map(|(stage, time)| (seen.with("stage", stage.name()), time.as_secs_f64()))
    });
    let help = "Seconds that all batches took, by stage: fetch (waiting included), decode, sql, encode, commit";
    writer.seconds_of("pipeline_stage_seconds", help, stages)
}

/// Of a pipeline over all it reads: how many records, and how old the oldest is.
struct Behind {
    environment: String,
    pipeline: String,
    records: u64,
    /// Nothing if that of a partition is not known.
    seconds: Option<f64>,
}

impl PipelineFigures {
    fn lag(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let kept = self.lag.lock().clone();
        let is_fresh = |at: Instant| self.clock.now().since(at) <= LAG_AGE_MAX;
        let lag = kept.filter(|(at, _)| is_fresh(*at)).map(|(_, lag)| lag);
        let all = behind(&lag.unwrap_or_default(), self.clock.wall().ms());
        let records = all.iter();
        let records = records.map(|of| (labels(&of.environment, &of.pipeline), of.records));
        let help = "Records of topics that are not read yet, of every pipeline that is applied, wherever it runs";
        writer.counts("pipeline_lag_records", help, records)?;
        let seconds = all.iter().filter_map(|of| {
            let seconds = of.seconds?;
            Some((labels(&of.environment, &of.pipeline), seconds))
        });
        let help = "How old the oldest record is that is not read yet, by its timestamp; 0 if all are read";
        writer.gauges("pipeline_lag_seconds", help, seconds)
    }
}

fn behind(lag: &[Lag], now_ms: i64) -> Vec<Behind> {
    let mut all: Vec<Behind> = Vec::new();
    for of in lag {
        let is_full = all.len() == PIPELINES_MAX;
        let is_same = |known: &&mut Behind| {
            known.environment == of.environment && known.pipeline == of.pipeline
        };
        let records = u64::try_from(of.records).unwrap_or_default();
        let seconds = of.seconds(now_ms);
        match all.last_mut().filter(is_same) {
            Some(known) => {
                known.records += records;
                known.seconds = known
                    .seconds
                    .zip(seconds)
                    .map(|(one, other)| one.max(other));
            }
            None if is_full => break,
            None => all.push(Behind {
                environment: of.environment.clone(),
                pipeline: of.pipeline.clone(),
                records,
                seconds,
            }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use pipeline::tasks::Role;

    use super::*;

    fn lag(pipeline: &str, records: i64, next_ms: Option<i64>) -> Lag {
        Lag {
            environment: "dev".to_owned(),
            pipeline: pipeline.to_owned(),
            task: Role::Main,
            input: "a".to_owned(),
            topic: "a".to_owned(),
            partition: 0,
            next: 0,
            end: records,
            records,
            next_ms,
        }
    }

    #[test]
    fn the_lag_of_a_pipeline_is_that_of_all_it_reads_and_its_age_that_of_the_oldest_record() {
        let all = [
            lag("a", 3, Some(9_000)),
            lag("a", 0, None),
            lag("a", 4, Some(5_000)),
            lag("b", 1, None),
        ];
        let told = behind(&all, 10_000);
        let told: Vec<_> = told
            .iter()
            .map(|of| (of.pipeline.as_str(), of.records, of.seconds))
            .collect();
        assert_eq!(told, [("a", 7, Some(5.0)), ("b", 1, None)]);
    }
}
