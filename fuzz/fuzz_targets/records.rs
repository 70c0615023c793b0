//! Record batches one after another, with everything in them that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::records::{BatchIterator, control, summarize};

/// Most a batch may decompress to here, below the limit the fuzzer has.
const OUTPUT_MAX: usize = 16 << 20;

fuzz_target!(|data: &[u8]| {
    for batch in BatchIterator::new(data).flatten() {
        let _ = (
            batch.verify_crc(),
            batch.last_sequence(),
            batch.next_offset(),
        );
        let Ok(payload) = batch.payload(OUTPUT_MAX) else {
            continue;
        };
        let summary = summarize(&payload, batch.records_count(), batch.base_timestamp());
        let mut as_sent = true;
        for (index, record) in batch.records(&payload).enumerate() {
            match record {
                Ok(record) => {
                    as_sent &= usize::try_from(record.offset_delta) == Ok(index);
                    assert_eq!(record.headers.len(), record.headers.count());
                    let _ = record.key.map(control::decode_key);
                }
                Err(_error) => as_sent = false,
            }
        }
        assert_eq!(
            summary.is_ok(),
            as_sent,
            "what the iterator reads is what the summary takes"
        );
    }
});
