//! [`Bucket`]: objects of S3, or of what speaks as it does.
//!
//! All of it blocks: it is called by threads that read files, within a runtime that makes the requests.
//!
//! Invariants: each request ends in bounded time. A byte that is read is one of the version that was listed: requests say its etag.

mod failure;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use glob::Pattern;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, RetryConfig,
};
use tokio::runtime::Handle;

pub use self::failure::StoreFailure;
use super::error::FilesError;
use super::found::Found;
use super::local::{MATCHING, STANDS_FOR};
use super::settle::Settle;
use super::source::Listing;

const SCHEME: &str = "s3://";
/// A connection that takes longer will not come.
const CONNECT: Duration = Duration::from_secs(5);
/// For a request with all of its answer.
const REQUEST: Duration = Duration::from_secs(60);
/// A request is made so many times more, but not once this time is over.
const RETRIES: usize = 4;
const RETRYING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How much is asked for at once: the wait for an answer is short beside its transfer.
const PART: u64 = 4 << 20;

/// How a store is reached.
#[derive(Clone, Default)]
pub struct S3Access {
    /// Where it is, as `http://127.0.0.1:9000`; `None`: as the environment says, or AWS.
    pub endpoint: Option<String>,
    /// Its region; `None`: as the environment says.
    pub region: Option<String>,
    /// The variables `AWS_…` of the process: credentials, and what else AWS's own programs read there.
    pub environment: Vec<(String, String)>,
}

impl S3Access {
    /// As the variables of a process say, of which those of AWS are taken: `S3Access::of(std::env::vars_os())`.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables.into_iter().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            name.starts_with("AWS_").then_some((name, value))
        });
        Self {
            environment: variables.collect(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for S3Access {
    /// Without the environment, which has secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Objects of a bucket that match a path.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    name: String,
    path: String,
    /// What all keys begin with, whole segments.
    prefix: Option<Path>,
    matcher: Pattern,
    objects: Arc<AmazonS3>,
}

impl Bucket {
    pub(super) fn open(path: &str, access: &S3Access) -> Result<Self, FilesError> {
        let wrong = |why: &str| FilesError::Pattern {
            pattern: path.to_owned(),
            why: why.to_owned(),
        };
        let rest = path.strip_prefix(SCHEME).unwrap_or(path);
        let (name, keys) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains(STANDS_FOR) {
            return Err(wrong("the bucket is to be named behind s3://"));
        }
        if keys.is_empty() || keys.ends_with('/') {
            return Err(wrong("it names no objects; write s3://BUCKET/FOLDER/*.csv"));
        }
        let matcher = Pattern::new(keys).map_err(|error| wrong(error.msg))?;
        let literal = keys.find(STANDS_FOR).map_or(keys, |end| &keys[..end]);
        let prefix = literal.rfind('/').map(|end| &literal[..end]);
        let prefix = prefix.map(Path::parse).transpose();
        let prefix = prefix.map_err(|error| wrong(&error.to_string()))?;
        let objects = client(name, access).map_err(|error| FilesError::Store {
            path: path.to_owned(),
            source: StoreFailure::Settings(match StoreFailure::of(&error) {
                StoreFailure::Answered(said) => said,
                other => other.to_string(),
            }),
        })?;
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            prefix,
            matcher,
            objects: Arc::new(objects),
        })
    }

    /// The key of an object of this bucket; `None` for one of another.
    pub(super) fn key(&self, path: &str) -> Option<Path> {
        let (bucket, key) = path.strip_prefix(SCHEME)?.split_once('/')?;
        (bucket == self.name).then(|| Path::parse(key).ok())?
    }

    pub(super) fn name_of(&self, key: &Path) -> String {
        format!("{SCHEME}{}/{key}", self.name)
    }

    pub(super) fn matches(&self, key: &Path) -> bool {
        self.matcher.matches_with(key.as_ref(), MATCHING)
    }

    pub(super) fn failed(&self, path: &str, error: &Error) -> FilesError {
        let path = path.to_owned();
        match error {
            Error::Precondition { .. } => FilesError::Changed { path },
            Error::NotFound { .. } if !root_is_bucket(error) => FilesError::Vanished { path },
            _ => FilesError::Store {
                path,
                source: StoreFailure::of(error),
            },
        }
    }

    pub(super) fn list(
        &self,
        settle: &mut Settle,
        files_max: usize,
    ) -> Result<Listing, FilesError> {
        block_on(async {
            let mut listing = Listing::default();
            let mut objects = self.objects.list(self.prefix.as_ref());
            while let Some(object) = objects.next().await {
                let object = object.map_err(|error| FilesError::Store {
                    path: self.path.clone(),
                    source: StoreFailure::of(&error),
                })?;
                if !self.matches(&object.location) {
                    continue;
                }
                if listing.files.len() >= files_max {
                    return Err(FilesError::TooMany {
                        pattern: self.path.clone(),
                        max: files_max,
                    });
                }
                let modified_ms = object.last_modified.timestamp_millis();
                let (path, etag) = (self.name_of(&object.location), etag_of(&object));
                let (settled, is_ahead) = settle.look(&path, &etag, modified_ms);
                listing.files.push(Found {
                    path,
                    size: object.size,
                    etag,
                    modified_ms,
                    settled,
                    is_ahead,
                    born_ms: None,
                });
            }
            Ok(listing)
        })?
    }

    /// What there is now of an object.
    pub(super) fn head(&self, key: &Path) -> Result<Option<ObjectMeta>, FilesError> {
        match block_on(self.objects.head(key))? {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&self.name_of(key), &error)),
        }
    }

    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<(), FilesError> {
        let copied = block_on(self.objects.copy(from, to))?;
        copied.map_err(|error| self.failed(&self.name_of(from), &error))
    }

    pub(super) fn delete(&self, key: &Path) -> Result<(), FilesError> {
        match block_on(self.objects.delete(key))? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&self.name_of(key), &error)),
        }
    }

    /// A part of the version of an object that was found.
    pub(super) fn get(&self, found: &Found, from: u64, bytes: u64) -> Result<Bytes, FilesError> {
        let end = from.saturating_add(bytes).min(found.size);
        if from >= end {
            return Ok(Bytes::new());
        }
        let Some(key) = self.key(&found.path) else {
            let path = found.path.clone();
            return Err(FilesError::Vanished { path });
        };
        let options = GetOptions {
            range: Some(GetRange::Bounded(from..end)),
            if_match: (!found.etag.starts_with(UNTAGGED)).then(|| found.etag.clone()),
            ..GetOptions::default()
        };
        let got = block_on(async {
            let got = self.objects.get_opts(&key, options).await?;
            if !found.etag.starts_with(UNTAGGED) && got.meta.e_tag.as_ref() != Some(&found.etag) {
                return Ok(None);
            }
            got.bytes().await.map(Some)
        })?;
        match got {
            Ok(Some(bytes)) if bytes.len() as u64 == end - from => Ok(bytes),
            Ok(_) => Err(FilesError::Changed {
                path: found.path.clone(),
            }),
            Err(error) => Err(self.failed(&found.path, &error)),
        }
    }
}

/// Waits in a thread that may block, which the runtime that makes the requests has started.
fn block_on<T>(request: impl Future<Output = T>) -> Result<T, FilesError> {
    let runtime = Handle::try_current().map_err(|_ended| FilesError::Stopped)?;
    Ok(runtime.block_on(request))
}

/// The etag of an object whose store has none.
const UNTAGGED: &str = "modified ";

pub(super) fn etag_of(object: &ObjectMeta) -> String {
    match &object.e_tag {
        Some(etag) => etag.clone(),
        None => format!(
            "{UNTAGGED}{} {}",
            object.last_modified.timestamp_millis(),
            object.size
        ),
    }
}

fn root_is_bucket(error: &Error) -> bool {
    matches!(StoreFailure::of(error), StoreFailure::NoBucket(_))
}

fn client(bucket: &str, access: &S3Access) -> Result<AmazonS3, Error> {
    let mut client = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT);
    let mut builder = AmazonS3Builder::new().with_retry(RetryConfig {
        backoff: BackoffConfig {
            init_backoff: PAUSE,
            max_backoff: PAUSE_MAX,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRYING,
    });
    for (name, value) in &access.environment {
        // There are variables of other programs too.
        match name.to_ascii_lowercase().parse() {
            Ok(AmazonS3ConfigKey::Client(key)) => client = client.with_config(key, value),
            Ok(key) => builder = builder.with_config(key, value),
            Err(_) => {}
        }
    }
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &access.region {
        builder = builder.with_region(region);
    }
    let value = |key| builder.get_config_value(&key);
    let endpoint =
        value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    // Without TLS only if the endpoint says so.
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder
        .with_bucket_name(bucket)
        .with_client_options(client.with_allow_http(is_plain))
        .build()
}

/// Reads an object from a byte on, a part at a time.
#[derive(Debug)]
pub(super) struct ObjectReader {
    pub(super) bucket: Bucket,
    pub(super) found: Found,
    pub(super) next: u64,
    pub(super) part: Bytes,
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            let part = self.bucket.get(&self.found, self.next, PART);
            self.part = part.map_err(io::Error::other)?;
            self.next += self.part.len() as u64;
        }
        let count = into.len().min(self.part.len());
        self.part.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
