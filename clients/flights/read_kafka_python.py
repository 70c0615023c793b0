"""Reads so many records of a topic with kafka-python; prints `partition TAB offset TAB key TAB value` lines."""

import argparse
import sys

from kafka import KafkaConsumer, TopicPartition


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--topic", required=True)
    arguments = arguments.parse_args()
    consumer = KafkaConsumer(bootstrap_servers=arguments.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    parts = [TopicPartition(arguments.topic, partition) for partition in sorted(consumer.partitions_for_topic(arguments.topic))]
    ends = consumer.end_offsets(parts)
    consumer.assign(parts)
    consumer.seek_to_beginning()
    write = sys.stdout.write
    while any(consumer.position(part) < ends[part] for part in parts):
        for records in consumer.poll(1000, max_records=5000).values():
            for record in records:
                write(f"{record.partition}\t{record.offset}\t{record.key.decode()}\t{record.value.decode()}\n")
    consumer.close()


main()
