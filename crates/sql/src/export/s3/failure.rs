//! Why a store did not take an object, told by what it said.
//!
//! Invariant: of a store's answer only its code and its message come into a text, cut short. The rest of it names keys and
//! signatures.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// The longest code and the longest message of a store.
const CODE_CHARS_MAX: usize = 64;
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a store did not take an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreFailure {
    #[error("the store has no such bucket ({0})")]
    NoBucket(String),
    #[error("the store denies it ({0})")]
    Denied(String),
    #[error("the store does not take the server's credentials ({0})")]
    Credentials(String),
    #[error("the server has no credentials for the store ({0})")]
    NoCredentials(String),
    #[error("the bucket is in another region ({0})")]
    Region(String),
    #[error("the clocks of store and server differ ({0})")]
    Clock(String),
    #[error("the store cannot be reached ({0})")]
    Unreachable(String),
    #[error("the store did not answer in time")]
    Silent,
    #[error("the store answered: {0}")]
    Answered(String),
    #[error("it is not known whether the store has the object: {0}")]
    Unknown(Box<Self>),
    #[error("the settings of the store cannot be used ({0})")]
    Settings(String),
}

impl StoreFailure {
    /// Why a request failed.
    pub(super) fn of(error: &object_store::Error) -> Self {
        if let Some(answer) = answer(error) {
            return Self::by_code(answer);
        }
        if let Some(failed) = find::<HttpError>(error) {
            return match failed.kind() {
                HttpErrorKind::Timeout => Self::Silent,
                _ => Self::Unreachable(cut(&root(failed).to_string(), MESSAGE_CHARS_MAX)),
            };
        }
        let said = cut(&root(error).to_string(), MESSAGE_CHARS_MAX);
        match error {
            object_store::Error::PermissionDenied { .. } => Self::Denied(said),
            object_store::Error::Unauthenticated { .. } => Self::Credentials(said),
            // An answer that sends elsewhere without saying where is that of another region.
            _ if said.contains("redirect") => Self::Region(said),
            _ => Self::Answered(said),
        }
    }

    /// Why credentials could not be had.
    pub(super) fn of_credentials(error: &object_store::Error) -> Self {
        Self::NoCredentials(cut(&root(error).to_string(), MESSAGE_CHARS_MAX))
    }

    /// Why there is no client for a store.
    pub(super) fn of_settings(error: &object_store::Error) -> Self {
        Self::Settings(cut(&root(error).to_string(), MESSAGE_CHARS_MAX))
    }

    /// Why an upload could not be finished: if nobody heard the answer, the object may be there.
    pub(super) fn at_the_end(self) -> Self {
        match self {
            Self::Silent | Self::Unreachable(_) => Self::Unknown(Box::new(self)),
            // The answer to the first of two attempts was lost.
            Self::Answered(said) if said.starts_with("NoSuchUpload") => {
                Self::Unknown(Box::new(Self::Answered(said)))
            }
            other => other,
        }
    }

    fn by_code(Answer { code, message }: Answer) -> Self {
        let said = match message.is_empty() {
            true => code.clone(),
            false => format!("{code}: {message}"),
        };
        match code.as_str() {
            "NoSuchBucket" => Self::NoBucket(said),
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" => {
                Self::Denied(said)
            }
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "InvalidClientTokenId"
            | "TokenRefreshRequired" => Self::Credentials(said),
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException" => Self::Region(said),
            "RequestTimeTooSkewed" => Self::Clock(said),
            _ => Self::Answered(said),
        }
    }
}

/// Whether a store answered with this code.
pub(super) fn has_code(error: &object_store::Error, code: &str) -> bool {
    answer(error).is_some_and(|answer| answer.code == code)
}

/// Whether a store answered that it did nothing and should be asked again.
pub(super) fn is_busy(error: &object_store::Error) -> bool {
    let busy = ["InternalError", "ServiceUnavailable", "SlowDown"];
    answer(error).is_some_and(|answer| busy.contains(&answer.code.as_str()))
}

struct Answer {
    code: String,
    message: String,
}

/// What the store answered: an XML document within the text of the innermost error.
fn answer(error: &object_store::Error) -> Option<Answer> {
    let text = root(error).to_string();
    let code = element(&text, "Code", CODE_CHARS_MAX)?;
    let message = element(&text, "Message", MESSAGE_CHARS_MAX).unwrap_or_default();
    Some(Answer { code, message })
}

fn element(text: &str, name: &str, chars_max: usize) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(cut(inner, chars_max))
}

/// A text of somebody else, on one line and not too long.
fn cut(text: &str, chars_max: usize) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: String = text.trim().chars().take(chars_max).map(printable).collect();
    text
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// What it all comes from.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}
