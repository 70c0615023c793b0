"""The compatibility matrix through kafka-python, a client written wholly in Python."""

import functools
import pathlib
import sys
import threading

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

import kafka  # noqa: E402
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition  # noqa: E402
from kafka.admin import ConfigResource, ConfigResourceType  # noqa: E402
from kafka.errors import (  # noqa: E402
    InvalidProducerEpochError,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerFencedError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata  # noqa: E402

from cells import ACKS, CODECS, HEADERS, LARGE, LARGE_LIMIT, NULLS, TRANSACTION, Cells, NotSupported, check, check_keyed, check_transactions, incompressible, key_of, transactional_records, value_of, wait_until  # noqa: E402, E501

cells = Cells("kafka-python", kafka.__version__)
COUNT = 200


@functools.cache
def admin():
    return KafkaAdminClient(bootstrap_servers=cells.bootstrap)


def create(topic, partitions=1, config=None):
    admin().create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": config or {}}})
    with consumer() as handle:
        wait_until(f"{topic} to be ready", lambda: is_ready(handle, topic, partitions))
    return topic


def is_ready(handle, topic, partitions):
    """Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records."""
    try:
        admin().wait_for_topics([topic])
        return len(end_offsets(handle, topic)) == partitions
    except (UnknownTopicOrPartitionError, LeaderNotAvailableError, NotLeaderForPartitionError):
        return False


def error_of(function):
    try:
        function()
    except KafkaError as error:
        return type(error)
    return None


def consumer(group=None, **settings):
    base = {"bootstrap_servers": cells.bootstrap, "group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    return KafkaConsumer(**base | settings)


def produce(topic, records, **settings):
    """Produces and waits for every acknowledgement; the first error is raised."""
    acks = settings.get("acks", "all")
    with KafkaProducer(bootstrap_servers=cells.bootstrap, enable_idempotence=settings.pop("idempotent", False), **settings) as handle:
        futures = [handle.send(topic, **record) for record in records]
        handle.flush(30)
        for future in futures:
            metadata = future.get(30)
            check(acks == 0 or metadata.offset >= 0, f"acknowledged with offset {metadata.offset}")


def keyed(row, count=COUNT):
    return [{"key": key_of(index), "value": value_of(row, index)} for index in range(count)]


def end_offsets(handle, topic):
    partitions = handle.partitions_for_topic(topic) or []
    return {part.partition: end for part, end in handle.end_offsets([TopicPartition(topic, partition) for partition in partitions]).items()}


def messages(handle, count):
    """Polls exactly so many messages."""
    read = []

    def more():
        for records in handle.poll(1000, max_records=count - len(read)).values():
            read.extend(records)
        return len(read) >= count

    wait_until(f"{count} messages", more)
    return read


def read_all(topic, count, **settings):
    """Reads every partition from its beginning; the log must end exactly at `count` records."""
    with consumer(**settings) as handle:
        wait_until(f"{count} records in {topic}", lambda: sum(end_offsets(handle, topic).values()) >= count)
        ends = end_offsets(handle, topic)
        check(sum(ends.values()) == count, f"the log holds {ends}, expected {count} records")
        handle.assign([TopicPartition(topic, partition) for partition in ends])
        handle.seek_to_beginning()
        return messages(handle, count)


def plain(read):
    return [(message.partition, message.offset, message.key, message.value) for message in read]


@cells.row("topic-create")
def topic_create(row):
    topic = create(cells.topic(row), 3, {"retention.ms": "3600000"})
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    config = admin().describe_configs([resource])["topic"][topic]
    check(config["retention.ms"]["value"] in ("3600000", 3600000), f"retention.ms is {config['retention.ms']}")
    again = error_of(lambda: admin().create_topics([topic]))
    check(again is TopicAlreadyExistsError, f"a second creation gives {again}")


@cells.row("topic-list")
def topic_list(row):
    names = [create(cells.topic(row, f"-{number}")) for number in range(2)]
    listed = admin().list_topics()
    check(all(name in listed for name in names), "a created topic is not listed")
    check(cells.topic(row, "-never") not in listed, "a topic is listed that nobody created")


@cells.row("topic-describe")
def topic_describe(row):
    topic = create(cells.topic(row), 3)
    partitions = sorted(admin().describe_topics([topic])[0]["partitions"], key=lambda part: part["partition_index"])
    check([part["partition_index"] for part in partitions] == [0, 1, 2], "not the partitions 0, 1, 2")
    for part in partitions:
        check(part["leader_id"] >= 0, f"partition {part['partition_index']} has no leader")
        check(part["replica_nodes"] == [part["leader_id"]], "replicas are not the leader alone")
        check(part["isr_nodes"] == [part["leader_id"]], "in-sync replicas are not the leader alone")
    code = admin().describe_topics([cells.topic(row, "-never")])[0]["error_code"]
    check(code == UnknownTopicOrPartitionError.errno, f"describing an unknown topic gives {code}")


@cells.row("topic-delete")
def topic_delete(row):
    topic = create(cells.topic(row), 3)
    admin().delete_topics([topic])
    wait_until("deleted topic to go", lambda: topic not in admin().list_topics())
    again = error_of(lambda: admin().delete_topics([topic]))
    check(again is UnknownTopicOrPartitionError, f"deleting it again gives {again}")


def produce_row(acks, codec):
    def run(row):
        topic = create(cells.topic(row), 3)
        produce(topic, keyed(row), acks="all" if acks == "all" else int(acks), compression_type=None if codec == "none" else codec)
        check_keyed(row, COUNT, plain(read_all(topic, COUNT)))

    cells.row(f"produce-acks-{acks}-{codec}")(run)


for acks in ACKS:
    for codec in CODECS:
        produce_row(acks, codec)


@cells.row("produce-idempotent")
def produce_idempotent(row):
    topic = create(cells.topic(row), 3)
    # Small batches, so that several are in flight and sequences matter.
    produce(topic, keyed(row), idempotent=True, batch_size=3000)
    check_keyed(row, COUNT, plain(read_all(topic, COUNT)))


@cells.row("consume-assign")
def consume_assign(row):
    topic = create(cells.topic(row), 3)
    produce(topic, [{"value": value_of(row, index), "partition": index % 3} for index in range(90)])
    with consumer() as handle:
        part = TopicPartition(topic, 1)
        handle.assign([part])
        handle.seek(part, 10)
        read = messages(handle, 20)
        check([message.offset for message in read] == list(range(10, 30)), "offsets are not 10 to 29")
        check([message.value for message in read] == [value_of(row, 1 + 3 * offset) for offset in range(10, 30)], "values differ")
        check(handle.position(part) == 30 and handle.end_offsets([part])[part] == 30, "the partition does not end at 30")
        check(handle.beginning_offsets([part])[part] == 0, "the partition does not begin at 0")


@cells.row("consume-group")
def consume_group(row):
    topic = create(cells.topic(row), 3)
    produce(topic, keyed(row))
    with consumer(topic) as handle:
        handle.subscribe([topic])
        check_keyed(row, COUNT, plain(messages(handle, COUNT)))
        described = admin().describe_groups([topic])[topic]
        check(len(described["members"]) == 1, f"the group has {len(described['members'])} members")


class Member(threading.Thread):
    """A member of a group in a thread of its own, as an application would run it."""

    def __init__(self, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.owned = []
        self.received = []
        self.leaving = threading.Event()
        self.start()

    def run(self):
        with consumer(self.topic, session_timeout_ms=10000, heartbeat_interval_ms=500) as handle:
            handle.subscribe([self.topic])
            while not self.leaving.is_set():
                # Long enough for a join on a busy machine: a poll that ends in the midst of one begins it anew.
                for records in handle.poll(1000).values():
                    self.received.extend(record.value for record in records)
                    handle.commit()
                self.owned = [part.partition for part in handle.assignment()]
        self.owned = []

    def leave(self):
        self.leaving.set()
        self.join(20)


@cells.row("rebalance")
def rebalance(row):
    topic = create(cells.topic(row), 6)
    members = []
    changed = threading.Event()

    def shared_evenly():
        changed.wait(0.02)
        flat = sorted(sum((member.owned for member in members), []))
        return flat == list(range(6)) and all(len(member.owned) == 6 // len(members) for member in members)

    def round_trip(label):
        for member in members:
            member.received.clear()
        sent = [value_of(row + label, index) for index in range(60)]
        produce(topic, [{"value": value, "partition": index % 6} for index, value in enumerate(sent)])

        def all_received():
            changed.wait(0.02)
            return sum(len(member.received) for member in members) >= len(sent)

        wait_until(f"records {label}", all_received)
        received = sum((member.received for member in members), [])
        check(sorted(received) == sorted(sent), f"records {label} differ or came twice")
        check(all(member.received for member in members), f"not every member got records {label}")

    for number in range(3):
        members.append(Member(topic))
        wait_until(f"{number + 1} members to share the partitions", shared_evenly)
    round_trip("with three")
    for number in (2, 1):
        members.pop(0).leave()
        wait_until(f"{number} members to take over", shared_evenly)
    round_trip("with one")
    members[0].leave()


@cells.row("commit-resume")
def commit_resume(row):
    topic = create(cells.topic(row))
    part = TopicPartition(topic, 0)
    produce(topic, [{"value": value_of(row, index)} for index in range(100)])
    with consumer(topic) as first:
        first.subscribe([topic])
        messages(first, 40)
        first.commit({part: OffsetAndMetadata(40, "noted", -1)})
        check(first.committed(part) == 40, f"committed offset is {first.committed(part)}")
        check(first.committed(part, metadata=True).metadata == "noted", "the metadata of the commit is gone")
    with consumer(topic) as second:
        second.subscribe([topic])
        rest = messages(second, 60)
    check([message.offset for message in rest] == list(range(40, 100)), "does not resume at 40")
    check([message.value for message in rest] == [value_of(row, index) for index in range(40, 100)], "values differ")


@cells.row("seek-time")
def seek_time(row):
    topic = create(cells.topic(row))
    part = TopicPartition(topic, 0)
    start = 1_700_000_000_000
    produce(topic, [{"value": value_of(row, index), "timestamp_ms": start + index * 1000} for index in range(100)])
    with consumer() as handle:
        # Between two records: the later one is meant.
        found = handle.offsets_for_times({part: start + 49_500})[part]
        check((found.offset, found.timestamp) == (50, start + 50_000), f"the offset for the time is {found}")
        handle.assign([part])
        handle.seek(part, found.offset)
        read = messages(handle, 50)
        check([message.timestamp for message in read] == [start + index * 1000 for index in range(50, 100)], "timestamps differ")
        after = handle.offsets_for_times({part: start + 1_000_000})[part]
        check(after is None, f"a time after all records gives {after}")


@cells.row("headers")
def headers(row):
    topic = create(cells.topic(row))
    # kafka-python refuses to send a null header value.
    sent = [header for header in HEADERS if header[1] is not None]
    produce(topic, [{"value": b"with", "headers": sent}, {"value": b"without"}])
    read = read_all(topic, 2)
    check(list(read[0].headers) == sent, f"headers are {read[0].headers}")
    check(not read[1].headers, f"headers are {read[1].headers}")
    return "without a null header value, which the client refuses to send"


@cells.row("null-key-value")
def null_key_value(row):
    topic = create(cells.topic(row))
    # kafka-python refuses to send a record that has neither.
    sent = [pair for pair in NULLS if pair != (None, None)]
    produce(topic, [{"key": key, "value": value, "partition": 0} for key, value in sent])
    read = [(message.key, message.value) for message in read_all(topic, len(sent))]
    check(read == sent, f"read {read}")
    return "without a record that has neither, which the client refuses to send"


@cells.row("large-message-refused")
def large_message_refused(row):
    topic = create(cells.topic(row))
    error = error_of(lambda: produce(topic, [{"value": incompressible(LARGE)}], max_request_size=LARGE_LIMIT))
    check(error is MessageSizeTooLargeError, f"10 MiB give {error}")
    produce(topic, [{"value": b"small"}])
    check([message.value for message in read_all(topic, 1)] == [b"small"], "the log holds something else")


@cells.row("large-message-accepted")
def large_message_accepted(row):
    topic = create(cells.topic(row), config={"max.message.bytes": str(LARGE_LIMIT)})
    value = incompressible(LARGE)
    produce(topic, [{"value": value}], max_request_size=LARGE_LIMIT)
    check([message.value for message in read_all(topic, 1)] == [value], "read back differently")


def transactional(identifier):
    handle = KafkaProducer(bootstrap_servers=cells.bootstrap, transactional_id=identifier)
    handle.init_transactions()
    return handle


def send(handle, topic, records):
    futures = [handle.send(topic, **record) for record in records]
    handle.flush(30)
    for future in futures:
        future.get(30)


def isolated(topic, count, isolation):
    """The first `count` records of three partitions."""
    with consumer(isolation_level=isolation) as handle:
        handle.assign([TopicPartition(topic, partition) for partition in range(3)])
        handle.seek_to_beginning()
        return [(message.partition, message.value) for message in messages(handle, count)]


@cells.row("transactions")
def transactions(row):
    topic = create(cells.topic(row), 3)
    with transactional(topic) as handle:
        for part in "abc":
            handle.begin_transaction()
            send(handle, topic, transactional_records(row, part))
            handle.abort_transaction() if part == "b" else handle.commit_transaction()
    check_transactions(row, "ac", isolated(topic, 2 * TRANSACTION, "read_committed"))
    check_transactions(row, "abc", isolated(topic, 3 * TRANSACTION, "read_uncommitted"))


@cells.row("transaction-fenced")
def transaction_fenced(row):
    topic = create(cells.topic(row), 3)
    first = transactional(topic)
    first.begin_transaction()
    send(first, topic, transactional_records(row, "a"))
    with transactional(topic) as second:
        error = error_of(first.commit_transaction)
        check(error in (ProducerFencedError, InvalidProducerEpochError), f"the older producer's commit gives {error}")
        second.begin_transaction()
        send(second, topic, transactional_records(row, "b"))
        second.commit_transaction()
    first.close(timeout=0)
    check_transactions(row, "b", isolated(topic, TRANSACTION, "read_committed"))


@cells.row("transaction-offsets")
def transaction_offsets(row):
    source, sink = create(cells.topic(row)), create(cells.topic(row, "-sink"), 3)
    place = TopicPartition(source, 0)
    produce(source, [{"value": value_of(row, index)} for index in range(40)])
    with transactional(sink) as handle:
        for part in "ab":
            with consumer(source) as reader:
                reader.subscribe([source])
                read = messages(reader, 20)
                check(read[0].offset == (0 if part == "a" else 20), "does not begin where the transaction ended")
                handle.begin_transaction()
                send(handle, sink, transactional_records(row, part))
                end = OffsetAndMetadata(20 if part == "a" else 40, "", -1)
                handle.send_offsets_to_transaction({place: end}, source)
                handle.commit_transaction() if part == "a" else handle.abort_transaction()
                # This client does not ask for stable offsets: the marker may come a little later.
                wait_until(f"offset 20 to be committed after {part}", lambda: reader.committed(place) == 20)
    check_transactions(row, "a", isolated(sink, TRANSACTION, "read_committed"))


@cells.row("consumer-protocol")
def consumer_protocol(row):
    raise NotSupported("the client knows the classic group protocol only")


if __name__ == "__main__":
    cells.main()
