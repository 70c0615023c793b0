"""Transactional producers: such that only send, and abort now and then on purpose, and consume-transform-produce jobs whose
offsets are committed with their transactions.

What a transaction came to: "ok" if the commit was acknowledged; "fail" if no commit was ever asked for, since such a transaction can
never be committed; else nobody knows.
"""

import random
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from common import (
    END_SECONDS,
    TOPICS,
    common,
    ends,
    log,
    log_error,
    partitions_of,
    patiently,
    reading,
    run_threads,
    stop,
    unwrapped,
    usable,
)
from history import History, Send, now, payload, poll_step

JOBS = "transform"


class Transactional:
    """A producer with a transactional id, replaced by another of the same id when only that can go on."""

    def __init__(self, arguments, kind, process):
        self.bootstrap, self.kind, self.process = arguments.bootstrap, kind, process
        self.history = History(arguments.folder, "all", kind, process)
        self.random = random.Random(f"{arguments.seed} {process}")
        self.next_value = process << 32
        self.producer = None

    def begin_anew(self):
        """The first act of a new producer aborts what the last left open."""
        while True:
            self.producer = Producer(
                common(self.bootstrap)
                | {
                    "transactional.id": f"{self.kind}-{self.process}",
                    "transaction.timeout.ms": 60000,
                    "linger.ms": 1,
                    "error_cb": log_error,
                }
            )
            try:
                patiently(lambda: self.producer.init_transactions(10))
                return
            except KafkaException as error:
                log(f"init_transactions: {error}")

    def send(self, topic, partition):
        send = Send(topic, partition, self.next_value)
        self.next_value += 1
        return send

    def run_transaction(self, polls, sends, keys, offsets=None, group=None, abort=False):
        """One transaction; whether it was committed."""
        steps = lambda: polls + [send.step() for send in sends]
        self.history.invoke(steps(), transaction=True)
        asked, outcome = False, "fail"
        try:
            self.producer.begin_transaction()
            for send, source in zip(sends, keys):
                self.producer.produce(send.topic, payload(send.value), key=source, partition=send.partition, on_delivery=send)
            # Now and then one stays open for a while, its records already in the log.
            if self.random.random() < 0.1:
                unwrapped(self.producer.flush, self.random.random() * 3)
            if abort:
                if self.random.random() < 0.7:
                    unwrapped(self.producer.flush, 10)
                patiently(lambda: self.producer.abort_transaction(10))
            else:
                if offsets is not None:
                    patiently(lambda: self.producer.send_offsets_to_transaction(offsets, group, 10))
                asked = True
                patiently(lambda: self.producer.commit_transaction(10))
                outcome = "ok"
        except KafkaException as error:
            log(f"transaction: {error}")
            outcome = "info" if asked else "fail"
            self.recover(error)
        self.history.outcome(outcome, steps(), transaction=True)
        return outcome == "ok"

    def recover(self, error):
        try:
            if not error.args[0].fatal():
                patiently(lambda: self.producer.abort_transaction(10))
                return
        except KafkaException as worse:
            log(f"abort_transaction: {worse}")
        self.begin_anew()


class Sender(Transactional):
    """Transactions over the partitions of the jobs' input, one in five aborted on purpose."""

    def run(self):
        self.begin_anew()
        while not stop.is_set():
            began = time.monotonic()
            count = self.random.randint(1, 8)
            sends = [self.send("in", self.random.randrange(TOPICS["in"])) for _ in range(count)]
            self.run_transaction([], sends, [None] * count, abort=self.random.random() < 0.2)
            stop.wait(count / 20 - (time.monotonic() - began))


class Job(Transactional):
    """Copies its share of the input to the output: which record came of which is in the output's key."""

    def run(self):
        self.begin_anew()
        self.open_consumer()
        deadline = None
        while not self.is_done():
            if stop.is_set():
                deadline = deadline or time.monotonic() + END_SECONDS
                if time.monotonic() > deadline:
                    raise SystemExit("the job has not come to the end of its input")
            # Taken before the poll: a group that moves on meanwhile refuses these offsets, and the records are the next owner's.
            group = self.consumer.consumer_group_metadata()
            messages = [message for message in self.consumer.consume(20, 0.2) if usable(message)]
            if messages and not self.transform(messages, group):
                self.rewind()
        self.consumer.close()

    def open_consumer(self):
        self.consumer = Consumer(reading(self.bootstrap, JOBS) | {"session.timeout.ms": 10000, "heartbeat.interval.ms": 1000})
        self.consumer.subscribe(["in"])
        self.history.subscribe(["in"])

    def transform(self, messages, group):
        sends = [self.send("out", message.partition()) for message in messages]
        keys = [b"%d@%d" % (message.partition(), message.offset()) for message in messages]
        positions = {message.partition(): message.offset() + 1 for message in messages}
        offsets = [TopicPartition("in", partition, offset) for partition, offset in positions.items()]
        abort = self.random.random() < 0.05
        return self.run_transaction([poll_step(messages)], sends, keys, offsets, group, abort)

    def rewind(self):
        """To what is committed, which tells what became of the transaction."""
        try:
            mine = self.consumer.assignment()
            for place in patiently(lambda: self.consumer.committed(mine, timeout=10)) if mine else []:
                self.consumer.seek(place)
        except KafkaException as error:
            # A partition was taken away meanwhile.
            log(f"rewind: {error}")
            self.consumer.close()
            self.open_consumer()

    def is_done(self):
        """The offsets that matter are committed, by whichever member of the group."""
        if not stop.is_set():
            return False
        partitions = partitions_of("in")
        try:
            committed = [one.offset for one in self.consumer.committed(partitions, timeout=10)]
        except KafkaException:
            return False
        return committed == ends(self.consumer, partitions)


def transact(arguments):
    """Producers that only send; they end first, since the jobs end when they have worked off everything."""
    senders = [Sender(arguments, "transaction", arguments.process + 2 * number) for number in range(2)]
    run_threads([(f"transaction-{one.process}", one.run) for one in senders])


def transform(arguments):
    jobs = [Job(arguments, "transform", arguments.process + 2 * number) for number in range(2)]
    run_threads([(f"transform-{one.process}", one.run) for one in jobs])
