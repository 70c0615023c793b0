//! Transactions at the levels of `transaction.version`: clients are told them, and what the coordinator does by itself
//! follows them.

use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::*;

use super::super::{NOT_YET_ATTEMPTS, NOT_YET_INTERVAL};
use super::{ADD_MAX, END_V1, INIT_MAX, Producer, Side, describe, init_request, tell_add};

const FEATURE: &str = "transaction.version";
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

pub(super) async fn errors(side: &mut Side, name: &str) {
    // Level 0 is as level 1, besides the form of the records.
    for (level, upgrade_type) in [(1, SAFE_DOWNGRADE), (0, SAFE_DOWNGRADE), (2, UPGRADE)] {
        update(side, level, upgrade_type).await;
        aborts(side, name, level).await;
    }
}

async fn update(side: &mut Side, level: i16, upgrade_type: i8) {
    let request = UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: FEATURE.to_owned(),
            max_version_level: level,
            upgrade_type,
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let code = |answer: &UpdateFeaturesResponse| answer.error_code;
    let step = format!("update to {level}");
    side.tell(&step, 2, &request, code, code).await;
    for _ in 0..NOT_YET_ATTEMPTS {
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = side.ask(4, &request).await.unwrap();
        let mut features = answer.finalized_features.iter();
        let found = features.find(|feature| feature.name == FEATURE);
        if found.map_or(0, |feature| feature.max_version_level) == level {
            return;
        }
        tokio::time::sleep(NOT_YET_INTERVAL).await;
    }
    panic!("{FEATURE} never gets to {level}");
}

/// Whether a producer may go on from a session whose transaction was aborted over its head.
async fn aborts(side: &mut Side, name: &str, level: i16) {
    let what = format!("level-{level}");
    let mut producer = Producer::init(side, &what).await;
    for round in 0..3 {
        tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
        let newer = init_request(&producer.transactional_id, -1, -1);
        side.ask(INIT_MAX, &newer).await.unwrap();
        producer.settle(side).await;
        let state = describe(side, &producer.transactional_id).await;
        let bumped = state.producer_epoch - producer.epoch;
        let goes_on = init_request(&producer.transactional_id, producer.id, producer.epoch);
        let answer = side.ask(INIT_MAX, &goes_on).await.unwrap();
        // A broker learns of the level a little after it tells it.
        if round > 0 {
            let told = format!("bumped by {bumped}, goes on {}", answer.error_code);
            side.note(&format!("abort at level {level}"), INIT_MAX, &told);
        }
        producer = Producer::init(side, &what).await;
    }
    tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
    producer.finish(side, true, END_V1).await;
}
