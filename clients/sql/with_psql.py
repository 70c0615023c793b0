"""The SQL matrix through psql: its commands, its variables, its formats."""

import csv
import io
import os
import re
import subprocess

import shared
from shared import METADATA, ROWS, definition, names, quoted

from cells import Cells, NotSupported, check

cells = Cells("psql", re.search(r"[\d.]+", subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout)[0])


def psql(*arguments, stdin=None, fails=False):
    host, port = cells.bootstrap.rsplit(":", 1)
    command = ["psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "tester", "-d", "watertable", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=30, env=os.environ | {"PGTZ": "UTC"})
    check((ran.returncode != 0) == fails, f"{arguments}: {ran.stdout}{ran.stderr}")
    return ran.stderr if fails else ran.stdout


def table_of(text):
    return list(csv.reader(io.StringIO(text)))


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    return "'" + str(value).replace("'", "''") + "'"


def filled(row):
    table = cells.topic(row)
    rows = ", ".join("(" + ", ".join(map(literal, one)) + ")" for one in ROWS)
    psql("-c", definition(table), "-c", f"INSERT INTO {quoted(table)} ({', '.join(names())}) VALUES {rows}")
    return table


TEXTS = [
    ["1", "UA", "2.5", "t", "123.45", "2013-01-01", "2013-01-01 10:00:00+00", "\\x00ff"],
    ["2", ROWS[1][1], "-0.125", "f", "-0.01", "1969-12-31", "1969-12-31 23:59:59.5+00", "\\x"],
    ["3"] + [""] * 7,
]


def read(table):
    return table_of(psql("--csv", "-t", "-c", f"SELECT {', '.join(names())} FROM {quoted(table)} ORDER BY id"))


@cells.row("connect")
def connect(_row):
    check(psql("-Atc", "SELECT current_database()") == "watertable\n", "the database")
    check("watertable" in psql("-c", "\\conninfo") and "watertable" in psql("-c", "\\l"), "\\conninfo, \\l")


@cells.row("tables")
def tables(row):
    table = filled(row)
    check([one for one in table_of(psql("--csv", "-c", "\\dt")) if one[1] == table] == [["public", table, "table", "tester"]], "\\dt")
    check({"public", "sys"} <= {one[0] for one in table_of(psql("--csv", "-t", "-c", "\\dn"))}, "\\dn")


@cells.row("columns")
def columns(row):
    table = filled(row)
    for command in ("\\d", "\\d+"):
        shown = psql("-c", f"{command} {quoted(table)}")
        found = [line.split("|")[0].strip() for line in shown.splitlines() if line.startswith(" ") and "|" in line]
        check([name for name in found if name != "Column"] == METADATA + names() + ["_error"], f"{command} shows {found}")
        check("numeric(10,2)" in shown and "timestamp with time zone" in shown, f"{command} shows {shown}")


@cells.row("text")
def as_text(row):
    found = read(filled(row))
    check(found == TEXTS, f"read {found}")


@cells.row("binary")
def as_binary(_row):
    raise NotSupported("psql asks for text alone")


@cells.row("parameters")
def parameters(row):
    table = filled(row)
    script = f"\\set wanted 2\nSELECT id FROM {quoted(table)} WHERE id = :wanted;\nPREPARE p (bigint) AS SELECT carrier FROM {quoted(table)} WHERE id = $1;\nEXECUTE p(1);\n"
    found = psql("-Atq", stdin=script)
    check(found == "2\nUA\n", f"read {found}")


@cells.row("cursor")
def cursor(_row):
    found = psql("-Atq", "-v", "FETCH_COUNT=1000", "-c", "SELECT value FROM generate_series(1, 2500)")
    check(found.split() == [str(number) for number in range(1, 2501)], "the rows with FETCH_COUNT")


@cells.row("copy-out")
def copy_out(row):
    table = filled(row)
    found = table_of(psql("-c", f"\\copy (SELECT id, carrier FROM {quoted(table)} ORDER BY id) TO STDOUT CSV"))
    check(found == [one[:2] for one in TEXTS], f"copied {found}")


@cells.row("copy-in")
def copy_in(row):
    table = cells.topic(row)
    lines = io.StringIO()
    csv.writer(lines).writerows(TEXTS)
    told = psql("-c", definition(table), "-c", f"\\copy {quoted(table)} ({', '.join(names())}) FROM STDIN CSV", stdin=lines.getvalue())
    check("COPY 3" in told, f"psql says {told}")
    found = read(table)
    check(found == TEXTS, f"read {found}")


@cells.row("insert")
def insert(row):
    table = filled(row)
    told = psql("-c", f"INSERT INTO {quoted(table)} (_key, id) SELECT 'k' || id, id + 10 FROM {quoted(table)}")
    check(told == "INSERT 0 3\n", f"psql says {told}")
    found = psql("-Atc", f"SELECT _key, id FROM {quoted(table)} WHERE id > 10 ORDER BY id")
    check(found == "k1|11\nk2|12\nk3|13\n", f"read {found}")


@cells.row("transaction")
def transaction(row):
    table = filled(row)
    script = f"BEGIN; INSERT INTO {quoted(table)} (id) VALUES (4), (5); {{}}; SELECT count(*) FROM {quoted(table)};"
    check(psql("-Atq", stdin=script.format("ROLLBACK")) == "3\n", "what was rolled back is there")
    check(psql("-Atq", stdin=script.format("COMMIT")) == "5\n", "what was committed is not there")


@cells.row("definition")
def define(row):
    table = cells.topic(row)
    psql("-c", definition(table))
    check("already exists" in psql("-c", definition(table), fails=True), "a table twice")
    check(psql("-c", f"DROP TABLE {quoted(table)}") == "DROP TABLE\n", "DROP TABLE")
    check("does not exist" in psql("-c", f"DROP TABLE {quoted(table)}", fails=True), "dropped twice")


@cells.row("errors")
def error_codes(row):
    table = filled(row)
    for sql, expected in [
        ("SELECT * FROM nowhere", ["42P01", 'relation "nowhere" does not exist', "LINE 1", "^", "HINT"]),
        (f"SELECT carier FROM {quoted(table)}", ["42703", "LINE 1", "^", 'Perhaps you meant "carrier"']),
        (f"UPDATE {quoted(table)} SET id = 1", ["0A000", "cannot change a topic", "HINT"]),
        ("SELEC 1", ["42601", "syntax error"]),
    ]:
        said = psql("-v", "VERBOSITY=verbose", "-c", sql, fails=True)
        check(all(part in said for part in expected), f"{sql}: {said}")


@cells.row("cancel")
def cancel(_row):
    said = psql("-c", "SET statement_timeout = 100", "-c", "SELECT count(*) FROM generate_series(1, 1000000000000)", fails=True)
    check("canceling statement due to statement timeout" in said, f"psql says {said}")


@cells.row("pipeline")
def pipeline(_row):
    raise NotSupported("psql waits for each answer")


@cells.row("sys")
def system(row):
    table = filled(row)
    found = psql("-Atc", f"SELECT partitions >= 1 FROM sys.topics WHERE topic = '{table}'")
    check(found == "t\n", f"sys.topics has {found}")


cells.main()
