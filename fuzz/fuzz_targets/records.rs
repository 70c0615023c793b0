//! Record batches one after another, with everything in them that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::records::{BatchIterator, check_record_lengths, control};

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
        let lengths_fit = check_record_lengths(&payload, batch.records_count()).is_ok();
        let mut all_read = true;
        for record in batch.records(&payload) {
            match record {
                Ok(record) => {
                    assert_eq!(record.headers.len(), record.headers.count());
                    let _ = record.key.map(control::decode_key);
                }
                Err(_error) => all_read = false,
            }
        }
        assert!(
            lengths_fit || !all_read,
            "records that can be read have lengths that fit"
        );
    }
});
