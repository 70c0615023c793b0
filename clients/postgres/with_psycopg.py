"""psycopg against the tables of the sql crate's tests: text and binary, parameters, server-side cursors, COPY, errors.

Arguments: host and port. Prints "ok" at the end; anything else is a failure.
"""

import datetime
import decimal
import sys

import psycopg
from psycopg import errors

CONNECTION = f"host={sys.argv[1]} port={sys.argv[2]} user=tester dbname=watertable"
MOMENT = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc)
FIRST = (1, "UA", 2.5, True, decimal.Decimal("123.45"), datetime.date(2013, 1, 1), MOMENT, b"\x00\xff")
FLIGHTS = "SELECT * FROM flights ORDER BY id"


def values(connection, binary):
    rows = connection.execute(FLIGHTS, binary=binary).fetchall()
    assert rows[0] == FIRST, rows[0]
    assert rows[2][1:] == (None,) * 7, rows[2]


def parameters(connection):
    rows = connection.execute("SELECT id FROM flights WHERE id > %s AND carrier = %s", (1, "AA")).fetchall()
    assert rows == [(2,)], rows
    for format in ("s", "t", "b"):
        for value in (7, 2**40, 1.5, "größe", True, datetime.date(2024, 2, 29), MOMENT, b"\x00\x01", [1, 2, None], None):
            for binary in (False, True):
                row = connection.execute(f"SELECT %{format}", (value,), binary=binary).fetchone()
                assert row == (value,), (format, binary, value, row)
    # Run often enough to be prepared by name.
    for number in range(10):
        row = connection.execute("SELECT n FROM numbers WHERE n = %s", (number + 1,)).fetchone()
        assert row == (number + 1,), row


def server_cursor(connection, binary):
    with connection.transaction(), connection.cursor(name="cur", binary=binary) as cursor:
        cursor.execute("SELECT n FROM numbers WHERE n <= %s ORDER BY n", (2500,))
        assert cursor.description[0].name == "n"
        cursor.itersize = 1000
        assert [row[0] for row in cursor] == list(range(1, 2501))


def copy(connection):
    with connection.cursor().copy("COPY (SELECT id, carrier FROM flights ORDER BY id) TO STDOUT") as copy:
        rows = list(copy.rows())
    assert rows == [("1", "UA"), ("2", "AA"), ("3", None)], rows


def fails(connection, sql, kind):
    try:
        connection.execute(sql)
    except kind:
        connection.rollback()
        return
    raise AssertionError(f"{sql} did not fail")


with psycopg.connect(CONNECTION) as connection:
    for binary in (False, True):
        values(connection, binary)
        connection.commit()
        server_cursor(connection, binary)
    parameters(connection)
    copy(connection)
    fails(connection, "SELECT * FROM nowhere", errors.UndefinedTable)
    fails(connection, "SELECT 1 / 0", errors.DivisionByZero)
    fails(connection, "DELETE FROM flights", errors.FeatureNotSupported)
    connection.execute("SET statement_timeout = 100")
    connection.commit()
    fails(connection, "SELECT count(*) FROM endless", errors.QueryCanceled)
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(5)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(5)]
print("ok")
