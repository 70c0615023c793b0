//! Exports as objects of S3 and of stores that speak its protocol.
//!
//! Where the store is, what may be written there and with which credentials is said by whoever runs the server, in its settings
//! and its environment; a statement names an object and nothing else. [`Stores`] has a client for each bucket, [`upload`] an
//! object on its way.
//!
//! Invariants: no request is made for an object that no setting allows. Each request ends in bounded time.

mod failure;
mod location;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, HeaderMap, HeaderValue,
    ObjectStore as _, RetryConfig,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use url::Url;

pub(crate) use self::failure::StoreFailure;
use self::failure::has_code;
use self::location::Location;
pub use self::location::S3Prefix;
pub(crate) use self::location::SCHEME;
pub(super) use self::upload::Upload;
use super::{ExportError, Wanted};
use crate::threads::Workers;

/// A connection that takes longer will not come.
const CONNECT: Duration = Duration::from_secs(5);
/// For a request with all of its part: 8 MiB at 1.2 Mbit/s.
const REQUEST: Duration = Duration::from_secs(60);
/// A request is made so many times more, with pauses between them, but not once this time is over. So one that gets no answer
/// ends after [`REQUEST`], and one that finds nobody after this and [`CONNECT`].
const RETRIES: usize = 4;
const RETRYING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// When the server stops, uploads that were given up have so long to be aborted.
const SETTLE: Duration = Duration::from_secs(3);

/// Where exports to S3 go.
#[derive(Clone)]
pub struct S3Options {
    /// What may be written; no object is elsewhere.
    pub allowed: Vec<S3Prefix>,
    /// Where the store is; `None`: as the environment says, or AWS.
    pub endpoint: Option<S3Endpoint>,
    /// Its region; `None`: as the environment says, or us-east-1.
    pub region: Option<String>,
    /// The variables `AWS_…` of the process: credentials, and what else AWS's own programs read there.
    pub environment: Vec<(String, String)>,
}

impl fmt::Debug for S3Options {
    /// Without the environment, which has secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("S3Options")
            .field("allowed", &self.allowed)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// The URL of a store: `https://host`, or `http://host` for one without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Endpoint(String);

impl S3Endpoint {
    /// `None` if it is not the URL of a server and nothing more.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_server = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_server.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// An object that is wanted.
#[derive(Clone, Debug)]
struct Target {
    location: Location,
    /// As the statement says it.
    name: String,
    overwrites: bool,
}

impl Target {
    fn failed(&self, source: StoreFailure) -> ExportError {
        ExportError::Store {
            name: self.name.clone(),
            source,
        }
    }
}

/// A bucket.
#[derive(Debug)]
struct Store {
    objects: AmazonS3,
    /// The same, whose requests fail if the object is there; for the last one of an upload. It does not repeat them: the second
    /// would find the object of the first. `None` for a store that has no such requests.
    new_objects: Option<AmazonS3>,
    /// Whether it asks for credentials at all.
    is_signed: bool,
}

/// The buckets that may be written to.
pub(super) struct Stores {
    options: S3Options,
    threads: Handle,
    /// By bucket: no more than are allowed.
    open: Mutex<HashMap<String, Arc<Store>>>,
    uploads: TaskTracker,
}

impl fmt::Debug for Stores {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(out)
    }
}

impl Stores {
    pub(super) fn new(options: S3Options, threads: Handle) -> Self {
        Self {
            options,
            threads,
            open: Mutex::default(),
            uploads: TaskTracker::new(),
        }
    }

    /// Whether an object of this name may be written.
    pub(super) fn check(&self, name: &str) -> Result<(), ExportError> {
        self.target(name, false).map(drop)
    }

    fn target(&self, name: &str, overwrites: bool) -> Result<Target, ExportError> {
        let location = Location::parse(name).map_err(|why| ExportError::ObjectName {
            name: name.to_owned(),
            why,
        })?;
        let allowed = &self.options.allowed;
        if !allowed.iter().any(|prefix| prefix.admits(&location)) {
            let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
            return Err(ExportError::NotThere {
                name: name.to_owned(),
                allowed: allowed.join(", "),
            });
        }
        Ok(Target {
            location,
            name: name.to_owned(),
            overwrites,
        })
    }

    /// Begins an object, if the store answers and has none of this name or it may be overwritten.
    pub(super) async fn begin(
        &self,
        wanted: &Wanted,
        workers: &Workers,
    ) -> Result<Upload, ExportError> {
        let target = self.target(&wanted.name, wanted.overwrites)?;
        let store = self.store(&target, workers).await?;
        store.look(&target).await?;
        let (threads, uploads) = (&self.threads, &self.uploads);
        Ok(Upload::begin(store, target, threads, uploads))
    }

    async fn store(&self, target: &Target, workers: &Workers) -> Result<Arc<Store>, ExportError> {
        let bucket = &target.location.bucket;
        if let Some(store) = self.open.lock().get(bucket) {
            return Ok(Arc::clone(store));
        }
        let (options, name) = (self.options.clone(), bucket.clone());
        // Reads the machine's certificates.
        let opened = workers.run(move || Store::open(&options, &name)).await?;
        let opened = opened.map_err(|error| target.failed(StoreFailure::of_settings(&error)))?;
        let mut open = self.open.lock();
        let store = open.entry(bucket.clone()).or_insert(Arc::new(opened));
        Ok(Arc::clone(store))
    }

    /// Waits for uploads that were given up.
    pub(super) async fn settle(&self) {
        self.uploads.close();
        if tokio::time::timeout(SETTLE, self.uploads.wait())
            .await
            .is_err()
        {
            tracing::warn!("a store may keep parts of exports that were not finished");
        }
    }
}

fn retries(max_retries: usize) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: PAUSE,
            max_backoff: PAUSE_MAX,
            base: 2.0,
        },
        max_retries,
        retry_timeout: RETRYING,
    }
}

impl Store {
    fn open(options: &S3Options, bucket: &str) -> Result<Self, Error> {
        let mut client = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT);
        let mut builder = AmazonS3Builder::new().with_retry(retries(RETRIES));
        for (name, value) in &options.environment {
            // There are variables of other programs too.
            match name.to_ascii_lowercase().parse() {
                Ok(AmazonS3ConfigKey::Client(key)) => client = client.with_config(key, value),
                Ok(key) => builder = builder.with_config(key, value),
                Err(_) => {}
            }
        }
        if let Some(S3Endpoint(endpoint)) = &options.endpoint {
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        let value = |key| builder.get_config_value(&key);
        let endpoint =
            value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
        // Without TLS only if the endpoint says so.
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let client = client.with_allow_http(is_plain);
        let has_conditions =
            value(AmazonS3ConfigKey::ConditionalPut).is_none_or(|value| value != "disabled");
        let is_signed = value(AmazonS3ConfigKey::SkipSignature).is_none_or(|value| value != "true");
        let objects = builder
            .clone()
            .with_bucket_name(bucket)
            .with_client_options(client.clone())
            .build()?;
        let mut if_none = HeaderMap::new();
        if_none.insert("if-none-match", HeaderValue::from_static("*"));
        let new_objects = || {
            builder
                .with_bucket_name(bucket)
                .with_credentials(Arc::clone(objects.credentials()))
                .with_client_options(client.with_default_headers(if_none))
                .with_retry(retries(0))
                .build()
        };
        let new_objects = has_conditions.then(new_objects).transpose()?;
        Ok(Self {
            objects,
            new_objects,
            is_signed,
        })
    }

    /// Asks for the first byte: other than for the head of an object, a store says why it refuses that.
    async fn look(&self, target: &Target) -> Result<(), ExportError> {
        if self.is_signed {
            let credentials = self.objects.credentials().get_credential().await;
            credentials.map_err(|error| target.failed(StoreFailure::of_credentials(&error)))?;
        }
        let first = GetOptions {
            range: Some(GetRange::Bounded(0..1)),
            ..GetOptions::default()
        };
        let exists = || Err(ExportError::Exists(target.name.clone()));
        let looked = self.objects.get_opts(&target.location.key, first).await;
        match (looked, target.overwrites) {
            (Ok(_), true) => Ok(()),
            (Ok(_), false) => exists(),
            // It has no first byte.
            (Err(error), false) if has_code(&error, "InvalidRange") => exists(),
            (Err(error), true) if has_code(&error, "InvalidRange") => Ok(()),
            (Err(error @ Error::NotFound { .. }), _) if !has_code(&error, "NoSuchBucket") => Ok(()),
            // Whoever may overwrite need not be allowed to look.
            (Err(error), true) if has_code(&error, "AccessDenied") => Ok(()),
            (Err(error), _) => Err(target.failed(StoreFailure::of(&error))),
        }
    }
}
