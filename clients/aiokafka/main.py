"""The compatibility matrix through aiokafka, the client for asyncio."""

import asyncio
import contextlib
import importlib.metadata
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: E402
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # noqa: E402
from aiokafka.errors import (  # noqa: E402
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerFenced,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from cells import ACKS, CODECS, HEADERS, LARGE, LARGE_LIMIT, NULLS, TRANSACTION, Cells, NotSupported, check, check_keyed, check_transactions, incompressible, key_of, transactional_records, value_of  # noqa: E402, E501

cells = Cells("aiokafka", importlib.metadata.version("aiokafka"))
COUNT = 200


def row(name):
    """Registers a coroutine; every row has an event loop of its own."""

    def register(function):
        cells.row(name)(lambda row: asyncio.run(function(row)))
        return function

    return register


async def wait_until(what, condition, seconds=20):
    """Awaits `condition` until it returns something true; `condition` itself blocks shortly."""
    deadline = time.monotonic() + seconds
    while True:
        result = await condition()
        if result:
            return result
        check(time.monotonic() < deadline, f"{what}: not within {seconds} s")


@contextlib.asynccontextmanager
async def admin():
    handle = AIOKafkaAdminClient(bootstrap_servers=cells.bootstrap)
    await handle.start()
    try:
        yield handle
    finally:
        await handle.close()


@contextlib.asynccontextmanager
async def consumer(*topics, **settings):
    handle = await start_consumer(*topics, **settings)
    try:
        yield handle
    finally:
        await handle.stop()


async def start_consumer(*topics, **settings):
    base = {"bootstrap_servers": cells.bootstrap, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    handle = AIOKafkaConsumer(*topics, **base | settings)
    await handle.start()
    return handle


async def create(topic, partitions=1, config=None):
    async with admin() as handle:
        check(await create_error(handle, topic, partitions, config) == 0, "creation failed")
        async with consumer() as reader:
            await wait_until(f"{topic} to be ready", lambda: is_ready(handle, reader, topic, partitions))
    return topic


async def create_error(handle, topic, partitions, config=None):
    # Answers per topic are not raised by this client.
    answer = await handle.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
    return answer.topic_errors[0][1]


async def delete_error(handle, topic):
    return (await handle.delete_topics([topic])).topic_error_codes[0][1]


async def is_ready(handle, reader, topic, partitions):
    """Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records."""
    try:
        known = len((await handle.describe_topics([topic]))[0]["partitions"])
        return known == partitions and len(await end_offsets(reader, topic, partitions)) == partitions
    except (UnknownTopicOrPartitionError, LeaderNotAvailableError, NotLeaderForPartitionError):
        return False


async def produce(topic, records, **settings):
    """Produces and waits for every acknowledgement; the first error is raised."""
    acks = settings.get("acks", "all")
    handle = AIOKafkaProducer(bootstrap_servers=cells.bootstrap, **settings)
    await handle.start()
    try:
        futures = [await handle.send(topic, **record) for record in records]
        for metadata in await asyncio.gather(*futures):
            check(acks == 0 or metadata.offset >= 0, f"acknowledged with {metadata}")
    finally:
        await handle.stop()


def keyed(row, count=COUNT):
    return [{"key": key_of(index), "value": value_of(row, index)} for index in range(count)]


async def end_offsets(handle, topic, partitions):
    ends = await handle.end_offsets([TopicPartition(topic, partition) for partition in range(partitions)])
    return {part.partition: end for part, end in ends.items()}


async def messages(handle, count):
    """Reads exactly so many messages."""
    read = []

    async def more():
        batches = await handle.getmany(timeout_ms=1000, max_records=count - len(read))
        for records in batches.values():
            read.extend(records)
        return len(read) >= count

    await wait_until(f"{count} messages", more)
    return read


async def await_count(topic, count, partitions=1):
    """Waits until readers see `count` records. What is acknowledged with acks=1, this client's default, may become
    visible a little later."""
    async with consumer() as handle:

        async def total():
            return sum((await end_offsets(handle, topic, partitions)).values())

        async def complete():
            return await total() >= count

        await wait_until(f"{count} records in {topic}", complete)
        check(await total() == count, f"the log holds {await total()}, expected {count} records")


async def read_all(topic, count, partitions=1, **settings):
    """Reads every partition from its beginning; the log must end exactly at `count` records."""
    await await_count(topic, count, partitions)
    async with consumer(**settings) as handle:
        handle.assign([TopicPartition(topic, partition) for partition in range(partitions)])
        await handle.seek_to_beginning()
        return await messages(handle, count)


def plain(read):
    return [(message.partition, message.offset, message.key, message.value) for message in read]


@row("topic-create")
async def topic_create(row):
    topic = await create(cells.topic(row), 3, {"retention.ms": "3600000"})
    async with admin() as handle:
        answers = await handle.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        entries = answers[0].resources[0][4]
        config = {entry[0]: entry[1] for entry in entries}
        check(config["retention.ms"] == "3600000", f"retention.ms is {config['retention.ms']}")
        again = await create_error(handle, topic, 3)
        check(again == TopicAlreadyExistsError.errno, f"a second creation gives {again}")


@row("topic-list")
async def topic_list(row):
    names = [await create(cells.topic(row, f"-{number}")) for number in range(2)]
    async with admin() as handle:
        listed = await handle.list_topics()
    check(all(name in listed for name in names), "a created topic is not listed")
    check(cells.topic(row, "-never") not in listed, "a topic is listed that nobody created")


@row("topic-describe")
async def topic_describe(row):
    topic = await create(cells.topic(row), 3)
    async with admin() as handle:
        partitions = sorted((await handle.describe_topics([topic]))[0]["partitions"], key=lambda part: part["partition"])
        missing = (await handle.describe_topics([cells.topic(row, ".not/legal")]))[0]["error_code"]
    check([part["partition"] for part in partitions] == [0, 1, 2], "not the partitions 0, 1, 2")
    for part in partitions:
        check(part["leader"] >= 0, f"partition {part['partition']} has no leader")
        check(part["replicas"] == [part["leader"]], "replicas are not the leader alone")
        check(part["isr"] == [part["leader"]], "in-sync replicas are not the leader alone")
    # An unknown legal name would be created: this client asks with auto-creation.
    check(missing == 17, f"describing an illegal name gives {missing}")


@row("topic-delete")
async def topic_delete(row):
    topic = await create(cells.topic(row), 3)
    async with admin() as handle:
        check(await delete_error(handle, topic) == 0, "deletion failed")

        async def gone():
            return topic not in await handle.list_topics()

        await wait_until("deleted topic to go", gone)
        again = await delete_error(handle, topic)
        check(again == UnknownTopicOrPartitionError.errno, f"deleting it again gives {again}")


def produce_row(acks, codec):
    async def run(row):
        topic = await create(cells.topic(row), 3)
        compression = None if codec == "none" else codec
        await produce(topic, keyed(row), acks="all" if acks == "all" else int(acks), compression_type=compression)
        check_keyed(row, COUNT, plain(await read_all(topic, COUNT, 3)))

    row(f"produce-acks-{acks}-{codec}")(run)


for acks in ACKS:
    for codec in CODECS:
        produce_row(acks, codec)


@row("produce-idempotent")
async def produce_idempotent(row):
    topic = await create(cells.topic(row), 3)
    # Small batches, so that sequences matter.
    await produce(topic, keyed(row), enable_idempotence=True, max_batch_size=3000)
    check_keyed(row, COUNT, plain(await read_all(topic, COUNT, 3)))


@row("consume-assign")
async def consume_assign(row):
    topic = await create(cells.topic(row), 3)
    await produce(topic, [{"value": value_of(row, index), "partition": index % 3} for index in range(90)])
    await await_count(topic, 90, 3)
    async with consumer() as handle:
        part = TopicPartition(topic, 1)
        handle.assign([part])
        handle.seek(part, 10)
        read = await messages(handle, 20)
        check([message.offset for message in read] == list(range(10, 30)), "offsets are not 10 to 29")
        check([message.value for message in read] == [value_of(row, 1 + 3 * offset) for offset in range(10, 30)], "values differ")
        check(await handle.position(part) == 30 and (await handle.end_offsets([part]))[part] == 30, "the partition does not end at 30")
        check((await handle.beginning_offsets([part]))[part] == 0, "the partition does not begin at 0")


@row("consume-group")
async def consume_group(row):
    topic = await create(cells.topic(row), 3)
    await produce(topic, keyed(row))
    async with consumer(topic, group_id=topic) as handle, admin() as describer:
        check_keyed(row, COUNT, plain(await messages(handle, COUNT)))
        described = (await describer.describe_consumer_groups([topic]))[0].groups[0]
        check(described[:3] == (0, topic, "Stable") and len(described[5]) == 1, f"the group is {described[:3]}")


@row("rebalance")
async def rebalance(row):
    topic = await create(cells.topic(row), 6)
    members = []
    received = []

    async def poll_all():
        for member in members:
            for records in (await member.getmany(timeout_ms=50)).values():
                received.extend((message, member) for message in records)

    async def shared_evenly():
        await poll_all()
        owned = [[part.partition for part in member.assignment()] for member in members]
        flat = sorted(sum(owned, []))
        return flat == list(range(6)) and all(len(part) == 6 // len(members) for part in owned)

    async def join():
        members.append(await start_consumer(topic, group_id=topic, heartbeat_interval_ms=500))
        await wait_until(f"{len(members)} members to share the partitions", shared_evenly)

    async def round_trip(label):
        received.clear()
        sent = [value_of(row + label, index) for index in range(60)]
        await produce(topic, [{"value": value, "partition": index % 6} for index, value in enumerate(sent)])

        async def all_received():
            await poll_all()
            return len(received) >= len(sent)

        await wait_until(f"records {label}", all_received)
        check(sorted(message.value for message, _ in received) == sorted(sent), f"records {label} differ or came twice")
        check(len({id(member) for _, member in received}) == len(members), f"not every member got records {label}")
        for member in members:
            await member.commit()

    for _ in range(3):
        await join()
    await round_trip("with three")
    for _ in range(2):
        await members.pop(0).stop()
        await wait_until(f"{len(members)} members to take over", shared_evenly)
    await round_trip("with one")
    await members[0].stop()


@row("commit-resume")
async def commit_resume(row):
    topic = await create(cells.topic(row))
    part = TopicPartition(topic, 0)
    await produce(topic, [{"value": value_of(row, index)} for index in range(100)])
    async with consumer(topic, group_id=topic) as first:
        await messages(first, 40)
        await first.commit({part: (40, "noted")})
        check(await first.committed(part) == 40, f"committed offset is {await first.committed(part)}")
    async with consumer(topic, group_id=topic) as second:
        rest = await messages(second, 60)
    check([message.offset for message in rest] == list(range(40, 100)), "does not resume at 40")
    check([message.value for message in rest] == [value_of(row, index) for index in range(40, 100)], "values differ")


@row("seek-time")
async def seek_time(row):
    topic = await create(cells.topic(row))
    part = TopicPartition(topic, 0)
    start = 1_700_000_000_000
    await produce(topic, [{"value": value_of(row, index), "timestamp_ms": start + index * 1000} for index in range(100)])
    await await_count(topic, 100)
    async with consumer() as handle:
        # Between two records: the later one is meant.
        found = (await handle.offsets_for_times({part: start + 49_500}))[part]
        check((found.offset, found.timestamp) == (50, start + 50_000), f"the offset for the time is {found}")
        handle.assign([part])
        handle.seek(part, found.offset)
        read = await messages(handle, 50)
        check([message.timestamp for message in read] == [start + index * 1000 for index in range(50, 100)], "timestamps differ")
        after = (await handle.offsets_for_times({part: start + 1_000_000}))[part]
        check(after is None, f"a time after all records gives {after}")


@row("headers")
async def headers(row):
    topic = await create(cells.topic(row))
    await produce(topic, [{"value": b"with", "headers": HEADERS}, {"value": b"without"}])
    read = await read_all(topic, 2)
    check(list(read[0].headers) == HEADERS, f"headers are {read[0].headers}")
    check(not read[1].headers, f"headers are {read[1].headers}")


@row("null-key-value")
async def null_key_value(row):
    topic = await create(cells.topic(row))
    # aiokafka refuses to send a record that has neither.
    sent = [pair for pair in NULLS if pair != (None, None)]
    await produce(topic, [{"key": key, "value": value, "partition": 0} for key, value in sent])
    read = [(message.key, message.value) for message in await read_all(topic, len(sent))]
    check(read == sent, f"read {read}")
    return "without a record that has neither, which the client refuses to send"


@row("large-message-refused")
async def large_message_refused(row):
    topic = await create(cells.topic(row))
    try:
        await produce(topic, [{"value": incompressible(LARGE)}], max_request_size=LARGE_LIMIT)
        check(False, "10 MiB were accepted")
    except KafkaError as error:
        check(isinstance(error, MessageSizeTooLargeError), f"refused with {error!r}")
    await produce(topic, [{"value": b"small"}])
    check([message.value for message in await read_all(topic, 1)] == [b"small"], "the log holds something else")


@row("large-message-accepted")
async def large_message_accepted(row):
    topic = await create(cells.topic(row), config={"max.message.bytes": str(LARGE_LIMIT)})
    value = incompressible(LARGE)
    await produce(topic, [{"value": value}], max_request_size=LARGE_LIMIT)
    read = await read_all(topic, 1, max_partition_fetch_bytes=LARGE_LIMIT)
    check([message.value for message in read] == [value], "read back differently")


@contextlib.asynccontextmanager
async def transactional(identifier):
    handle = AIOKafkaProducer(bootstrap_servers=cells.bootstrap, transactional_id=identifier)
    await handle.start()
    try:
        yield handle
    finally:
        with contextlib.suppress(ProducerFenced):
            await handle.stop()


async def send(handle, topic, records):
    await asyncio.gather(*[await handle.send(topic, **record) for record in records])


async def isolated(topic, count, isolation):
    """The first `count` records of three partitions."""
    async with consumer(isolation_level=isolation) as handle:
        handle.assign([TopicPartition(topic, partition) for partition in range(3)])
        await handle.seek_to_beginning()
        return [(message.partition, message.value) for message in await messages(handle, count)]


@row("transactions")
async def transactions(row):
    topic = await create(cells.topic(row), 3)
    async with transactional(topic) as handle:
        for part in "abc":
            await handle.begin_transaction()
            await send(handle, topic, transactional_records(row, part))
            await (handle.abort_transaction() if part == "b" else handle.commit_transaction())
    check_transactions(row, "ac", await isolated(topic, 2 * TRANSACTION, "read_committed"))
    check_transactions(row, "abc", await isolated(topic, 3 * TRANSACTION, "read_uncommitted"))


@row("transaction-fenced")
async def transaction_fenced(row):
    topic = await create(cells.topic(row), 3)
    async with transactional(topic) as first:
        await first.begin_transaction()
        await send(first, topic, transactional_records(row, "a"))
        async with transactional(topic) as second:
            try:
                await first.commit_transaction()
                check(False, "the older producer committed")
            except ProducerFenced:
                pass
            await second.begin_transaction()
            await send(second, topic, transactional_records(row, "b"))
            await second.commit_transaction()
    check_transactions(row, "b", await isolated(topic, TRANSACTION, "read_committed"))


@row("transaction-offsets")
async def transaction_offsets(row):
    source, sink = await create(cells.topic(row)), await create(cells.topic(row, "-sink"), 3)
    place = TopicPartition(source, 0)
    await produce(source, [{"value": value_of(row, index)} for index in range(40)])
    async with transactional(sink) as handle:
        for part in "ab":
            async with consumer(source, group_id=source) as reader:
                read = await messages(reader, 20)
                check(read[0].offset == (0 if part == "a" else 20), "does not begin where the transaction ended")
                await handle.begin_transaction()
                await send(handle, sink, transactional_records(row, part))
                await handle.send_offsets_to_transaction({place: 20 if part == "a" else 40}, source)
                await (handle.commit_transaction() if part == "a" else handle.abort_transaction())

                async def is_committed():
                    # This client does not ask for stable offsets: the marker may come a little later.
                    return await reader.committed(place) == 20

                await wait_until(f"offset 20 to be committed after {part}", is_committed)
    check_transactions(row, "a", await isolated(sink, TRANSACTION, "read_committed"))


@row("consumer-protocol")
async def consumer_protocol(row):
    raise NotSupported("the client knows the classic group protocol only")


if __name__ == "__main__":
    cells.main()
