"""Asks for what takes all it can get, again and again until it is ended: a join of the flights with themselves, sorted."""

import argparse

import psycopg

HEAVY = """SELECT a.carrier, b.dest, count(*) AS pairs, sum(a.distance + b.air_time) AS total
FROM flights a JOIN flights b ON a.tailnum = b.tailnum AND a.month = b.month
GROUP BY a.carrier, b.dest ORDER BY total DESC"""

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--watertable", required=True)
host, port = arguments.parse_args().watertable.rsplit(":", 1)
with psycopg.connect(host=host, port=port, user="bench", dbname="watertable", autocommit=True) as connection:
    while True:
        connection.execute(HEAVY).fetchall()
