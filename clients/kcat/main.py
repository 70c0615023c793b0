"""The compatibility matrix through kcat, Debian's package: an older librdkafka as many people still run it.

kcat has no admin requests, so confluent-kafka creates the topics of the rows that need them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

from cells import ACKS, CODECS, LARGE, LARGE_LIMIT, Cells, NotSupported, check, check_keyed, incompressible, key_of, value_of, wait_until  # noqa: E402, E501
from topics import Setup  # noqa: E402

TOOL_SECONDS = 30
COUNT = 200


def version():
    text = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    words = text.split()
    return f"{words[words.index('Version') + 1]} (librdkafka {words[words.index('librdkafka') + 1]})"


cells = Cells("kcat", version())
setup = Setup(cells)


def run(*arguments, stdin=b"", fails=False):
    command = ["kcat", "-b", cells.bootstrap, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=TOOL_SECONDS)
    errors = done.stderr.decode(errors="replace")
    check(fails or done.returncode == 0, f"kcat {' '.join(arguments)} ended with {done.returncode}: {errors}")
    return done.stdout, errors


def lines(output):
    return [json.loads(line) for line in output.splitlines()]


def bytes_of(text):
    return None if text is None else text.encode()


def read_all(topic, count):
    """Reads every partition from its beginning to its end; the log must hold exactly `count` records."""
    setup.await_count(topic, count)
    read = lines(run("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J")[0])
    check(len(read) == count, f"{len(read)} records instead of {count}")
    return read


def plain(read):
    return [(line["partition"], line["offset"], bytes_of(line["key"]), bytes_of(line["payload"])) for line in read]


def produce_keyed(topic, row, *arguments):
    records = b"".join(key_of(index) + b"\t" + value_of(row, index) + b"\n" for index in range(COUNT))
    run("-P", "-t", topic, "-K", "\t", *arguments, stdin=records)


def produce_values(topic, row, numbers, *arguments):
    run("-P", "-t", topic, *arguments, stdin=b"".join(value_of(row, number) + b"\n" for number in numbers))


@cells.row("topic-create")
def topic_create(row):
    raise NotSupported("kcat has no request that creates topics")


@cells.row("topic-delete")
def topic_delete(row):
    raise NotSupported("kcat has no request that deletes topics")


@cells.row("topic-list")
def topic_list(row):
    names = [setup.create(cells.topic(row, f"-{number}")) for number in range(2)]
    listed = [topic["topic"] for topic in json.loads(run("-L", "-J")[0])["topics"]]
    check(all(name in listed for name in names), "a created topic is not listed")
    check(cells.topic(row, "-never") not in listed, "a topic is listed that nobody created")


@cells.row("topic-describe")
def topic_describe(row):
    topic = setup.create(cells.topic(row), 3)
    described = json.loads(run("-L", "-J", "-t", topic)[0])["topics"][0]
    partitions = sorted(described["partitions"], key=lambda part: part["partition"])
    check([part["partition"] for part in partitions] == [0, 1, 2], "not the partitions 0, 1, 2")
    for part in partitions:
        check(part["leader"] >= 0, f"partition {part['partition']} has no leader")
        check([node["id"] for node in part["replicas"]] == [part["leader"]], "replicas are not the leader alone")
        check([node["id"] for node in part["isrs"]] == [part["leader"]], "in-sync replicas are not the leader alone")


def produce_row(acks, codec):
    def row(row):
        topic = setup.create(cells.topic(row), 3)
        produce_keyed(topic, row, "-X", f"acks={acks}", "-X", f"compression.codec={codec}")
        check_keyed(row, COUNT, plain(read_all(topic, COUNT)))

    cells.row(f"produce-acks-{acks}-{codec}")(row)


for acks in ACKS:
    for codec in CODECS:
        produce_row(acks, codec)


@cells.row("produce-idempotent")
def produce_idempotent(row):
    topic = setup.create(cells.topic(row), 3)
    # Small batches, so that several are in flight and sequences matter.
    produce_keyed(topic, row, "-X", "enable.idempotence=true", "-X", "batch.num.messages=7")
    check_keyed(row, COUNT, plain(read_all(topic, COUNT)))


@cells.row("consume-assign")
def consume_assign(row):
    topic = setup.create(cells.topic(row), 3)
    for partition in range(3):
        produce_values(topic, row, range(partition, 90, 3), "-p", str(partition))
    read = plain(lines(run("-C", "-t", topic, "-p", "1", "-o", "10", "-e", "-q", "-J")[0]))
    expected = [(1, offset, None, value_of(row, 1 + 3 * offset)) for offset in range(10, 30)]
    # kcat writes an absent key as empty text.
    check([(part, offset, key or None, value) for part, offset, key, value in read] == expected, "records from offset 10 differ")


@cells.row("consume-group")
def consume_group(row):
    topic = setup.create(cells.topic(row), 3)
    produce_keyed(topic, row)
    output = run("-G", topic, "-X", "auto.offset.reset=earliest", "-e", "-q", "-J", topic)[0]
    check_keyed(row, COUNT, plain(lines(output)))


class Member:
    """A kcat that stays in a group; what it says about rebalances and what it reads go to files."""

    def __init__(self, topic, folder, number):
        self.output, self.errors = folder / f"{number}.out", folder / f"{number}.err"
        settings = ["auto.offset.reset=earliest", "heartbeat.interval.ms=500", "session.timeout.ms=10000", "auto.commit.interval.ms=200"]
        options = [part for setting in settings for part in ("-X", setting)]
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            command = ["kcat", "-b", cells.bootstrap, "-G", topic, "-u", "-f", "%s\\n", *options, topic]
            self.process = subprocess.Popen(command, stdout=output, stderr=errors)

    def owned(self):
        """The partitions of the last rebalance that kcat told: `... assigned: TOPIC [0], TOPIC [1]`."""
        told = [line for line in self.errors.read_text().splitlines() if "rebalanced" in line]
        if not told or "assigned: " not in told[-1]:
            return []
        return [int(part.split("[")[1].rstrip("] ")) for part in told[-1].split("assigned: ")[1].split(",") if "[" in part]

    def received(self):
        return self.output.read_bytes().splitlines()

    def leave(self):
        self.process.terminate()
        self.process.wait(TOOL_SECONDS)


@cells.row("rebalance")
def rebalance(row):
    topic = setup.create(cells.topic(row), 6)
    members = []

    def shared_evenly():
        setup.reader.poll(0.05)
        check(all(member.process.poll() is None for member in members), "a member ended by itself")
        flat = sorted(sum((member.owned() for member in members), []))
        return flat == list(range(6)) and all(len(member.owned()) == 6 // len(members) for member in members)

    def round_trip(label):
        before = [len(member.received()) for member in members]
        for partition in range(6):
            produce_values(topic, row + label, range(partition, 60, 6), "-p", str(partition))

        def fresh():
            return [member.received()[skip:] for member, skip in zip(members, before)]

        wait_until(f"records {label}", lambda: setup.reader.poll(0.05) or sum(map(len, fresh())) >= 60)
        check(sorted(sum(fresh(), [])) == [value_of(row + label, index) for index in range(60)], f"records {label} differ or came twice")
        check(all(fresh()), f"not every member got records {label}")

    with tempfile.TemporaryDirectory() as folder:
        try:
            for number in range(3):
                members.append(Member(topic, pathlib.Path(folder), number))
                wait_until(f"{number + 1} members to share the partitions", shared_evenly)
            round_trip("with three")
            for number in (2, 1):
                members.pop(0).leave()
                wait_until(f"{number} members to take over", shared_evenly)
            round_trip("with one")
        finally:
            for member in members:
                member.leave()


@cells.row("commit-resume")
def commit_resume(row):
    topic = setup.create(cells.topic(row))
    produce_values(topic, row, range(100))
    group = ["-G", topic, "-X", "auto.offset.reset=earliest", "-q", "-J"]
    first = lines(run(*group, "-c", "40", topic)[0])
    check([line["offset"] for line in first] == list(range(40)), "the first forty differ")
    rest = lines(run(*group, "-e", topic)[0])
    check([line["offset"] for line in rest] == list(range(40, 100)), "does not resume at 40")
    check([bytes_of(line["payload"]) for line in rest] == [value_of(row, index) for index in range(40, 100)], "values differ")


@cells.row("seek-time")
def seek_time(row):
    topic = setup.create(cells.topic(row))
    # kcat cannot set timestamps, but two calls of it cannot have the same.
    produce_values(topic, row, range(50))
    produce_values(topic, row, range(50, 100))
    read = read_all(topic, 100)
    first, second = read[49]["ts"], read[50]["ts"]
    check(first < second, "timestamps do not tell the two calls apart")
    answer = run("-Q", "-t", f"{topic}:0:{first + 1}")[0].decode()
    check(answer.split("offset ")[-1].strip() == "50", f"the offset for the time is {answer}")
    after = lines(run("-C", "-t", topic, "-p", "0", "-o", f"s@{first + 1}", "-e", "-q", "-J")[0])
    check([line["offset"] for line in after] == list(range(50, 100)), "reading from the time does not begin at 50")


@cells.row("headers")
def headers(row):
    topic = setup.create(cells.topic(row))
    sent = ["text", "plain", "twice", "first", "twice", "second", "empty", "", "\u00fcml\u00e4ut", "gr\u00fc\u00dfe"]
    options = [part for name, value in zip(sent[::2], sent[1::2]) for part in ("-H", f"{name}={value}")]
    run("-P", "-t", topic, *options, stdin=b"with\n")
    run("-P", "-t", topic, stdin=b"without\n")
    read = read_all(topic, 2)
    check(read[0]["headers"] == sent, f"headers are {read[0].get('headers')}")
    check(not read[1].get("headers"), f"headers are {read[1].get('headers')}")
    return "without binary or null header values, which its command line cannot give"


@cells.row("null-key-value")
def null_key_value(row):
    topic = setup.create(cells.topic(row))
    for flags, records in ((["-Z"], b":null key\nnull value:\n:\n"), ([], b":\n:empty key\nempty value:\n")):
        run("-P", "-t", topic, "-K", ":", *flags, stdin=records)
    # The format string gives lengths, -1 for null.
    setup.await_count(topic, 6)
    output = run("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%K:%k:%S:%s\\n")[0].decode()
    expected = ["-1::8:null key", "10:null value:-1:", "-1::-1:", "0::0:", "0::9:empty key", "11:empty value:0:"]
    check(output.splitlines() == expected, f"read {output.splitlines()}")


def large_file(folder):
    path = pathlib.Path(folder) / "large"
    path.write_bytes(incompressible(LARGE))
    return str(path)


@cells.row("large-message-refused")
def large_message_refused(row):
    topic = setup.create(cells.topic(row))
    with tempfile.TemporaryDirectory() as folder:
        limit = ["-X", f"message.max.bytes={LARGE_LIMIT}"]
        errors = run("-P", "-t", topic, *limit, large_file(folder), fails=True)[1]
    check("Broker: Message size too large" in errors, f"10 MiB give {errors}")
    run("-P", "-t", topic, stdin=b"small\n")
    check([line["payload"] for line in read_all(topic, 1)] == ["small"], "the log holds something else")


@cells.row("large-message-accepted")
def large_message_accepted(row):
    topic = setup.create(cells.topic(row), config={"max.message.bytes": str(LARGE_LIMIT)})
    with tempfile.TemporaryDirectory() as folder:
        run("-P", "-t", topic, "-X", f"message.max.bytes={LARGE_LIMIT}", large_file(folder))
    setup.await_count(topic, 1)
    output = run("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%s")[0]
    check(output == incompressible(LARGE), "read back differently")


if __name__ == "__main__":
    cells.main()
