"""Reads everything there is, once all faults are mended, with both isolation levels; and what the jobs made of their input: of
each committed record one, in order."""

from confluent_kafka import Consumer, KafkaError, TopicPartition

from common import TOPICS, ends, partitions_of, patiently, reading, usable
from history import History, now

# Reads in a row that an error answers, on a partition whose files were damaged on purpose.
DAMAGED_MAX = 200_000


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
    while len(ended) < len(partitions):
        begun = now()
        messages = patiently(lambda: consumer.consume(1000, 30))
        if not messages:
            raise SystemExit(f"only {len(ended)} of {len(partitions)} partitions were read to their end within 30 s")
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


def read_damaged(arguments, process):
    """The topic whose files were flipped: where the broker refuses, one offset further."""
    history = History(arguments.folder, "victim", "drain", process)
    consumer = Consumer(reading(arguments.bootstrap, "drain-victim") | {"fetch.error.backoff.ms": 1, "fetch.queue.backoff.ms": 1})
    refused = 0
    for one in partitions_of("victim", offset=0):
        consumer.assign([one])
        history.assign([one])
        end, position = ends(consumer, [one])[0], 0
        while position < end:
            begun = now()
            records = []
            for message in consumer.consume(500, 10):
                code = message.error() and message.error().code()
                if code in (KafkaError.INVALID_MSG, KafkaError._BAD_MSG):
                    # Told again until the reader moves on.
                    if message.offset() != position:
                        continue
                    refused, position = refused + 1, position + 1
                    if refused > DAMAGED_MAX:
                        raise SystemExit(f"refused {refused} times")
                    history.polled(begun, records)
                    records, begun = [], now()
                    consumer.seek(TopicPartition(one.topic, one.partition, position))
                    break
                if usable(message) and message.offset() >= position:
                    records.append(message)
                    position = message.offset() + 1
            history.polled(begun, records)
    consumer.close()
    print(f"{refused} reads of the damaged topic were refused")
