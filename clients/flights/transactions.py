"""Topic `Transactions`: three partitions, two consumers of one group share them, a second group reads everything again.

Fails unless both consumers own partitions, none owns one of the other, and each group reads every record exactly once.
"""

import argparse
import json
import time

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "Transactions"
COUNT = 3000
SECONDS = 30


def check(condition, message):
    if not condition:
        raise SystemExit(message)


def produce(bootstrap):
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for number in range(COUNT):
        value = json.dumps({"transaction": number, "account": number % 97, "cents": number * 7 % 10_000})
        producer.produce(TOPIC, key=f"account-{number % 97}", value=value, on_delivery=lambda error, _: error and errors.append(error))
    check(producer.flush(SECONDS) == 0 and not errors, f"not acknowledged: {errors[:1]}")


def consumer(bootstrap, group):
    handle = Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "heartbeat.interval.ms": 500, "session.timeout.ms": 10000,
    })
    handle.subscribe([TOPIC])
    return handle


def poll(handle, into):
    for message in handle.consume(1000, 0.1):
        if message.error():
            raise KafkaException(message.error())
        into.append(json.loads(message.value())["transaction"])


def until(what, condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        check(time.monotonic() < deadline, f"{what}: not within {SECONDS} s")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    bootstrap = arguments.parse_args().bootstrap
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, 3, 1)], operation_timeout=20)[TOPIC].result()
    # Both join before there is anything to read, so that no record comes twice because a partition moved.
    sharing = [consumer(bootstrap, "share"), consumer(bootstrap, "share")]
    read = [[], []]

    def owned():
        for handle, into in zip(sharing, read):
            poll(handle, into)
        return [sorted(part.partition for part in handle.assignment()) for handle in sharing]

    def shared():
        parts = owned()
        return all(parts) and sorted(parts[0] + parts[1]) == [0, 1, 2]

    until("two consumers to share three partitions", shared)
    split = owned()
    produce(bootstrap)

    def complete():
        owned()
        return len(read[0]) + len(read[1]) >= COUNT

    until("one group to read everything", complete)
    check(sorted(read[0] + read[1]) == list(range(COUNT)), "the group read something else, or something twice")
    check(all(read), "a consumer of the group read nothing")
    for handle in sharing:
        handle.close()
    again = []
    alone = consumer(bootstrap, "again")

    def read_again():
        poll(alone, again)
        return len(again) >= COUNT

    until("the second group to read everything", read_again)
    check(sorted(again) == list(range(COUNT)), "the second group read something else")
    alone.close()
    print(json.dumps({"topic": TOPIC, "records": COUNT, "shared": split, "read": [len(part) for part in read], "again": len(again)}))


main()
