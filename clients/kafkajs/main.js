// The compatibility matrix through kafkajs, whose own encoder sends the oldest request versions of all clients.
// The conventions are those of clients/README.md.

import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const require = createRequire(import.meta.url);
const { Kafka, logLevel, CompressionTypes, CompressionCodecs, ConfigResourceTypes, KafkaJSProtocolError, PartitionAssigners } = require("kafkajs");
const snappy = require("kafkajs-snappy");
const LZ4Codec = require("@2l/kafkajs-lz4");
const { ZstdCodec } = require("zstd-codec");

const VERSION = require("kafkajs/package.json").version;
const ROW_LIMIT_MS = 60_000;
const WAIT_LIMIT_MS = 20_000;
const LARGE = 10 * 1024 * 1024;
const LARGE_LIMIT = 12 * 1024 * 1024;
const COUNT = 200;
const ACKS = { 0: 0, 1: 1, all: -1 };
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

// kafkajs brings gzip alone; the other codecs are plugged in, as its users do.
const zstd = await new Promise((resolve) => ZstdCodec.run((codec) => resolve(new codec.Streaming())));
CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = new LZ4Codec().codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

const { values: options } = parseArgs({
  options: { bootstrap: { type: "string" }, run: { type: "string" }, rows: { type: "string", default: "" } },
});
const kafka = new Kafka({ brokers: [options.bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } });

class Failure extends Error {}

function check(condition, message) {
  if (!condition) throw new Failure(message);
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function waitUntil(what, condition) {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  for (;;) {
    const result = await condition();
    if (result) return result;
    check(Date.now() < deadline, `${what}: not within ${WAIT_LIMIT_MS / 1000} s`);
    await pause(20);
  }
}

const topicOf = (row) => `${options.run}-kafkajs-${row}`;
const keyOf = (index) => `key-${index % 10}`;
const valueOf = (row, index) => `${row}/${String(index).padStart(6, "0")}/${"abcdefghij".repeat(40)}`;
const range = (count, start = 0, step = 1) => Array.from({ length: count }, (_, index) => start + index * step);
const same = (left, right) => (left === null || right === null ? left === right : Buffer.compare(Buffer.from(left), Buffer.from(right)) === 0);

/** Deterministic bytes that no codec makes smaller. */
function incompressible(size) {
  const value = Buffer.alloc(size);
  let state = size >>> 0;
  for (let at = 0; at < size; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    value.writeInt32LE(state | 0, at);
  }
  return value;
}

async function withAdmin(use) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

async function create(topic, numPartitions = 1, configEntries = []) {
  return withAdmin(async (admin) => {
    check(await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] }), "creation failed");
    // Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records.
    await waitUntil(`${topic} to be ready`, async () => {
      try {
        return (await admin.fetchTopicOffsets(topic)).length === numPartitions;
      } catch (error) {
        if (error instanceof KafkaJSProtocolError || error.cause instanceof KafkaJSProtocolError) return false;
        throw error;
      }
    });
    return topic;
  });
}

/** The name of Kafka's error that a promise is refused with. */
async function errorOf(promise) {
  try {
    await promise;
    return "no error";
  } catch (error) {
    const cause = error.errors?.[0] ?? error;
    return cause.type ?? cause.cause?.type ?? String(cause);
  }
}

async function produce(topic, messages, { acks = -1, compression, ...settings } = {}) {
  const producer = kafka.producer({ allowAutoTopicCreation: false, ...settings });
  await producer.connect();
  try {
    await producer.send({ topic, messages, acks, compression });
  } finally {
    await producer.disconnect();
  }
}

const keyed = (row) => range(COUNT).map((index) => ({ key: keyOf(index), value: valueOf(row, index) }));

/** A member of a group, started with the offsets given or the group's own. */
async function join(topic, settings = {}) {
  const consumer = kafka.consumer({
    groupId: topic,
    heartbeatInterval: 500,
    sessionTimeout: 10_000,
    maxWaitTimeInMs: 100,
    partitionAssigners: [PartitionAssigners.roundRobin],
    ...settings,
  });
  const member = { consumer, received: [], owned: [], groupId: settings.groupId ?? topic };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.owned = payload.memberAssignment[topic] ?? [];
  });
  consumer.on(consumer.events.REBALANCING, () => {
    member.owned = [];
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      if (member.limit !== undefined && member.received.length >= member.limit) return;
      member.received.push({ partition, ...message });
      if (settings.commitEach) {
        const offset = String(Number(message.offset) + 1);
        await consumer.commitOffsets([{ topic, partition, offset, metadata: "noted" }]);
      }
    },
  });
  return member;
}

async function receive(member, count) {
  await waitUntil(`${count} messages`, () => member.received.length >= count);
  return member.received;
}

async function endOffsets(topic) {
  const offsets = await withAdmin((admin) => admin.fetchTopicOffsets(topic));
  return offsets.map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }));
}

/** Reads every partition from its beginning; the log must end exactly at `count` records. */
async function readAll(topic, count, settings = {}) {
  const total = async () => (await endOffsets(topic)).reduce((sum, { high }) => sum + high, 0);
  await waitUntil(`${count} records in ${topic}`, async () => (await total()) >= count);
  check((await total()) === count, `the log holds ${await total()} records, expected ${count}`);
  const member = await join(topic, { groupId: `${topic}-reader`, ...settings });
  const read = await receive(member, count);
  await member.consumer.disconnect();
  check(read.length === count, `${read.length} records instead of ${count}`);
  return read;
}

function checkKeyed(row, read) {
  check(read.length === COUNT, `${read.length} records instead of ${COUNT}`);
  const perKey = new Map();
  for (const { partition, key, value } of read) {
    const seen = perKey.get(String(key)) ?? { partition, values: [] };
    perKey.set(String(key), seen);
    check(seen.partition === partition, `${key} lies in two partitions`);
    seen.values.push(String(value));
  }
  for (const start of range(10)) {
    const expected = range(COUNT / 10, start, 10).map((index) => valueOf(row, index));
    const values = perKey.get(keyOf(start))?.values ?? [];
    check(JSON.stringify(values) === JSON.stringify(expected), `records of ${keyOf(start)} differ or are out of order`);
  }
  const next = new Map();
  for (const { partition, offset } of read) {
    check(Number(offset) === (next.get(partition) ?? Number(offset)), `offset ${offset} instead of ${next.get(partition)}`);
    next.set(partition, Number(offset) + 1);
  }
}

const TRANSACTION = 30;

const transactionalRecords = (row, part) =>
  range(TRANSACTION).map((index) => ({ value: valueOf(`${row}-${part}`, index), partition: index % 3 }));

/** The records of these transactions, each once, in their order. */
function checkTransactions(row, parts, read) {
  for (const wanted of range(3)) {
    const ofPartition = ({ partition }) => partition === wanted;
    const expected = [...parts].flatMap((part) => transactionalRecords(row, part).filter(ofPartition));
    const actual = read.filter(ofPartition);
    check(actual.map(({ value }) => String(value)).join() === expected.map(({ value }) => value).join(), `partition ${wanted} differs from ${parts}`);
  }
}

async function transactional(transactionalId) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
  await producer.connect();
  return producer;
}

/** The first records of three partitions. */
async function isolated(topic, count, readUncommitted) {
  const member = await join(topic, { groupId: `${topic}-${readUncommitted}`, readUncommitted });
  const read = await receive(member, count);
  await member.consumer.disconnect();
  return read;
}

const rows = {
  transactions: async (row) => {
    const topic = await create(topicOf(row), 3);
    const producer = await transactional(topic);
    for (const part of "abc") {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: transactionalRecords(row, part) });
      await (part === "b" ? transaction.abort() : transaction.commit());
    }
    await producer.disconnect();
    checkTransactions(row, "ac", await isolated(topic, 2 * TRANSACTION, false));
    checkTransactions(row, "abc", await isolated(topic, 3 * TRANSACTION, true));
  },
  "transaction-fenced": async (row) => {
    const topic = await create(topicOf(row), 3);
    const first = await transactional(topic);
    const older = await first.transaction();
    await older.send({ topic, messages: transactionalRecords(row, "a") });
    const second = await transactional(topic);
    const newer = await second.transaction();
    const error = await errorOf(older.commit());
    check(["PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"].includes(error), `the older producer's commit gives ${error}`);
    await newer.send({ topic, messages: transactionalRecords(row, "b") });
    await newer.commit();
    await first.disconnect();
    await second.disconnect();
    checkTransactions(row, "b", await isolated(topic, TRANSACTION, false));
  },
  "transaction-offsets": async (row) => {
    const [source, sink] = [await create(topicOf(row)), await create(topicOf(`${row}-sink`), 3)];
    const producer = await transactional(sink);
    for (const part of "ab") {
      const transaction = await producer.transaction();
      await transaction.send({ topic: sink, messages: transactionalRecords(row, part) });
      const offset = part === "a" ? "20" : "40";
      await transaction.sendOffsets({ consumerGroupId: source, topics: [{ topic: source, partitions: [{ partition: 0, offset }] }] });
      await (part === "a" ? transaction.commit() : transaction.abort());
      const committed = async () => {
        const [{ partitions }] = await withAdmin((admin) => admin.fetchOffsets({ groupId: source, topics: [source] }));
        return partitions[0].offset;
      };
      // This client's version of OffsetFetch does not wait for the marker that ends the transaction.
      await waitUntil(`the committed offset after ${part}`, async () => (await committed()) === "20");
    }
    await producer.disconnect();
    checkTransactions(row, "a", await isolated(sink, TRANSACTION, false));
  },
  "topic-create": async (row) => {
    const topic = await create(topicOf(row), 3, [{ name: "retention.ms", value: "3600000" }]);
    await withAdmin(async (admin) => {
      const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
      const described = await admin.describeConfigs({ resources, includeSynonyms: false });
      const retention = described.resources[0].configEntries.find(({ configName }) => configName === "retention.ms");
      check(retention?.configValue === "3600000", `retention.ms is ${retention?.configValue}`);
      check(!(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] })), "a second creation is not refused");
      // The client turns TOPIC_ALREADY_EXISTS, and only that, into false.
    });
  },
  "topic-list": async (row) => {
    const names = [await create(topicOf(`${row}-0`)), await create(topicOf(`${row}-1`))];
    const listed = await withAdmin((admin) => admin.listTopics());
    check(names.every((name) => listed.includes(name)), "a created topic is not listed");
    check(!listed.includes(topicOf(`${row}-never`)), "a topic is listed that nobody created");
  },
  "topic-describe": async (row) => {
    const topic = await create(topicOf(row), 3);
    await withAdmin(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const partitions = topics[0].partitions.sort((left, right) => left.partitionId - right.partitionId);
      check(partitions.map((part) => part.partitionId).join() === "0,1,2", "not the partitions 0, 1, 2");
      for (const part of partitions) {
        check(part.leader >= 0, `partition ${part.partitionId} has no leader`);
        check(part.replicas.join() === String(part.leader), "replicas are not the leader alone");
        check(part.isr.join() === String(part.leader), "in-sync replicas are not the leader alone");
      }
      const error = await errorOf(admin.fetchTopicMetadata({ topics: [topicOf(`${row}-never`)] }));
      check(error === "UNKNOWN_TOPIC_OR_PARTITION", `an unknown topic gives ${error}`);
    });
  },
  "topic-delete": async (row) => {
    const topic = await create(topicOf(row), 3);
    await withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
      await waitUntil("deleted topic to go", async () => !(await admin.listTopics()).includes(topic));
      const error = await errorOf(admin.deleteTopics({ topics: [topic] }));
      check(error === "UNKNOWN_TOPIC_OR_PARTITION", `deleting it again gives ${error}`);
    });
  },
  "produce-idempotent": async (row) => {
    const topic = await create(topicOf(row), 3);
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    const messages = keyed(row);
    // Several batches, so that sequences matter.
    for (const start of range(COUNT / 20, 0, 20)) await producer.send({ topic, messages: messages.slice(start, start + 20) });
    await producer.disconnect();
    checkKeyed(row, await readAll(topic, COUNT));
  },
  "consume-assign": async () => {
    throw new NotSupported("the client consumes only as a member of a group");
  },
  "consume-group": async (row) => {
    const topic = await create(topicOf(row), 3);
    await produce(topic, keyed(row));
    const member = await join(topic);
    checkKeyed(row, await receive(member, COUNT));
    const { groups } = await withAdmin((admin) => admin.describeGroups([topic]));
    check(groups[0].state === "Stable" && groups[0].members.length === 1, `the group is ${groups[0].state}`);
    await member.consumer.disconnect();
  },
  rebalance: async (row) => {
    const topic = await create(topicOf(row), 6);
    const members = [];
    const shared = () =>
      waitUntil(`${members.length} members to share the partitions`, () => {
        const all = members.flatMap(({ owned }) => owned).sort();
        return all.join() === "0,1,2,3,4,5" && members.every(({ owned }) => owned.length === 6 / members.length);
      });
    const roundTrip = async (label) => {
      for (const member of members) member.received.length = 0;
      const sent = range(60).map((index) => ({ value: valueOf(row + label, index), partition: index % 6 }));
      await produce(topic, sent);
      await waitUntil(`records ${label}`, () => members.reduce((sum, { received }) => sum + received.length, 0) >= sent.length);
      const values = members.flatMap(({ received }) => received.map(({ value }) => String(value))).sort();
      check(values.join() === sent.map(({ value }) => value).join(), `records ${label} differ or came twice`);
      check(members.every(({ received }) => received.length > 0), `not every member got records ${label}`);
    };
    for (const _ of range(3)) {
      members.push(await join(topic, { commitEach: true }));
      await shared();
    }
    await roundTrip("with three");
    for (const _ of range(2)) {
      await members.shift().consumer.disconnect();
      await shared();
    }
    await roundTrip("with one");
    await members[0].consumer.disconnect();
  },
  "consumer-protocol": async () => {
    throw new NotSupported("the client knows the classic group protocol only");
  },
  "commit-resume": async (row) => {
    const topic = await create(topicOf(row));
    await produce(topic, range(100).map((index) => ({ value: valueOf(row, index) })));
    const first = await join(topic);
    await receive(first, 40);
    await first.consumer.commitOffsets([{ topic, partition: 0, offset: "40", metadata: "noted" }]);
    const [{ partitions }] = await withAdmin((admin) => admin.fetchOffsets({ groupId: topic, topics: [topic] }));
    check(partitions[0].offset === "40" && partitions[0].metadata === "noted", `committed is ${JSON.stringify(partitions[0])}`);
    await first.consumer.disconnect();
    const second = await join(topic);
    const rest = await receive(second, 60);
    await second.consumer.disconnect();
    check(rest.map(({ offset }) => offset).join() === range(60, 40).join(), "does not resume at 40");
    check(rest.map(({ value }) => value).join() === range(60, 40).map((index) => valueOf(row, index)).join(), "values differ");
  },
  "seek-time": async (row) => {
    const topic = await create(topicOf(row));
    const start = 1_700_000_000_000;
    await produce(topic, range(100).map((index) => ({ value: valueOf(row, index), timestamp: String(start + index * 1000) })));
    // Between two records: the later one is meant.
    const offsetAt = async (time) => (await withAdmin((admin) => admin.fetchTopicOffsetsByTimestamp(topic, time)))[0].offset;
    check((await offsetAt(start + 49_500)) === "50", "the offset for the time is not 50");
    check((await offsetAt(start + 1_000_000)) === "100", "a time after all records does not give the end");
    const member = await join(topic);
    member.consumer.seek({ topic, partition: 0, offset: "50" });
    const isWanted = ({ offset }) => Number(offset) >= 50;
    await waitUntil("messages after the seek", () => member.received.filter(isWanted).length >= 50);
    await member.consumer.disconnect();
    const times = member.received.slice(-50).map(({ timestamp }) => Number(timestamp));
    check(times.join() === range(50, start + 50_000, 1000).join(), "timestamps differ");
  },
  headers: async (row) => {
    const topic = await create(topicOf(row));
    // The client keeps headers in an object: values of one name stand together in an array, and null is refused.
    const headers = {
      text: "plain",
      twice: [Buffer.from("first"), Buffer.from("second")],
      bytes: Buffer.from([0, 255, 10, 13]),
      empty: Buffer.alloc(0),
      "ümläut": "grüße",
    };
    await produce(topic, [{ value: "with", headers }, { value: "without" }]);
    const read = await readAll(topic, 2);
    check(Object.keys(read[0].headers).join() === Object.keys(headers).join(), `headers are ${Object.keys(read[0].headers)}`);
    for (const [name, value] of Object.entries(headers)) {
      const expected = [value].flat();
      const actual = [read[0].headers[name]].flat();
      check(actual.length === expected.length && actual.every((part, index) => same(part, expected[index])), `header ${name} differs`);
    }
    check(Object.keys(read[1].headers).length === 0, "headers where none were sent");
    return "without a null header value, which the client refuses to send";
  },
  "null-key-value": async (row) => {
    const topic = await create(topicOf(row));
    const pairs = [
      [null, "null key"],
      ["null value", null],
      [null, null],
      ["", ""],
      ["", "empty key"],
      ["empty value", ""],
    ];
    await produce(topic, pairs.map(([key, value]) => ({ key, value, partition: 0 })));
    (await readAll(topic, pairs.length)).forEach(({ key, value }, index) => {
      check(same(key, pairs[index][0]) && same(value, pairs[index][1]), `record ${index} is ${key}, ${value}`);
    });
  },
  "large-message-refused": async (row) => {
    const topic = await create(topicOf(row));
    const error = await errorOf(produce(topic, [{ value: incompressible(LARGE) }]));
    check(error === "MESSAGE_TOO_LARGE", `10 MiB give ${error}`);
    await produce(topic, [{ value: "small" }]);
    check(String((await readAll(topic, 1))[0].value) === "small", "the log holds something else");
  },
  "large-message-accepted": async (row) => {
    const topic = await create(topicOf(row), 1, [{ name: "max.message.bytes", value: String(LARGE_LIMIT) }]);
    const value = incompressible(LARGE);
    await produce(topic, [{ value }]);
    check(same((await readAll(topic, 1))[0].value, value), "read back differently");
  },
};

for (const [acksName, acks] of Object.entries(ACKS)) {
  for (const [codec, compression] of Object.entries(CODECS)) {
    rows[`produce-acks-${acksName}-${codec}`] = async (row) => {
      const topic = await create(topicOf(row), 3);
      await produce(topic, keyed(row), { acks, compression });
      checkKeyed(row, await readAll(topic, COUNT));
    };
  }
}

class NotSupported extends Error {}

async function runRow(row) {
  const started = Date.now();
  let outcome = "pass";
  let detail = "";
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`row not finished within ${ROW_LIMIT_MS / 1000} s`)), ROW_LIMIT_MS);
  });
  try {
    if (!(row in rows)) throw new NotSupported("this program has no such row");
    detail = (await Promise.race([rows[row](row), late])) ?? "";
  } catch (error) {
    outcome = error instanceof NotSupported ? "not-supported" : "fail";
    detail = error instanceof NotSupported || error instanceof Failure ? error.message : String(error);
    if (outcome === "fail") console.error(error);
  } finally {
    clearTimeout(timer);
  }
  const seconds = (Date.now() - started) / 1000;
  console.log(JSON.stringify({ client: "kafkajs", version: VERSION, row, outcome, detail, seconds }));
}

for (const row of options.rows ? options.rows.split(",") : Object.keys(rows)) await runRow(row);
process.exit(0);
