"""What the programs of the SQL matrix share: a topic with a column of each type, and what its rows are."""

import datetime
import decimal
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

COLUMNS = [
    ("id", "bigint"), ("carrier", "text"), ("delay", "double precision"), ("ok", "boolean"),
    ("fare", "numeric(10,2)"), ("day", "date"), ("at", "timestamptz"), ("raw", "bytea"),
]
ROWS = [
    (
        1, "UA", 2.5, True, decimal.Decimal("123.45"), datetime.date(2013, 1, 1),
        datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc), b"\x00\xff",
    ),
    (
        2, "größe, \"x\"\t\\", -0.125, False, decimal.Decimal("-0.01"), datetime.date(1969, 12, 31),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=datetime.timezone.utc), b"",
    ),
    (3,) + (None,) * 7,
]
METADATA = ["_topic", "_partition", "_offset", "_timestamp", "_key", "_value", "_headers"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def definition(table):
    return f"CREATE TABLE {quoted(table)} ({', '.join(f'{name} {kind}' for name, kind in COLUMNS)})"


def names():
    return [name for name, _ in COLUMNS]
