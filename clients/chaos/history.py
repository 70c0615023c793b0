"""Operations as the history checker reads them: JSON lines, each with the machine's monotonic time, one file per process.

Invariant: the times of one file never go back, and a process does one thing at a time.
"""

import json
import os
import time


def now():
    """The same clock for all processes of this machine."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class History:
    """One process. `view` says which check its polls belong to: "all", "uncommitted" or "victim"."""

    def __init__(self, folder, view, kind, process):
        path = os.path.join(folder, f"history-{view}-{kind}-{process}.jsonl")
        self.process = process
        self.file = open(path, "w", buffering=1)

    def note(self, time, outcome, action, process=None, **more):
        event = {"time": time, "process": self.process if process is None else process, "type": outcome, "action": action}
        self.file.write(json.dumps(event | more, separators=(",", ":")) + "\n")

    def invoke(self, steps, transaction=False):
        self.note(now(), "invoke", "run", steps=steps, **({"transaction": True} if transaction else {}))

    def outcome(self, outcome, steps, transaction=False):
        self.note(now(), outcome, "run", steps=steps, **({"transaction": True} if transaction else {}))

    def sent(self, sends):
        """The outcome of sends that do not happen together: those that were acknowledged end the operation that began; of the
        others nobody knows, which another process tells, since an operation has one outcome."""
        ended = now()
        known = [send.step() for send in sends if send.acked]
        unknown = [send.step() for send in sends if not send.acked]
        self.note(ended, "ok", "run", steps=known)
        if unknown:
            for outcome in ("invoke", "info"):
                self.note(ended, outcome, "run", process=self.process + 1, steps=unknown)

    def polled(self, begun, messages):
        """Polls that returned nothing tell nothing."""
        if messages:
            self.note(begun, "invoke", "run", steps=[])
            self.note(now(), "ok", "run", steps=[poll_step(messages)])

    def assign(self, partitions):
        keys = [key(partition.topic, partition.partition) for partition in partitions]
        for outcome in ("invoke", "ok"):
            self.note(now(), outcome, "assign", keys=keys)

    def subscribe(self, topics):
        for outcome in ("invoke", "ok"):
            self.note(now(), outcome, "subscribe", keys=topics)


class Send:
    """One record on its way; called with the delivery report."""

    def __init__(self, topic, partition, value):
        self.topic, self.partition, self.value = topic, partition, value
        self.offset, self.acked, self.reported = None, False, False

    def __call__(self, error, message):
        self.reported = True
        self.acked = error is None
        if self.acked and message.offset() is not None and message.offset() >= 0:
            self.offset = message.offset()

    def step(self):
        send = {"key": key(self.topic, self.partition), "value": self.value}
        return {"send": send if self.offset is None else send | {"offset": self.offset}}


def poll_step(messages):
    polled = {}
    for message in messages:
        polled.setdefault(key(message.topic(), message.partition()), []).append([message.offset(), value_of(message)])
    return {"poll": polled}


def key(topic, partition):
    return f"{topic}-{partition}"


def payload(value, size=100):
    """What a record with this value says; a reader knows at once whether a byte of it is wrong."""
    head = b"%d %d " % (value, size)
    # A multiplier of a linear congruential generator; only that neighbours differ matters.
    pattern = b"%016x" % (value * 6364136223846793005 % 2**64)
    return (head + pattern * (size // 16 + 1))[: max(size, len(head))]


def value_of(message):
    """The value of a record; wrong bytes end the program."""
    content = message.value()
    try:
        value, size = map(int, content.split(b" ", 2)[:2])
    except ValueError:
        value, size = 0, 0
    if content != payload(value, size):
        raise SystemExit(f"wrong bytes: {message.topic()}-{message.partition()} offset {message.offset()}: {content!r}")
    return value
