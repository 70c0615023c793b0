"""How fast questions over a topic are answered, beside DuckDB on a file of the same lines and a consumer in Python.

The file lies in the page cache, as the log does; DuckDB has as many threads as Watertable and is told the columns, so that
neither guesses. Each question is asked in turn of each, several times; the medians are compared. Prints a table.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

import duckdb
import psycopg
from confluent_kafka import Consumer, TopicPartition

from tables import columns

# A week of the year that the flights are of, near its middle, and the whole of it.
WEEK = ("2013-06-10T00:00:00Z", "2013-06-17T00:00:00Z")
ROUNDS = 7

SCAN = """SELECT count(tailnum) AS tails, sum(distance) AS miles, avg(arr_delay) AS delay, max(air_time) AS longest, min(dep_time) AS first
FROM {table} WHERE dest <> 'nowhere'"""
TOP = "SELECT origin, dest, count(*) AS flights, avg(dep_delay) AS delay FROM {table} GROUP BY origin, dest ORDER BY flights DESC, origin, dest LIMIT 10"
RANGE = "SELECT count(*) AS flights, avg(dep_delay) AS delay FROM {table} WHERE {time} >= '%s' AND {time} < '%s'" % WEEK
COUNT = "SELECT count(*) FROM {table}"
QUESTIONS = {"full scan, six columns": SCAN, "top 10 of groups": TOP, "a week of the year": RANGE, "count(*)": COUNT}


class Watertable:
    name = "Watertable"

    def __init__(self, address, process):
        host, port = address.rsplit(":", 1)
        self.connection = psycopg.connect(host=host, port=port, user="bench", dbname="watertable", autocommit=True)
        self.process = process

    def ask(self, question):
        return self.connection.execute(question.format(table="flights", time="_timestamp")).fetchall()

    def bytes_read(self):
        """What the broker's process read so far, from the page cache or not."""
        lines = pathlib.Path(f"/proc/{self.process}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["rchar"])


class DuckDb:
    name = "DuckDB"

    def __init__(self, file):
        self.database = duckdb.connect()
        self.database.execute(f"SET threads = {os.cpu_count()}")
        self.database.execute("SET TimeZone = 'UTC'")
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns("flights"))
        self.table = f"read_json('{file}', format = 'newline_delimited', columns = {{{types}}})"

    def ask(self, question):
        return self.database.execute(question.format(table=self.table, time="time_hour")).fetchall()


def consumer_top(bootstrap):
    """The second question, as people write it without SQL."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "speed", "enable.auto.commit": False})
    partitions = [TopicPartition("flights", number, 0) for number in range(3)]
    left = sum(consumer.get_watermark_offsets(partition)[1] for partition in partitions)
    consumer.assign(partitions)
    groups = {}
    while left:
        for message in consumer.consume(10_000, 1.0):
            flight = json.loads(message.value())
            count, delays, known = groups.get((flight["origin"], flight["dest"]), (0, 0.0, 0))
            delay = flight["dep_delay"]
            groups[flight["origin"], flight["dest"]] = (count + 1, delays + (delay or 0), known + (delay is not None))
            left -= 1
    consumer.close()
    top = sorted(groups.items(), key=lambda item: (-item[1][0], item[0]))[:10]
    return [(*key, count, delays / known) for key, (count, delays, known) in top]


def timed(function, *arguments):
    started = time.monotonic()
    answer = function(*arguments)
    return answer, time.monotonic() - started


def equal(one, other):
    rows = [[round(value, 6) if isinstance(value, float) else value for value in row] for row in one]
    return rows == [[round(value, 6) if isinstance(value, float) else value for value in row] for row in other]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--watertable", required=True)
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--process", type=int, required=True)
    arguments.add_argument("--ndjson", type=pathlib.Path, required=True)
    arguments = arguments.parse_args()
    watertable = Watertable(arguments.watertable, arguments.process)
    duck = DuckDb(arguments.ndjson)
    size = arguments.ndjson.stat().st_size
    print(f"flights: {size / 2**20:.0f} MiB of JSON; medians of {ROUNDS} rounds, {os.cpu_count()} threads each\n")
    print("| Question | Watertable, s | DuckDB, s | ours in DuckDB's time | read by the broker, MiB |\n|---|--:|--:|--:|--:|")
    for name, question in QUESTIONS.items():
        ours, theirs = [], []
        for _ in range(ROUNDS):
            before = watertable.bytes_read()
            answer, seconds = timed(watertable.ask, question)
            read = watertable.bytes_read() - before
            ours.append(seconds)
            expected, seconds = timed(duck.ask, question)
            theirs.append(seconds)
            if not equal(answer, expected):
                raise SystemExit(f"{name}: Watertable {answer}, DuckDB {expected}")
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} | {read / 2**20:.2f} |")
    answer, seconds = timed(consumer_top, arguments.bootstrap)
    ours, ours_seconds = timed(watertable.ask, TOP)
    if not equal(ours, answer):
        raise SystemExit(f"the consumer finds {answer}, Watertable {ours}")
    print(f"\nconfluent-kafka and json, top 10 of groups: {seconds:.2f} s, {seconds / ours_seconds:.1f} times ours")


main()
