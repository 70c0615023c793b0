//! Control records: the key (version, type) and the end-transaction marker's value
//! (`ControlRecordType.java`, `EndTransactionMarker.java`, KIP-98).

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlRecordType {
    Abort,
    Commit,
    /// KRaft and later types, and types unknown to us; a reader skips them.
    Other(i16),
}

impl ControlRecordType {
    #[must_use]
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }

    #[must_use]
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        }
    }
}

/// Why bytes are no control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlRecordError {
    #[error("control record key has {length} bytes, needs 4")]
    KeyTooShort { length: usize },
    #[error("control record has negative version {version}")]
    NegativeVersion { version: i16 },
    #[error("end transaction marker has {length} bytes, needs 6")]
    MarkerTooShort { length: usize },
}

/// Version of keys and markers we write.
const CURRENT_VERSION: i16 = 0;

/// Key of a control record: version and type.
#[must_use]
pub fn encode_key(kind: ControlRecordType) -> [u8; 4] {
    let [a, b] = CURRENT_VERSION.to_be_bytes();
    let [c, d] = kind.id().to_be_bytes();
    [a, b, c, d]
}

/// Reads the key of a control record. Longer keys of later versions are accepted, as Kafka does.
pub fn decode_key(key: &[u8]) -> Result<ControlRecordType, ControlRecordError> {
    let &[a, b, c, d] = key
        .first_chunk()
        .ok_or(ControlRecordError::KeyTooShort { length: key.len() })?;
    let version = i16::from_be_bytes([a, b]);
    if version < 0 {
        return Err(ControlRecordError::NegativeVersion { version });
    }
    Ok(ControlRecordType::from_id(i16::from_be_bytes([c, d])))
}

/// Value of a COMMIT or ABORT control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransactionMarker {
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    #[must_use]
    pub fn encode(self) -> [u8; 6] {
        let [a, b] = CURRENT_VERSION.to_be_bytes();
        let [c, d, e, f] = self.coordinator_epoch.to_be_bytes();
        [a, b, c, d, e, f]
    }

    pub fn decode(value: &[u8]) -> Result<Self, ControlRecordError> {
        let &[a, b, c, d, e, f] =
            value
                .first_chunk()
                .ok_or(ControlRecordError::MarkerTooShort {
                    length: value.len(),
                })?;
        let version = i16::from_be_bytes([a, b]);
        if version < 0 {
            return Err(ControlRecordError::NegativeVersion { version });
        }
        Ok(Self {
            coordinator_epoch: i32::from_be_bytes([c, d, e, f]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_markers_round_trip() {
        for kind in [
            ControlRecordType::Abort,
            ControlRecordType::Commit,
            ControlRecordType::Other(7),
        ] {
            assert_eq!(decode_key(&encode_key(kind)), Ok(kind));
        }
        let marker = EndTransactionMarker {
            coordinator_epoch: 42,
        };
        assert_eq!(EndTransactionMarker::decode(&marker.encode()), Ok(marker));
        assert_eq!(marker.encode(), [0, 0, 0, 0, 0, 42]);
    }

    #[test]
    fn short_or_negative_is_an_error() {
        assert_eq!(
            decode_key(&[0, 0, 0]),
            Err(ControlRecordError::KeyTooShort { length: 3 })
        );
        assert_eq!(
            decode_key(&[0xff, 0xff, 0, 0]),
            Err(ControlRecordError::NegativeVersion { version: -1 })
        );
        assert_eq!(
            EndTransactionMarker::decode(&[0; 5]),
            Err(ControlRecordError::MarkerTooShort { length: 5 })
        );
        assert_eq!(
            EndTransactionMarker::decode(&[0xff, 0xff, 0, 0, 0, 0]),
            Err(ControlRecordError::NegativeVersion { version: -1 })
        );
    }
}
