// A Kafka Streams word count with two instances, against a broker that is there already:
//
//     java -cp CLASS_PATH clients/streams/WordCount.java BOOTSTRAP GROUP_PROTOCOL PROCESSING_GUARANTEE
//
// GROUP_PROTOCOL is `streams` or `classic`, PROCESSING_GUARANTEE `at_least_once` or `exactly_once_v2`. It produces lines,
// waits until the counts read by a `read_committed` consumer are the expected ones, closes one instance, produces more
// and waits again. With `streams` it also looks at the group as an administrator does, sets a standby replica for it, and
// asks for the offsets the group committed. It ends with 0 and the line `ok`, or with 1 and the reason.

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.StreamsGroupDescription;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

public final class WordCount {
    private static final Duration LIMIT = Duration.ofSeconds(120);
    private static final int PARTITIONS = 3;
    private static final String[] WORDS = {"broker", "topic", "partition", "segment", "record", "offset", "group"};

    private final String bootstrap;
    private final String protocol;
    private final String guarantee;
    private final String application = "word-count-" + UUID.randomUUID();
    private final String input = application + "-lines";
    private final String output = application + "-counts";
    private final Map<String, Long> expected = new TreeMap<>();
    private final Map<String, Long> counted = new TreeMap<>();

    private WordCount(String[] arguments) {
        bootstrap = arguments[0];
        protocol = arguments[1];
        guarantee = arguments[2];
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("usage: WordCount BOOTSTRAP GROUP_PROTOCOL PROCESSING_GUARANTEE");
            System.exit(2);
        }
        try {
            new WordCount(arguments).run();
            System.out.println("ok");
            System.exit(0);
        } catch (Exception | AssertionError error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    private void run() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
             KafkaConsumer<String, Long> consumer = consumer()) {
            admin.createTopics(Set.of(
                new NewTopic(input, PARTITIONS, (short) 1),
                new NewTopic(output, PARTITIONS, (short) 1))).all().get();
            consumer.subscribe(Set.of(output));
            produce(500);
            KafkaStreams first = start("first");
            KafkaStreams second = start("second");
            try {
                readUntilCounted(consumer);
                say("two instances counted " + expected);
                if (protocol.equals("streams")) {
                    administer(admin);
                }
                first.close(Duration.ofSeconds(30));
                produce(500);
                readUntilCounted(consumer);
                say("one instance counted " + expected);
                offsetsAreCommitted(admin);
            } finally {
                first.close(Duration.ofSeconds(30));
                second.close(Duration.ofSeconds(30));
            }
            if (protocol.equals("streams")) {
                until("the group is empty", () -> describe(admin).groupState() == GroupState.EMPTY);
                admin.deleteStreamsGroups(List.of(application)).all().get();
            }
        }
    }

    private KafkaStreams start(String instance) throws Exception {
        Path state = Files.createTempDirectory("word-count-" + instance);
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        properties.put(StreamsConfig.CLIENT_ID_CONFIG, instance);
        properties.put(StreamsConfig.GROUP_PROTOCOL_CONFIG, protocol);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.APPLICATION_SERVER_CONFIG, "localhost:" + (instance.equals("first") ? 7001 : 7002));
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(input)
            .flatMapValues(line -> Arrays.asList(line.toLowerCase(Locale.ROOT).split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .to(output, Produced.with(Serdes.String(), Serdes.Long()));
        KafkaStreams streams = new KafkaStreams(builder.build(properties), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        return streams;
    }

    private void produce(int lines) throws Exception {
        Map<String, Object> properties = Map.of("bootstrap.servers", bootstrap, "linger.ms", 5);
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            for (int line = 0; line < lines; line++) {
                String one = WORDS[line % WORDS.length];
                String other = WORDS[(line * line + 1) % WORDS.length];
                expected.merge(one, 1L, Long::sum);
                expected.merge(other, 1L, Long::sum);
                producer.send(new ProducerRecord<>(input, line % PARTITIONS, null, one + " " + other));
            }
            producer.flush();
        }
    }

    private KafkaConsumer<String, Long> consumer() {
        Map<String, Object> properties = new HashMap<>();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", application + "-reader");
        properties.put("auto.offset.reset", "earliest");
        properties.put("isolation.level", "read_committed");
        return new KafkaConsumer<>(properties, new StringDeserializer(), new LongDeserializer());
    }

    private void readUntilCounted(KafkaConsumer<String, Long> consumer) throws Exception {
        until("the counts are " + expected, () -> {
            for (ConsumerRecord<String, Long> record : consumer.poll(Duration.ofMillis(200))) {
                Long before = counted.put(record.key(), record.value());
                if (guarantee.equals("exactly_once_v2") && before != null && before >= record.value()) {
                    throw new AssertionError(record.key() + " was counted to " + before + " and then to " + record.value());
                }
            }
            for (String word : counted.keySet()) {
                if (guarantee.equals("exactly_once_v2") && counted.get(word) > expected.get(word)) {
                    throw new AssertionError(word + " was counted to " + counted.get(word) + " of " + expected.get(word));
                }
            }
            return counted.equals(expected);
        });
    }

    private void administer(Admin admin) throws Exception {
        until("the group is stable", () -> describe(admin).groupState() == GroupState.STABLE);
        StreamsGroupDescription group = describe(admin);
        check(group.members().size() == 2, group);
        check(group.subtopologies().size() == 2, group);
        check(group.members().stream().allMatch(member -> member.assignment().equals(member.targetAssignment())), group);
        check(tasks(group) == 2 * PARTITIONS, group);
        List<String> listed = admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.STREAMS))).all().get().stream()
            .map(listing -> listing.groupId()).collect(Collectors.toList());
        check(listed.contains(application), listed);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, application);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
            new ConfigEntry("streams.num.standby.replicas", "1"), AlterConfigOp.OpType.SET)))).all().get();
        until("standby tasks follow", () -> {
            StreamsGroupDescription changed = describe(admin);
            return changed.groupState() == GroupState.STABLE && standbyTasks(changed) == PARTITIONS;
        });
        say("the group has standby tasks");
    }

    private void offsetsAreCommitted(Admin admin) throws Exception {
        until("all offsets are committed", () -> admin.listConsumerGroupOffsets(application)
            .partitionsToOffsetAndMetadata().get().entrySet().stream()
            .filter(entry -> entry.getKey().topic().equals(input))
            .mapToLong(entry -> entry.getValue().offset()).sum() >= 1000);
    }

    private StreamsGroupDescription describe(Admin admin) throws Exception {
        return admin.describeStreamsGroups(List.of(application)).all().get().get(application);
    }

    private static int tasks(StreamsGroupDescription group) {
        return group.members().stream().flatMap(member -> member.assignment().activeTasks().stream())
            .mapToInt(ids -> ids.partitions().size()).sum();
    }

    private static int standbyTasks(StreamsGroupDescription group) {
        return group.members().stream().flatMap(member -> member.assignment().standbyTasks().stream())
            .mapToInt(ids -> ids.partitions().size()).sum();
    }

    private static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError(seen);
        }
    }

    private static void until(String what, Callable<Boolean> holds) throws Exception {
        long limit = System.nanoTime() + LIMIT.toNanos();
        while (!holds.call()) {
            if (System.nanoTime() > limit) {
                throw new AssertionError("not within " + LIMIT.toSeconds() + " s: " + what);
            }
            Thread.sleep(100);
        }
    }

    private static void say(Object text) {
        System.out.println(text);
    }
}
