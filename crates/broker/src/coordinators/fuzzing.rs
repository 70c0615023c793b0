//! Replay of records that may hold anything, for the targets of the `fuzzing` crate: what [`super::loader`] does with a
//! partition, and then a first look at the machine that comes of it.

use std::time::Duration;

use coordinator::share_state::{ShareStateSettings, ShareStateShard};
use coordinator::{
    DescribeRequest, EndMarker, GroupRequest, GroupShard, ListRequest, ListTransactionsRequest,
    MachineOutput, Now, Origin, Producer, ReplyToken, TransactionRequest, TransactionShard,
    TransactionVersion,
};
use types::{GroupId, Offset, ProducerEpoch, ProducerId, Timestamp, TransactionalId};

use super::records::{DecodedRecord, RecordFormat, encode_output};

/// A record of an internal topic, or the end of a transaction among them.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Whose transaction it belongs to, or ends: producer and epoch.
    pub producer: Option<(i64, i16)>,
    /// The end of that transaction: whether it committed.
    pub marker: Option<bool>,
}

/// Replays records of `__consumer_offsets`. False if a record is refused, which ends the load.
pub fn replay_groups(events: &[Event<'_>]) -> bool {
    let groups = || vec![GroupId::new("group"), GroupId::new("")];
    let requests = vec![
        GroupRequest::List(ListRequest::default()),
        GroupRequest::Describe(DescribeRequest { groups: groups() }),
        GroupRequest::DescribeConsumerGroups(DescribeRequest { groups: groups() }),
    ];
    replay::<GroupShard>(Default::default(), requests, events)
}

/// Replays records of `__transaction_state`.
pub fn replay_transactions(events: &[Event<'_>]) -> bool {
    let ids = vec![TransactionalId::new("id"), TransactionalId::new("")];
    let requests = vec![
        TransactionRequest::List(ListTransactionsRequest::default()),
        TransactionRequest::Describe(ids),
    ];
    replay::<TransactionShard>(Default::default(), requests, events)
}

/// Replays records of `__share_group_state`.
pub fn replay_share_states(events: &[Event<'_>]) -> bool {
    let settings = ShareStateSettings {
        updates_per_snapshot: 3,
        maintenance_interval: Duration::from_secs(60),
    };
    replay::<ShareStateShard>(settings, Vec::new(), events)
}

fn replay<M>(settings: M::Settings, requests: Vec<M::Request>, events: &[Event<'_>]) -> bool
where
    M: RecordFormat,
    M::Record: PartialEq,
{
    let mut now = Now {
        wall: Timestamp::from_ms(1_700_000_000_000),
        ..Now::default()
    };
    let mut machine = M::new(settings.clone());
    for (offset, event) in (0..).zip(events) {
        if !apply(&mut machine, now, offset, event) {
            return false;
        }
    }
    appendable::<M>(&machine.configure(now, settings), now);
    appendable::<M>(&machine.start(now), now);
    for (token, request) in (1..).zip(requests) {
        appendable::<M>(&machine.handle(now, ReplyToken(token), request), now);
    }
    // Every timer that is set runs once; one that is due at once again and again would hold up the broker.
    for _ in 0..100 {
        let Some(deadline) = machine.next_deadline() else {
            break;
        };
        now.instant = now.instant.max(deadline);
        appendable::<M>(&machine.tick(now), now);
        now.instant = now.instant.plus(Duration::from_millis(1));
    }
    true
}

fn apply<M>(machine: &mut M, now: Now, offset: i64, event: &Event<'_>) -> bool
where
    M: RecordFormat,
    M::Record: PartialEq,
{
    let producer = event.producer.and_then(|(id, epoch)| {
        Some(Producer {
            id: ProducerId::new(id)?,
            epoch: ProducerEpoch::new(epoch)?,
        })
    });
    if let (Some(producer), Some(committed)) = (producer, event.marker) {
        let marker = EndMarker {
            producer,
            coordinator_epoch: 0,
            committed,
            version: TransactionVersion::V0,
        };
        machine.replay_marker(now, marker);
        return true;
    }
    let record = match M::decode(event.key, event.value) {
        Ok(DecodedRecord::Known(record)) => record,
        Ok(DecodedRecord::UnknownType(_)) => return true,
        Err(_refused) => return false,
    };
    // What was read can be written, and is read the same.
    let (key, value) = M::encode(&record).expect("what was read can be written");
    let again = M::decode(Some(&key), value.as_deref());
    assert!(
        matches!(&again, Ok(DecodedRecord::Known(again)) if *again == record),
        "{record:?} is read again as {again:?}"
    );
    let offset = Offset::new(offset).unwrap_or_default();
    let origin = Origin { offset, producer };
    machine.replay(now, origin, record).is_ok()
}

/// What a machine gives can be appended.
fn appendable<M: RecordFormat>(output: &MachineOutput<M>, now: Now) {
    encode_output::<M>(output, now.wall, 1 << 20).expect("what a machine gives can be written");
}
