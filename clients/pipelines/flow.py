"""A steady flow of records through a pipeline, and when each comes out.

Writes RATE records a second, {"id":…,"sent_us":…}, into one topic, reads the other with read_committed, and writes a line for each
record that comes out into FILE: when, in microseconds since 1970, how long after it was sent, and the version that made it. Ends when its standard input
ends: then it waits for what is on its way, and says as JSON how many were sent, how many came, and how many of them twice.
"""

import argparse
import json
import pathlib
import sys
import threading
import time

from confluent_kafka import Consumer, Producer

STEP_SECONDS = 0.005
# As long as the longest pause that is not a loss.
END_SECONDS = 60


def now_us():
    return time.time_ns() // 1000


class Flow:
    def __init__(self, arguments):
        self.arguments = arguments
        self.sent = 0
        self.is_over = threading.Event()
        self.failure = None

    def delivered(self, error, _message):
        if error is not None:
            self.failure = str(error)

    def send(self):
        producer = Producer({"bootstrap.servers": self.arguments.bootstrap, "linger.ms": 0, "enable.idempotence": True, "log_level": 2})
        began = time.monotonic()
        while not self.is_over.is_set():
            due = int((time.monotonic() - began) * self.arguments.rate)
            while self.sent < due:
                value = b'{"id":%d,"sent_us":%d}' % (self.sent, now_us())
                producer.produce(self.arguments.input, value, b"%d" % (self.sent % 1000), on_delivery=self.delivered)
                self.sent += 1
            producer.poll(0)
            time.sleep(STEP_SECONDS)
        producer.flush(END_SECONDS)

    def read(self):
        consumer = Consumer(
            {
                "bootstrap.servers": self.arguments.bootstrap,
                "group.id": "flow",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )
        consumer.subscribe([self.arguments.output])
        ids, twice, ends_by = set(), 0, None
        with self.arguments.file.open("w") as file:
            while True:
                message = consumer.poll(0.1)
                if message is not None:
                    if message.error():
                        raise SystemExit(message.error())
                    row = json.loads(message.value())
                    now = now_us()
                    file.write(f"{now} {now - row['sent_us']} {row['version']}\n")
                    twice += row["id"] in ids
                    ids.add(row["id"])
                if self.is_over.is_set():
                    ends_by = ends_by or time.monotonic() + END_SECONDS
                    if (message is None and len(ids) >= self.sent) or time.monotonic() > ends_by:
                        break
        consumer.close()
        return {"sent": self.sent, "came": len(ids), "twice": twice, "failure": self.failure}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--from", dest="input", required=True)
    arguments.add_argument("--to", dest="output", required=True)
    arguments.add_argument("--rate", type=int, required=True)
    arguments.add_argument("--file", type=pathlib.Path, required=True)
    flow = Flow(arguments.parse_args())
    sender = threading.Thread(target=flow.send)
    sender.start()

    def until_told():
        sys.stdin.read()
        flow.is_over.set()

    threading.Thread(target=until_told, daemon=True).start()
    told = flow.read()
    sender.join()
    print(json.dumps(told))


main()
