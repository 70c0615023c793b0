// Package cells is what the Go programs share: the command line, the row runner, the data that rows produce and its
// checks. The conventions are those of clients/README.md.
//
// Inside a row a failed check panics; the runner turns that into the outcome of the cell and goes on with the next.
package cells

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

const (
	rowLimit   = 60 * time.Second
	Large      = 10 << 20
	LargeLimit = 12 << 20
	// Count of the records of most rows.
	Count = 200
	// Transaction is the count of records of one transaction, spread over three partitions.
	Transaction = 30
)

var (
	Acks   = []string{"0", "1", "all"}
	Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}
)

// Suite is the rows of one client and the run they belong to.
type Suite struct {
	Client, Version string
	Bootstrap, Run  string
	order           []string
	rows            map[string]func(ctx context.Context, row string)
}

// Record is one record as a row reads it.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Time      time.Time
	Headers   []Header
}

// Header of a record; a nil value is null.
type Header struct {
	Key   string
	Value []byte
}

type failure struct{ message string }
type notSupported struct{ reason string }

// Check ends the row as failed unless the condition holds.
func Check(condition bool, format string, arguments ...any) {
	if !condition {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

// Must ends the row as failed on any error.
func Must(err error) {
	if err != nil {
		panic(failure{err.Error()})
	}
}

// Need is Must for a call that also returns a value.
func Need[T any](value T, err error) T {
	Must(err)
	return value
}

// NotSupported ends the row: the client itself lacks the feature.
func NotSupported(reason string) { panic(notSupported{reason}) }

// WaitUntil looks at the condition until it holds.
func WaitUntil(ctx context.Context, what string, condition func() bool) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-limit:
			panic(failure{what + ": not within 20 s"})
		case <-ctx.Done():
			panic(failure{what + ": row not finished in time"})
		}
	}
}

// Row registers a row.
func (suite *Suite) Row(name string, function func(ctx context.Context, row string)) {
	if suite.rows == nil {
		suite.rows = map[string]func(context.Context, string){}
	}
	suite.order = append(suite.order, name)
	suite.rows[name] = function
}

// Topic is a topic that only this row of this run uses.
func (suite *Suite) Topic(row string) string {
	return suite.Run + "-" + suite.Client + "-" + row
}

// Main runs the rows that the command line names, or all.
func (suite *Suite) Main() {
	rows := flag.String("rows", "", "rows, separated by commas; all if empty")
	flag.StringVar(&suite.Bootstrap, "bootstrap", "", "address of a broker")
	flag.StringVar(&suite.Run, "run", "", "prefix of topics and groups")
	flag.Parse()
	names := suite.order
	if *rows != "" {
		names = strings.Split(*rows, ",")
	}
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for _, name := range names {
		started := time.Now()
		outcome, detail := suite.runRow(name)
		Must(output.Encode(map[string]any{
			"client": suite.Client, "version": suite.Version, "row": name,
			"outcome": outcome, "detail": detail, "seconds": time.Since(started).Seconds(),
		}))
	}
}

func (suite *Suite) runRow(name string) (outcome, detail string) {
	ctx, cancel := context.WithTimeout(context.Background(), rowLimit)
	defer cancel()
	defer func() {
		switch reason := recover().(type) {
		case nil:
			outcome = "pass"
		case notSupported:
			outcome, detail = "not-supported", reason.reason
		case failure:
			outcome, detail = "fail", reason.message
			debug.PrintStack()
		default:
			outcome, detail = "fail", fmt.Sprint(reason)
			debug.PrintStack()
		}
	}()
	function, known := suite.rows[name]
	if !known {
		NotSupported("this program has no such row")
	}
	function(ctx, name)
	return
}

// KeyOf is the key of the record with this index.
func KeyOf(index int) []byte { return fmt.Appendf(nil, "key-%d", index%10) }

// ValueOf is distinct per row and index, and worth compressing.
func ValueOf(row string, index int) []byte {
	return append(fmt.Appendf(nil, "%s/%06d/", row, index), bytes.Repeat([]byte("abcdefghij"), 40)...)
}

// CheckKeyed checks what was read, in the order read: all records, each once, and in order per key.
func CheckKeyed(row string, read []Record) {
	Check(len(read) == Count, "%d records instead of %d", len(read), Count)
	next := map[string]int{}
	partitionOf := map[string]int32{}
	for _, record := range read {
		key := string(record.Key)
		index, seen := next[key]
		if !seen {
			Must(scanKey(key, &index))
			partitionOf[key] = record.Partition
		}
		Check(partitionOf[key] == record.Partition, "%s lies in two partitions", key)
		Check(bytes.Equal(record.Value, ValueOf(row, index)), "record %d differs or is out of order", index)
		next[key] = index + 10
	}
	Check(len(next) == 10, "%d keys instead of 10", len(next))
	CheckOffsets(read)
}

func scanKey(key string, index *int) error {
	_, err := fmt.Sscanf(key, "key-%d", index)
	return err
}

// CheckOffsets checks that offsets per partition are dense and ascend in the order read.
func CheckOffsets(read []Record) {
	next := map[int32]int64{}
	for _, record := range read {
		expected, seen := next[record.Partition]
		Check(!seen || record.Offset == expected, "offset %d instead of %d", record.Offset, expected)
		next[record.Partition] = record.Offset + 1
	}
}

// Incompressible is deterministic bytes that no codec makes smaller.
func Incompressible(size int) []byte {
	value := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(value)
	return value
}

// Headers that a record can have.
func Headers() []Header {
	return []Header{
		{"text", []byte("plain")},
		{"twice", []byte("first")},
		{"twice", []byte("second")},
		{"bytes", []byte{0, 255, 10, 13}},
		{"empty", []byte{}},
		{"null", nil},
		{"ümläut", []byte("grüße")},
	}
}

// CheckHeaders compares headers, where null and empty differ.
func CheckHeaders(read, expected []Header) {
	Check(len(read) == len(expected), "%d headers instead of %d", len(read), len(expected))
	for index, header := range read {
		Check(header.Key == expected[index].Key && Same(header.Value, expected[index].Value), "header %q is %v", header.Key, header.Value)
	}
}

// Nulls is keys and values where null and empty differ.
func Nulls() [][2][]byte {
	empty := []byte{}
	return [][2][]byte{
		{nil, []byte("null key")}, {[]byte("null value"), nil}, {nil, nil},
		{empty, empty}, {empty, []byte("empty key")}, {[]byte("empty value"), empty},
	}
}

// Same compares bytes; null and empty differ.
func Same(left, right []byte) bool {
	return bytes.Equal(left, right) && (left == nil) == (right == nil)
}

// CheckTransactions checks records in the order read: those of these transactions, each once, in their order. Record
// index of transaction part has ValueOf(row-part, index) and lies in partition index%3.
func CheckTransactions(row string, parts string, read []Record) {
	perPartition := map[int32][][]byte{}
	for _, record := range read {
		perPartition[record.Partition] = append(perPartition[record.Partition], record.Value)
	}
	for partition := range int32(3) {
		var expected [][]byte
		for _, part := range parts {
			for index := int(partition); index < Transaction; index += 3 {
				expected = append(expected, ValueOf(row+"-"+string(part), index))
			}
		}
		same := len(expected) == len(perPartition[partition])
		for index := range expected {
			same = same && bytes.Equal(expected[index], perPartition[partition][index])
		}
		Check(same, "partition %d differs from %s", partition, parts)
	}
}
