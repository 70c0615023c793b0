"""The compatibility matrix through librdkafka, by way of confluent-kafka."""

import functools
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

import confluent_kafka  # noqa: E402
from confluent_kafka import (  # noqa: E402
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # noqa: E402

from cells import ACKS, CODECS, HEADERS, LARGE, LARGE_LIMIT, NULLS, TRANSACTION, Cells, check, check_keyed, check_transactions, incompressible, key_of, transactional_records, value_of, wait_until  # noqa: E402, E501

VERSION = f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})"
cells = Cells("confluent-kafka", VERSION)
COUNT = 200


@functools.cache
def admin():
    return AdminClient({"bootstrap.servers": cells.bootstrap})


def create(topic, partitions=1, config=None):
    futures = admin().create_topics([NewTopic(topic, partitions, 1, config=config or {})], operation_timeout=20)
    futures[topic].result()
    handle = consumer("unused")
    wait_until(f"{topic} to be ready", lambda: is_ready(handle, topic, partitions))
    handle.close()
    return topic


def is_ready(handle, topic, partitions):
    """Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records."""
    try:
        return len(end_offsets(handle, topic)) == partitions
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION):
            return False
        raise


def error_code(future):
    try:
        future.result()
    except KafkaException as error:
        return error.args[0].code()
    return None


def producer(**settings):
    return Producer({"bootstrap.servers": cells.bootstrap} | {name.replace("_", "."): value for name, value in settings.items()})


def consumer(group, **settings):
    base = {"bootstrap.servers": cells.bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer(base | {name.replace("_", "."): value for name, value in settings.items()})


def produce(topic, records, **settings):
    """Produces and waits for every acknowledgement; the first error is raised."""
    outcomes = []
    handle = producer(**settings)
    for record in records:
        handle.produce(topic, on_delivery=lambda error, message: outcomes.append(error), **record)
    check(handle.flush(30) == 0, "messages left after flush")
    errors = [error for error in outcomes if error is not None]
    if errors:
        raise KafkaException(errors[0])
    check(len(outcomes) == len(records), f"{len(outcomes)} delivery reports for {len(records)} records")


def keyed(row, count=COUNT):
    return [{"key": key_of(index), "value": value_of(row, index)} for index in range(count)]


def end_offsets(handle, topic):
    partitions = handle.list_topics(topic, 10).topics[topic].partitions
    return {partition: handle.get_watermark_offsets(TopicPartition(topic, partition), 10)[1] for partition in partitions}


def messages(handle, count):
    """Polls exactly so many messages; an error of the broker is raised."""
    read = []

    def more():
        message = handle.poll(1)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            read.append(message)
        return len(read) >= count

    wait_until(f"{count} messages", more)
    return read


def read_all(topic, count, **settings):
    """Reads every partition from its beginning; the log must end exactly at `count` records."""
    handle = consumer("unused", **settings)
    try:
        wait_until(f"{count} records in {topic}", lambda: sum(end_offsets(handle, topic).values()) >= count)
        ends = end_offsets(handle, topic)
        check(sum(ends.values()) == count, f"the log holds {ends}, expected {count} records")
        handle.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
        return messages(handle, count)
    finally:
        handle.close()


def plain(read):
    return [(message.partition(), message.offset(), message.key(), message.value()) for message in read]


@cells.row("topic-create")
def topic_create(row):
    topic = create(cells.topic(row), 3, {"retention.ms": "3600000"})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = admin().describe_configs([resource])[resource].result()
    check(config["retention.ms"].value == "3600000", f"retention.ms is {config['retention.ms'].value}")
    again = admin().create_topics([NewTopic(topic, 3, 1)])[topic]
    check(error_code(again) == KafkaError.TOPIC_ALREADY_EXISTS, "a second creation is not refused as TOPIC_ALREADY_EXISTS")


@cells.row("topic-list")
def topic_list(row):
    names = [create(cells.topic(row, f"-{number}")) for number in range(2)]
    listed = admin().list_topics(timeout=10).topics
    check(all(name in listed for name in names), "a created topic is not listed")
    check(cells.topic(row, "-never") not in listed, "a topic is listed that nobody created")


@cells.row("topic-describe")
def topic_describe(row):
    topic = create(cells.topic(row), 3)
    described = admin().describe_topics(TopicCollection([topic]))[topic].result()
    check([partition.id for partition in described.partitions] == [0, 1, 2], "not the partitions 0, 1, 2")
    for partition in described.partitions:
        check(partition.leader is not None, f"partition {partition.id} has no leader")
        check([node.id for node in partition.replicas] == [partition.leader.id], "replicas are not the leader alone")
        check([node.id for node in partition.isr] == [partition.leader.id], "in-sync replicas are not the leader alone")
    missing = cells.topic(row, "-never")
    code = error_code(admin().describe_topics(TopicCollection([missing]))[missing])
    check(code == KafkaError.UNKNOWN_TOPIC_OR_PART, f"describing an unknown topic gives {code}")


@cells.row("topic-delete")
def topic_delete(row):
    topic = create(cells.topic(row), 3)
    admin().delete_topics([topic], operation_timeout=20)[topic].result()
    wait_until("deleted topic to go", lambda: topic not in admin().list_topics(timeout=10).topics)
    code = error_code(admin().delete_topics([topic])[topic])
    check(code == KafkaError.UNKNOWN_TOPIC_OR_PART, f"deleting it again gives {code}")


def produce_row(acks, codec):
    def run(row):
        topic = create(cells.topic(row), 3)
        produce(topic, keyed(row), acks=acks, compression_type=codec)
        check_keyed(row, COUNT, plain(read_all(topic, COUNT)))

    cells.row(f"produce-acks-{acks}-{codec}")(run)


for acks in ACKS:
    for codec in CODECS:
        produce_row(acks, codec)


@cells.row("produce-idempotent")
def produce_idempotent(row):
    topic = create(cells.topic(row), 3)
    # Small batches, so that several are in flight and sequences matter.
    produce(topic, keyed(row), enable_idempotence=True, batch_num_messages=7)
    check_keyed(row, COUNT, plain(read_all(topic, COUNT)))


@cells.row("consume-assign")
def consume_assign(row):
    topic = create(cells.topic(row), 3)
    produce(topic, [{"value": value_of(row, index), "partition": index % 3} for index in range(90)])
    handle = consumer("unused")
    handle.assign([TopicPartition(topic, 1, 10)])
    read = messages(handle, 20)
    check([message.offset() for message in read] == list(range(10, 30)), "offsets are not 10 to 29")
    check([message.value() for message in read] == [value_of(row, 1 + 3 * offset) for offset in range(10, 30)], "values differ")
    check(handle.get_watermark_offsets(TopicPartition(topic, 1), 10) == (0, 30), "the partition is not [0, 30)")
    handle.close()


@cells.row("consume-group")
def consume_group(row):
    topic = create(cells.topic(row), 3)
    produce(topic, keyed(row))
    handle = consumer(topic)
    handle.subscribe([topic])
    check_keyed(row, COUNT, plain(messages(handle, COUNT)))
    groups = admin().describe_consumer_groups([topic])
    described = groups[topic].result()
    check(len(described.members) == 1, f"the group has {len(described.members)} members")
    handle.close()


@cells.row("rebalance")
def rebalance(row):
    share_partitions(row, session_timeout_ms=10000, heartbeat_interval_ms=500)


@cells.row("consumer-protocol")
def consumer_protocol(row):
    # Heartbeat and session are the broker's matter in this protocol.
    share_partitions(row, group_protocol="consumer")
    group = admin().describe_consumer_groups([cells.topic(row)])[cells.topic(row)].result()
    check(str(group.type).endswith("CONSUMER"), f"the group is of type {group.type}")


def share_partitions(row, **settings):
    """Six partitions shared by members that join and leave; records come once all the while."""
    topic = create(cells.topic(row), 6)
    members = []
    received = []

    def poll_all():
        for member in members:
            message = member.poll(0.05)
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                received.append((message, member))

    def shared_evenly():
        poll_all()
        owned = [[part.partition for part in member.assignment()] for member in members]
        flat = sorted(sum(owned, []))
        return flat == list(range(6)) and all(len(part) == 6 // len(members) for part in owned)

    def join():
        members.append(consumer(topic, **settings))
        members[-1].subscribe([topic])
        wait_until(f"{len(members)} members to share the partitions", shared_evenly)

    def round_trip(label):
        received.clear()
        sent = [value_of(row + label, index) for index in range(60)]
        produce(topic, [{"value": value, "partition": index % 6} for index, value in enumerate(sent)])

        def all_received():
            poll_all()
            return len(received) >= len(sent)

        wait_until(f"records {label}", all_received)
        check(sorted(message.value() for message, _ in received) == sorted(sent), f"records {label} differ or came twice")
        check(len({id(member) for _, member in received}) == len(members), f"not every member got records {label}")
        for member in members:
            member.commit(asynchronous=False)

    for number in range(3):
        join()
    round_trip("with three")
    for number in range(2):
        members.pop(0).close()
        wait_until(f"{len(members)} members to take over", shared_evenly)
    round_trip("with one")
    members[0].close()


@cells.row("commit-resume")
def commit_resume(row):
    topic = create(cells.topic(row))
    produce(topic, [{"value": value_of(row, index)} for index in range(100)])
    first = consumer(topic)
    first.subscribe([topic])
    read = messages(first, 40)
    first.commit(message=read[-1], asynchronous=False)
    committed = first.committed([TopicPartition(topic, 0)], 10)[0].offset
    check(committed == 40, f"committed offset is {committed}")
    first.close()
    second = consumer(topic)
    second.subscribe([topic])
    rest = messages(second, 60)
    check([message.offset() for message in rest] == list(range(40, 100)), "does not resume at 40")
    check([message.value() for message in rest] == [value_of(row, index) for index in range(40, 100)], "values differ")
    second.close()


@cells.row("seek-time")
def seek_time(row):
    topic = create(cells.topic(row))
    start = 1_700_000_000_000
    produce(topic, [{"value": value_of(row, index), "timestamp": start + index * 1000} for index in range(100)])
    handle = consumer("unused")
    # Between two records: the later one is meant.
    found = handle.offsets_for_times([TopicPartition(topic, 0, start + 49_500)], 10)[0].offset
    check(found == 50, f"the offset for the time is {found}")
    handle.assign([TopicPartition(topic, 0, found)])
    read = messages(handle, 50)
    check([message.timestamp()[1] for message in read] == [start + index * 1000 for index in range(50, 100)], "timestamps differ")
    after = handle.offsets_for_times([TopicPartition(topic, 0, start + 1_000_000)], 10)[0].offset
    check(after in (confluent_kafka.OFFSET_END, 100), f"a time after all records gives {after}")
    handle.close()


@cells.row("headers")
def headers(row):
    topic = create(cells.topic(row))
    produce(topic, [{"value": b"with", "headers": HEADERS}, {"value": b"without"}])
    read = read_all(topic, 2)
    check(read[0].headers() == HEADERS, f"headers are {read[0].headers()}")
    check(not read[1].headers(), f"headers are {read[1].headers()}")


@cells.row("null-key-value")
def null_key_value(row):
    topic = create(cells.topic(row))
    produce(topic, [{"key": key, "value": value, "partition": 0} for key, value in NULLS])
    read = [(message.key(), message.value()) for message in read_all(topic, len(NULLS))]
    check(read == NULLS, f"read {read}")


@cells.row("large-message-refused")
def large_message_refused(row):
    topic = create(cells.topic(row))
    try:
        produce(topic, [{"value": incompressible(LARGE)}], message_max_bytes=LARGE_LIMIT)
        check(False, "10 MiB were accepted")
    except KafkaException as error:
        check(error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE, f"refused with {error}")
    produce(topic, [{"value": b"small"}])
    check([message.value() for message in read_all(topic, 1)] == [b"small"], "the log holds something else")


@cells.row("large-message-accepted")
def large_message_accepted(row):
    topic = create(cells.topic(row), config={"max.message.bytes": str(LARGE_LIMIT)})
    value = incompressible(LARGE)
    produce(topic, [{"value": value}], message_max_bytes=LARGE_LIMIT)
    check([message.value() for message in read_all(topic, 1)] == [value], "read back differently")


def transactional(identifier):
    handle = producer(transactional_id=identifier)
    handle.init_transactions(20)
    return handle


def send(handle, topic, records):
    for record in records:
        handle.produce(topic, **record)


def isolated(topic, count, isolation):
    """The first `count` records of three partitions."""
    handle = consumer("unused", isolation_level=isolation)
    handle.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(3)])
    read = [(message.partition(), message.value()) for message in messages(handle, count)]
    handle.close()
    return read


@cells.row("transactions")
def transactions(row):
    topic = create(cells.topic(row), 3)
    handle = transactional(topic)
    for part in "abc":
        handle.begin_transaction()
        send(handle, topic, transactional_records(row, part))
        check(handle.flush(20) == 0, "messages left after flush")
        handle.abort_transaction(20) if part == "b" else handle.commit_transaction(20)
    check_transactions(row, "ac", isolated(topic, 2 * TRANSACTION, "read_committed"))
    check_transactions(row, "abc", isolated(topic, 3 * TRANSACTION, "read_uncommitted"))


@cells.row("transaction-fenced")
def transaction_fenced(row):
    topic = create(cells.topic(row), 3)
    first = transactional(topic)
    first.begin_transaction()
    send(first, topic, transactional_records(row, "a"))
    first.flush(20)
    second = transactional(topic)
    try:
        first.commit_transaction(20)
        check(False, "the older producer committed")
    except KafkaException as error:
        check(error.args[0].fatal(), f"the older producer is refused with {error}")
    second.begin_transaction()
    send(second, topic, transactional_records(row, "b"))
    second.commit_transaction(20)
    check_transactions(row, "b", isolated(topic, TRANSACTION, "read_committed"))


@cells.row("transaction-offsets")
def transaction_offsets(row):
    source, sink = create(cells.topic(row)), create(cells.topic(row, "-sink"), 3)
    produce(source, [{"value": value_of(row, index)} for index in range(40)])
    handle = transactional(sink)
    for part in "ab":
        reader = consumer(source)
        reader.subscribe([source])
        check(messages(reader, 20)[0].offset() == (0 if part == "a" else 20), "does not begin where the transaction ended")
        handle.begin_transaction()
        send(handle, sink, transactional_records(row, part))
        end = [TopicPartition(source, 0, 20 if part == "a" else 40)]
        handle.send_offsets_to_transaction(end, reader.consumer_group_metadata(), 20)
        handle.commit_transaction(20) if part == "a" else handle.abort_transaction(20)
        committed = reader.committed([TopicPartition(source, 0)], 10)[0].offset
        check(committed == 20, f"committed offset is {committed} after {part}")
        reader.close()
    check_transactions(row, "a", isolated(sink, TRANSACTION, "read_committed"))


if __name__ == "__main__":
    cells.main()
