//! [`StoreFailure`]: why a store did not do what it was asked for, told by what it said.
//!
//! Invariant: of a store's answer only its code and message come into a text, cut short; the rest of it names keys and signatures.

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::super::error::Trouble;

const SAID_CHARS_MAX: usize = 300;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// There is none.
    #[error("the store has no such bucket ({0}); create it, or mend path: in the pipeline")]
    NoBucket(String),
    /// It may not be done.
    #[error("the store denies it ({0}); give the worker's credentials leave")]
    Denied(String),
    /// They are wrong, or there are none.
    #[error(
        "the worker has no credentials that the store takes ({0}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where it runs"
    )]
    Credentials(String),
    /// It is somewhere else.
    #[error("the bucket is in another region ({0}); set AWS_REGION where the worker runs")]
    Region(String),
    /// Nobody is there.
    #[error("the store cannot be reached ({0}); it is tried again")]
    Unreachable(String),
    /// Nobody answers.
    #[error("the store did not answer in time; it is tried again")]
    Silent,
    /// Something else.
    #[error("the store answered: {0}; it is tried again")]
    Answered(String),
    /// They are no settings of a store.
    #[error(
        "the settings of the store cannot be used ({0}); mend AWS_ENDPOINT_URL and its like where the worker runs"
    )]
    Settings(String),
}

impl StoreFailure {
    pub(in super::super) fn trouble(&self) -> Trouble {
        match self {
            // Leave is often given without anything else changing.
            Self::Denied(_)
            | Self::Credentials(_)
            | Self::NoBucket(_)
            | Self::Unreachable(_)
            | Self::Silent
            | Self::Answered(_) => Trouble::Later,
            Self::Region(_) | Self::Settings(_) => Trouble::Act,
        }
    }

    pub(super) fn of(error: &Error) -> Self {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut root = String::new();
        let mut http = None;
        while let Some(error) = next {
            http = http.or(error.downcast_ref::<HttpError>());
            root = error.to_string();
            next = error.source();
        }
        let code = element(&root, "Code");
        let message = element(&root, "Message").unwrap_or_default();
        let said = match &code {
            Some(code) => cut(&format!("{code}: {message}")),
            None => cut(&root),
        };
        match (code.as_deref(), error) {
            (Some("NoSuchBucket"), _) => Self::NoBucket(said),
            (Some("AccessDenied" | "AllAccessDisabled" | "AccountProblem"), _) => {
                Self::Denied(said)
            }
            (
                Some(
                    "InvalidAccessKeyId"
                    | "SignatureDoesNotMatch"
                    | "ExpiredToken"
                    | "InvalidToken"
                    | "InvalidClientTokenId"
                    | "TokenRefreshRequired",
                ),
                _,
            ) => Self::Credentials(said),
            (
                Some(
                    "AuthorizationHeaderMalformed"
                    | "PermanentRedirect"
                    | "TemporaryRedirect"
                    | "IllegalLocationConstraintException",
                ),
                _,
            ) => Self::Region(said),
            (Some(_), _) => Self::Answered(said),
            (None, Error::PermissionDenied { .. }) => Self::Denied(said),
            (None, Error::Unauthenticated { .. }) => Self::Credentials(said),
            (None, _) => match http.map(HttpError::kind) {
                Some(HttpErrorKind::Timeout) => Self::Silent,
                Some(_) => Self::Unreachable(said),
                None => Self::Answered(said),
            },
        }
    }
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(cut(inner))
}

fn cut(text: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim()
        .chars()
        .take(SAID_CHARS_MAX)
        .map(printable)
        .collect()
}
