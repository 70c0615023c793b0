import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.BaseRecords;
import org.apache.kafka.common.record.MemoryRecords;

/**
 * Writes messages with Kafka's own classes, so that another codec's bytes can be compared.
 *
 * Reads lines "class name lowest highest nullable" and writes lines "name mode filled written hex". Every field the schema of
 * version "filled" has is set to a value that follows from its struct's and its own name; then the message is written
 * in version "written". Mode "set" sets everything, "null" makes null what may be, "default" sets nothing. The hex is
 * "-" where Kafka refuses to write. The list "nullable" names the structs and records that may be null, which schemas
 * do not tell. The rules for values are those of crates/protocol/src/samples.rs.
 */
public final class MessageOracle {
    private static final int ELEMENTS = 2;

    private final boolean nulls;
    private final String className;
    private final String name;
    private final List<String> nullable;
    private long index = 0;

    private MessageOracle(boolean nulls, String[] parts) {
        this.nulls = nulls;
        this.className = parts[0];
        this.name = parts[1];
        this.nullable = List.of(parts[4].split(","));
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        String line;
        while ((line = input.readLine()) != null) {
            String[] parts = line.split(" ");
            writeAll(output, parts, Short.parseShort(parts[2]), Short.parseShort(parts[3]));
        }
        output.flush();
    }

    private static void writeAll(PrintStream output, String[] parts, short lowest, short highest) throws Exception {
        String name = parts[1];
        Class<?> type = Class.forName(parts[0]);
        for (short version = lowest; version <= highest; version++) {
            for (short filled : new short[] {version, lowest, highest}) {
                if (filled == version || lowest != highest) {
                    Message set = (Message) new MessageOracle(false, parts).filled(type, schema(type, filled));
                    print(output, name, "set", filled, version, set);
                }
            }
            Message empty = (Message) new MessageOracle(true, parts).filled(type, schema(type, version));
            print(output, name, "null", version, version, empty);
            print(output, name, "default", version, version, (Message) type.getConstructor().newInstance());
        }
    }

    private static void print(PrintStream output, String name, String mode, short filled, short written, Message message) {
        String hex;
        try {
            ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, written).buffer();
            byte[] bytes = new byte[buffer.remaining()];
            buffer.get(bytes);
            hex = HexFormat.of().formatHex(bytes);
        } catch (RuntimeException refused) {
            hex = "-";
        }
        output.println(name + " " + mode + " " + filled + " " + written + " " + hex);
    }

    private static Schema schema(Class<?> type, short version) throws Exception {
        return ((Schema[]) type.getField("SCHEMAS").get(null))[version];
    }

    private Object filled(Class<?> type, Schema schema) throws Exception {
        Object message = type.getConstructor().newInstance();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (org.apache.kafka.common.protocol.types.Field field : tagged.fields().values()) {
                    fill(message, field);
                }
            } else {
                fill(message, bound.def);
            }
        }
        return message;
    }

    private void fill(Object message, org.apache.kafka.common.protocol.types.Field definition) throws Exception {
        Class<?> type = message.getClass();
        String struct = type.getName().equals(className) ? name : type.getSimpleName();
        String path = struct + "." + definition.name;
        Field target = null;
        for (Field field : type.getDeclaredFields()) {
            if (snakeCase(field.getName()).equals(definition.name)) {
                target = field;
            }
        }
        if (target == null) {
            throw new IllegalStateException("no field for " + path);
        }
        target.setAccessible(true);
        boolean untold = definition.type instanceof Schema || BaseRecords.class.isAssignableFrom(target.getType());
        if (nulls && (untold ? nullable.contains(path) : definition.type.isNullable())) {
            target.set(message, null);
        } else {
            target.set(message, value(path, definition.type, target.getType(), target.getGenericType()));
        }
    }

    private Object value(String path, org.apache.kafka.common.protocol.types.Type definition, Class<?> type, Type generic)
            throws Exception {
        if (Collection.class.isAssignableFrom(type)) {
            return collection(path, definition.arrayElementType().orElseThrow(), type, generic);
        }
        if (definition instanceof Schema schema) {
            return filled(type, schema);
        }
        long bits = bits(path);
        String text = String.format("%016x", bits);
        if (type == boolean.class || type == Boolean.class) {
            return true;
        } else if (type == byte.class || type == Byte.class) {
            return (byte) bits;
        } else if (type == short.class || type == Short.class) {
            return (short) bits;
        } else if (type == int.class || type == Integer.class) {
            return definition == org.apache.kafka.common.protocol.types.Type.UINT16 ? (int) (bits & 0xffff) : (int) bits;
        } else if (type == long.class || type == Long.class) {
            return definition == org.apache.kafka.common.protocol.types.Type.UNSIGNED_INT32 ? bits & 0xffffffffL : bits;
        } else if (type == double.class) {
            return (double) (int) bits;
        } else if (type == String.class) {
            return text;
        } else if (type == Uuid.class) {
            return new Uuid(bits, ~bits);
        } else if (type == byte[].class) {
            return text.getBytes(StandardCharsets.UTF_8);
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
        } else if (BaseRecords.class.isAssignableFrom(type)) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
        }
        throw new IllegalStateException(path + " has type " + type);
    }

    private Object collection(String path, org.apache.kafka.common.protocol.types.Type element, Class<?> type, Type generic)
            throws Exception {
        boolean isList = type == List.class;
        Type listed = isList ? generic : type.getGenericSuperclass();
        Class<?> elementType = (Class<?>) ((ParameterizedType) listed).getActualTypeArguments()[0];
        @SuppressWarnings("unchecked")
        Collection<Object> collection =
            isList ? new ArrayList<>() : (Collection<Object>) type.getConstructor().newInstance();
        long outer = index;
        for (int i = 0; i < ELEMENTS; i++) {
            index = i + 1;
            collection.add(value(path, element, elementType, elementType));
        }
        index = outer;
        return collection;
    }

    private long bits(String path) {
        long hash = 0xcbf29ce484222325L;
        byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
        ByteBuffer all = ByteBuffer.allocate(bytes.length + 8).put(bytes).putLong(index).flip();
        while (all.hasRemaining()) {
            hash = (hash ^ (all.get() & 0xff)) * 0x100000001b3L;
        }
        return hash;
    }

    private static String snakeCase(String camelCase) {
        StringBuilder snake = new StringBuilder();
        for (char character : camelCase.toCharArray()) {
            if (Character.isUpperCase(character)) {
                snake.append('_');
            }
            snake.append(Character.toLowerCase(character));
        }
        return snake.toString();
    }
}
