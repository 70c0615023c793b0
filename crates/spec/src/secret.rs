//! [`Connection`]: how to reach something that wants to know who asks. A file has the name of a secret, and never its value.

use std::fmt;

use crate::problem::Cause;
use crate::shape::Rule;
use crate::surroundings::escape;
use crate::value::Value;

/// What the name of a secret stands behind.
pub(crate) const SECRET_PREFIX: &str = "secret:";

/// How to reach a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// By a secret that has everything.
    Secret(SecretName),
    /// By a URL without a password.
    Url(String),
}

/// The name of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The name, without `secret:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SECRET_PREFIX}{}", self.0)
    }
}

pub(crate) static POSTGRES: Rule = Rule::new(
    "a connection: secret:NAME, or a URL without a password, as postgres://reader@db.example/shop",
    "",
    |text| connection(text).map(drop),
)
.replaced();

/// A text that fits [`POSTGRES`]. What does not may be a password that came to the wrong place, so no message repeats it.
pub(crate) fn connection(text: &str) -> Result<Connection, Cause> {
    if let Some(name) = text.strip_prefix(SECRET_PREFIX) {
        let fits = (crate::names::SECRET_NAME.fits)(name);
        fits.map_err(|_repeats_it| Cause::SecretName)?;
        return Ok(Connection::Secret(SecretName(name.to_owned())));
    }
    let schemes = ["postgres://", "postgresql://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_url = |rest: &&str| !rest.is_empty() && !text.contains(char::is_whitespace);
    let rest = rest.filter(is_url).ok_or(Cause::Connection)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let parameters = rest
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    let is_password = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        name.to_ascii_lowercase().contains("password")
    };
    if user.contains(':') || parameters.split('&').any(is_password) {
        return Err(Cause::Password);
    }
    Ok(Connection::Url(text.to_owned()))
}

impl Connection {
    pub(crate) fn write(&self) -> Value {
        match self {
            Self::Secret(name) => Value::text(name.to_string()),
            Self::Url(url) => Value::text(escape(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_wherever_it_stands() {
        for text in [
            "postgres://me:pass@db/shop",
            "postgres://me:@db",
            "postgresql://db/shop?sslmode=require&Password=x",
            "postgres://a:b@c@db",
            "postgres://db/shop?sslpassword=x",
        ] {
            assert_eq!(connection(text), Err(Cause::Password), "{text}");
        }
        for text in [
            "postgres://me@db:5432/shop",
            "postgresql:///shop?host=/run",
            "secret:pg_app",
        ] {
            assert!(connection(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "hunter2",
            "postgres://",
            "mysql://me:hunter2@db",
            "postgres://a b",
        ] {
            assert_eq!(connection(text), Err(Cause::Connection), "{text}");
        }
        for text in ["secret:", "secret:Hunter2"] {
            assert_eq!(connection(text), Err(Cause::SecretName), "{text}");
        }
    }
}
