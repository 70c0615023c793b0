//! Whose a partition's folder is: what its `partition.metadata` says, beside the checkpoint and the metadata.
//!
//! Invariant: what the broker itself leaves is a note, a folder of a topic that was deleted or made anew; where two of the
//! three agree and the file says otherwise, the file is damaged.

use super::finding::FindingKind;
use super::partition::{Part, PartitionCheck};
use super::report::Collector;
use crate::recover::{METADATA_FILE, read_topic_id};

/// Characters of a topic id.
const ID_CHARACTERS: usize = 22;

impl PartitionCheck<'_> {
    pub(super) fn check_topic_id(&mut self, parts: &[Part], report: &mut Collector<'_>) {
        let path = self.folder.join(METADATA_FILE);
        let found = match read_topic_id(self.disk, &self.folder) {
            Ok(found) => found,
            Err(error) => return self.unreadable(report, &path, None, &error),
        };
        let known = self.entry.as_ref().map(|entry| entry.topic_id.clone());
        // After a clean stop it is not read.
        if !self.was_closed {
            self.entry
                .take_if(|entry| found.as_ref() != Some(&entry.topic_id));
        }
        let found = found.filter(|found| is_possible(found));
        if let Some(known) = known
            && self.is_misnamed(found.as_ref(), &known)
        {
            let names = found.map_or("no topic".to_owned(), |found| format!("topic {found}"));
            let detail = format!("names {names}, but the log is that of topic {known}");
            return self.plain(report, FindingKind::MisnamedFolder, &path, detail);
        }
        let Some(found) = found else {
            if !parts.is_empty() {
                let detail = "names no topic id";
                self.plain(report, FindingKind::NamelessFolder, &path, detail);
            }
            return;
        };
        match &self.topic_id {
            Some(Some(expected)) if *expected != found => {
                let detail = format!("topic id {found}, the topic of this name has {expected}");
                self.plain(report, FindingKind::UnclaimedFolder, &self.folder, detail);
            }
            Some(None) => {
                let detail = format!("topic id {found}, no topic has this name and partition");
                self.plain(report, FindingKind::UnclaimedFolder, &self.folder, detail);
            }
            _ => {}
        }
    }

    /// Whether the folder is that of the topic that the checkpoint knows, whatever its file says. A checkpoint may speak of an
    /// earlier life of the topic, unless it is that of a clean stop.
    fn is_misnamed(&self, found: Option<&String>, known: &String) -> bool {
        found != Some(known)
            && match &self.topic_id {
                Some(stored) => stored.as_ref() == Some(known),
                None => self.was_closed && found.is_some(),
            }
    }
}

/// Whether the text can be the id of a topic: base64 of 16 bytes, as in Kafka's `Uuid`.
fn is_possible(id: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    id.len() == ID_CHARACTERS && id.bytes().all(is_known)
}
