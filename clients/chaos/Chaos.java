import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.StringJoiner;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client in a chaos run: Chaos COMMAND BOOTSTRAP FOLDER PROCESS SEED, which writes histories into FOLDER as the
 * programs in Python beside it do.
 *
 * produce: an idempotent and a transactional producer, until SIGTERM.
 * read: a consumer that chooses all partitions, until SIGTERM, and then until it has come to the end of what there is.
 */
public final class Chaos {
    private static final Map<String, Integer> TOPICS = Map.of("plain", 6, "in", 3, "out", 3);
    /** Longer than all faults together last. */
    private static final int PATIENCE_MS = 300_000;
    private static final int END_MS = 150_000;
    private static final int PAYLOAD_BYTES = 100;

    private static volatile boolean stop = false;

    public static void main(String[] arguments) throws Exception {
        String command = arguments[0];
        Place place = new Place(arguments[1], Path.of(arguments[2]), Integer.parseInt(arguments[3]), Long.parseLong(arguments[4]));
        List<Thread> threads = new ArrayList<>();
        if (command.equals("produce")) {
            threads.add(new Thread(guarded(() -> new Idempotent(place).run())));
            threads.add(new Thread(guarded(() -> new Transactional(place).run())));
        } else {
            threads.add(new Thread(guarded(() -> new Reader(place).run())));
        }
        // A program that is told to end this way has another exit status than 0, unless it ends itself.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop = true;
            for (Thread thread : threads) {
                try {
                    thread.join();
                } catch (InterruptedException error) {
                    Runtime.getRuntime().halt(1);
                }
            }
            Runtime.getRuntime().halt(0);
        }));
        threads.forEach(Thread::start);
    }

    private interface Task {
        void run() throws Exception;
    }

    private static Runnable guarded(Task task) {
        return () -> {
            try {
                task.run();
            } catch (Throwable error) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        };
    }

    private record Place(String bootstrap, Path folder, int process, long seed) {
        Properties settings() {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("reconnect.backoff.ms", 20);
            settings.put("reconnect.backoff.max.ms", 500);
            settings.put("request.timeout.ms", 10_000);
            return settings;
        }

        Properties producing() {
            Properties settings = settings();
            settings.put("key.serializer", ByteArraySerializer.class);
            settings.put("value.serializer", ByteArraySerializer.class);
            settings.put("delivery.timeout.ms", PATIENCE_MS);
            settings.put("max.block.ms", PATIENCE_MS);
            settings.put("linger.ms", 1);
            // Small batches, so that several requests are in flight.
            settings.put("batch.size", 2000);
            return settings;
        }
    }

    /** One process of a history. */
    private static final class History {
        private final PrintWriter file;
        private final int process;

        History(Place place, String kind, int process) throws IOException {
            this.process = process;
            file = new PrintWriter(Files.newBufferedWriter(place.folder.resolve("history-all-" + kind + "-" + process + ".jsonl")));
        }

        /** The machine's monotonic clock, as in the other programs. */
        void note(long time, int process, String outcome, String action) {
            file.println("{\"time\":" + time + ",\"process\":" + process + ",\"type\":\"" + outcome + "\"," + action + "}");
            file.flush();
        }

        void note(String outcome, String action) {
            note(System.nanoTime(), process, outcome, action);
        }

        static String run(List<Send> sends, boolean transaction) {
            StringJoiner steps = new StringJoiner(",", "[", "]");
            sends.forEach(send -> steps.add(send.step()));
            return "\"action\":\"run\",\"steps\":" + steps + (transaction ? ",\"transaction\":true" : "");
        }

        /** What was acknowledged ends the operation; of the rest nobody knows, which another process tells. */
        void sent(List<Send> sends) {
            long ended = System.nanoTime();
            List<Send> unknown = sends.stream().filter(send -> !send.acked).toList();
            note(ended, process, "ok", run(sends.stream().filter(send -> send.acked).toList(), false));
            if (!unknown.isEmpty()) {
                note(ended, process + 1, "invoke", run(unknown, false));
                note(ended, process + 1, "info", run(unknown, false));
            }
        }

        void polled(long begun, Iterable<ConsumerRecord<byte[], byte[]>> records) {
            Map<String, StringJoiner> polled = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : records) {
                String key = record.topic() + "-" + record.partition();
                StringJoiner list = polled.computeIfAbsent(key, one -> new StringJoiner(",", "[", "]"));
                list.add("[" + record.offset() + "," + valueOf(record) + "]");
            }
            if (polled.isEmpty()) {
                return;
            }
            StringJoiner keys = new StringJoiner(",", "{", "}");
            polled.forEach((key, list) -> keys.add("\"" + key + "\":" + list));
            note(begun, process, "invoke", "\"action\":\"run\",\"steps\":[]");
            note("ok", "\"action\":\"run\",\"steps\":[{\"poll\":" + keys + "}]");
        }
    }

    /** One record on its way. */
    private static final class Send {
        final String topic;
        final int partition;
        final long value;
        volatile boolean acked = false;
        volatile long offset = -1;

        Send(String topic, int partition, long value) {
            this.topic = topic;
            this.partition = partition;
            this.value = value;
        }

        void hand(KafkaProducer<byte[], byte[]> producer) {
            producer.send(new ProducerRecord<>(topic, partition, null, payload(value, PAYLOAD_BYTES)), (metadata, error) -> {
                if (error == null) {
                    offset = metadata.offset();
                    acked = true;
                }
            });
        }

        String step() {
            String told = offset < 0 ? "" : ",\"offset\":" + offset;
            return "{\"send\":{\"key\":\"" + topic + "-" + partition + "\",\"value\":" + value + told + "}}";
        }
    }

    private abstract static class Sender {
        final Place place;
        final int process;
        final History history;
        final Random random;
        private long next;

        Sender(Place place, String kind, int process) throws IOException {
            this.place = place;
            this.process = process;
            history = new History(place, kind, process);
            random = new Random(place.seed * 1000 + process);
            next = (long) process << 32;
        }

        List<Send> choose(String topic, int most) {
            List<Send> sends = new ArrayList<>();
            for (int count = 1 + random.nextInt(most); count > 0; count--) {
                sends.add(new Send(topic, random.nextInt(TOPICS.get(topic)), next++));
            }
            return sends;
        }

        /** So many records a second. */
        static void rest(long begun, int records, int rate) throws InterruptedException {
            long until = begun + TimeUnit.SECONDS.toNanos(records) / rate;
            while (!stop && System.nanoTime() < until) {
                TimeUnit.MILLISECONDS.sleep(5);
            }
        }
    }

    /** Records in bursts, many in flight. */
    private static final class Idempotent extends Sender {
        Idempotent(Place place) throws IOException {
            super(place, "java-idempotent", place.process);
        }

        void run() throws Exception {
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(place.producing())) {
                while (!stop) {
                    long begun = System.nanoTime();
                    List<Send> sends = choose("plain", 60);
                    history.note("invoke", History.run(sends, false));
                    sends.forEach(send -> send.hand(producer));
                    producer.flush();
                    history.sent(sends);
                    rest(begun, sends.size(), 150);
                }
            }
        }
    }

    /** Transactions, one in five aborted on purpose. One of which no commit was asked for can never be committed. */
    private static final class Transactional extends Sender {
        private KafkaProducer<byte[], byte[]> producer;

        Transactional(Place place) throws IOException {
            super(place, "java-transaction", place.process + 2);
        }

        void run() throws Exception {
            open();
            while (!stop) {
                long begun = System.nanoTime();
                List<Send> sends = choose("in", 8);
                history.note("invoke", History.run(sends, true));
                String outcome = transaction(sends);
                history.note(outcome, History.run(sends, true));
                rest(begun, sends.size(), 20);
            }
            producer.close();
        }

        private void open() {
            Properties settings = place.producing();
            settings.put("transactional.id", "java-" + process);
            producer = new KafkaProducer<>(settings);
            patiently(producer::initTransactions);
        }

        private String transaction(List<Send> sends) {
            boolean asked = false;
            try {
                producer.beginTransaction();
                sends.forEach(send -> send.hand(producer));
                if (random.nextInt(5) == 0) {
                    producer.flush();
                    patiently(producer::abortTransaction);
                    return "fail";
                }
                asked = true;
                patiently(producer::commitTransaction);
                return "ok";
            } catch (KafkaException error) {
                System.err.println(System.nanoTime() + " transaction: " + error);
                recover();
                return asked ? "info" : "fail";
            }
        }

        /** The transaction is aborted, or a new producer of the same id aborts it. */
        private void recover() {
            try {
                patiently(producer::abortTransaction);
            } catch (KafkaException | IllegalStateException error) {
                System.err.println(System.nanoTime() + " abort: " + error);
                producer.close(Duration.ZERO);
                open();
            }
        }

        private static void patiently(Runnable call) {
            long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            while (true) {
                try {
                    call.run();
                    return;
                } catch (RetriableException error) {
                    if (System.nanoTime() > deadline) {
                        throw error;
                    }
                }
            }
        }
    }

    /** All partitions, from their beginning to their end. */
    private static final class Reader {
        private final Place place;
        private final History history;

        Reader(Place place) throws IOException {
            this.place = place;
            history = new History(place, "java-assigned", place.process);
        }

        void run() {
            Properties settings = place.settings();
            settings.put("key.deserializer", ByteArrayDeserializer.class);
            settings.put("value.deserializer", ByteArrayDeserializer.class);
            settings.put("isolation.level", "read_committed");
            // A reader whose place in a log is gone fails.
            settings.put("auto.offset.reset", "none");
            settings.put("enable.auto.commit", false);
            settings.put("default.api.timeout.ms", PATIENCE_MS);
            List<TopicPartition> partitions = new ArrayList<>();
            TOPICS.forEach((topic, count) -> {
                for (int partition = 0; partition < count; partition++) {
                    partitions.add(new TopicPartition(topic, partition));
                }
            });
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
                consumer.assign(partitions);
                partitions.forEach(partition -> consumer.seek(partition, 0));
                assigned(partitions);
                long deadline = 0;
                while (!(stop && isAtEnd(consumer, partitions))) {
                    if (stop && deadline == 0) {
                        deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(END_MS);
                    }
                    if (stop && System.nanoTime() > deadline) {
                        throw new IllegalStateException("the reader has not come to the end");
                    }
                    long begun = System.nanoTime();
                    history.polled(begun, consumer.poll(Duration.ofMillis(500)));
                }
            }
        }

        private void assigned(List<TopicPartition> partitions) {
            StringJoiner keys = new StringJoiner(",", "[", "]");
            partitions.forEach(partition -> keys.add("\"" + partition + "\""));
            for (String outcome : List.of("invoke", "ok")) {
                history.note(outcome, "\"action\":\"assign\",\"keys\":" + keys);
            }
        }

        private static boolean isAtEnd(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions) {
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            return partitions.stream().allMatch(partition -> consumer.position(partition) >= ends.get(partition));
        }
    }

    /** What a record with this value says; the other programs have the same. */
    private static byte[] payload(long value, int size) {
        StringBuilder text = new StringBuilder().append(value).append(' ').append(size).append(' ');
        String pattern = String.format("%016x", value * 6364136223846793005L);
        int length = Math.max(size, text.length());
        while (text.length() < length) {
            text.append(pattern);
        }
        text.setLength(length);
        return text.toString().getBytes(StandardCharsets.US_ASCII);
    }

    /** The value of a record; wrong bytes end the program. */
    private static long valueOf(ConsumerRecord<byte[], byte[]> record) {
        String text = new String(record.value(), StandardCharsets.US_ASCII);
        String[] parts = text.split(" ", 3);
        long value = Long.parseLong(parts[0]);
        if (!Arrays.equals(record.value(), payload(value, Integer.parseInt(parts[1])))) {
            throw new IllegalStateException("wrong bytes: " + record.topic() + "-" + record.partition() + " " + record.offset());
        }
        return value;
    }
}
