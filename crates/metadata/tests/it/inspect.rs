//! Looking into a metadata file from outside: what it holds, whether it is whole, and that it is left alone.

use std::fs;

use env::disk::SystemDisk;
use metadata::{InspectError, StoredMetadata};

use crate::fixture::{Folder, topic};

async fn filled(topics: usize) -> Folder {
    let folder = Folder::new();
    let cluster = folder.open().await;
    for number in 0..topics {
        cluster
            .create_topics(vec![topic(&format!("topic-{number}"))], false)
            .await;
    }
    cluster.close();
    folder
}

#[tokio::test]
async fn what_is_stored_is_told_and_the_file_left_alone() {
    let folder = filled(20).await;
    let before = fs::read(folder.file()).unwrap();
    let stored = StoredMetadata::read(&SystemDisk, &folder.file()).unwrap();
    assert_eq!(stored.topics.len(), 20);
    assert_eq!(stored.topics[3].0.as_str(), "topic-11");
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

/// A copy taken while a broker runs is a file that was not closed: opening it repairs it, in memory here.
#[tokio::test]
async fn a_file_that_was_not_closed_is_told_and_left_alone() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    cluster.create_topics(vec![topic("t")], false).await;
    let copy = folder.file().with_extension("copy");
    fs::copy(folder.file(), &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let stored = StoredMetadata::read(&SystemDisk, &copy).unwrap();
    assert_eq!(stored.topics.len(), 1);
    assert_eq!(fs::read(&copy).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_missing_empty_or_none_of_ours_is_told() {
    let folder = Folder::new();
    let read = || StoredMetadata::read(&SystemDisk, &folder.file());
    assert!(matches!(read(), Err(InspectError::Missing)));
    fs::write(folder.file(), "").unwrap();
    assert!(matches!(read(), Err(InspectError::Missing)));
    fs::write(folder.file(), vec![7; 10_000]).unwrap();
    assert!(matches!(read(), Err(InspectError::Pages(_))));
}

/// A broker does not start on a damaged file, and leaves it as it is. A damaged byte is found, or lies where nothing is stored: what is read is then as it was.
#[tokio::test]
async fn a_changed_byte_is_found_or_changes_nothing() {
    let folder = filled(20).await;
    let whole = fs::read(folder.file()).unwrap();
    let stored = StoredMetadata::read(&SystemDisk, &folder.file()).unwrap();
    let mut found = 0;
    for index in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x10;
        fs::write(folder.file(), &bytes).unwrap();
        match StoredMetadata::read(&SystemDisk, &folder.file()) {
            Ok(read) => assert_eq!(read.topics, stored.topics, "byte {index}"),
            Err(_) => found += 1,
        }
        match folder.open_with(&[]).await {
            Ok(cluster) => {
                assert_eq!(cluster.image().topics().len(), 20, "byte {index}");
                cluster.close();
            }
            Err(_) => assert_eq!(fs::read(folder.file()).unwrap(), bytes, "byte {index}"),
        }
    }
    assert!(found > 0);
}
