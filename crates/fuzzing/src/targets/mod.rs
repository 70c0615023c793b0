//! The targets, by the part of the system that they look at.

mod broker;
mod command_line;
mod metadata;
mod pipelines;
mod protocol;
mod recovery;
mod storage;

use crate::Target;
use crate::counting::Limit;

/// What reading may take unless a target says otherwise: the rule for requests, a small multiple of the input, and a fixed
/// amount that any short input may take (architecture, invariant 9).
const USUAL: Limit = Limit {
    fixed: 64 * 1024 + 256,
    per_byte: 8,
};

/// Makes a [`Target`] of a function and the function that makes its seeds.
const fn target(
    name: &'static str,
    about: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    run: fn(&[u8]),
) -> Target {
    Target {
        name,
        about,
        seeds,
        run,
    }
}

pub(crate) const ALL: [Target; 23] = [
    broker::FRAMES,
    protocol::REQUEST,
    protocol::MESSAGE,
    protocol::BATCHES,
    protocol::FETCHED,
    protocol::COMPRESSION,
    protocol::SUBSCRIPTION,
    recovery::RECOVERY,
    recovery::DAMAGE,
    storage::OFFSET_INDEX,
    storage::TIME_INDEX,
    storage::PRODUCER_SNAPSHOT,
    storage::CHECKPOINT,
    storage::SMALL_FILES,
    broker::GROUP_RECORDS,
    broker::TRANSACTION_RECORDS,
    broker::SHARE_RECORDS,
    metadata::METADATA,
    metadata::METADATA_FILE,
    command_line::SETTINGS,
    command_line::COMMAND_LINE,
    command_line::RECORD_LINES,
    pipelines::PIPELINE_FILES,
];
