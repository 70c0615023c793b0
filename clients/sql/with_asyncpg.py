"""The SQL matrix through asyncpg: everything prepared, every value in binary, types looked up in the catalogue."""

import asyncio
import contextlib
import datetime
import decimal
import io

import shared
from shared import COLUMNS, METADATA, ROWS, definition, names, quoted

import asyncpg
from asyncpg import exceptions

from cells import Cells, NotSupported, check

cells = Cells("asyncpg", asyncpg.__version__)


def row(name):
    """A row that is a coroutine with a connection."""

    def register(function):
        async def connected(row):
            connection = await connect()
            try:
                return await function(connection, row)
            finally:
                await connection.close(timeout=10)

        cells.row(name)(lambda row: asyncio.run(connected(row)))
        return function

    return register


async def connect():
    host, port = cells.bootstrap.rsplit(":", 1)
    return await asyncpg.connect(host=host, port=int(port), user="tester", database="watertable", timeout=10)


async def filled(connection, row, suffix=""):
    table = cells.topic(row, suffix)
    await connection.execute(definition(table))
    values = ", ".join(f"${number + 1}" for number in range(len(COLUMNS)))
    await connection.executemany(f"INSERT INTO {quoted(table)} ({', '.join(names())}) VALUES ({values})", ROWS)
    return table


def select(table):
    return f"SELECT {', '.join(names())} FROM {quoted(table)} ORDER BY id"


@contextlib.asynccontextmanager
async def fails(kind, text):
    try:
        yield
    except kind as error:
        check(text in str(error), f"the error is {error}")
        return
    check(False, f"no {kind.__name__}")


@row("connect")
async def server_version(connection, _row):
    check(connection.get_server_version().major >= 14, f"the server's version is {connection.get_server_version()}")
    check(tuple(await connection.fetchrow("SELECT 1, current_database()")) == (1, "watertable"), "SELECT 1")
    # What a pool does between two users of a connection.
    await connection.reset()


@row("tables")
async def tables(connection, row):
    table = await filled(connection, row)
    query = "SELECT table_schema, table_type FROM information_schema.tables WHERE table_name = $1"
    found = [tuple(one) for one in await connection.fetch(query, table)]
    check(found == [("public", "BASE TABLE")], f"the catalogue has {found}")


@row("columns")
async def columns(connection, row):
    table = await filled(connection, row)
    statement = await connection.prepare(f"SELECT * FROM {quoted(table)}")
    found = [attribute.name for attribute in statement.get_attributes()]
    check(found == METADATA + names() + ["_error"], f"the columns are {found}")
    types = [attribute.type.name for attribute in statement.get_attributes()][len(METADATA):-1]
    check(types == ["int8", "text", "float8", "bool", "numeric", "date", "timestamptz", "bytea"], f"their types are {types}")


@row("text")
async def as_text(_connection, _row):
    raise NotSupported("asyncpg asks for binary alone")


@row("binary")
async def as_binary(connection, row):
    found = [tuple(one) for one in await connection.fetch(select(await filled(connection, row)))]
    check(found == ROWS, f"read {found}")
    # Arrays: the driver asks the catalogue for each type once.
    for kind, values in [
        ("text", ["a", None, "größe, \"x\""]), ("int", [1, -2]), ("bigint", [1 << 40]), ("bool", [True, False]),
        ("float8", [0.5]), ("numeric", [decimal.Decimal("1.5")]), ("date", [datetime.date(2013, 1, 1)]), ("timestamptz", [ROWS[0][6]]),
    ]:
        found = await connection.fetchval(f"SELECT $1::{kind}[]", values)
        check(found == values, f"{kind}[]: {found}")


@row("parameters")
async def parameters(connection, row):
    table = await filled(connection, row)
    for position, (name, _kind) in enumerate(COLUMNS[:7]):
        statement = await connection.prepare(f"SELECT id FROM {quoted(table)} WHERE {name} = $1")
        for _ in range(2):
            found = await statement.fetchval(ROWS[0][position])
            check(found == 1, f"{name}: {found}")
    found = await connection.fetch(f"SELECT id FROM {quoted(table)} WHERE id = ANY($1) ORDER BY id", [1, 3, 7])
    check([one["id"] for one in found] == [1, 3], f"ANY of numbers: {found}")
    found = await connection.fetch(f"SELECT id FROM {quoted(table)} WHERE carrier = ANY($1::text[])", ["UA", "XX"])
    check([one["id"] for one in found] == [1], f"ANY of texts: {found}")


@row("cursor")
async def server_cursor(connection, _row):
    async with connection.transaction():
        cursor = connection.cursor("SELECT value FROM generate_series(1, 2500) WHERE value <= $1", 2500, prefetch=1000)
        check([one["value"] async for one in cursor] == list(range(1, 2501)), "the rows of a cursor")


@row("copy-out")
async def copy_out(connection, row):
    table = await filled(connection, row)
    output = io.BytesIO()
    told = await connection.copy_from_query(f"SELECT id, carrier FROM {quoted(table)} WHERE id <> 2 ORDER BY id", output=output)
    check(told == "COPY 2" and output.getvalue() == b"1\tUA\n3\t\\N\n", f"{told}: {output.getvalue()}")


@row("copy-in")
async def copy_in(connection, row):
    table = cells.topic(row)
    await connection.execute(definition(table))
    source = io.BytesIO(b"1\tUA\n2\t\\N\n")
    told = await connection.copy_to_table(table, source=source, columns=["id", "carrier"])
    check(told == "COPY 2", told)
    told = await connection.copy_records_to_table(table, records=[(one[0] + 10,) + one[1:] for one in ROWS], columns=names())
    check(told == "COPY 3", told)
    found = [tuple(one) for one in await connection.fetch(select(table))]
    check(found[2:] == [(one[0] + 10,) + one[1:] for one in ROWS], f"read {found}")


@row("insert")
async def insert(connection, row):
    table = await filled(connection, row)
    told = await connection.execute(f"INSERT INTO {quoted(table)} (_key, id) SELECT 'k' || id, id + 10 FROM {quoted(table)}")
    check(told == "INSERT 0 3", told)
    found = [tuple(one) for one in await connection.fetch(f"SELECT _key, id FROM {quoted(table)} WHERE id > 10 ORDER BY id")]
    check(found == [("k1", 11), ("k2", 12), ("k3", 13)], f"read {found}")


@row("transaction")
async def transaction(connection, row):
    table = await filled(connection, row)
    with contextlib.suppress(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {quoted(table)} (id) VALUES ($1)", 4)
            raise ZeroDivisionError
    async with connection.transaction():
        await connection.execute(f"INSERT INTO {quoted(table)} (id) VALUES ($1)", 5)
    found = await connection.fetchrow(f"SELECT count(*), max(id) FROM {quoted(table)}")
    check(tuple(found) == (4, 5), f"read {found}")


@row("definition")
async def define(connection, row):
    table = cells.topic(row)
    await connection.execute(definition(table))
    async with fails(exceptions.DuplicateTableError, "exists"):
        await connection.execute(definition(table))
    await connection.execute(f"DROP TABLE {quoted(table)}")
    async with fails(exceptions.UndefinedTableError, "does not exist"):
        await connection.execute(f"DROP TABLE {quoted(table)}")


@row("errors")
async def error_codes(connection, row):
    table = await filled(connection, row)
    async with fails(exceptions.UndefinedTableError, "does not exist"):
        await connection.fetch("SELECT * FROM nowhere")
    async with fails(exceptions.UndefinedColumnError, "does not exist"):
        await connection.fetch(f"SELECT nothing FROM {quoted(table)}")
    async with fails(exceptions.PostgresSyntaxError, "syntax error"):
        await connection.fetch("SELEC 1")
    async with fails(exceptions.FeatureNotSupportedError, "cannot change a topic"):
        await connection.execute(f"DELETE FROM {quoted(table)}")
    async with fails(exceptions.DivisionByZeroError, "zero"):
        await connection.fetch(f"SELECT 1 / (id - id) FROM {quoted(table)}")


@row("cancel")
async def cancel(connection, _row):
    # The driver sends a cancel request when a coroutine runs out of time.
    try:
        await connection.fetch("SELECT count(*) FROM generate_series(1, 1000000000000)", timeout=0.5)
        check(False, "it came to an end")
    except TimeoutError:
        pass
    check(await connection.fetchval("SELECT 1") == 1, "the session goes on")


@row("pipeline")
async def pipeline(connection, row):
    # Sent as one: every Bind and Execute before the first answer.
    table = cells.topic(row)
    await connection.execute(definition(table))
    await connection.executemany(f"INSERT INTO {quoted(table)} (id) VALUES ($1)", [(number,) for number in range(50)])
    found = await connection.fetchrow(f"SELECT count(*), sum(id)::bigint FROM {quoted(table)}")
    check(tuple(found) == (50, 1225), f"read {found}")


@row("sys")
async def system(connection, row):
    table = await filled(connection, row)
    found = await connection.fetchval("SELECT partitions FROM sys.topics WHERE topic = $1", table)
    check(found >= 1, f"sys.topics has {found}")
    # A column that is an array.
    await connection.fetch("SELECT assignment FROM sys.group_members")


cells.main()
