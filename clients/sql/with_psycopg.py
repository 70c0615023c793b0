"""The SQL matrix through psycopg: what applications in Python use."""

import contextlib

import shared
from shared import COLUMNS, METADATA, ROWS, definition, names, quoted

import psycopg
from psycopg import errors

from cells import Cells, check

cells = Cells("psycopg", psycopg.__version__)


def connect(**options):
    host, port = cells.bootstrap.rsplit(":", 1)
    return psycopg.connect(host=host, port=port, user="tester", dbname="watertable", **{"autocommit": True} | options)


def filled(connection, row, suffix=""):
    table = cells.topic(row, suffix)
    connection.execute(definition(table))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {quoted(table)} ({', '.join(names())}) VALUES ({', '.join(['%s'] * len(COLUMNS))})", ROWS)
        check(cursor.rowcount == len(ROWS), f"{cursor.rowcount} rows are said to be written")
    return table


def select(table):
    return f"SELECT {', '.join(names())} FROM {quoted(table)} ORDER BY id"


@contextlib.contextmanager
def fails(kind, text):
    try:
        yield
    except kind as error:
        check(text in str(error), f"the error is {error}")
        return
    check(False, f"no {kind.__name__}")


@cells.row("connect")
def server_version(_row):
    with connect() as connection:
        check(connection.info.server_version >= 140000, f"the server's version is {connection.info.server_version}")
        check(connection.execute("SELECT 1, current_database()").fetchone() == (1, "watertable"), "SELECT 1")


@cells.row("tables")
def tables(row):
    with connect() as connection:
        table = filled(connection, row)
        query = "SELECT table_schema, table_type FROM information_schema.tables WHERE table_name = %s"
        found = connection.execute(query, (table,)).fetchall()
        check(found == [("public", "BASE TABLE")], f"the catalogue has {found}")


@cells.row("columns")
def columns(row):
    with connect() as connection:
        table = filled(connection, row)
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
        found = [name for name, in connection.execute(query, (table,))]
        check(found == METADATA + names() + ["_error"], f"the columns are {found}")


@cells.row("text")
def as_text(row):
    with connect() as connection:
        found = connection.execute(select(filled(connection, row))).fetchall()
        check(found == ROWS, f"read {found}")


@cells.row("binary")
def as_binary(row):
    with connect() as connection:
        found = connection.execute(select(filled(connection, row)), binary=True).fetchall()
        check(found == ROWS, f"read {found}")


@cells.row("parameters")
def parameters(row):
    with connect() as connection:
        table = filled(connection, row)
        for position, (name, kind) in enumerate(COLUMNS[:7]):
            for binary in ("s", "t", "b"):
                query = f"SELECT id FROM {quoted(table)} WHERE {name} = %{binary}::{kind}"
                found = connection.execute(query, (ROWS[0][position],)).fetchall()
                check(found == [(1,)], f"{name} in {binary}: {found}")
        # Often enough to be prepared by name.
        for number in range(10):
            found = connection.execute(f"SELECT id + %s FROM {quoted(table)} WHERE id = 2", (number,)).fetchone()
            check(found == (2 + number,), f"{number}: {found}")


@cells.row("cursor")
def server_cursor(_row):
    for binary in (False, True):
        with connect(autocommit=False) as connection, connection.cursor(name="cur", binary=binary) as cursor:
            cursor.execute("SELECT value FROM generate_series(1, 2500)")
            cursor.itersize = 1000
            check([number for number, in cursor] == list(range(1, 2501)), "the rows of a server-side cursor")


@cells.row("copy-out")
def copy_out(row):
    with connect() as connection:
        table = filled(connection, row)
        with connection.cursor().copy(f"COPY (SELECT id, carrier FROM {quoted(table)} ORDER BY id) TO STDOUT") as copy:
            found = list(copy.rows())
        check(found == [(str(one[0]), one[1]) for one in ROWS], f"copied {found}")


@cells.row("copy-in")
def copy_in(row):
    with connect() as connection:
        table = cells.topic(row)
        connection.execute(definition(table))
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY {quoted(table)} ({', '.join(names())}) FROM STDIN") as copy:
                for one in ROWS:
                    copy.write_row(one)
            check(cursor.rowcount == len(ROWS), f"{cursor.rowcount} rows are said to be copied")
        found = connection.execute(select(table)).fetchall()
        check(found == ROWS, f"read {found}")


@cells.row("insert")
def insert(row):
    with connect() as connection:
        table = filled(connection, row)
        connection.execute(f"INSERT INTO {quoted(table)} (_key, id) SELECT 'k' || id, id + 10 FROM {quoted(table)}")
        found = connection.execute(f"SELECT _key, id FROM {quoted(table)} WHERE id > 10 ORDER BY id").fetchall()
        check(found == [("k1", 11), ("k2", 12), ("k3", 13)], f"read {found}")


@cells.row("transaction")
def transaction(row):
    with connect() as connection, connect() as other:
        table = filled(connection, row)
        count = f"SELECT count(*) FROM {quoted(table)}"
        with contextlib.suppress(ZeroDivisionError), connection.transaction():
            connection.execute(f"INSERT INTO {quoted(table)} (id) VALUES (4), (5)")
            raise ZeroDivisionError
        check(other.execute(count).fetchone() == (3,), "what was rolled back is there")
        with connection.transaction():
            connection.execute(f"INSERT INTO {quoted(table)} (id) VALUES (4)")
            check(other.execute(count).fetchone() == (3,), "what is not committed is there")
            connection.execute(f"INSERT INTO {quoted(table)} (id) VALUES (5)")
        check(other.execute(count).fetchone() == (5,), "what was committed is not there")


@cells.row("definition")
def define(row):
    with connect() as connection:
        table = cells.topic(row)
        connection.execute(definition(table))
        with fails(errors.DuplicateTable, "exists"):
            connection.execute(definition(table))
        connection.execute(f"DROP TABLE {quoted(table)}")
        with fails(errors.UndefinedTable, "does not exist"):
            connection.execute(f"DROP TABLE {quoted(table)}")


@cells.row("errors")
def error_codes(row):
    with connect() as connection:
        table = filled(connection, row)
        with fails(errors.UndefinedTable, "does not exist"):
            connection.execute("SELECT * FROM nowhere")
        with fails(errors.UndefinedColumn, "does not exist"):
            connection.execute(f"SELECT nothing FROM {quoted(table)}")
        with fails(errors.SyntaxError, "syntax error"):
            connection.execute("SELEC 1")
        with fails(errors.FeatureNotSupported, "cannot change a topic"):
            connection.execute(f"DELETE FROM {quoted(table)}")
        with fails(errors.DivisionByZero, "zero"):
            connection.execute(f"SELECT 1 / (id - id) FROM {quoted(table)}")


@cells.row("cancel")
def cancel(_row):
    endless = "SELECT count(*) FROM generate_series(1, 1000000000000)"
    with connect() as connection:
        connection.execute("SET statement_timeout = 100")
        with fails(errors.QueryCanceled, "timeout"):
            connection.execute(endless)
        check(connection.execute("SELECT 1").fetchone() == (1,), "the session goes on")


@cells.row("pipeline")
def pipeline(_row):
    with connect() as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(5)]
        found = [cursor.fetchone() for cursor in cursors]
        check(found == [(number,) for number in range(5)], f"read {found}")


@cells.row("sys")
def system(row):
    with connect() as connection:
        table = filled(connection, row)
        found = connection.execute("SELECT partitions FROM sys.topics WHERE topic = %s", (table,)).fetchall()
        check(len(found) == 1 and found[0][0] >= 1, f"sys.topics has {found}")


cells.main()
