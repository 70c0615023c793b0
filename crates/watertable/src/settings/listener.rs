//! Addresses: where to listen and what clients are told.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// A host and a port, not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// A name or an address; an IPv6 address without brackets. Empty: every interface.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// It has no port, or no number as port.
    #[error("{0:?} is no HOST:PORT")]
    Form(String),
    /// The host has no address.
    #[error("cannot look up {host:?}")]
    LookUp {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The name leads to no address.
    #[error("{0:?} has no address")]
    NoAddress(String),
    /// More than one, or none.
    #[error("{0} listeners are set; exactly one is supported")]
    Count(usize),
    /// TLS and SASL are not there.
    #[error("listener {listener:?} needs the protocol {protocol}; only PLAINTEXT is supported")]
    Protocol {
        /// The listener.
        listener: String,
        /// What it asks for.
        protocol: String,
    },
    /// No protocol is known for a listener's name.
    #[error("listener {0:?} has no protocol: add NAME:PROTOCOL to listener.security.protocol.map")]
    NoProtocol(String),
    /// Clients cannot connect to "everywhere".
    #[error(
        "clients cannot connect to {0}: say with --advertise HOST:PORT (or advertised.listeners) what they are to connect to"
    )]
    Everywhere(HostPort),
}

impl HostPort {
    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(form)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(form)?,
            None if host.contains(':') => return Err(form()),
            None => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_not_a_port| form())?,
        })
    }

    /// Looks the host up; of several addresses the first IPv4 one, as clients try that first.
    pub(crate) fn look_up(&self) -> Result<SocketAddr, AddressError> {
        if self.host.is_empty() {
            return Ok((Ipv4Addr::UNSPECIFIED, self.port).into());
        }
        let found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|source| AddressError::LookUp {
                host: self.host.clone(),
                source,
            })?;
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found
            .first()
            .copied()
            .ok_or_else(|| AddressError::NoAddress(self.host.clone()))
    }

    /// True for "every interface", which is no place to connect to.
    fn is_everywhere(&self) -> bool {
        self.host.is_empty()
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_unspecified())
    }
}

/// The one listener for clients among `listeners` (`NAME://HOST:PORT`), those for controllers aside.
pub(super) fn client_listener(
    listeners: &[String],
    controllers: &[String],
    protocols: &str,
) -> Result<HostPort, AddressError> {
    let mut found = Vec::new();
    for listener in listeners {
        let (name, address) = split(listener)?;
        if is_among(name, controllers) {
            continue;
        }
        let protocol =
            protocol(name, protocols).ok_or_else(|| AddressError::NoProtocol(listener.clone()))?;
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            return Err(AddressError::Protocol {
                listener: listener.clone(),
                protocol: protocol.to_owned(),
            });
        }
        found.push(HostPort::parse(address)?);
    }
    let count = found.len();
    match (found.pop(), count) {
        (Some(address), 1) => Ok(address),
        _ => Err(AddressError::Count(count)),
    }
}

/// What clients are told: the advertised listener, else the listening one.
pub(super) fn advertised(
    advertised: &[String],
    controllers: &[String],
    listening: &HostPort,
) -> Result<Option<HostPort>, AddressError> {
    let mut for_clients = Vec::new();
    for listener in advertised {
        let (name, address) = split(listener)?;
        if !is_among(name, controllers) {
            for_clients.push(address);
        }
    }
    let told = match for_clients.as_slice() {
        [] if listening.is_everywhere() => {
            return Err(AddressError::Everywhere(listening.clone()));
        }
        [] => return Ok(None),
        [one] => HostPort::parse(one)?,
        several => return Err(AddressError::Count(several.len())),
    };
    if told.is_everywhere() {
        return Err(AddressError::Everywhere(told));
    }
    Ok(Some(told))
}

fn is_among(name: &str, listeners: &[String]) -> bool {
    listeners
        .iter()
        .any(|listener| listener.eq_ignore_ascii_case(name))
}

fn split(listener: &str) -> Result<(&str, &str), AddressError> {
    listener
        .split_once("://")
        .ok_or_else(|| AddressError::Form(listener.to_owned()))
}

/// `listener.security.protocol.map`: `NAME:PROTOCOL,…`.
fn protocol<'a>(name: &str, protocols: &'a str) -> Option<&'a str> {
    protocols
        .split(',')
        .filter_map(|pair| pair.trim().split_once(':'))
        .find(|(listener, _)| listener.eq_ignore_ascii_case(name))
        .map(|(_, protocol)| protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";

    #[test]
    fn addresses_are_read_with_names_and_both_kinds_of_ip() {
        for (text, host, port) in [
            ("127.0.0.1:9092", "127.0.0.1", 9092),
            (":9092", "", 9092),
            ("[::1]:1", "::1", 1),
            ("broker.example:65535", "broker.example", 65535),
        ] {
            let read = HostPort::parse(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port));
        }
        for text in [
            "",
            "9092",
            "host",
            "host:",
            "host:x",
            "host:65536",
            "::1:9092",
            "[::1:9",
        ] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
        assert_eq!(HostPort::parse("[::1]:1").unwrap().to_string(), "[::1]:1");
        let everywhere = HostPort::parse(":7").unwrap().look_up().unwrap();
        assert_eq!(everywhere, SocketAddr::from(([0, 0, 0, 0], 7)));
        let localhost = HostPort::parse("localhost:7").unwrap().look_up().unwrap();
        assert_eq!(localhost, SocketAddr::from(([127, 0, 0, 1], 7)));
    }

    #[test]
    fn one_plain_listener_serves_clients() {
        let listener = |listeners: &[&str], controllers: &[&str], map: &str| {
            let owned = |texts: &[&str]| {
                texts
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>()
            };
            client_listener(&owned(listeners), &owned(controllers), map)
                .map(|address| address.to_string())
                .map_err(|error| error.to_string())
        };
        let plain = "PLAINTEXT://h:1";
        assert_eq!(listener(&[plain], &[], IDENTITY), Ok("h:1".to_owned()));
        let with_controller = listener(&[plain, "CONTROLLER://h:2"], &["CONTROLLER"], IDENTITY);
        assert_eq!(with_controller, Ok("h:1".to_owned()));
        let named = listener(&["INSIDE://h:1"], &[], "INSIDE:PLAINTEXT");
        assert_eq!(named, Ok("h:1".to_owned()));
        for (listeners, expected) in [
            (vec![], "0 listeners"),
            (vec![plain, "PLAINTEXT://h:2"], "2 listeners"),
            (vec!["SSL://h:1"], "only PLAINTEXT is supported"),
            (vec!["INSIDE://h:1"], "has no protocol"),
            (vec!["h:1"], "no HOST:PORT"),
        ] {
            let error = listener(&listeners, &[], IDENTITY).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn clients_are_never_told_to_connect_to_everywhere() {
        let told = |advertise: &[&str], listening: &str| {
            let advertise: Vec<_> = advertise.iter().map(|text| (*text).to_owned()).collect();
            advertised(&advertise, &[], &HostPort::parse(listening).unwrap())
                .map(|address| address.map(|address| address.to_string()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(told(&[], "127.0.0.1:1"), Ok(None));
        let outside = told(&["PLAINTEXT://host:2"], "0.0.0.0:1");
        assert_eq!(outside, Ok(Some("host:2".to_owned())));
        for (advertise, listening) in [
            (vec![], "0.0.0.0:1"),
            (vec![], ":1"),
            (vec![], "[::]:1"),
            (vec!["PLAINTEXT://0.0.0.0:1"], "127.0.0.1:1"),
            (vec!["PLAINTEXT://:1"], "127.0.0.1:1"),
        ] {
            let error = told(&advertise, listening).unwrap_err();
            assert!(error.contains("--advertise"), "{error}");
        }
    }
}
