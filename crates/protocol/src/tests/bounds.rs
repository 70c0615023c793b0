//! Lengths, counts, tags and nulls that lie are refused before anything is allocated.
use bytes::{BufMut, Bytes, BytesMut};

use crate::messages::metadata_request::MetadataRequestTopic;
use crate::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::messages::{
    DeleteTopicsRequest, FetchRequest, HeartbeatRequest, MetadataRequest, OffsetFetchRequest,
    ProduceRequest,
};
use crate::{DecodeCause, DecodeError, Message, Reader, Writer};

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(Bytes::copy_from_slice(bytes)), version)
}

fn cause<M: Message + std::fmt::Debug>(bytes: &[u8], version: i16) -> DecodeCause {
    decode::<M>(bytes, version).unwrap_err().cause
}

#[test]
fn a_count_larger_than_the_frame_is_refused() {
    let count = usize::try_from(i32::MAX).unwrap();
    let expected = DecodeCause::CountTooLarge {
        count,
        available: 0,
    };
    assert_eq!(
        cause::<MetadataRequest>(&i32::MAX.to_be_bytes(), 0),
        expected
    );
    // Compact: 2^31 is i32::MAX elements and one for null.
    assert_eq!(
        cause::<MetadataRequest>(&[0x80, 0x80, 0x80, 0x80, 0x08], 12),
        expected
    );
}

#[test]
fn a_negative_length_is_null_as_in_kafka() {
    let request = decode::<MetadataRequest>(&(-7_i32).to_be_bytes(), 1).unwrap();
    assert_eq!(request.topics, None);
    assert_eq!(
        cause::<HeartbeatRequest>(&[0xff, 0xff], 0),
        DecodeCause::Null
    );
}

#[test]
fn a_frame_full_of_tiny_elements_meets_the_budget() {
    // Names of no bytes take two bytes on the wire and a whole `String` in memory.
    let names = 1_000_000;
    let mut bytes = BytesMut::new();
    bytes.put_i32(names);
    bytes.resize(4 + 2 * usize::try_from(names).unwrap(), 0);
    assert!(matches!(
        cause::<DeleteTopicsRequest>(&bytes, 1),
        DecodeCause::BudgetExceeded { .. }
    ));
}

/// Names are what they are: a client must not lose its connection because it subscribes to many short ones.
#[test]
fn lists_of_short_names_are_within_the_budget() {
    for (count, letters) in [(1_400, 1), (1_400, 3), (100_000, 4), (100_000, 8)] {
        let name = "n".repeat(letters);
        for version in [1, 4, 9, 12] {
            let topic = MetadataRequestTopic {
                name: Some(name.clone()),
                ..Default::default()
            };
            let request = MetadataRequest {
                topics: Some(vec![topic; count]),
                ..Default::default()
            };
            is_read_back(&request, version);
        }
    }
    for (count, letters) in [(700, 1), (700, 3), (700, 8), (100_000, 12)] {
        for version in [8, 9, 10] {
            let group = OffsetFetchRequestGroup {
                group_id: "g".repeat(letters),
                ..Default::default()
            };
            let request = OffsetFetchRequest {
                groups: vec![group; count],
                ..Default::default()
            };
            is_read_back(&request, version);
        }
    }
}

fn is_read_back<M: Message + PartialEq + std::fmt::Debug>(request: &M, version: i16) {
    let mut writer = Writer::new();
    request.encode(&mut writer, version).unwrap();
    let bytes = writer.finish().into_bytes().unwrap();
    let read = decode::<M>(&bytes, version);
    assert!(
        read.as_ref() == Ok(request),
        "version {version}: {:?}",
        read.err()
    );
}

#[test]
fn tags_must_increase_and_have_their_size() {
    // A null list of topics, two flags, then tagged fields.
    let body = |tags: &[u8]| [&[0, 0, 0], tags].concat();
    let request = |tags: &[u8]| {
        decode::<MetadataRequest>(&body(tags), 12)
            .map(drop)
            .map_err(|error| error.cause)
    };
    assert_eq!(request(&[0]), Ok(()));
    assert_eq!(request(&[2, 5, 1, 9, 7, 0]), Ok(()));
    assert_eq!(
        request(&[2, 7, 0, 5, 1, 9]),
        Err(DecodeCause::TagsNotIncreasing {
            tag: 5,
            previous: 7
        })
    );
    assert_eq!(
        request(&[2, 5, 0, 5, 0]),
        Err(DecodeCause::TagsNotIncreasing {
            tag: 5,
            previous: 5
        })
    );
    assert_eq!(
        request(&[1, 5, 9, 0]),
        Err(DecodeCause::Truncated {
            needed: 9,
            available: 1
        })
    );
    assert!(request(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}

#[test]
fn a_known_tag_of_the_wrong_size_or_version_is_refused() {
    let head = |version: i16| {
        let mut bytes = BytesMut::new();
        if version <= 14 {
            bytes.put_i32(-1);
        }
        bytes.put_slice(&[0; 4 + 4 + 4 + 1 + 4 + 4]);
        bytes.put_slice(&[1, 1, 1]);
        bytes
    };
    // Tag 0 is the cluster id, a compact string; tag 1 the replica state, from version 15.
    let with = |version, tags: &[u8]| {
        let mut bytes = head(version);
        bytes.put_slice(tags);
        decode::<FetchRequest>(&bytes, version)
            .map(|request| request.cluster_id)
            .map_err(|error| error.cause)
    };
    assert_eq!(
        with(12, &[1, 0, 3, 3, b'a', b'b']),
        Ok(Some("ab".to_owned()))
    );
    assert_eq!(
        with(12, &[1, 0, 4, 3, b'a', b'b', 0]),
        Err(DecodeCause::TagSize { size: 4, read: 3 })
    );
    assert_eq!(
        with(12, &[1, 1, 0]),
        Err(DecodeCause::UnexpectedTag { tag: 1 })
    );
}

#[test]
fn strings_that_are_not_utf8_are_repaired_as_in_java() {
    let mut bytes = vec![0, 0, 0, 1, 0, 3, b'a', 0xff, b'b'];
    let request = decode::<MetadataRequest>(&bytes, 0).unwrap();
    assert_eq!(
        request.topics.unwrap()[0].name.as_deref(),
        Some("a\u{fffd}b")
    );
    bytes.truncate(8);
    assert_eq!(
        cause::<MetadataRequest>(&bytes, 0),
        DecodeCause::Truncated {
            needed: 3,
            available: 2
        }
    );
}

#[test]
fn records_are_a_slice_of_the_frame_and_can_be_changed_in_place() {
    let mut frame = BytesMut::new();
    frame.put_slice(&[0xff, 0xff]);
    frame.put_i16(-1);
    frame.put_i32(1000);
    frame.put_i32(1);
    frame.put_slice(&[0, 1, b't']);
    frame.put_i32(1);
    frame.put_i32(0);
    frame.put_i32(5);
    let at = frame.len();
    frame.put_slice(b"batch");
    let frame = frame.freeze();
    let address = frame[at..].as_ptr();
    let mut reader = Reader::new(frame);
    let mut request = ProduceRequest::decode(&mut reader, 3).unwrap();
    drop(reader);
    let records = request.topic_data[0].partition_data[0]
        .records
        .take()
        .unwrap();
    let bytes = records.into_bytes().unwrap().try_into_mut().unwrap();
    assert_eq!(
        (bytes.as_ptr(), bytes.as_ref()),
        (address, b"batch".as_slice())
    );
}
