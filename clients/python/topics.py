"""Topics for the programs around command line tools. Creating them, and asking how many records a log holds, is not
what those cells are about, so confluent-kafka does it."""

import functools

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from cells import check, wait_until


class Setup:
    def __init__(self, cells):
        self.cells = cells

    @functools.cached_property
    def admin(self):
        return AdminClient({"bootstrap.servers": self.cells.bootstrap})

    @functools.cached_property
    def reader(self):
        return Consumer({"bootstrap.servers": self.cells.bootstrap, "group.id": "unused"})

    def create(self, topic, partitions=1, config=None):
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})], operation_timeout=20)[topic].result()
        wait_until(f"{topic} to be ready", lambda: self._is_ready(topic, partitions))
        return topic

    def _is_ready(self, topic, partitions):
        try:
            return len(self.end_offsets(topic)) == partitions
        except KafkaException as error:
            retriable = (
                confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
                confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE,
                confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
            )
            if error.args[0].code() in retriable:
                return False
            raise

    def end_offsets(self, topic):
        partitions = self.reader.list_topics(topic, 10).topics[topic].partitions
        return {part: self.reader.get_watermark_offsets(TopicPartition(topic, part), 10)[1] for part in partitions}

    def await_count(self, topic, count):
        """The log must end exactly at `count` records."""
        wait_until(f"{count} records in {topic}", lambda: sum(self.end_offsets(topic).values()) >= count)
        ends = self.end_offsets(topic)
        check(sum(ends.values()) == count, f"the log holds {ends}, expected {count} records")
