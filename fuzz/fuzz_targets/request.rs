//! A frame as a stranger sends it: header, then the request whose key and version the header names.
//! What was accepted must be accepted again after it was written.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::{Reader, Request, Writer, frame, messages};

fn check<R: Request + PartialEq + std::fmt::Debug>(reader: &mut Reader, version: i16) {
    let Ok(request) = R::decode(reader, version) else {
        return;
    };
    let mut writer = Writer::new();
    request
        .encode(&mut writer, version)
        .expect("what was read can be written");
    let bytes = writer
        .finish()
        .into_bytes()
        .expect("requests lie in memory");
    let again = R::decode(&mut Reader::new(bytes), version).expect("what was written can be read");
    assert_eq!(again, request);
}

fn dispatch(bytes: Bytes) {
    let mut reader = Reader::new(bytes);
    let Ok((key, header)) = frame::decode_request_header(&mut reader) else {
        return;
    };
    macro_rules! by_key {
        ($($name:ident),* $(,)?) => {{
            $(if key == <messages::$name as Request>::KEY {
                check::<messages::$name>(&mut reader, header.request_api_version);
            })*
        }};
    }
    protocol::for_each_request!(by_key);
}

fuzz_target!(|data: &[u8]| dispatch(Bytes::copy_from_slice(data)));
