//! What a produce request may carry per partition: exactly one batch of magic 2 (`ProduceRequest.validateRecords`).
//!
//! Only as much of the bytes is looked at as it takes to step over a batch (`ByteBufferLogInputStream`); whatever else is
//! wrong with it, the log says. Bytes behind it that are no whole batch are left out, as Kafka trims them.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::Records;
use protocol::records::Compression;

use super::Refused;

/// The first version that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// Offset and length, which every format begins with.
const OVERHEAD: usize = 12;
const LENGTH: usize = 8;
/// The least length of the oldest format.
const LENGTH_MIN: i32 = 14;
const MAGIC: usize = 16;
const MAGIC_V2: u8 = 2;
/// The byte of the attributes that names the compression.
const COMPRESSION: usize = 22;
const COMPRESSION_MASK: u8 = 7;
/// The header of a batch of magic 2.
const HEADER: usize = 61;

/// The batch, if it is one.
pub(super) fn single_batch(records: Option<Records>, version: i16) -> Result<Bytes, Refused> {
    const EXACTLY_ONE: &str = "produce requests must have exactly one record batch per partition";
    let invalid = |reason| Refused::Code(ErrorCode::InvalidRecord, reason);
    let bytes = records.and_then(|records| records.into_bytes().ok());
    let bytes = bytes.unwrap_or_default();
    let size = next_batch(&bytes)?.ok_or(invalid(EXACTLY_ONE))?;
    if bytes.get(MAGIC) != Some(&MAGIC_V2) {
        return Err(invalid("produce requests must have batches of magic 2"));
    }
    if size < HEADER {
        return Err(corrupt());
    }
    let attributes = bytes.get(COMPRESSION).copied().unwrap_or_default();
    match Compression::from_id(attributes & COMPRESSION_MASK) {
        Some(Compression::Zstd) if version < ZSTD_SINCE => {
            let reason = "zstd needs version 7 of produce requests";
            return Err(Refused::Code(ErrorCode::UnsupportedCompressionType, reason));
        }
        Some(_) => {}
        // Kafka has no error of its own for it: `CompressionType.forId` throws what nobody expects.
        None => {
            let reason = "the batch has an unknown compression";
            return Err(Refused::Code(ErrorCode::UnknownServerError, reason));
        }
    }
    match next_batch(bytes.get(size..).unwrap_or_default())? {
        Some(_) => Err(invalid(EXACTLY_ONE)),
        None => Ok(bytes.slice(..size)),
    }
}

fn corrupt() -> Refused {
    Refused::Code(
        ErrorCode::CorruptMessage,
        "a record batch that cannot be stepped over",
    )
}

/// The size of the batch or message that begins here; `None` if it is not whole.
fn next_batch(bytes: &[u8]) -> Result<Option<usize>, Refused> {
    let Some(length) = bytes.get(LENGTH..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    if length < LENGTH_MIN {
        return Err(corrupt());
    }
    let Some(magic) = bytes.get(MAGIC) else {
        return Ok(None);
    };
    if *magic > MAGIC_V2 {
        return Err(corrupt());
    }
    let size = usize::try_from(length).map_err(|_negative| corrupt())?;
    let size = size.saturating_add(OVERHEAD);
    Ok((size <= bytes.len()).then_some(size))
}

#[cfg(test)]
mod tests {
    use protocol::records::BatchOptions;

    use super::*;

    fn outcome(bytes: &[u8], version: i16) -> Result<usize, ErrorCode> {
        let records = Records::from(Bytes::copy_from_slice(bytes));
        match single_batch(Some(records), version) {
            Ok(batch) => Ok(batch.len()),
            Err(Refused::Code(code, _)) => Err(code),
            Err(Refused::Partition(_) | Refused::Append(_)) => unreachable!("nobody was asked"),
        }
    }

    #[test]
    fn one_batch_is_taken_without_the_bytes_behind_it() {
        let one = testkit::requests::batch(BatchOptions::default(), &["a", "b"]);
        let with = |rest: &[u8]| outcome(&[&one, rest].concat(), 9);
        assert_eq!(with(&[]), Ok(one.len()));
        assert_eq!(with(&[0; OVERHEAD - 1]), Ok(one.len()));
        assert_eq!(with(&one[..one.len() - 1]), Ok(one.len()));
        assert_eq!(with(&one), Err(ErrorCode::InvalidRecord));
        // What stands where a length would be cannot be one.
        assert_eq!(with(&[0; OVERHEAD]), Err(ErrorCode::CorruptMessage));
    }

    #[test]
    fn what_is_no_batch_is_refused_without_a_look_at_its_records() {
        let one = testkit::requests::batch(BatchOptions::default(), &["a"]);
        let altered = |position: usize, bytes: &[u8], version| {
            let mut batch = one.to_vec();
            batch[position..position + bytes.len()].copy_from_slice(bytes);
            outcome(&batch, version)
        };
        for (magic, expected) in [
            (0, ErrorCode::InvalidRecord),
            (1, ErrorCode::InvalidRecord),
            (3, ErrorCode::CorruptMessage),
            (0xff, ErrorCode::CorruptMessage),
        ] {
            assert_eq!(altered(MAGIC, &[magic], 9), Err(expected), "magic {magic}");
        }
        for (length, expected) in [
            (i32::MIN, ErrorCode::CorruptMessage),
            (-1, ErrorCode::CorruptMessage),
            (13, ErrorCode::CorruptMessage),
            (48, ErrorCode::CorruptMessage),
            (i32::MAX, ErrorCode::InvalidRecord),
        ] {
            let outcome = altered(LENGTH, &length.to_be_bytes(), 9);
            assert_eq!(outcome, Err(expected), "length {length}");
        }
        for (compression, version, expected) in [
            (4, 6, Err(ErrorCode::UnsupportedCompressionType)),
            (4, 7, Ok(one.len())),
            (5, 9, Err(ErrorCode::UnknownServerError)),
        ] {
            let outcome = altered(COMPRESSION, &[compression], version);
            assert_eq!(outcome, expected, "compression {compression}");
        }
        for cut in [0, 1, OVERHEAD, MAGIC, one.len() - 1] {
            assert_eq!(outcome(&one[..cut], 9), Err(ErrorCode::InvalidRecord));
        }
    }
}
