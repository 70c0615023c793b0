//! What all generated messages have in common.
use bytes::Bytes;

use crate::messages::ApiKey;
use crate::reader::{DecodeError, Reader};
use crate::writer::{EncodeError, Writer};

/// A message of Kafka's definitions: a request, a response, a header, or data inside records.
pub trait Message: Sized + Default {
    /// Kafka's name, such as `FetchRequest`.
    const NAME: &'static str;
    /// Lowest version.
    const MIN_VERSION: i16;
    /// Highest stable version.
    const MAX_VERSION: i16;

    /// Whether a version has compact lengths and tagged fields (KIP-482).
    fn is_flexible(version: i16) -> bool;

    /// Reads the message; what follows it stays unread, and for requests that is no error, as in Kafka.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message. A field that does not exist in `version` is left out if Kafka calls it ignorable; otherwise
    /// having set it is an error.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A request, and which response answers it.
pub trait Request: Message {
    const KEY: ApiKey;
    type Response: ResponseMessage;
}

/// A response. Most tell how long the client is throttled for (KIP-219).
pub trait ResponseMessage: Message {
    /// The throttle time it tells, in milliseconds; 0 if it has no place for one.
    fn throttle_time_ms(&self) -> i32 {
        0
    }

    /// Tells a throttle time, where there is a place for it.
    fn set_throttle_time_ms(&mut self, _ms: i32) {}

    /// Shows `see` each error code that it tells, of whatever part, and that is not "no error".
    fn error_codes(&self, _see: &mut dyn FnMut(i16)) {}
}

/// The key of a record of `__consumer_offsets` or `__transaction_state`. Its bytes are the type, two bytes, and the
/// message in version 0 (`coordinator-common/.../CoordinatorRecordSerde.java`).
pub trait CoordinatorKey: Message {
    /// Tells the kinds of records in one topic apart; the definitions call it `apiKey`.
    const TYPE: i16;
    /// The value of such a record.
    type Value: Message;
}

/// Writes a message behind its version, two bytes, as values of coordinators' records and the consumer protocol's
/// subscriptions and assignments are.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    encode_prefixed(message, version, version)
}

/// Writes the key of a coordinator's record.
pub fn encode_coordinator_key<K: CoordinatorKey>(key: &K) -> Result<Bytes, EncodeError> {
    encode_prefixed(key, K::TYPE, 0)
}

fn encode_prefixed<M: Message>(
    message: &M,
    prefix: i16,
    version: i16,
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message.encode(&mut writer, version)?;
    // Data messages hold no file ranges.
    Ok(writer.finish().into_bytes().unwrap_or_default())
}

/// Reads a message behind its version. Returns the version too.
pub fn decode_versioned<M: Message>(bytes: Bytes) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    Ok((version, M::decode(&mut reader, version)?))
}

/// Reads the key of a coordinator's record of a known type: after its first two bytes, which [`coordinator_key_type`] gives.
pub fn decode_coordinator_key<K: CoordinatorKey>(bytes: Bytes) -> Result<K, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.i16()?;
    K::decode(&mut reader, 0)
}

/// The type of a coordinator's record, to choose the message with.
pub fn coordinator_key_type(key: &Bytes) -> Result<i16, DecodeError> {
    Reader::new(key.clone()).i16()
}
