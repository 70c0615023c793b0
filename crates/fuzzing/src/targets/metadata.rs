//! What the cluster knows of itself: values of the metadata store, and the file they are in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use env::{Env, TokioSpawner};
use metadata::{LocalStore, MetadataStore, StoredMetadata, Transaction};

use super::target;
use crate::Target;
use crate::counting::{Limit, within};
use crate::input::{Input, pack};
use crate::memory_disk::{Content, MemoryDisk, env_with};

pub(super) const METADATA: Target = target(
    "metadata",
    "values of the metadata store (topics, settings, quotas, SCRAM credentials): a watch reads what a start reads, what is read is written and read again",
    metadata_seeds,
    metadata,
);

pub(super) const METADATA_FILE: Target = target(
    "metadata-file",
    "the metadata file with damaged bytes: what it held is read, or the damage is told; reading changes nothing",
    file_seeds,
    file,
);

/// Settings of brokers are resolved for the image, twice.
const IMAGE: Limit = Limit {
    fixed: 1 << 20,
    per_byte: 100,
};

/// Keys and values as pieces.
fn metadata(data: &[u8]) {
    let mut input = Input::new(data);
    let mut entries = BTreeMap::new();
    while !input.is_empty() {
        entries.insert(input.piece(), input.piece());
    }
    let entries: Vec<_> = entries.into_iter().collect();
    within(IMAGE, data.len(), || metadata::fuzzing::load(&entries));
}

const ENTRIES: [(&str, &str); 12] = [
    ("cluster/id", "4L6g3nShT-eMCtK--X86sw"),
    (
        "features",
        r#"{"metadata.version":29,"transaction.version":2}"#,
    ),
    ("producer-ids/next", "2000"),
    (
        "topics/a_b",
        r#"{"name":"a.b","id":"0123456789abcdef0123456789abcdef","partitions":3,"replication_factor":1,"settings":{"retention.ms":"5"}}"#,
    ),
    (
        "topics/t",
        r#"{"name":"t","id":"00000000000000000000000000000001","partitions":1,"replication_factor":1}"#,
    ),
    (
        "settings/brokers/default",
        r#"{"log.retention.hours":"-1"}"#,
    ),
    (
        "settings/brokers/1",
        r#"{"num.partitions":"7","log.cleaner.threads":"2"}"#,
    ),
    (
        "settings/groups/g",
        r#"{"consumer.session.timeout.ms":"50000"}"#,
    ),
    (
        "settings/client-metrics/m",
        r#"{"interval.ms":"1000","metrics":"*"}"#,
    ),
    (
        r#"settings/quotas/{"client-id":null,"user":"u"}"#,
        r#"{"producer_byte_rate":1024.0,"request_percentage":0.5}"#,
    ),
    (
        r#"settings/quotas/{"ip":"10.0.0.1"}"#,
        r#"{"connection_creation_rate":5.0}"#,
    ),
    (
        "scram/SCRAM-SHA-256/user/name",
        r#"{"salt":"00ff","stored_key":"aa","server_key":"bb","iterations":4096}"#,
    ),
];

fn metadata_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut seeds = Vec::new();
    for (key, value) in ENTRIES {
        let mut seed = Vec::new();
        pack(&mut seed, key.as_bytes());
        pack(&mut seed, value.as_bytes());
        all.extend_from_slice(&seed);
        seeds.push(seed);
    }
    seeds.push(all);
    seeds
}

const FILE: &str = "/data/metadata.redb";

/// A metadata file with [`ENTRIES`], and what it holds.
fn written() -> &'static (Content, String) {
    static WRITTEN: LazyLock<(Content, String)> = LazyLock::new(|| {
        let disk = MemoryDisk::with(&Content::from([(FILE.into(), Vec::new())]));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime starts");
        runtime.block_on(write(&disk));
        let held = StoredMetadata::read(&disk, Path::new(FILE)).expect("it is whole");
        (disk.content(), format!("{held:?}"))
    });
    &WRITTEN
}

async fn write(disk: &MemoryDisk) {
    let env = Env {
        spawner: Arc::new(TokioSpawner::current()),
        ..env_with(disk)
    };
    let store = LocalStore::open(&env, Path::new(FILE)).expect("memory does not fail");
    // Each its own commit, so that there are older ones to fall back to.
    for (key, value) in ENTRIES {
        let mut transaction = Transaction::default();
        transaction.put(key, value);
        store
            .transact(transaction)
            .await
            .expect("nothing contradicts");
    }
    store.close();
}

/// The places of the file that are not zero.
fn places() -> &'static [usize] {
    static PLACES: LazyLock<Vec<usize>> = LazyLock::new(|| {
        let bytes = &written().0[Path::new(FILE)];
        (0..bytes.len()).filter(|at| bytes[*at] != 0).collect()
    });
    &PLACES
}

/// Damages: what, where among the bytes that are not zero, and a value or a length.
fn file(data: &[u8]) {
    let (content, held) = written();
    let mut content = content.clone();
    let bytes = content.get_mut(Path::new(FILE)).expect("it is there");
    let mut input = Input::new(data);
    while !input.is_empty() {
        let what = input.byte();
        let at = places()[usize::from(input.u16()) % places().len()];
        let value = input.byte();
        if at >= bytes.len() {
            continue;
        }
        let end = (at + usize::from(value)).min(bytes.len());
        match what % 4 {
            0 => bytes[at] = value,
            1 => bytes[at] ^= value,
            2 => bytes[at..end].fill(what),
            _ => bytes.truncate(at),
        }
    }
    let disk = MemoryDisk::with(&content);
    // redb's cache, its tables of pages, and what it would write.
    let limit = Limit {
        fixed: 64 << 20,
        per_byte: 0,
    };
    let read = within(limit, 0, || StoredMetadata::read(&disk, Path::new(FILE)));
    assert_eq!(disk.content(), content, "reading changes nothing");
    if let Ok(read) = read {
        assert_eq!(&format!("{read:?}"), held, "damage is told, not repaired");
    }
}

fn file_seeds() -> Vec<Vec<u8>> {
    let last = u16::try_from(places().len() - 1).unwrap_or(u16::MAX);
    let mut seeds = vec![Vec::new()];
    for what in 0..4 {
        for number in 0..16 {
            let [high, low] = (last / 16 * number).to_be_bytes();
            seeds.push(vec![what, high, low, 1 << (number % 8)]);
        }
    }
    seeds
}
