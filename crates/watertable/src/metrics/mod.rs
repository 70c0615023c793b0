//! `/metrics`: the broker's figures in the text format of Prometheus (OpenMetrics 1.0).
//!
//! Names follow Kafka's MBeans in the form Prometheus' JMX exporter gives them, where Kafka has the figure; figures of
//! ours begin with `watertable_`, those of pipelines with `pipeline_`, those of the process with `process_`. All are in the table of docs/operations.md, which a
//! test compares with the page. Invariant: labels have values out of fixed sets; no name of a client's making is one, but for those of pipelines that were applied.

mod collector;
mod pipelines;
mod storage;
mod writer;

use std::fmt;

use broker::{BrokerMetrics, VolumeSpace};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use self::collector::BrokerCollector;
pub(crate) use self::pipelines::PipelineFigures;
use self::writer::Writer;
use crate::process::ProcessFigures;

/// The format's name.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of this moment; the broker's only once it runs.
pub(crate) fn page(
    broker: Option<(BrokerMetrics, Option<VolumeSpace>)>,
    pipelines: Option<PipelineFigures>,
) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector));
    if let Some((metrics, space)) = broker {
        registry.register_collector(Box::new(BrokerCollector { metrics, space }));
    }
    if let Some(pipelines) = pipelines {
        registry.register_collector(Box::new(pipelines));
    }
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry)
        .expect("writing to a string does not fail");
    page
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        let help = "The version that runs";
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        writer.counts("watertable_build", help, version)?;
        let figures = ProcessFigures::read();
        if let Some(value) = figures.cpu_seconds {
            writer.seconds(
                "process_cpu_seconds",
                "Processor time in user and kernel mode",
                value,
            )?;
        }
        if let Some(value) = figures.resident_bytes {
            writer.count("process_resident_memory_bytes", "Memory in use", value)?;
        }
        if let Some(value) = figures.virtual_bytes {
            writer.count("process_virtual_memory_bytes", "Address space", value)?;
        }
        if let Some(value) = figures.threads {
            writer.count("process_threads", "Threads", value)?;
        }
        if let Some(value) = figures.open_files {
            writer.count("process_open_fds", "Open file descriptors", value)?;
        }
        if let Some(value) = figures.open_files_max {
            writer.count(
                "process_max_fds",
                "File descriptors that may be open",
                value,
            )?;
        }
        if let Some(value) = figures.start_seconds {
            let help = "When the process started, in seconds since 1970";
            writer.gauge("process_start_time_seconds", help, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_broker_has_the_process_and_an_end() {
        let page = page(None, None);
        assert!(
            page.contains("# TYPE process_cpu_seconds counter\n"),
            "{page}"
        );
        assert!(page.contains("\nprocess_cpu_seconds_total "), "{page}");
        assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
