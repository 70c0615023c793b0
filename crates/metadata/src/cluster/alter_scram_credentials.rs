//! Setting and removing SCRAM credentials (`ScramControlManager.alterCredentials`).

use std::collections::BTreeMap;

use super::Cluster;
use crate::image::ClusterImage;
use crate::keys;
use crate::scram::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, ScramCredential, ScramMechanism};
use crate::store::{TransactError, Transaction};

/// A credential that shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramDeletion {
    /// Whose.
    pub user: String,
    /// Which; `None` if the client named no known one.
    pub mechanism: Option<ScramMechanism>,
}

/// A credential that shall be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramUpsertion {
    /// Whose.
    pub user: String,
    /// Which; `None` if the client named no known one.
    pub mechanism: Option<ScramMechanism>,
    /// How often the password was hashed.
    pub iterations: i32,
    /// The salt of the password.
    pub salt: Vec<u8>,
    /// The password, salted and hashed.
    pub salted_password: Vec<u8>,
}

/// A salted password is as good as the password: it is not printed.
impl std::fmt::Debug for ScramUpsertion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ScramUpsertion")
            .field("user", &self.user)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// Why a user's credentials were not altered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AlterScramError {
    /// DUPLICATE_RESOURCE(92).
    #[error("a user's credentials cannot be altered twice in one request")]
    Duplicate,
    /// UNACCEPTABLE_CREDENTIAL(93).
    #[error("the user name must not be empty")]
    NoUser,
    /// UNSUPPORTED_SASL_MECHANISM(33).
    #[error("unknown SCRAM mechanism")]
    UnknownMechanism,
    /// UNACCEPTABLE_CREDENTIAL(93).
    #[error("too few iterations, at least {SCRAM_ITERATIONS_MIN} are needed")]
    TooFewIterations,
    /// UNACCEPTABLE_CREDENTIAL(93).
    #[error("too many iterations, at most {SCRAM_ITERATIONS_MAX} are allowed")]
    TooManyIterations,
    /// RESOURCE_NOT_FOUND(91).
    #[error("the user has no such credential")]
    NotFound,
    /// Kafka cannot make a key of nothing and says UNKNOWN_SERVER_ERROR(-1).
    #[error("the salted password must not be empty")]
    EmptyPassword,
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the credentials could not be stored")]
    Store(#[from] TransactError),
}

/// What is to happen to one user.
enum Planned<'a> {
    Delete(ScramMechanism),
    Upsert(ScramMechanism, &'a ScramUpsertion),
}

impl Cluster {
    /// Alters credentials: the outcome of each user, by name. What is right happens, in one transaction, whatever is wrong
    /// with others.
    ///
    /// # Errors
    /// The store's, of the request as a whole.
    pub async fn alter_scram_credentials(
        &self,
        deletions: &[ScramDeletion],
        upsertions: &[ScramUpsertion],
    ) -> Result<BTreeMap<String, Result<(), AlterScramError>>, TransactError> {
        self.transact(|image| {
            let planned = plan(image, deletions, upsertions);
            let mut transaction = Transaction::default();
            let mut outcomes = BTreeMap::new();
            for (user, planned) in planned {
                let outcome = planned.and_then(|planned| write(user, &planned, &mut transaction));
                outcomes.insert(user.to_owned(), outcome);
            }
            (transaction, outcomes)
        })
        .await
    }
}

type Plan<'a> = BTreeMap<&'a str, Result<Planned<'a>, AlterScramError>>;

fn plan<'a>(
    image: &ClusterImage,
    deletions: &'a [ScramDeletion],
    upsertions: &'a [ScramUpsertion],
) -> Plan<'a> {
    let mut plan = Plan::new();
    let mut add = |user: &'a str, planned: Result<Planned<'a>, AlterScramError>| {
        let planned = match plan.get(user) {
            None => planned,
            Some(Ok(_)) => Err(AlterScramError::Duplicate),
            Some(Err(first)) => Err(first.clone()),
        };
        plan.insert(user, planned);
    };
    for deletion in deletions {
        let planned = check(&deletion.user, deletion.mechanism).and_then(|mechanism| {
            let known = image.scram.get(&deletion.user, mechanism);
            known
                .map(|_| Planned::Delete(mechanism))
                .ok_or(AlterScramError::NotFound)
        });
        add(&deletion.user, planned);
    }
    for upsertion in upsertions {
        let planned = check(&upsertion.user, upsertion.mechanism).and_then(|mechanism| {
            if upsertion.iterations < SCRAM_ITERATIONS_MIN {
                Err(AlterScramError::TooFewIterations)
            } else if upsertion.iterations > SCRAM_ITERATIONS_MAX {
                Err(AlterScramError::TooManyIterations)
            } else {
                Ok(Planned::Upsert(mechanism, upsertion))
            }
        });
        add(&upsertion.user, planned);
    }
    plan
}

fn check(user: &str, mechanism: Option<ScramMechanism>) -> Result<ScramMechanism, AlterScramError> {
    if user.is_empty() {
        return Err(AlterScramError::NoUser);
    }
    mechanism.ok_or(AlterScramError::UnknownMechanism)
}

fn write(
    user: &str,
    planned: &Planned<'_>,
    transaction: &mut Transaction,
) -> Result<(), AlterScramError> {
    match planned {
        Planned::Delete(mechanism) => {
            transaction.delete(keys::scram(*mechanism, user));
        }
        Planned::Upsert(mechanism, upsertion) => {
            if upsertion.salted_password.is_empty() {
                return Err(AlterScramError::EmptyPassword);
            }
            let credential = ScramCredential::of_salted_password(
                *mechanism,
                &upsertion.salted_password,
                &upsertion.salt,
                upsertion.iterations,
            );
            transaction.put(
                keys::scram(*mechanism, user),
                keys::write_scram(&credential),
            );
        }
    }
    Ok(())
}
