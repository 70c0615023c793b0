//! DescribeUserScramCredentials, key 50, version 0.
//!
//! Without names, or with an empty list of them, all users who have a credential. A user who is named twice is
//! DUPLICATE_RESOURCE, one without a credential RESOURCE_NOT_FOUND (`ScramImage.describe`). Keys and salts are never told.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::ScramCredentials;
use protocol::ErrorCode;
use protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use protocol::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};

use super::mechanisms;
use crate::context::Context;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeUserScramCredentialsRequest,
    topics: Arc<Topics>,
) -> DescribeUserScramCredentialsResponse {
    let image = topics.image();
    let named = request.users.unwrap_or_default();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for user in &named {
        *times.entry(user.name.as_str()).or_default() += 1;
    }
    if times.is_empty() {
        times = image.scram.users().map(|user| (user, 1)).collect();
    }
    let results = times
        .into_iter()
        .map(|(user, times)| describe(&image.scram, user, times));
    DescribeUserScramCredentialsResponse {
        results: results.collect(),
        ..Default::default()
    }
}

fn describe(
    credentials: &ScramCredentials,
    user: &str,
    times: usize,
) -> DescribeUserScramCredentialsResult {
    let refuse = |error: ErrorCode, message: String| DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        error_code: error.into(),
        error_message: Some(message),
        ..Default::default()
    };
    if times > 1 {
        let message = format!("user {user} is named more than once");
        return refuse(ErrorCode::DuplicateResource, message);
    }
    let info = |(mechanism, credential): (_, &metadata::ScramCredential)| CredentialInfo {
        mechanism: mechanisms::to_wire(mechanism),
        iterations: credential.iterations,
    };
    let credential_infos: Vec<_> = credentials.of_user(user).map(info).collect();
    if credential_infos.is_empty() {
        let message = format!("user {user} has no SCRAM credential");
        return refuse(ErrorCode::ResourceNotFound, message);
    }
    DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        credential_infos,
        ..Default::default()
    }
}
