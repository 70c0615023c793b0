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
    pub(crate) loads: LoadPlan,
    /// Operations of each client.
    pub(crate) operations: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) open_files_max: usize,
    pub(crate) tail_bytes_max: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) faults: FaultPlan,
}

/// What becomes of the records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicKind {
    /// They stay.
    Plain,
    /// They stay, and belong to transactions.
    Transactional,
    /// They are deleted by request.
    Trimmed,
    /// Segments are short, and retention gives up the oldest.
    Retained,
    /// They count once they are in the page cache (`write.caching`): a loss of power may take them.
    Cached,
    /// Of each key only the newest stays for sure.
    Compacted,
    /// Bits of its files flip while the broker is down.
    Damaged,
}

impl TopicKind {
    /// Whether its sends and polls are a history of a log that keeps everything.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Plain | Self::Transactional)
    }

    /// Whether the ordinary producers send to it.
    pub(crate) fn is_common(self) -> bool {
        !matches!(self, Self::Transactional | Self::Compacted)
    }

    /// Whether readers may find that what they stand before is gone.
    pub(crate) fn loses_records(self) -> bool {
        matches!(self, Self::Trimmed | Self::Retained | Self::Cached)
    }
}

/// A topic of a run.
#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) kind: TopicKind,
    pub(crate) partitions: i32,
    pub(crate) segment_ms: u64,
    pub(crate) index_interval_bytes: u64,
}

impl TopicPlan {
    pub(crate) fn new(name: String, kind: TopicKind, random: &mut Random) -> Self {
        let partitions = match kind {
            TopicKind::Compacted | TopicKind::Damaged => 1,
            _ => i32::try_from(1 + random.below(3)).unwrap_or(1),
        };
        // Segments are small because they are short: settings allow none below a MiB.
        let segment_ms = match kind {
            TopicKind::Retained | TopicKind::Compacted | TopicKind::Damaged => {
                [20, 100, 500][random.index(3)]
            }
            _ => [50, 500, 5_000, 3_600_000][random.index(4)],
        };
        Self {
            name,
            kind,
            partitions,
            segment_ms,
            index_interval_bytes: [0, 200, 65_536][random.index(3)],
        }
    }

    /// Topic settings by Kafka's names.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("segment.ms", self.segment_ms.to_string()),
            ("file.delete.delay.ms", "100".to_owned()),
            (
                "index.interval.bytes",
                self.index_interval_bytes.to_string(),
            ),
        ];
        let special: &[_] = match self.kind {
            TopicKind::Retained => &[("retention.bytes", "2000")],
            TopicKind::Cached => &[("write.caching", "true")],
            TopicKind::Compacted => &[
                ("cleanup.policy", "compact"),
                ("min.cleanable.dirty.ratio", "0"),
                ("delete.retention.ms", "100"),
            ],
            _ => &[],
        };
        settings.extend(
            special
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        settings
    }
}

/// Who does what, besides the ordinary producers and consumers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    /// Transactional ids, each used by one or two producers.
    pub(crate) transactional_ids: u32,
    pub(crate) instances: u32,
    /// Their clients know transactions v2 (KIP-890).
    pub(crate) transactions_v2: bool,
    pub(crate) transaction_timeout: Duration,
    /// Producers with several requests in flight.
    pub(crate) pipelines: u32,
    /// Members of a group that share its partitions.
    pub(crate) members: u32,
    /// A topic is deleted and made anew under its name.
    pub(crate) recreates: bool,
    /// All batches have the same length: what a crash leaves behind an end then fits where another batch went.
    pub(crate) even_batches: bool,
}

impl LoadPlan {
    fn new(random: &mut Random) -> Self {
        let mut some = |chance, limit| {
            if random.chance(chance) {
                u32::try_from(1 + random.below(limit)).unwrap_or(1)
            } else {
                0
            }
        };
        let (transactional_ids, pipelines, members) = (some(250, 2), some(250, 2), some(150, 3));
        Self {
            transactional_ids,
            instances: u32::try_from(1 + random.below(2)).unwrap_or(1),
            transactions_v2: random.chance(500),
            transaction_timeout: Duration::from_millis([300, 3_000, 30_000][random.index(3)]),
            pipelines,
            members,
            recreates: random.chance(80),
            even_batches: random.chance(300),
        }
    }
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
    /// A process that came up again is soon hit again.
    pub(crate) crashes_again: bool,
    /// How many blows fall.
    pub(crate) blows: u64,
    /// The longest rest between two.
    pub(crate) rest: Duration,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let loads = LoadPlan::new(random);
        Self {
            topics: Self::draw_topics(&loads, random),
            loads,
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
                crashes_again: random.chance(400),
                blows: random.between(1, 8),
                rest: Duration::from_millis([20, 300, 3_000][random.index(3)]),
            },
        }
    }

    fn draw_topics(loads: &LoadPlan, random: &mut Random) -> Vec<TopicPlan> {
        use TopicKind::{Cached, Compacted, Damaged, Plain, Retained, Transactional, Trimmed};
        let mut kinds = vec![Plain];
        for _further in 0..random.below(3) {
            kinds.push([Plain, Plain, Trimmed, Retained, Cached][random.index(5)]);
        }
        let special = [
            (loads.transactional_ids > 0, Transactional),
            (random.chance(150), Compacted),
            (random.chance(120), Damaged),
        ];
        kinds.extend(
            special
                .into_iter()
                .filter_map(|(is_on, kind)| is_on.then_some(kind)),
        );
        let topics = kinds.into_iter().enumerate();
        topics
            .map(|(number, kind)| TopicPlan::new(format!("t{number}"), kind, random))
            .collect()
    }

    /// Broker settings by Kafka's names.
    pub(crate) fn broker_settings(&self) -> Vec<(String, String)> {
        let set = [
            ("auto.create.topics.enable", "false"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "2"),
            ("offsets.topic.segment.bytes", "2048"),
            ("transaction.state.log.num.partitions", "2"),
            ("transaction.state.log.segment.bytes", "2048"),
            (
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                "500",
            ),
            ("group.min.session.timeout.ms", "100"),
            ("log.retention.check.interval.ms", "1000"),
            ("log.cleaner.backoff.ms", "500"),
            ("log.cleaner.dedupe.buffer.size", "1048576"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        set.into_iter().map(owned).collect()
    }

    /// The partitions of the topics that `wants` wants.
    pub(crate) fn partitions(&self, wants: impl Fn(TopicKind) -> bool) -> Vec<Partition> {
        let topics = self.topics.iter().filter(|topic| wants(topic.kind));
        topics
            .flat_map(|topic| {
                (0..topic.partitions).map(|index| Partition {
                    topic: topic.name.clone(),
                    kind: topic.kind,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) index: i32,
    pub(crate) kind: TopicKind,
}

impl Partition {
    /// Its name in the history and in the model.
    pub(crate) fn key(&self) -> String {
        self.to_string()
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.index)
    }
}
