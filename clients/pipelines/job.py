"""What people write without pipelines: records of vehicles from one topic into another, cleaned, with dead letters.

Does what the pipeline of `cargo xtask pipelines bench --only speed` does: decodes JSON, leaves out those that stand, adds a column,
checks the battery, writes with the device as the key. With --transactions exactly once, as a pipeline: output and offsets in one
transaction for each batch; without them at least once: offsets are committed when the output is acknowledged.

Ends when it has read COUNT records, and prints seconds from its first record on and CPU seconds since then, as JSON.
"""

import argparse
import json
import time

from confluent_kafka import Consumer, Producer

BATCH = 10_000


def cleaned(move):
    return {
        "id": move["id"],
        "device": move["device"],
        "at": move["at"],
        "lat": move["lat"],
        "lon": move["lon"],
        "kmh": move["speed"] * 3.6,
        "battery": move["battery"],
    }


def pass_on(producer, message, output, dead):
    try:
        move = json.loads(message.value())
        if move["status"] == "parked":
            return
        if not 0 <= move["battery"] <= 100:
            raise ValueError("accepted_range(battery)")
        key, value = move["device"], json.dumps(cleaned(move), separators=(",", ":"))
        topic = output
    except (ValueError, KeyError, TypeError) as error:
        topic, key = dead, message.key()
        place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        value = json.dumps({"reason": str(error), **place, "value": message.value().decode(errors="replace")})
    while True:
        try:
            producer.produce(topic, value, key)
            return
        except BufferError:
            producer.poll(0.1)


def failed_delivery(error, _message):
    if error is not None:
        raise SystemExit(f"not written: {error}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--from", dest="input", required=True)
    arguments.add_argument("--to", required=True)
    arguments.add_argument("--dead", required=True)
    arguments.add_argument("--count", type=int, required=True)
    arguments.add_argument("--transactions", action="store_true")
    arguments = arguments.parse_args()
    common = {"bootstrap.servers": arguments.bootstrap, "log_level": 2}
    consumer = Consumer(
        common
        | {
            "group.id": arguments.to,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    settings = {"linger.ms": 5, "batch.size": 262144, "queue.buffering.max.messages": 1_000_000, "enable.idempotence": True}
    if arguments.transactions:
        settings["transactional.id"] = arguments.to
    else:
        settings["on_delivery"] = failed_delivery
    producer = Producer(common | settings)
    if arguments.transactions:
        producer.init_transactions(30)
    consumer.subscribe([arguments.input])
    left, began = arguments.count, None
    while left:
        messages = consumer.consume(BATCH, 0.5)
        if not messages:
            continue
        began = began or (time.monotonic(), time.process_time())
        if arguments.transactions:
            producer.begin_transaction()
        for message in messages:
            if message.error():
                raise SystemExit(message.error())
            pass_on(producer, message, arguments.to, arguments.dead)
        if arguments.transactions:
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
            )
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            consumer.commit(asynchronous=False)
        left -= len(messages)
    seconds, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    consumer.close()
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu}))


main()
