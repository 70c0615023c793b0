"""The questions of `questions/` in psql against Watertable, against PostgreSQL and in DuckDB; all three must answer the same.

Watertable answers from its topics; the others from the CSV files of the same tables. Prints a line per question and fails
at the end if any answers differ. Numbers are compared as numbers, to twelve digits.
"""

import argparse
import csv
import datetime
import io
import math
import os
import pathlib
import subprocess
import time

import duckdb

from tables import CONTRACTS, columns

QUESTIONS = sorted((pathlib.Path(__file__).parent / "questions").glob("*.sql"))
POSTGRES_TYPES = {"double": "double precision"}


def psql(address, *arguments):
    host, port = address.rsplit(":", 1)
    command = ["psql", "--no-psqlrc", "--csv", "--quiet", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, *arguments]
    environment = os.environ | {"PGUSER": "postgres", "PGDATABASE": "postgres", "PGTZ": "UTC", "PGOPTIONS": ""}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    if ran.returncode:
        raise SystemExit(f"psql {' '.join(arguments)}: {ran.stderr}")
    return ran.stdout


def load_postgres(address, folder):
    for table in CONTRACTS:
        fields = ", ".join(f"{name} {POSTGRES_TYPES.get(kind, kind)}" for name, kind in columns(table))
        psql(address, "-c", f"CREATE TABLE {table} ({fields})", "-c", f"\\copy {table} FROM '{folder / table}.csv' CSV HEADER")


def open_duckdb(folder):
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for table in CONTRACTS:
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns(table))
        database.execute(f"CREATE TABLE {table} AS SELECT * FROM read_csv('{folder / table}.csv', header = true, columns = {{{types}}})")
    return database


def shown(value):
    """A value of DuckDB as psql shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S+00")
    return str(value)


def same(one, other):
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-12)
    except ValueError:
        return False


def difference(name, rows, expected):
    if len(rows) != len(expected):
        return f"{name} has {len(expected)} rows, Watertable {len(rows)}"
    for number, (row, other) in enumerate(zip(rows, expected)):
        if len(row) != len(other) or not all(map(same, row, other)):
            return f"{name}, row {number}: {other}, Watertable: {row}"
    return None


def timed(function):
    started = time.monotonic()
    answer = function()
    return answer, time.monotonic() - started


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--watertable", required=True)
    arguments.add_argument("--postgres", required=True)
    arguments.add_argument("--csv", type=pathlib.Path, required=True)
    arguments = arguments.parse_args()
    load_postgres(arguments.postgres, arguments.csv)
    database = open_duckdb(arguments.csv)
    failed = 0
    for path in QUESTIONS:
        question = path.read_text()
        (header, *rows), seconds = timed(lambda: list(csv.reader(io.StringIO(psql(arguments.watertable, "-f", str(path))))))
        _, *postgres = csv.reader(io.StringIO(psql(arguments.postgres, "-f", str(path))))
        duck = [[shown(value) for value in row] for row in database.execute(question).fetchall()]
        differences = list(filter(None, [difference("PostgreSQL", rows, postgres), difference("DuckDB", rows, duck)]))
        failed += bool(differences) or not rows
        print(f"{path.stem}: {len(rows)} rows of {len(header)} columns, {seconds:.2f} s{''.join(f'; DIFFERS: {text}' for text in differences)}")
    raise SystemExit(f"{failed} of {len(QUESTIONS)} questions are answered differently" if failed else 0)


main()
