"""Consumers: one per partition that chooses it itself, groups of both protocols, and a group whose commits are a register."""

import threading
import time

from confluent_kafka import Consumer, KafkaException, KafkaError, TopicPartition

from common import (
    END_SECONDS,
    ends,
    log,
    partitions_of,
    patiently,
    reading,
    run_threads,
    stop,
    usable,
    wait_committed,
)
from history import History, now

# Group, protocol, topics, members.
GROUPS = [("classic", "classic", ["plain"], 2), ("consumer", "consumer", ["plain", "in"], 2)]


class Reader:
    """Reads partitions that it chose itself, from their beginning to where they end when everybody else has stopped."""

    def __init__(self, arguments, view, kind, process, partitions, isolation):
        self.history = History(arguments.folder, view, kind, process)
        self.bootstrap, self.partitions, self.isolation, self.process = arguments.bootstrap, partitions, isolation, process
        # Where partitions were found to end, by what follows the last record and is none, too.
        self.ended = {place(one): 0 for one in partitions}

    def run(self):
        settings = reading(self.bootstrap, f"reader-{self.process}", self.isolation) | {"enable.partition.eof": True}
        consumer = Consumer(settings)
        consumer.assign(self.partitions)
        self.history.assign(self.partitions)
        deadline = None
        while not (stop.is_set() and self.is_at_end(consumer)):
            if stop.is_set():
                deadline = deadline or time.monotonic() + END_SECONDS
                if time.monotonic() > deadline:
                    raise SystemExit(f"reader {self.process} has not come to the end: {self.ended}, {consumer.position(self.partitions)}")
            begun, records = now(), []
            for message in consumer.consume(100, 0.5):
                if message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF:
                    self.ended[message.topic(), message.partition()] = message.offset()
                elif usable(message):
                    records.append(message)
            self.history.polled(begun, records)
        consumer.close()

    def is_at_end(self, consumer):
        wanted = zip(map(place, self.partitions), ends(consumer, self.partitions))
        return all(self.ended[one] >= end for one, end in wanted)


def place(partition):
    return partition.topic, partition.partition


def read(arguments):
    readers, process = [], arguments.process
    for one in partitions_of("plain", "in", "out", offset=0):
        readers.append(Reader(arguments, "all", "assigned", process, [one], "read_committed"))
        process += 2
    for topic in ("plain", "in", "out"):
        partitions = partitions_of(topic, offset=0)
        readers.append(Reader(arguments, "uncommitted", "uncommitted", process, partitions, "read_uncommitted"))
        process += 2
    run_threads([(f"reader-{one.process}", one.run) for one in readers])


class Member:
    """A member of a group; it commits what it has read, now and then without waiting for the answer."""

    def __init__(self, arguments, group, protocol, topics, process):
        self.history = History(arguments.folder, "all", f"group-{group}", process)
        self.bootstrap, self.group, self.protocol, self.topics = arguments.bootstrap, group, protocol, topics
        self.done = threading.Event()
        self.moved = False

    def run(self):
        # A group of the new protocol is told by the broker how long its sessions are.
        old = {"session.timeout.ms": 10000, "heartbeat.interval.ms": 1000} if self.protocol == "classic" else {}
        consumer = Consumer(reading(self.bootstrap, self.group) | {"group.protocol": self.protocol} | old)
        consumer.subscribe(self.topics, on_assign=self.on_move, on_revoke=self.on_move, on_lost=self.on_move)
        self.history.subscribe(self.topics)
        while not self.done.is_set():
            self.poll(consumer)
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NO_OFFSET:
                    log(f"commit: {error}")
        consumer.close()

    def on_move(self, _consumer, _partitions):
        self.moved = True

    def poll(self, consumer):
        """One operation ends where partitions come or go: a partition that comes back begins at what is committed."""
        begun, messages, self.moved = now(), [], False
        until = time.monotonic() + 0.5
        while len(messages) < 100 and time.monotonic() < until and not self.done.is_set():
            message = consumer.poll(0.1)
            if self.moved:
                self.history.polled(begun, messages)
                begun, messages, self.moved = now(), [], False
            if usable(message):
                messages.append(message)
        self.history.polled(begun, messages)


def groups(arguments):
    members, process = [], arguments.process
    for group, protocol, topics, count in GROUPS:
        for _ in range(count):
            members.append(Member(arguments, group, protocol, topics, process))
            process += 2

    def finish():
        stop.wait()
        for group, _, topics, _ in GROUPS:
            wait_committed(arguments.bootstrap, group, *topics)
        for member in members:
            member.done.set()

    tasks = [(f"{one.group}-{number}", one.run) for number, one in enumerate(members)]
    run_threads([*tasks, ("end", finish)])


def commit(arguments):
    """Commits of a group without members: what is read is what was acknowledged last, or an attempt behind it."""

    def run():
        consumer = Consumer(reading(arguments.bootstrap, "register"))
        acked, number = 0, 0
        partition = lambda offset: TopicPartition("plain", 0, offset)
        while not stop.is_set():
            number += 1
            try:
                consumer.commit(offsets=[partition(number)], asynchronous=False)
                acked = number
            except KafkaException as error:
                log(f"commit: {error}")
            found = patiently(lambda: consumer.committed([partition(-1001)], timeout=10))[0].offset
            if not acked <= found <= number:
                raise SystemExit(f"offset {acked} was committed, {number} tried, and {found} read")
            stop.wait(0.1)
        log(f"{number} commits, the last acknowledged is {acked}")
        consumer.close()

    run_threads([("register", run)])


def begin_groups(bootstrap, names):
    """Groups begin at offset 0 and not where they find themselves, so that a lost commit is an error."""
    for name, topics in names:
        consumer = Consumer(reading(bootstrap, name))
        consumer.commit(offsets=partitions_of(*topics, offset=0), asynchronous=False)
        consumer.close()
