"""What the programs of a chaos run share: topics, settings of librdkafka, when to stop, which errors no fault explains."""

import os
import signal
import sys
import threading
import time
import traceback

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# Partitions by topic.
TOPICS = {"plain": 6, "in": 3, "out": 3, "victim": 1}

# Longer than all faults together last.
PATIENCE_SECONDS = 300
# From the last fault on until everybody has come to the end.
END_SECONDS = 150

# Answers that mean that records or topics are gone, or damaged.
REFUSED = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._BAD_MSG,
    KafkaError._BAD_COMPRESSION,
    KafkaError.INVALID_MSG,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._FATAL,
}

stop = threading.Event()


def common(bootstrap):
    return {
        "bootstrap.servers": bootstrap,
        # A broker that was killed is back within a moment.
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "socket.connection.setup.timeout.ms": 3000,
        "socket.timeout.ms": 10000,
        # Otherwise librdkafka 2.16 forgets its brokers when all are gone, and a transactional producer then sends its offsets to
        # one it has forgotten, until the call's time is over.
        "metadata.recovery.strategy": "none",
        **({"debug": os.environ["DEBUG"]} if "DEBUG" in os.environ else {"log_level": 2}),
    }


def reading(bootstrap, group, isolation="read_committed"):
    """A consumer's settings: one whose place in a log is gone says so, and does not begin anew."""
    return common(bootstrap) | {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": isolation,
        "fetch.wait.max.ms": 200,
        "fetch.error.backoff.ms": 50,
        # Our payloads tell of wrong bytes; the broker has to notice them by itself.
        "check.crcs": False,
        "error_cb": log_error,
    }


def log_error(error):
    if error.code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
        log(f"client: {error}")


def log(text):
    print(f"{time.clock_gettime_ns(time.CLOCK_MONOTONIC)} {threading.current_thread().name} {text}", file=sys.stderr, flush=True)


def partitions_of(*topics, offset=-1001):
    return [TopicPartition(topic, number, offset) for topic in topics for number in range(TOPICS[topic])]


def usable(message):
    """Whether a poll's answer is a record. An error that no fault explains ends the program."""
    if message is None:
        return False
    error = message.error()
    if error is None:
        return True
    if error.code() in REFUSED or error.fatal():
        raise SystemExit(f"{message.topic()}-{message.partition()} offset {message.offset()}: {error}")
    if error.code() != KafkaError._PARTITION_EOF:
        log(f"poll: {error}")
    return False


def unwrapped(call, *arguments):
    """Calls; an error that is raised while reports of deliveries wait comes wrapped otherwise."""
    try:
        return call(*arguments)
    except SystemError as error:
        if isinstance(error.__cause__, KafkaException):
            raise error.__cause__ from None
        raise


def patiently(call, *arguments, seconds=PATIENCE_SECONDS):
    """Calls until it succeeds; what cannot be retried is the caller's."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return unwrapped(call, *arguments)
        except KafkaException as error:
            cause = error.args[0]
            if cause.fatal() or cause.txn_requires_abort() or time.monotonic() > deadline:
                raise
            if cause.code() in (KafkaError._STATE, KafkaError._FENCED, KafkaError._INVALID_ARG):
                raise
            # As a client does between two requests.
            time.sleep(0.05)


def ends(consumer, partitions):
    return [patiently(lambda: consumer.get_watermark_offsets(one, timeout=10))[1] for one in partitions]


def wait_committed(bootstrap, group, *topics):
    """Waits until a group has committed the ends of all partitions."""
    consumer = Consumer(reading(bootstrap, group))
    partitions = partitions_of(*topics)
    deadline = time.monotonic() + END_SECONDS
    while True:
        wanted = ends(consumer, partitions)
        found = [one.offset for one in patiently(lambda: consumer.committed(partitions, timeout=10))]
        if found == wanted:
            consumer.close()
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"group {group} has not come to the end: committed {found}, ends {wanted}")
        time.sleep(0.2)


def run_threads(tasks):
    """Runs (name, function) each in a thread until all have ended; one that fails ends the program."""

    def guarded(task):
        try:
            task()
        except BaseException as error:
            log(f"failed: {error!r}")
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            # Without the clients' orderly end, which may wait for a broker that is not there.
            os._exit(1)

    threads = [threading.Thread(target=guarded, args=(task,), name=name) for name, task in tasks]
    for signal_name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_name, lambda *_: stop.set())
    for thread in threads:
        thread.start()
    for thread in threads:
        # With a timeout, so that signals are seen.
        while thread.is_alive():
            thread.join(0.2)
