"""The clients of `cargo xtask chaos` and `cargo xtask kills`: main.py COMMAND BOOTSTRAP FOLDER, which writes histories into FOLDER.

create                                     makes the topics, and the groups' first commits
produce, transact, transform, read, groups, commit, reread
                                           run until SIGTERM, and then until they have come to the end of what there is; they fail
                                           when something is not as it must be
drain                                      reads everything once more
"""

import argparse
import os
import sys

from confluent_kafka.admin import AdminClient, NewTopic

import consumers
import drain
import producers
import transactions
from common import TOPICS, common

SETTINGS = {"segment.bytes": "1048576", "retention.ms": "-1"}
# Where the broker's clock goes back by more than an hour, records are too new for it. One topic keeps to that, the others go on.
FROM_THE_FUTURE = {"message.timestamp.after.max.ms": str(2**63 - 1)}


def create(arguments):
    admin = AdminClient(common(arguments.bootstrap))
    settings = lambda name: SETTINGS if name == "plain" else SETTINGS | FROM_THE_FUTURE
    topics = [NewTopic(name, count, 1, config=settings(name)) for name, count in TOPICS.items()]
    for future in admin.create_topics(topics).values():
        future.result()
    groups = [(group, topics) for group, _, topics, _ in consumers.GROUPS]
    consumers.begin_groups(arguments.bootstrap, [*groups, (transactions.JOBS, ["in"]), ("register", ["plain"])])


COMMANDS = {
    "create": create,
    "produce": producers.produce,
    "transact": transactions.transact,
    "transform": transactions.transform,
    "read": consumers.read,
    "groups": consumers.groups,
    "commit": consumers.commit,
    "reread": drain.reread,
    "drain": drain.drain,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("bootstrap")
    parser.add_argument("folder")
    parser.add_argument("--process", type=int, default=0, help="the number of the first process of the history; even")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=2, help="idempotent producers")
    parser.add_argument("--rate", type=int, default=150, help="records a second of each")
    parser.add_argument("--kind", choices=["all", "idempotent"], default="all", help="which topics and producers")
    arguments = parser.parse_args()
    COMMANDS[arguments.command](arguments)
    sys.stdout.flush()
    # Clients that are still there would wait for brokers.
    os._exit(0)


main()
