// The SQL matrix through pgjdbc: what applications, Metabase and DBeaver use. Run as a source file.

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.util.DriverInfo;

public final class Jdbc {
    private static final String COLUMNS = "id, carrier, delay, ok, fare, day, at, raw";
    private static final String DEFINITION = "(id bigint, carrier text, delay double precision, ok boolean, fare numeric(10,2), "
        + "day date, at timestamptz, raw bytea)";
    private static final List<String> ALL = List.of("_topic", "_partition", "_offset", "_timestamp", "_key", "_value", "_headers",
        "id", "carrier", "delay", "ok", "fare", "day", "at", "raw", "_error");

    private interface Row {
        void run(String row) throws Exception;
    }

    private static final class NotSupported extends RuntimeException {
        NotSupported(String reason) {
            super(reason);
        }
    }

    private final String address;
    private final String run;
    private final Map<String, Row> rows = new LinkedHashMap<>();

    private Jdbc(String address, String run) {
        this.address = address;
        this.run = run;
        rows.put("connect", this::connect);
        rows.put("tables", this::tables);
        rows.put("columns", this::columns);
        rows.put("text", row -> values(row, Map.of("preferQueryMode", "simple")));
        rows.put("binary", row -> values(row, Map.of("prepareThreshold", "-1")));
        rows.put("parameters", this::parameters);
        rows.put("cursor", this::cursor);
        rows.put("copy-out", this::copyOut);
        rows.put("copy-in", this::copyIn);
        rows.put("insert", this::insert);
        rows.put("transaction", this::transaction);
        rows.put("definition", this::definition);
        rows.put("errors", this::errors);
        rows.put("cancel", this::cancel);
        rows.put("pipeline", this::pipeline);
        rows.put("sys", this::system);
    }

    public static void main(String[] arguments) {
        Map<String, String> given = new LinkedHashMap<>();
        for (int index = 0; index + 1 < arguments.length; index += 2) {
            given.put(arguments[index], arguments[index + 1]);
        }
        Jdbc matrix = new Jdbc(given.get("--bootstrap"), given.get("--run"));
        String names = given.getOrDefault("--rows", "");
        for (String name : names.isEmpty() ? matrix.rows.keySet() : Arrays.asList(names.split(","))) {
            String outcome = "pass";
            String detail = "";
            try {
                Row row = matrix.rows.get(name);
                if (row == null) {
                    throw new NotSupported("this program has no such row");
                }
                row.run(name);
            } catch (NotSupported reason) {
                outcome = "not-supported";
                detail = reason.getMessage();
            } catch (Throwable error) {
                outcome = "fail";
                detail = error.toString();
                error.printStackTrace();
            }
            System.out.printf("{\"client\":\"pgjdbc\",\"version\":\"%s\",\"row\":\"%s\",\"outcome\":\"%s\",\"detail\":%s}%n",
                DriverInfo.DRIVER_VERSION, name, outcome, json(detail));
        }
    }

    private static String json(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                json.append('\\').append(letter);
            } else if (letter < ' ') {
                json.append(' ');
            } else {
                json.append(letter);
            }
        }
        return json.append('"').toString();
    }

    private static void check(boolean isSo, Object what) {
        if (!isSo) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    private Connection open(Map<String, String> options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "tester");
        properties.putAll(options);
        return DriverManager.getConnection("jdbc:postgresql://" + address + "/watertable", properties);
    }

    private String name(String row) {
        return run + "-pgjdbc-" + row;
    }

    private static String quoted(String name) {
        return "\"" + name + "\"";
    }

    /** Three rows: values, other values, nulls. */
    private String filled(Connection connection, String row) throws SQLException {
        String table = quoted(name(row));
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("CREATE TABLE " + table + " " + DEFINITION);
        }
        try (PreparedStatement insert = connection.prepareStatement(
                "INSERT INTO " + table + " (" + COLUMNS + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)")) {
            for (int id = 1; id <= 2; id++) {
                insert.setLong(1, id);
                insert.setString(2, id == 1 ? "UA" : "größe, \"x\"\t\\");
                insert.setDouble(3, id == 1 ? 2.5 : -0.125);
                insert.setBoolean(4, id == 1);
                insert.setBigDecimal(5, new BigDecimal(id == 1 ? "123.45" : "-0.01"));
                insert.setObject(6, java.time.LocalDate.of(2013, 1, id));
                insert.setObject(7, OffsetDateTime.parse("2013-01-01T10:00:00Z"));
                insert.setBytes(8, id == 1 ? new byte[] {0, (byte) 0xff} : new byte[0]);
                insert.addBatch();
            }
            insert.setLong(1, 3);
            int[] types = {Types.VARCHAR, Types.DOUBLE, Types.BOOLEAN, Types.NUMERIC, Types.DATE, Types.TIMESTAMP_WITH_TIMEZONE, Types.BINARY};
            for (int index = 0; index < types.length; index++) {
                insert.setNull(2 + index, types[index]);
            }
            insert.addBatch();
            int[] counts = insert.executeBatch();
            check(Arrays.stream(counts).allMatch(count -> count == 1), Arrays.toString(counts));
        }
        return table;
    }

    private void connect(String row) throws SQLException {
        try (Connection connection = open(Map.of()); ResultSet rows = connection.createStatement().executeQuery("SELECT 1")) {
            check(rows.next() && rows.getInt(1) == 1 && connection.isValid(5), "SELECT 1");
            check(connection.getMetaData().getDatabaseMajorVersion() >= 14, "the version");
        }
    }

    private void tables(String row) throws SQLException {
        try (Connection connection = open(Map.of())) {
            filled(connection, row);
            List<String> found = new ArrayList<>();
            try (ResultSet rows = connection.getMetaData().getTables(null, "public", name(row), new String[] {"TABLE"})) {
                while (rows.next()) {
                    found.add(rows.getString("TABLE_NAME"));
                }
            }
            check(found.equals(List.of(name(row))), found);
        }
    }

    private void columns(String row) throws SQLException {
        try (Connection connection = open(Map.of())) {
            filled(connection, row);
            List<String> found = new ArrayList<>();
            List<String> types = new ArrayList<>();
            try (ResultSet rows = connection.getMetaData().getColumns(null, "public", name(row), "%")) {
                while (rows.next()) {
                    found.add(rows.getString("COLUMN_NAME"));
                    types.add(rows.getString("TYPE_NAME"));
                }
            }
            check(found.equals(ALL), found);
            check(types.subList(7, 15).equals(List.of("int8", "text", "float8", "bool", "numeric", "date", "timestamptz", "bytea")), types);
            metadata(connection.getMetaData(), name(row));
        }
    }

    /** What tools ask beside columns: there are no keys, indexes and functions, and everything else has an answer. */
    private static void metadata(DatabaseMetaData metadata, String table) throws SQLException {
        List<ResultSet> nothing = List.of(
            metadata.getPrimaryKeys(null, "public", table), metadata.getImportedKeys(null, "public", table),
            metadata.getExportedKeys(null, "public", table), metadata.getCrossReference(null, "public", table, null, "public", table),
            metadata.getIndexInfo(null, "public", table, false, true),
            metadata.getBestRowIdentifier(null, "public", table, DatabaseMetaData.bestRowSession, true),
            metadata.getProcedures(null, null, "%"), metadata.getProcedureColumns(null, null, "%", "%"),
            metadata.getFunctions(null, null, "%"), metadata.getFunctionColumns(null, null, "%", "%"),
            metadata.getUDTs(null, null, "%", null));
        for (ResultSet rows : nothing) {
            check(!rows.next(), rows.getMetaData().getColumnLabel(3));
        }
        List<ResultSet> something = List.of(
            metadata.getCatalogs(), metadata.getSchemas(), metadata.getTableTypes(), metadata.getTypeInfo(),
            metadata.getTablePrivileges(null, "public", table), metadata.getColumnPrivileges(null, "public", table, "%"));
        for (ResultSet rows : something) {
            check(rows.next(), rows.getMetaData().getColumnLabel(1));
        }
        metadata.getVersionColumns(null, "public", table);
        check(metadata.getSQLKeywords().contains("select") || metadata.getSQLKeywords().length() > 100, metadata.getSQLKeywords());
    }

    private void values(String row, Map<String, String> options) throws SQLException {
        try (Connection connection = open(Map.of())) {
            filled(connection, row);
        }
        try (Connection connection = open(options)) {
            for (int run = 0; run < 3; run++) {
                try (PreparedStatement statement = connection.prepareStatement(
                            "SELECT " + COLUMNS + " FROM " + quoted(name(row)) + " ORDER BY id");
                        ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && rows.getLong("id") == 1 && rows.getString("carrier").equals("UA"), "id, carrier");
                    check(rows.getDouble("delay") == 2.5 && rows.getBoolean("ok"), "delay, ok");
                    check(rows.getBigDecimal("fare").equals(new BigDecimal("123.45")), rows.getBigDecimal("fare"));
                    check(rows.getDate("day").toString().equals("2013-01-01"), rows.getDate("day"));
                    check(rows.getTimestamp("at").toInstant().toString().equals("2013-01-01T10:00:00Z"), rows.getTimestamp("at"));
                    check(Arrays.equals(rows.getBytes("raw"), new byte[] {0, (byte) 0xff}), "raw");
                    check(rows.next() && rows.getString("carrier").equals("größe, \"x\"\t\\"), rows.getString("carrier"));
                    check(rows.getDouble("delay") == -0.125 && rows.getBytes("raw").length == 0, "delay, raw");
                    check(rows.next(), "three rows");
                    for (int column = 2; column <= 8; column++) {
                        check(rows.getObject(column) == null, "NULL in column " + column);
                    }
                    check(!rows.next(), "no more");
                }
            }
        }
    }

    private void parameters(String row) throws SQLException {
        try (Connection connection = open(Map.of("prepareThreshold", "2"))) {
            String table = filled(connection, row);
            try (PreparedStatement statement = connection.prepareStatement(
                    "SELECT id FROM " + table + " WHERE id BETWEEN ? AND ? AND delay > ? AND day < ? LIMIT ?")) {
                for (int run = 0; run < 5; run++) {
                    statement.setInt(1, 1);
                    statement.setLong(2, 3);
                    statement.setDouble(3, -1);
                    statement.setObject(4, java.time.LocalDate.of(2013, 1, 2));
                    statement.setInt(5, 7);
                    try (ResultSet rows = statement.executeQuery()) {
                        check(rows.next() && rows.getInt(1) == 1 && !rows.next(), "row 1 alone");
                    }
                }
            }
        }
    }

    private void cursor(String row) throws SQLException {
        try (Connection connection = open(Map.of())) {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 10000)")) {
                    while (rows.next()) {
                        sum += rows.getInt(1);
                    }
                }
                check(sum == 50005000L, sum);
            }
            connection.commit();
        }
    }

    private void copyOut(String row) throws Exception {
        try (Connection connection = open(Map.of())) {
            String table = filled(connection, row);
            StringWriter text = new StringWriter();
            long count = connection.unwrap(PGConnection.class).getCopyAPI()
                .copyOut("COPY (SELECT id, carrier FROM " + table + " WHERE id <> 2 ORDER BY id) TO STDOUT", text);
            check(count == 2 && text.toString().equals("1\tUA\n3\t\\N\n"), count + ": " + text);
        }
    }

    private void copyIn(String row) throws Exception {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            String table = quoted(name(row));
            statement.executeUpdate("CREATE TABLE " + table + " " + DEFINITION);
            long count = connection.unwrap(PGConnection.class).getCopyAPI()
                .copyIn("COPY " + table + " (id, carrier) FROM STDIN", new StringReader("1\tUA\n2\t\\N\n"));
            check(count == 2, count);
            try (ResultSet rows = statement.executeQuery("SELECT sum(id), count(carrier) FROM " + table)) {
                check(rows.next() && rows.getInt(1) == 3 && rows.getInt(2) == 1, "what was copied");
            }
        }
    }

    private void insert(String row) throws SQLException {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            String table = filled(connection, row);
            int count = statement.executeUpdate("INSERT INTO " + table + " (_key, id) SELECT 'k' || id, id + 10 FROM " + table);
            check(count == 3, count);
            try (ResultSet rows = statement.executeQuery("SELECT min(_key), sum(id) FROM " + table + " WHERE id > 10")) {
                check(rows.next() && rows.getString(1).equals("k1") && rows.getInt(2) == 36, "what was inserted");
            }
        }
    }

    private void transaction(String row) throws SQLException {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            String table = filled(connection, row);
            connection.setAutoCommit(false);
            statement.executeUpdate("INSERT INTO " + table + " (id) VALUES (4)");
            connection.rollback();
            statement.executeUpdate("INSERT INTO " + table + " (id) VALUES (5)");
            connection.commit();
            try (ResultSet rows = statement.executeQuery("SELECT count(*), max(id) FROM " + table)) {
                check(rows.next() && rows.getInt(1) == 4 && rows.getInt(2) == 5, "what was committed alone");
            }
            connection.commit();
        }
    }

    private void definition(String row) throws SQLException {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            String table = quoted(name(row));
            statement.executeUpdate("CREATE TABLE " + table + " (id bigint)");
            fails(statement, "CREATE TABLE " + table + " (id bigint)", "42P07");
            statement.executeUpdate("DROP TABLE " + table);
            fails(statement, "DROP TABLE " + table, "42P01");
        }
    }

    private static void fails(Statement statement, String sql, String state) {
        try {
            statement.execute(sql);
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error.getSQLState() + ": " + error.getMessage());
            return;
        }
        throw new AssertionError(sql + " does not fail");
    }

    private void errors(String row) throws SQLException {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            String table = filled(connection, row);
            fails(statement, "SELECT * FROM nowhere", "42P01");
            fails(statement, "SELECT nothing FROM " + table, "42703");
            fails(statement, "SELEC 1", "42601");
            fails(statement, "DELETE FROM " + table, "0A000");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " (id) VALUES (?::text::bigint)")) {
                insert.setString(1, "no number");
                insert.addBatch();
                insert.executeBatch();
                throw new AssertionError("no error of a batch");
            } catch (BatchUpdateException error) {
                check("22P02".equals(error.getSQLState()), error.getSQLState());
            }
        }
    }

    private void cancel(String row) throws SQLException {
        try (Connection connection = open(Map.of()); Statement statement = connection.createStatement()) {
            // The driver sends a cancel request.
            statement.setQueryTimeout(1);
            fails(statement, "SELECT count(*) FROM generate_series(1, 1000000000000)", "57014");
            statement.setQueryTimeout(0);
            try (ResultSet rows = statement.executeQuery("SELECT 1")) {
                check(rows.next(), "the session goes on");
            }
        }
    }

    private void pipeline(String row) throws SQLException {
        // A batch goes out as one; its answers come back together.
        try (Connection connection = open(Map.of("reWriteBatchedInserts", "true"))) {
            filled(connection, row);
        } catch (AssertionError counts) {
            // Rewritten inserts have no counts of their own.
            check(counts.getMessage().contains("-2"), counts);
        }
    }

    private void system(String row) throws SQLException {
        try (Connection connection = open(Map.of());
                PreparedStatement statement = connection.prepareStatement("SELECT partitions FROM sys.topics WHERE topic = ?")) {
            filled(connection, row);
            statement.setString(1, name(row));
            try (ResultSet rows = statement.executeQuery()) {
                check(rows.next() && rows.getInt(1) >= 1 && !rows.next(), "sys.topics");
            }
        }
    }
}
