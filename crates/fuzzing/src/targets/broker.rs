//! What the broker reads of strangers before it knows what it is, and of its own topics when it takes them over.

use broker::fuzzing::{self, Event};
use bytes::Bytes;
use protocol::messages::{self, TransactionLogKey};
use protocol::samples::{Sample, Samples};
use protocol::{CoordinatorKey, Message, encode_coordinator_key, encode_versioned};

use super::target;
use crate::Target;
use crate::counting::{Limit, within};
use crate::input::{Input, pack};

pub(super) const FRAMES: Target = target(
    "frames",
    "the inbox of a connection: the same frames however the bytes arrive, memory by what arrived and not by what was claimed",
    frame_seeds,
    frames,
);

pub(super) const GROUP_RECORDS: Target = target(
    "group-records",
    "records of __consumer_offsets: decoded, written again, replayed, then the coordinator starts and its timers run",
    || record_seeds(group_keys()),
    |data| replay(data, fuzzing::replay_groups),
);

pub(super) const TRANSACTION_RECORDS: Target = target(
    "transaction-records",
    "records of __transaction_state, as those of groups",
    || record_seeds(keys_of::<TransactionLogKey>()),
    |data| replay(data, fuzzing::replay_transactions),
);

pub(super) const SHARE_RECORDS: Target = target(
    "share-records",
    "records of __share_group_state, as those of groups",
    || record_seeds(share_keys()),
    |data| replay(data, fuzzing::replay_share_states),
);

const FRAME_LIMIT: usize = 100_000;
/// Room for two reads, and what has arrived three times over: in the buffer, and as frames in a list that grows.
const INBOX: Limit = Limit {
    fixed: 256 * 1024,
    per_byte: 8,
};

/// Two bytes for the length of the pieces, then the bytes of the connection.
fn frames(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.u16()).max(1);
    let bytes = input.rest();
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    let (in_pieces, error) = within(INBOX, bytes.len(), || {
        fuzzing::frames_of(&pieces, FRAME_LIMIT)
    });
    let (at_once, same_error) = fuzzing::frames_of(&[bytes], FRAME_LIMIT);
    assert_eq!((&in_pieces, &error), (&at_once, &same_error));
    // The frames are what the bytes say.
    let mut rest = bytes;
    for frame in &in_pieces {
        let (length, after) = rest.split_first_chunk().expect("a frame has a length");
        let length = usize::try_from(i32::from_be_bytes(*length)).expect("it is not negative");
        assert!(length <= FRAME_LIMIT);
        assert_eq!(frame[..], after[..length]);
        rest = &after[length..];
    }
    let next = rest.first_chunk().map(|length| i32::from_be_bytes(*length));
    let is_refused = next
        .is_some_and(|next| usize::try_from(next).is_ok_and(|next| next > FRAME_LIMIT) || next < 0);
    assert_eq!(error.is_some(), is_refused, "{error:?}");
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let frame = |length: usize| {
        let prefix = u32::try_from(length)
            .expect("frames are short")
            .to_be_bytes();
        [&prefix[..], &vec![7; length]].concat()
    };
    let many = [frame(0), frame(5), frame(70), frame(1), frame(300)].concat();
    let mut seeds = Vec::new();
    for size in [1_u16, 3, 64, 10_000] {
        seeds.push([&size.to_be_bytes()[..], &many].concat());
        seeds.push([&size.to_be_bytes()[..], &frame(40_000)].concat());
        seeds.push([&size.to_be_bytes()[..], b"\x7f\xff\xff\xffabc"].concat());
    }
    seeds
}

/// What replaying takes: maps of groups, members and partitions, and what is written again.
const REPLAY: Limit = Limit {
    fixed: 512 * 1024,
    per_byte: 200,
};

/// Records, each a byte of flags (1: has a key, 2: has a value, 4: is transactional, 8: is a marker, 16: of a commit), a
/// byte for the producer, and key and value as pieces.
fn replay(data: &[u8], replay: fn(&[Event<'_>]) -> bool) {
    let mut input = Input::new(data);
    let mut events = Vec::new();
    while !input.is_empty() {
        let flags = input.byte();
        let producer = input.byte();
        let (key, value) = (input.piece(), input.piece());
        events.push(Event {
            key: (flags & 1 > 0).then_some(key),
            value: (flags & 2 > 0).then_some(value),
            producer: (flags & 4 > 0)
                .then_some((i64::from(producer >> 2), i16::from(producer & 3))),
            marker: (flags & 8 > 0).then_some(flags & 16 > 0),
        });
    }
    within(REPLAY, data.len(), || replay(&events));
}

/// Keys with a value each.
type Records = Vec<(Bytes, Bytes)>;

/// Records of one kind: samples, and values with nothing in them, of every version.
fn keys_of<K>() -> Records
where
    K: CoordinatorKey + Sample,
    K::Value: Sample,
{
    let mut records = Records::new();
    for version in K::Value::MIN_VERSION..=K::Value::MAX_VERSION {
        let values = [
            K::Value::default(),
            K::Value::sample(&mut Samples::named(), version),
            K::Value::sample(&mut Samples::random(1), version),
            K::Value::sample(&mut Samples::random(2), version),
        ];
        for value in values {
            let key = K::sample(&mut Samples::named(), 0);
            let key = encode_coordinator_key(&key).expect("samples can be written");
            let value = encode_versioned(&value, version).expect("samples can be written");
            records.push((key, value));
        }
    }
    records
}

macro_rules! keys {
    ($($name:ident),* $(,)?) => {{
        let mut records = Records::new();
        $(records.extend(keys_of::<messages::$name>());)*
        records
    }};
}

fn group_keys() -> Records {
    keys![
        LegacyOffsetCommitKey,
        OffsetCommitKey,
        GroupMetadataKey,
        ConsumerGroupMetadataKey,
        ConsumerGroupPartitionMetadataKey,
        ConsumerGroupMemberMetadataKey,
        ConsumerGroupTargetAssignmentMetadataKey,
        ConsumerGroupTargetAssignmentMemberKey,
        ConsumerGroupCurrentMemberAssignmentKey,
        ConsumerGroupRegularExpressionKey,
        ShareGroupMetadataKey,
        ShareGroupMemberMetadataKey,
        ShareGroupTargetAssignmentMetadataKey,
        ShareGroupTargetAssignmentMemberKey,
        ShareGroupCurrentMemberAssignmentKey,
        ShareGroupStatePartitionMetadataKey,
        StreamsGroupMetadataKey,
        StreamsGroupMemberMetadataKey,
        StreamsGroupTargetAssignmentMetadataKey,
        StreamsGroupTargetAssignmentMemberKey,
        StreamsGroupCurrentMemberAssignmentKey,
        StreamsGroupTopologyKey,
    ]
}

fn share_keys() -> Records {
    keys![ShareSnapshotKey, ShareUpdateKey]
}

/// Each record alone, in a transaction, and with its tombstone behind it; and all together.
fn record_seeds(records: Records) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for (key, value) in &records {
        let plain = record(3, key, value);
        let tombstone = record(1, key, b"");
        seeds.push([&plain[..], &tombstone].concat());
        let transactional = record(7, key, value);
        let marker = record(12 + 16, b"", b"");
        seeds.push([transactional, marker].concat());
        all.extend(plain);
    }
    seeds.push(all);
    seeds
}

fn record(flags: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags, 5];
    pack(&mut bytes, key);
    pack(&mut bytes, value);
    bytes
}
