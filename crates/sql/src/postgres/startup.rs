//! The start of a connection: encryption is declined, cancel requests are done, sessions are opened.
//!
//! Invariant: no session is open before its client has said that it wants one and there was a place for it.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::activity::{Key, Newcomer};
use super::backend::{self, TransactionStatus};
use super::error::{PgError, state};
use super::frontend::{self, Startup};
use super::server::Shared;
use super::settings::Settings;
use super::wire::{ReceiveError, Wire};

/// How the start went.
pub(super) enum Started {
    Session(Box<Opening>),
    Ended,
}

/// A session that is about to begin.
pub(super) struct Opening {
    pub(super) place: OwnedSemaphorePermit,
    pub(super) key: Arc<Key>,
    /// What the client asked for, by name.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) settings: Arc<Mutex<Settings>>,
}

/// The user of clients that name none.
const ANONYMOUS: &str = "watertable";

/// Encryption may be asked for twice: by TLS and by GSSAPI.
const PACKETS_MAX: usize = 3;

pub(super) async fn start(wire: &mut Wire, shared: &Shared, peer: SocketAddr) -> Started {
    for _ in 0..PACKETS_MAX {
        let packet = match wire.receive(frontend::startup_length).await {
            Ok(Some(packet)) => frontend::startup(packet).map_err(ReceiveError::from),
            Ok(None) => return Started::Ended,
            Err(error) => Err(error),
        };
        match packet {
            Ok(Startup::Encryption) => wire.output.extend_from_slice(b"N"),
            Ok(Startup::Cancel { process, secret }) => {
                shared.activity.cancel(process, &secret);
                return Started::Ended;
            }
            Ok(Startup::Session { minor, parameters }) => {
                return open(wire, shared, peer, minor, parameters).await;
            }
            Err(ReceiveError::Io(_)) => return Started::Ended,
            Err(ReceiveError::Decode(error)) => {
                return refuse(wire, &PgError::protocol(error.to_string())).await;
            }
        }
        if wire.flush().await.is_err() {
            return Started::Ended;
        }
    }
    refuse(wire, &PgError::protocol("encryption was declined already")).await
}

async fn refuse(wire: &mut Wire, error: &PgError) -> Started {
    backend::error(&mut wire.output, error);
    // The client may be gone; then there is nobody to tell.
    wire.flush().await.ok();
    wire.shut_down();
    Started::Ended
}

async fn open(
    wire: &mut Wire,
    shared: &Shared,
    peer: SocketAddr,
    minor: u16,
    parameters: Vec<(String, String)>,
) -> Started {
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        let error = PgError::fatal(
            state::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        );
        return refuse(wire, &error).await;
    };
    let mut secret = [0; 4];
    shared.env.random.fill(&mut secret);
    let named = parameters.iter().find(|(name, _)| name == "user");
    let user = named.map_or(ANONYMOUS, |(_, user)| user.as_str());
    let settings = Arc::new(Mutex::new(Settings::new(user)));
    let key = shared.activity.open(Newcomer {
        secret,
        peer,
        settings: Arc::clone(&settings),
        ended: shared.stopping.child_token(),
        clock: Arc::clone(&shared.env.clock),
    });
    // Options of newer protocols begin so; a client that asks for one wants to know that it is not there.
    let newer = parameters
        .iter()
        .filter(|(name, _)| name.starts_with("_pq_."));
    let newer: Vec<&str> = newer.map(|(name, _)| name.as_str()).collect();
    if minor > 0 || !newer.is_empty() {
        backend::negotiate_version(&mut wire.output, &newer);
    }
    backend::authentication_ok(&mut wire.output);
    Started::Session(Box::new(Opening {
        place,
        key,
        parameters,
        settings,
    }))
}

/// The settings that a client asks for at the start. What is not known is passed over, as are the values that cannot be:
/// a session without them is of more use than none.
pub(super) fn wanted_settings(parameters: &[(String, String)]) -> Vec<(String, String)> {
    let mut wanted = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => wanted.extend(command_line(value)),
            _ => wanted.push((name.clone(), value.clone())),
        }
    }
    wanted
}

/// `-c name=value` and `--name=value`.
fn command_line(options: &str) -> Vec<(String, String)> {
    let mut words = options.split_ascii_whitespace();
    let mut wanted = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or_default(),
            Some(rest) => rest,
            None => continue,
        };
        if let Some((name, value)) = assignment.split_once('=') {
            wanted.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    wanted
}

/// What ends the start: the settings that clients keep, their key, and that statements may come.
pub(super) fn greet(wire: &mut Wire, settings: &Settings, key: &Key) {
    for (name, value) in settings.reported() {
        backend::parameter_status(&mut wire.output, name, value);
    }
    backend::backend_key(&mut wire.output, key.process(), key.secret());
    backend::ready(&mut wire.output, TransactionStatus::Idle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_command_line_are_settings() {
        let parameters = [
            ("user", "me"),
            (
                "options",
                "-c statement_timeout=5s --search-path=public -cjit=off -x",
            ),
            ("application_name", "test"),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let wanted = wanted_settings(&parameters);
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("statement_timeout", "5s"),
            ("search_path", "public"),
            ("jit", "off"),
            ("application_name", "test"),
        ];
        assert_eq!(wanted, expected);
    }
}
