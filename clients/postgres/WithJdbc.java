// pgjdbc against the tables of the sql crate's tests: values, parameters, setFetchSize, metadata, errors.
// Arguments: host and port. Prints "ok" at the end; anything else is a failure.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public final class WithJdbc {
    private static void check(boolean isSo, Object what) {
        if (!isSo) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://" + arguments[0] + ":" + arguments[1] + "/watertable";
        Properties properties = new Properties();
        properties.setProperty("user", "tester");
        properties.setProperty("prepareThreshold", "1");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            values(connection);
            parameters(connection);
            fetchSize(connection);
            metadata(connection);
            errors(connection);
        }
        properties.setProperty("preferQueryMode", "simple");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            values(connection);
        }
        System.out.println("ok");
    }

    private static void values(Connection connection) throws SQLException {
        // Three times, for pgjdbc changes to binary on its way.
        for (int run = 0; run < 3; run++) {
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM flights ORDER BY id");
                    ResultSet rows = statement.executeQuery()) {
                check(rows.next(), "a row");
                check(rows.getLong("id") == 1, "id");
                check(rows.getString("carrier").equals("UA"), "carrier");
                check(rows.getDouble("delay") == 2.5, "delay");
                check(rows.getBoolean("ok"), "ok");
                check(rows.getBigDecimal("fare").equals(new BigDecimal("123.45")), rows.getBigDecimal("fare"));
                check(rows.getDate("day").toString().equals("2013-01-01"), rows.getDate("day"));
                check(rows.getTimestamp("at").toInstant().toString().equals("2013-01-01T10:00:00Z"), rows.getTimestamp("at"));
                check(rows.getBytes("raw").length == 2, "raw");
                check(rows.next() && rows.next(), "three rows");
                check(rows.getString("carrier") == null, "NULL");
                check(!rows.next(), "no more");
            }
        }
    }

    private static void parameters(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT n FROM numbers WHERE n BETWEEN ? AND ? ORDER BY n LIMIT ?")) {
            for (int run = 0; run < 3; run++) {
                statement.setInt(1, 5);
                statement.setLong(2, 100);
                statement.setInt(3, 2);
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && rows.getInt(1) == 5 && rows.next() && rows.getInt(1) == 6 && !rows.next(), "5, 6");
                }
            }
        }
    }

    private static void fetchSize(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(100);
            long sum = 0;
            try (ResultSet rows = statement.executeQuery("SELECT n FROM numbers")) {
                while (rows.next()) {
                    sum += rows.getInt(1);
                }
            }
            check(sum == 50005000L, sum);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void metadata(Connection connection) throws SQLException {
        List<String> tables = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (rows.next()) {
                tables.add(rows.getString("TABLE_NAME"));
            }
        }
        check(tables.equals(List.of("Odd-Topic.1", "flights", "numbers")), tables);
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getColumns(null, "public", "flights", "%")) {
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
            }
        }
        check(columns.size() == 8 && columns.get(0).equals("id int8"), columns);
    }

    private static void errors(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT * FROM nowhere");
            throw new AssertionError("no error");
        } catch (SQLException error) {
            check(error.getSQLState().equals("42P01"), error.getSQLState());
        }
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            statement.executeQuery("SELECT count(*) FROM endless");
            throw new AssertionError("no error");
        } catch (SQLException error) {
            check(error.getSQLState().equals("57014"), error.getSQLState());
        }
    }
}
