//! [`Store`]: where files are, the file system or a bucket.

use std::io::{Read, Seek as _, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;

use super::content::LocalReader;
use super::error::FilesError;
use super::found::Found;
use super::local::Local;
use super::s3::{Bucket, ObjectReader};

/// Where files are.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Local(Arc<Local>),
    S3(Arc<Bucket>),
}

impl Store {
    pub(super) fn open_at(
        &self,
        found: &Found,
        byte: u64,
    ) -> Result<Box<dyn Read + Send>, FilesError> {
        Ok(match self {
            Self::Local(local) => Box::new(LocalReader {
                file: local.open_at(found, byte)?,
                path: found.path.clone(),
            }),
            Self::S3(bucket) => Box::new(ObjectReader {
                bucket: Bucket::clone(bucket),
                found: found.clone(),
                next: byte,
                part: Bytes::new(),
            }),
        })
    }

    /// A part of a file; shorter at its end.
    pub(super) fn part(&self, found: &Found, from: u64, bytes: usize) -> Result<Bytes, FilesError> {
        match self {
            Self::Local(local) => {
                let failed = |error| FilesError::of_io(&found.path, error);
                let mut file = local.open_at(found, from)?;
                file.seek(SeekFrom::Start(from)).map_err(failed)?;
                let bytes = (bytes as u64).min(found.size.saturating_sub(from));
                let mut part = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
                file.take(bytes).read_to_end(&mut part).map_err(failed)?;
                Ok(part.into())
            }
            Self::S3(bucket) => bucket.get(found, from, bytes as u64),
        }
    }

    /// Whether a file is still what was found. Each request for a part of an object says which version it wants.
    pub(super) fn check(&self, found: &Found) -> Result<(), FilesError> {
        match self {
            Self::Local(local) => local.check(found),
            Self::S3(..) => Ok(()),
        }
    }
}
