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

const CONNECTION_FORM: &str =
    "a connection: secret:NAME, or a URL without a password, as postgres://reader@db.example/shop";
pub(crate) static POSTGRES: Rule =
    Rule::new(CONNECTION_FORM, "", |text| connection(text).map(drop)).replaced();

/// A text that fits [`POSTGRES`].
pub(crate) fn connection(text: &str) -> Result<Connection, Cause> {
    if let Some(name) = text.strip_prefix(SECRET_PREFIX) {
        (crate::names::SECRET_NAME.fits)(name)?;
        return Ok(Connection::Secret(SecretName(name.to_owned())));
    }
    let schemes = ["postgres://", "postgresql://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !text.contains(char::is_whitespace))
    else {
        let found = text.chars().take(60).collect();
        let rule = CONNECTION_FORM;
        return Err(Cause::Unfit { found, rule });
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let parameters = rest
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    let has_password = |parameter: &str| parameter.to_ascii_lowercase().starts_with("password=");
    if user.contains(':') || parameters.split('&').any(has_password) {
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
            "pg_app",
            "secret:",
            "secret:A",
            "postgres://",
            "mysql://db",
            "postgres://a b",
        ] {
            assert!(
                matches!(connection(text), Err(Cause::Unfit { .. })),
                "{text}"
            );
        }
    }
}
