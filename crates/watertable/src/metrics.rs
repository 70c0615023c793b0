//! `/metrics`: the broker's figures in the text format of Prometheus (OpenMetrics 1.0).
//!
//! Names follow Kafka's MBeans in the form Prometheus' JMX exporter gives them, where Kafka has the figure; figures of
//! ours begin with `watertable_`, those of the process with `process_`.

use std::fmt;

use broker::BrokerMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::process::ProcessFigures;

/// The format's name.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of this moment; the broker's only once it runs.
pub(crate) fn page(broker: Option<BrokerMetrics>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector));
    if let Some(broker) = broker {
        registry.register_collector(Box::new(BrokerCollector(broker)));
    }
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry)
        .expect("writing to a string does not fail");
    page
}

/// Writes single figures.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode(encoder)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode(encoder)
    }

    /// A gauge of a count; beyond 2^53 it is rounded.
    #[allow(
        clippy::cast_precision_loss,
        reason = "no process has 2^53 of anything counted here"
    )]
    fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge(name, help, value as f64)
    }
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
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

#[derive(Debug)]
struct BrokerCollector(BrokerMetrics);

impl Collector for BrokerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.topics(&mut writer)?;
        self.requests(&mut writer)?;
        self.storage(&mut writer)
    }
}

impl BrokerCollector {
    fn topics(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let totals = self.0.topic_totals();
        let topics = totals.topics as u64;
        let partitions = totals.partitions as u64;
        writer.count(
            "kafka_controller_kafkacontroller_globaltopiccount",
            "Topics",
            topics,
        )?;
        let help = "Partitions of all topics";
        writer.count(
            "kafka_controller_kafkacontroller_globalpartitioncount",
            help,
            partitions,
        )?;
        let help = "Partitions of which this broker has a replica";
        writer.count(
            "kafka_server_replicamanager_partitioncount",
            help,
            partitions,
        )?;
        let help = "Partitions that this broker leads";
        writer.count("kafka_server_replicamanager_leadercount", help, partitions)?;
        let storage = &self.0.storage;
        let help = "Records appended";
        writer.counter(
            "kafka_server_brokertopicmetrics_messagesin",
            help,
            storage.appended_records.get(),
        )?;
        let help = "Bytes of record batches appended";
        writer.counter(
            "kafka_server_brokertopicmetrics_bytesin",
            help,
            storage.appended_bytes.get(),
        )?;
        let help = "Bytes of record batches handed to consumers";
        writer.counter(
            "kafka_server_brokertopicmetrics_bytesout",
            help,
            storage.read_bytes.get(),
        )
    }

    fn requests(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let help = "Requests";
        let name = "kafka_network_requestmetrics_requests";
        let mut encoder = writer
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (request, count) in self.0.requests.snapshot() {
            let labels = [("request", request)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        let help = "Connections that are open";
        let open = u64::try_from(self.0.open_connections()).unwrap_or_default();
        writer.count(
            "kafka_server_socket_server_metrics_connection_count",
            help,
            open,
        )?;
        let (sessions, partitions) = self.0.fetch_sessions();
        let help = "Fetch sessions";
        let name = "kafka_server_fetchsessioncache_numincrementalfetchsessions";
        writer.count(name, help, sessions as u64)?;
        let help = "Partitions in fetch sessions";
        let name = "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached";
        writer.count(name, help, partitions as u64)
    }

    fn storage(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let storage = &self.0.storage;
        let offline = storage.offline_logs.get();
        let help = "Partitions that went offline because a write or a sync failed";
        writer.count(
            "kafka_server_replicamanager_offlinereplicacount",
            help,
            offline,
        )?;
        let help = "Group commits that made records durable";
        writer.counter(
            "kafka_log_logflushstats_logflush",
            help,
            storage.commits.get(),
        )?;
        for (name, help, counter) in [
            (
                "committed_logs",
                "Logs made durable, summed over the group commits",
                &storage.committed_logs,
            ),
            (
                "failed_commits",
                "Group commits that failed",
                &storage.failed_commits,
            ),
            (
                "file_syncs",
                "Segments synced to the disk",
                &storage.file_syncs,
            ),
            (
                "directory_syncs",
                "Folders synced to the disk",
                &storage.directory_syncs,
            ),
            (
                "file_system_syncs",
                "File systems synced to the disk",
                &storage.file_system_syncs,
            ),
            (
                "appended_batches",
                "Record batches appended",
                &storage.appended_batches,
            ),
            (
                "segment_writes",
                "Writes to segments",
                &storage.segment_writes,
            ),
            ("reads", "Reads planned", &storage.reads),
            (
                "lookup_reads",
                "Reads of segments to find a position",
                &storage.lookup_reads,
            ),
            (
                "verified_bytes",
                "Bytes read to check what an earlier process wrote",
                &storage.verified_bytes,
            ),
            (
                "segments_created",
                "Segments begun",
                &storage.segments_created,
            ),
            (
                "segments_deleted",
                "Segments removed",
                &storage.segments_deleted,
            ),
            (
                "recovery_bytes",
                "Bytes read at the start to recover logs",
                &storage.recovery_bytes,
            ),
            (
                "recovered_logs",
                "Logs recovered at the start",
                &storage.recovered_logs,
            ),
            (
                "truncated_bytes",
                "Bytes cut off the ends of logs at the start",
                &storage.truncated_bytes,
            ),
            ("checkpoints", "Checkpoints written", &storage.checkpoints),
        ] {
            writer.counter(&format!("watertable_{name}"), help, counter.get())?;
        }
        Self::cleaner(storage, writer)
    }

    fn cleaner(storage: &storage::StorageMetrics, writer: &mut Writer<'_>) -> fmt::Result {
        for (name, help, counter) in [
            ("cleanings", "Logs cleaned", &storage.cleanings),
            (
                "failed_cleanings",
                "Cleanings of logs that failed",
                &storage.failed_cleanings,
            ),
            (
                "cleaner_read_bytes",
                "Bytes that cleaning read",
                &storage.cleaner_read_bytes,
            ),
            (
                "cleaner_written_bytes",
                "Bytes that cleaning wrote",
                &storage.cleaner_written_bytes,
            ),
            (
                "cleaned_records",
                "Records that cleaning removed",
                &storage.cleaned_records,
            ),
        ] {
            writer.counter(&format!("watertable_{name}"), help, counter.get())?;
        }
        for (name, help, gauge) in [
            (
                "uncleanable_logs",
                "Partitions that are not cleaned any more, because something in them is corrupt",
                &storage.uncleanable_logs,
            ),
            (
                "cleaner_waiting_logs",
                "Partitions that wait before they are cleaned again, because something lacked the last time",
                &storage.waiting_logs,
            ),
            (
                "cleaner_dirtiest_percent",
                "The uncleaned share of the compacted log where it is largest",
                &storage.dirtiest_percent,
            ),
            (
                "cleaner_delay_milliseconds",
                "By how much max.compaction.lag.ms has passed where it has passed longest",
                &storage.compaction_delay_ms,
            ),
            (
                "cleaner_map_percent",
                "How full the map of keys was in the last cleaning",
                &storage.cleaner_map_percent,
            ),
        ] {
            writer.count(&format!("watertable_{name}"), help, gauge.get())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_broker_has_the_process_and_an_end() {
        let page = page(None);
        assert!(
            page.contains("# TYPE process_cpu_seconds counter\n"),
            "{page}"
        );
        assert!(page.contains("\nprocess_cpu_seconds_total "), "{page}");
        assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
