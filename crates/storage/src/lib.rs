//! One partition's log: segments, sparse indexes, recovery, group commit, retention, producer state.
