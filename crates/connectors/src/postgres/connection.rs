//! [`Address`]: the text that says how a database is reached, read. It is libpq's, a URL or `key=value`; what of it does not work here is
//! refused by name.
//!
//! Invariant: nothing of the text is in an error but names of parameters that are known, since what is anything else may be a piece of a
//! password that was not quoted.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long connecting to one address takes, unless the text says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay without an answer of the other machine.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// After so long without a word, the other machine is asked whether it is there: so often, and after so many times it is not.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// What `Config` says where the text says nothing.
const KEEPALIVE_IDLE_UNSET: Duration = Duration::from_secs(2 * 60 * 60);

/// Parameters that are handed on.
const PASSED: [&str; 19] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "keepalives_count",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
];
/// Parameters of libpq that do not work here.
const UNSUPPORTED: [&str; 23] = [
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslcompression",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "requiressl",
    "requirepeer",
    "require_auth",
    "gssencmode",
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "service",
    "servicefile",
    "passfile",
    "client_encoding",
    "fallback_application_name",
    "replication",
];

/// Why a text is not the address of a database. It never has any of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// It cannot be read.
    #[error(
        "this is no connection to PostgreSQL: write a URL, as postgres://USER:PASSWORD@HOST:5432/DATABASE with %XX for other characters than letters and digits in the password, or key=value, as host=HOST user=USER password='PASSWORD'"
    )]
    Form,
    /// A parameter has no such value.
    #[error("the connection has a value of {0} that PostgreSQL does not know")]
    Value(&'static str),
    /// A parameter that does not work here.
    #[error("the connection has {0}, which is not supported: leave it out")]
    Unsupported(&'static str),
    /// A parameter that nobody knows.
    #[error(
        "the connection has a parameter that PostgreSQL does not know; a value with a space stands in quotes, as password='…'"
    )]
    Unknown,
    /// No host.
    #[error("the connection says no host")]
    NoHost,
    /// A mode of TLS that does not work here.
    #[error("the connection has sslmode=allow, which is not supported: write prefer or require")]
    Allow,
    /// Nothing to trust.
    #[error(
        "the connection has sslmode=verify-ca without sslrootcert: name the file of the authority's certificate, or write sslmode=verify-full, which trusts the certificates of this machine"
    )]
    NoRoot,
    /// The certificates of the machine need a name to be checked.
    #[error("the connection has sslrootcert=system, which wants sslmode=verify-full beside it")]
    SystemNeedsFull,
}

/// What is asked of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing.
    Anything,
    /// That these authorities signed it.
    Authority(PathBuf),
    /// That these authorities signed it for this host; without a file those of the machine.
    Host(Option<PathBuf>),
}

/// How a database is reached. `Debug` and `Display` show host, port and database.
#[derive(Clone)]
pub struct Address {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
}

impl Address {
    /// Reads a URL or `key=value`, as libpq does.
    ///
    /// # Errors
    /// It is none, or it says something that is not supported; the error names it.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        let mut tls = Tls::default();
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        let config = if is_url {
            url(text, &mut tls)?
        } else {
            pairs_config(pairs(text)?, &mut tls)?
        };
        tls.finish(with_defaults(config))
    }

    /// Sets what `pg_stat_activity` shows.
    #[must_use]
    pub(crate) fn of(mut self, application: &str) -> Self {
        // PostgreSQL keeps 63 bytes of it.
        let name: String = application.chars().filter(|c| !c.is_control()).collect();
        self.config.application_name(name);
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        for (index, host) in hosts {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            let comma = if index > 0 { "," } else { "" };
            match host {
                Host::Tcp(host) => write!(formatter, "{comma}{host}:{port}")?,
                Host::Unix(path) => write!(formatter, "{comma}{}:{port}", path.display())?,
            }
        }
        if self.config.get_hosts().is_empty()
            && let Some(address) = self.config.get_hostaddrs().first()
        {
            write!(formatter, "{address}")?;
        }
        match self.config.get_dbname() {
            Some(database) => write!(formatter, "/{database}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

/// What the text says of TLS.
#[derive(Default)]
struct Tls {
    mode: Option<String>,
    root: Option<String>,
}

impl Tls {
    /// Takes a parameter if it is one of TLS.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.root = Some(value.to_owned()),
            _ => return false,
        }
        true
    }

    fn finish(self, mut config: Config) -> Result<Address, ConnectionError> {
        let mode = self.mode.as_deref().filter(|mode| !mode.is_empty());
        let mode = mode.unwrap_or("prefer");
        let root = self.root.filter(|root| !root.is_empty());
        if root.as_deref() == Some("system") && mode != "verify-full" {
            return Err(ConnectionError::SystemNeedsFull);
        }
        let file = root.filter(|root| root != "system").map(PathBuf::from);
        let (mode, trust) = match (mode, file) {
            ("disable", _) => (SslMode::Disable, Trust::Anything),
            ("prefer", _) => (SslMode::Prefer, Trust::Anything),
            // As libpq: who names an authority means it.
            ("require" | "verify-ca", Some(file)) => (SslMode::Require, Trust::Authority(file)),
            ("require", None) => (SslMode::Require, Trust::Anything),
            ("verify-ca", None) => return Err(ConnectionError::NoRoot),
            ("verify-full", file) => (SslMode::Require, Trust::Host(file)),
            ("allow", _) => return Err(ConnectionError::Allow),
            _ => return Err(ConnectionError::Value("sslmode")),
        };
        let hosts = config.get_hosts();
        if hosts.is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectionError::NoHost);
        }
        // What a password that was not encoded makes of the rest of a URL: it would be shown as the name of a host.
        let is_name = |host: &Host| match host {
            Host::Tcp(name) => name
                .chars()
                .all(|c| c.is_alphanumeric() || "._-:%".contains(c)),
            Host::Unix(_) => true,
        };
        if !hosts.iter().all(is_name) {
            return Err(ConnectionError::Form);
        }
        // No TLS over sockets of the machine, as libpq.
        let is_local = !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if is_local { SslMode::Disable } else { mode });
        Ok(Address { config, trust })
    }
}

fn with_defaults(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(USER_TIMEOUT);
    }
    if config.get_keepalives_idle() == KEEPALIVE_IDLE_UNSET {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    config
}

/// The name of a parameter that may be handed on, or why not.
fn passed(key: &str) -> Result<&'static str, ConnectionError> {
    if let Some(name) = UNSUPPORTED.iter().find(|name| **name == key) {
        return Err(ConnectionError::Unsupported(name));
    }
    let found = PASSED.iter().find(|name| **name == key);
    match *found.ok_or(ConnectionError::Unknown)? {
        // libpq's name for it.
        "keepalives_count" => Ok("keepalives_retries"),
        name => Ok(name),
    }
}

fn url(text: &str, tls: &mut Tls) -> Result<Config, ConnectionError> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').ok_or(ConnectionError::Unknown)?;
        if !tls.take(key, &percent_decoded(value).ok_or(ConnectionError::Form)?) {
            let name = passed(key)?;
            kept.push(format!("{name}={value}"));
        }
    }
    let url = if kept.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", kept.join("&"))
    };
    url.parse().map_err(|_repeats_it| ConnectionError::Form)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pair = 16 * digit(rest.next()?)? + digit(rest.next()?)?;
        bytes.push(u8::try_from(pair).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// `key = 'value'` and so on, as libpq reads it.
fn pairs(text: &str) -> Result<Vec<(String, String)>, ConnectionError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').ok_or(ConnectionError::Form)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(ConnectionError::Form);
        }
        let (value, behind) = value(behind.trim_start())?;
        found.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(found)
}

/// A value, and what stands behind it.
fn value(text: &str) -> Result<(String, &str), ConnectionError> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            '\\' => value.push(characters.next().ok_or(ConnectionError::Form)?.1),
            _ if !is_quoted && character.is_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if is_quoted {
        Err(ConnectionError::Form)
    } else {
        Ok((value, ""))
    }
}

fn pairs_config(pairs: Vec<(String, String)>, tls: &mut Tls) -> Result<Config, ConnectionError> {
    let mut kept = String::new();
    for (key, value) in pairs {
        if tls.take(&key, &value) {
            continue;
        }
        let name = passed(&key)?;
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        let pair = format!("{name}='{value}' ");
        // By itself, so that the error can name it.
        let read: Result<Config, _> = pair.parse();
        read.map_err(|_repeats_it| ConnectionError::Value(name))?;
        kept.push_str(&pair);
    }
    kept.parse().map_err(|_repeats_it| ConnectionError::Form)
}

#[cfg(test)]
mod tests;
