//! What a broker changes in a batch where it lies: offsets and leader epoch, and the timestamp of log-append time.
use super::batch::{BatchError, BatchView};
use super::{TIMESTAMP_TYPE_BIT, TimestampType, layout};

fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = batch
        .get_mut(at..)
        .and_then(|tail| tail.first_chunk_mut::<N>())
    {
        *field = value;
    }
}

/// Gives the batch at the start of `batch` its base offset and leader epoch. Both lie outside the CRC.
pub fn assign_offsets(
    batch: &mut [u8],
    base_offset: i64,
    partition_leader_epoch: i32,
) -> Result<(), BatchError> {
    let view = BatchView::parse(batch)?;
    let last_offset_delta = view.last_offset_delta();
    if base_offset < 0
        || base_offset
            .checked_add(i64::from(last_offset_delta))
            .is_none_or(|last| last == i64::MAX)
    {
        return Err(BatchError::ImpossibleOffsets {
            base_offset,
            last_offset_delta,
        });
    }
    put(batch, layout::BASE_OFFSET, base_offset.to_be_bytes());
    put(
        batch,
        layout::PARTITION_LEADER_EPOCH,
        partition_leader_epoch.to_be_bytes(),
    );
    Ok(())
}

/// Marks the batch as stamped by the broker at `timestamp_ms` and corrects its CRC.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) -> Result<(), BatchError> {
    set_max_timestamp(batch, TimestampType::LogAppendTime, timestamp_ms)
}

/// Sets the timestamp type and the max timestamp; the CRC is computed again only if something changed
/// (`DefaultRecordBatch.setMaxTimestamp`).
pub fn set_max_timestamp(
    batch: &mut [u8],
    timestamp_type: TimestampType,
    timestamp_ms: i64,
) -> Result<(), BatchError> {
    let view = BatchView::parse(batch)?;
    if view.timestamp_type() == timestamp_type && view.max_timestamp() == timestamp_ms {
        return Ok(());
    }
    let attributes = match timestamp_type {
        TimestampType::CreateTime => view.attributes() & !TIMESTAMP_TYPE_BIT,
        TimestampType::LogAppendTime => view.attributes() | TIMESTAMP_TYPE_BIT,
    };
    put(batch, layout::ATTRIBUTES, attributes.to_be_bytes());
    put(batch, layout::MAX_TIMESTAMP, timestamp_ms.to_be_bytes());
    correct_crc(batch)
}

/// Gives the batch another producer session and sequence and corrects its CRC: for a producer that sends a refused
/// batch again under a new session.
pub fn set_producer(
    batch: &mut [u8],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Result<(), BatchError> {
    BatchView::parse(batch)?;
    put(batch, layout::PRODUCER_ID, producer_id.to_be_bytes());
    put(batch, layout::PRODUCER_EPOCH, producer_epoch.to_be_bytes());
    put(batch, layout::BASE_SEQUENCE, base_sequence.to_be_bytes());
    correct_crc(batch)
}

fn correct_crc(batch: &mut [u8]) -> Result<(), BatchError> {
    let crc = BatchView::parse(batch)?.compute_crc();
    put(batch, layout::CRC, crc.to_be_bytes());
    Ok(())
}
