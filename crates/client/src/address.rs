//! Addresses of brokers as people write them: `host:port`, several separated by commas.

use std::fmt;
use std::str::FromStr;

/// The port a broker listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 9092;

/// Where a broker is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerAddress {
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// Why text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing before the port, or nothing at all.
    #[error("broker address '{text}' has no host; write host:port")]
    NoHost {
        /// What was given.
        text: String,
    },
    /// What follows the last colon is no port.
    #[error(
        "broker address '{text}' has no valid port; write host:port with a port from 1 to 65535"
    )]
    InvalidPort {
        /// What was given.
        text: String,
    },
    /// `[` without `]`, or something odd after it.
    #[error("broker address '{text}' has unbalanced brackets; write IPv6 addresses as [::1]:9092")]
    Brackets {
        /// What was given.
        text: String,
    },
}

impl FromStr for BrokerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let owned = || text.to_owned();
        // Kafka's tools accept a listener name in front ("PLAINTEXT://host:9092"), and people paste it.
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = if let Some(rest) = bare.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| AddressError::Brackets { text: owned() })?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(AddressError::Brackets { text: owned() }),
            }
        } else if bare.matches(':').count() > 1 {
            (bare, None)
        } else {
            match bare.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (bare, None),
            }
        };
        if host.is_empty() {
            return Err(AddressError::NoHost { text: owned() });
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| AddressError::InvalidPort { text: owned() })?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// All addresses of a comma-separated list; empty pieces (a trailing comma) are skipped.
pub fn parse_addresses(text: &str) -> Result<Vec<BrokerAddress>, AddressError> {
    let addresses = text
        .split(',')
        .filter(|piece| !piece.trim().is_empty())
        .map(str::parse)
        .collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(AddressError::NoHost {
            text: text.to_owned(),
        });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let cases = [
            ("localhost:9093", "localhost:9093"),
            ("localhost", "localhost:9092"),
            (" 10.0.0.1:1 ", "10.0.0.1:1"),
            ("[::1]:9094", "[::1]:9094"),
            ("[::1]", "[::1]:9092"),
            ("::1", "[::1]:9092"),
            ("PLAINTEXT://kafka:29092", "kafka:29092"),
        ];
        for (text, expected) in cases {
            let address: BrokerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "no host"),
            (":9092", "no host"),
            ("host:", "no valid port"),
            ("host:0", "no valid port"),
            ("host:70000", "no valid port"),
            ("[::1", "unbalanced"),
            ("[::1]x", "unbalanced"),
        ] {
            let error = text.parse::<BrokerAddress>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn lists_skip_empty_pieces_but_are_not_empty() {
        let list = parse_addresses("a:1, b:2,").expect("a list");
        assert_eq!(list.len(), 2);
        assert!(parse_addresses(" , ").is_err());
    }
}
