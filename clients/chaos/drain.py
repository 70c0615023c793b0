"""Reads everything there is, once all faults are mended, with both isolation levels; and what the jobs made of their input: of
each committed record one, in order."""

import random
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from common import PATIENCE_SECONDS, TOPICS, ends, partitions_of, reading, run_threads, stop, usable
from history import History, now

# So long nothing may come while there is more.
QUIET_SECONDS = 60


def drain(arguments):
    process = arguments.process
    sources = read_all(arguments, "all", process, ["plain", "in", "out"], "read_committed")
    if arguments.kind == "all":
        read_all(arguments, "uncommitted", process + 2, ["plain", "in", "out"], "read_uncommitted")
        check_jobs(sources)
        read_damaged(arguments, process + 4)


def read_all(arguments, view, process, topics, isolation):
    """All records, as (key, offset) by partition."""
    history = History(arguments.folder, view, "drain", process)
    consumer = Consumer(reading(arguments.bootstrap, f"drain-{process}", isolation) | {"enable.partition.eof": True})
    partitions = partitions_of(*topics, offset=0)
    consumer.assign(partitions)
    history.assign(partitions)
    found = {(one.topic, one.partition): [] for one in partitions}
    ended = set()
    deadline = time.monotonic() + QUIET_SECONDS
    while len(ended) < len(partitions):
        begun = now()
        messages = consumer.consume(1000, 0.5)
        if messages:
            deadline = time.monotonic() + QUIET_SECONDS
        elif time.monotonic() > deadline:
            raise SystemExit(f"{len(ended)} of {len(partitions)} partitions were read to their end, then nothing for {QUIET_SECONDS} s")
        for message in messages:
            if message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF:
                ended.add((message.topic(), message.partition()))
        records = [message for message in messages if usable(message)]
        for message in records:
            found[message.topic(), message.partition()].append((message.key(), message.offset()))
        history.polled(begun, records)
    consumer.close()
    return found


def check_jobs(found):
    for partition in range(TOPICS["in"]):
        wanted = [b"%d@%d" % (partition, offset) for _, offset in found["in", partition]]
        made = [key for key, _ in found["out", partition]]
        if made != wanted:
            missing, extra = set(wanted) - set(made), len(made) - len(set(made))
            raise SystemExit(
                f"out-{partition}: {len(made)} records of {len(wanted)} inputs, {len(missing)} missing, {extra} twice, for example "
                f"{sorted(missing)[:5]}, {[one for one in made if made.count(one) > 1][:5] if extra < 1000 else ''}"
            )
    inputs = sum(len(found["in", partition]) for partition in range(TOPICS["in"]))
    print(f"{inputs} records were transformed, each once and in order")


def reread(arguments):
    """Here and there in the topic that is damaged, all the time."""
    history = History(arguments.folder, "victim", "reread", arguments.process)
    chance = random.Random(f"{arguments.seed} {arguments.process}")

    def run():
        consumer = Consumer(damaged_reading(arguments, "reread"))
        while not stop.wait(2):
            end = ends(consumer, partitions_of("victim"))[0]
            first = chance.randrange(end + 1)
            read_part(consumer, history, first, min(end, first + 1000))
        consumer.close()

    run_threads([("reread", run)])


def read_damaged(arguments, process):
    history = History(arguments.folder, "victim", "drain", process)
    consumer = Consumer(damaged_reading(arguments, "drain-victim"))
    refused = read_part(consumer, history, 0, ends(consumer, partitions_of("victim"))[0])
    consumer.close()
    print(f"{refused} records of the damaged topic were refused")


def damaged_reading(arguments, group):
    return reading(arguments.bootstrap, group) | {"fetch.error.backoff.ms": 20}


def read_part(consumer, history, first, end):
    """The records of the damaged topic from one offset to another; where the broker refuses, one offset further. How many were
    refused."""
    [one] = partitions_of("victim", offset=first)
    consumer.assign([one])
    history.assign([one])
    refused, position = 0, first
    deadline = time.monotonic() + PATIENCE_SECONDS
    while position < end:
        if time.monotonic() > deadline:
            raise SystemExit(f"the damaged topic cannot be read from {first} to {end}: stuck at {position}, {refused} refused")
        begun, records = now(), []
        for message in consumer.consume(500, 0.2):
            if message.error() is not None and message.error().code() in (KafkaError.INVALID_MSG, KafkaError._BAD_MSG):
                # It is told again until the reader moves on.
                if message.offset() == position:
                    refused, position = refused + 1, position + 1
                    consumer.assign([TopicPartition(one.topic, one.partition, position)])
                break
            if usable(message) and message.offset() >= position:
                records.append(message)
                position = message.offset() + 1
        history.polled(begun, records)
    return refused
