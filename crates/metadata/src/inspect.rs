//! A look into a metadata file that no broker uses, without changing it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::disk::{Disk, DiskFile, OpenMode};
use redb::Database;
use types::{TopicId, TopicName};

use crate::image::ClusterImage;
use crate::keys::DamagedValue;
use crate::redb_file::{self, CACHE_BYTES, FORMAT_VERSION, ReadOnlyBackend};
use crate::settings::Layers;
use crate::store::Revision;

/// What a metadata file holds.
#[derive(Clone, Debug)]
pub struct StoredMetadata {
    /// The last change.
    pub revision: Revision,
    /// Its topics: name, id, number of partitions.
    pub topics: Vec<(TopicName, TopicId, i32)>,
}

/// Why a metadata file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is none, or nothing is in it.
    #[error("is missing or empty")]
    Missing,
    /// The disk failed.
    #[error("could not read it")]
    Io(#[source] io::Error),
    /// Its pages do not match their checksums, or it is no metadata file.
    #[error("is damaged")]
    Pages(#[source] Box<redb::Error>),
    /// A value cannot be read.
    #[error("is damaged: a value cannot be read")]
    Value(#[from] DamagedValue),
    /// A newer release wrote it.
    #[error("has format {found}, this release reads up to {FORMAT_VERSION}")]
    NewerFormat {
        /// The format it has.
        found: u64,
    },
}

impl StoredMetadata {
    /// Reads the file at `path`, every page against its checksum and every value, and changes nothing.
    ///
    /// # Errors
    /// See [`InspectError`].
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, InspectError> {
        let file = match disk.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(InspectError::Missing);
            }
            Err(error) => return Err(InspectError::Io(error)),
        };
        if file.length().map_err(InspectError::Io)? == 0 {
            return Err(InspectError::Missing);
        }
        let database = verified(file).map_err(pages)?;
        let found = redb_file::format(&database)
            .map_err(pages)?
            .unwrap_or_default();
        if found > FORMAT_VERSION {
            return Err(InspectError::NewerFormat { found });
        }
        let (revision, entries) = redb_file::stored(&database).map_err(pages)?;
        let image = ClusterImage::empty(1, Layers::default()).load(revision, entries)?;
        let topics = image.topics();
        let topics = topics.map(|topic| (topic.name.clone(), topic.id, topic.partitions));
        Ok(Self {
            revision,
            topics: topics.collect(),
        })
    }
}

/// Opens a file in memory, every page compared with its checksum: redb itself does that only for files that were not closed.
pub(crate) fn verified(file: Arc<dyn DiskFile>) -> Result<Database, redb::Error> {
    let open = || -> Result<Database, redb::Error> {
        let mut database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(ReadOnlyBackend::new(file)?)?;
        if database.check_integrity()? {
            Ok(database)
        } else {
            let damaged = "pages do not match their checksums".to_owned();
            Err(redb::Error::Corrupted(damaged))
        }
    };
    // redb panics at some damage of its own bookkeeping.
    std::panic::catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
        let damaged = "its bookkeeping is malformed".to_owned();
        Err(redb::Error::Corrupted(damaged))
    })
}

fn pages(error: redb::Error) -> InspectError {
    match error {
        // Without a number it is redb's own, about what it read.
        redb::Error::Io(error) if error.raw_os_error().is_some() => InspectError::Io(error),
        other => InspectError::Pages(Box::new(other)),
    }
}

/// Where the metadata is in a data directory.
pub fn metadata_file(data_directory: &Path) -> PathBuf {
    data_directory.join("metadata.redb")
}
