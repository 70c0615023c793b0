//! Figures of topics, requests, connections and coordinators.

use std::fmt;
use std::sync::atomic::Ordering;

use broker::{ApiCounts, BrokerMetrics, VolumeSpace};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::storage;
use super::writer::Writer;

/// All figures of a broker.
#[derive(Debug)]
pub(super) struct BrokerCollector {
    pub(super) metrics: BrokerMetrics,
    pub(super) space: Option<VolumeSpace>,
}

impl Collector for BrokerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.topics(&mut writer)?;
        requests(&self.metrics.requests.snapshot(), &mut writer)?;
        self.throttles(&mut writer)?;
        self.connections(&mut writer)?;
        self.coordinators(&mut writer)?;
        storage::write(&self.metrics, self.space, &mut writer)
    }
}

impl BrokerCollector {
    fn topics(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let totals = self.metrics.topic_totals();
        let topics = totals.topics as u64;
        let partitions = totals.partitions as u64;
        for (name, help, value) in [
            (
                "kafka_controller_kafkacontroller_globaltopiccount",
                "Topics",
                topics,
            ),
            (
                "kafka_controller_kafkacontroller_globalpartitioncount",
                "Partitions of all topics",
                partitions,
            ),
            (
                "kafka_server_replicamanager_partitioncount",
                "Partitions of which this broker has a replica",
                partitions,
            ),
            (
                "kafka_server_replicamanager_leadercount",
                "Partitions that this broker leads",
                partitions,
            ),
        ] {
            writer.count(name, help, value)?;
        }
        let storage = &self.metrics.storage;
        for (name, help, counter) in [
            (
                "kafka_server_brokertopicmetrics_messagesin",
                "Records appended",
                &storage.appended_records,
            ),
            (
                "kafka_server_brokertopicmetrics_bytesin",
                "Bytes of record batches appended",
                &storage.appended_bytes,
            ),
            (
                "kafka_server_brokertopicmetrics_bytesout",
                "Bytes of record batches handed to consumers",
                &storage.read_bytes,
            ),
        ] {
            writer.counter(name, help, counter.get())?;
        }
        Ok(())
    }

    fn throttles(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let requests = &self.metrics.requests;
        let help = "Requests that were begun and are not answered";
        writer.count("watertable_requests_in_flight", help, requests.in_flight())?;
        let help = "For how long clients were throttled by quotas, all together";
        let seconds = requests.throttled().as_secs_f64();
        writer.seconds("watertable_throttle_seconds", help, seconds)
    }

    fn connections(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let connections = &self.metrics.connections;
        let open = u64::try_from(self.metrics.open_connections()).unwrap_or_default();
        let help = "Connections that are open";
        writer.count(
            "kafka_server_socket_server_metrics_connection_count",
            help,
            open,
        )?;
        let help = "Connections that were accepted and served";
        let accepted = connections.accepted.load(Ordering::Relaxed);
        let name = "kafka_server_socket_server_metrics_connection_creation";
        writer.counter(name, help, accepted)?;
        let help = "Connections that were closed by the broker: beyond a limit, or because of what the client sent";
        let refused = connections.refused.load(Ordering::Relaxed);
        writer.counter("watertable_connections_refused", help, refused)?;
        let help = "max.connections";
        let limit = u64::try_from(self.metrics.connections_max()).unwrap_or_default();
        writer.count("watertable_connections_max", help, limit)?;
        self.request_memory(writer)?;
        let (sessions, partitions) = self.metrics.fetch_sessions();
        let help = "Fetch sessions";
        let name = "kafka_server_fetchsessioncache_numincrementalfetchsessions";
        writer.count(name, help, sessions as u64)?;
        let help = "Partitions in fetch sessions";
        let name = "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached";
        writer.count(name, help, partitions as u64)
    }

    fn request_memory(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let memory = &self.metrics.request_memory;
        let help = "Bytes of memory that requests and their unread answers take";
        let used = memory.used.load(Ordering::Relaxed);
        writer.count("kafka_network_socketserver_memorypoolused", help, used)?;
        let help = "How often a connection had to wait for memory of requests";
        let waits = memory.waits.load(Ordering::Relaxed);
        writer.counter("watertable_request_memory_waits", help, waits)?;
        let help = "Connections that were closed because others waited for the memory they held";
        let evicted = memory.evicted.load(Ordering::Relaxed);
        writer.counter("watertable_request_memory_evictions", help, evicted)
    }

    fn coordinators(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let figures = self.metrics.coordinators();
        let help = "Partitions of internal topics, by whether their coordinator serves";
        let shards = figures
            .shards
            .iter()
            .map(|((topic, state), count)| ([("topic", *topic), ("state", *state)], *count as u64));
        writer.counts("watertable_coordinator_shards", help, shards)?;
        let groups = figures
            .groups
            .iter()
            .map(|((kind, state), count)| ([("type", *kind), ("state", *state)], *count as u64));
        let name = "kafka_coordinator_group_groupmetadatamanager_numgroups";
        writer.counts(name, "Groups, by type and state", groups)?;
        let help = "Transactional ids, by the state of their transaction";
        let transactions = figures.transactions.iter();
        let transactions = transactions.map(|(state, count)| ([("state", *state)], *count as u64));
        writer.counts("watertable_transactional_ids", help, transactions)?;
        let help = "How long the transaction is open that is open longest, 0 if none is";
        let oldest = figures.oldest_transaction.unwrap_or_default();
        let name = "watertable_oldest_transaction_seconds";
        writer.gauge(name, help, oldest.as_secs_f64())
    }
}

fn requests(apis: &[ApiCounts], writer: &mut Writer<'_>) -> fmt::Result {
    let counts = apis
        .iter()
        .map(|api| ([("request", api.api)], api.requests));
    writer.counters("kafka_network_requestmetrics_requests", "Requests", counts)?;
    let errors = apis.iter().flat_map(|api| {
        let errors = api.errors.iter();
        errors.map(|(error, count)| ([("request", api.api), ("error", *error)], *count))
    });
    let help = "Errors in answers; one about many partitions may hold many";
    writer.counters("kafka_network_requestmetrics_errors", help, errors)?;
    // Only of APIs that were used: each has two dozen lines.
    let used = apis.iter().filter(|api| api.durations.count > 0);
    let durations = used.map(|api| ([("request", api.api)], &api.durations));
    let help = "Milliseconds from the arrival of a request to its answer, waiting included";
    let name = "kafka_network_requestmetrics_totaltimems";
    writer.durations_ms(name, help, durations)?;
    let throttled = apis.iter().filter(|api| api.throttled > 0);
    let throttled = throttled.map(|api| ([("request", api.api)], api.throttled));
    let help = "Requests after which the client was throttled by a quota";
    writer.counters("watertable_throttled_requests", help, throttled)
}
