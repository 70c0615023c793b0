//! Topics, partitions and settings, with revisions and watches; the local store.
