"""What the three Python programs share: the command line, the row runner, the data that rows produce, its checks.

A row is a function that raises when the client does not get what Kafka gives. Raising `NotSupported` says that the
client itself lacks the feature. The conventions are those of clients/README.md.
"""

import argparse
import json
import signal
import sys
import time
import traceback

ROW_SECONDS = 60
LARGE = 10 * 1024 * 1024
LARGE_LIMIT = 12 * 1024 * 1024
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
ACKS = ["0", "1", "all"]


class NotSupported(Exception):
    """The client has no such feature; the message says why."""


class Cells:
    """The rows of one client, and the run they belong to."""

    def __init__(self, client, version):
        self.client = client
        self.version = version
        self.functions = {}
        self.bootstrap = None
        self.run = None

    def row(self, name):
        def register(function):
            self.functions[name] = function
            return function

        return register

    def topic(self, row, suffix=""):
        """A topic that only this row of this run uses."""
        return f"{self.run}-{self.client}-{row}{suffix}"

    def main(self):
        arguments = argparse.ArgumentParser()
        arguments.add_argument("--bootstrap", required=True)
        arguments.add_argument("--run", required=True)
        arguments.add_argument("--rows", default="")
        arguments = arguments.parse_args()
        self.bootstrap, self.run = arguments.bootstrap, arguments.run
        for name in [row for row in arguments.rows.split(",") if row] or self.functions:
            self._run_row(name)

    def _run_row(self, name):
        outcome, detail = "pass", ""
        started = time.monotonic()
        signal.signal(signal.SIGALRM, _out_of_time)
        signal.alarm(ROW_SECONDS)
        try:
            if name not in self.functions:
                raise NotSupported("this program has no such row")
            detail = self.functions[name](name) or ""
        except NotSupported as reason:
            outcome, detail = "not-supported", str(reason)
        except Exception as error:  # every failure of a cell is a result, and the next cell runs
            outcome, detail = "fail", f"{type(error).__name__}: {error}"
            traceback.print_exc(file=sys.stderr)
        finally:
            signal.alarm(0)
        line = {
            "client": self.client,
            "version": self.version,
            "row": name,
            "outcome": outcome,
            "detail": detail,
            "seconds": round(time.monotonic() - started, 2),
        }
        print(json.dumps(line), flush=True)


def _out_of_time(_signal, _frame):
    raise TimeoutError(f"row not finished within {ROW_SECONDS} s")


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def wait_until(what, condition, seconds=20):
    """Calls `condition` until it returns something true; `condition` itself blocks shortly."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        check(time.monotonic() < deadline, f"{what}: not within {seconds} s")


def key_of(index):
    return f"key-{index % 10}".encode()


def value_of(row, index):
    """Distinct per row and index, and worth compressing."""
    return f"{row}/{index:06d}/".encode() + b"abcdefghij" * 40


def check_keyed(row, count, read):
    """`read` is [(partition, offset, key, value)] in the order read: all records, each once, and in order per key."""
    check(len(read) == count, f"{len(read)} records instead of {count}")
    per_key = {}
    partition_of = {}
    for partition, _, key, value in read:
        per_key.setdefault(key, []).append(value)
        check(partition_of.setdefault(key, partition) == partition, f"{key} lies in two partitions")
    for start in range(10):
        expected = [value_of(row, index) for index in range(start, count, 10)]
        check(per_key.get(key_of(start)) == expected, f"records of {key_of(start)} differ or are out of order")
    check_offsets(read)


def check_offsets(read):
    """Offsets per partition are dense and ascend in the order read."""
    last = {}
    for partition, offset, *_ in read:
        check(last.get(partition, offset - 1) == offset - 1, f"offset {offset} after {last.get(partition)}")
        last[partition] = offset


def incompressible(size):
    """Deterministic bytes that no codec makes smaller."""
    import random

    return random.Random(size).randbytes(size)


HEADERS = [
    ("text", b"plain"),
    ("twice", b"first"),
    ("twice", b"second"),
    ("bytes", bytes([0, 255, 10, 13])),
    ("empty", b""),
    ("null", None),
    ("\u00fcml\u00e4ut", "gr\u00fc\u00dfe".encode()),
]

NULLS = [(None, b"null key"), (b"null value", None), (None, None), (b"", b""), (b"", b"empty key"), (b"empty value", b"")]


TRANSACTION = 30
"""Records of one transaction, spread over three partitions."""


def transactional_records(row, part):
    """What transaction `part` of the row writes."""
    return [{"value": value_of(f"{row}-{part}", index), "partition": index % 3} for index in range(TRANSACTION)]


def check_transactions(row, parts, read):
    """`read` is [(partition, value)] in the order read: the records of these transactions, each once, in their order."""
    for partition in range(3):
        expected = [record["value"] for part in parts for record in transactional_records(row, part) if record["partition"] == partition]
        check([value for place, value in read if place == partition] == expected, f"partition {partition} differs from {parts}")
