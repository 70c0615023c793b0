// The SQL matrix through pgx: what applications in Go use, and Grafana's data source. Statements are prepared and kept unless a
// row says otherwise.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	. "watertable/clients/cells"
)

const (
	columns    = "id, carrier, delay, ok, fare, day, at, raw"
	definition = "(id bigint, carrier text, delay double precision, ok boolean, fare numeric(10,2), day date, at timestamptz, raw bytea)"
	odd        = "größe, \"x\"\t\\"
)

var suite = Suite{Client: "pgx", Version: moduleVersion("github.com/jackc/pgx/v5")}

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
	pgx.QueryExecModeSimpleProtocol,
}

func moduleVersion(path string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == path {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

func open(ctx context.Context, mode pgx.QueryExecMode) *pgx.Conn {
	address := url.URL{Scheme: "postgres", User: url.User("tester"), Host: suite.Bootstrap, Path: "watertable", RawQuery: "sslmode=disable&timezone=UTC"}
	config := Need(pgx.ParseConfig(address.String()))
	config.DefaultQueryExecMode = mode
	return Need(pgx.ConnectConfig(ctx, config))
}

// with registers a row that has a connection.
func with(name string, function func(ctx context.Context, connection *pgx.Conn, row string)) {
	suite.Row(name, func(ctx context.Context, row string) {
		connection := open(ctx, pgx.QueryExecModeCacheStatement)
		defer connection.Close(ctx)
		function(ctx, connection, row)
	})
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// rows are values, other values, and nulls.
func rows() [][]any {
	at := time.Date(2013, 1, 1, 10, 0, 0, 0, time.UTC)
	return [][]any{
		{int64(1), "UA", 2.5, true, "123.45", at.Truncate(24 * time.Hour), at, []byte{0, 255}},
		{int64(2), odd, -0.125, false, "-0.01", time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), at.Add(500 * time.Millisecond), []byte{}},
		{int64(3), nil, nil, nil, nil, nil, nil, nil},
	}
}

func filled(ctx context.Context, connection *pgx.Conn, row string) string {
	table := quoted(suite.Topic(row))
	Need(connection.Exec(ctx, "CREATE TABLE "+table+" "+definition))
	for _, values := range rows() {
		told := Need(connection.Exec(ctx, "INSERT INTO "+table+" ("+columns+") VALUES ($1, $2, $3, $4, $5::numeric, $6, $7, $8)", values...))
		Check(told.String() == "INSERT 0 1", "%s", told)
	}
	return table
}

type typed struct {
	ID      int64
	Carrier *string
	Delay   *float64
	OK      *bool
	Fare    *string
	Day, At *time.Time
	Raw     []byte
}

func checkRows(ctx context.Context, connection *pgx.Conn, table string) {
	answer := Need(connection.Query(ctx, "SELECT id, carrier, delay, ok, fare::text AS fare, day, at, raw FROM "+table+" ORDER BY id"))
	found := Need(pgx.CollectRows(answer, pgx.RowToStructByPos[typed]))
	expected := rows()
	Check(len(found) == len(expected), "%d rows", len(found))
	for index, one := range found[:2] {
		values := expected[index]
		Check(one.ID == values[0] && *one.Carrier == values[1] && *one.Delay == values[2] && *one.OK == values[3], "row %d: %v", index, one)
		Check(*one.Fare == values[4] && one.Day.Equal(values[5].(time.Time)) && one.At.Equal(values[6].(time.Time)), "row %d: %v", index, one)
		Check(bytes.Equal(one.Raw, values[7].([]byte)), "row %d: %v", index, one.Raw)
	}
	none := found[2]
	Check(none.Carrier == nil && none.Delay == nil && none.OK == nil && none.Fare == nil && none.Day == nil && none.At == nil && none.Raw == nil, "nulls: %v", none)
}

func fails(ctx context.Context, connection *pgx.Conn, sql, state string) {
	_, err := connection.Exec(ctx, sql)
	var told *pgconn.PgError
	Check(errors.As(err, &told) && told.Code == state, "%s: %v", sql, err)
}

func number(ctx context.Context, connection *pgx.Conn, sql string, arguments ...any) (found int64) {
	Must(connection.QueryRow(ctx, sql, arguments...).Scan(&found))
	return
}

func main() {
	with("connect", func(ctx context.Context, connection *pgx.Conn, _ string) {
		Must(connection.Ping(ctx))
		Check(number(ctx, connection, "SELECT current_setting('server_version_num')::bigint") >= 140000, "the version")
	})
	with("tables", func(ctx context.Context, connection *pgx.Conn, row string) {
		filled(ctx, connection, row)
		query := "SELECT table_type FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2"
		var kind string
		Must(connection.QueryRow(ctx, query, "public", suite.Topic(row)).Scan(&kind))
		Check(kind == "BASE TABLE", "the catalogue has %s", kind)
	})
	with("columns", func(ctx context.Context, connection *pgx.Conn, row string) {
		filled(ctx, connection, row)
		query := "SELECT column_name, udt_name, numeric_precision, numeric_scale FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position"
		answer := Need(connection.Query(ctx, query, suite.Topic(row)))
		var names, types []string
		var name, kind string
		var precision, scale *int
		Need(pgx.ForEachRow(answer, []any{&name, &kind, &precision, &scale}, func() error {
			names, types = append(names, name), append(types, kind)
			Check(name != "fare" || *precision == 10 && *scale == 2, "numeric(%v,%v)", precision, scale)
			Check(name != "carrier" || precision == nil, "a text has a precision")
			return nil
		}))
		Check(len(names) == 16 && strings.Join(names[7:15], ", ") == columns, "the columns are %v", names)
		Check(slices.Equal(types[7:15], []string{"int8", "text", "float8", "bool", "numeric", "date", "timestamptz", "bytea"}), "%v", types)
	})
	with("text", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		simple := open(ctx, pgx.QueryExecModeSimpleProtocol)
		defer simple.Close(ctx)
		checkRows(ctx, simple, table)
	})
	with("binary", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		checkRows(ctx, connection, table)
		var texts []string
		var numbers []int64
		Must(connection.QueryRow(ctx, "SELECT ARRAY['a', 'b'], ARRAY[1, 2]::bigint[]").Scan(&texts, &numbers))
		Check(slices.Equal(texts, []string{"a", "b"}) && slices.Equal(numbers, []int64{1, 2}), "%v %v", texts, numbers)
	})
	with("parameters", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		for _, mode := range modes {
			other := open(ctx, mode)
			defer other.Close(ctx)
			// Twice: prepared, then from the cache.
			for range 2 {
				Check(number(ctx, other, "SELECT id FROM "+table+" WHERE id BETWEEN $1 AND $2 AND delay > $3 LIMIT $4", 1, 3, -0.1, 7) == 1, "%v", mode)
				Check(number(ctx, other, "SELECT id FROM "+table+" WHERE at < $1", rows()[1][6]) == 1, "%v: a time", mode)
				Check(number(ctx, other, "SELECT id FROM "+table+" WHERE carrier = $1", odd) == 2, "%v: a text", mode)
				Check(number(ctx, other, "SELECT sum(id)::bigint FROM "+table+" WHERE id = ANY($1::bigint[])", []int64{1, 3, 7}) == 4, "%v: numbers", mode)
			}
		}
		Check(number(ctx, connection, "SELECT sum(id)::bigint FROM "+table+" WHERE id = ANY($1)", []int64{1, 3, 7}) == 4, "numbers")
		Check(number(ctx, connection, "SELECT count(*) FROM "+table+" WHERE carrier = ANY($1)", []string{"UA", "XX"}) == 1, "texts")
	})
	with("cursor", func(ctx context.Context, connection *pgx.Conn, _ string) {
		transaction := Need(connection.Begin(ctx))
		Need(transaction.Exec(ctx, "DECLARE many CURSOR FOR SELECT value FROM generate_series(1, 2500)"))
		var sum, rows int64
		for {
			answer := Need(transaction.Query(ctx, "FETCH 1000 FROM many"))
			found := Need(pgx.CollectRows(answer, pgx.RowTo[int64]))
			if len(found) == 0 {
				break
			}
			for _, value := range found {
				sum += value
			}
			rows += int64(len(found))
		}
		Check(rows == 2500 && sum == 2500*2501/2, "%d rows, %d", rows, sum)
		Must(transaction.Commit(ctx))
	})
	with("copy-out", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		var output bytes.Buffer
		told := Need(connection.PgConn().CopyTo(ctx, &output, "COPY (SELECT id, carrier FROM "+table+" WHERE id <> 2 ORDER BY id) TO STDOUT"))
		Check(told.RowsAffected() == 2 && output.String() == "1\tUA\n3\t\\N\n", "%s: %q", told, output.String())
	})
	with("copy-in", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := quoted(suite.Topic(row))
		Need(connection.Exec(ctx, "CREATE TABLE "+table+" "+definition))
		told := Need(connection.PgConn().CopyFrom(ctx, strings.NewReader("11\tUA\n12\t\\N\n"), "COPY "+table+" (id, carrier) FROM STDIN"))
		Check(told.RowsAffected() == 2, "%s", told)
		Need(connection.Exec(ctx, "DROP TABLE "+table))
		Need(connection.Exec(ctx, "CREATE TABLE "+table+" "+definition))
		// What the driver itself has for many rows is binary.
		source := rows()
		for _, values := range source[:2] {
			values[4] = Need(numeric(values[4].(string)))
		}
		count := Need(connection.CopyFrom(ctx, pgx.Identifier{suite.Topic(row)}, strings.Split(columns, ", "), pgx.CopyFromRows(source)))
		Check(count == 3, "%d rows", count)
		checkRows(ctx, connection, table)
	})
	with("insert", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		told := Need(connection.Exec(ctx, "INSERT INTO "+table+" (_key, id) SELECT 'k' || id, id + 10 FROM "+table))
		Check(told.RowsAffected() == 3, "%s", told)
		Check(number(ctx, connection, "SELECT sum(id)::bigint FROM "+table+" WHERE _key LIKE 'k%'") == 36, "what was inserted")
	})
	with("transaction", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		add := func(id int, fault error) error {
			return pgx.BeginFunc(ctx, connection, func(transaction pgx.Tx) error {
				Need(transaction.Exec(ctx, "INSERT INTO "+table+" (id) VALUES ($1)", id))
				return fault
			})
		}
		Check(add(4, errors.New("no")) != nil, "rolled back")
		Must(add(5, nil))
		Check(number(ctx, connection, "SELECT count(*) FROM "+table) == 4, "rows")
		Check(number(ctx, connection, "SELECT max(id) FROM "+table) == 5, "what was committed alone")
	})
	with("definition", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := quoted(suite.Topic(row))
		Need(connection.Exec(ctx, "CREATE TABLE "+table+" (id bigint)"))
		fails(ctx, connection, "CREATE TABLE "+table+" (id bigint)", "42P07")
		Need(connection.Exec(ctx, "DROP TABLE "+table))
		fails(ctx, connection, "DROP TABLE "+table, "42P01")
	})
	with("errors", func(ctx context.Context, connection *pgx.Conn, row string) {
		table := filled(ctx, connection, row)
		fails(ctx, connection, "SELECT * FROM nowhere", "42P01")
		fails(ctx, connection, "SELECT nothing FROM "+table, "42703")
		fails(ctx, connection, "SELEC 1", "42601")
		fails(ctx, connection, "DELETE FROM "+table, "0A000")
		fails(ctx, connection, "SELECT 1 / (id - id) FROM "+table, "22012")
	})
	with("cancel", func(ctx context.Context, connection *pgx.Conn, _ string) {
		Need(connection.Exec(ctx, "SET statement_timeout = 100"))
		fails(ctx, connection, "SELECT count(*) FROM generate_series(1, 1000000000000)", "57014")
		Need(connection.Exec(ctx, "SET statement_timeout = 0"))
		ended := make(chan error, 1)
		go func() {
			_, err := connection.Exec(ctx, "SELECT count(*) FROM generate_series(1, 1000000000000)")
			ended <- err
		}()
		other := open(ctx, pgx.QueryExecModeCacheStatement)
		defer other.Close(ctx)
		running := "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
		process := int64(connection.PgConn().PID())
		WaitUntil(ctx, "the statement to run", func() bool { return number(ctx, other, running, process) == 1 })
		Must(connection.PgConn().CancelRequest(ctx))
		var told *pgconn.PgError
		Check(errors.As(<-ended, &told) && told.Code == "57014", "cancelled: %v", told)
		Check(number(ctx, connection, "SELECT 1") == 1, "the session goes on")
	})
	with("pipeline", func(ctx context.Context, connection *pgx.Conn, _ string) {
		batch := &pgx.Batch{}
		for index := range 5 {
			batch.Queue("SELECT $1::bigint", index)
		}
		answers := connection.SendBatch(ctx, batch)
		for index := range int64(5) {
			var found int64
			Must(answers.QueryRow().Scan(&found))
			Check(found == index, "%d instead of %d", found, index)
		}
		Must(answers.Close())
	})
	with("sys", func(ctx context.Context, connection *pgx.Conn, row string) {
		filled(ctx, connection, row)
		Check(number(ctx, connection, "SELECT partitions FROM sys.topics WHERE topic = $1", suite.Topic(row)) >= 1, "sys.topics")
	})
	suite.Main()
}

func numeric(text string) (value any, err error) {
	var parsed pgtype.Numeric
	err = parsed.Scan(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", text, err)
	}
	return parsed, err
}
