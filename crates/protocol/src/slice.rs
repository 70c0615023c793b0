//! Pieces of a message that are sent without being copied: bytes in memory, or bytes that still lie in a file.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// A piece of a message.
#[derive(Clone, Debug)]
pub enum Slice {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileSlice),
}

impl Slice {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(slice) => slice.length,
        }
    }

    /// Whether it has no bytes.
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

/// An open file of some layer above; downcast through [`Any`] to use it.
pub trait FileHandle: Any + Debug + Send + Sync {}
