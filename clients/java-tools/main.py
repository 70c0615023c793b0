"""The compatibility matrix through Kafka's own unmodified command line tools.

Each call of a tool is a JVM, so confluent-kafka creates the topics of rows that are not about creating them.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parent.parent / "python"))

from cells import ACKS, CODECS, LARGE, LARGE_LIMIT, Cells, check, check_keyed, key_of, value_of, wait_until  # noqa: E402
from topics import Setup  # noqa: E402

TOOL_SECONDS = 40
COUNT = 200
TOPICS = "org.apache.kafka.tools.TopicCommand"
PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
MEMBER = "org.apache.kafka.tools.VerifiableConsumer"
CLASS_PATH = os.environ["KAFKA_CLASS_PATH"]
# They start often and live shortly.
JAVA = ["java", "-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", CLASS_PATH, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

cells = Cells("java-tools", re.search(r"kafka-tools-([0-9.]+)\.jar", CLASS_PATH).group(1))
setup = Setup(cells)


def run(tool, *arguments, stdin=b"", fails=False):
    command = [*JAVA, tool, "--bootstrap-server", cells.bootstrap, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=TOOL_SECONDS)
    said = (done.stdout + done.stderr).decode(errors="replace")
    check(fails or done.returncode == 0, f"{tool} {' '.join(arguments)} ended with {done.returncode}: {said}")
    check(not fails or done.returncode != 0, f"{tool} {' '.join(arguments)} did not fail: {said}")
    return said if fails else done.stdout.decode(errors="replace")


def produce(topic, lines, *arguments):
    """The console producer only logs a failed record, so what it logs counts."""
    command = [*JAVA, PRODUCER, "--bootstrap-server", cells.bootstrap, "--topic", topic, *arguments]
    done = subprocess.run(command, input=b"".join(line + b"\n" for line in lines), capture_output=True, timeout=TOOL_SECONDS)
    check(done.returncode == 0, f"the console producer ended with {done.returncode}: {done.stderr.decode()}")
    return done.stderr.decode(errors="replace")


def produce_well(topic, lines, *arguments):
    errors = produce(topic, lines, *arguments)
    check("ERROR" not in errors, errors)


SHOWN = ["partition", "offset", "timestamp", "headers", "key", "value"]
FORMAT = ["--formatter-property", "key.separator=|", "--formatter-property", "null.literal=NULL"]
FORMAT += [part for name in SHOWN for part in ("--formatter-property", f"print.{name}=true")]


def consume(topic, count, *arguments):
    """Exactly `count` records as dictionaries of what the console consumer prints."""
    output = run(CONSUMER, "--topic", topic, "--max-messages", str(count), "--timeout-ms", "20000", *FORMAT, *arguments)
    read = []
    for line in output.splitlines():
        if "|" not in line:
            continue
        # Kafka prints timestamp, partition, offset, headers, key, value.
        time, partition, offset, headers, key, value = line.split("|", 5)
        read.append({
            "timestamp": int(time.split(":")[1]), "partition": int(partition.split(":")[1]), "offset": int(offset.split(":")[1]),
            "headers": headers, "key": key, "value": value,
        })
    check(len(read) == count, f"{len(read)} records instead of {count}")
    return read


def read_all(topic, count, *arguments):
    """Reads every partition from its beginning; the log must hold exactly `count` records."""
    setup.await_count(topic, count)
    return consume(topic, count, "--from-beginning", *arguments)


def plain(read):
    return [(line["partition"], line["offset"], line["key"].encode(), line["value"].encode()) for line in read]


def keyed(row):
    return [key_of(index) + b"\t" + value_of(row, index) for index in range(COUNT)]


KEYED = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]


def spread(topic, row, count):
    """Without keys the tool's partitioner chooses; keys that hash apart reach every partition."""
    produce_well(topic, [b"%d\t%s" % (index, value_of(row, index)) for index in range(count)], *KEYED)


@cells.row("topic-create")
def topic_create(row):
    topic = cells.topic(row)
    run(TOPICS, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=3600000")
    described = run(TOPICS, "--describe", "--topic", topic)
    check("PartitionCount: 3" in described and "retention.ms=3600000" in described, described)
    again = run(TOPICS, "--create", "--topic", topic, fails=True)
    check("TopicExistsException" in again, again)


@cells.row("topic-list")
def topic_list(row):
    names = [setup.create(cells.topic(row, f"-{number}")) for number in range(2)]
    listed = run(TOPICS, "--list").split()
    check(all(name in listed for name in names), "a created topic is not listed")
    check(cells.topic(row, "-never") not in listed, "a topic is listed that nobody created")


@cells.row("topic-describe")
def topic_describe(row):
    topic = setup.create(cells.topic(row), 3)
    described = run(TOPICS, "--describe", "--topic", topic)
    lines = [line.split() for line in described.splitlines() if "Partition: " in line]
    check(len(lines) == 3 and re.search(r"TopicId: \S{22}", described), described)
    for number, words in enumerate(lines):
        fields = dict(zip(words, words[1:]))
        check(fields["Partition:"] == str(number), described)
        check(fields["Leader:"] == fields["Replicas:"] == fields["Isr:"] and fields["Leader:"].isdigit(), described)
    missing = run(TOPICS, "--describe", "--topic", cells.topic(row, "-never"), fails=True)
    check("does not exist as expected" in missing, missing)


@cells.row("topic-delete")
def topic_delete(row):
    topic = setup.create(cells.topic(row), 3)
    run(TOPICS, "--delete", "--topic", topic)
    wait_until("deleted topic to go", lambda: topic not in setup.admin.list_topics(timeout=10).topics)
    again = run(TOPICS, "--delete", "--topic", topic, fails=True)
    check("does not exist as expected" in again, again)


def produce_row(acks, codec):
    def row(row):
        topic = setup.create(cells.topic(row), 3)
        produce_well(topic, keyed(row), *KEYED, "--request-required-acks", acks, "--compression-codec", codec)
        check_keyed(row, COUNT, plain(read_all(topic, COUNT)))

    cells.row(f"produce-acks-{acks}-{codec}")(row)


for acks in ACKS:
    for codec in CODECS:
        produce_row(acks, codec)


@cells.row("produce-idempotent")
def produce_idempotent(row):
    topic = setup.create(cells.topic(row), 3)
    # Small batches, so that several are in flight and sequences matter.
    produce_well(topic, keyed(row), *KEYED, "--command-property", "enable.idempotence=true", "--batch-size", "3000")
    check_keyed(row, COUNT, plain(read_all(topic, COUNT)))


@cells.row("consume-assign")
def consume_assign(row):
    topic = setup.create(cells.topic(row), 3)
    spread(topic, row, 90)
    everything = read_all(topic, 90)
    part = [line for line in everything if line["partition"] == 1]
    check(sorted(line["value"].encode() for line in everything) == [value_of(row, index) for index in range(90)], "values differ")
    check(len(part) > 12, f"partition 1 has {len(part)} records")
    read = consume(topic, len(part) - 10, "--partition", "1", "--offset", "10")
    check(read == part[10:], "partition 1 from offset 10 differs")


@cells.row("consume-group")
def consume_group(row):
    topic = setup.create(cells.topic(row), 3)
    produce_well(topic, keyed(row), *KEYED)
    check_keyed(row, COUNT, plain(read_all(topic, COUNT, "--group", topic)))
    described = run(GROUPS, "--describe", "--group", topic)
    lines = [line.split() for line in described.splitlines() if line.startswith(topic)]
    ends = setup.end_offsets(topic)
    # GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG
    told = {int(words[2]): (int(words[3]), int(words[4]), int(words[5])) for words in lines}
    check(told == {part: (end, end, 0) for part, end in ends.items()}, described)
    check(topic in run(GROUPS, "--list").split(), "the group is not listed")


class Member:
    """Kafka's verifiable consumer: it tells its partitions and records as JSON lines."""

    def __init__(self, topic, folder, number):
        self.output = folder / f"{number}.jsonl"
        settings = folder / "settings"
        settings.write_text("heartbeat.interval.ms=500\n")
        arguments = ["--topic", topic, "--group-id", topic, "--session-timeout", "10000", "--verbose", "--command-config", str(settings)]
        with self.output.open("wb") as output, (folder / f"{number}.err").open("wb") as errors:
            command = [*JAVA, MEMBER, "--bootstrap-server", cells.bootstrap, *arguments]
            self.process = subprocess.Popen(command, stdout=output, stderr=errors)

    def events(self):
        # The last line may be half written.
        return [json.loads(line) for line in self.output.read_text().splitlines(keepends=True) if line.endswith("}\n")]

    def owned(self):
        changes = [event for event in self.events() if event["name"] in ("partitions_assigned", "partitions_revoked")]
        if not changes or changes[-1]["name"] == "partitions_revoked":
            return []
        return [part["partition"] for part in changes[-1]["partitions"]]

    def received(self):
        return [event["value"].encode() for event in self.events() if event["name"] == "record_data"]

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TOOL_SECONDS)


@cells.row("rebalance")
def rebalance(row):
    topic = setup.create(cells.topic(row), 6)
    members = []

    def shared_evenly():
        setup.reader.poll(0.1)
        check(all(member.process.poll() is None for member in members), "a member ended by itself")
        flat = sorted(sum((member.owned() for member in members), []))
        return flat == list(range(6)) and all(len(member.owned()) == 6 // len(members) for member in members)

    def round_trip(label):
        before = [len(member.received()) for member in members]
        spread(topic, row + label, 60)

        def fresh():
            return [member.received()[skip:] for member, skip in zip(members, before)]

        wait_until(f"records {label}", lambda: setup.reader.poll(0.1) or sum(map(len, fresh())) >= 60)
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
    produce_well(topic, [value_of(row, index) for index in range(100)])
    first = consume(topic, 40, "--group", topic, "--from-beginning")
    check([line["offset"] for line in first] == list(range(40)), "the first forty differ")
    rest = consume(topic, 60, "--group", topic)
    check([line["offset"] for line in rest] == list(range(40, 100)), "does not resume at 40")
    check([line["value"].encode() for line in rest] == [value_of(row, index) for index in range(40, 100)], "values differ")


@cells.row("seek-time")
def seek_time(row):
    topic = setup.create(cells.topic(row))
    # The console producer cannot set timestamps, but two calls of it cannot have the same.
    produce_well(topic, [value_of(row, index) for index in range(50)])
    produce_well(topic, [value_of(row, index) for index in range(50, 100)])
    read = read_all(topic, 100)
    first, second = read[49]["timestamp"], read[50]["timestamp"]
    check(first < second, "timestamps do not tell the two calls apart")
    found = run(OFFSETS, "--topic", topic, "--time", str(first + 1))
    check(found.strip() == f"{topic}:0:50", f"the offset for the time is {found}")
    newest = run(OFFSETS, "--topic", topic, "--time", "max-timestamp")
    check(re.fullmatch(rf"{topic}:0:([5-9]\d)", newest.strip()), f"the record with the largest timestamp is {newest}")


@cells.row("headers")
def headers(row):
    topic = setup.create(cells.topic(row))
    properties = ["parse.headers=true", "headers.delimiter=\t", "headers.separator=;", "null.marker=NULL"]
    lines = ["text:plain;twice:first;twice:second;empty:;null:NULL;\u00fcml\u00e4ut:gr\u00fc\u00dfe\twith".encode(), b"NULL\twithout"]
    produce_well(topic, lines, *[part for setting in properties for part in ("--reader-property", setting)])
    read = read_all(topic, 2, "--formatter-property", "headers.separator=;")
    check(read[0]["headers"] == "text:plain;twice:first;twice:second;empty:;null:NULL;\u00fcml\u00e4ut:gr\u00fc\u00dfe", f"headers are {read[0]['headers']}")
    check(read[1]["headers"] == "NO_HEADERS", f"headers are {read[1]['headers']}")
    return "without binary header values, which its command line cannot give"


@cells.row("null-key-value")
def null_key_value(row):
    topic = setup.create(cells.topic(row))
    pairs = [("NULL", "null key"), ("null value", "NULL"), ("NULL", "NULL"), ("", ""), ("", "empty key"), ("empty value", "")]
    lines = [f"{key}\t{value}".encode() for key, value in pairs]
    produce_well(topic, lines, *KEYED, "--reader-property", "null.marker=NULL")
    read = [(line["key"], line["value"]) for line in read_all(topic, len(pairs))]
    check(read == pairs, f"read {read}")


LARGE_VALUE = b"0123456789abcdef" * (LARGE // 16)
LARGE_SETTING = ["--command-property", f"max.request.size={LARGE_LIMIT}"]


@cells.row("large-message-refused")
def large_message_refused(row):
    topic = setup.create(cells.topic(row))
    errors = produce(topic, [LARGE_VALUE], *LARGE_SETTING)
    check("RecordTooLargeException" in errors, f"10 MiB give {errors}")
    produce_well(topic, [b"small"])
    check([line["value"] for line in read_all(topic, 1)] == ["small"], "the log holds something else")


@cells.row("large-message-accepted")
def large_message_accepted(row):
    topic = setup.create(cells.topic(row), config={"max.message.bytes": str(LARGE_LIMIT)})
    produce_well(topic, [LARGE_VALUE], *LARGE_SETTING)
    check([line["value"].encode() for line in read_all(topic, 1)] == [LARGE_VALUE], "read back differently")


if __name__ == "__main__":
    cells.main()
