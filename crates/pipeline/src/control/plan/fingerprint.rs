//! What tells versions that do the same from those that do not.

use sha2::{Digest, Sha256};

use super::Wanted;
use crate::control::state::hex;

/// Moves when this program computes something in another way from the same file, so that what runs is planned again.
pub const SEMANTICS_EPOCH: u32 = 1;

/// A text that is the same for two versions if they do the same: it is made from the file without what is for people, from the
/// query as the engine understands it, and from the columns of the inputs.
pub fn fingerprint(wanted: &Wanted) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // With its length in front no two lists of texts are one.
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(&SEMANTICS_EPOCH.to_string());
    add(&wanted.pipeline.to_compared_json());
    add(&wanted.query);
    for input in &wanted.inputs {
        add(&input.name);
        add(input.contract.as_deref().unwrap_or_default());
        for column in &input.columns {
            add(&column.name);
            add(&column.data_type);
            add(if column.not_null { "not null" } else { "" });
        }
    }
    hex(&hash.finalize())
}
