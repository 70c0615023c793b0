//! A partition that a request names twice counts as it is named last, and is answered once: in Kafka the partitions of a
//! request become a map.

use std::collections::HashSet;

use protocol::messages::ProduceRequest;

pub(super) fn keep_last(request: &mut ProduceRequest) {
    let partitions = request.topic_data.iter();
    if partitions
        .map(|topic| topic.partition_data.len())
        .sum::<usize>()
        <= 1
    {
        return;
    }
    let mut repeated = Vec::new();
    let mut seen = HashSet::new();
    for (position, topic) in request.topic_data.iter().enumerate().rev() {
        for (index, partition) in topic.partition_data.iter().enumerate().rev() {
            if !seen.insert((&*topic.name, topic.topic_id, partition.index)) {
                repeated.push((position, index));
            }
        }
    }
    drop(seen);
    // Positions from behind, so that those in front stay what they are.
    let mut left = repeated.into_iter().peekable();
    let positions = (0..request.topic_data.len()).rev();
    for position in positions {
        if left
            .peek()
            .is_none_or(|(repeated, _)| *repeated != position)
        {
            continue;
        }
        let topic = &mut request.topic_data[position];
        let mut index = topic.partition_data.len();
        topic.partition_data.reverse();
        topic.partition_data.retain(|_| {
            index -= 1;
            left.next_if_eq(&(position, index)).is_none()
        });
        topic.partition_data.reverse();
        if topic.partition_data.is_empty() {
            request.topic_data.remove(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

    use super::*;

    type Named<'a> = (&'a str, &'a [(i32, &'a str)]);

    fn kept(topics: &[Named<'_>]) -> Vec<(String, Vec<(i32, String)>)> {
        let topic = |(name, partitions): &Named<'_>| TopicProduceData {
            name: (*name).to_owned(),
            partition_data: partitions
                .iter()
                .map(|(index, records)| PartitionProduceData {
                    index: *index,
                    records: Some(bytes::Bytes::copy_from_slice(records.as_bytes()).into()),
                })
                .collect(),
            ..Default::default()
        };
        let mut request = ProduceRequest {
            topic_data: topics.iter().map(topic).collect(),
            ..Default::default()
        };
        keep_last(&mut request);
        let partition = |partition: PartitionProduceData| {
            let records = partition.records.unwrap().into_bytes().unwrap();
            (
                partition.index,
                String::from_utf8(records.to_vec()).unwrap(),
            )
        };
        let topic = |topic: TopicProduceData| {
            let partitions = topic.partition_data.into_iter().map(partition);
            (topic.name, partitions.collect())
        };
        request.topic_data.into_iter().map(topic).collect()
    }

    #[test]
    fn of_a_partition_that_is_named_twice_the_last_is_kept() {
        let told = |topics: &[Named<'_>]| -> Vec<(String, Vec<(i32, String)>)> {
            let partitions = |partitions: &[(i32, &str)]| {
                let partitions = partitions.iter();
                partitions
                    .map(|(index, value)| (*index, (*value).to_owned()))
                    .collect()
            };
            topics
                .iter()
                .map(|(name, of)| ((*name).to_owned(), partitions(of)))
                .collect()
        };
        let cases: [(&[Named<'_>], &[Named<'_>]); 5] = [
            (&[("t", &[(0, "a")])], &[("t", &[(0, "a")])]),
            (
                &[("t", &[(0, "a"), (1, "b")]), ("u", &[(0, "c")])],
                &[("t", &[(0, "a"), (1, "b")]), ("u", &[(0, "c")])],
            ),
            (
                &[("t", &[(0, "a"), (1, "b"), (0, "c")])],
                &[("t", &[(1, "b"), (0, "c")])],
            ),
            (
                &[("t", &[(0, "a")]), ("u", &[(0, "b")]), ("t", &[(0, "c")])],
                &[("u", &[(0, "b")]), ("t", &[(0, "c")])],
            ),
            (
                &[
                    ("t", &[(0, "a"), (1, "b")]),
                    ("t", &[(0, "c"), (0, "d")]),
                    ("t", &[]),
                ],
                &[("t", &[(1, "b")]), ("t", &[(0, "d")]), ("t", &[])],
            ),
        ];
        for (named, expected) in cases {
            assert_eq!(kept(named), told(expected), "{named:?}");
        }
    }
}
