"""Exports to a store that speaks S3's protocol and is not ours (moto), on loopback.

Starts the store and a broker, writes a topic and a large result in each format, and reads them back with DuckDB. Then what must
leave no object: an object that is there, a bucket that is not, a statement that is cancelled, a broker that is stopped or killed,
a store whose certificate nobody vouches for, a store that is gone.
"""

import argparse
import contextlib
import datetime
import ipaddress
import os
import pathlib
import signal
import subprocess
import threading
import time

import boto3
import duckdb
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from psycopg import errors
from werkzeug.serving import make_server

BUCKET = "reports"
PATIENCE = 120
FORMATS = ["parquet", "csv", "ndjson"]
ROWS = 300_000
LARGE = f"SELECT value AS n, md5(value::text) AS a, md5((value + 1)::text) AS b FROM generate_series(1, {ROWS})"
ENDLESS = "SELECT value, md5(value::text) FROM generate_series(1, 1000000000000)"


class Broker:
    """A broker over a data directory."""

    def __init__(self, arguments, endpoint, **variables):
        command = [arguments.binary, "start", "--listen", "127.0.0.1:0", "--http-listen", "off", "--sql-listen", "127.0.0.1:0"]
        command += ["--data-dir", str(arguments.folder / "broker")]
        command += ["--set", f"sql.export.s3.prefixes=s3://{BUCKET}/daily, s3://no-such-bucket"]
        command += ["--set", f"sql.export.s3.endpoint={endpoint}"]
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "WATERTABLE_"))}
        environment |= {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret"} | variables
        self.log = open(arguments.folder / "broker.log", "a")
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words and words[0] == "sql":
                self.host, self.port = words[1].rsplit(":", 1)
            if words and words[0] == "cluster":
                return
        raise SystemExit("the broker did not start; see broker.log")

    def connect(self):
        return psycopg.connect(host=self.host, port=self.port, user="tester", dbname="watertable", autocommit=True)

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


def until(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"not in time: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def fails(kind, *texts):
    try:
        yield
    except kind as error:
        said = f"{error} {error.diag.message_hint}"
        for text in texts:
            assert text in said, said
        return
    raise SystemExit(f"no {kind.__name__}")


class Store:
    """What the store has, asked for as anybody would."""

    def __init__(self, endpoint):
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="tester", aws_secret_access_key="secret"
        )
        self.client.create_bucket(Bucket=BUCKET)

    def names(self):
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def uploads(self):
        return self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    def is_sending(self):
        return any(
            self.client.list_parts(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts")
            for upload in self.uploads()
        )

    def fetch(self, key, folder):
        path = folder / pathlib.Path(key).name
        self.client.download_file(BUCKET, key, str(path))
        return path

    def clear(self):
        for key in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=key)


def to(name, options=""):
    return f" TO 's3://{BUCKET}/daily/{name}' {options}"


def read(path):
    reader = {".parquet": "read_parquet", ".csv": "read_csv", ".ndjson": "read_json"}[path.suffix]
    return f"{reader}('{path}')"


def formats(connection, store, folder):
    connection.execute("CREATE TABLE trips (id bigint, driver text, km double precision) WITH (partitions = 3)")
    trips = [(number, None if number % 7 == 0 else f"dr\u00edver, \"{number}\"", number / 8) for number in range(1000)]
    with connection.cursor() as cursor, cursor.copy("COPY trips (id, driver, km) FROM STDIN") as copy:
        for trip in trips:
            copy.write_row(trip)
    for ending in FORMATS:
        done = connection.execute("COPY (SELECT id, driver, km FROM trips)" + to(f"trips.{ending}"))
        assert done.statusmessage == "COPY 1000", done.statusmessage
        found = duckdb.sql(f"SELECT id, driver, km FROM {read(store.fetch(f'daily/trips.{ending}', folder))} ORDER BY id")
        assert found.fetchall() == trips, f"{ending}: {found}"

        done = connection.execute(f"COPY ({LARGE})" + to(f"large.{ending}"))
        assert done.statusmessage == f"COPY {ROWS}", done.statusmessage
        tag = store.client.head_object(Bucket=BUCKET, Key=f"daily/large.{ending}")["ETag"]
        parts = int(tag.strip('"').rsplit("-", 1)[1])
        assert parts > 1, tag
        large = read(store.fetch(f"daily/large.{ending}", folder))
        wrong = f"SELECT count(*), sum(n), count(*) FILTER (a <> md5(n::text) OR b <> md5((n + 1)::text)) FROM {large}"
        [found] = duckdb.sql(wrong).fetchall()
        assert found == (ROWS, ROWS * (ROWS + 1) // 2, 0), f"{ending}: {found}"
        print(f"{ending}: as DuckDB reads it; the large one in {parts} parts")
    done = connection.execute("COPY (SELECT id FROM trips WHERE id < 0)" + to("nothing.csv", "WITH (HEADER false)"))
    assert done.statusmessage == "COPY 0", done.statusmessage
    for name in ["trips.csv", "large.csv", "nothing.csv"]:
        with fails(errors.DuplicateFile, "is there already", "OVERWRITE"):
            connection.execute("COPY trips" + to(name))
    assert store.uploads() == []
    connection.execute("COPY (SELECT 1 AS n)" + to("large.csv", "WITH (OVERWRITE true)"))
    assert store.fetch("daily/large.csv", folder).read_text() == "n\n1\n"
    connection.execute(f"COPY ({LARGE})" + to("trips.csv", "WITH (OVERWRITE true)"))
    with fails(errors.UndefinedFile, "NoSuchBucket"):
        connection.execute("COPY trips TO 's3://no-such-bucket/a.csv'")
    with fails(errors.InsufficientPrivilege, "sql.export.s3.prefixes"):
        connection.execute(f"COPY trips TO 's3://{BUCKET}/a.csv'")
    store.clear()
    print("what is there is kept unless it may be overwritten")


def ended_early(broker, store, end):
    """Begins an export without an end, ends it, and has what its client saw."""
    seen = []

    def ask():
        try:
            with broker.connect() as connection:
                connections.append(connection)
                connection.execute(f"COPY ({ENDLESS})" + to("endless.csv"))
        except psycopg.Error as error:
            seen.append(error)

    connections = []
    asking = threading.Thread(target=ask)
    asking.start()
    until("parts are there", store.is_sending)
    end(connections[0])
    asking.join(PATIENCE)
    assert seen, "the statement goes on"
    assert store.names() == [], store.names()
    return seen[0]


def certificate(folder):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "store.pem").write_bytes(signed.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "store.key").write_bytes(secret)
    return str(folder / "store.pem"), str(folder / "store.key")


def over_tls(arguments, store):
    """The same store behind TLS."""
    files = certificate(arguments.folder)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, ssl_context=files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"https://127.0.0.1:{server.port}"
    broker = Broker(arguments, endpoint, SSL_CERT_FILE=files[0])
    try:
        with broker.connect() as connection:
            connection.execute("COPY (SELECT 1 AS n)" + to("tls.csv"))
            connection.execute(f"COPY ({LARGE})" + to("tls.parquet"))
            assert store.names() == ["daily/tls.csv", "daily/tls.parquet"], store.names()
        broker.end(signal.SIGTERM)
        broker = Broker(arguments, endpoint)
        with broker.connect() as connection, fails(errors.IoError, "certificate", "sql.export.s3.endpoint"):
            connection.execute("COPY (SELECT 1 AS n)" + to("unknown.csv"))
        broker.end(signal.SIGTERM)
    finally:
        broker.process.kill()
    server.shutdown()
    store.clear()
    print("over TLS, and not without a certificate that is known")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    store = Store(endpoint)
    broker = Broker(arguments, endpoint)
    try:
        with broker.connect() as connection:
            formats(connection, store, arguments.folder)
        seen = ended_early(broker, store, lambda connection: connection.cancel_safe())
        assert isinstance(seen, errors.QueryCanceled), seen
        until("the cancelled upload is gone", lambda: store.uploads() == [])
        print("cancelled: no object, no upload")
        ended_early(broker, store, lambda _connection: broker.end(signal.SIGTERM))
        assert store.uploads() == [], store.uploads()
        print("stopped: no object, no upload")
        over_tls(arguments, store)
        broker = Broker(arguments, endpoint)
        ended_early(broker, store, lambda _connection: broker.end(signal.SIGKILL))
        left = store.uploads()
        assert len(left) == 1, left
        print("killed: no object; the upload is left to the store's own rule")
        store.client.abort_multipart_upload(Bucket=BUCKET, Key=left[0]["Key"], UploadId=left[0]["UploadId"])
        broker = Broker(arguments, endpoint)
        with broker.connect() as connection:
            assert connection.execute("SELECT count(*) FROM trips").fetchone() == (1000,)
            connection.execute("COPY (SELECT 1 AS n)" + to("endless.csv"))
            server.stop()
            began = time.monotonic()
            with fails(errors.IoError, "sql.export.s3.endpoint"):
                connection.execute("COPY trips" + to("late.csv"))
            print(f"a store that is gone is told after {time.monotonic() - began:.1f} s")
            assert connection.execute("SELECT 1").fetchone() == (1,)
        broker.end(signal.SIGTERM)
    finally:
        broker.process.kill()


main()
