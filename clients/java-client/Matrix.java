// The compatibility matrix through Kafka's own Java client. The conventions are those of clients/README.md.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class Matrix {
    private static final Duration ROW_LIMIT = Duration.ofSeconds(60);
    private static final Duration WAIT_LIMIT = Duration.ofSeconds(20);
    private static final int LARGE = 10 << 20;
    private static final int LARGE_LIMIT = 12 << 20;
    private static final int COUNT = 200;

    /** A row ends by returning (passed) or throwing (failed). */
    private interface Row {
        void run(String row) throws Exception;
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static final class Failure extends RuntimeException {
        Failure(String message) {
            super(message);
        }
    }

    private final String bootstrap;
    private final String run;
    private final Admin admin;
    private final Map<String, Row> rows = new LinkedHashMap<>();

    private Matrix(String bootstrap, String run) {
        this.bootstrap = bootstrap;
        this.run = run;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        rows.put("topic-create", this::topicCreate);
        rows.put("topic-list", this::topicList);
        rows.put("topic-describe", this::topicDescribe);
        rows.put("topic-delete", this::topicDelete);
        for (String acks : List.of("0", "1", "all")) {
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                rows.put("produce-acks-" + acks + "-" + codec, row -> produceKeyed(row, Map.of(
                    "acks", acks, "compression.type", codec, "enable.idempotence", false)));
            }
        }
        // Small batches, so that several are in flight and sequences matter.
        rows.put("produce-idempotent", row -> produceKeyed(row, Map.of("enable.idempotence", true, "batch.size", 3000)));
        rows.put("consume-assign", this::consumeAssign);
        rows.put("consume-group", this::consumeGroup);
        rows.put("rebalance", this::rebalance);
        rows.put("consumer-protocol", this::consumerProtocol);
        rows.put("commit-resume", this::commitResume);
        rows.put("seek-time", this::seekTime);
        rows.put("headers", this::headers);
        rows.put("null-key-value", this::nullKeyValue);
        rows.put("large-message-refused", this::largeMessageRefused);
        rows.put("large-message-accepted", this::largeMessageAccepted);
        rows.put("transactions", this::transactions);
        rows.put("transaction-fenced", this::transactionFenced);
        rows.put("transaction-offsets", this::transactionOffsets);
        rows.put("share-group", this::shareGroup);
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 0; at + 1 < arguments.length; at += 2) {
            options.put(arguments[at], arguments[at + 1]);
        }
        Matrix matrix = new Matrix(options.get("--bootstrap"), options.get("--run"));
        String named = options.getOrDefault("--rows", "");
        Collection<String> names = named.isEmpty() ? matrix.rows.keySet() : List.of(named.split(","));
        ExecutorService executor = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
        for (String name : names) {
            matrix.runRow(executor, name);
        }
        matrix.admin.close(Duration.ofSeconds(5));
    }

    private void runRow(ExecutorService executor, String name) throws InterruptedException {
        long started = System.nanoTime();
        String outcome = "pass";
        String detail = "";
        Row row = rows.get(name);
        if (row == null) {
            outcome = "not-supported";
            detail = "this program has no such row";
        } else {
            Future<?> done = executor.submit((Callable<Void>) () -> {
                row.run(name);
                return null;
            });
            try {
                done.get(ROW_LIMIT.toSeconds(), TimeUnit.SECONDS);
            } catch (TimeoutException late) {
                done.cancel(true);
                outcome = "fail";
                detail = "row not finished within " + ROW_LIMIT.toSeconds() + " s";
            } catch (ExecutionException failed) {
                outcome = "fail";
                detail = failed.getCause() instanceof Failure failure ? failure.getMessage() : failed.getCause().toString();
                failed.getCause().printStackTrace();
            }
        }
        System.out.printf(
            "{\"client\":\"java\",\"version\":\"%s\",\"row\":\"%s\",\"outcome\":\"%s\",\"detail\":\"%s\",\"seconds\":%.2f}%n",
            AppInfoParser.getVersion(), name, outcome,
            detail.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n").replace("\t", " "),
            (System.nanoTime() - started) / 1e9);
    }

    private static void check(boolean condition, String message) {
        if (!condition) {
            throw new Failure(message);
        }
    }

    private static void waitUntil(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + WAIT_LIMIT.toNanos();
        while (!condition.holds()) {
            check(System.nanoTime() < deadline, what + ": not within " + WAIT_LIMIT.toSeconds() + " s");
            TimeUnit.MILLISECONDS.sleep(10);
        }
    }

    private String topic(String row) {
        return run + "-java-" + row;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] key(int index) {
        return bytes("key-" + index % 10);
    }

    private static byte[] value(String row, int index) {
        return bytes(String.format("%s/%06d/", row, index) + "abcdefghij".repeat(40));
    }

    private static byte[] incompressible() {
        byte[] value = new byte[LARGE];
        new Random(LARGE).nextBytes(value);
        return value;
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    private String create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        // Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records.
        waitUntil(topic + " to be ready", () -> {
            try {
                return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == partitions
                    && endOffsets(topic, partitions).size() == partitions;
            } catch (ExecutionException error) {
                if (error.getCause() instanceof UnknownTopicOrPartitionException) {
                    return false;
                }
                throw error;
            }
        });
        return topic;
    }

    private Map<Integer, Long> endOffsets(String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            wanted.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        return admin.listOffsets(wanted).all().get().entrySet().stream()
            .collect(Collectors.toMap(entry -> entry.getKey().partition(), entry -> entry.getValue().offset()));
    }

    private static Throwable errorOf(Future<?> future) throws InterruptedException {
        try {
            future.get();
            return null;
        } catch (ExecutionException error) {
            return error.getCause();
        }
    }

    /** Produces and waits for every acknowledgement; the first error is thrown. */
    private void produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> settings) throws Exception {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        all.put("key.serializer", ByteArraySerializer.class);
        all.put("value.serializer", ByteArraySerializer.class);
        all.putAll(settings);
        boolean acknowledged = !"0".equals(settings.get("acks"));
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(all)) {
            List<Future<RecordMetadata>> futures = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : records) {
                futures.add(producer.send(record));
            }
            producer.flush();
            for (Future<RecordMetadata> future : futures) {
                try {
                    check(!acknowledged || future.get().hasOffset(), "acknowledged without an offset");
                } catch (ExecutionException error) {
                    throw (Exception) error.getCause();
                }
            }
        }
    }

    private List<ProducerRecord<byte[], byte[]>> numbered(String topic, String row, int count, int partitions) {
        return IntStream.range(0, count)
            .mapToObj(index -> new ProducerRecord<byte[], byte[]>(topic, index % partitions, null, value(row, index)))
            .toList();
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> settings) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        all.put("key.deserializer", ByteArrayDeserializer.class);
        all.put("value.deserializer", ByteArrayDeserializer.class);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", false);
        if (group != null) {
            all.put("group.id", group);
        }
        all.putAll(settings);
        return new KafkaConsumer<>(all);
    }

    private static List<ConsumerRecord<byte[], byte[]>> messages(KafkaConsumer<byte[], byte[]> consumer, int count) throws Exception {
        List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
        waitUntil(count + " messages", () -> {
            consumer.poll(Duration.ofMillis(500)).forEach(read::add);
            return read.size() >= count;
        });
        return read;
    }

    /** Reads every partition from its beginning; the log must end exactly at count records. */
    private List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int count, int partitions) throws Exception {
        waitUntil(count + " records in " + topic, () -> total(topic, partitions) >= count);
        check(total(topic, partitions) == count, "the log holds " + total(topic, partitions) + " records, expected " + count);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of())) {
            List<TopicPartition> all = IntStream.range(0, partitions).mapToObj(part -> new TopicPartition(topic, part)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            return messages(consumer, count);
        }
    }

    private long total(String topic, int partitions) throws Exception {
        return endOffsets(topic, partitions).values().stream().mapToLong(Long::longValue).sum();
    }

    /** All records, each once, in order per key, at dense offsets. */
    private static void checkKeyed(String row, List<ConsumerRecord<byte[], byte[]>> read) {
        check(read.size() == COUNT, read.size() + " records instead of " + COUNT);
        Map<String, List<String>> perKey = new HashMap<>();
        Map<String, Integer> partitionOf = new HashMap<>();
        Map<Integer, Long> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : read) {
            String key = text(record.key());
            perKey.computeIfAbsent(key, unused -> new ArrayList<>()).add(text(record.value()));
            Integer partition = partitionOf.putIfAbsent(key, record.partition());
            check(partition == null || partition == record.partition(), key + " lies in two partitions");
            Long expected = next.put(record.partition(), record.offset() + 1);
            check(expected == null || expected == record.offset(), "offset " + record.offset() + " instead of " + expected);
        }
        for (int start = 0; start < 10; start++) {
            List<String> expected = new ArrayList<>();
            for (int index = start; index < COUNT; index += 10) {
                expected.add(text(value(row, index)));
            }
            check(expected.equals(perKey.get(text(key(start)))), "records of key " + start + " differ or are out of order");
        }
    }

    private void topicCreate(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of("retention.ms", "3600000"));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        String retention = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
        check("3600000".equals(retention), "retention.ms is " + retention);
        Throwable again = errorOf(admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all());
        check(again instanceof TopicExistsException, "a second creation gives " + again);
    }

    private void topicList(String row) throws Exception {
        List<String> names = List.of(create(topic(row + "-0"), 1, Map.of()), create(topic(row + "-1"), 1, Map.of()));
        Set<String> listed = admin.listTopics().names().get();
        check(listed.containsAll(names), "a created topic is not listed");
        check(!listed.contains(topic(row + "-never")), "a topic is listed that nobody created");
    }

    private void topicDescribe(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        check(described.topicId() != null && !described.isInternal(), "the topic has no id");
        check(described.partitions().stream().map(part -> part.partition()).toList().equals(List.of(0, 1, 2)), "not the partitions 0, 1, 2");
        for (var part : described.partitions()) {
            check(part.leader() != null, "partition " + part.partition() + " has no leader");
            check(part.replicas().equals(List.of(part.leader())), "replicas are not the leader alone");
            check(part.isr().equals(List.of(part.leader())), "in-sync replicas are not the leader alone");
        }
        Throwable never = errorOf(admin.describeTopics(List.of(topic(row + "-never"))).allTopicNames());
        check(never instanceof UnknownTopicOrPartitionException, "an unknown topic gives " + never);
    }

    private void topicDelete(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        admin.deleteTopics(List.of(topic)).all().get();
        waitUntil("deleted topic to go", () -> !admin.listTopics().names().get().contains(topic));
        Throwable again = errorOf(admin.deleteTopics(List.of(topic)).all());
        check(again instanceof UnknownTopicOrPartitionException, "deleting it again gives " + again);
    }

    private void produceKeyed(String row, Map<String, Object> settings) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        produceKeyed(topic, row, settings);
        checkKeyed(row, readAll(topic, COUNT, 3));
    }

    private void produceKeyed(String topic, String row, Map<String, Object> settings) throws Exception {
        produce(IntStream.range(0, COUNT).mapToObj(index -> new ProducerRecord<>(topic, key(index), value(row, index))).toList(), settings);
    }

    private void consumeAssign(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        produce(numbered(topic, row, 90, 3), Map.of());
        TopicPartition part = new TopicPartition(topic, 1);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of())) {
            consumer.assign(List.of(part));
            consumer.seek(part, 10);
            List<ConsumerRecord<byte[], byte[]>> read = messages(consumer, 20);
            check(read.size() == 20, read.size() + " records instead of 20");
            for (int at = 0; at < read.size(); at++) {
                check(read.get(at).offset() == 10 + at, "offset " + read.get(at).offset() + " instead of " + (10 + at));
                check(Arrays.equals(read.get(at).value(), value(row, 1 + 3 * (10 + at))), "value at " + (10 + at) + " differs");
            }
            check(consumer.position(part) == 30 && consumer.endOffsets(List.of(part)).get(part) == 30, "the partition does not end at 30");
            check(consumer.beginningOffsets(List.of(part)).get(part) == 0, "the partition does not begin at 0");
        }
    }

    private void consumeGroup(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        produceKeyed(topic, row, Map.of());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, Map.of())) {
            consumer.subscribe(List.of(topic));
            checkKeyed(row, messages(consumer, COUNT));
            var group = admin.describeConsumerGroups(List.of(topic)).all().get().get(topic);
            check(group.groupState() == GroupState.STABLE && group.members().size() == 1, "the group is " + group);
        }
    }

    /** A member of a group in a thread of its own, as an application would run it. */
    private final class Member extends Thread {
        private final String topic;
        private final Map<String, Object> settings;
        private volatile Set<Integer> owned = Set.of();
        private volatile boolean leaving;
        private final List<String> received = new ArrayList<>();

        Member(String topic, Map<String, Object> settings) {
            this.topic = topic;
            this.settings = settings;
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, settings)) {
                consumer.subscribe(List.of(topic));
                while (!leaving) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(50))) {
                        synchronized (this) {
                            received.add(text(record.value()));
                        }
                    }
                    consumer.commitAsync();
                    owned = consumer.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
                }
                consumer.commitSync();
            }
            owned = Set.of();
        }

        synchronized List<String> received() {
            return List.copyOf(received);
        }

        void leave() throws InterruptedException {
            leaving = true;
            join(WAIT_LIMIT.toMillis());
        }
    }

    private void rebalance(String row) throws Exception {
        sharePartitions(row, Map.of("heartbeat.interval.ms", 500, "session.timeout.ms", 10000));
    }

    private void consumerProtocol(String row) throws Exception {
        sharePartitions(row, Map.of("group.protocol", "consumer"));
        var group = admin.describeConsumerGroups(List.of(topic(row))).all().get().get(topic(row));
        check(group.type() == GroupType.CONSUMER, "the group is of type " + group.type());
    }

    /** Six partitions shared by members that join and leave; records come once all the while. */
    private void sharePartitions(String row, Map<String, Object> settings) throws Exception {
        String topic = create(topic(row), 6, Map.of());
        List<Member> members = new ArrayList<>();
        Condition sharedEvenly = () -> {
            Set<Integer> all = new TreeSet<>();
            members.forEach(member -> all.addAll(member.owned));
            return all.size() == 6 && members.stream().allMatch(member -> member.owned.size() == 6 / members.size());
        };
        for (int count = 1; count <= 3; count++) {
            members.add(new Member(topic, settings));
            waitUntil(count + " members to share the partitions", sharedEvenly);
        }
        roundTrip(topic, row + "with three", members);
        for (int count = 2; count >= 1; count--) {
            members.remove(0).leave();
            waitUntil(count + " members to take over", sharedEvenly);
        }
        roundTrip(topic, row + "with one", members);
        members.get(0).leave();
    }

    private void roundTrip(String topic, String label, List<Member> members) throws Exception {
        List<Integer> before = members.stream().map(member -> member.received().size()).toList();
        produce(numbered(topic, label, 60, 6), Map.of());
        List<String> all = new ArrayList<>();
        waitUntil("records " + label, () -> {
            all.clear();
            for (int at = 0; at < members.size(); at++) {
                List<String> received = members.get(at).received();
                all.addAll(received.subList(before.get(at), received.size()));
            }
            return all.size() >= 60;
        });
        List<String> expected = IntStream.range(0, 60).mapToObj(index -> text(value(label, index))).toList();
        check(all.stream().sorted().toList().equals(expected), "records " + label + " differ or came twice");
        for (int at = 0; at < members.size(); at++) {
            check(members.get(at).received().size() > before.get(at), "not every member got records " + label);
        }
    }

    private void commitResume(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of());
        TopicPartition part = new TopicPartition(topic, 0);
        produce(numbered(topic, row, 100, 1), Map.of());
        try (KafkaConsumer<byte[], byte[]> first = consumer(topic, Map.of("max.poll.records", 40))) {
            first.subscribe(List.of(topic));
            messages(first, 40);
            first.commitSync(Map.of(part, new OffsetAndMetadata(40, Optional.empty(), "noted")));
            OffsetAndMetadata committed = first.committed(Set.of(part)).get(part);
            check(committed.offset() == 40 && committed.metadata().equals("noted"), "committed is " + committed);
        }
        try (KafkaConsumer<byte[], byte[]> second = consumer(topic, Map.of())) {
            second.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> rest = messages(second, 60);
            check(rest.size() == 60, rest.size() + " records instead of 60");
            for (int at = 0; at < rest.size(); at++) {
                check(rest.get(at).offset() == 40 + at, "offset " + rest.get(at).offset() + " instead of " + (40 + at));
                check(Arrays.equals(rest.get(at).value(), value(row, 40 + at)), "value at " + (40 + at) + " differs");
            }
        }
    }

    private void seekTime(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of());
        TopicPartition part = new TopicPartition(topic, 0);
        long start = 1_700_000_000_000L;
        produce(IntStream.range(0, 100)
            .mapToObj(index -> new ProducerRecord<byte[], byte[]>(topic, 0, start + index * 1000L, null, value(row, index)))
            .toList(), Map.of());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of())) {
            // Between two records: the later one is meant.
            var found = consumer.offsetsForTimes(Map.of(part, start + 49_500)).get(part);
            check(found.offset() == 50 && found.timestamp() == start + 50_000, "the offset for the time is " + found);
            var after = consumer.offsetsForTimes(Map.of(part, start + 1_000_000)).get(part);
            check(after == null, "a time after all records gives " + after);
            consumer.assign(List.of(part));
            consumer.seek(part, found.offset());
            List<ConsumerRecord<byte[], byte[]>> read = messages(consumer, 50);
            for (int at = 0; at < 50; at++) {
                check(read.get(at).timestamp() == start + (50 + at) * 1000L, "timestamp at " + read.get(at).offset() + " differs");
            }
        }
        long newest = admin.listOffsets(Map.of(part, OffsetSpec.maxTimestamp())).partitionResult(part).get().offset();
        check(newest == 99, "the record with the largest timestamp is at " + newest);
    }

    private void headers(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of());
        List<Header> headers = List.of(
            new RecordHeader("text", bytes("plain")),
            new RecordHeader("twice", bytes("first")),
            new RecordHeader("twice", bytes("second")),
            new RecordHeader("bytes", new byte[] {0, -1, 10, 13}),
            new RecordHeader("empty", new byte[0]),
            new RecordHeader("null", (byte[]) null),
            new RecordHeader("\u00fcml\u00e4ut", bytes("gr\u00fc\u00dfe")));
        produce(List.of(
            new ProducerRecord<byte[], byte[]>(topic, 0, null, null, bytes("with"), headers),
            new ProducerRecord<byte[], byte[]>(topic, 0, null, bytes("without"))), Map.of());
        List<ConsumerRecord<byte[], byte[]>> read = readAll(topic, 2, 1);
        check(List.of(read.get(0).headers().toArray()).equals(headers), "headers are " + read.get(0).headers());
        check(read.get(1).headers().toArray().length == 0, "headers are " + read.get(1).headers());
    }

    private void nullKeyValue(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of());
        byte[][][] pairs = {
            {null, bytes("null key")}, {bytes("null value"), null}, {null, null},
            {new byte[0], new byte[0]}, {new byte[0], bytes("empty key")}, {bytes("empty value"), new byte[0]},
        };
        produce(Arrays.stream(pairs).map(pair -> new ProducerRecord<>(topic, 0, pair[0], pair[1])).toList(), Map.of());
        List<ConsumerRecord<byte[], byte[]>> read = readAll(topic, pairs.length, 1);
        for (int at = 0; at < pairs.length; at++) {
            check(Arrays.equals(read.get(at).key(), pairs[at][0]) && Arrays.equals(read.get(at).value(), pairs[at][1]),
                "record " + at + " is " + text(read.get(at).key()) + ", " + text(read.get(at).value()));
        }
    }

    private static final Map<String, Object> LARGE_SETTINGS = Map.of("max.request.size", LARGE_LIMIT);

    private void largeMessageRefused(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of());
        try {
            produce(List.of(new ProducerRecord<>(topic, incompressible())), LARGE_SETTINGS);
            check(false, "10 MiB were accepted");
        } catch (RecordTooLargeException expected) {
            // The broker's word: the client's own limit is above.
        }
        produce(List.of(new ProducerRecord<>(topic, bytes("small"))), Map.of());
        check(text(readAll(topic, 1, 1).get(0).value()).equals("small"), "the log holds something else");
    }

    private void largeMessageAccepted(String row) throws Exception {
        String topic = create(topic(row), 1, Map.of("max.message.bytes", String.valueOf(LARGE_LIMIT)));
        produce(List.of(new ProducerRecord<>(topic, incompressible())), LARGE_SETTINGS);
        check(Arrays.equals(readAll(topic, 1, 1).get(0).value(), incompressible()), "read back differently");
    }

    private static final int TRANSACTION = 30;

    private KafkaProducer<byte[], byte[]> transactional(String id) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        all.put("key.serializer", ByteArraySerializer.class);
        all.put("value.serializer", ByteArraySerializer.class);
        all.put("transactional.id", id);
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(all);
        producer.initTransactions();
        return producer;
    }

    /** Writes one transaction, up to its end. */
    private void transact(KafkaProducer<byte[], byte[]> producer, String topic, String row, char part) {
        producer.beginTransaction();
        numbered(topic, row + "-" + part, TRANSACTION, 3).forEach(producer::send);
        producer.flush();
    }

    /** The first records of three partitions are those of these transactions, each once, in their order. */
    private void checkTransactions(String topic, String row, String parts, String isolation) throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of("isolation.level", isolation))) {
            List<TopicPartition> all = IntStream.range(0, 3).mapToObj(part -> new TopicPartition(topic, part)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            List<ConsumerRecord<byte[], byte[]>> read = messages(consumer, parts.length() * TRANSACTION);
            for (int partition = 0; partition < 3; partition++) {
                int wanted = partition;
                List<String> values = read.stream().filter(record -> record.partition() == wanted).map(record -> text(record.value())).toList();
                List<String> expected = parts.chars().boxed().flatMap(part -> IntStream.range(0, TRANSACTION)
                    .filter(index -> index % 3 == wanted).mapToObj(index -> text(value(row + "-" + (char) part.intValue(), index)))).toList();
                check(values.equals(expected), isolation + ": partition " + partition + " differs from " + parts);
            }
        }
    }

    private void transactions(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        try (KafkaProducer<byte[], byte[]> producer = transactional(topic)) {
            for (char part : "abc".toCharArray()) {
                transact(producer, topic, row, part);
                if (part == 'b') {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        checkTransactions(topic, row, "ac", "read_committed");
        checkTransactions(topic, row, "abc", "read_uncommitted");
    }

    private void transactionFenced(String row) throws Exception {
        String topic = create(topic(row), 3, Map.of());
        KafkaProducer<byte[], byte[]> first = transactional(topic);
        transact(first, topic, row, 'a');
        try (KafkaProducer<byte[], byte[]> second = transactional(topic)) {
            try {
                first.commitTransaction();
                check(false, "the older producer committed");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                first.close(Duration.ZERO);
            }
            transact(second, topic, row, 'b');
            second.commitTransaction();
        }
        checkTransactions(topic, row, "b", "read_committed");
    }

    private void transactionOffsets(String row) throws Exception {
        String source = create(topic(row), 1, Map.of());
        String sink = create(topic(row + "-sink"), 3, Map.of());
        TopicPartition part = new TopicPartition(source, 0);
        produce(numbered(source, row, 40, 1), Map.of());
        try (KafkaProducer<byte[], byte[]> producer = transactional(sink)) {
            for (char which : "ab".toCharArray()) {
                boolean commits = which == 'a';
                try (KafkaConsumer<byte[], byte[]> reader = consumer(source, Map.of("max.poll.records", 20))) {
                    reader.subscribe(List.of(source));
                    long begin = messages(reader, 20).get(0).offset();
                    check(begin == (commits ? 0 : 20), "begins at " + begin);
                    transact(producer, sink, row, which);
                    producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(commits ? 20 : 40)), reader.groupMetadata());
                    if (commits) {
                        producer.commitTransaction();
                    } else {
                        producer.abortTransaction();
                    }
                    long committed = reader.committed(Set.of(part)).get(part).offset();
                    check(committed == 20, "committed offset is " + committed + " after " + which);
                }
            }
        }
        checkTransactions(sink, row, "a", "read_committed");
    }

    /** A member of a share group that accepts what it gets, but releases records ending in an odd index once. */
    private final class ShareMember extends Thread {
        private final String topic;
        private volatile boolean leaving;
        private final List<String> accepted = new ArrayList<>();
        private int released;

        ShareMember(String topic) {
            this.topic = topic;
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            Properties all = new Properties();
            all.put("bootstrap.servers", bootstrap);
            all.put("key.deserializer", ByteArrayDeserializer.class);
            all.put("value.deserializer", ByteArrayDeserializer.class);
            all.put("group.id", topic);
            all.put("share.acknowledgement.mode", "explicit");
            try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(all)) {
                consumer.subscribe(List.of(topic));
                while (!leaving) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        boolean first = record.deliveryCount().orElse((short) 1) == 1;
                        boolean again = first && record.offset() % 2 == 1;
                        consumer.acknowledge(record, again ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT);
                        note(text(record.value()), again);
                    }
                    consumer.commitSync();
                }
            }
        }

        private synchronized void note(String value, boolean again) {
            if (again) {
                released++;
            } else {
                accepted.add(value);
            }
        }

        synchronized List<String> accepted() {
            return List.copyOf(accepted);
        }

        synchronized int released() {
            return released;
        }

        void leave() throws InterruptedException {
            leaving = true;
            join(WAIT_LIMIT.toMillis());
        }
    }

    private void shareGroup(String row) throws Exception {
        String topic = create(topic(row), 2, Map.of());
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, topic);
        AlterConfigOp earliest = new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(group, List.of(earliest))).all().get();
        produce(numbered(topic, row, 100, 2), Map.of());
        List<ShareMember> members = List.of(new ShareMember(topic), new ShareMember(topic));
        waitUntil("100 records accepted", () -> members.stream().mapToInt(member -> member.accepted().size()).sum() >= 100);
        var described = admin.describeShareGroups(List.of(topic)).all().get().get(topic);
        check(described.members().size() == 2, "the group has " + described.members().size() + " members");
        for (ShareMember member : members) {
            member.leave();
        }
        List<String> all = members.stream().flatMap(member -> member.accepted().stream()).sorted().toList();
        check(all.equals(IntStream.range(0, 100).mapToObj(index -> text(value(row, index))).toList()), "records were accepted twice or lost");
        int released = members.stream().mapToInt(ShareMember::released).sum();
        check(released == 50, released + " records came a second time instead of 50");
    }
}
