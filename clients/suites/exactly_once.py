"""A consume-transform-produce job with transactions, and what feeds it and checks what came out.

feed FROM TO   writes the records FROM..TO into the input, round robin over its partitions
work           copies input to output, transformed, one transaction per batch; prints a line per commit; runs until it is killed.
               An error that a new producer must cure ends it with status 3.
verify COUNT   waits until the job has committed all COUNT inputs, then reads the output with read_committed: per partition it
               must be the input, transformed, each record once and in order

DEBUG in the environment is what librdkafka logs, for example "eos,cgrp".
"""

import os
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 3
GROUP = "exactly-once"
INPUT, OUTPUT = "exactly-once-in", "exactly-once-out"
BATCH_MAX = 15
VERIFY_SECONDS = 600


def common(bootstrap):
    # A broker that was killed is back within a moment.
    return {
        "bootstrap.servers": bootstrap,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "socket.connection.setup.timeout.ms": 3000,
        # Otherwise librdkafka 2.16 forgets its brokers when all are gone, and a transactional producer then sends its offsets to
        # one it has forgotten, until the call's time is over.
        "metadata.recovery.strategy": "none",
        **({"debug": os.environ["DEBUG"]} if "DEBUG" in os.environ else {"log_level": 2}),
    }


def transformed(value):
    return b"out-" + value


def create(bootstrap):
    admin = AdminClient(common(bootstrap))
    topics = [NewTopic(name, PARTITIONS, 1) for name in (INPUT, OUTPUT)]
    for future in admin.create_topics(topics).values():
        future.result()


def feed(bootstrap, first, last):
    producer = Producer(common(bootstrap) | {"enable.idempotence": True, "linger.ms": 5})
    for number in range(first, last):
        producer.produce(INPUT, b"%d" % number, partition=number % PARTITIONS)
    if producer.flush(60) != 0:
        raise SystemExit("the input was not written")


def work(bootstrap):
    producer = Producer(
        common(bootstrap) | {"transactional.id": "exactly-once", "transaction.timeout.ms": 30000, "linger.ms": 0}
    )
    while True:
        try:
            producer.init_transactions(30)
            break
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
    consumer = Consumer(
        common(bootstrap)
        | {
            "group.id": GROUP,
            # The place of a member that was killed is taken at once.
            "group.instance.id": "worker",
            "session.timeout.ms": 30000,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([INPUT])
    print("ready", flush=True)
    while True:
        batch = [message for message in consumer.consume(BATCH_MAX, 0.1) if message.error() is None]
        if not batch:
            continue
        producer.begin_transaction()
        for message in batch:
            producer.produce(OUTPUT, transformed(message.value()), partition=message.partition())
        positions = {}
        for message in batch:
            positions[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(INPUT, partition, offset) for partition, offset in positions.items()]
        retried(lambda: producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 30))
        retried(lambda: producer.commit_transaction(30))
        print(f"committed {len(batch)}", flush=True)


def retried(call):
    """Until it succeeds or fails for good; a caller who is told to abort starts anew instead, which aborts too."""
    while True:
        try:
            return call()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def ends(consumer, topic):
    return [consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1] for partition in range(PARTITIONS)]


def verify(bootstrap, count):
    reader = Consumer(common(bootstrap) | {"group.id": GROUP, "enable.auto.commit": False})
    partitions = [TopicPartition(INPUT, partition) for partition in range(PARTITIONS)]
    expected = {partition: [b"%d" % number for number in range(count) if number % PARTITIONS == partition] for partition in range(PARTITIONS)}
    deadline = time.monotonic() + VERIFY_SECONDS
    while True:
        # Offsets of a transaction that is still open are not told: then the answer is an error, and asked again.
        try:
            committed = [position.offset for position in reader.committed(partitions, timeout=10)]
        except KafkaException as error:
            committed = str(error)
        if committed == [len(expected[partition]) for partition in range(PARTITIONS)]:
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"the job has not finished: committed {committed}, inputs end at {ends(reader, INPUT)}")
        time.sleep(0.2)
    reader.close()
    found = {partition: [] for partition in range(PARTITIONS)}
    consumer = Consumer(
        common(bootstrap)
        | {"group.id": "verify", "enable.auto.commit": False, "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(OUTPUT, partition, 0) for partition in range(PARTITIONS)])
    at_end = set()
    while len(at_end) < PARTITIONS:
        message = consumer.poll(30)
        if message is None:
            raise SystemExit(f"the output does not end: {[len(values) for values in found.values()]} records")
        if message.error() is not None:
            at_end.add(message.partition())
            continue
        found[message.partition()].append(message.value())
    offsets = sum(ends(consumer, OUTPUT))
    consumer.close()
    for partition, values in expected.items():
        wanted = [transformed(value) for value in values]
        if found[partition] != wanted:
            missing, extra = set(wanted) - set(found[partition]), len(found[partition]) - len(set(found[partition]))
            raise SystemExit(
                f"partition {partition}: {len(found[partition])} records, expected {len(wanted)}; "
                f"{len(missing)} missing, {extra} repeated, {'same set' if not missing and not extra else 'not the same set'}"
            )
    print(f"{count} records, each once and in order; {offsets - count} offsets of markers and aborted records")


def main():
    bootstrap, command, *numbers = sys.argv[1:]
    commands = {"create": create, "feed": feed, "work": work, "verify": verify}
    try:
        commands[command](bootstrap, *map(int, numbers))
    except KafkaException as error:
        print(f"{command}: {error}", file=sys.stderr, flush=True)
        # Without the clients' orderly end, which waits for a broker that may just have been killed.
        os._exit(3)


main()
