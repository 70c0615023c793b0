"""The SQL matrix through SQLAlchemy: reflection, and statements built from what it finds."""

import shared
from shared import METADATA, ROWS, definition, names, quoted

import sqlalchemy as sa

from cells import Cells, NotSupported, check

cells = Cells("SQLAlchemy", sa.__version__)


def engine():
    return sa.create_engine(f"postgresql+psycopg://tester@{cells.bootstrap}/watertable")


def filled(row):
    table = cells.topic(row)
    opened = engine()
    with opened.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(definition(table))
    reflected = sa.Table(table, sa.MetaData(), autoload_with=opened)
    with opened.begin() as connection:
        connection.execute(sa.insert(reflected), [dict(zip(names(), one)) for one in ROWS])
    return opened, reflected


def read(opened, table):
    with opened.connect() as connection:
        return [tuple(one) for one in connection.execute(sa.select(*(table.c[name] for name in names())).order_by(table.c.id))]


@cells.row("connect")
def connect(_row):
    with engine().connect() as connection:
        check(connection.execute(sa.text("SELECT 1")).scalar() == 1, "SELECT 1")


@cells.row("tables")
def tables(row):
    opened, table = filled(row)
    inspector = sa.inspect(opened)
    check(table.name in inspector.get_table_names() and inspector.has_table(table.name), "the topic is no table")
    check({"public", "sys"} <= set(inspector.get_schema_names()), f"the schemas are {inspector.get_schema_names()}")
    check("topics" in inspector.get_table_names("sys") + inspector.get_view_names("sys"), "sys has no topics")


@cells.row("columns")
def columns(row):
    _, table = filled(row)
    check(list(table.c.keys()) == METADATA + names() + ["_error"], f"the columns are {table.c.keys()}")
    kinds = [str(table.c[name].type) for name in names()]
    check(kinds == ["BIGINT", "TEXT", "DOUBLE PRECISION", "BOOLEAN", "NUMERIC(10, 2)", "DATE", "TIMESTAMP", "BYTEA"], f"the types are {kinds}")


@cells.row("text")
def as_text(row):
    found = read(*filled(row))
    check(found == ROWS, f"read {found}")


@cells.row("binary")
def as_binary(_row):
    raise NotSupported("the driver below decides; see psycopg")


@cells.row("parameters")
def parameters(row):
    opened, table = filled(row)
    with opened.connect() as connection:
        query = sa.select(table.c.id).where(table.c.carrier.in_(["UA", "AA"]), table.c.delay > 1.0, table.c.day == ROWS[0][5])
        check(connection.execute(query).scalars().all() == [1], "IN, >, =")


@cells.row("cursor")
def cursor(_row):
    with engine().connect() as connection:
        streaming = connection.execution_options(stream_results=True, yield_per=1000)
        with streaming.execute(sa.text("SELECT value FROM generate_series(1, 2500)")) as result:
            check([one.value for one in result] == list(range(1, 2501)), "the rows of stream_results")


@cells.row("copy-out")
def copy_out(_row):
    raise NotSupported("SQLAlchemy has no COPY; see psycopg")


@cells.row("copy-in")
def copy_in(_row):
    raise NotSupported("SQLAlchemy has no COPY; see psycopg")


@cells.row("insert")
def insert(row):
    opened, table = filled(row)
    with opened.begin() as connection:
        source = sa.select(sa.literal("k").concat(sa.cast(table.c.id, sa.Text)), table.c.id + 10)
        connection.execute(sa.insert(table).from_select(["_key", "id"], source))
    with opened.connect() as connection:
        query = sa.select(table.c._key, table.c.id).where(table.c.id > 10).order_by(table.c.id)
        found = [tuple(one) for one in connection.execute(query)]
    check(found == [("k1", 11), ("k2", 12), ("k3", 13)], f"read {found}")


@cells.row("transaction")
def transaction(row):
    opened, table = filled(row)
    with opened.connect() as connection:
        connection.execute(sa.insert(table), [{"id": 4}])
        connection.rollback()
        count = sa.select(sa.func.count()).select_from(table)
        check(connection.execute(count).scalar() == 3, "what was rolled back is there")


@cells.row("definition")
def define(row):
    opened, metadata = engine(), sa.MetaData()
    table = sa.Table(cells.topic(row), metadata, sa.Column("id", sa.BigInteger), sa.Column("name", sa.Text))
    autocommit = opened.execution_options(isolation_level="AUTOCOMMIT")
    metadata.create_all(autocommit)
    check(sa.inspect(opened).has_table(table.name), "create_all made nothing")
    metadata.drop_all(autocommit)
    check(not sa.inspect(opened).has_table(table.name), "drop_all dropped nothing")


@cells.row("errors")
def error_codes(_row):
    with engine().connect() as connection:
        try:
            connection.execute(sa.text("SELECT * FROM nowhere"))
        except sa.exc.ProgrammingError as error:
            check(error.orig.sqlstate == "42P01", f"the state is {error.orig.sqlstate}")
            return
    check(False, "no error")


@cells.row("cancel")
def cancel(_row):
    with engine().connect() as connection:
        connection.execute(sa.text("SET statement_timeout = 100"))
        try:
            connection.execute(sa.text("SELECT count(*) FROM generate_series(1, 1000000000000)"))
        except sa.exc.OperationalError as error:
            check(error.orig.sqlstate == "57014", f"the state is {error.orig.sqlstate}")
            return
    check(False, "no error")


@cells.row("pipeline")
def pipeline(_row):
    raise NotSupported("SQLAlchemy has none; see psycopg")


@cells.row("sys")
def system(row):
    opened, table = filled(row)
    topics = sa.Table("topics", sa.MetaData(), schema="sys", autoload_with=opened)
    with opened.connect() as connection:
        found = connection.execute(sa.select(topics.c.partitions).where(topics.c.topic == table.name)).scalars().all()
    check(len(found) == 1 and found[0] >= 1, f"sys.topics has {found}")


cells.main()
