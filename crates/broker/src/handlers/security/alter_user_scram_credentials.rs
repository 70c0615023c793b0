//! AlterUserScramCredentials, key 51, version 0.
//!
//! Clients send the salted password; what is stored of it cannot be used to log in. Each user has an outcome of its own,
//! what is right happens in one transaction (`ScramControlManager.alterCredentials`).

use std::sync::Arc;

use metadata::{AlterScramError, ScramDeletion, ScramUpsertion, TransactError};
use protocol::ErrorCode;
use protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};

use super::mechanisms;
use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: AlterUserScramCredentialsRequest,
    topics: Arc<Topics>,
) -> AlterUserScramCredentialsResponse {
    let deletions: Vec<_> = request
        .deletions
        .into_iter()
        .map(|deletion| ScramDeletion {
            mechanism: mechanisms::from_wire(deletion.mechanism),
            user: deletion.name,
        })
        .collect();
    let upsertions: Vec<_> = request
        .upsertions
        .into_iter()
        .map(|upsertion| ScramUpsertion {
            mechanism: mechanisms::from_wire(upsertion.mechanism),
            user: upsertion.name,
            iterations: upsertion.iterations,
            salt: upsertion.salt.to_vec(),
            salted_password: upsertion.salted_password.to_vec(),
        })
        .collect();
    let outcomes = topics
        .cluster
        .alter_scram_credentials(&deletions, &upsertions)
        .await;
    let results = match outcomes {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|(user, outcome)| result(user, outcome))
            .collect(),
        Err(error) => every_user(&deletions, &upsertions, &error),
    };
    AlterUserScramCredentialsResponse {
        results,
        ..Default::default()
    }
}

/// The store failed: nothing happened to anybody.
fn every_user(
    deletions: &[ScramDeletion],
    upsertions: &[ScramUpsertion],
    error: &TransactError,
) -> Vec<AlterUserScramCredentialsResult> {
    let users = deletions.iter().map(|deletion| &deletion.user);
    let users = users.chain(upsertions.iter().map(|upsertion| &upsertion.user));
    users
        .map(|user| result(user.clone(), Err(AlterScramError::Store(error.clone()))))
        .collect()
}

fn result(user: String, outcome: Result<(), AlterScramError>) -> AlterUserScramCredentialsResult {
    let outcome = outcome.map_err(|error| refuse(&error));
    let (error_code, error_message) = refusal::fields(&outcome);
    AlterUserScramCredentialsResult {
        user,
        error_code,
        error_message,
    }
}

fn refuse(error: &AlterScramError) -> Refusal {
    let code = match error {
        AlterScramError::Duplicate => ErrorCode::DuplicateResource,
        AlterScramError::NoUser
        | AlterScramError::TooFewIterations
        | AlterScramError::TooManyIterations => ErrorCode::UnacceptableCredential,
        AlterScramError::UnknownMechanism => ErrorCode::UnsupportedSaslMechanism,
        AlterScramError::NotFound => ErrorCode::ResourceNotFound,
        AlterScramError::EmptyPassword => ErrorCode::UnknownServerError,
        AlterScramError::Store(cause) => {
            tracing::error!(%error, %cause, "could not change SCRAM credentials");
            ErrorCode::UnknownServerError
        }
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use metadata::ScramMechanism;
    use protocol::messages::DescribeUserScramCredentialsRequest;
    use protocol::messages::alter_user_scram_credentials_request::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };
    use protocol::messages::describe_user_scram_credentials_request::UserName;

    use super::*;
    use crate::handlers::fixture::Fixture;
    use crate::handlers::security::describe_user_scram_credentials as describe;

    const SHA_256: i8 = 1;
    const SHA_512: i8 = 2;

    fn upsertion(name: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
        ScramCredentialUpsertion {
            name: name.to_owned(),
            mechanism,
            iterations,
            salt: Bytes::from_static(b"salt"),
            salted_password: Bytes::from_static(b"salted password"),
        }
    }

    fn deletion(name: &str, mechanism: i8) -> ScramCredentialDeletion {
        ScramCredentialDeletion {
            name: name.to_owned(),
            mechanism,
        }
    }

    async fn ask(
        fixture: &Fixture,
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    ) -> Vec<(String, i16)> {
        let request = AlterUserScramCredentialsRequest {
            deletions,
            upsertions,
        };
        let response = handle(fixture.context(0), request, fixture.topics()).await;
        let results = response.results.into_iter();
        results.map(|one| (one.user, one.error_code)).collect()
    }

    /// Users with their mechanisms and iterations, or the code.
    async fn described(
        fixture: &Fixture,
        users: Option<&[&str]>,
    ) -> Vec<(String, i16, Vec<(i8, i32)>)> {
        let user = |name: &&str| UserName {
            name: (*name).to_owned(),
        };
        let request = DescribeUserScramCredentialsRequest {
            users: users.map(|users| users.iter().map(user).collect()),
        };
        let response = describe::handle(fixture.context(0), request, fixture.topics()).await;
        assert_eq!(response.error_code, 0);
        let result = |one: protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult| {
            let infos = one.credential_infos.iter();
            let infos = infos.map(|info| (info.mechanism, info.iterations)).collect();
            (one.user, one.error_code, infos)
        };
        response.results.into_iter().map(result).collect()
    }

    #[tokio::test]
    async fn credentials_are_kept_told_and_removed() {
        let fixture = Fixture::new().await;
        assert_eq!(described(&fixture, None).await, []);
        let added = vec![
            upsertion("alice", SHA_256, 4096),
            upsertion("bob", SHA_512, 8192),
        ];
        let fine = |user: &str| (user.to_owned(), 0);
        assert_eq!(
            ask(&fixture, vec![], added).await,
            [fine("alice"), fine("bob")]
        );
        let second = vec![upsertion("alice", SHA_512, 16_384)];
        assert_eq!(ask(&fixture, vec![], second).await, [fine("alice")]);
        let fixture = fixture.restart().await;
        let alice = (
            "alice".to_owned(),
            0,
            vec![(SHA_256, 4096), (SHA_512, 16_384)],
        );
        let bob = ("bob".to_owned(), 0, vec![(SHA_512, 8192)]);
        let everybody = [alice.clone(), bob];
        assert_eq!(described(&fixture, None).await, everybody);
        assert_eq!(described(&fixture, Some(&[])).await, everybody);
        let gone = vec![deletion("bob", SHA_512)];
        assert_eq!(ask(&fixture, gone, vec![]).await, [fine("bob")]);
        let found = described(&fixture, Some(&["alice", "bob"])).await;
        let missing = ErrorCode::ResourceNotFound.code();
        assert_eq!(found, [alice, ("bob".to_owned(), missing, vec![])]);
        let twice = described(&fixture, Some(&["alice", "alice"])).await;
        let duplicate = ErrorCode::DuplicateResource.code();
        assert_eq!(twice, [("alice".to_owned(), duplicate, vec![])]);
    }

    #[tokio::test]
    async fn the_password_is_not_in_the_metadata() {
        let fixture = Fixture::new().await;
        ask(&fixture, vec![], vec![upsertion("alice", SHA_256, 4096)]).await;
        let topics = fixture.topics();
        let image = topics.image();
        let credential = image.scram.get("alice", ScramMechanism::Sha256).unwrap();
        assert_eq!(
            (credential.stored_key.len(), credential.server_key.len()),
            (32, 32)
        );
        assert_ne!(credential.stored_key, b"salted password");
        assert!(!format!("{credential:?}").contains("key"));
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code() {
        let fixture = Fixture::new().await;
        let one = |user: &str, code: ErrorCode| vec![(user.to_owned(), code.code())];
        for (deletions, upsertions, expected) in [
            (
                vec![deletion("alice", SHA_256)],
                vec![],
                one("alice", ErrorCode::ResourceNotFound),
            ),
            (
                vec![deletion("", SHA_256)],
                vec![],
                one("", ErrorCode::UnacceptableCredential),
            ),
            (
                vec![deletion("alice", 3)],
                vec![],
                one("alice", ErrorCode::UnsupportedSaslMechanism),
            ),
            (
                vec![],
                vec![upsertion("alice", 0, 4096)],
                one("alice", ErrorCode::UnsupportedSaslMechanism),
            ),
            (
                vec![],
                vec![upsertion("alice", SHA_256, 4095)],
                one("alice", ErrorCode::UnacceptableCredential),
            ),
            (
                vec![],
                vec![upsertion("alice", SHA_256, 16_385)],
                one("alice", ErrorCode::UnacceptableCredential),
            ),
            (
                vec![],
                vec![
                    upsertion("alice", SHA_256, 4096),
                    upsertion("alice", SHA_512, 4096),
                ],
                one("alice", ErrorCode::DuplicateResource),
            ),
        ] {
            assert_eq!(ask(&fixture, deletions, upsertions).await, expected);
        }
        assert_eq!(described(&fixture, None).await, []);
    }
}
