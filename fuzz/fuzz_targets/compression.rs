//! The first byte chooses the codec; the output never exceeds the cap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::records::{Compression, compression};

const OUTPUT_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let Some(codec) = Compression::from_id(first % 5) else {
        return;
    };
    if let Ok(output) = compression::decompress(codec, rest, OUTPUT_MAX) {
        assert!(output.len() <= OUTPUT_MAX);
        let packed = compression::compress(codec, None, &output).expect("it compresses");
        assert_eq!(
            compression::decompress(codec, &packed, OUTPUT_MAX).expect("it comes back"),
            output
        );
    }
});
