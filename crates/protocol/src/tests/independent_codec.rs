//! Our bytes against those of `kafka-protocol`, an independent codec at the level of Kafka 4.1, for versions both have.
//! It never sees bytes we did not write ourselves: on hostile ones it aborts the process.
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};

use super::round_trip::encode;
use crate::samples::{Sample, Samples};
use crate::{Message, Request};

const RANDOM_ROUNDS: u64 = 5;

/// Messages and versions the other codec lists and then refuses; -1 where it does not know the API. There Kafka's own
/// classes have to do (`cargo xtask oracle`).
const THEIR_GAPS: &[(&str, i16)] = &[
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("StreamsGroupDescribeRequest", -1),
    ("StreamsGroupHeartbeatRequest", -1),
];

/// What the other codec writes after reading our bytes; `None` if it refuses them.
fn again_request(key: TheirKey, version: i16, ours: &Bytes) -> Option<BytesMut> {
    let theirs = RequestKind::decode(key, &mut ours.clone(), version).ok()?;
    let mut bytes = BytesMut::new();
    theirs.encode(&mut bytes, version).ok()?;
    Some(bytes)
}

fn again_response(key: TheirKey, version: i16, ours: &Bytes) -> Option<BytesMut> {
    let theirs = ResponseKind::decode(key, &mut ours.clone(), version).ok()?;
    let mut bytes = BytesMut::new();
    theirs.encode(&mut bytes, version).ok()?;
    Some(bytes)
}

fn check<R: Request + Sample>(compared: &mut usize, gaps: &mut BTreeSet<(&'static str, i16)>)
where
    R::Response: Sample,
{
    let Ok(key) = TheirKey::try_from(i16::from(R::KEY)) else {
        gaps.insert((R::NAME, -1));
        return;
    };
    let theirs = key.valid_versions();
    for version in R::MIN_VERSION.max(theirs.min)..=R::MAX_VERSION.min(theirs.max) {
        let sources = (0..RANDOM_ROUNDS)
            .map(Samples::random)
            .chain([Samples::named()]);
        for mut samples in sources {
            let request = encode(&R::sample(&mut samples, version), version);
            if again_request(key, version, &request).as_deref() != Some(&*request) {
                gaps.insert((R::NAME, version));
            }
            let response = encode(&R::Response::sample(&mut samples, version), version);
            if again_response(key, version, &response).as_deref() != Some(&*response) {
                gaps.insert((<R::Response as Message>::NAME, version));
            }
            *compared += 2;
        }
    }
}

#[test]
fn bytes_equal_those_of_an_independent_codec() {
    let (mut compared, mut gaps) = (0, BTreeSet::new());
    macro_rules! all_requests {
        ($($name:ident),* $(,)?) => { $(check::<crate::messages::$name>(&mut compared, &mut gaps);)* };
    }
    crate::for_each_request!(all_requests);
    assert_eq!(gaps, THEIR_GAPS.iter().copied().collect());
    assert!(compared > 2000, "{compared}");
}
