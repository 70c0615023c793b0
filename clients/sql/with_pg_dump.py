"""The SQL matrix through pg_dump: what it can write down of topics, or a clear word that it cannot."""

import re
import subprocess

import shared  # finds cells

from cells import Cells, NotSupported, check

cells = Cells("pg_dump", re.search(r"[\d.]+", subprocess.run(["pg_dump", "--version"], capture_output=True, text=True).stdout)[0])


@cells.row("dump")
def dump(_row):
    host, port = cells.bootstrap.rsplit(":", 1)
    command = ["pg_dump", "--schema-only", "-h", host, "-p", port, "-U", "tester", "watertable"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if ran.returncode == 0:
        check("CREATE TABLE" in ran.stdout or "PostgreSQL database dump" in ran.stdout, f"it wrote {ran.stdout}")
        return "writes the schema"
    check("pg_dump: error:" in ran.stderr and len(ran.stderr) < 2000, f"it said {ran.stderr}")
    raise NotSupported("ends with: " + " ".join(line for line in ran.stderr.splitlines() if "error:" in line))


cells.main()
