//! [`Plan`]: what a seed's run is like. Each run has some of the faults and not others, so that each is met both alone and
//! with any other.

use std::time::Duration;

use crate::random::Random;

/// What a run is like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) producers: u32,
    pub(crate) consumers: u32,
    /// Operations of each client.
    pub(crate) operations: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) open_files_max: usize,
    pub(crate) tail_bytes_max: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) faults: FaultPlan,
}

/// A topic of a run.
#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) segment_ms: u64,
}

/// Which faults a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultPlan {
    pub(crate) kills: bool,
    pub(crate) power_losses: bool,
    pub(crate) stops: bool,
    pub(crate) disk_errors: bool,
    pub(crate) disk_full: bool,
    pub(crate) slow_disk: bool,
    pub(crate) bad_network: bool,
    pub(crate) clock_jumps: bool,
    /// How many blows fall.
    pub(crate) blows: u64,
    /// The longest rest between two.
    pub(crate) rest: Duration,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let topics = 1 + random.below(3);
        let topic = |number: u64, random: &mut Random| TopicPlan {
            name: format!("t{number}"),
            partitions: i32::try_from(1 + random.below(3)).unwrap_or(1),
            segment_ms: [50, 500, 5_000, 3_600_000][random.index(4)],
        };
        Self {
            topics: (0..topics).map(|number| topic(number, random)).collect(),
            producers: u32::try_from(1 + random.below(4)).unwrap_or(1),
            consumers: u32::try_from(1 + random.below(3)).unwrap_or(1),
            operations: random.between(5, 60),
            checkpoint_bytes: [2_000, 20_000, 1 << 20][random.index(3)],
            open_files_max: [2, 4096][random.index(2)],
            tail_bytes_max: [0, 2_000, 8 << 20][random.index(3)],
            request_timeout: Duration::from_millis([100, 1_000, 10_000][random.index(3)]),
            faults: FaultPlan {
                kills: random.chance(500),
                power_losses: random.chance(600),
                stops: random.chance(300),
                disk_errors: random.chance(250),
                disk_full: random.chance(200),
                slow_disk: random.chance(500),
                bad_network: random.chance(400),
                clock_jumps: random.chance(200),
                blows: random.between(1, 8),
                rest: Duration::from_millis([20, 300, 3_000][random.index(3)]),
            },
        }
    }

    /// Broker settings by Kafka's names.
    pub(crate) fn broker_settings(&self) -> Vec<(String, String)> {
        let set = [
            ("auto.create.topics.enable", "false"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "2"),
            ("offsets.topic.segment.bytes", "2048"),
            ("transaction.state.log.num.partitions", "2"),
            ("log.retention.check.interval.ms", "1000"),
            ("log.cleaner.backoff.ms", "500"),
            ("log.cleaner.dedupe.buffer.size", "1048576"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        set.into_iter().map(owned).collect()
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let topics = self.topics.iter();
        topics
            .flat_map(|topic| {
                (0..topic.partitions).map(|index| Partition {
                    topic: topic.name.clone(),
                    index,
                })
            })
            .collect()
    }

    /// Whether what only the page cache has stays.
    pub(crate) fn keeps_page_cache(&self) -> bool {
        !self.faults.power_losses && !self.faults.disk_errors
    }
}

/// A partition of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) index: i32,
}

impl std::fmt::Display for Partition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.index)
    }
}
