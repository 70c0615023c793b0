//! EndTxn in every version, from every state that lasts: by the producer, by others, and again.

use super::{ADD_MAX, END_V1, END_V2, Producer, Side, tell_add, tell_end};

pub(super) async fn errors(side: &mut Side, name: &str) {
    for version in 0..=END_V2 {
        strangers(side, version).await;
        states(side, name, version).await;
        fenced(side, name, version).await;
    }
    both_protocols(side, name).await;
}

async fn strangers(side: &mut Side, version: i16) {
    let producer = Producer::init(side, "ending").await;
    let other = Producer::init(side, "ending-other").await;
    for (step, wrong) in producer.strangers(side, &other) {
        for committed in [true, false] {
            let step = format!("end: {step}, commits {committed}");
            tell_end(side, &step, version, &wrong.end(committed)).await;
        }
    }
}

/// The same request in every epoch around the producer's.
async fn around(side: &mut Side, step: &str, version: i16, producer: &Producer, epochs: &[i16]) {
    for committed in [true, false] {
        for epoch in epochs {
            let step = format!("end: {step}, commits {committed}, epoch {epoch:+}");
            let request = producer.at(producer.epoch + epoch).end(committed);
            tell_end(side, &step, version, &request).await;
        }
    }
}

async fn states(side: &mut Side, name: &str, version: i16) {
    let what = format!("states-{version}");
    let mut producer = Producer::init(side, &what).await;
    around(side, "nothing began", version, &producer, &[1, 2, -1, -2]).await;
    let commit = producer.end(true);
    tell_end(side, "end: nothing began, commit", version, &commit).await;
    producer.finish(side, false, version).await;
    for committed in [true, false, true] {
        tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
        around(side, "open", version, &producer, &[1, -1, -2]).await;
        producer.finish(side, committed, version).await;
        // One epoch below is a retry for those who bump.
        around(side, "ended", version, &producer, &[1, 2, -1, -2]).await;
        producer.settle(side).await;
        if version == END_V2 {
            let commit = producer.end(true);
            tell_end(side, "end: ended, commit", version, &commit).await;
            producer.finish(side, false, version).await;
        } else {
            around(side, "ended", version, &producer, &[0]).await;
        }
    }
}

async fn fenced(side: &mut Side, name: &str, version: i16) {
    let what = format!("fenced-{version}");
    let old = Producer::init(side, &what).await;
    tell_add(side, "add", ADD_MAX, &old.add(&[(name, &[0])])).await;
    let new = Producer::init(side, &what).await;
    for (step, producer) in [("fenced", &old), ("the new session", &new)] {
        tell_add(side, step, ADD_MAX, &producer.add(&[(name, &[0])])).await;
    }
    around(side, "fenced", version, &old, &[0, 1]).await;
    let mut new = new;
    new.finish(side, true, version).await;
}

/// Transactions that begin in one protocol and end in the other.
async fn both_protocols(side: &mut Side, name: &str) {
    let mut producer = Producer::init(side, "both").await;
    for version in [END_V2, END_V1, END_V2, END_V1] {
        tell_add(side, "add", ADD_MAX, &producer.add(&[(name, &[0])])).await;
        let before = producer.clone();
        producer.finish(side, true, version).await;
        for other in [END_V1, END_V2] {
            tell_end(side, "end: again", other, &before.end(true)).await;
            tell_end(side, "end: otherwise", other, &before.end(false)).await;
            producer.settle(side).await;
        }
        // What the other version has bumped.
        producer = Producer::init(side, "both").await;
    }
}
