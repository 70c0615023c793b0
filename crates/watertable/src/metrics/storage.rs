//! Figures of logs, commits, recovery, cleaning and the disk.

use std::fmt;

use broker::{BrokerMetrics, LogTotals, StorageMetrics, VolumeSpace};

use super::writer::Writer;

/// Writes them all.
pub(super) fn write(
    metrics: &BrokerMetrics,
    space: Option<VolumeSpace>,
    writer: &mut Writer<'_>,
) -> fmt::Result {
    let totals = metrics.logs();
    logs(&totals, writer)?;
    disk(&totals, space, writer)?;
    losses(&totals, writer)?;
    commits(&metrics.storage, &totals, writer)?;
    counters(&metrics.storage, writer)?;
    cleaner(&metrics.storage, writer)
}

fn logs(totals: &LogTotals, writer: &mut Writer<'_>) -> fmt::Result {
    let figures = &totals.figures;
    for (name, help, value) in [
        (
            "kafka_server_replicamanager_offlinereplicacount",
            "Partitions that are offline because a write or a sync failed, or their files could not be read",
            figures.offline as u64,
        ),
        (
            "watertable_logs",
            "Partitions that have a log on the disk",
            figures.logs as u64,
        ),
        (
            "watertable_log_segments",
            "Segments of all logs",
            figures.segments as u64,
        ),
        (
            "watertable_log_bytes",
            "Bytes of all segments, without indexes",
            figures.bytes,
        ),
        (
            "watertable_open_transaction_partitions",
            "Partitions in which a transaction is open",
            figures.open_transactions.len() as u64,
        ),
        (
            "kafka_server_replicamanager_partitionswithlatetransactionscount",
            "Partitions in which a transaction is open for five minutes longer than transaction.max.timeout.ms",
            totals.late_transactions as u64,
        ),
    ] {
        writer.count(name, help, value)?;
    }
    Ok(())
}

fn disk(totals: &LogTotals, space: Option<VolumeSpace>, writer: &mut Writer<'_>) -> fmt::Result {
    let help = "1 if the last write found no room";
    writer.count("watertable_disk_full", help, u64::from(totals.is_full))?;
    if let Some(space) = space {
        let help = "Size of the file system of the data directory";
        writer.count("watertable_disk_total_bytes", help, space.total)?;
        let help = "Bytes that may still be written there";
        writer.count("watertable_disk_free_bytes", help, space.free)?;
    }
    Ok(())
}

fn losses(totals: &LogTotals, writer: &mut Writer<'_>) -> fmt::Result {
    let kinds = totals.losses.iter();
    let kinds = kinds.map(|(kind, count)| ([("kind", kind.name())], *count));
    let help = "What the start took out of logs, gave up, or did not believe";
    writer.counters("watertable_recovery_losses", help, kinds)
}

fn commits(storage: &StorageMetrics, totals: &LogTotals, writer: &mut Writer<'_>) -> fmt::Result {
    let help = "Group commits that made records durable";
    let commits = storage.commits.get();
    writer.counter("kafka_log_logflushstats_logflush", help, commits)?;
    let help = "Seconds that the syncs of a group commit took";
    let durations = storage.commit_durations.get();
    writer.durations("watertable_commit_seconds", help, &durations)?;
    let help = "Partitions that wait for the next group commit";
    let waiting = totals.waiting_for_commit as u64;
    writer.count("watertable_commit_waiting_logs", help, waiting)
}

fn counters(storage: &StorageMetrics, writer: &mut Writer<'_>) -> fmt::Result {
    for (name, help, counter) in [
        (
            "committed_logs",
            "Logs made durable, summed over the group commits",
            &storage.committed_logs,
        ),
        (
            "offline_events",
            "Times that a partition went offline",
            &storage.offline_logs,
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
            "corrupt_reads",
            "Reads that met a batch that is not what was written",
            &storage.corrupt_reads,
        ),
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
    Ok(())
}

fn cleaner(storage: &StorageMetrics, writer: &mut Writer<'_>) -> fmt::Result {
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
