import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.ApiMessageType.ListenerType;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.MutableRecordBatch;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;

/**
 * Kafka's record batches and tables, as text to compare with.
 *
 * "write" writes batches of every kind and what is in them. "dump" reads such text and writes for every line "batch HEX"
 * that line and what Kafka finds in the batch. "tables" prints error codes and the APIs of a broker listener.
 * The counterpart is crates/protocol/examples/oracle.rs.
 */
public final class RecordOracle {
    private static final HexFormat HEX = HexFormat.of();

    private final PrintStream output;

    private RecordOracle(PrintStream output) {
        this.output = output;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        RecordOracle oracle = new RecordOracle(output);
        switch (arguments[0]) {
            case "write" -> oracle.write();
            case "dump" -> oracle.dump();
            case "tables" -> oracle.tables();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        output.flush();
    }

    private void write() {
        for (CompressionType type : CompressionType.values()) {
            Compression compression = Compression.of(type).build();
            for (TimestampType timestamps : new TimestampType[] {TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME}) {
                dumpBatch(plain(compression, timestamps, 3, 100));
                dumpBatch(plain(compression, timestamps, 1, 0));
                // Large enough for several blocks of every codec.
                dumpBatch(plain(compression, timestamps, 300, 2000));
            }
            dumpBatch(transactional(compression));
        }
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
            EndTransactionMarker marker = new EndTransactionMarker(type, 17);
            dumpBatch(MemoryRecords.withEndTransactionMarker(42, 1234567, 3, 5000, (short) 7, marker));
        }
    }

    private static MemoryRecords plain(Compression compression, TimestampType timestamps, int count, int size) {
        ByteBuffer buffer = ByteBuffer.allocate(1024);
        long appendTime = timestamps == TimestampType.LOG_APPEND_TIME ? 999 : RecordBatch.NO_TIMESTAMP;
        MemoryRecordsBuilder builder =
            MemoryRecords.builder(buffer, RecordBatch.MAGIC_VALUE_V2, compression, timestamps, 70, appendTime);
        Random random = new Random(count);
        for (int i = 0; i < count; i++) {
            byte[] value = new byte[size];
            // Half noise, half repetition, so that compressors find something and not everything.
            random.nextBytes(value);
            Arrays.fill(value, 0, size / 2, (byte) 'x');
            Header[] headers = i % 3 == 0 ? new Header[0] : new Header[] {
                new RecordHeader("same", new byte[] {1}), new RecordHeader("same", null), new RecordHeader("", new byte[0])};
            byte[] key = i % 2 == 0 ? null : ("key" + i).getBytes(StandardCharsets.UTF_8);
            builder.append(100_000 - 7L * i, key, i % 5 == 4 ? null : value, headers);
        }
        return builder.build();
    }

    private static MemoryRecords transactional(Compression compression) {
        MemoryRecordsBuilder builder =
            MemoryRecords.builder(ByteBuffer.allocate(1024), compression, 0, 5000, (short) 7, 2147483646, true);
        builder.append(1, "a".getBytes(StandardCharsets.UTF_8), null);
        builder.append(2, null, "b".getBytes(StandardCharsets.UTF_8));
        builder.append(3, (byte[]) null, null);
        return builder.build();
    }

    private void dump() throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = input.readLine()) != null) {
            if (line.startsWith("batch ")) {
                dumpBatch(MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(line.substring(6)))));
            }
        }
    }

    private void dumpBatch(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        output.println("batch " + HEX.formatHex(bytes));
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            output.println("header " + batch.baseOffset() + " " + batch.lastOffset() + " " + batch.partitionLeaderEpoch()
                + " " + batch.compressionType().name + " " + batch.timestampType().name + " " + batch.isTransactional()
                + " " + batch.isControlBatch() + " " + batch.maxTimestamp() + " " + batch.producerId() + " "
                + batch.producerEpoch() + " " + batch.baseSequence() + " " + batch.lastSequence() + " "
                + batch.countOrNull());
            for (Record record : batch) {
                StringBuilder headers = new StringBuilder();
                for (Header header : record.headers()) {
                    headers.append(' ').append(hex(header.key().getBytes(StandardCharsets.UTF_8)));
                    headers.append('=').append(hex(header.value()));
                }
                output.println("record " + record.offset() + " " + record.timestamp() + " " + hex(record.key()) + " "
                    + hex(record.value()) + headers);
                if (batch.isControlBatch()) {
                    EndTransactionMarker marker = EndTransactionMarker.deserialize(record);
                    output.println("marker " + marker.controlType() + " " + marker.coordinatorEpoch());
                }
            }
        }
    }

    private static String hex(ByteBuffer buffer) {
        if (buffer == null) {
            return "-";
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return hex(bytes);
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : "x" + HEX.formatHex(bytes);
    }

    private void tables() {
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            output.println("error " + error.code() + " " + error.name() + " " + retriable);
        }
        for (ApiKeys api : ApiKeys.apisForListener(ListenerType.BROKER)) {
            StringBuilder headers = new StringBuilder();
            for (short version = api.oldestVersion(); version <= api.latestVersion(false); version++) {
                headers.append(' ').append(api.requestHeaderVersion(version));
                headers.append('/').append(api.responseHeaderVersion(version));
            }
            output.println("api " + api.id + " " + api.name + " " + api.oldestVersion() + " " + api.latestVersion(false)
                + headers);
        }
    }
}
