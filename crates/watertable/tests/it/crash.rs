//! `kill -9` in the middle of producing: what was acknowledged is there, in order, and nothing twice.

use protocol::messages::ProduceRequest;
use protocol::records::{BatchIterator, BatchOptions};
use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};

use crate::server::Server;

/// Restarts, each after a `kill -9`.
const CYCLES: usize = 5;
/// Batches sent in a cycle, up to five of them in flight when the broker is killed.
const BATCHES: usize = 120;

/// What was acknowledged for a topic: offset and value of each record.
type Acked = Vec<(i64, String)>;

/// Sends batches of one record with `acks` and waits for all but the last few answers.
async fn produce_some(
    client: &mut RawClient,
    name: &str,
    acks: i16,
    cycle: usize,
    acked: &mut Acked,
) {
    let mut waiting = std::collections::VecDeque::new();
    for number in 0..BATCHES {
        let value = format!("{cycle}-{number}");
        let request = produce(name, acks, batch(BatchOptions::default(), &[&value]));
        waiting.push_back((client.request(&request, PRODUCE).await, value));
        if waiting.len() > 5 {
            let (id, value) = waiting.pop_front().unwrap();
            let answer = client.response::<ProduceRequest>(PRODUCE, id).await;
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!(answer.error_code, 0);
            acked.push((answer.base_offset, value));
        }
    }
}

/// All records of a topic, checksums compared.
pub(crate) async fn read_all(client: &mut RawClient, name: &str) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    loop {
        let from = records
            .last()
            .map_or(0, |(offset, _): &(i64, String)| offset + 1);
        let mut answer = client.call(&fetch(name, from, 0), FETCH).await;
        let partition = answer.responses.remove(0).partitions.remove(0);
        assert_eq!(partition.error_code, 0);
        let bytes = partition.records.unwrap().into_bytes().unwrap();
        if bytes.is_empty() {
            assert_eq!(from, partition.high_watermark);
            return records;
        }
        for view in BatchIterator::new(&bytes) {
            let view = view.unwrap();
            view.verify_crc().unwrap();
            for record in view.records(view.record_bytes()) {
                let record = record.unwrap();
                let offset = view.offset_of(record.offset_delta);
                if offset >= from {
                    records.push((
                        offset,
                        String::from_utf8(record.value.unwrap().to_vec()).unwrap(),
                    ));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let mut acked: [Acked; 2] = Default::default();
    // acks=all on an ordinary topic, acks=1 on one with write caching: the disk, and the page cache.
    let topics = [("durable", -1, "false"), ("cached", 1, "true")];
    for cycle in 0..CYCLES {
        let server = Server::start(data.path(), &[]);
        let mut client = RawClient::connect(server.kafka).await;
        for ((name, acks, caching), acked) in topics.iter().zip(&mut acked) {
            if cycle == 0 {
                topic(
                    &mut client,
                    name,
                    &[("write.caching", caching), ("segment.bytes", "1048576")],
                )
                .await;
            }
            produce_some(&mut client, name, *acks, cycle, acked).await;
            // The answers that were not waited for are lost with the connection.
            client = RawClient::connect(server.kafka).await;
        }
        server.signal(Signal::KILL);
        let (status, _) = server.end();
        assert!(!status.success());
    }
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    for ((name, ..), acked) in topics.iter().zip(&acked) {
        let records = read_all(&mut client, name).await;
        let offsets: Vec<_> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            offsets,
            (0..records.len() as i64).collect::<Vec<_>>(),
            "offsets of {name} are dense"
        );
        for (offset, value) in acked {
            assert_eq!(
                &records[usize::try_from(*offset).unwrap()].1,
                value,
                "record {offset} of {name}"
            );
        }
        let mut values: Vec<_> = records.iter().map(|(_, value)| value).collect();
        values.sort();
        values.dedup();
        assert_eq!(
            values.len(),
            records.len(),
            "nothing of {name} is there twice"
        );
        assert!(acked.len() >= CYCLES * (BATCHES - 5));
    }
}
