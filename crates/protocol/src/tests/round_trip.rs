//! decode(encode(x)) = x for every message in every version, with named and with random values.
use bytes::Bytes;

use crate::samples::{Sample, Samples};
use crate::{ApiKey, Reader, Request, Writer, frame, messages};

/// Random messages per message and version.
const RANDOM_ROUNDS: u64 = 20;

pub(super) fn encode<M: Sample>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("{} {version}: {error}", M::NAME));
    let length = writer.len();
    let bytes = writer.finish().into_bytes().unwrap();
    assert_eq!(bytes.len(), length, "{} {version}", M::NAME);
    bytes
}

fn check<M: Sample + PartialEq + std::fmt::Debug>() {
    for version in M::MIN_VERSION..=M::MAX_VERSION {
        let named = M::sample(&mut Samples::named(), version);
        let random = (0..RANDOM_ROUNDS).map(|seed| M::sample(&mut Samples::random(seed), version));
        for message in [named, M::default()].into_iter().chain(random) {
            let mut writer = Writer::new();
            // Defaults need not be possible in every version.
            if message == M::default() && message.encode(&mut writer, version).is_err() {
                continue;
            }
            let bytes = encode(&message, version);
            let mut reader = Reader::new(bytes.clone());
            let decoded = M::decode(&mut reader, version)
                .unwrap_or_else(|error| panic!("{} {version}: {error}", M::NAME));
            assert_eq!(reader.remaining(), 0, "{} {version}", M::NAME);
            assert_eq!(decoded, message, "{} {version}", M::NAME);
            // Every cut is an error, never a panic or a message.
            for length in 0..bytes.len().min(200) {
                assert!(
                    M::decode(&mut Reader::new(bytes.slice(..length)), version).is_err(),
                    "{} {version}",
                    M::NAME
                );
            }
        }
    }
    for version in [M::MIN_VERSION - 1, M::MAX_VERSION + 2] {
        assert!(
            M::default().encode(&mut Writer::new(), version).is_err(),
            "{}",
            M::NAME
        );
        assert!(
            M::decode(&mut Reader::new(Bytes::from(vec![0; 1000])), version).is_err(),
            "{}",
            M::NAME
        );
    }
}

fn check_request<R: Request + Sample + PartialEq + std::fmt::Debug>()
where
    R::Response: Sample + PartialEq + std::fmt::Debug,
{
    check::<R>();
    assert_eq!(R::KEY.decodable_versions(), R::MIN_VERSION..=R::MAX_VERSION);
    assert_eq!(R::NAME, format!("{}Request", R::KEY.name()));
    for version in R::MIN_VERSION..=R::MAX_VERSION {
        assert_eq!(
            R::KEY.request_header_version(version),
            if R::is_flexible(version) { 2 } else { 1 }
        );
        let request = R::sample(&mut Samples::named(), version);
        let framed = frame::encode_request(77, Some("me"), version, &request)
            .unwrap()
            .into_bytes()
            .unwrap();
        let length = frame::frame_length(*framed.first_chunk().unwrap(), 1 << 20).unwrap();
        assert_eq!(length, framed.len() - frame::LENGTH_PREFIX);
        assert_eq!(
            frame::peek_key_and_version(&framed[4..]),
            Some((R::KEY.into(), version))
        );
        let mut reader = Reader::new(framed.slice(4..));
        let (key, header) = frame::decode_request_header(&mut reader).unwrap();
        assert_eq!(
            (key, header.request_api_version, header.correlation_id),
            (R::KEY, version, 77)
        );
        assert_eq!(header.client_id.as_deref(), Some("me"));
        assert_eq!(R::decode(&mut reader, version).unwrap(), request);

        let response = R::Response::sample(&mut Samples::named(), version);
        let framed = frame::encode_response(R::KEY, version, 78, &response)
            .unwrap()
            .into_bytes()
            .unwrap();
        assert_eq!(
            frame::decode_response::<R>(framed.slice(4..), version),
            Ok((78, response))
        );
    }
}

macro_rules! all_requests {
    ($($name:ident),* $(,)?) => { $(check_request::<messages::$name>();)* };
}
macro_rules! all_others {
    ($($name:ident),* $(,)?) => { $(check::<messages::$name>();)* };
}

#[test]
fn requests_and_their_frames_round_trip() {
    crate::for_each_request!(all_requests);
}

#[test]
fn all_other_messages_round_trip() {
    crate::for_each_other_message!(all_others);
}

#[test]
fn the_apis_are_those_of_a_broker_listener() {
    assert_eq!(ApiKey::ALL.len(), 77);
    for key in ApiKey::ALL {
        assert_eq!(ApiKey::try_from(i16::from(*key)), Ok(*key));
    }
    for dead_or_controller in [
        4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82, 93, -1,
    ] {
        assert!(
            ApiKey::try_from(dead_or_controller).is_err(),
            "{dead_or_controller}"
        );
    }
    assert_eq!(ApiKey::InitProducerId.decodable_versions(), 0..=5);
    assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
    assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
    assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
}
