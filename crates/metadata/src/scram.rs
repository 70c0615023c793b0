//! SCRAM credentials (RFC 5802, KIP-554): what a server must know to recognise a user, and no more.
//!
//! Invariant: neither a password nor a salted password is kept. From what is stored nobody can log in as the user; it shows
//! only whether somebody who says so knows the password.

use std::collections::BTreeMap;
use std::fmt;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// The most iterations a credential may ask for; each is work for every login (`ScramControlManager.MAX_ITERATIONS`).
pub const SCRAM_ITERATIONS_MAX: i32 = 16_384;
/// The fewest that are thought to be safe, of both mechanisms (`ScramMechanism.minIterations`).
pub const SCRAM_ITERATIONS_MIN: i32 = 4096;

/// The hash of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramMechanism {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The mechanism's name in SASL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }
}

impl fmt::Display for ScramMechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is stored of one user's password under one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Makes equal passwords look different.
    pub salt: Vec<u8>,
    /// The hash of the client's key.
    pub stored_key: Vec<u8>,
    /// With it the server shows that it knows the credential.
    pub server_key: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: i32,
}

/// Nothing that helps an attacker is printed.
impl fmt::Debug for ScramCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl ScramCredential {
    /// What to store for a salted password, which clients compute from the password
    /// (`ScramFormatter.storedKey`, `ScramFormatter.serverKey`).
    pub fn of_salted_password(
        mechanism: ScramMechanism,
        salted_password: &[u8],
        salt: &[u8],
        iterations: i32,
    ) -> Self {
        let key = |text: &[u8]| hmac(mechanism, salted_password, text);
        Self {
            salt: salt.to_vec(),
            stored_key: hash(mechanism, &key(b"Client Key")),
            server_key: key(b"Server Key"),
            iterations,
        }
    }
}

fn hash(mechanism: ScramMechanism, data: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => Sha256::digest(data).to_vec(),
        ScramMechanism::Sha512 => Sha512::digest(data).to_vec(),
    }
}

fn hmac(mechanism: ScramMechanism, key: &[u8], data: &[u8]) -> Vec<u8> {
    const ANY_LENGTH: &str = "HMAC takes keys of every length";
    match mechanism {
        ScramMechanism::Sha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_LENGTH);
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        ScramMechanism::Sha512 => {
            let mut mac = Hmac::<Sha512>::new_from_slice(key).expect(ANY_LENGTH);
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
    }
}

/// Every credential, by user and mechanism.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScramCredentials {
    users: BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>,
}

impl ScramCredentials {
    /// What is stored of a user.
    pub fn of_user(&self, user: &str) -> impl Iterator<Item = (ScramMechanism, &ScramCredential)> {
        let of_user = self.users.get(user).into_iter().flatten();
        of_user.map(|(mechanism, credential)| (*mechanism, credential))
    }

    /// One credential.
    pub fn get(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.users.get(user)?.get(&mechanism)
    }

    /// Users with a credential, by name.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    pub(crate) fn put(
        &mut self,
        user: &str,
        mechanism: ScramMechanism,
        credential: Option<ScramCredential>,
    ) {
        let Some(credential) = credential else {
            if let Some(of_user) = self.users.get_mut(user) {
                of_user.remove(&mechanism);
                if of_user.is_empty() {
                    self.users.remove(user);
                }
            }
            return;
        };
        let of_user = self.users.entry(user.to_owned()).or_default();
        of_user.insert(mechanism, credential);
    }
}

/// The JSON of a credential; names of fields are part of the format. Bytes are hexadecimal digits.
#[derive(Serialize, Deserialize)]
pub(crate) struct ScramJson {
    salt: String,
    stored_key: String,
    server_key: String,
    iterations: i32,
}

impl ScramJson {
    pub(crate) fn of(credential: &ScramCredential) -> Self {
        Self {
            salt: hex(&credential.salt),
            stored_key: hex(&credential.stored_key),
            server_key: hex(&credential.server_key),
            iterations: credential.iterations,
        }
    }

    /// `None` if the digits are none.
    pub(crate) fn credential(&self) -> Option<ScramCredential> {
        Some(ScramCredential {
            salt: bytes(&self.salt)?,
            stored_key: bytes(&self.stored_key)?,
            server_key: bytes(&self.server_key)?,
            iterations: self.iterations,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let digits = digits.as_bytes();
    (digits.len().is_multiple_of(2))
        .then(|| digits.chunks(2).map(pair).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 5802 are for SHA-1; these are of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_keys_are_those_of_rfc_7677() {
        // Hi("pencil", salt, 4096) with SHA-256; with these keys the exchange of the RFC comes out.
        let salted = bytes("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d")
            .expect("hexadecimal digits");
        let salt = bytes("5b6d99689d12358eeca04b141236fa81").expect("hexadecimal digits");
        let credential =
            ScramCredential::of_salted_password(ScramMechanism::Sha256, &salted, &salt, 4096);
        assert_eq!(
            hex(&credential.stored_key),
            "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"
        );
        assert_eq!(
            hex(&credential.server_key),
            "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"
        );
        assert_eq!(credential.salt, salt);
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let credential =
            ScramCredential::of_salted_password(ScramMechanism::Sha512, b"secret", b"salt", 8192);
        let json = ScramJson::of(&credential);
        assert_eq!(json.credential(), Some(credential));
        let odd = ScramJson {
            salt: "abc".to_owned(),
            ..json
        };
        assert_eq!(odd.credential(), None);
    }
}
