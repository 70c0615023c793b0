//! Frames: four bytes of length, a header, a message.
//!
//! A request's header begins with key and version in every version, so that these are known before the rest is read.
use bytes::Bytes;

use crate::message::{Message, Request};
use crate::messages::{ApiKey, RequestHeader, ResponseHeader};
use crate::reader::{DecodeError, Reader};
use crate::writer::{EncodeError, Segments, Writer};

/// Bytes of the length in front of a frame.
pub const LENGTH_PREFIX: usize = 4;

/// Why the length in front of a frame is refused, before anything is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameLengthError {
    #[error("frame has negative length {length}")]
    Negative { length: i32 },
    #[error("frame has {length} bytes, more than {max}")]
    TooLong { length: usize, max: usize },
}

/// The length of a frame from its prefix, at most `max` (`socket.request.max.bytes`).
pub fn frame_length(prefix: [u8; LENGTH_PREFIX], max: usize) -> Result<usize, FrameLengthError> {
    let length = i32::from_be_bytes(prefix);
    let Ok(checked) = usize::try_from(length) else {
        return Err(FrameLengthError::Negative { length });
    };
    if checked > max {
        Err(FrameLengthError::TooLong {
            length: checked,
            max,
        })
    } else {
        Ok(checked)
    }
}

/// Why the header of a request could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestHeaderError {
    #[error(transparent)]
    UnknownApiKey(#[from] crate::messages::UnknownApiKey),
    #[error("request header: {0}")]
    Decode(#[from] DecodeError),
}

/// Key and version in front of every request; `None` if the frame is shorter.
#[must_use]
pub fn peek_key_and_version(frame: &[u8]) -> Option<(i16, i16)> {
    let &[a, b, c, d] = frame.first_chunk()?;
    Some((i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d])))
}

/// Reads the header of a request (frame without its length) and leaves the reader before the body.
///
/// The version may be one we cannot read: whether it is supported is the caller's to check, since ApiVersions answers
/// unsupported versions too. The header's own version follows from it as in Kafka (`RequestHeader.parse`).
pub fn decode_request_header(
    reader: &mut Reader,
) -> Result<(ApiKey, RequestHeader), RequestHeaderError> {
    let mut peek = reader.clone();
    let key = ApiKey::try_from(peek.i16()?)?;
    let version = peek.i16()?;
    let header = RequestHeader::decode(reader, key.request_header_version(version))?;
    Ok((key, header))
}

/// Writes a request as a frame with its length.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Segments, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.into(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut writer = Writer::new();
    writer.i32(0);
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    writer.finish_frame()
}

/// Writes a response as a frame with its length.
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Segments, EncodeError> {
    let mut writer = Writer::new();
    writer.i32(0);
    ResponseHeader { correlation_id }.encode(&mut writer, key.response_header_version(version))?;
    response.encode(&mut writer, version)?;
    writer.finish_frame()
}

/// Reads a response (frame without its length) to a request of type `R`: correlation id and message.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
    Ok((
        header.correlation_id,
        R::Response::decode(&mut reader, version)?,
    ))
}
