//! Idempotent producers: sequences that repeat, leap, wrap or go back, epochs that are stale, ids nobody gave out.

use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{batch, produce};

use super::{Side, topic};

const PRODUCE: i16 = 9;
const INIT_MAX: i16 = 5;

/// A batch of an idempotent producer.
#[derive(Clone, Copy)]
struct Sent {
    epoch: i16,
    sequence: i32,
    records: usize,
}

const fn sent(epoch: i16, sequence: i32, records: usize) -> Sent {
    Sent {
        epoch,
        sequence,
        records,
    }
}

pub(super) async fn errors(side: &mut Side) {
    ids(side).await;
    let name = topic(side, "sequences").await;
    let last = i32::MAX;
    let cases: [(&str, &[Sent]); 12] = [
        ("in order", &[sent(0, 0, 1), sent(0, 1, 2), sent(0, 3, 1)]),
        (
            "a leap",
            &[sent(0, 0, 1), sent(0, 2, 1), sent(0, 1, 1), sent(0, 2, 1)],
        ),
        (
            "repeated at once",
            &[sent(0, 0, 2), sent(0, 0, 2), sent(0, 2, 1), sent(0, 0, 2)],
        ),
        (
            "repeated with another count",
            &[sent(0, 0, 2), sent(0, 0, 1), sent(0, 1, 1), sent(0, 0, 3)],
        ),
        (
            "repeated within and beyond five batches",
            &[
                sent(0, 0, 1),
                sent(0, 1, 1),
                sent(0, 2, 1),
                sent(0, 3, 1),
                sent(0, 4, 1),
                sent(0, 5, 1),
                sent(0, 1, 1),
                sent(0, 5, 1),
                sent(0, 0, 1),
                sent(0, 6, 1),
                sent(0, 2, 1),
                sent(0, 1, 1),
            ],
        ),
        (
            "begins anywhere",
            &[sent(0, 5, 1), sent(0, 6, 1), sent(0, 5, 1), sent(0, 4, 1)],
        ),
        ("wraps", &[sent(0, last, 1), sent(0, 0, 1), sent(0, 1, 1)]),
        (
            "wraps within a batch",
            &[sent(0, last - 1, 3), sent(0, 1, 1), sent(0, last - 1, 3)],
        ),
        (
            "a new epoch",
            &[
                sent(0, 0, 1),
                sent(1, 0, 1),
                sent(0, 1, 1),
                sent(1, 1, 1),
                sent(0, 0, 1),
            ],
        ),
        (
            "a new epoch not from zero",
            &[sent(0, 0, 1), sent(1, 1, 1), sent(1, 0, 1), sent(0, 1, 1)],
        ),
        (
            "epochs left out",
            &[sent(3, 0, 1), sent(7, 0, 1), sent(5, 0, 1), sent(7, 1, 1)],
        ),
        ("no sequence", &[sent(0, -1, 1), sent(0, 0, 1)]),
    ];
    for (step, batches) in cases {
        let producer_id = producer_id(side).await;
        for (index, sent) in batches.iter().enumerate() {
            tell(
                side,
                &format!("produce: {step}, batch {index}"),
                &name,
                producer_id,
                *sent,
            )
            .await;
        }
    }
    // Ids that nobody gave out are as good as others.
    tell(
        side,
        "produce: an id of one's own",
        &name,
        123_456_789_012,
        sent(0, 3, 1),
    )
    .await;
    tell(side, "produce: a negative id", &name, -2, sent(0, 0, 1)).await;
}

fn options(producer_id: i64, sent: Sent) -> BatchOptions {
    BatchOptions {
        producer_id,
        producer_epoch: sent.epoch,
        base_sequence: sent.sequence,
        ..Default::default()
    }
}

async fn tell(side: &mut Side, step: &str, name: &str, producer_id: i64, sent: Sent) {
    let values = vec!["a"; sent.records];
    let request = produce(name, -1, batch(options(producer_id, sent), &values));
    let code = |answer: &ProduceResponse| answer.responses[0].partition_responses[0].error_code;
    let told = |answer: &ProduceResponse| {
        let partition = &answer.responses[0].partition_responses[0];
        format!(
            "error {}, offset {}",
            partition.error_code, partition.base_offset
        )
    };
    side.tell(step, PRODUCE, &request, code, told).await;
}

async fn producer_id(side: &mut Side) -> i64 {
    let request = init(None, -1, -1);
    let code = |answer: &InitProducerIdResponse| answer.error_code;
    side.tell("init", INIT_MAX, &request, code, code)
        .await
        .unwrap_or_default()
        .producer_id
}

fn init(
    transactional_id: Option<&str>,
    producer_id: i64,
    producer_epoch: i16,
) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
        ..Default::default()
    }
}

/// InitProducerId without a transactional id.
async fn ids(side: &mut Side) {
    let code = |answer: &InitProducerIdResponse| answer.error_code;
    let told = |answer: &InitProducerIdResponse| {
        format!(
            "error {}, epoch {}, id {}",
            answer.error_code,
            answer.producer_epoch,
            if answer.producer_id >= 0 {
                "given"
            } else {
                "none"
            }
        )
    };
    for version in 0..=INIT_MAX {
        side.tell("init: idempotent", version, &init(None, -1, -1), code, told)
            .await;
        for timeout in [0, -1, i32::MAX] {
            let request = InitProducerIdRequest {
                transaction_timeout_ms: timeout,
                ..init(None, -1, -1)
            };
            side.tell("init: any timeout", version, &request, code, told)
                .await;
        }
        if version >= 3 {
            for (id, epoch) in [(5, 0), (5, -1), (-1, 0), (5, i16::MAX)] {
                let request = init(None, id, epoch);
                side.tell("init: idempotent with an id", version, &request, code, told)
                    .await;
            }
        }
    }
}
