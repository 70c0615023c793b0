//! What the store holds, read as at a start, for the targets of the `fuzzing` crate.

use bytes::Bytes;
use types::TopicName;

use crate::image::ClusterImage;
use crate::keys::{self, Key, StoredTopic};
use crate::settings::Layers;
use crate::store::{Change, Commit, KeyValue, Revision};

/// Reads entries of the store as a start does, then their changes as a watch does. Panics where what was read is not
/// read the same when it is written again. `None` if a value cannot be read.
pub fn load(entries: &[(&[u8], &[u8])]) -> Option<()> {
    let stored = entries.iter().map(|(key, value)| KeyValue {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        mod_revision: Revision::new(1),
    });
    let empty = || ClusterImage::empty(1, Layers::default());
    let image = empty().load(Revision::new(1), stored.collect());
    let mut watched = empty();
    let changes = entries.iter().map(|(key, value)| Change::Put {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
    });
    let applied = watched.apply(&Commit {
        revision: Revision::new(1),
        changes: changes.collect(),
    });
    assert_eq!(
        applied.is_ok(),
        image.is_ok(),
        "a watch reads what a start reads"
    );
    let image = image.ok()?;
    assert_eq!(topics(&watched), topics(&image));
    describe(&image);
    for (key, value) in entries {
        written_again(key, value);
    }
    let mut emptied = watched;
    let deletions = entries.iter().map(|(key, _)| Change::Delete {
        key: Bytes::copy_from_slice(key),
    });
    let commit = Commit {
        revision: Revision::new(2),
        changes: deletions.collect(),
    };
    // The id of a cluster cannot be taken away; what else there is can.
    if emptied.apply(&commit).is_ok() {
        assert_eq!(emptied.topics().len(), 0, "{:?}", topics(&emptied));
    }
    Some(())
}

fn topics(image: &ClusterImage) -> Vec<(TopicName, types::TopicId, i32)> {
    let topics = image.topics();
    topics
        .map(|topic| (topic.name.clone(), topic.id, topic.partitions))
        .collect()
}

/// Everything that requests ask of an image.
fn describe(image: &ClusterImage) {
    for topic in image.topics() {
        image.describe_topic(topic);
        assert!(image.topic(topic.name.as_str()).is_some(), "{topic:?}");
    }
    image.describe_broker();
    image.describe_broker_defaults();
    for group in image.groups_with_settings() {
        image.group_settings(group);
        image.describe_group(group);
    }
    for subscription in image.client_metrics() {
        image.describe_client_metrics(subscription);
    }
    for user in image.scram.users() {
        assert!(image.scram.of_user(user).count() > 0, "{user}");
    }
}

fn written_again(key: &[u8], value: &[u8]) {
    const READ: &str = "what was read and written is read again";
    match Key::parse(key) {
        Key::Topic(_) => {
            let topic = StoredTopic::read(key, value).expect(READ);
            let again = StoredTopic::read(key, &topic.write()).expect(READ);
            assert_eq!(format!("{again:?}"), format!("{topic:?}"));
        }
        Key::Features => {
            let levels = keys::read_levels(key, value).expect(READ);
            let again = keys::read_levels(key, &keys::write_levels(&levels)).expect(READ);
            assert_eq!(again, levels);
        }
        Key::Quotas(entity) => {
            let quotas = keys::read_quotas(key, value).expect(READ);
            let again = keys::read_quotas(key, &keys::write_quotas(&quotas)).expect(READ);
            assert_eq!(format!("{again:?}"), format!("{quotas:?}"));
            let written = keys::quotas(&entity);
            let again = Key::parse(written.as_bytes());
            assert!(
                matches!(again, Key::Quotas(again) if again == entity),
                "{written}"
            );
        }
        Key::Scram(mechanism, user) => {
            let credential = keys::read_scram(key, value).expect(READ);
            let again = keys::read_scram(key, &keys::write_scram(&credential)).expect(READ);
            assert!(again == credential, "{}", keys::scram(mechanism, user));
        }
        _ => {}
    }
}
