//! What a written message consists of: small things joined, large ones and file ranges untouched, in order.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use crate::messages::{FetchResponse, MetadataRequest, OffsetCommitRequest, ProduceRequest};
use crate::{
    ApiKey, EncodeError, FileHandle, FileSlice, Message, Records, Segments, Slice, TaggedFields,
    Writer, frame,
};

#[derive(Debug)]
struct TestFile(Vec<u8>);
impl FileHandle for TestFile {}

const VERSION: i16 = 16;

fn response(parts: Vec<Records>) -> FetchResponse {
    let partition = |records| PartitionData {
        records: Some(records),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        partitions: parts.into_iter().map(partition).collect(),
        ..Default::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..FetchResponse::default()
    }
}

/// The bytes as a sender would put them on the wire.
fn wire(segments: &Segments) -> Bytes {
    let mut bytes = BytesMut::new();
    for slice in segments.slices() {
        match slice {
            Slice::Memory(part) => bytes.extend_from_slice(part),
            Slice::File(range) => {
                let file: &dyn std::any::Any = &*range.file;
                let content = &file.downcast_ref::<TestFile>().unwrap().0;
                let start = usize::try_from(range.offset).unwrap();
                bytes.extend_from_slice(&content[start..start + range.length]);
            }
        }
    }
    bytes.freeze()
}

#[test]
fn file_ranges_and_large_bytes_are_pieces_of_their_own_in_order() {
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let file: Arc<dyn FileHandle> = Arc::new(TestFile(content.clone()));
    let large = Bytes::from(vec![7; 4096]);
    let small = Bytes::from(vec![8; 100]);
    let range = |offset, length| {
        Slice::File(FileSlice {
            file: Arc::clone(&file),
            offset,
            length,
        })
    };
    let mixed = response(vec![
        Records(vec![
            range(10, 300),
            Slice::Memory(large.clone()),
            range(2000, 5000),
        ]),
        Records::from(small.clone()),
        Records(vec![range(0, 0)]),
    ]);
    let segments = frame::encode_response(ApiKey::Fetch, VERSION, 5, &mixed).unwrap();

    let shapes: Vec<_> = segments
        .slices()
        .iter()
        .map(|slice| matches!(slice, Slice::File(_)))
        .collect();
    assert_eq!(
        shapes,
        [false, true, false, true, false],
        "head, file, large, file, the rest"
    );
    let Slice::Memory(piece) = &segments.slices()[2] else {
        panic!("bytes in memory")
    };
    assert_eq!(piece.as_ptr(), large.as_ptr(), "large bytes are not copied");

    let first = [&content[10..310], &large, &content[2000..7000]].concat();
    let flat = response(vec![
        Records::from(Bytes::from(first)),
        Records::from(small),
        Records::from(Bytes::new()),
    ]);
    let expected = frame::encode_response(ApiKey::Fetch, VERSION, 5, &flat).unwrap();
    assert_eq!(segments.len(), expected.len());
    let bytes = wire(&segments);
    assert_eq!(bytes, wire(&expected));
    assert_eq!(
        frame::frame_length(*bytes.first_chunk().unwrap(), usize::MAX),
        Ok(bytes.len() - 4)
    );
}

#[test]
fn small_pieces_are_joined_into_one() {
    let records = Records(vec![
        Slice::Memory(Bytes::from(vec![1; 511])),
        Slice::Memory(Bytes::from(vec![2; 511])),
    ]);
    let segments =
        frame::encode_response(ApiKey::Fetch, VERSION, 5, &response(vec![records])).unwrap();
    assert_eq!(segments.slices().len(), 1);
    assert!(!segments.is_empty());
    assert!(Writer::new().finish().is_empty());
}

#[test]
fn large_tagged_fields_keep_their_size_and_order() {
    let large = Bytes::from(vec![9; 2000]);
    let mut tags = TaggedFields::new();
    tags.add(3, "large", |writer| writer.bytes(&large, true, "large"))
        .unwrap();
    tags.add(4, "small", |writer| {
        writer.i8(5);
        Ok(())
    })
    .unwrap();
    let mut writer = Writer::new();
    writer.i8(1);
    writer.tags(tags);
    let segments = writer.finish();
    let mut expected = vec![1, 2, 3];
    // 2000 bytes behind their compact length of two bytes.
    crate::varint::write_u32(&mut expected, 2002);
    crate::varint::write_u32(&mut expected, 2001);
    expected.extend_from_slice(&large);
    expected.extend_from_slice(&[4, 1, 5]);
    assert_eq!(wire(&segments), expected);
}

fn refused<M: Message>(message: &M, version: i16) -> EncodeError {
    message.encode(&mut Writer::new(), version).unwrap_err()
}

#[test]
fn fields_a_version_does_not_have_are_dropped_or_refused_as_in_kafka() {
    let request = ProduceRequest {
        transactional_id: Some("t".to_owned()),
        ..ProduceRequest::default()
    };
    assert!(request.encode(&mut Writer::new(), 3).is_ok());
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let field = "MetadataRequest.AllowAutoTopicCreation";
    assert_eq!(
        refused(&request, 3),
        EncodeError::UnsupportedField { field, version: 3 }
    );
    let request = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(
        refused(&request, 0),
        EncodeError::Null {
            field: "MetadataRequest.Topics"
        }
    );
    // The member id is ignorable.
    let request = OffsetCommitRequest {
        retention_time_ms: 5,
        ..OffsetCommitRequest::default()
    };
    assert!(request.encode(&mut Writer::new(), 9).is_ok());
    let request = OffsetCommitRequest {
        group_id: "x".repeat(0x8000),
        ..OffsetCommitRequest::default()
    };
    assert_eq!(
        refused(&request, 9),
        EncodeError::TooLong {
            field: "OffsetCommitRequest.GroupId"
        }
    );
    assert_eq!(
        refused(&request, 1),
        EncodeError::UnsupportedVersion {
            version: 1,
            min: 2,
            max: 10
        }
    );
}

#[test]
fn frame_lengths_are_checked_before_anything_is_allocated() {
    use frame::FrameLengthError::{Negative, TooLong};
    assert_eq!(frame::frame_length([0, 0, 1, 0], 256), Ok(256));
    assert_eq!(
        frame::frame_length([0, 0, 1, 1], 256),
        Err(TooLong {
            length: 257,
            max: 256
        })
    );
    assert_eq!(
        frame::frame_length([0x7f, 0xff, 0xff, 0xff], 256),
        Err(TooLong {
            length: 0x7fff_ffff,
            max: 256
        })
    );
    assert_eq!(
        frame::frame_length([0xff; 4], 256),
        Err(Negative { length: -1 })
    );
    assert_eq!(frame::peek_key_and_version(&[0, 1, 0]), None);
}
