//! Handlers of the APIs about who clients are and what they may do.
//!
//! The listener is PLAINTEXT and there is no authorizer. What Kafka refuses then is refused here with the same codes:
//! SASL after the connection is set up, delegation tokens, ACLs. SCRAM credentials are kept for real, as Kafka keeps them.

pub(crate) mod alter_user_scram_credentials;
pub(crate) mod create_acls;
pub(crate) mod create_delegation_token;
pub(crate) mod delete_acls;
pub(crate) mod describe_acls;
pub(crate) mod describe_delegation_token;
pub(crate) mod describe_user_scram_credentials;
pub(crate) mod expire_delegation_token;
mod mechanisms;
pub(crate) mod renew_delegation_token;
pub(crate) mod sasl_authenticate;
pub(crate) mod sasl_handshake;

/// Who a client of a PLAINTEXT listener is (`KafkaPrincipal.ANONYMOUS`).
const ANONYMOUS_TYPE: &str = "User";
const ANONYMOUS_NAME: &str = "ANONYMOUS";

/// A time stamp of an answer that has none (`DelegationTokenManager.ERROR_TIMESTAMP`).
const NO_TIMESTAMP: i64 = -1;

/// The number by which every enumeration of ACLs says that it does not know (`UNKNOWN` of `ResourceType`, `PatternType`,
/// `AclOperation` and `AclPermissionType`). No request may hold it.
const UNKNOWN: i8 = 0;
/// What is said of a connection whose request holds it: Kafka closes it too.
const UNKNOWN_ELEMENTS: &str = "an ACL request with unknown elements";

/// The parts of an ACL or of a filter for ACLs that are numbers.
#[derive(Clone, Copy)]
struct AclKinds {
    resource_type: i8,
    pattern_type: i8,
    operation: i8,
    permission_type: i8,
}

impl AclKinds {
    /// Whether one of them is the number for "unknown".
    fn has_unknown(self) -> bool {
        [
            self.resource_type,
            self.pattern_type,
            self.operation,
            self.permission_type,
        ]
        .contains(&UNKNOWN)
    }
}
