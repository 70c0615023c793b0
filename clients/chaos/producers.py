"""Producers: idempotent ones with many records in flight, and one with acks=1 that never sends twice."""

import functools
import random
import time
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, Producer

from common import (
    PATIENCE_SECONDS,
    TOPICS,
    common,
    ends,
    log,
    log_error,
    partitions_of,
    reading,
    run_threads,
    stop,
    unwrapped,
)
from history import History, Send, payload


def settings(bootstrap, kind):
    if kind == "acks1":
        # What is not acknowledged is not sent again: so nothing is there twice, and nobody knows of it.
        return common(bootstrap) | {"acks": 1, "message.send.max.retries": 0, "linger.ms": 2, "error_cb": log_error}
    return common(bootstrap) | {
        "enable.idempotence": True,
        "linger.ms": 1,
        # Small batches, so that several requests are in flight.
        "batch.num.messages": 20,
        "message.timeout.ms": PATIENCE_SECONDS * 1000,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 200,
        "error_cb": log_error,
    }


class Burst:
    """Sends records in bursts, and waits for the last answer of each before the next."""

    def __init__(self, arguments, kind, topic, process, burst, rate, size):
        self.bootstrap, self.kind, self.topic, self.process = arguments.bootstrap, kind, topic, process
        self.history = History(arguments.folder, "victim" if topic == "victim" else "all", kind, process)
        self.random = random.Random(f"{arguments.seed} {process}")
        self.burst, self.rate, self.size = burst, rate, size
        self.next_value = process << 32

    def run(self):
        self.open()
        while not stop.is_set():
            began = time.monotonic()
            count = self.random.randint(1, self.burst)
            self.send(self.random.randrange(TOPICS[self.topic]) for _ in range(count))
            stop.wait(count / self.rate - (time.monotonic() - began))
        self.finish()

    def finish(self):
        """Each partition ends with a record, and not with a transaction's marker, so that groups can commit its very end."""
        wait_for_markers(self.bootstrap, self.topic)
        self.send(range(TOPICS[self.topic]))

    def open(self):
        self.producer = Producer(settings(self.bootstrap, self.kind))

    def send(self, partitions):
        sends = []
        for partition in partitions:
            sends.append(Send(self.topic, partition, self.next_value))
            self.next_value += 1
        self.history.invoke([send.step() for send in sends])
        is_usable = self.deliver(sends)
        self.history.sent(sends)
        if not is_usable:
            self.open()

    def deliver(self, sends):
        """False if only a new producer can go on."""
        try:
            for send in sends:
                self.hand_over(send)
            while not all(send.reported for send in sends):
                unwrapped(self.producer.poll, 0.1)
            return True
        except KafkaException as error:
            log(f"producer {self.process} is given up: {error}")
            self.producer.purge()
            # It may tell the same again while it reports what was purged.
            with suppress(KafkaException):
                unwrapped(self.producer.flush, 10)
            return False

    def hand_over(self, send):
        size = self.random.randint(self.size // 2, self.size)
        while True:
            try:
                self.producer.produce(send.topic, payload(send.value, size), partition=send.partition, on_delivery=send)
                unwrapped(self.producer.poll, 0)
                return
            except BufferError:
                unwrapped(self.producer.poll, 0.05)


def wait_for_markers(bootstrap, topic):
    """Until all transactions have ended in the log: both isolation levels then see the same end."""
    partitions = partitions_of(topic)
    consumers = [Consumer(reading(bootstrap, "markers", level)) for level in ("read_committed", "read_uncommitted")]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := [ends(consumer, partitions) for consumer in consumers])[0] != found[1]:
        if time.monotonic() > deadline:
            raise SystemExit(f"a transaction of topic {topic} does not end: {found}")
        time.sleep(0.05)
    for consumer in consumers:
        consumer.close()


def produce(arguments):
    each = functools.partial(Burst, arguments)
    first = arguments.process
    bursts = [each("idempotent", "plain", first + 2 * number, 60, arguments.rate, 200) for number in range(arguments.clients)]
    if arguments.kind == "all":
        bursts.append(each("acks1", "plain", first + 100, 5, 20, 200))
        bursts.append(each("idempotent", "in", first + 102, 5, 20, 200))
        bursts.append(each("victim", "victim", first + 104, 20, 100, 2000))
    run_threads([(f"{one.kind}-{one.process}", one.run) for one in bursts])
