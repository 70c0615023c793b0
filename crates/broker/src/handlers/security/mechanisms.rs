//! SCRAM mechanisms as numbers of the wire (`ScramMechanism`).

use metadata::ScramMechanism;

pub(super) fn to_wire(mechanism: ScramMechanism) -> i8 {
    match mechanism {
        ScramMechanism::Sha256 => 1,
        ScramMechanism::Sha512 => 2,
    }
}

/// `None`: an unknown mechanism.
pub(super) fn from_wire(number: i8) -> Option<ScramMechanism> {
    ScramMechanism::ALL
        .into_iter()
        .find(|mechanism| to_wire(*mechanism) == number)
}
