"""SQLAlchemy against the tables of the sql crate's tests: reflection and a query built from it.

Arguments: host and port. Prints "ok" at the end; anything else is a failure.
"""

import sys

import sqlalchemy as sa

engine = sa.create_engine(f"postgresql+psycopg://tester@{sys.argv[1]}:{sys.argv[2]}/watertable")
inspector = sa.inspect(engine)
assert inspector.get_schema_names() == ["information_schema", "public"], inspector.get_schema_names()
names = inspector.get_table_names()
assert sorted(names) == ["Odd-Topic.1", "flights", "numbers"], names
assert inspector.has_table("flights") and not inspector.has_table("nowhere")
assert inspector.get_view_names() == ["endless"]
columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("flights")}
assert columns["id"] == "BIGINT" and columns["carrier"] == "TEXT" and columns["day"] == "DATE", columns
assert inspector.get_pk_constraint("flights")["constrained_columns"] == []
assert inspector.get_foreign_keys("flights") == [] and inspector.get_indexes("flights") == []
assert inspector.get_table_comment("flights") == {"text": None}

flights = sa.Table("flights", sa.MetaData(), autoload_with=engine)
with engine.connect() as connection:
    query = sa.select(flights.c.carrier, sa.func.count()).where(flights.c.id > 1).group_by(flights.c.carrier).order_by(flights.c.carrier)
    rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [("AA", 1), (None, 1)], rows
    with connection.execution_options(stream_results=True, yield_per=1000).execute(sa.text("SELECT n FROM numbers")) as result:
        assert sum(row.n for row in result) == 50005000
print("ok")
