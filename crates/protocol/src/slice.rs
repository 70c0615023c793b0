//! Pieces of a message that are sent without being copied: bytes in memory, or bytes that still lie in a file; and the
//! records of a produce request or fetch response, made of such pieces.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Slice {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileSlice),
}

impl Slice {
    /// The first `length` bytes, or all if there are fewer.
    #[must_use]
    pub fn truncated(self, length: usize) -> Self {
        match self {
            Self::Memory(mut bytes) => {
                bytes.truncate(length);
                Self::Memory(bytes)
            }
            Self::File(slice) => Self::File(FileSlice {
                length: slice.length.min(length),
                ..slice
            }),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(slice) => slice.length,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of a file. The codec only counts it; who sends it knows the concrete type behind the handle.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file; holding it keeps the bytes readable even when the name is removed.
    pub file: Arc<dyn FileHandle>,
    /// Where the range starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: usize,
}

/// The same range of the same open file.
impl PartialEq for FileSlice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
            && self.offset == other.offset
            && self.length == other.length
    }
}

/// An open file of some layer above; downcast through [`Any`] to use it.
pub trait FileHandle: Any + Debug + Send + Sync {}

/// Why records could not be turned into one run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntoBytesError {
    #[error("records lie in a file")]
    File,
}

/// The records of one partition, as record batches one after another in any number of pieces.
///
/// A decoded request or response has exactly one piece in memory, a slice of the received frame. Once all other slices
/// of that frame are dropped, `Bytes::try_into_mut` gives it for changes in place without a copy.
#[derive(Clone, Debug, Default)]
pub struct Records(pub Vec<Slice>);

impl Records {
    /// Length of all pieces in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .fold(0, |total, slice| slice.len().saturating_add(total))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Slice::is_empty)
    }

    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.0
    }

    /// One run of bytes; copied only if there is more than one piece.
    pub fn into_bytes(self) -> Result<Bytes, IntoBytesError> {
        let mut joined = BytesMut::new();
        let mut only = None;
        for slice in self.0 {
            let Slice::Memory(bytes) = slice else {
                return Err(IntoBytesError::File);
            };
            if joined.is_empty() && only.is_none() {
                only = Some(bytes);
            } else {
                if let Some(first) = only.replace(Bytes::new()) {
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&bytes);
            }
        }
        match only {
            Some(only) if joined.is_empty() => Ok(only),
            _ => Ok(joined.freeze()),
        }
    }
}

/// Equal when in-memory bytes are, however they are cut, and file ranges are the same.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        match (self.clone().into_bytes(), other.clone().into_bytes()) {
            (Ok(left), Ok(right)) => left == right,
            _ => false,
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self(vec![Slice::Memory(bytes)])
    }
}

impl From<Vec<Slice>> for Records {
    fn from(slices: Vec<Slice>) -> Self {
        Self(slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct NoFile;
    impl FileHandle for NoFile {}

    fn memory(bytes: &'static [u8]) -> Slice {
        Slice::Memory(Bytes::from_static(bytes))
    }

    #[test]
    fn one_piece_is_not_copied_and_many_are_joined() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        let records = Records::from(bytes.clone());
        assert_eq!(records.len(), 3);
        assert_eq!(records.into_bytes().unwrap().as_ptr(), bytes.as_ptr());
        let records = Records(vec![memory(b"ab"), memory(b""), memory(b"c"), memory(b"d")]);
        assert_eq!(records.into_bytes().unwrap(), "abcd");
        let records = Records(vec![memory(b""), memory(b"c"), memory(b"d")]);
        assert_eq!(records.into_bytes().unwrap(), "cd");
        assert!(Records::default().into_bytes().unwrap().is_empty());
    }

    #[test]
    fn equality_is_that_of_bytes_in_memory_and_of_ranges_in_files() {
        assert_eq!(
            Records(vec![memory(b"ab"), memory(b"c")]),
            Records(vec![memory(b"abc")])
        );
        assert_ne!(Records(vec![memory(b"ab")]), Records(vec![memory(b"abc")]));
        let file: Arc<dyn FileHandle> = Arc::new(NoFile);
        let range = |file: &Arc<dyn FileHandle>, offset| FileSlice {
            file: Arc::clone(file),
            offset,
            length: 4,
        };
        let other: Arc<dyn FileHandle> = Arc::new(NoFile);
        assert_eq!(range(&file, 0), range(&file, 0));
        assert_ne!(range(&file, 0), range(&file, 1));
        let records = Records(vec![Slice::File(range(&file, 0))]);
        assert_eq!(records.clone().into_bytes(), Err(IntoBytesError::File));
        assert_eq!(records, records.clone());
        assert_ne!(records, Records(vec![Slice::File(range(&other, 8))]));
        assert_eq!(records.len(), 4);
    }
}
